"""Bodies in the log, where `[server] log_bodies` turns that on: around the application, which without it is the same.

What is sent and received is looked at on its way; nothing is held back, and nothing waits.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.model.usage import Outcome
from common.telemetry.bodies import Bodies, BodyKeeper, StreamKeeper, tell_bodies
from common.telemetry.request_facts import RequestFacts

_STREAM: Final = b"text/event-stream"


class LoggedBodies:
    """An application whose bodies are told to the log, after the line of the request."""

    def __init__(self, app: ASGIApp, *, only_errors: bool) -> None:
        """`only_errors`: of requests that did not end well."""
        self._app = app
        self._only_errors = only_errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = BodyKeeper()
        answered: BodyKeeper | StreamKeeper = BodyKeeper()

        async def receive_on() -> Message:
            message = await receive()
            asked.add(message.get("body", b""))
            return message

        async def send_on(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                kinds = [value for name, value in message["headers"] if name == b"content-type"]
                if kinds and kinds[0].startswith(_STREAM):
                    answered = StreamKeeper()
            else:
                answered.add(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive_on, send_on)
        finally:
            facts: RequestFacts = scope["state"]["facts"]
            if not (self._only_errors and _is_well(facts)):
                tell_bodies(Bodies(facts.request_id, asked.whole(), answered.parts()))


def _is_well(facts: RequestFacts) -> bool:
    outcome = facts.outcome if facts.record is None else facts.record.outcome
    return outcome is Outcome.OK and 0 < facts.status < 400
