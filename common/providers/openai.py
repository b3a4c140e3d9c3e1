"""OpenAI's chat protocol as providers speak it: what to make of answers in one piece. Pure.

What its errors mean is in `openai_errors.py`, streams are in `openai_stream.py`; `openai_codec.py` puts all together.
Source: https://platform.openai.com/docs/api-reference/chat (2026-08-21).
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from common.model.errors import UpstreamBroken
from common.providers.codec import Answer
from common.providers.openai_errors import stated_error
from common.providers.openai_usage import content_bytes

_MAX_ID: Final = 128
_loads: Final = json.JSONDecoder().decode  # of text: `json.loads` takes bytes of other encodings, too


def refuse_compressed(headers: Mapping[str, str]) -> None:
    """Nobody asked for it, and no bound would hold for what came out of it: `UpstreamBroken`."""
    coding = headers.get("content-encoding")
    if coding and coding.lower() != "identity":
        raise UpstreamBroken("The provider's answer is compressed, which nobody asked for.")


def read_answer(body: bytes) -> Answer:
    """Look into a whole answer. Raises what is wrong with one that is none, whatever its status said.

    OpenRouter puts an error that came in the middle beside what there was of the choice: that part may be billed.
    """
    try:
        answer = _loads(body.decode())
    except (ValueError, RecursionError):
        raise UpstreamBroken("The provider's answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UpstreamBroken("The provider's answer is not a completion.")
    if answer.get("error"):
        raise stated_error(answer["error"])
    if not isinstance(answer.get("choices"), list):
        raise UpstreamBroken("The provider's answer is not a completion.")
    if broken := choice_error(answer["choices"]):
        error = stated_error(broken)
        error.may_be_billed = True
        raise error
    return Answer(
        provider_request_id(answer.get("id")), answer.get("usage"), content_bytes(answer["choices"])
    )


def choice_error(choices: Any) -> Any:
    """The first `error` that stands in a choice, where OpenRouter may put it; None where there is none."""
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (error := choice.get("error")):
            return error
    return None


def provider_request_id(value: Any) -> str | None:
    """The provider's own id of what it generates, if it can be one. OpenRouter tells it in a header, too."""
    if isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isascii() and value.isprintable():
        return value
    return None
