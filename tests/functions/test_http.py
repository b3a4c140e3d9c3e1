"""HTTP manners over real sockets: headers, methods, origins, bodies, what another function serves, the log."""

import asyncio
import json
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import pytest

from common.http.patience import Patience
from common.model.errors import StorageUnavailable
from common.model.limits import Limit
from common.model.principal import Permission
from tests.support.answers import completion, stream
from tests.support.gateway import UNKNOWN_KEY
from tests.support.origin import Exchange
from tests.support.scripted import (
    ASK,
    CHAT,
    PROVIDER_KEY,
    REQUEST,
    ScriptedGateway,
    answering,
    scripted,
    streaming,
)
from tests.support.wire import Answer, connected, request

STREAMED: Final = {**REQUEST, "stream": True}
APP: Final = "https://app.example.com"
CORS: Final = f'cors_origins = ["{APP}"]'

# -- headers -----------------------------------------------------------------------------------------------------------

ALWAYS: Final = {
    "cache-control": "private, no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "server": "",
    "vary": "authorization",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "strict-transport-security": None,
    "access-control-allow-origin": None,
    "x-powered-by": None,
}
Ask = Callable[[ScriptedGateway], Awaitable[Answer]]

ANSWERS: Final[Mapping[str, tuple[int, Ask]]] = {
    "health": (200, lambda g: g.send("GET", "/health")),
    "models": (200, lambda g: g.send("GET", "/v1/models", g.bearer)),
    "whole": (200, lambda g: g.chat(REQUEST)),
    "no key": (401, lambda g: g.send("GET", "/v1/models")),
    "unknown key": (401, lambda g: g.send("POST", CHAT, f"authorization: Bearer {UNKNOWN_KEY}", body=b"{}")),
    "bad JSON": (400, lambda g: g.chat(b"{")),
    "unknown model": (404, lambda g: g.chat({**REQUEST, "model": "x"})),
    "unknown path": (404, lambda g: g.send("GET", "/nothing")),
    "wrong method": (405, lambda g: g.send("DELETE", CHAT)),
    "options": (204, lambda g: g.send("OPTIONS", CHAT)),
    "too large": (413, lambda g: g.chat(b" " * 2_000)),
    "form": (415, lambda g: g.chat(b"a=b", "content-type: application/x-www-form-urlencoded")),
    "twice": (400, lambda g: g.send("GET", "/health", "host: other")),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_on_every_answer(name: str) -> None:
    """The security headers, no caching, no server's name, our id and the time it took: whatever the answer is."""
    status, ask = ANSWERS[name]
    async with scripted(server="max_body_bytes = 1_024") as gateway:
        answer = await ask(gateway)
    assert answer.status == status
    assert {header: answer.header(header) for header in ALWAYS} == ALWAYS
    assert (answer.header("x-request-id") or "").startswith("req_")
    assert (answer.header("openai-processing-ms") or "").isdecimal()
    if status >= 400:
        assert answer.header("content-type") == "application/json"
        assert answer.error.keys() == {"message", "type", "param", "code"}


async def test_on_streams() -> None:
    """A stream has them too, and what it needs of its own."""
    async with scripted(streaming(stream("Hello"))) as gateway:
        answer = await gateway.chat(STREAMED)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert {header: answer.header(header) for header in ALWAYS} == ALWAYS
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert (answer.header("x-request-id") or "").startswith("req_")


async def test_on_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that nobody foresaw has them too, tells nothing of itself, and is logged once, by the request's id."""

    async def fail(_: Any) -> None:
        raise ZeroDivisionError(f"in {PROVIDER_KEY}")

    async with scripted() as gateway:
        monkeypatch.setattr(gateway.held.meter, "admit", fail)
        answer = await gateway.chat(REQUEST)
        failure, line = await gateway.lines(2)
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert {header: answer.header(header) for header in ALWAYS} == ALWAYS
    assert b"ZeroDivision" not in answer.body
    assert failure["message"] == f"request {answer.header('x-request-id')} failed"
    assert failure["traceback"][-1] == "ZeroDivisionError: in [hidden]"
    assert (line["status"], line["outcome"], line["error"]) == (500, "gateway", "internal_error")


async def test_https() -> None:
    """Behind a proxy that ends TLS, browsers are told to stay with https."""
    async with scripted() as gateway:
        answer = await gateway.send("GET", "/health", "x-forwarded-proto: https")
    assert answer.header("strict-transport-security") == "max-age=31536000"


# -- methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/nothing"])
async def test_head(path: str) -> None:
    """HEAD is GET without its body: the same status and headers, the length among them; the connection goes on."""
    async with scripted() as gateway, connected(gateway.url) as wire:
        answers = []
        for method in ("GET", "HEAD", "GET"):
            await wire.send(request(method, path, gateway.bearer))
            answers.append(await wire.answer(to_head=method == "HEAD"))
    names = ("content-type", "content-length", "cache-control", "allow")
    for one, other in pairwise(answers):
        assert one.status == other.status
        assert [one.header(name) for name in names] == [other.header(name) for name in names]
    assert answers[1].body == b""


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("GET", CHAT, "OPTIONS, POST"),
        ("HEAD", CHAT, "OPTIONS, POST"),
        ("TRACE", CHAT, "OPTIONS, POST"),
        ("BREW", CHAT, "OPTIONS, POST"),
    ],
)
async def test_wrong_method(method: str, path: str, allowed: str) -> None:
    """405 tells what the path takes, before any key is asked for."""
    async with scripted() as gateway:
        answer = await gateway.send(method, path)
    assert (answer.status, answer.header("allow")) == (405, allowed)


async def test_options() -> None:
    """OPTIONS of a path tells what it takes; of no path is a 404."""
    async with scripted() as gateway:
        answer = await gateway.send("OPTIONS", "/health")
        nowhere = await gateway.send("OPTIONS", "/nothing")
    assert (answer.status, answer.header("allow"), answer.body) == (204, "GET, HEAD, OPTIONS", b"")
    assert nowhere.status == 404


# -- origins -----------------------------------------------------------------------------------------------------------


async def test_scripts_of_a_configured_origin() -> None:
    """A browser's two steps: the preflight grants method and headers, the answer may be read; errors too."""
    async with scripted(server=CORS) as gateway:
        asked = "authorization,content-type,x-stainless-lang"
        preflight = await gateway.send(
            "OPTIONS",
            CHAT,
            f"origin: {APP}",
            "access-control-request-method: POST",
            f"access-control-request-headers: {asked}",
        )
        answer = await gateway.chat(REQUEST, f"origin: {APP}")
        refused = await gateway.send("POST", CHAT, f"origin: {APP}")
    assert (preflight.status, preflight.header("access-control-allow-origin")) == (204, APP)
    assert preflight.header("access-control-allow-methods") == "OPTIONS, POST"
    assert preflight.header("access-control-allow-headers") == asked
    for each in (answer, refused):
        assert each.header("access-control-allow-origin") == APP
        assert each.header("access-control-expose-headers") == "*"
        assert each.header("access-control-allow-credentials") is None
        assert each.header("vary") == "authorization, origin"
    assert (answer.status, refused.status) == (200, 401)


@pytest.mark.parametrize("server", ["", CORS], ids=["none is configured", "another is configured"])
async def test_scripts_of_a_foreign_origin(server: str) -> None:
    """A foreign origin is granted nothing, neither before nor after."""
    async with scripted(server=server) as gateway:
        origin = "origin: https://evil.example"
        preflight = await gateway.send("OPTIONS", CHAT, origin, "access-control-request-method: POST")
        answer = await gateway.chat(REQUEST, origin)
    assert (preflight.status, answer.status) == (204, 200)
    for each in (preflight, answer):
        assert not [name for name, _ in each.headers if name.startswith("access-control-")]


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/json",
        "application/vnd.api+json",
    ],
)
async def test_types_of_json(kind: str | None) -> None:
    """JSON under any of its names, or under none, is read."""
    async with scripted() as gateway:
        answer = await gateway.chat(REQUEST, *([] if kind is None else [f"content-type: {kind}"]))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("multipart/form-data; boundary=x", "multipart/form-data; boundary=x"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("text/plain", "text/plain"),
        ("", ""),
        ("text/html\xe9", "text/html"),
    ],
    ids=["multipart", "form", "text", "empty", "not ASCII"],
)
async def test_other_types(kind: str, named: str) -> None:
    """What is said to be something else is refused by its name, and says what to send."""
    async with scripted() as gateway:
        answer = await gateway.chat(REQUEST, f"content-type: {kind}")
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
    assert answer.error["message"] == f"Send the body as application/json, not as {named}."


async def test_type_is_looked_at_behind_the_key() -> None:
    """Who has no key is told so, whatever the body is."""
    async with scripted() as gateway:
        answer = await gateway.send("POST", CHAT, "content-type: multipart/form-data", body=b"x")
    assert answer.status == 401


async def test_slow_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in time is not waited for: 408, and the connection is closed."""
    monkeypatch.setattr(Patience, "limit_s", 0.05)
    async with scripted() as gateway, connected(gateway.url) as wire:
        await wire.send(request("POST", CHAT, gateway.bearer, "content-length: 100"), b"{")
        answer = await wire.answer()
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")
        assert await wire.is_closed()
        [line] = await gateway.lines()
    assert (line["outcome"], line["error"]) == ("client", "request_timeout")


async def test_body_in_pieces() -> None:
    """A body that comes in pieces, by length or in chunks, is the same body; its time is not the gateway's own."""
    body = json.dumps(dict(REQUEST)).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    async with scripted() as gateway, connected(gateway.url) as wire:
        await wire.send(request("POST", CHAT, gateway.bearer, f"content-length: {len(body)}"))
        await asyncio.sleep(0.03)
        await wire.send(body[:10])
        await asyncio.sleep(0.03)
        await wire.send(body[10:])
        assert (await wire.answer()).status == 200
        await wire.send(request("POST", CHAT, gateway.bearer, "transfer-encoding: chunked"), chunks)
        assert (await wire.answer()).status == 200
        slow, _ = await gateway.lines(2)
        assert [exchange.asked.body for exchange in gateway.provider.exchanges] == [
            body.replace(b'"hello"', b'"upstream-hello"')
        ] * 2
    assert slow["total_ms"] - slow["gateway_ms"] > 50


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"model":"hello"',
        b'{"model":"hello","model":"x"}',
        b'{"n":1,"\\u006e":2}',
        b'{"temperature":NaN}',
        b'{"temperature":-Infinity}',
        b'{"seed":' + b"9" * 5_000 + b"}",
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"model":"\xe9"}',
        b'{"model":"\xed\xa0\x80"}',
        b'{"model":"a\nb"}',
        b'{"model":"a\x00b"}',
        zlib.compress(b"{}"),
    ],
    ids=[
        *(
            "empty",
            "null",
            "array",
            "open",
            "cut",
            "duplicate",
            "escaped duplicate",
            "not a number",
            "infinite",
        ),
        *("long number", "deep arrays", "deep objects", "UTF-16", "byte order mark", "Latin-1"),
        *("encoded surrogate", "raw line end", "raw NUL", "compressed"),
    ],
)
async def test_not_json(body: bytes) -> None:
    """What is no JSON object of bounded depth is a 400 that says why, and goes nowhere."""
    async with scripted() as gateway:
        answer = await gateway.chat(body, *(["content-length: 0"] if not body else []))
        assert (answer.status, answer.error["code"]) == (400, "invalid_json")
        assert len(answer.body) < 300
        assert gateway.provider.exchanges == []


STRANGE: Final[Mapping[str, Mapping[str, Any]]] = {
    "part of no type": {"messages": [{"role": "user", "content": [{"type": {}}]}]},
    "part of a type that is a list": {"messages": [{"role": "user", "content": [{"type": ["text"]}]}]},
    "tool of no type": {"tools": [{"type": {"a": 1}}]},
    "tier": {"service_tier": []},
    "format": {"response_format": {"type": {}}},
    "provider": {"provider": 5},
    "functions": {"functions": 5},
    "surrogates": {"user": "\ud800", "metadata": {"\udfff": "\x00\u202e"}},
    "huge fraction": {"temperature": 1e308},
    "NUL": {"user": "\x00"},
    "many members": {f"k{number}": number for number in range(20_000)},
}
BUDGET: Final = {Limit.BUDGET_DAY: 10**15}


@pytest.mark.parametrize("bound", [False, True], ids=["free", "bound by money"])
@pytest.mark.parametrize("name", STRANGE)
async def test_strange_but_json(name: str, *, bound: bool) -> None:
    """What is JSON, but nothing that anybody means, is answered or refused: it never makes the gateway fail."""
    async with scripted(overrides=BUDGET if bound else {}) as gateway:
        answer = await gateway.chat({**REQUEST, **STRANGE[name]})
    assert answer.status in {200, 400}


@pytest.mark.parametrize("member", ["stream_options", "provider", "x"])
async def test_depth(member: str) -> None:
    """At whatever depth a body just passes or just does not, it is answered or refused."""
    statuses = set()
    async with scripted(overrides=BUDGET) as gateway:
        for depth in range(900, 1_000, 3):
            deep = b'{"a":' * depth + b"1" + b"}" * depth
            body = json.dumps(dict(REQUEST)).encode()[:-1] + b',"%b":%b}' % (member.encode(), deep)
            statuses.add((await gateway.chat(body)).status)
    assert statuses <= {200, 400}
    assert 400 in statuses


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_amounts_that_nobody_can_count(field: str) -> None:
    """An output maximum beyond any model's is refused by its name: it would be held for, and could not be recorded."""
    async with scripted() as gateway:
        answer = await gateway.chat({**REQUEST, field: 10**9 + 1})
        assert (answer.status, answer.error["param"]) == (400, field)
        assert (await gateway.chat({**REQUEST, field: 10**9})).status == 200


# -- functions elsewhere, and their description ------------------------------------------------------------------------


async def test_route_of_another_function() -> None:
    """A function alone says whose a path is, and where that is served."""
    urls = 'base_urls = { models = "https://models.example.com" }'
    async with scripted(server=urls, functions=["chat_completions"]) as gateway:
        models = await gateway.send("GET", "/v1/models/a/b", gateway.bearer)
        health = await gateway.send("GET", "/health")
        nowhere = await gateway.send("GET", "/v1/nothing")
    assert (models.status, models.error["code"]) == (404, "unknown_url")
    assert models.error["message"].endswith(
        " It belongs to the function models, which is served at https://models.example.com."
    )
    assert health.error["message"].endswith(
        " It belongs to the function health, which is served at a URL of its own."
    )
    assert nowhere.error["message"] == "There is no GET /v1/nothing here."


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect"])
async def test_no_description_unless_asked_for(path: str) -> None:
    """The description of the API is not served unless the configuration says so."""
    async with scripted() as gateway:
        assert (await gateway.send("GET", path)).status == 404


async def test_description() -> None:
    """Where the configuration says so, it is served to whoever asks, for machines and for people."""
    async with scripted(server="docs = true", functions=["chat_completions", "health"]) as gateway:
        document = await gateway.send("GET", "/openapi.json")
        page = await gateway.send("GET", "/docs")
        assert (await gateway.send("POST", "/docs")).status == 405
    assert document.json["paths"].keys() == {CHAT, "/health", "/health/ready"}
    assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
    assert page.header("content-security-policy") == ALWAYS["content-security-policy"]


# -- the log -----------------------------------------------------------------------------------------------------------


async def test_line_of_a_completion() -> None:
    """One line, after the answer, from the record that is settled: who, what, by whom, how much, how long."""
    async with scripted(streaming(stream("Hel", "lo"))) as gateway:
        answer = await gateway.chat(STREAMED, "x-client-request-id: mine")
        [line] = await gateway.lines()
        await gateway.background.drain(5)
        [record] = gateway.held.meter.settled
    assert line["request_id"] == answer.header("x-request-id") == record.request_id
    assert answer.header("x-client-request-id") == line["client_request_id"] == "mine"
    assert (line["status"], line["outcome"], line["error"]) == (200, "ok", None)
    assert (line["key_id"], line["user"], line["model"]) == ("key_test", "alice", "hello")
    assert (line["provider"], line["upstream_model"], line["attempts"]) == ("one", "upstream-hello", 1)
    assert (line["tokens"]["input"], line["tokens"]["output"], line["streamed"]) == (9, 2, True)
    assert (
        (line["cost_nanousd"], line["cost_usd"]) == (record.cost_nanousd, "0.000013") == (13_000, "0.000013")
    )
    assert 0 <= line["gateway_ms"] <= line["total_ms"]
    assert 0 < line["first_byte_ms"] <= line["total_ms"]


async def test_gateways_own_time() -> None:
    """What the provider takes is not the gateway's own time."""

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        await exchange.answer(completion(), "200 OK", "content-type: application/json")

    async with scripted(slow) as gateway:
        await gateway.chat(REQUEST)
        [line] = await gateway.lines()
    assert line["total_ms"] >= 100
    assert line["gateway_ms"] <= line["total_ms"] - 100


@pytest.mark.parametrize(
    ("name", "model", "user"),
    [
        ("no key", None, None),
        ("bad JSON", None, "alice"),
        ("unknown model", "x", "alice"),
        ("unknown path", None, None),
        ("wrong method", None, None),
        ("too large", None, "alice"),
        ("form", None, "alice"),
        ("twice", None, None),
    ],
)
async def test_line_of_a_refusal(name: str, model: str | None, user: str | None) -> None:
    """What is refused has a line as well: by the caller's doing, with the code, and who it was as far as is known."""
    status, ask = ANSWERS[name]
    async with scripted(server="max_body_bytes = 1_024") as gateway:
        answer = await ask(gateway)
        [line] = await gateway.lines()
    assert (line["status"], line["outcome"], line["error"]) == (status, "client", answer.error["code"])
    assert (line["model"], line["user"], line["cost_nanousd"]) == (model, user, None)


async def test_line_of_a_limit() -> None:
    """A limit that holds is no failure of the gateway."""
    async with scripted(overrides={Limit.REQUESTS_PER_DAY: 0}) as gateway:
        assert (await gateway.chat(REQUEST)).status in {400, 429}
        [line] = await gateway.lines()
    assert (line["outcome"], line["model"], line["attempts"]) == ("limit", "hello", 0)


async def test_line_of_a_fallback() -> None:
    """Who was to be asked, and what each ended with."""

    async def script(exchange: Exchange) -> None:
        failed = json.loads(exchange.asked.body)["model"] != "second"
        await exchange.answer(
            completion(), "500 Oops" if failed else "200 OK", "content-type: application/json"
        )

    async with scripted(script) as gateway:
        assert (await gateway.chat({**REQUEST, "model": "twice"})).status == 200
        assert (await gateway.chat(REQUEST)).status == 502
        line, alone = await gateway.lines(2)
    assert line["route"] == "priority: one/first, one/second"
    assert line["tried"] == ["one/first provider_error", "one/second ok"]
    assert (alone["route"], alone["tried"]) == (None, [])


async def test_line_of_a_permission() -> None:
    """A key that lacks the permission is named."""
    async with scripted(permissions=frozenset({Permission.MODELS})) as gateway:
        assert (await gateway.chat(REQUEST)).status == 403
        [line] = await gateway.lines()
    assert (line["key_id"], line["error"]) == ("key_test", "insufficient_permissions")


async def test_line_of_a_failing_provider() -> None:
    """What a provider does is told as its doing, with all attempts; what it said in confidence is not."""
    body = json.dumps({"error": {"message": f"bad key {PROVIDER_KEY}", "code": "x\r\ny"}}).encode()
    async with scripted(answering(body, "500 Internal Server Error")) as gateway:
        answer = await gateway.chat({**REQUEST, "model": "twice"})
        [line] = await gateway.lines()
    assert (answer.status, line["status"], line["outcome"], line["attempts"]) == (502, 502, "upstream", 2)
    assert line["error"] == "provider_error"
    assert PROVIDER_KEY not in answer.body.decode()


async def test_line_of_a_broken_stream() -> None:
    """A stream that broke began with 200; the line tells that, whose doing it was, and the code."""
    async with scripted(streaming(stream("Hel")[:2])) as gateway:
        answer = await gateway.chat(STREAMED)
        [line] = await gateway.lines()
    assert answer.status == 200
    assert (line["status"], line["outcome"], line["error"]) == (200, "upstream", "provider_error")


async def test_line_of_a_client_that_left() -> None:
    """Who did not wait for an answer has a line too: 499, by nobody's fault."""
    asked = asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        asked.set()
        await exchange.left.wait()

    async with scripted(silent) as gateway:
        async with connected(gateway.url) as wire:
            await wire.send(request("POST", CHAT, gateway.bearer, body=json.dumps(dict(REQUEST)).encode()))
            await asked.wait()
        [line] = await gateway.lines()
    assert (line["status"], line["outcome"], line["error"]) == (499, "cancelled", "client_closed_request")


async def test_line_of_a_storage_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that does not answer is the gateway's own failure."""

    async def fail(_: Any) -> None:
        raise StorageUnavailable("No.")

    async with scripted() as gateway:
        monkeypatch.setattr(gateway.held.meter, "admit", fail)
        answer = await gateway.chat(REQUEST)
        [line] = await gateway.lines()
    assert (answer.status, line["outcome"], line["error"]) == (503, "gateway", "storage_unavailable")


async def test_no_secrets_and_no_texts_in_the_log() -> None:
    """Neither the prompt nor the answer nor any key is in the log, in either form."""
    asked = {**REQUEST, "messages": [*ASK, {"role": "user", "content": "PROMPT-TEXT"}], "user": "PROMPT-USER"}
    async with scripted(answering(completion("ANSWER-TEXT"))) as gateway:
        await gateway.chat(asked)
        await gateway.send("GET", f"/v1/models/{gateway.held.key}?key={gateway.held.key}")
        await gateway.send("GET", "/v1/models", f"authorization: Bearer {UNKNOWN_KEY}")
        await gateway.lines(3)
        written = "\n".join([*gateway.log.json, *gateway.log.plain])
    assert "[hidden]" in written
    for secret in ("PROMPT", "ANSWER", gateway.held.key, UNKNOWN_KEY, PROVIDER_KEY):
        assert secret not in written


async def test_log_level() -> None:
    """Above `info`, requests are not logged."""
    async with scripted() as gateway:
        logging.getLogger("sluice").setLevel(logging.WARNING)
        assert (await gateway.send("GET", "/health")).status == 200
        assert gateway.log.json == []
