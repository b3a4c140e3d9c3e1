"""Small functions for processes that a test starts: what they do is chosen by the path.

`_HANDLER` is `tests.support.lambda_apps.handler`. `/relay?N` takes what it says, and when, from a server at port N of
this machine, and so does work in the background at `/work?N`; see `tests.support.emulator.Script`.
"""

import asyncio
import json
import os
import random

from common.adapters.background import TaskBackground
from common.targets.aws.asgi import Message, Receive, Send
from common.targets.aws.handler import Handler
from tests.support.asgi import echo, start, write


class Plain:
    """Nothing is behind it. It notes what it is told."""

    def __init__(self) -> None:
        self.background = TaskBackground()
        self.told: list[str] = []

    def wake(self) -> None:
        """See `Deployed.wake`."""
        self.told.append("wake")

    def rest(self) -> None:
        """See `Deployed.rest`."""
        self.told.append("rest")

    def before_snapshot(self) -> None:
        """See `Deployed.before_snapshot`."""
        random.seed(1)
        self.told.append("before_snapshot")

    def after_restore(self) -> None:
        """See `Deployed.after_restore`."""
        self.told.append("after_restore")


async def app(scope: Message, receive: Receive, send: Send) -> None:  # noqa: PLR0912 - a table
    """One path for each way to answer, or not to."""
    path, port = scope["path"], scope["query_string"].decode()
    match path:
        case "/echo":
            await echo(scope, receive, send)
        case "/facts":
            await _answer(send, {"pid": os.getpid(), "told": deployed.told, "random": random.random()})
        case "/environment":
            await _answer(send, dict(os.environ))
        case "/scope":
            headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
            body = (await receive())["body"].hex()
            await _answer(send, {"path": path, "query": port, "headers": headers, "body": body})
        case "/relay":
            await _relay(send, int(port))
        case "/work":
            scope["sluice"].background.run(_work(int(port)))
            await echo(scope, receive, send)
        case "/raise":
            raise ValueError("sk-secret")
        case "/memory":
            raise MemoryError
        case "/exit":
            os._exit(3)
        case "/exit-mid-stream":
            await _begin(send)
            os._exit(3)
        case "/break-mid-stream":
            await _begin(send)
            raise ValueError("sk-secret")
        case "/sleep":
            await asyncio.sleep(3600)
        case _:
            await start(send, 404)
            await write(send, b"", more=False)


async def _begin(send: Send) -> None:
    await start(send)
    await write(send, b"begun")


async def _answer(send: Send, value: object) -> None:
    await start(
        send, 200, [(b"content-type", b"application/json"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    )
    await write(send, json.dumps(value).encode(), more=False)


async def _relay(send: Send, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await start(send)
        while piece := await reader.read(65_536):
            await write(send, piece)
            writer.write(b"said\n")
        await write(send, b"", more=False)
    except asyncio.CancelledError:
        deployed.background.run(_say(writer, b"cancelled\n"))
        raise
    else:
        writer.write(b"whole\n")
        writer.close()


async def _work(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.read()
    await _say(writer, b"worked\n")


async def _say(writer: asyncio.StreamWriter, text: bytes) -> None:
    writer.write(text)
    await writer.drain()
    writer.close()


deployed = Plain()
handler = Handler(app, deployed)
