"""One completion, from the edge to its record. Read this file first.

1. Edge     `http/bodies.py` and `wire/openai/chat.py` have bounded, parsed and validated the request.
2. Access   `access/authenticate.py` has made its key a `Principal`, before the body was read.
3. Route    the model's name becomes candidates, in order of preference.
4. Cache    (comes with the cache)
5. Admit    the meter takes what the request may use at most. Nothing is sent upstream before it.
6. Call     candidates are tried in order, while no content has gone to the client.
7. Relay    the first content commits status and headers; then bytes flow.
8. Settle   `Settling` hands the account to the background, whatever the ending.
9. Tell     (comes with telemetry)

Every exit passes through 8: success, a provider's error, a time-out, a break in the middle, the client's leaving, the
platform's deadline. What is raised before anything was sent is for the HTTP side to answer; a stream that has begun
is ended here, with an error event.
"""

from typing import Final

from common.gateway.account import Account, Settling
from common.gateway.context import RequestContext
from common.gateway.delivery import EventStream, Headers, Out
from common.gateway.gateway import Gateway
from common.gateway.interrupt import Interruptible
from common.gateway.relay import read_whole, relay
from common.model.admission import Ask
from common.model.errors import ClientLeft, UpstreamBroken, UpstreamError
from common.model.ids import RequestId
from common.model.principal import Principal
from common.ports import UpstreamResponse
from common.providers.openai import answer_usage, failure
from common.providers.openai_stream import ChatStream
from common.routing.candidates import candidates, worth_another_candidate
from common.settings import TargetSettings
from common.wire.json_members import JsonMembers
from common.wire.openai.chat import ChatRequest

HOLD_S: Final = 3_600  # after which an unsettled hold counts as abandoned: longer than any answer may take
MAX_ANSWER_BYTES: Final = 64 * 2**20
MAX_FAILURE_BYTES: Final = 2**20


class Call:
    """One completion. Made when the request is known to be well-formed; `run` answers it."""

    def __init__(
        self,
        gateway: Gateway,
        context: RequestContext,
        *,
        request_id: RequestId,
        principal: Principal,
        request: ChatRequest,
        body: JsonMembers,
    ) -> None:
        """`body`: the same request as the client sent it. `ModelNotFound` where nobody can answer it."""
        self._gateway = gateway
        self._context = context
        self._request = request
        self._body = body
        self._candidates = candidates(gateway.settings.models, request.model)
        now_ms = gateway.clock.now_ms()
        self._ask = Ask(request_id, principal, now_ms, now_ms + HOLD_S * 1000)
        self._account = Account(
            model=request.model,
            streamed=request.streamed,
            request_bytes=body.size,
            started=gateway.clock.monotonic(),
        )

    async def run(self, out: Out) -> None:
        """Answer. Raises what went wrong; where the client was in the middle of a stream, after telling it there."""
        gateway, context = self._gateway, self._context
        hold = await gateway.meter.admit(self._ask)
        with Settling(hold, self._account, gateway.meter, gateway.clock, context.background):
            if self._request.streamed:
                await self._answer_streamed(out)
            else:
                with Interruptible(context, gateway.clock):
                    await self._answer(out, None)

    def headers(self) -> Headers:
        """Ours, on every answer that got as far as here."""
        return [(b"x-sluice-attempts", b"%d" % self._account.attempts)]

    async def _answer_streamed(self, out: Out) -> None:
        client = EventStream(out, self._context.background, self.headers)
        try:
            with Interruptible(self._context, self._gateway.clock):
                await self._answer(out, client)
        except ClientLeft:
            raise
        except Exception as error:
            if out.started:
                await client.fail(error)
            raise
        finally:
            client.stop()

    async def _answer(self, out: Out, client: EventStream | None) -> None:
        """Try the candidates. `client`: where a stream goes."""
        last = len(self._candidates) - 1
        for index, target in enumerate(self._candidates):
            try:
                return await self._attempt(target, out, client)
            except UpstreamError as error:
                if (
                    index == last
                    or self._account.first_byte is not None
                    or not worth_another_candidate(error)
                ):
                    raise
        raise AssertionError("a model has at least one target")

    async def _attempt(self, target: TargetSettings, out: Out, client: EventStream | None) -> None:
        gateway = self._gateway
        route = gateway.routes[target.provider]
        request = route.provider.chat_request(self._body_for(target), gateway.timeouts)
        self._account.attempt(target.provider, target.model)
        async with route.upstream.send(request) as response:
            if response.status != 200:
                body = await read_whole(response, MAX_FAILURE_BYTES)
                raise failure(response.status, response.headers, body)
            if client is None:
                await self._pass_whole(response, out)
            else:
                await self._pass_stream(response, client)

    def _body_for(self, target: TargetSettings) -> bytes:
        """The client's own text, with only those members replaced that must be."""
        changes: dict[str, object] = {}
        if target.model != self._request.model:
            changes["model"] = target.model
        if self._request.streamed and not self._request.wants_usage:
            given = self._body.values.get("stream_options") or {}
            changes["stream_options"] = {**given, "include_usage": True}
        return self._body.with_members(changes)

    async def _pass_whole(self, response: UpstreamResponse, out: Out) -> None:
        body = await read_whole(response, MAX_ANSWER_BYTES)
        self._account.usage = answer_usage(body)
        self._account.output_bytes = len(body)
        self._account.first_byte = self._gateway.clock.monotonic()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await out.start(200, headers + self.headers())
        await out.end(body)

    async def _pass_stream(self, response: UpstreamResponse, client: EventStream) -> None:
        if response.headers.get("content-type", "").startswith("application/json"):
            answer_usage(
                await read_whole(response, MAX_ANSWER_BYTES)
            )  # raises the error that it most likely is
            raise UpstreamBroken("The provider answered in one piece where a stream was asked for.")
        answer = ChatStream(show_usage=self._request.wants_usage)
        try:
            await relay(response, answer, client, self._first_content)
        finally:
            self._account.usage = answer.usage
            self._account.output_bytes = answer.output_bytes

    def _first_content(self) -> None:
        self._account.first_byte = self._gateway.clock.monotonic()
