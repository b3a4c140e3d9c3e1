"""From a model's name, to the letter, to candidates as they are configured."""

import pytest

from common.model import errors
from common.model.ids import KeyId, UserId
from common.model.limits import UNLIMITED
from common.model.principal import Principal
from common.routing.names import Directory
from common.settings import parse_settings

DIRECTORY = Directory(
    parse_settings(
        """
    [providers.one]
    kind = "openai"
    base_url = "http://one"
    [providers.two]
    kind = "openai"
    base_url = "http://two"
    [models.m]
    targets = ["two/b/c:free", "one/a", "two/b/c:free"]
    [models."M"]
    targets = ["one/A"]
    """,
        {},
    )
)
CALLER = Principal(KeyId("key_1"), UserId("ada"), frozenset(), UNLIMITED)


def test_order() -> None:
    """Candidates come in the order in which they are configured, names with slashes whole."""
    found = [(each.target.provider, each.target.model) for each in DIRECTORY.resolve("m", CALLER).candidates]
    assert found == [("two", "b/c:free"), ("one", "a"), ("two", "b/c:free")]
    assert [each.target.model for each in DIRECTORY.resolve("M", CALLER).candidates] == ["A"]


@pytest.mark.parametrize("name", ["", "x", "m ", " m", "one/a", "m/", "__class__", "m\x00", "x" * 10_000])
def test_no_such_model(name: str) -> None:
    """A name that is not configured to the letter is refused, in few words that say where to look."""
    with pytest.raises(errors.ModelNotFound) as refused:
        DIRECTORY.resolve(name, CALLER)
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")
    assert "GET /v1/models" in refused.value.message
    assert len(refused.value.message) < 200
