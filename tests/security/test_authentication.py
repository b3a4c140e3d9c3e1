"""Who is let in: the advisories and OWASP rows (API2, API5) on keys, over real sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from common.access import api_key
from common.access.api_key import is_well_formed
from common.cli.new_key import create_key
from common.http.app import create_app
from common.model.ids import UserId
from common.model.limits import Limit
from common.model.principal import DEFAULT_PERMISSIONS, Permission
from common.settings import parse_settings
from common.targets.local import LocalGateway, open_local
from tests.support.gateway import load_functions
from tests.support.scripted import CHAT, REQUEST, scripted
from tests.support.served import served
from tests.support.wire import Answer, connected, request

BODY: Final = json.dumps(dict(REQUEST)).encode()

INJECTIONS: Final = {
    "always true": "' OR '1'='1' --",
    "union": "' UNION SELECT * FROM keys --",
    "stacked": "'; DROP TABLE keys; --",
    "double quotes": '" OR ""="',
    "blob": "x'; ATTACH DATABASE '/tmp/a' AS a; --",
    "time": "1' AND (SELECT randomblob(1000000000)) --",
    "operator": '{"$gt": ""}',
    "expression": "attribute_exists(key_hash) OR key_hash = :h",
    "template": "{{7*7}}${7*7}",
    "path": "../../../../etc/passwd",
    "wildcards": "%_*?",
    "format": "%s%n{0}{key}",
    "not ASCII": "\xe9\xff\x80",
    "long": "sk-sluice-" + "A" * 50_000,
    "empty": "",
}


@asynccontextmanager
async def on_sqlite(folder: Path) -> AsyncIterator[tuple[str, str, LocalGateway]]:
    """A gateway on a real database: its address, a key, itself."""
    async with open_local(parse_settings("", {}), folder) as local:
        key = (await create_key(local.keys, UserId("ada"), "one", DEFAULT_PERMISSIONS)).key
        async with served(create_app(local.gateway, load_functions()), local.background) as url:
            yield url, key, local


async def models(url: str, *lines: str | bytes, target: str = "/v1/models") -> Answer:
    """Ask for the models with these headers."""
    async with connected(url) as wire:
        await wire.send(request("GET", target, *lines))
        return await wire.answer()


@pytest.mark.parametrize("shaped", [False, True], ids=["as it is", "shaped like a key"])
@pytest.mark.parametrize("name", INJECTIONS)
async def test_injection_through_the_key(tmp_path: Path, name: str, *, shaped: bool) -> None:
    """CVE-2026-42208: whatever stands where the key should, it is no key, and no statement of the database either."""
    async with on_sqlite(tmp_path) as (url, key, local):
        bearer = f"sk-sluice-{INJECTIONS[name]}" if shaped else INJECTIONS[name]
        answer = await models(url, f"authorization: Bearer {bearer}")
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert len(await local.keys.list()) == 1
        assert (await models(url, f"authorization: Bearer {key}")).status == 200


@pytest.mark.parametrize("shared", [20, 40, 52])
async def test_keys_that_begin_alike(tmp_path: Path, shared: int) -> None:
    """CVE-2026-35030: a key that only begins like another is nobody's, even while the other one is known by heart."""
    async with on_sqlite(tmp_path) as (url, key, _):
        assert (await models(url, f"authorization: Bearer {key}")).status == 200
        body = key[:shared] + "".join("B" if each == "A" else "A" for each in key[shared:-6])
        other = body + api_key._checksum(body)
        assert is_well_formed(other)
        assert other != key
        assert (await models(url, f"authorization: Bearer {other}")).status == 401
        assert (await models(url, f"authorization: Bearer {key}")).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("authorization: {key}",),
        ("authorization: Basic {key}",),
        ("authorization: Bearer{key}",),
        ("authorization: Bearer {key} x",),
        ("authorization: Bearer {key}, Bearer {key}",),
        ("authorization: Token Bearer {key}",),
        ("x-api-key: {key}",),
        ("api-key: {key}",),
        ("proxy-authorization: Bearer {key}",),
        ("cookie: authorization=Bearer {key}",),
        ("x-forwarded-authorization: Bearer {key}",),
    ],
    ids=lambda lines: lines[0].replace("{key}", "KEY") if lines else "nothing",
)
async def test_only_one_way_in(lines: tuple[str, ...]) -> None:
    """API2: a key counts in one header and one scheme."""
    async with scripted() as gateway:
        answer = await models(gateway.url, *(line.format(key=gateway.held.key) for line in lines))
    assert (answer.status, answer.header("www-authenticate")) == (401, "Bearer")


async def test_key_in_the_query() -> None:
    """API2: a key in the address, which proxies log, does not count."""
    async with scripted() as gateway:
        for name in ("key", "api_key", "access_token", "authorization"):
            target = f"/v1/models?{name}={gateway.held.key}"
            assert (await models(gateway.url, target=target)).status == 401


async def test_two_keys() -> None:
    """API2: of two headers with keys neither counts, for another reader may take the other one."""
    async with scripted() as gateway:
        for lines in (
            (gateway.bearer, "authorization: Bearer x"),
            ("authorization: Bearer x", gateway.bearer),
        ):
            answer = await models(gateway.url, *lines)
            assert (answer.status, answer.error["code"]) == (400, "repeated_header")


async def test_scheme_in_any_case() -> None:
    """RFC 9110: the scheme's name has no case, the key has."""
    async with scripted() as gateway:
        key = gateway.held.key
        assert (await models(gateway.url, f"authorization: bEARER   {key}")).status == 200
        assert (await models(gateway.url, f"authorization: Bearer {key.swapcase()}")).status == 401


HOSTS: Final = [
    "gateway/health?",
    "gateway/health#",
    "gateway@evil.example",
    "evil.example/../health",
    "gateway:80/health",
    "[",
    "[::1]:x",
    "127.0.0.1",
    "localhost",
    "a\\b",
    "",
    "%2f..",
    "xn--",
    "x" * 5_000,
]


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host[:20] or "empty")
async def test_hostile_hosts(host: str) -> None:
    """CVE-2026-48710, CVE-2026-49468: whatever the Host header says, the route decides, and nobody gets in by it."""
    async with scripted() as gateway:
        for target in ("/v1/models", "http://gateway/v1/models", "http://evil.example/v1/models"):
            async with connected(gateway.url) as wire:
                await wire.send(f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
                refused = await wire.answer()
                assert refused.status in {400, 401}
                if refused.status == 400:
                    continue
                await wire.send(f"GET {target} HTTP/1.1\r\nhost: {host}\r\n{gateway.bearer}\r\n\r\n".encode())
                assert (await wire.answer()).status == 200
                await wire.send(f"GET /nothing/ HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
                nothing = await wire.answer()
        assert nothing.status == 404
        assert nothing.header("location") is None
        assert b"evil" not in nothing.body


PATHS: Final = [
    "/v1/models?/health",
    "/v1/models;/health",
    "/v1/models/../health",
    "/health/../v1/models",
    "/health/%2e%2e/v1/models",
    "//v1/models",
    "/v1//models",
    "/V1/MODELS",
    "/v1/models/",
    "/v1/models%00",
    "/v1/models%2f",
    "/%76%31/%6dodels",
]


@pytest.mark.parametrize("path", PATHS)
async def test_paths_around_the_key(path: str) -> None:
    """API5: no spelling of a path reaches what is behind the key without one."""
    async with scripted() as gateway:
        answer = await gateway.send("GET", path)
    assert answer.status in {401, 404}


@pytest.mark.parametrize(
    "header", ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-forwarded-prefix"]
)
async def test_headers_that_change_the_route(header: str) -> None:
    """API5: a header that some proxies heed moves no request to another route."""
    async with scripted() as gateway:
        assert (await gateway.send("GET", "/v1/models", f"{header}: /health")).status == 401
        assert (await gateway.send("GET", "/health", f"{header}: POST")).json == {"status": "ok"}


async def test_every_route_asks_for_a_key() -> None:
    """API5: every route but those said to be open refuses whoever has no key."""
    open_to_all = {"/health", "/health/ready"}
    async with scripted() as gateway:
        for function in load_functions():
            for route in function.router.routes:
                path = route.path.replace("{", "").replace("}", "").replace(":path", "")  # type: ignore[attr-defined]
                for method in route.methods:  # type: ignore[attr-defined]
                    status = (await gateway.send(method, path, body=b"{}" if method != "GET" else b"")).status
                    assert status == (200 if path in open_to_all else 401), path


ADMIN: Final = [
    "/admin",
    "/config/update",
    "/debug",
    "/debug/pprof",
    "/key/generate",
    "/metrics",
    "/model/new",
    "/mcp-rest/test/connection",
    "/mcp-rest/test/tools/list",
    "/team/new",
    "/ui",
    "/user/new",
    "/v1/mcp/server",
    "/.env",
    "/sluice.toml",
]


@pytest.mark.parametrize("path", ADMIN)
async def test_no_routes_of_administrators(path: str) -> None:
    """CVE-2026-42271, API5: what peers let a plain key reach, and worse, is not there at all."""
    async with scripted() as gateway:
        for method in ("GET", "POST"):
            answer = await gateway.send(method, path, gateway.bearer, body=b'{"command": "id"}')
            assert (answer.status, answer.error["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_every_kind_of_call_is_guarded(*, streamed: bool) -> None:
    """CVE-2026-12797: permissions and limits hold for streams as they do for whole answers."""
    asked = {**REQUEST, "stream": streamed}
    async with scripted(permissions=frozenset({Permission.MODELS})) as gateway:
        assert (await gateway.chat(asked)).status == 403
        assert gateway.provider.exchanges == []
    async with scripted(overrides={Limit.TOKENS_PER_DAY: 1}) as gateway:
        assert (await gateway.chat(asked)).status in {400, 429}
        assert gateway.provider.exchanges == []


async def test_bodies_of_strangers() -> None:
    """CVE-2024-8984: who has no key is refused by the head alone; no body of whatever type is waited for or parsed."""
    async with scripted() as gateway, connected(gateway.url) as wire:
        boundary = "-" * 50_000
        lines = (f"content-type: multipart/form-data; boundary={boundary}", "content-length: 10000000")
        await wire.send(request("POST", CHAT, *lines), b"--x")
        assert (await wire.answer()).status == 401
