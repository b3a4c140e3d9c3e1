"""A gateway whose secrets AWS keeps: what it is without them, with them, and with others."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from common.gateway.gateway import Gateway
from common.model.errors import ModelUnavailable
from common.ports import Timeouts, UpstreamRequest
from common.settings import Mistake, Settings, SettingsError, parse_settings
from common.settings.references import missing
from common.targets.aws import root
from common.targets.aws.tracing import Traced
from common.targets.aws.unlock import Locked, Unlocked, Unlocking
from common.wire.openai.errors import kind_of

SETTINGS: Final = """
[server]
{server}
[providers.kept]
kind = "openai"
base_url = "https://llm.example.com/v1"
api_key = ["ssm:/sluice/first", "secretsmanager:second"]
[providers.plain]
kind = "openai"
base_url = "https://llm.example.com/v1"
api_key = "env:PLAIN"
[models.demo]
targets = ["kept/demo"]
"""
VARIABLES: Final = {"SLUICE_TABLE": "sluice", "AWS_REGION": "eu-west-1", "PLAIN": "plain-value"}
FIRST: Final = {"ssm:/sluice/first": "first-value"}


class Cache:
    """What AWS tells, as a test says."""

    def __init__(self) -> None:
        self.values: Mapping[str, str] = {}

    async def current(self) -> Mapping[str, str]:
        """See `SecretCache.current`."""
        return self.values


class Opened:
    """A gateway, and what AWS tells."""

    def __init__(self, folder: Path, server: str = "", text: str = "") -> None:
        (folder / "sluice.toml").write_text(text or SETTINGS.format(server=server))
        self.gateway = root.open_gateway(VARIABLES | {"LAMBDA_TASK_ROOT": str(folder)})
        self.cache = Cache()
        assert self.gateway.unlocking is not None
        self.unlocking = Unlocking(
            self.gateway.gateway,
            self.cache,  # type: ignore[arg-type] # the one method that is used
            lambda values: root.read_settings(folder, VARIABLES, values),
            Traced(self.gateway.upstream),
        )


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Without any secret yet."""
    monkeypatch.setattr(root, "log_to_stdout", lambda *_: None)
    monkeypatch.setattr("common.targets.aws.unlock.log_to_stdout", lambda *_: None)
    return Opened(tmp_path)


def keys(gateway: Gateway, provider: str) -> list[str]:
    """What a provider is asked with."""
    return [each.secret for each in gateway.routes[provider].provider.credentials.all]


def is_locked(gateway: Gateway, provider: str) -> bool:
    """Whether it cannot be asked."""
    return isinstance(gateway.routes[provider].upstream, Locked)


def test_references_are_found(opened: Opened) -> None:
    """What is to be fetched is seen from the settings."""
    settings = opened.gateway.gateway.settings
    assert sorted(missing(settings.secrets)) == ["secretsmanager:second", "ssm:/sluice/first"]


async def test_without_secrets(opened: Opened) -> None:
    """A provider whose keys are not there is not asked; others are. It answers 503."""
    gateway = await opened.unlocking.current()
    assert (is_locked(gateway, "kept"), is_locked(gateway, "plain")) == (True, False)
    request = UpstreamRequest("POST", "https://llm.example.com", (), b"", Timeouts(1, 1, 1))
    with pytest.raises(ModelUnavailable) as caught:
        gateway.routes["kept"].upstream.send(request)
    assert kind_of(caught.value).status == 503
    assert "ssm" not in caught.value.message
    assert keys(gateway, "plain") == ["plain-value"]


async def test_with_some(opened: Opened) -> None:
    """Of several keys those are used that are there; when others come, a new gateway has them."""
    opened.cache.values = FIRST
    first = await opened.unlocking.current()
    assert (keys(first, "kept"), is_locked(first, "kept")) == (["first-value"], False)
    assert await opened.unlocking.current() is first
    opened.cache.values = FIRST | {"secretsmanager:second": "second-value"}
    second = await opened.unlocking.current()
    assert keys(second, "kept") == ["first-value", "second-value"]
    assert (second.meter, second.authenticator) == (first.meter, first.authenticator)
    assert {"first-value", "second-value", "plain-value"} <= set(second.settings.secrets)


async def test_end_user_key(tmp_path: Path, opened: Opened) -> None:
    """Without what end users are hashed with, nobody is asked: they would be recorded as others."""
    other = Opened(tmp_path, server='end_user_key = "ssm:/sluice/end-users"')
    other.cache.values = FIRST
    assert is_locked(await other.unlocking.current(), "plain")
    other.cache.values = FIRST | {"ssm:/sluice/end-users": "0123456789abcdef"}
    assert not is_locked(await other.unlocking.current(), "plain")


async def test_secret_of_the_way_to_a_provider(tmp_path: Path, opened: Opened) -> None:
    """A provider that is asked by way of a gateway is not asked without the gateway's token."""
    account = "0123456789abcdef" * 2
    way = f'\ncloudflare_ai_gateway = {{ account = "{account}", gateway = "one", token = "ssm:/way" }}'
    plain = '[providers.plain]\nkind = "openrouter"\napi_key = "env:PLAIN"'
    text = SETTINGS.format(server="")
    text = text.replace(text[text.index("[providers.plain]") : text.index("[models")], f"{plain}{way}\n")
    other = Opened(tmp_path, text=text)
    assert is_locked(await other.unlocking.current(), "plain")
    other.cache.values = {"ssm:/way": "token-value"}
    assert not is_locked(await other.unlocking.current(), "plain")


async def test_a_value_that_cannot_be_one(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    """A value that no key has is told by its reference, and what was there before goes on."""
    opened.cache.values = FIRST
    first = await opened.unlocking.current()
    opened.cache.values = {"ssm:/sluice/first": "two\nlines"}
    with caplog.at_level(logging.ERROR, "sluice.secrets"):
        assert await opened.unlocking.current() is first
    assert "expected printable ASCII in ssm:/sluice/first" in caplog.text
    assert "two" not in caplog.text


async def test_application_is_made_once(opened: Opened) -> None:
    """The application is made anew where the gateway is, and not for each request."""
    made: list[Gateway] = []

    def app_on(gateway: Gateway) -> Any:
        made.append(gateway)

        async def app(*_: Any) -> None:
            """Nothing."""

        return app

    app = Unlocked(opened.unlocking, app_on)
    for values in ({}, {}, FIRST, FIRST):
        opened.cache.values = values or opened.cache.values
        await app({}, None, None)  # type: ignore[arg-type] # not looked at
    assert len(made) == 2


def test_references_elsewhere(tmp_path: Path) -> None:
    """Where nobody can fetch them, each is a mistake of its own, which says what to write."""
    with pytest.raises(SettingsError) as caught:
        parse_settings(SETTINGS.format(server=""), VARIABLES)
    assert caught.value.mistakes[0] == Mistake(
        "sluice.toml",
        "providers.kept.api_key",
        'expected "env:NAME" here: ssm:/sluice/first is read on AWS only',
    )
    assert len(caught.value.mistakes) == 2


def test_settings_hold_no_secret_by_reference(opened: Opened) -> None:
    """Without the values, nothing in the settings could be taken for one."""
    settings: Settings = opened.gateway.gateway.settings
    assert [each.value for each in settings.providers["kept"].api_keys] == [
        "(ssm:/sluice/first has not been read)",
        "(secretsmanager:second has not been read)",
    ]
