"""The table from our errors to OpenAI's statuses, types and codes, and the envelope."""

import json
import re

import pytest

from common.model import errors
from common.model.limits import Limit
from common.wire.openai.errors import INTERNAL, KINDS, ErrorKind, envelope, envelope_of, kind_of

LEAF = re.compile(r"(\w+) +(\d{3})\b")


def descendants(cls: type[errors.SluiceError]) -> set[type[errors.SluiceError]]:
    """All classes of the module below `cls`; an adapter may have kinds of its own below a leaf."""
    children = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    return {below for child in children for below in {child, *descendants(child)}}


def nearest(cls: type[errors.SluiceError]) -> ErrorKind:
    """The kind of the class, or of the nearest one above it."""
    return next((KINDS[each] for each in cls.__mro__ if each in KINDS), INTERNAL)


def test_the_tree_is_the_table() -> None:
    """The drawing of the hierarchy names every class, and beside each the status that it has."""
    drawn = errors.__doc__ or ""
    assert set(re.findall(r"── (\w+)", drawn)) == {cls.__name__ for cls in descendants(errors.SluiceError)}
    for line in drawn.splitlines():
        if (leaf := LEAF.search(line)) is not None:
            assert nearest(getattr(errors, leaf[1])).status == int(leaf[2])


def test_every_leaf_has_a_kind() -> None:
    """No error of ours is answered as an internal one."""
    for cls in descendants(errors.SluiceError):
        assert descendants(cls) or nearest(cls) is not INTERNAL


def limit(cls: type[errors.LimitError]) -> errors.LimitError:
    """Such an error."""
    return cls("x", limit=Limit.REQUESTS_PER_DAY, retry_after_ms=None)


@pytest.mark.parametrize(
    ("error", "status", "type_", "code"),
    [
        (errors.InvalidRequest("x"), 400, "invalid_request_error", None),
        (errors.InvalidRequest("x", code="own"), 400, "invalid_request_error", "own"),
        (errors.AuthenticationFailed("x"), 401, "invalid_request_error", "invalid_api_key"),
        (errors.PermissionDenied("x"), 403, "invalid_request_error", "insufficient_permissions"),
        (errors.ModelNotFound("x"), 404, "invalid_request_error", "model_not_found"),
        (errors.BodyTooLarge("x"), 413, "invalid_request_error", "body_too_large"),
        (limit(errors.RequestTooLarge), 400, "invalid_request_error", "request_too_large"),
        (limit(errors.RateLimited), 429, "rate_limit_error", "rate_limit_exceeded"),
        (limit(errors.BudgetExceeded), 429, "insufficient_quota", "insufficient_quota"),
        (limit(errors.BudgetInFlight), 429, "rate_limit_error", "budget_in_flight"),
        (errors.UpstreamRejected("x", status=422), 422, "invalid_request_error", None),
        (errors.UpstreamRejected("x", status=404, code="c"), 404, "invalid_request_error", "c"),
        (errors.UpstreamRateLimited("x"), 429, "rate_limit_error", "provider_rate_limited"),
        (
            errors.UpstreamRateLimited("x", code="insufficient_quota"),
            429,
            "rate_limit_error",
            "insufficient_quota",
        ),
        (errors.UpstreamUnreachable("x"), 502, "server_error", "provider_unreachable"),
        (errors.UpstreamBroken("x"), 502, "server_error", "provider_error"),
        (errors.UpstreamTimeout("x"), 504, "server_error", "provider_timeout"),
        (errors.StorageUnavailable("x"), 503, "server_error", "storage_unavailable"),
        (errors.ModelUnavailable("x"), 503, "server_error", "model_unavailable"),
        (errors.DeadlineNear("x"), 504, "server_error", "deadline_near"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_kinds(error: errors.SluiceError, status: int, type_: str, code: str | None) -> None:
    """Status, type and code of each; a code of its own wins, and so does a provider's 4xx."""
    assert kind_of(error).status == status
    assert json.loads(envelope_of(error))["error"] == {
        "message": "x",
        "type": type_,
        "param": None,
        "code": code,
    }


def test_nearest_class() -> None:
    """A class that is not in the table has the kind of the nearest one above it."""

    class Special(errors.UpstreamTimeout):
        pass

    assert kind_of(Special("x")) == kind_of(errors.UpstreamTimeout("x"))


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret")])
def test_what_is_not_ours_says_nothing(error: Exception) -> None:
    """An exception that nobody foresaw is a 500, and its words stay inside."""
    assert kind_of(error).status == 500
    told = json.loads(envelope_of(error))["error"]
    assert "secret" not in told["message"]
    assert (told["type"], told["code"]) == ("server_error", "internal_error")


def test_envelope() -> None:
    """All four members are always there, and any text is ASCII on one line."""
    assert envelope("m", "t") == b'{"error":{"message":"m","type":"t","param":null,"code":null}}'
    told = envelope('"é"\n\ud800', "t", param="p[0].é", code="c")
    assert told.isascii()
    assert b"\n" not in told
    assert json.loads(told)["error"] == {
        "message": '"é"\n\ud800',
        "type": "t",
        "param": "p[0].é",
        "code": "c",
    }
