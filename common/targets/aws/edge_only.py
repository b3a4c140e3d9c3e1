"""Where functions answer their edge alone: who calls without the secret that the edge sends is refused.

The edge (CloudFront) cannot sign its calls: the header for that has the client's key. A function's own URL is open to
all, so what keeps others out is a header that the edge adds to each call. Two secrets may hold at the same time, while
one takes the place of the other.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from common.targets.aws.asgi import Application, Message, Receive, Send
from common.wire.openai.errors import envelope

ORIGIN_SECRETS: Final = "SLUICE_ORIGIN_SECRETS"
HEADER: Final = b"x-sluice-origin"
_REFUSAL: Final = envelope(
    "This URL answers its content delivery network only: use the gateway's base URL.",
    "invalid_request_error",
    code="not_the_base_url",
)
_HEADERS: Final = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


def edge_only(app: Application, environ: Mapping[str, str]) -> Application:
    """`app` itself where the variable names no secret. It has those that are accepted, with spaces between."""
    secrets = environ.get(ORIGIN_SECRETS, "").split()
    return _EdgeOnly(app, [secret.encode() for secret in secrets]) if secrets else app


class _EdgeOnly:
    """An ASGI application in front of another, which does not see the header."""

    def __init__(self, app: Application, secrets: Sequence[bytes]) -> None:
        self._app = app
        self._secrets = secrets

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        told = [value for name, value in scope["headers"] if name == HEADER]
        if len(told) == 1 and self._is_known(told[0]):
            scope["headers"] = [header for header in scope["headers"] if header[0] != HEADER]
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _REFUSAL})

    def _is_known(self, told: bytes) -> bool:
        """Compared with each, in a time that does not tell how much of one was right."""
        return any([hmac.compare_digest(told, secret) for secret in self._secrets])  # noqa: C419 - all, always
