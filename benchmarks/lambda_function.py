"""A function that answers at once. Sluice's runtime takes `handler`; run as a program, this file is the floor.

The floor is the least that a client of the Runtime API can do: it blocks, keeps its connection, and answers whole.
"""

import http.client
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from common.adapters.background import TaskBackground
from common.targets.aws.handler import Handler

ANSWER: Final = b"Hello."
_INVOCATION: Final = "/2018-06-01/runtime/invocation"

Message = MutableMapping[str, Any]


class Alone:
    """Nothing is behind it."""

    background = TaskBackground()

    def wake(self) -> None:
        """See `Deployed`."""

    def rest(self) -> None:
        """See `Deployed`."""

    def before_snapshot(self) -> None:
        """See `Deployed`."""

    def after_restore(self) -> None:
        """See `Deployed`."""


async def answer(
    _scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """As an application of ASGI."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": ANSWER})


handler = Handler(answer, Alone())


def floor() -> None:
    """Answer for ever."""
    platform = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    body = json.dumps({"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": ANSWER.decode()})
    while True:
        platform.request("GET", f"{_INVOCATION}/next")
        invocation = platform.getresponse()
        json.loads(invocation.read())
        platform.request(
            "POST", f"{_INVOCATION}/{invocation.headers['Lambda-Runtime-Aws-Request-Id']}/response", body
        )
        platform.getresponse().read()


if __name__ == "__main__":
    floor()
