"""What may help after an attempt at a candidate has failed. Every error is classified here, once. Pure.

The time-outs of the `Upstream` port, and what they are here:

    connect      `UpstreamUnreachable`   HERE: nothing was sent. `backoff.py` sees how long it took, and has no patience
    first byte   `UpstreamTimeout`       ELSEWHERE: a route that is silent is not asked again
    first token  `UpstreamTimeout`       the same; the gateway's own, where another candidate is there
    idle         `UpstreamTimeout`       the same; once content has gone out, only a continuation helps
    total        `UpstreamTimeout`       the same, as far as the deadline leaves time

Whether a failed attempt may be billed is the error's own `may_be_billed`.

What a client can bring about (a model's limits, its words, a field that one model lacks) blames no provider, or one
client could open a breaker for all.

Codes: https://platform.openai.com/docs/guides/error-codes (2026-08-21),
https://openrouter.ai/docs/api-reference/errors-and-debugging (2026-08-22).
"""

import re
from enum import StrEnum
from typing import Final

from common.model.errors import (
    ModelUnavailable,
    SluiceError,
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)


class Recourse(StrEnum):
    """Where to turn to."""

    HERE = "here"  # to the same candidate, in a moment; where that does not help, elsewhere
    ELSEWHERE = "elsewhere"  # to another candidate at once
    ANOTHER_MODEL = "another_model"  # to another candidate: this one cannot do what is asked, and is sound
    LARGER_CONTEXT = "larger_context"  # to candidates with a larger context alone
    CONTENT_FILTER = "content_filter"  # to the list that the operator has for it, and to nobody else
    NOWHERE = "nowhere"  # it would go the same way anywhere

    @property
    def blames_provider(self) -> bool:
        """Whether the failure tells that the provider is unwell."""
        return self is Recourse.HERE or self is Recourse.ELSEWHERE


_BY_CODE: Final = {
    **dict.fromkeys(("context_length_exceeded", "token_limit_exceeded"), Recourse.LARGER_CONTEXT),
    **dict.fromkeys(("content_policy_violation", "content_filter", "refusal"), Recourse.CONTENT_FILTER),
    "model_not_found": Recourse.ELSEWHERE,  # its list of models is at fault, for every request
    **dict.fromkeys(
        ("unsupported_parameter", "unsupported_value", "max_tokens_exceeded"), Recourse.ANOTHER_MODEL
    ),
    "image_not_found": Recourse.NOWHERE,
}
_BY_STATUS: Final = {
    404: Recourse.ANOTHER_MODEL,  # whatever it is, another provider may have it
    405: Recourse.ANOTHER_MODEL,
    409: Recourse.HERE,  # the official clients try that again, too
    410: Recourse.ANOTHER_MODEL,
    413: Recourse.ANOTHER_MODEL,  # a bound of the provider, or of its plan: Groq's tokens per minute
    425: Recourse.HERE,
}
# servers without such codes: vLLM, llama.cpp, Mistral, Gemini, Anthropic
_TOO_LONG: Final = re.compile(
    r"(?:maximum|available|model'?s) context (?:length|size|window)"
    r"|exceeds? the (?:model'?s |maximum )?context"
    r"|prompt is too long"
    r"|input token count .{0,40}exceeds",
    re.IGNORECASE,
)


def recourse(error: SluiceError) -> Recourse:
    """What may help where an attempt has ended so, before any content has reached the client."""
    match error:
        case UpstreamRejected():
            return _of_rejection(error)
        case UpstreamRefused() | UpstreamFailed(code="provider_redirected"):
            # another attempt changes nothing
            return Recourse.ELSEWHERE
        case UpstreamRateLimited() | UpstreamUnreachable() | UpstreamBroken():
            return Recourse.HERE
        case UpstreamTimeout() | UpstreamError() | ModelUnavailable():
            return Recourse.ELSEWHERE
        case _:
            return Recourse.NOWHERE


def _of_rejection(error: UpstreamRejected) -> Recourse:
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.status in {400, 413, 422} and _TOO_LONG.search(error.message):
        return Recourse.LARGER_CONTEXT
    return _BY_STATUS.get(error.status, Recourse.NOWHERE)
