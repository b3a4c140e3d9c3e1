"""One attempt: a request to one candidate, and its answer on the way to the client."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from common.gateway.account import Account, Attempt
from common.gateway.delivery import EventStream, Headers, Out
from common.gateway.draining import Draining
from common.gateway.gateway import Gateway, Route
from common.gateway.pace import Pace
from common.gateway.quote import Offer
from common.gateway.relay import read_failure, read_whole, relay
from common.gateway.time_limit import TimeLimit
from common.metering.usage_check import with_slack
from common.model.errors import InvalidRequest, SluiceError, UpstreamBroken, UpstreamTimeout
from common.ports import Timeouts, UpstreamRequest, UpstreamResponse
from common.providers.cloudflare_ai_gateway import LOG_ID
from common.providers.codec import AnswerStream, Codec
from common.providers.continuation import ResumedStream, Said, Sent, prefilled
from common.providers.credentials import Credential
from common.providers.openai import provider_request_id, refuse_compressed
from common.providers.openai_usage import reported_cost, reported_usage
from common.providers.provider import Provider
from common.routing.adaptation import adapt
from common.routing.recourse import Recourse, recourse
from common.settings import OnDisconnect
from common.wire.json_members import ABSENT, JsonMembers
from common.wire.openai.chat import ChatRequest

MAX_ANSWER_BYTES: Final = 32 * 2**20
MAX_FAILURE_BYTES: Final = 2**20


class Resumption(NamedTuple):
    """An answer that broke off, for this attempt to go on with."""

    said: Said
    is_prefilled: bool  # the candidate is asked to continue it; else it begins anew


class Client(NamedTuple):
    """Where the answer goes."""

    out: Out
    stream: EventStream | None  # of an answer that is streamed
    headers: Callable[[], Headers]  # ours, of an answer in one piece
    sent: Sent | None = None  # keeps what a stream has sent; None where nobody could go on with it
    draining: Draining | None = None  # carries exchanges that may go on without the client


class Exchange:
    """Asks candidates for one request's answer, one at a time."""

    __slots__ = ("_account", "_body", "_bound_by_money", "_client", "_gateway", "_request")

    def __init__(
        self,
        gateway: Gateway,
        account: Account,
        request: ChatRequest,
        body: JsonMembers,
        client: Client,
        *,
        bound_by_money: bool,
    ) -> None:
        """`bound_by_money`: providers are told not to take more than is held."""
        self._gateway = gateway
        self._account = account
        self._request = request
        self._body = body
        self._client = client
        self._bound_by_money = bound_by_money

    async def run(self, offer: Offer, pace: Pace, resumption: Resumption | None = None) -> None:
        """Ask. Raises what went wrong; content may have gone out by then."""
        gateway = self._gateway
        route = gateway.routes[offer.target.provider]
        provider = route.provider
        credential = provider.credentials.take(gateway.clock.monotonic())
        request = self._request_for(offer, provider, credential, pace.timeouts, resumption)
        attempts = self._account.attempts
        began = gateway.health.started(
            offer,
            gateway.clock.now_ms(),
            retry=bool(attempts) and any(each.offer.provider == offer.provider for each in attempts),
        )
        attempt = self._account.attempt(
            offer,
            cancel_stops_billing=provider.cancel_stops_billing,
            told_later=provider.on_disconnect is OnDisconnect.RECONCILE,
        )
        exchange = partial(
            self._exchange, route, credential, request, attempt, began=began, pace=pace, resumption=resumption
        )
        draining = self._client.draining
        if draining is None or not drains(provider):
            return await exchange()
        asked = gateway.clock.monotonic()
        try:
            await draining.carry(exchange)
        finally:
            attempt.took_s = gateway.clock.monotonic() - asked  # until now, should it go on

    async def _exchange(
        self,
        route: Route,
        credential: Credential,
        request: UpstreamRequest,
        attempt: Attempt,
        *,
        began: int,
        pace: Pace,
        resumption: Resumption | None,
    ) -> None:
        clock, provider = self._gateway.clock, route.provider
        attempt.asked = clock.monotonic()
        ended: Recourse | None = Recourse.NOWHERE  # should it be cancelled
        try:
            await self._ask(route, request, attempt, pace, resumption)
            ended = None
        except SluiceError as error:
            ended = recourse(error)
            attempt.failed(error)
            provider.credentials.failed(credential, error, clock.monotonic())
            error.message = provider.hide(error.message)
            raise
        finally:
            attempt.took_s = clock.monotonic() - attempt.asked
            self._gateway.health.ended(
                attempt.offer,
                began,
                clock.now_ms(),
                ended,
                first_token_s=attempt.first_content_s,
                tokens_per_s=attempt.tokens_per_s,
            )

    async def _ask(
        self,
        route: Route,
        request: UpstreamRequest,
        attempt: Attempt,
        pace: Pace,
        resumption: Resumption | None,
    ) -> None:
        try:
            with TimeLimit(pace.first_content_s) as patience:
                async with route.upstream.send(request) as response:
                    await self._pass_on(response, route.provider.codec, attempt, patience, resumption)
        except TimeoutError:
            raise UpstreamTimeout("The provider did not begin its answer in time.") from None

    async def _pass_on(
        self,
        response: UpstreamResponse,
        codec: Codec,
        attempt: Attempt,
        patience: TimeLimit,
        resumption: Resumption | None,
    ) -> None:
        attempt.provider_request_id = provider_request_id(response.headers.get(codec.id_header))
        attempt.gateway_log_id = provider_request_id(response.headers.get(LOG_ID))
        if response.status != 200:
            body = await read_failure(response, MAX_FAILURE_BYTES)
            raise codec.failure(response.status, response.headers, body)
        refuse_compressed(response.headers)
        stream = self._client.stream
        if stream is None:
            await self._pass_whole(response, codec, attempt)
            return
        if response.headers.get("content-type", "").startswith("application/json"):
            # raises the error that it most likely is
            codec.read_answer(await read_whole(response, MAX_ANSWER_BYTES))
            raise UpstreamBroken("The provider answered in one piece where a stream was asked for.")
        choices = self._account.quote.extent.choices
        answer: AnswerStream = codec.stream(
            show_usage=self._request.wants_usage,
            choices=choices,
            created_s=self._gateway.clock.now_ms() // 1000,
        )
        if resumption is not None:
            answer = ResumedStream(answer, resumption.said, continued=resumption.is_prefilled)
        await self._pass_stream(response, answer, stream, attempt, patience)

    def _request_for(
        self,
        offer: Offer,
        provider: Provider,
        credential: Credential,
        timeouts: Timeouts,
        resumption: Resumption | None,
    ) -> UpstreamRequest:
        """The client's own, with only those members replaced that must be."""
        changes: dict[str, Any] = {}
        request, quote = self._request, self._account.quote
        if offer.target.model != request.model:
            changes["model"] = offer.target.model
        if request.streamed and not request.wants_usage:
            given = self._body.values.get("stream_options") or {}
            changes["stream_options"] = {**given, "include_usage": True}
        if self._bound_by_money and offer.target.prices is not None:
            changes |= provider.price_bound(self._body.values, offer.target.prices)
        # a model's whole context is no maximum to tell it: beside any prompt, strict providers refuse it
        output_max = None if offer.output_max == offer.target.context_length else offer.output_max
        if quote.output_max is not None and output_max is not None:
            changes |= dict.fromkeys(request.output_fields, output_max)
        if resumption is not None and resumption.is_prefilled:
            changes["messages"] = prefilled(self._body.values["messages"], resumption.said.text)
            if offer.output_max is not None and quote.extent.output_max is not None:
                output_max = max(1, offer.output_max - resumption.said.tokens)
                changes |= dict.fromkeys(request.output_fields, output_max)
        adaptation = offer.candidate.adaptation
        if adaptation is not None:
            adapted = adapt(
                adaptation, self._body.values, changes, drop=self._gateway.settings.routing.drop_params
            )
            changes = {**adapted.changes, **dict.fromkeys(adapted.removed, ABSENT)}
            self._account.dropped = adapted.dropped
        if left_out := provider.codec.left_out(self._body, changes):
            self._leave_out(left_out)
        try:
            return provider.chat_request(
                self._body, changes, output_max=output_max, credential=credential, timeouts=timeouts
            )
        except RecursionError:  # a member that could just be read, on a stack that was less deep
            raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None

    def _leave_out(self, names: tuple[str, ...]) -> None:
        """Members that the provider's protocol has no word for. `InvalidRequest` where nothing may be left out."""
        if not self._gateway.settings.routing.drop_params:
            raise InvalidRequest(
                f"The provider does not take `{names[0]}`, and this gateway leaves nothing out.",
                param=names[0],
                code="unsupported_parameter",
            )
        self._account.dropped = tuple(dict.fromkeys((*self._account.dropped, *names)))

    async def _pass_whole(self, response: UpstreamResponse, codec: Codec, attempt: Attempt) -> None:
        body = await read_whole(response, MAX_ANSWER_BYTES)
        answer = codec.read_answer(body, self._gateway.clock.now_ms() // 1000)
        attempt.usage = reported_usage(answer.usage)
        attempt.provider_cost_nanousd = reported_cost(answer.usage)
        attempt.provider_request_id = answer.id or attempt.provider_request_id
        attempt.content_bytes = answer.content_bytes
        attempt.whole = True
        self._account.first_content(self._gateway.clock.monotonic())
        body = body if answer.body is None else answer.body
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        out = self._client.out
        await out.start(200, headers + self._client.headers())
        await out.end(body)

    async def _pass_stream(
        self,
        response: UpstreamResponse,
        answer: AnswerStream,
        client: EventStream,
        attempt: Attempt,
        patience: TimeLimit,
    ) -> None:
        account, clock = self._account, self._gateway.clock

        def on_first() -> None:
            now = clock.monotonic()
            attempt.first_content_s = now - attempt.asked
            account.first_content(now)
            patience.lift()  # where content and its end came at once, the content goes out, then breaks off

        try:
            await relay(
                response,
                answer,
                client,
                on_first=on_first,
                most_tokens=_most_tokens(attempt.offer, account.quote.extent.choices),
                sent=self._client.sent,
            )
            attempt.whole = True
        finally:
            attempt.usage = reported_usage(answer.usage)
            attempt.provider_cost_nanousd = reported_cost(answer.usage)
            attempt.provider_request_id = answer.id or attempt.provider_request_id
            attempt.content_bytes = answer.content_bytes
            attempt.content_events = answer.events


def _most_tokens(offer: Offer, choices: int) -> int | None:
    """Where a stream is cut: above what usage is believed to, from below."""
    return None if offer.output_max is None else with_slack(offer.output_max * choices)


def drains(provider: Provider) -> bool:
    """Whether its answers are read to their end without a client."""
    return provider.on_disconnect is OnDisconnect.DRAIN
