"""A function that answers its edge alone."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from common.targets.aws.asgi import Message, Receive, Send
from common.targets.aws.edge_only import HEADER, ORIGIN_SECRETS, edge_only

TWO: Final = {ORIGIN_SECRETS: "new-secret old-secret"}


class App:
    """Answers 200, and keeps the headers that it was called with."""

    def __init__(self) -> None:
        self.headers: list[list[tuple[bytes, bytes]]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        self.headers.append(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def call(app: Any, secrets: Sequence[bytes]) -> tuple[int, bytes]:
    """Status and body of a call that has the header with each of these values."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body is not looked at")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"accept", b"*/*"), *((HEADER, secret) for secret in secrets)]
    await app({"type": "http", "headers": headers}, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("variables", [{}, {ORIGIN_SECRETS: ""}, {ORIGIN_SECRETS: " "}])
def test_without_a_secret_nothing_stands_before_the_application(variables: dict[str, str]) -> None:
    """Its own URL is as good as the edge's, and costs nothing more."""
    app = App()
    assert edge_only(app, variables) is app


@pytest.mark.parametrize("secret", [b"new-secret", b"old-secret"])
async def test_either_secret_opens(secret: bytes) -> None:
    """And the application does not see it, so it can neither log it nor send it on."""
    app = App()
    status, _ = await call(edge_only(app, TWO), [secret])
    assert (status, app.headers) == (200, [[(b"accept", b"*/*")]])


@pytest.mark.parametrize(
    "secrets",
    [
        [],
        [b""],
        [b"new-secre"],
        [b"new-secret "],
        [b"new-secret old-secret"],
        [b"new-secret", b"new-secret"],
        [b"\xff"],
    ],
    ids=["none", "empty", "cut", "longer", "both in one", "twice", "no text"],
)
async def test_all_else_is_refused(secrets: list[bytes]) -> None:
    """In OpenAI's shape, before anything else is looked at."""
    app = App()
    status, body = await call(edge_only(app, TWO), secrets)
    assert (status, app.headers) == (403, [])
    assert b'"code":"not_the_base_url"' in body
    assert b"secret" not in body
