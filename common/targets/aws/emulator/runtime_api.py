"""The Runtime API of one environment, and what there is of the Extensions API.

Protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and runtimes-extensions-api.html (November
2026). As the platform's server, which is written in Go, it answers in chunks where that is long.
"""

import asyncio
import json
from typing import Final

from common.targets.aws.emulator.environment import Environment, Invocation
from common.targets.aws.emulator.http1 import Line, Request
from common.targets.aws.emulator.response import STREAMED, MalformedResponse

_RUNTIME: Final = "/2018-06-01/runtime"
_EXTENSION: Final = "/2020-01-01/extension"
_ERROR: Final = "lambda-runtime-function-error-type"
_CHUNKED_ABOVE: Final = 2048
_MAX_WHOLE: Final = 6 * 2**20
_JSON: Final = ("content-type", "application/json")


class RuntimeApi:
    """What attends to the connections of `environment`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._tasks: dict[asyncio.Task[None], Line] = {}

    async def attend(self, line: Line) -> None:
        """Answer requests until one of both ends the connection."""
        task = asyncio.current_task()
        assert task
        self._tasks[task] = line
        task.add_done_callback(self._tasks.pop)
        while request := await line.request():
            await self._answer(line, request)

    def cut(self) -> None:
        """End all connections."""
        for task, line in self._tasks.items():
            task.cancel()
            line.cut()

    async def _answer(self, line: Line, request: Request) -> None:
        environment = self._environment
        match request.method, request.target.removeprefix(_RUNTIME):
            case "GET", "/invocation/next":
                await _send_event(line, await environment.next())
            case "GET", "/restore/next":
                environment.restore()
                await line.answer(200, [], b"")
            case "POST", "/init/error" | "/restore/error":
                environment.failed((await line.whole(request)).decode("utf-8", "replace"))
                await _status(line, 202)
            case "POST", path if path.startswith("/invocation/"):
                await self._take(line, request, *path.removeprefix("/invocation/").partition("/")[::2])
            case "POST", target if target == f"{_EXTENSION}/register":
                await line.whole(request)
                environment.has_extension = True
                await line.answer(200, [_JSON, ("lambda-extension-identifier", "emulated")], b"{}")
            case "GET", target if target == f"{_EXTENSION}/event/next":
                await asyncio.Event().wait()  # none was asked for
            case _:
                await line.whole(request)
                await _status(line, 404)

    async def _take(self, line: Line, request: Request, request_id: str, what: str) -> None:
        """Whoever is late has hung up on; so is whoever says what cannot be understood."""
        invocation = self._environment.current(request_id)
        guard = request.value("lambda-runtime-invocation-id")
        if invocation is None or guard not in (None, _guard(invocation)):
            await _status(line, 410)
            line.cut()
            return
        try:
            if what == "error":
                self._environment.failed((await line.whole(request)).decode("utf-8", "replace"))
            elif request.value("lambda-runtime-function-response-mode") == "streaming":
                await _stream(line, request, invocation)
            else:
                await _whole(line, request, invocation)
        except MalformedResponse as error:
            self._environment.failed(str(error))
        except (EOFError, ConnectionError):
            invocation.response.fail()
            raise
        await _status(line, 202)


async def _stream(line: Line, request: Request, invocation: Invocation) -> None:
    response = invocation.response
    if request.value("content-type") != STREAMED:
        raise MalformedResponse("a stream without a prelude")
    async for piece in line.body(request):
        await response.feed(piece)
    if _ERROR in request.trailers:
        response.fail()
    else:
        response.end()


async def _whole(line: Line, request: Request, invocation: Invocation) -> None:
    payload = await line.whole(request)
    if len(payload) > _MAX_WHOLE:
        raise MalformedResponse("a response of more than 6 MB")
    await invocation.response.answer(payload)


async def _send_event(line: Line, invocation: Invocation) -> None:
    headers = [
        _JSON,
        ("Lambda-Runtime-Aws-Request-Id", invocation.id),
        ("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_ms)),
        ("Lambda-Runtime-Trace-Id", invocation.trace_id),
        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:emulated"),
        ("Lambda-Runtime-Invocation-Id", _guard(invocation)),
    ]
    event = invocation.event
    if len(event) <= _CHUNKED_ABOVE:
        await line.answer(200, headers, event)
        return
    line.begin(200, [*headers, ("transfer-encoding", "chunked")])
    for at in range(0, len(event), 65_536):
        await line.chunk(event[at : at + 65_536])
    await line.chunk(b"")


def _guard(invocation: Invocation) -> str:
    return f"guard-{invocation.id}"


async def _status(line: Line, status: int) -> None:
    await line.answer(status, [_JSON], json.dumps({"status": "OK" if status < 300 else "Error"}).encode())
