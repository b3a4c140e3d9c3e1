"""A call's answer as an ASGI response."""

from fastapi import Response
from starlette.types import Receive, Scope, Send

from common.gateway.call import Call
from common.gateway.delivery import Headers
from common.http.errors import error_headers, note
from common.model.errors import ClientLeft, SluiceError
from common.telemetry.request_facts import RequestFacts
from common.wire.openai.errors import envelope_of, kind_of


class AsgiOut:
    """`Out` over ASGI's `send`. A client that is not there any more is `ClientLeft`."""

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def start(self, status: int, headers: Headers) -> None:
        """See `Out.start`."""
        self.started = True
        await self._emit({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        """See `Out.write`."""
        await self._emit({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """See `Out.end`."""
        await self._emit({"type": "http.response.body", "body": data})

    async def _emit(self, message: dict[str, object]) -> None:
        try:
            await self._send(message)
        except OSError as error:
            raise ClientLeft("The client closed the connection.") from error


class CallResponse(Response):
    """Runs the call when it is sent: admission and settlement lie within it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.background = None

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """See ASGI. What is not an error of ours goes up, to be logged."""
        out = AsgiOut(send)
        facts: RequestFacts = scope["state"]["facts"]
        try:
            await self._call.run(out)
        except ClientLeft as error:
            note(facts, error)
        except SluiceError as error:
            note(facts, error)
            if not out.started:
                body = envelope_of(error)
                await out.start(kind_of(error).status, error_headers(error, body) + self._call.headers())
                await out.end(body)
        finally:
            facts.record, facts.observed = self._call.record, self._call.observed
            facts.route = self._call.route
            facts.waited_s += self._call.waited_s
