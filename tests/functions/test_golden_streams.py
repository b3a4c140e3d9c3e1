"""Streams as providers send them, through a whole gateway: the exact bytes that a client gets, and what is booked.

The files are those of `unit/providers/`; each is asked for with the maximum of tokens that it does use.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from common.model.usage import Outcome
from tests.support.ordeal import settled
from tests.support.scripted import REQUEST, scripted, streaming

FOLDER: Final = Path(__file__).parents[1] / "unit/providers/streams"
STREAMS: Final = sorted(path.stem for path in FOLDER.glob("*.sse") if not path.stem.endswith("_error"))


def read(name: str) -> bytes:
    """A stream; an editor may have taken the empty line at its end."""
    return (FOLDER / f"{name}.sse").read_bytes().rstrip(b"\n") + b"\n\n"


def last_usage(stream: bytes) -> Any:
    """What the provider says that it used."""
    payloads = [event[len(b"data: ") :] for event in stream.split(b"\n\n") if event.startswith(b"data: {")]
    usages = [json.loads(payload).get("usage") for payload in payloads]
    return next((usage for usage in reversed(usages) if usage), None)


@pytest.mark.parametrize("cut", ["by events", "at once", "by 50 bytes"])
@pytest.mark.parametrize("name", STREAMS)
async def test_stream(name: str, cut: str) -> None:
    """Nothing in a stream is lost or changed but the usage that nobody asked for, which is believed and booked."""
    came = read(name)
    usage = last_usage(came)
    match cut:
        case "by events":
            pieces = [event + b"\n\n" for event in came.split(b"\n\n")[:-1]]
        case "at once":
            pieces = [came]
        case _:
            pieces = [came[start : start + 50] for start in range(0, len(came), 50)]
    asked = [{"role": "user", "content": "x" * 2_000}]  # that many tokens of a prompt can be true
    body = {**REQUEST, "messages": asked, "stream": True, "n": 2 if name == "two_choices" else 1}
    if usage:
        body["max_tokens"] = usage["completion_tokens"]
    async with scripted(streaming(pieces)) as gateway:
        answer = await gateway.chat(body)
        (record,) = await settled(gateway, 1)
    assert answer.body == read(f"hidden/{name}")
    assert (record.outcome, record.estimated) == (Outcome.OK, usage is None)
    if usage:
        assert record.tokens.total == usage["prompt_tokens"] + usage["completion_tokens"]
