"""What can be seen from outside: API8, API9, the headers' rows, and the supply chain."""

import json
import re
from pathlib import Path
from typing import Final

import pytest
import starlette

from common.model.errors import StorageUnavailable
from common.model.ids import KeyId
from common.model.principal import Permission
from tests.support.callers import caller
from tests.support.gateway import UNKNOWN_KEY
from tests.support.scripted import CHAT, REQUEST, scripted

REPOSITORY: Final = Path(__file__).parents[2]
LOCKS: Final = sorted((REPOSITORY / "infra/requirements").glob("*.txt"))


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/swagger.json", "/docs/oauth2-redirect"]
)
async def test_descriptions_are_closed(path: str) -> None:
    """API9: the description of the API is not there unless the operator turns it on, with a key or without."""
    async with scripted() as gateway:
        for lines in ((), (gateway.bearer,)):
            assert (await gateway.send("GET", path, *lines)).status == 404


@pytest.mark.parametrize("path", ["/v0/models", "/v2/models", "/models", "/v1beta/models", "/api/v1/models"])
async def test_other_versions_are_not_there(path: str) -> None:
    """API9: a route has one address; no older one is left beside it."""
    async with scripted() as gateway:
        assert (await gateway.send("GET", path, gateway.bearer)).status == 404


@pytest.mark.parametrize(
    "path", ["/health/", "/v1/models/", "/v1/chat/completions/", "//evil.example/", "/\\evil.example"]
)
async def test_no_redirects(path: str) -> None:
    """API8: no path is redirected, least of all to where the Host header says."""
    async with scripted() as gateway:
        for method in ("GET", "POST"):
            answer = await gateway.send(method, path, "x-forwarded-host: evil.example")
            assert answer.status in {400, 404, 405}
            assert answer.header("location") is None


async def test_server_does_not_tell_what_it_is() -> None:
    """API8: no header names a server, a framework or a version; errors neither."""
    async with scripted() as gateway:
        answers = [
            await gateway.send("GET", "/health"),
            await gateway.send("GET", "/nothing"),
            await gateway.chat(REQUEST),
            await gateway.chat(b"{"),
        ]
    for answer in answers:
        told = " ".join(f"{name}: {value}" for name, value in answer.headers) + answer.body.decode()
        assert (
            re.search(r"granian|uvicorn|starlette|fastapi|python|pydantic|hyper", told, re.IGNORECASE) is None
        )
        assert not answer.header("server")


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/chat/completions"], ids=["by the framework", "direct"])
async def test_what_nobody_foresaw_tells_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """API8: a failure that nobody foresaw is an envelope without a word of its own, whichever way the request came."""

    async def fails(*_: object) -> None:
        raise ValueError("secret of the inside")

    async with scripted(permissions=frozenset({Permission.KEYS_WRITE, Permission.CHAT})) as gateway:
        monkeypatch.setattr(gateway.held.keys, "list", fails)
        monkeypatch.setattr(gateway.held.meter, "admit", fails)
        body = b"" if path == "/v1/keys" else json.dumps(dict(REQUEST)).encode()
        answer = await gateway.send("POST" if body else "GET", path, gateway.bearer, body=body)
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert answer.header("x-request-id")
        assert b"secret" not in answer.body
        *_, line = await gateway.lines(2)
        assert (line["status"], line["outcome"], line["error"]) == (500, "gateway", "internal_error")


async def test_requests_are_not_echoed() -> None:
    """API8: TRACE, which would show a script its own cookies and keys, is no method here."""
    async with scripted() as gateway:
        answer = await gateway.send("TRACE", "/health", gateway.bearer, "cookie: a=b")
    assert answer.status == 405
    assert gateway.held.key not in answer.body.decode()


async def test_readiness_tells_strangers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """API8: why a gateway is not ready, and what it is made of, is for `admin`; to all others it is one word."""

    async def fails(_key_id: KeyId) -> None:
        raise StorageUnavailable("/var/lib/sluice/sluice.db: the disk is full")

    async with scripted() as gateway:
        usual = await caller(gateway, 1, "alice", "chat", "models", "usage:read", "keys:write")
        monkeypatch.setattr(gateway.held.keys, "get", fails)
        told = {
            (await gateway.send("GET", "/health/ready", *lines)).body
            for lines in (
                (),
                (f"authorization: Bearer {usual.key}",),
                (f"authorization: Bearer {UNKNOWN_KEY}",),
            )
        }
    assert told == {b'{"status": "not ready"}'}


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "asked for"])
async def test_models_of_others(*, listed: bool) -> None:
    """API5: a key that is bound to models learns of no other, neither by listing, nor by guessing names."""
    async with scripted() as gateway:
        key = await caller(gateway, 1, "alice", "models", models=("hel*",))
        if listed:
            assert b"twice" not in (await key.ask("GET", "/v1/models")).body
        else:
            secret = await key.ask("GET", "/v1/models/twice")
            nothing = await key.ask("GET", "/v1/models/thrice")
            assert (secret.status, secret.body.replace(b"twice", b"thrice")) == (404, nothing.body)


async def test_no_credentials_for_foreign_origins() -> None:
    """API8: no origin's cookies are wanted, and a foreign origin may read nothing."""
    async with scripted(server='cors_origins = ["https://app.example.com"]') as gateway:
        for origin in ("https://evil.example", "null", "https://app.example.com", "http://app.example.com"):
            answer = await gateway.send(
                "OPTIONS", CHAT, f"origin: {origin}", "access-control-request-method: POST"
            )
            allowed = answer.header("access-control-allow-origin")
            assert allowed == (origin if origin == "https://app.example.com" else None)
            assert answer.header("access-control-allow-credentials") is None


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_dependencies_are_pinned_by_hash(lock: Path) -> None:
    """PyPI, 24 March 2026; LLM03: a package that was replaced under its version does not get in."""
    requirements = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE))
    named = [each for each in requirements if "==" in each]
    assert [each for each in named if "--hash=sha256:" not in each] == []


def test_framework_is_past_its_advisory() -> None:
    """CVE-2026-48710: Starlette is one that has mended it."""
    assert tuple(map(int, starlette.__version__.split(".")[:2])) >= (1, 1)
