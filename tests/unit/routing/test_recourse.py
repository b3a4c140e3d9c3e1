"""What may help after each error."""

import json

import pytest

from common.model import errors
from common.providers.openai_errors import failure, stated_error
from common.routing.recourse import Recourse, recourse

HERE, ELSEWHERE, NOWHERE = Recourse.HERE, Recourse.ELSEWHERE, Recourse.NOWHERE
ANOTHER_MODEL, LARGER = Recourse.ANOTHER_MODEL, Recourse.LARGER_CONTEXT


def leaves(kind: type[errors.SluiceError]) -> set[type[errors.SluiceError]]:
    """All kinds of error that stand below."""
    below = {leaf for each in kind.__subclasses__() for leaf in leaves(each)}
    return below | {kind}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.UpstreamUnreachable("no connection, or not in time"), HERE),
        (errors.UpstreamBroken("reset before headers"), HERE),
        (errors.UpstreamFailed("500"), HERE),
        (errors.UpstreamRateLimited("429"), HERE),
        (errors.UpstreamTimeout("first byte, first token, idle or total"), ELSEWHERE),
        (errors.UpstreamRefused("no credit"), ELSEWHERE),
        (errors.ModelUnavailable("the embedded model cannot start"), ELSEWHERE),
        (errors.UpstreamError("of a kind to come"), ELSEWHERE),
        (errors.InvalidRequest("x"), NOWHERE),
        (errors.ModelNotFound("x"), NOWHERE),
        (errors.ClientLeft("x"), NOWHERE),
        (errors.StorageUnavailable("x"), NOWHERE),
        (errors.DeadlineNear("x"), NOWHERE),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_kinds(error: errors.SluiceError, expected: Recourse) -> None:
    """What is sent to a provider in vain is tried again or elsewhere; what is not its doing, nowhere."""
    assert recourse(error) is expected


def test_every_kind_of_ours_and_the_callers() -> None:
    """No error of the caller or of a limit leads to another attempt."""
    for kind in leaves(errors.CallerError) | leaves(errors.LimitError):
        assert recourse(kind.__new__(kind)) is NOWHERE


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "context_length_exceeded", LARGER),
        (400, "token_limit_exceeded", LARGER),
        (413, "context_length_exceeded", LARGER),
        (400, "content_filter", Recourse.CONTENT_FILTER),
        (403, "content_policy_violation", Recourse.CONTENT_FILTER),
        (400, "refusal", Recourse.CONTENT_FILTER),
        (404, "model_not_found", ELSEWHERE),
        (400, "model_not_found", ELSEWHERE),
        (404, None, ANOTHER_MODEL),
        (404, "image_not_found", NOWHERE),
        (405, None, ANOTHER_MODEL),
        (410, None, ANOTHER_MODEL),
        (413, None, ANOTHER_MODEL),
        (413, "rate_limit_exceeded", ANOTHER_MODEL),
        (400, "unsupported_parameter", ANOTHER_MODEL),
        (400, "unsupported_value", ANOTHER_MODEL),
        (400, "max_tokens_exceeded", ANOTHER_MODEL),
        (409, None, HERE),
        (425, None, HERE),
        (400, None, NOWHERE),
        (400, "invalid_prompt", NOWHERE),
        (415, None, NOWHERE),
        (422, "of_tomorrow", NOWHERE),
    ],
)
def test_rejections(status: int, code: str | None, expected: Recourse) -> None:
    """A provider's own 4xx goes by its code, then by its status; a wrong request is so anywhere."""
    assert recourse(errors.UpstreamRejected("No.", status=status, code=code)) is expected


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens.",
        "the request exceeds the available context size, try increasing it",
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Input length 9000 exceeds the maximum context window",
    ],
)
def test_too_long_in_words(said: str) -> None:
    """Where a provider has no code for it, its words tell that the context is too small."""
    body = json.dumps({"error": {"message": said}}).encode()
    assert recourse(failure(400, {}, body)) is LARGER


@pytest.mark.parametrize("said", ["max_tokens is too large", "The context of `x` is not JSON", "too long"])
def test_other_words(said: str) -> None:
    """Words that mean something else do not."""
    assert recourse(failure(400, {}, json.dumps({"error": {"message": said}}).encode())) is NOWHERE


@pytest.mark.parametrize(
    ("status", "expected", "may_be_billed"),
    [
        (301, ELSEWHERE, False),
        (307, ELSEWHERE, False),
        (408, ELSEWHERE, True),
        (429, HERE, False),
        (401, ELSEWHERE, False),
        (402, ELSEWHERE, False),
        (403, ELSEWHERE, False),
        (500, HERE, False),
        (502, HERE, False),
        (503, HERE, False),
        (504, ELSEWHERE, True),
        (524, ELSEWHERE, True),
        (529, HERE, False),
    ],
)
def test_statuses(status: int, expected: Recourse, *, may_be_billed: bool) -> None:
    """As the wire has them, with whether such an attempt may be billed."""
    error = failure(status, {}, b'{"error": {"message": "no"}}')
    assert (recourse(error), error.may_be_billed) == (expected, may_be_billed)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 503, "message": "overloaded"}, HERE),
        ({"code": "rate_limit_exceeded"}, HERE),
        ({"code": "insufficient_quota"}, ELSEWHERE),
        ({"code": 400, "metadata": {"error_type": "context_length_exceeded"}}, LARGER),
        ({"code": "server_error"}, HERE),
    ],
)
def test_in_band(error: object, expected: Recourse) -> None:
    """An error that comes as the first event is the same as one with a status."""
    assert recourse(stated_error(error)) is expected


def test_blame() -> None:
    """Only what no client can bring about speaks against a provider."""
    assert {each for each in Recourse if each.blames_provider} == {HERE, ELSEWHERE}
