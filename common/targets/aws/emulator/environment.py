"""One execution environment: a process that serves one invocation at a time, and is frozen in between.

The process leads a group in our own session: should the emulator die, that group is orphaned, and the kernel continues
its members and hangs them up (POSIX, "orphaned process group"), so that nothing stays behind frozen.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from common.targets.aws.emulator.response import Response

_TERM_S: Final = 0.5  # between SIGTERM and SIGKILL, where there is an extension


class State(StrEnum):
    """What an environment is doing."""

    STARTING = "starting"
    IDLE = "idle"  # and frozen
    BUSY = "busy"  # also after the response, while there is work left
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What all environments have in common."""

    command: Sequence[str]  # what starts a runtime
    folder: Path  # the function's package
    variables: Mapping[str, str]  # besides those that Lambda sets
    timeout_s: float = 900.0  # of one invocation
    init_timeout_s: float = 60.0  # Lambda allows 10; this machine may be slower
    tell: Callable[[str], None]  # a line of the platform's own log
    log: int = 2  # the file descriptor of what functions write


@dataclass(eq=False, slots=True)
class Invocation:
    """What is to be answered."""

    id: str
    trace_id: str
    event: bytes
    response: Response
    deadline_ms: int = 0
    begun: float = 0.0


class Environment:
    """Made for a function; `run` is its life."""

    def __init__(self, function: str, handler: str, platform: Platform, number: int) -> None:
        self.function = function
        self.name = f"{function} #{number}"
        self.state = State.STARTING
        self.invocations = 0  # that were handed out
        self.has_extension = False
        self.last_used = 0.0
        self.moved: Callable[[Environment], None] = lambda _: None  # told of each change of `state`
        self.cut_connections: Callable[[], None] = lambda: None  # to its Runtime API
        self._handler = handler
        self._platform = platform
        self._process: asyncio.subprocess.Process | None = None
        self._ended = asyncio.Event()
        self._is_shut_down = False
        self._timer: asyncio.TimerHandle | None = None
        self._given = asyncio.Event()
        self._waiting: Invocation | None = None
        self._current: Invocation | None = None
        self._started: float | None = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Of the process, which leads its group."""
        return self._process.pid if self._process else None

    async def run(self, api: str) -> None:
        """Start the process, whose Runtime API is at `api`, and wait for its end."""
        platform = self._platform
        try:
            self._process = await asyncio.create_subprocess_exec(
                *platform.command,
                cwd=platform.folder,
                env={**platform.variables, **self._variables(api)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=platform.log,
                stderr=platform.log,
                process_group=0,
            )
        except OSError as error:
            self._platform.tell(f"{self.name} cannot be started: {error}")
        else:
            loop, seconds = asyncio.get_running_loop(), platform.init_timeout_s
            self._timer = loop.call_later(seconds, self._time_out, "its start", seconds)
            if self._is_shut_down:
                self.kill()
            status = await self._process.wait()
            if not self._is_shut_down:
                self._platform.tell(f"{self.name} has ended (status {status})")
        self._stop_timer()
        self._move(State.ENDED)
        self._fail()
        self._ended.set()

    def _variables(self, api: str) -> dict[str, str]:
        variables = self._platform.variables
        region = variables.get("AWS_REGION", "us-east-1")
        return {
            "AWS_LAMBDA_RUNTIME_API": api,
            "_HANDLER": self._handler,
            "AWS_LAMBDA_FUNCTION_NAME": self.function,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_INITIALIZATION_TYPE": variables.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "LAMBDA_TASK_ROOT": str(self._platform.folder),
            "TZ": ":UTC",
        }

    # -- invocations

    def invoke(self, invocation: Invocation) -> None:
        """Give it its next invocation. It must not be busy."""
        assert self.state in {State.STARTING, State.IDLE}
        self._waiting = invocation
        if self.state is State.IDLE:
            self._signal(signal.SIGCONT)
            self._move(State.BUSY)
        self._given.set()

    async def next(self) -> Invocation:
        """The runtime asks: the current invocation is over, and the process is frozen until there is another."""
        self._stop_timer()
        if self._started is not None:
            self._platform.tell(f"{self.name} started in {(time.monotonic() - self._started) * 1000:.0f} ms")
            self._started = None
        if self._current is not None:
            self._report(self._current)
            self._current.response.fail()  # where it was not answered
            self._current = None
        self.last_used = time.monotonic()
        if self._waiting is None:
            self._signal(signal.SIGSTOP)
            self._move(State.IDLE)
            await self._given.wait()
        self._given.clear()
        invocation, self._waiting = self._waiting, None
        assert invocation is not None
        self._hand_out(invocation)
        return invocation

    def _hand_out(self, invocation: Invocation) -> None:
        timeout_s = self._platform.timeout_s
        self._current = invocation
        self.invocations += 1
        self._move(State.BUSY)
        invocation.begun = time.monotonic()
        invocation.deadline_ms = round((time.time() + timeout_s) * 1000)
        self._timer = asyncio.get_running_loop().call_later(
            timeout_s, self._time_out, invocation.id, timeout_s
        )

    def current(self, request_id: str) -> Invocation | None:
        """The invocation that is being answered, if it is this one and still unanswered."""
        current = self._current
        return current if current and current.id == request_id and not current.response.over else None

    def _report(self, invocation: Invocation) -> None:
        took_ms = (time.monotonic() - invocation.begun) * 1000
        self._platform.tell(f"{self.name} pid {self.pid}: {invocation.id} took {took_ms:.1f} ms")

    # -- the process

    def restore(self) -> None:
        """What becomes of a process that waits for its snapshot: it stands still, and goes on."""
        self._signal(signal.SIGSTOP)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """At once, as out of memory does."""
        self._signal(signal.SIGKILL)

    async def shut_down(self) -> None:
        """As Lambda takes down what it no longer needs: SIGTERM first, where there is an extension."""
        self._is_shut_down = True
        if self.has_extension:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _TERM_S)
        self.kill()
        await self._ended.wait()

    def failed(self, why: str) -> None:
        """The runtime tells that it cannot start or go on; it then ends by itself."""
        self._platform.tell(f"{self.name} failed: {why}")
        self._fail()

    def _fail(self) -> None:
        for invocation in (self._current, self._waiting):
            if invocation is not None:
                invocation.response.fail()

    def _time_out(self, what: str, seconds: float) -> None:
        self._platform.tell(f"{self.name}: {what} timed out after {seconds:g} s")
        self.kill()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _signal(self, number: int) -> None:
        # the group is there until its leader has been waited for
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _move(self, state: State) -> None:
        self.state = state
        self.moved(self)
