"""From a model's name to candidates, and when the next one is worth trying."""

import pytest

from common.model import errors
from common.routing.candidates import candidates, worth_another_candidate
from common.settings import parse_settings

SETTINGS = parse_settings(
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


def test_order() -> None:
    """Candidates come in the order in which they are configured, names with slashes whole."""
    found = [(target.provider, target.model) for target in candidates(SETTINGS.models, "m")]
    assert found == [("two", "b/c:free"), ("one", "a"), ("two", "b/c:free")]
    assert [target.model for target in candidates(SETTINGS.models, "M")] == ["A"]


@pytest.mark.parametrize("name", ["", "x", "m ", " m", "one/a", "m/", "__class__", "m\x00", "x" * 10_000])
def test_no_such_model(name: str) -> None:
    """A name that is not configured to the letter is refused, in few words that say where to look."""
    with pytest.raises(errors.ModelNotFound) as refused:
        candidates(SETTINGS.models, name)
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")
    assert "GET /v1/models" in refused.value.message
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("error", "worth_it"),
    [
        (errors.UpstreamUnreachable("x"), True),
        (errors.UpstreamTimeout("x"), True),
        (errors.UpstreamBroken("x"), True),
        (errors.UpstreamFailed("x"), True),
        (errors.UpstreamRateLimited("x"), True),
        (errors.UpstreamRejected("x", status=404), True),
        *((errors.UpstreamRejected("x", status=status), False) for status in (400, 413, 415, 422)),
        (errors.InvalidRequest("x"), False),
        (errors.ModelNotFound("x"), False),
        (errors.ClientLeft("x"), False),
        (errors.StorageUnavailable("x"), False),
        (errors.DeadlineNear("x"), False),
    ],
    ids=lambda value: (
        f"{type(value).__name__} {getattr(value, 'status', '')}" if isinstance(value, Exception) else ""
    ),
)
def test_worth_another_candidate(error: errors.SluiceError, worth_it: bool) -> None:  # noqa: FBT001
    """What is the provider's fault, or its list of models', may go well elsewhere; a wrong request is so anywhere."""
    assert worth_another_candidate(error) is worth_it
