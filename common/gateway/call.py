"""One completion, from the edge to its record. Read this file first.

1. Edge     `http/request.py` and `wire/openai/chat.py` have bounded, parsed and validated the request.
2. Access   `access/authenticate.py` has made its key a `Principal`, before the body was read.
3. Route    the model's name becomes candidates, in order of preference; `quote.py` bounds what they may cost.
4. Cache    (comes with the cache)
5. Admit    the meter holds what the request may use at most. Nothing is sent upstream before it.
6. Call     candidates are tried in order, while no content has gone to the client.
7. Relay    the first content commits status and headers; then bytes flow.
8. Settle   `Settling` hands the account to the background, whatever the ending.
9. Tell     the HTTP side logs one line, from the record that is settled (analytics come later)

Every exit passes through 8: success, a provider's error, a time-out, a break in the middle, the client's leaving, the
platform's deadline. What is raised before anything was sent is for the HTTP side to answer; a stream that has begun
is ended here, with an error event.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

from common.access.authenticate import require_model
from common.access.end_user import hashed_end_user
from common.gateway.account import Account, Attempt, Settling
from common.gateway.context import RequestContext
from common.gateway.delivery import EventStream, Headers, Out
from common.gateway.draining import Draining
from common.gateway.extent import extent
from common.gateway.gateway import Gateway, Route
from common.gateway.interrupt import Interruptible
from common.gateway.quote import Offer, Quote, lower, make_quote
from common.gateway.ratelimit import ratelimit_headers
from common.gateway.relay import read_failure, read_whole, relay
from common.gateway.settlement import take_back
from common.gateway.spending import refuse_unpriced_features
from common.metering.usage_check import with_slack
from common.model.admission import Admission, Ask
from common.model.errors import (
    ClientLeft,
    InvalidRequest,
    LimitError,
    RequestTooLarge,
    SluiceError,
    StorageContended,
    StorageUnavailable,
    UpstreamBroken,
    UpstreamError,
)
from common.model.ids import RequestId
from common.model.limits import Headroom
from common.model.principal import Principal
from common.model.usage import UsageRecord
from common.ports import UpstreamRequest, UpstreamResponse
from common.providers.openai import Provider, provider_request_id, read_answer, refuse_compressed
from common.providers.openai_errors import failure
from common.providers.openai_stream import ChatStream
from common.providers.openai_usage import reported_cost, reported_usage
from common.routing.candidates import candidates, worth_another_candidate
from common.settings import OnDisconnect
from common.wire.json_members import JsonMembers
from common.wire.openai.chat import ChatRequest

HOLD_S: Final = 3_600  # after which an unsettled hold counts as abandoned: longer than any answer may take
MAX_ANSWER_BYTES: Final = 32 * 2**20
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
        session_id: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        """`body`: the same request as the client sent it. `CallerError` where nobody can answer it.

        `session_id` and `trace_id` are for the record alone.
        """
        self._gateway = gateway
        self._context = context
        self._request = request
        self._body = body
        require_model(principal, request.model)
        if principal.bound_by_money:
            refuse_unpriced_features(body.values)
        targets = candidates(gateway.settings.models, request.model)
        self._quote = make_quote(extent(request, body), targets, principal)
        self._ask = Ask(
            request_id, principal, gateway.clock.now_ms(), self._quote.tokens, self._quote.cost_nanousd
        )
        self._account = Account(
            model=request.model,
            streamed=request.streamed,
            quote=self._quote,
            started=gateway.clock.monotonic(),
            session_id=session_id,
            trace_id=trace_id,
            end_user=hashed_end_user(gateway.settings.server.end_user_key, request.end_user),
        )
        self._headroom = Headroom(None, None)
        self._draining: Draining | None = None

    async def run(self, out: Out) -> None:
        """Answer. Raises what went wrong; where the client was in the middle of a stream, after telling it there."""
        gateway, context = self._gateway, self._context
        asked = gateway.clock.monotonic()
        admission = await self._admit()
        self._account.storage_s = gateway.clock.monotonic() - asked
        if any(_drains(gateway.routes[offer.target.provider].provider) for offer in self._quote.offers):
            self._draining = Draining(out, context, gateway.clock)
            out = self._draining.out
        with Settling(admission, self._account, gateway, context.background, self._draining) as settling:
            if self._request.streamed:
                await self._answer_streamed(out, settling)
            else:
                with Interruptible(context, gateway.clock):
                    await self._answer(out, None, settling)

    @property
    def record(self) -> UsageRecord | None:
        """What is settled, once the answer has ended; None where nothing was admitted."""
        return self._account.settled

    @property
    def waited_s(self) -> float:
        """Seconds that were spent on providers: from asking each to the end of its answer."""
        return sum(attempt.took_s for attempt in self._account.attempts)

    def headers(self) -> Headers:
        """Ours, on every answer that got as far as the meter."""
        headers = [
            (b"x-sluice-attempts", b"%d" % len(self._account.attempts)),
            *ratelimit_headers(self._headroom),
        ]
        if self._quote.lowered:
            headers.append((b"x-sluice-max-tokens", b"%d" % (self._quote.output_max or 0)))
        return headers

    async def _admit(self) -> Admission:
        """Ask the meter; where the money is too short for the output that was asked for, for as much as it pays."""
        meter = self._gateway.meter
        try:
            try:
                admission = await meter.admit(self._ask)
            except LimitError as refused:
                lowered = self._lowered(refused)
                if lowered is None:
                    raise
                self._quote = self._account.quote = lowered
                self._ask = replace(self._ask, tokens=lowered.tokens, cost_nanousd=lowered.cost_nanousd)
                admission = await meter.admit(self._ask)
        except LimitError as refused:
            self._headroom = refused.headroom
            raise
        except StorageContended:
            raise  # for certain, nothing was written
        except (StorageUnavailable, asyncio.CancelledError):
            self._context.background.run(take_back(meter, self._ask))
            raise
        self._headroom = admission.headroom
        return admission

    def _lowered(self, refused: LimitError) -> Quote | None:
        """The quote with less output, where that may pass. One that is too large as a whole may be so for good, or only
        for what is left of the budget: that is the answer to a single token.
        """
        if refused.room_nanousd is None:
            return None
        return lower(self._quote, refused.room_nanousd, at_least=isinstance(refused, RequestTooLarge))

    async def _answer_streamed(self, out: Out, settling: Settling) -> None:
        client = EventStream(out, self._context.background, self.headers, self._context.gone.set)
        try:
            with Interruptible(self._context, self._gateway.clock):
                await self._answer(out, client, settling)
        except ClientLeft:
            raise
        except Exception as error:
            if out.started:
                await client.fail(error)
            raise
        finally:
            client.stop()

    async def _answer(self, out: Out, client: EventStream | None, settling: Settling) -> None:
        """Try the candidates. `client`: where a stream goes."""
        *others, last = self._quote.offers
        for offer, following in zip(others, self._quote.offers[1:], strict=True):
            try:
                return await self._attempt(offer, out, client)
            except UpstreamError as error:
                if self._account.first_byte is not None or not worth_another_candidate(error):
                    raise
                await self._cover(following, settling, error)
        return await self._attempt(last, out, client)

    async def _cover(self, offer: Offer, settling: Settling, error: UpstreamError) -> None:
        """Hold enough for one more attempt, should those before be billed. Where the meter refuses, `error` stands."""
        sunk = sum(attempt.offer.cost_nanousd or 0 for attempt in self._account.attempts if attempt.sent)
        more = sunk + (offer.cost_nanousd or 0) - settling.admission.held_nanousd
        if more <= 0:
            return
        clock = self._gateway.clock
        asked = clock.monotonic()
        try:
            settling.admission = await self._gateway.meter.extend(settling.admission, more)
        except LimitError:
            raise error from None
        finally:
            self._account.storage_s += clock.monotonic() - asked

    async def _attempt(self, offer: Offer, out: Out, client: EventStream | None) -> None:
        gateway, target = self._gateway, offer.target
        route = gateway.routes[target.provider]
        request = route.provider.chat_request(self._body_for(offer), gateway.timeouts)
        attempt = self._account.attempt(
            offer,
            cancel_stops_billing=route.provider.cancel_stops_billing,
            told_later=route.provider.on_disconnect is OnDisconnect.RECONCILE,
        )
        exchange = partial(self._exchange, route, request, attempt, out, client)
        if self._draining is None or not _drains(route.provider):
            return await exchange()
        asked = gateway.clock.monotonic()
        try:
            await self._draining.carry(exchange)
        finally:
            attempt.took_s = gateway.clock.monotonic() - asked  # until now, should it go on

    async def _exchange(
        self, route: Route, request: UpstreamRequest, attempt: Attempt, out: Out, client: EventStream | None
    ) -> None:
        clock = self._gateway.clock
        asked = clock.monotonic()
        try:
            async with route.upstream.send(request) as response:
                if response.status != 200:
                    body = await read_failure(response, MAX_FAILURE_BYTES)
                    raise failure(response.status, response.headers, body)
                refuse_compressed(response.headers)
                attempt.provider_request_id = provider_request_id(response.headers.get("x-generation-id"))
                if client is None:
                    await self._pass_whole(response, out, attempt)
                else:
                    await self._pass_stream(response, client, attempt)
        except SluiceError as error:
            attempt.failed(error)
            error.message = route.provider.hide(error.message)
            raise
        finally:
            attempt.took_s = clock.monotonic() - asked

    def _body_for(self, offer: Offer) -> bytes:
        """The client's own text, with only those members replaced that must be."""
        changes: dict[str, object] = {}
        request, quote = self._request, self._quote
        if offer.target.model != request.model:
            changes["model"] = offer.target.model
        if request.streamed and not request.wants_usage:
            given = self._body.values.get("stream_options") or {}
            changes["stream_options"] = {**given, "include_usage": True}
        if self._ask.principal.bound_by_money and offer.target.prices is not None:
            provider = self._gateway.routes[offer.target.provider].provider
            changes |= provider.price_bound(self._body.values, offer.target.prices)
        # a model's whole context is no maximum to tell it: beside any prompt, strict providers refuse it
        if quote.output_max is not None and offer.output_max != offer.target.context_length:
            changes |= dict.fromkeys(request.output_fields, offer.output_max)
        try:
            return self._body.with_members(changes)
        except RecursionError:  # a member that could just be read, on a stack that was less deep
            raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None

    async def _pass_whole(self, response: UpstreamResponse, out: Out, attempt: Attempt) -> None:
        body = await read_whole(response, MAX_ANSWER_BYTES)
        answer = read_answer(body)
        attempt.usage = reported_usage(answer.usage)
        attempt.provider_cost_nanousd = reported_cost(answer.usage)
        attempt.provider_request_id = answer.id or attempt.provider_request_id
        attempt.content_bytes = answer.content_bytes
        attempt.whole = True
        self._first_content()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await out.start(200, headers + self.headers())
        await out.end(body)

    async def _pass_stream(self, response: UpstreamResponse, client: EventStream, attempt: Attempt) -> None:
        if response.headers.get("content-type", "").startswith("application/json"):
            read_answer(
                await read_whole(response, MAX_ANSWER_BYTES)
            )  # raises the error that it most likely is
            raise UpstreamBroken("The provider answered in one piece where a stream was asked for.")
        answer = ChatStream(show_usage=self._request.wants_usage, choices=self._quote.extent.choices)
        try:
            await relay(response, answer, client, self._first_content, self._most_tokens(attempt.offer))
            attempt.whole = True
        finally:
            attempt.usage = reported_usage(answer.usage)
            attempt.provider_cost_nanousd = reported_cost(answer.usage)
            attempt.provider_request_id = answer.id or attempt.provider_request_id
            attempt.content_bytes = answer.content_bytes
            attempt.content_events = answer.events

    def _most_tokens(self, offer: Offer) -> int | None:
        """Where a stream is cut: above what usage is believed to, from below."""
        if offer.output_max is None:
            return None
        return with_slack(offer.output_max * self._quote.extent.choices)

    def _first_content(self) -> None:
        self._account.first_byte = self._gateway.clock.monotonic()


def _drains(provider: Provider) -> bool:
    return provider.on_disconnect is OnDisconnect.DRAIN
