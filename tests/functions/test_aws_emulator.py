"""Lambda's emulator and the streaming runtime together: function URLs in front, the runtime in processes of its own."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest

from tests.support.emulator import REPOSITORY, Emulated, Script, Streaming, calling, emulated, script
from tests.support.sluice import PROGRAM, run
from tests.support.wire import Answer, request

APPS = "tests.support.lambda_apps.handler"


async def ask(url: str, target: str, *lines: str, method: str = "GET", body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    async with calling(url) as wire:
        await wire.send(request(method, target, *lines, body=body))
        return await wire.answer()


async def facts(lambda_: Emulated) -> Any:
    """What a function knows of itself."""
    return (await ask(lambda_.url, "/facts")).json


async def begin(wire: Streaming, scripted: Script) -> None:
    """Let a stream begin, whose first piece is there."""
    await wire.send(request("GET", f"/relay?{scripted.port}"))
    await scripted.say(b"first")
    assert await wire.head() == 200
    assert await wire.piece() == b"first"
    assert await scripted.heard() == "said"


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_each_piece_arrives_before_the_next_is_made() -> None:
    """A client has every piece of a stream while the function still waits for the next."""
    async with emulated(APPS) as lambda_, script() as scripted, calling(lambda_.url) as wire:
        await begin(wire, scripted)
        for piece in (b"second", b"third"):
            await scripted.say(piece)
            assert await wire.piece() == piece
        await scripted.end()
        assert await wire.piece() == b""
        await lambda_.is_quiet()


async def test_requests_arrive_as_they_were_sent() -> None:
    """Method, path, query, cookies, repeated headers and binary bodies come through; so do cookies of the answer."""
    lines = ["accept: a", "accept: b", "cookie: c=1; d=2", "content-type: application/octet-stream"]
    body = bytes(range(256))
    async with emulated(APPS) as lambda_:
        answer = await ask(lambda_.url, "/scope?a=1&a=%20", *lines, method="POST", body=body)
        large = await ask(
            lambda_.url, "/echo", "content-type: application/json", method="POST", body=b"1" * 5_000_000
        )
    seen = answer.json
    assert (seen["query"], bytes.fromhex(seen["body"])) == ("a=1&a=%20", body)
    assert [value for name, value in seen["headers"] if name == "accept"] == ["a,b"]
    assert [value for name, value in seen["headers"] if name == "cookie"] == ["c=1; d=2"]
    assert dict(seen["headers"])["x-forwarded-for"] == "127.0.0.1"
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert large.body == b"1" * 5_000_000


async def test_request_beyond_the_limit() -> None:
    """An event of more than 6 MB, base 64 counted, is refused, and no function is started for it."""
    async with emulated(APPS) as lambda_:
        answer = await ask(lambda_.url, "/echo", method="POST", body=b"\xff" * 4_800_000)
        assert answer.status == 413
        assert lambda_.pids == []


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/raise", 500), ("/memory", 500), ("/exit", 502)])
async def test_failure_before_the_first_byte(path: str, status: int) -> None:
    """A failure is a 500 of the runtime's, or a 502 where the process has ended; the next request is served."""
    async with emulated(APPS) as lambda_:
        assert (await ask(lambda_.url, path)).status == status
        assert (await ask(lambda_.url, "/echo", method="POST", body=b"here")).body == b"here"
        words = lambda_.log
    assert "sk-secret" not in words
    if status == 500:
        [line] = [json.loads(line) for line in words.splitlines() if '"level":"error"' in line]
        assert line["function_request_id"] in line["message"]
        assert line["xray_trace_id"].startswith("Root=1-")
        assert line["traceback"][-1].startswith("ValueError: [hidden]" if path == "/raise" else "MemoryError")


@pytest.mark.parametrize("path", ["/break-mid-stream", "/exit-mid-stream"])
async def test_failure_mid_stream(path: str) -> None:
    """A body that broke off is cut: no client can take it for a whole one."""
    async with emulated(APPS) as lambda_, calling(lambda_.url) as wire:
        await wire.send(request("GET", path))
        assert await wire.head() == 200
        assert await wire.piece() == b"begun"
        assert await wire.is_closed()


async def test_timeout() -> None:
    """A function that takes too long is ended, and so is its answer."""
    async with emulated(APPS, timeout_s=1.5) as lambda_:
        assert (await ask(lambda_.url, "/sleep")).status == 502
        await lambda_.emulator.wait_until(lambda all_: not all_)
        assert any("timed out after 1.5 s" in line for line in lambda_.told)
        assert (await ask(lambda_.url, "/echo", method="POST", body=b"here")).body == b"here"


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        pytest.param(
            "handler", "Runtime.MalformedHandlerName", "'handler' is not module.function", id="no module"
        ),
        pytest.param(
            "no.such.handler", "Runtime.ImportModuleError", "No module named 'no'", id="unknown module"
        ),
        pytest.param(
            "tests.support.lambda_apps.app", "Runtime.HandlerNotFound", "is not one of", id="no handler"
        ),
        pytest.param(
            "common.targets.aws.entry.chat",
            "Runtime.HandlerNotFound",
            "there are: chat_completions",
            id="no function",
        ),
        pytest.param(
            "common.targets.aws.entry.health",
            "Sluice.Settings",
            "SLUICE_TABLE: expected to be set",
            id="no table",
        ),
    ],
)
async def test_function_that_cannot_start(handler: str, kind: str, words: str, tmp_path: Path) -> None:
    """What keeps a function from starting is told to the platform and logged; the client gets a 502."""
    async with emulated(handler, folder=tmp_path) as lambda_:
        assert (await ask(lambda_.url, "/health")).status == 502
        await lambda_.emulator.wait_until(lambda all_: not all_)
        log, told = lambda_.log, lambda_.told
    [failed] = [line for line in told if " failed: " in line]
    error = json.loads(failed.partition(" failed: ")[2])
    assert error["errorType"] == kind
    assert words in error["errorMessage"]
    assert words in json.loads(log)["message"]


# -- environments ------------------------------------------------------------------------------------------------------


async def test_frozen_between_invocations() -> None:
    """A process is frozen after each invocation, and the same one serves the next."""
    async with emulated(APPS) as lambda_:
        pids = []
        for _ in range(3):
            pids.append((await facts(lambda_))["pid"])
            await lambda_.is_quiet()
        assert pids == lambda_.pids * 3
        assert (await facts(lambda_))["told"] == ["wake", "rest"] * 3 + ["wake"]


async def test_background_work_is_done_before_the_freeze() -> None:
    """The client has its answer while background work goes on; the process is frozen when that is done."""
    async with emulated(APPS) as lambda_, script() as scripted:
        await ask(lambda_.url, f"/work?{scripted.port}", method="POST", body=b"whole")
        [environment] = lambda_.emulator.environments
        assert environment.state == "busy"
        await scripted.end()
        assert await scripted.heard() == "worked"
        await lambda_.is_quiet()


async def test_one_request_in_one_environment() -> None:
    """Requests that come together each have a process; those that follow find them warm."""
    async with emulated(APPS) as lambda_:
        together = await asyncio.gather(*(facts(lambda_) for _ in range(4)))
        assert len({each["pid"] for each in together}) == 4
        await lambda_.is_quiet()
        again = await asyncio.gather(*(facts(lambda_) for _ in range(4)))
        assert {each["pid"] for each in again} == {each["pid"] for each in together}


async def test_concurrency_is_limited() -> None:
    """Beyond a function's concurrency, requests are refused with 429."""
    async with emulated(APPS, concurrency=1) as lambda_, script() as scripted, calling(lambda_.url) as wire:
        await begin(wire, scripted)
        refused = await ask(lambda_.url, "/facts")
        assert (refused.status, refused.json["Reason"]) == (429, "ConcurrentInvocationLimitExceeded")
        await scripted.end()
        assert await wire.piece() == b""


async def test_client_that_leaves_is_not_noticed() -> None:
    """The function runs to its end, and the next request is served by the same process."""
    async with emulated(APPS) as lambda_, script() as scripted:
        async with calling(lambda_.url) as wire:
            await begin(wire, scripted)
        await scripted.say(b"more")
        assert await scripted.heard() == "said"
        await scripted.end()
        assert await scripted.heard() == "whole"
        await lambda_.is_quiet()
        assert lambda_.pids == [(await facts(lambda_))["pid"]]


async def test_killed_while_frozen() -> None:
    """A process that is killed between invocations is replaced."""
    async with emulated(APPS) as lambda_:
        before = (await facts(lambda_))["pid"]
        await lambda_.is_quiet()
        os.kill(before, signal.SIGKILL)
        await lambda_.has_ended(before)
        assert (await facts(lambda_))["pid"] != before


async def test_told_to_end() -> None:
    """An environment that is taken down hears of it: the running call is cancelled, and has a moment in background."""
    async with script() as scripted:
        async with emulated(APPS) as lambda_, calling(lambda_.url) as wire:
            await begin(wire, scripted)
            pids = lambda_.pids
        assert await scripted.heard() == "cancelled"
    assert not any(map(psutil.pid_exists, pids))


async def test_connection_that_was_closed_while_frozen() -> None:
    """The runtime opens another connection where the platform has closed the one that was kept."""
    async with emulated(APPS) as lambda_:
        before = await facts(lambda_)
        await lambda_.is_quiet()
        lambda_.emulator.environments[0].cut_connections()
        after = await facts(lambda_)
        assert after["pid"] == before["pid"]


async def test_restored_from_a_snapshot() -> None:
    """A function with SnapStart drops what is connected before the snapshot, and seeds what is random after it."""
    variables = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    async with emulated(APPS, variables=variables) as lambda_:
        await asyncio.gather(*(facts(lambda_) for _ in range(2)))
        await lambda_.is_quiet()
        several = await asyncio.gather(*(facts(lambda_) for _ in range(2)))
    assert [each["told"][:2] for each in several] == [["before_snapshot", "after_restore"]] * 2
    assert len({each["random"] for each in several}) == 2


async def test_wrapper() -> None:
    """`infra/aws/stream` starts the runtime with the interpreter that it is given, in the place of a bootstrap."""
    command = [str(REPOSITORY / "infra/aws/stream"), sys.executable, "/var/runtime/bootstrap.py"]
    async with emulated(APPS, command=command) as lambda_:
        seen = (await ask(lambda_.url, "/environment")).json
    assert seen["_HANDLER"] == APPS
    assert seen["_X_AMZN_TRACE_ID"].startswith("Root=1-")


# -- the command -------------------------------------------------------------------------------------------------------

SETTINGS = """
[providers.nobody]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
[models.demo]
targets = ["nobody/demo"]
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
async def test_command(number: int, tmp_path: Path) -> None:
    """`sluice emulate aws` serves the functions by their paths, and leaves no process behind, however it ends."""
    (tmp_path / "sluice.toml").write_text(SETTINGS)
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("emulate", "aws", "--port", "0"),
        cwd=tmp_path,
        env={**os.environ, "SLUICE_TABLE": "sluice"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    url = (await process.stdout.readline()).split()[-1].decode().removesuffix("/v1")
    assert (await ask(url, "/health")).json == {"status": "ok"}
    assert (await ask(url, "/v1/models")).error["code"] == "invalid_api_key"
    assert (await ask(url, "/elsewhere")).status == 403
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.send_signal(number)
    assert await process.wait() == (0 if number is signal.SIGINT else -number)
    gone, _ = await asyncio.to_thread(psutil.wait_procs, children, timeout=10)
    assert len(gone) == 2


async def test_command_without_settings(tmp_path: Path) -> None:
    """A folder without `sluice.toml` has nothing to emulate."""
    ended = await run(tmp_path, "emulate", "aws")
    assert (ended.status, ended.stderr) == (
        1,
        "Error: There is no sluice.toml in this folder: a function brings its own.\n",
    )


async def test_command_on_a_port_in_use(tmp_path: Path) -> None:
    """Where somebody listens already, the command says so."""
    (tmp_path / "sluice.toml").write_text(SETTINGS)
    async with script() as other:
        ended = await run(tmp_path, "emulate", "aws", "--port", str(other.port))
    assert ended.status == 1
    assert ended.stderr.startswith(f"Error: Cannot listen on 127.0.0.1, port {other.port}")
