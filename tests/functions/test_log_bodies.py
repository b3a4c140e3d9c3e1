"""`[server] log_bodies`: bodies in the log, over sockets, and never a key in them."""

import json
from typing import Any, Final

import pytest

from common.http.app import Edge
from common.model.principal import Permission
from tests.support.answers import completion
from tests.support.origin import Exchange
from tests.support.scripted import (
    CHAT,
    PROVIDER_KEY,
    REQUEST,
    ScriptedGateway,
    answering,
    scripted,
    streaming,
)

ALL: Final = 'log_bodies = "all"'
ERRORS: Final = 'log_bodies = "errors"'


async def bodies(gateway: ScriptedGateway, count: int) -> list[Any]:
    """The entries of bodies, once the log has `count` entries; each follows its request's."""
    lines = await gateway.lines(count)
    found = [line for line in lines if line["logger"] == "sluice.bodies"]
    for body in found:
        before = lines[lines.index(body) - 1]
        assert (before["logger"], before["request_id"]) == ("sluice.request", body["request_id"])
    return found


def chunk(text: str, finish: str | None = None) -> bytes:
    """A piece of a streamed answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return (
        b"data: "
        + json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [choice]}).encode()
        + b"\n\n"
    )


async def test_off() -> None:
    """Without it, no body is logged, and nothing stands around the application."""
    async with scripted() as gateway:
        assert isinstance(gateway.held.app(), Edge)
        await gateway.chat(REQUEST)
        await gateway.chat(b"{")
        assert await bodies(gateway, 2) == []


async def test_all() -> None:
    """Request and answer are there as they were, once, behind the line of the request, with its id."""
    async with scripted(server=ALL) as gateway:
        answer = await gateway.chat(REQUEST)
        [entry] = await bodies(gateway, 2)
    assert entry["request_id"] == answer.header("x-request-id")
    assert json.loads(entry["request_body"]) == json.loads(json.dumps(dict(REQUEST)))
    assert entry["answer_body"].encode() == answer.body
    assert entry["answer_bytes"] == len(answer.body)


async def test_errors() -> None:
    """With `errors`, those of requests that failed, whoever failed; not of those that ended well."""

    async def script(exchange: Exchange) -> None:
        if b"fail" in exchange.asked.body:
            await exchange.answer(b'{"error":{"message":"no"}}', "500 Oh", "content-type: application/json")
        else:
            await answering(completion())(exchange)

    async with scripted(script, server=ERRORS) as gateway:
        await gateway.chat(REQUEST)
        await gateway.send("GET", "/health")
        await gateway.chat(b'{"model": 1}')
        await gateway.chat({**REQUEST, "user": "fail"})
        found = await bodies(gateway, 6)
    assert [each["request_body"][:12] for each in found] == ['{"model": 1}', '{"model": "h']
    assert all('"error"' in each["answer_body"] for each in found)


async def test_stream() -> None:
    """A stream is logged as the text that it carried; a key that came in pieces is put together, and hidden."""
    pieces = ["Use ", PROVIDER_KEY[:9], PROVIDER_KEY[9:], ", or sk-", "or-v1-", "0123456789"]
    stream = streaming([*map(chunk, pieces), chunk(".", "stop"), b"data: [DONE]\n\n"])
    async with scripted(stream, server=ALL) as gateway:
        answer = await gateway.chat({**REQUEST, "stream": True})
        [entry] = await bodies(gateway, 2)
        assert PROVIDER_KEY[9:] in answer.body.decode()
        assert entry["answer_body"] == "0.content: Use [hidden], or [hidden]."
        assert entry["answer_bytes"] == len(answer.body)
        assert all(PROVIDER_KEY not in line for line in (*gateway.log.json, *gateway.log.plain))


@pytest.mark.parametrize(
    "spelled",
    [
        PROVIDER_KEY,
        "".join(f"\\u{ord(each):04x}" for each in PROVIDER_KEY),
        PROVIDER_KEY.replace("-", "\\\\u002d"),
    ],
    ids=["plain", "codes", "JSON in JSON"],
)
async def test_keys_in_requests(spelled: str) -> None:
    """A request that holds keys is logged without them, wherever they are, and however they are spelled."""
    body = json.dumps(dict(REQUEST))[:-1] + f', "metadata": {{"a": "{spelled}", "password": "hunter2"}}}}'
    async with scripted(server=ALL) as gateway:
        assert (await gateway.chat(body.encode(), "x-api-key: zzzzzz")).status == 200
        [entry] = await bodies(gateway, 2)
    assert '"metadata": {"a": "[hidden]", "password": [hidden]}' in entry["request_body"]


async def test_new_keys() -> None:
    """A key that is told to its owner, this once, is not told to the log."""
    async with scripted(server=ALL, permissions=frozenset({Permission.KEYS_WRITE})) as gateway:
        answer = await gateway.send("POST", "/v1/keys", gateway.bearer, body=b"{}")
        [entry] = await bodies(gateway, 2)
        assert answer.json["key"].startswith("sk-sluice-")
        assert '"key":"[hidden]"' in entry["answer_body"]
        assert answer.json["key"] not in "".join((*gateway.log.json, *gateway.log.plain))


async def test_long_bodies() -> None:
    """However long a body is, its entry is bounded; its size is told."""
    async with scripted(server=ALL) as gateway:
        await gateway.chat({**REQUEST, "user": "\u202e" * 300_000})
        [entry] = await bodies(gateway, 2)
        assert len(entry["request_body"]) == 8_192
        assert entry["request_bytes"] > 900_000
        assert max(map(len, gateway.log.json)) < 120_000


async def test_answer_to_head() -> None:
    """A request whose body nobody reads, and an answer without one, are entries too."""
    async with scripted(server=ALL) as gateway:
        await gateway.send("HEAD", CHAT, gateway.bearer)
        [entry] = await bodies(gateway, 2)
    assert (entry["request_body"], entry["answer_body"]) == ("", "")
