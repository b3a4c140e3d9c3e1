"""Where the log of a server goes: which form, in which order, and what is never lost."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from common.cli.log_output import LogOutput, log_to_stderr
from common.model.ids import RequestId
from common.settings import parse_settings
from common.telemetry.log_format import tell
from common.telemetry.request_facts import RequestFacts

Begin = Callable[..., LogOutput]
KEY = "provider-secret-42"
TOML = '[providers.p]\nkind = "openai"\nbase_url = "http://p"\napi_key = "env:KEY"\n'


class Terminal(io.StringIO):
    """Somebody reads along."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Leave the log as it was."""
    log = logging.getLogger("sluice")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers, log.propagate = before[0], before[2]
    log.setLevel(before[1])
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = True


def told(number: int) -> RequestFacts:
    """A request."""
    return RequestFacts(RequestId(f"req_{number}"), None, "GET", "/health", status=200)


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Log to a stream in place of standard error, which pytest changes between a fixture and its test."""

    def begin(stream: io.StringIO, toml: str = "") -> LogOutput:
        monkeypatch.setattr(sys, "stderr", stream)
        return log_to_stderr(parse_settings(toml, {"KEY": KEY}))

    return begin


def ids(stream: io.StringIO) -> list[str]:
    """Of each line, the request, else the message."""
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [entry.get("request_id") or entry["message"] for entry in entries]


async def test_requests_are_written_together(begin: Begin) -> None:
    """Lines of requests wait for each other for a moment, and come in their order, without another's call."""
    begin(written := io.StringIO())
    for number in range(3):
        tell(told(number))
    assert written.getvalue() == ""
    async with asyncio.timeout(5):
        while not written.getvalue():  # noqa: ASYNC110 - a stream tells nobody
            await asyncio.sleep(0.005)
    assert ids(written) == ["req_0", "req_1", "req_2"]
    tell(told(3))
    async with asyncio.timeout(5):
        while len(ids(written)) < 4:  # noqa: ASYNC110 - a stream tells nobody
            await asyncio.sleep(0.005)


async def test_everything_else_is_written_at_once(begin: Begin) -> None:
    """A warning is there at once, and behind what was logged before it."""
    begin(written := io.StringIO())
    tell(told(0))
    logging.getLogger("sluice.settlement").warning("careful with %s", "sk-or-v1-0123456789")
    assert ids(written) == ["req_0", "careful with [hidden]"]


async def test_end(begin: Begin) -> None:
    """What waits at the end is written by `flush`."""
    output = begin(written := io.StringIO())
    tell(told(0))
    output.flush()
    output.flush()
    assert ids(written) == ["req_0"]


def test_secrets_of_the_configuration(begin: Begin) -> None:
    """A provider's key is kept back by its value, whatever it looks like."""
    begin(written := io.StringIO(), TOML)
    logging.getLogger("sluice").error("it is %s", KEY)
    assert ids(written) == ["it is [hidden]"]


@pytest.mark.parametrize("level", ["debug", "warning"])
async def test_level(begin: Begin, level: str) -> None:
    """What is less grave than the configured level is not written."""
    output = begin(written := io.StringIO(), f'[server]\nlog_level = "{level}"')
    tell(told(0))
    output.flush()
    assert ids(written) == (["req_0"] if level == "debug" else [])


async def test_terminal(begin: Begin) -> None:
    """On a terminal there are words."""
    output = begin(stream := Terminal())
    tell(told(0))
    output.flush()
    assert stream.getvalue().endswith(" 200 ok GET /health  gateway 0.00 of 0.00 ms  req_0\n")
