"""What may stand in `sluice.toml` for a secret, and what stands in for one that is not there."""

from typing import Final

import pytest

from common.settings import SettingsError, parse_settings
from common.settings.references import (
    Known,
    is_kept_elsewhere,
    is_reference,
    missing,
    reference_of,
    stand_in,
)

TOML: Final = '[providers.one]\nkind = "openrouter"\napi_key = "{}"\n[server]\nend_user_key = "{}"\n'


@pytest.mark.parametrize(
    "text",
    [
        "env:NAME",
        "ssm:/sluice/dev/open-router_1.key",
        "secretsmanager:sluice/dev+key",
        "secretsmanager:a@b=c",
    ],
)
def test_references(text: str) -> None:
    """A variable, the path of a parameter, the name of a secret."""
    assert is_reference(text)
    assert is_kept_elsewhere(text) is not text.startswith("env:")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "env:",
        "ssm:",
        "ssm:no-slash",
        "ssm:/a b",
        "ssm:/a:1",
        "secretsmanager:",
        "secretsmanager:a b",
        "sk-1",
        1,
        None,
        "secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:a",
        "SSM:/a",
        "ssm:/a\n",
    ],
)
def test_what_is_none(value: object) -> None:
    """A secret itself, a name that the service does not take, or one with a version."""
    assert not is_reference(value)


def test_stand_in() -> None:
    """It tells the reference, and nothing else does."""
    assert reference_of(stand_in("ssm:/a")) == "ssm:/a"
    assert [reference_of(text) for text in ("ssm:/a", "(env:A has not been read)", "(ssm:/a", "sk-1")] == [
        None
    ] * 4


def test_settings_without_their_secrets() -> None:
    """Settings are whole without them, say which are missing, and have them once they are known."""
    text = TOML.format("ssm:/sluice/key", "secretsmanager:users")
    assert missing(parse_settings(text, Known({})).secrets) == ["ssm:/sluice/key", "secretsmanager:users"]
    values = {"ssm:/sluice/key": "sk-or-v1-1", "secretsmanager:users": "0123456789abcdef"}
    assert parse_settings(text, Known({}, values)).secrets == list(values.values())


def test_variables_are_looked_up_as_before() -> None:
    """What is not kept elsewhere is a variable, or is missing."""
    known = Known({"KEY": "sk-1"}, {"ssm:/a": "kept"})
    assert (known["KEY"], known.get("NONE"), known["ssm:/a"]) == ("sk-1", None, "kept")
    assert (sorted(known), len(known)) == (["KEY", "ssm:/a"], 2)


def test_a_fetched_secret_has_to_be_one() -> None:
    """What was fetched is held against the same rules as a variable, and told by its reference."""
    text = TOML.format("ssm:/sluice/key", "secretsmanager:users")
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Known({}, {"ssm:/sluice/key": "ключ", "secretsmanager:users": "short"}))
    assert {each.key: each.expected for each in caught.value.mistakes} == {
        "providers.one.api_key": "expected printable ASCII in ssm:/sluice/key",
        "server.end_user_key": "expected at least 16 characters in secretsmanager:users",
    }
