"""What small ASGI applications in tests are made of."""

from collections.abc import Iterable

from common.targets.aws.asgi import Message, Receive, Send


async def start(send: Send, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Say status and headers."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def write(send: Send, body: bytes, *, more: bool = True) -> None:
    """Say a piece of the body."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the request's own body."""
    message = await receive()
    await start(send)
    await write(send, message["body"], more=False)
