"""Providers whose HTTP is right and whose answers are not: what the client sees, and what is booked.

In every row the provider is asked once, and the next request is answered well.
"""

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from common.model.usage import Outcome
from tests.support import adversary_words as words
from tests.support.adversary import EVENTS, Script
from tests.support.answers import USAGE, chunk
from tests.support.ordeal import Seen, ordeal
from tests.support.scripted import REQUEST, scripted

SOUND: Final = Seen(200, text="Hello.", reused=True)
GUESSED: Final = replace(SOUND, estimated=True)
BROKEN: Final = Seen(502, "provider_error", outcome=Outcome.UPSTREAM, estimated=True, reused=True)
SILENT: Final = replace(BROKEN, status=504, code="provider_timeout")
CUT: Final = replace(BROKEN, status=200, text="Hel")
FAILED: Final = replace(BROKEN, estimated=False, costs=False)  # the provider says so itself
BUSY: Final = replace(FAILED, status=429, code="rate_limit_exceeded")
REJECTED: Final = replace(FAILED, status=400, code=None, outcome=Outcome.CLIENT)
LEFT: Final = replace(BROKEN, reused=False)  # behind an error event nothing is waited for

OPENAI_BUSY: Final = {"message": "Slow.", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}
ROUTER_BUSY: Final = {"code": 429, "message": "Slow.", "metadata": {"error_type": "rate_limit_exceeded"}}
ENDED_SO: Final = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
BAD_EVENTS: Final = (
    b'data: {"choices":[{"delta":{"content":"\n\n',
    b"data: what?\n\n",
    b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n',
    b'data: {"choices":[{"index":0,"finish_reason":"stop"}]]}\n\n',
    b"event: ping\ndata: {\n\n",
)


def both(seen: Seen) -> tuple[Seen, Seen]:
    """The same, streamed or not."""
    return seen, seen


STREAMS: Final[dict[str, tuple[Script, Seen]]] = {
    "error as the first event": (words.streams(b'data: {"error":{"code":500}}\n\n'), FAILED),
    "error as the first event, OpenAI": (
        words.streams(b"data: " + json.dumps({"error": OPENAI_BUSY}).encode() + b"\n\n"),
        BUSY,
    ),
    "error midway, OpenAI": (
        words.breaks_with({"error": OPENAI_BUSY}),
        replace(CUT, code="rate_limit_exceeded"),
    ),
    "error midway, OpenRouter": (
        words.breaks_with({"id": "gen-1", "error": ROUTER_BUSY, "choices": [ENDED_SO]}),
        replace(CUT, code="rate_limit_exceeded"),
    ),
    "error midway, in a choice": (
        words.breaks_with({"choices": [{**ENDED_SO, "error": {"code": 502, "message": "Gone."}}]}),
        CUT,
    ),
    "error midway, without one": (words.breaks_with({"choices": [ENDED_SO]}), CUT),
    "malformed events within": (words.with_events(*BAD_EVENTS), SOUND),
    "comments and other fields": (
        words.with_events(b": OPENROUTER PROCESSING\n\n", b"event: ping\n\n", b"id: 1\nretry: 5\n\n"),
        SOUND,
    ),
    "CRLF": (words.writes(b"\n", b"\r\n"), SOUND),
    "CR": (words.writes(b"\n", b"\r"), SOUND),
    "no space": (words.writes(b"data: ", b"data:"), SOUND),
    "byte order mark": (words.streams(b"\xef\xbb\xbf" + b"".join(EVENTS)), SOUND),
    "several events in one read": (words.streams(b"".join(EVENTS)), SOUND),
    "one event in many": (words.streams(*words.cut(b"".join(EVENTS), 7)), SOUND),
    "no [DONE]": (words.without(5), SOUND),
    "no [DONE], no usage": (words.without(4, 5), GUESSED),
    "no usage": (words.without(4), GUESSED),
    "no reason of the end": (words.without(3), replace(CUT, text="Hello.", estimated=False)),
    "reason of an end in other places": (
        words.streams(
            *EVENTS[:2], chunk({"finish_reason": "stop"}, metadata={"finish_reason": "stop"}), EVENTS[-1]
        ),
        CUT,
    ),
    "more behind the end": (words.streams(*EVENTS, chunk({"content": "Poison."}), EVENTS[-1]), SOUND),
    "[DONE] alone": (words.streams(EVENTS[-1]), BROKEN),
    "nothing": (words.streams(), BROKEN),
    "padding": (words.pads, CUT),
}


@pytest.mark.parametrize(("script", "seen"), STREAMS.values(), ids=STREAMS)
async def test_stream(script: Script, seen: Seen) -> None:
    """A stream is passed on as far as it is sound, and never looks whole where it is not."""
    came = await ordeal(script, streamed=True)
    # behind an error event nothing is waited for: whether the connection can go on is chance
    assert replace(came, reused=True) == seen


ANSWERS: Final[dict[str, tuple[Script, Seen, Seen]]] = {
    "HTML": (words.says(words.PAGE, kind="text/html"), *both(BROKEN)),
    "HTML, called JSON": (words.says(words.PAGE), *both(BROKEN)),
    "empty": (words.says(b""), *both(BROKEN)),
    "no JSON": (words.says(b'{"choices":['), *both(BROKEN)),
    "no UTF-8": (words.says(b'{"choices":[],"x":"\xff"}'), BROKEN, BROKEN),
    "other JSON": (words.says(b'["Hello."]'), *both(BROKEN)),
    "error with a status of 200": (words.fails("200 OK", {"code": 500, "message": "No."}), *both(FAILED)),
    "rejection with a status of 200": (
        words.fails("200 OK", {"code": "context_length_exceeded", "message": "Long."}),
        *both(replace(REJECTED, code="context_length_exceeded")),
    ),
    "error beside a part of a choice": (
        words.says(
            b'{"choices":[{"message":{"content":"Hel"},"error":{"code":502},"finish_reason":"error"}]}'
        ),
        *both(BROKEN),
    ),
    "called plain text": (words.as_plain_text, *both(SOUND)),
    "called nothing": (words.without_a_type, *both(SOUND)),
    "odd headers": (words.with_odd_headers, *both(SOUND)),
    "204": (words.says(b"", "204 No Content"), *both(BROKEN)),
    "304": (words.says(b"", "304 Not Modified"), *both(replace(FAILED, code="provider_redirected"))),
    "206": (words.says(b'{"choices":', "206 Partial Content"), *both(BROKEN)),
    **{f"usage {usage}": (words.uses(usage), *both(GUESSED)) for usage in words.LIES},
    **{
        f"{status} without a word": (words.says(words.PAGE, f"{status} Oops", kind="text/html"), *both(seen))
        for status, seen in {
            400: REJECTED,
            401: replace(FAILED, code="provider_refused"),
            402: replace(FAILED, code="provider_out_of_credit"),
            404: replace(REJECTED, status=404),
            413: replace(REJECTED, status=413),
            429: replace(BUSY, code="provider_rate_limited"),
            500: BROKEN,
            502: BROKEN,
            503: BROKEN,
            504: SILENT,
            524: SILENT,
        }.items()
    },
    **{
        f"{status} {error['code']}": (words.fails(f"{status} Oops", error), *both(seen))
        for status, error, seen in (
            (400, {"code": "context_length_exceeded"}, replace(REJECTED, code="context_length_exceeded")),
            (401, {"code": "invalid_api_key"}, replace(FAILED, code="provider_refused")),
            (404, {"code": "model_not_found"}, replace(REJECTED, status=404, code="model_not_found")),
            (422, {"code": None}, replace(REJECTED, status=422)),
            (429, OPENAI_BUSY, BUSY),
            (429, {"code": "insufficient_quota"}, replace(FAILED, code="provider_out_of_credit")),
            (429, ROUTER_BUSY, BUSY),
            (500, {"code": "server_error"}, FAILED),
            (503, {"code": 503}, FAILED),
            (529, {"code": "overloaded_error"}, FAILED),
            (599, {"code": None}, FAILED),
        )
    },
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("script", "stream", "whole"), ANSWERS.values(), ids=ANSWERS)
async def test_answer(script: Script, stream: Seen, whole: Seen, *, streamed: bool) -> None:
    """An answer that is none is an error of ours with the provider's meaning, and is booked if it may be billed."""
    assert await ordeal(script, streamed=streamed) == (stream if streamed else whole)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_single_bytes(*, streamed: bool) -> None:
    """Characters that come in two reads arrive whole."""
    seen = await ordeal(words.in_single_bytes, streamed=streamed)
    assert replace(seen, text="Hello.") == SOUND
    assert seen.text == "H\u00e9\U0001f600lo."


DATES: Final = "date: Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((), None),
        (("retry-after: 7",), "7"),
        (("retry-after: Wed, 21 Oct 2026 07:28:20 GMT", DATES), "20"),
        (("retry-after: 99999999999999999999",), "3600"),
        (("retry-after: -1",), None),
        (("retry-after: soon",), None),
    ],
    ids=["none", "seconds", "date", "absurd", "negative", "words"],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after(status: int, lines: tuple[str, ...], told: str | None) -> None:
    """When to come back is passed on where it makes sense, and never more than an hour."""
    async with scripted(words.fails(f"{status} Busy", OPENAI_BUSY, *lines)) as gateway:
        answer = await gateway.chat(REQUEST)
    assert answer.header("retry-after") == told


PRIVATE: Final = (
    "org-AbCdEfGhIjKlMnOp",
    "proj_AbCdEfGhIjKlMnOp",
    "sk-proj-abcd****wxyz",
    "llm.internal",
    "10.1.2.3",
)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    "status", ["200 OK", "400 Bad Request", "403 Forbidden", "429 Busy", "500 Oops", "503 Oops"]
)
async def test_account_of_the_operator_is_not_told(status: str, *, streamed: bool) -> None:
    """LLM02: ids, keys and addresses of the operator's account are in no error, wherever the provider puts them."""
    said = " ".join(PRIVATE)
    error: dict[str, Any] = {"message": said, "code": PRIVATE[0], "param": PRIVATE[1]}
    error["metadata"] = {"reasons": [PRIVATE[2]], "raw": said, "provider_name": said}
    async with scripted(words.fails(status, error)) as gateway:
        answer = await gateway.chat({**REQUEST, "stream": streamed})
        await gateway.lines()
    told = answer.body.decode() + str(answer.headers) + "".join([*gateway.log.json, *gateway.log.plain])
    assert not [private for private in PRIVATE if private in told]


async def test_usage_that_was_true() -> None:
    """The table's usage is one that is believed."""
    assert await ordeal(words.uses(USAGE), streamed=True) == SOUND
