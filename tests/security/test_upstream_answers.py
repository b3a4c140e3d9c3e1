"""What a provider says is not trusted: API7, API10, LLM02 and LLM05, as far as HTTP is concerned."""

import json
from typing import Final

import pytest

from tests.support.answers import completion, stream
from tests.support.origin import Exchange, origin
from tests.support.scripted import PROVIDER_KEY, REQUEST, answering, scripted, streaming

HEADERS: Final = (
    "set-cookie: session=theirs",
    "server: theirs/1.0",
    "x-powered-by: theirs",
    "access-control-allow-origin: *",
    "access-control-allow-credentials: true",
    "location: http://evil.example",
    "refresh: 0; url=http://evil.example",
    "content-security-policy: default-src *",
    "openai-organization: org-of-the-operator",
    "x-request-id: theirs",
)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """API7: a redirect takes neither the request nor the provider's key anywhere; the client gets a 502."""

    async def take(exchange: Exchange) -> None:
        await exchange.answer(completion("taken"))

    async with origin(take) as evil:
        script = answering(b"", f"{status} Elsewhere", f"location: {evil.url}/v1/chat/completions")
        async with scripted(script) as gateway:
            for asked in (REQUEST, {**REQUEST, "stream": True}):
                answer = await gateway.chat(asked)
                assert answer.status == 502
                assert answer.header("location") is None
                assert evil.url not in answer.body.decode()
        assert evil.exchanges == []


async def test_headers_of_the_provider_stay_there() -> None:
    """LLM05: no header of the provider's reaches the client, but for the body's type."""
    async with scripted(answering(completion(), "200 OK", *HEADERS)) as gateway:
        answer = await gateway.chat(REQUEST)
    assert answer.status == 200
    assert not [value for _, value in answer.headers if "theirs" in value or "evil" in value]
    names = {name for name, _ in answer.headers}
    assert names.isdisjoint({"set-cookie", "x-powered-by", "location", "refresh", "openai-organization"})
    assert not [name for name in names if name.startswith("access-control-")]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error"])
async def test_pages_of_the_provider_stay_there(status: str) -> None:
    """LLM05: HTML in place of an answer never reaches the client, whatever its status says."""
    page = b"<html><script>alert(1)</script></html>"

    async def script(exchange: Exchange) -> None:
        await exchange.answer(page, status, "content-type: text/html")

    async with scripted(script) as gateway:
        for asked in (REQUEST, {**REQUEST, "stream": True}):
            answer = await gateway.chat(asked)
            assert answer.status in {404, 502}
            assert answer.header("content-type") == "application/json"
            assert b"<script>" not in answer.body


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "500 Oops"]
)
async def test_key_and_address_of_the_provider_are_not_told(status: str) -> None:
    """LLM02: a provider that repeats the operator's key or where it is does so to nobody, and not to the log."""

    async def script(exchange: Exchange) -> None:
        host = exchange.asked.values("host")[0]
        message = f"key {PROVIDER_KEY} at http://{host}/one and {host} is bad"
        await exchange.answer(json.dumps({"error": {"message": message}}).encode(), status)

    async with scripted(script) as gateway:
        answer = await gateway.chat(REQUEST)
        await gateway.lines()
        told = answer.body.decode() + "".join([*gateway.log.json, *gateway.log.plain])
        assert PROVIDER_KEY not in told
        assert gateway.provider.url.removeprefix("http://") not in told


async def test_key_of_the_provider_in_a_stream() -> None:
    """LLM02: not by an error within a stream either."""
    error = {"error": {"message": f"key {PROVIDER_KEY} is bad", "code": 500}, "choices": []}
    events = [*stream("Hel")[:2], b"data: " + json.dumps(error).encode() + b"\n\n"]
    async with scripted(streaming(events)) as gateway:
        answer = await gateway.chat({**REQUEST, "stream": True})
    assert b'"error"' in answer.body
    assert PROVIDER_KEY.encode() not in answer.body


@pytest.mark.parametrize(
    "code", ["a\r\nset-cookie: x=1", "\x1b[31m", "\u202e", "\ud800", "x" * 5_000, {"a": 1}, 5, None]
)
async def test_words_of_the_provider_do_not_reach_headers_or_lines(code: object) -> None:
    """LLM05: what a provider calls its error is text in a body, and fit for a line of log."""
    body = json.dumps({"error": {"message": "no", "code": code, "param": code}}).encode()
    async with scripted(answering(body, "400 Bad Request")) as gateway:
        answer = await gateway.chat(REQUEST)
        await gateway.lines()
    assert answer.status == 400
    assert answer.header("set-cookie") is None
    assert all(value.isascii() and value.isprintable() for _, value in answer.headers)
    assert all(line.isprintable() for line in [*gateway.log.json, *gateway.log.plain])
