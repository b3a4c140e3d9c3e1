"""One completion, from the edge to its record. Read this file first.

1. Edge     `http/request.py` and `wire/openai/chat.py` have bounded, parsed and validated the request.
2. Access   `access/authenticate.py` has made its key a `Principal`, before the body was read.
3. Route    the model's name becomes candidates, in order of preference; `quote.py` bounds what they may cost.
4. Cache    (comes with the cache)
5. Admit    the meter holds what the request may use at most. Nothing is sent upstream before it.
6. Call     `fallback.py` tries candidates in order; `exchange.py` is one attempt.
7. Relay    the first content commits status and headers; then bytes flow. Where they break off, another goes on.
8. Settle   `Settling` hands the account to the background, whatever the ending.
9. Tell     the HTTP side logs one line, from the record that is settled (analytics come later)

Every exit passes through 8: success, a provider's error, a time-out, a break in the middle, the client's leaving, the
platform's deadline. What is raised before anything was sent is for the HTTP side to answer; a stream that has begun
is ended here, with an error event.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from common.access.authenticate import require_models
from common.access.delegation import is_admin
from common.access.end_user import hashed_end_user
from common.gateway.account import Account, Settling
from common.gateway.context import RequestContext, Wishes
from common.gateway.delivery import EventStream, Headers, Out
from common.gateway.draining import Draining
from common.gateway.exchange import Client, Exchange, drains
from common.gateway.extent import Extent, extent
from common.gateway.fallback import Fallback, Manners
from common.gateway.gateway import Gateway
from common.gateway.interrupt import Interruptible
from common.gateway.pace import asks_reasoning
from common.gateway.quote import Offer, Quote, lower, make_quote
from common.gateway.ratelimit import ratelimit_headers
from common.gateway.settlement import take_back
from common.gateway.spending import refuse_unpriced_features
from common.model.admission import Admission, Ask
from common.model.errors import (
    ClientLeft,
    InvalidRequest,
    LimitError,
    RequestTooLarge,
    StorageContended,
    StorageUnavailable,
)
from common.model.ids import RequestId
from common.model.limits import NO_LIMITS, Limit
from common.model.principal import Principal
from common.model.usage import UsageRecord
from common.providers.continuation import Sent
from common.routing.recourse import Recourse
from common.routing.selection import Selection, needs_of, select, session_of
from common.wire.json_members import JsonMembers
from common.wire.openai.chat import ChatRequest


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
        wishes: Wishes,
    ) -> None:
        """`body`: the same request as the client sent it. `CallerError` where nobody can answer it."""
        self._gateway = gateway
        self._context = context
        self._request = request
        self._body = body
        self._wishes = wishes
        require_models(principal, body.values.get("models"))
        if principal.bound_by_money:
            refuse_unpriced_features(body.values)
        size = extent(request, body)
        self._selection = self._select(size, principal)
        self._quote = make_quote(size, self._selection.candidates, principal)
        self._ask = Ask(
            request_id, principal, gateway.clock.now_ms(), self._quote.tokens, self._quote.cost_nanousd
        )
        self._account = Account(
            model=request.model,
            streamed=request.streamed,
            quote=self._quote,
            started=gateway.clock.monotonic(),
            session_id=wishes.session_id,
            trace_id=wishes.trace_id,
            end_user=hashed_end_user(gateway.settings.server.end_user_key, request.end_user),
        )
        self._headroom = NO_LIMITS
        # limits that would have refused it, were they not only observed
        self.observed: tuple[Limit, ...] = ()

    def _select(self, size: Extent, principal: Principal) -> Selection:
        """Who is asked, in which order. `CallerError` where nobody can answer, or nobody may be asked."""
        gateway, request, values = self._gateway, self._request, self._body.values
        resolved = gateway.directory.resolve(request.model, principal)
        return select(
            resolved,
            needs_of(request, values, size.input_estimate, size.output_max),
            session=session_of(values, self._wishes.session_id),
            expected_s=gateway.health.expected_s(gateway.clock.now_ms()),
            rng=gateway.rng,
            priced=principal.bound_by_money,
            longer=lambda: gateway.directory.context_fallbacks(resolved.candidates[0], principal),
        )

    async def run(self, out: Out) -> None:
        """Answer. Raises what went wrong; where the client was in the middle of a stream, after telling it there."""
        gateway, context = self._gateway, self._context
        asked = gateway.clock.monotonic()
        admission = await self._admit()
        self._account.storage_s = gateway.clock.monotonic() - asked
        draining: Draining | None = None
        if gateway.drains and any(
            drains(gateway.routes[each.provider].provider) for each in self._quote.offers
        ):
            draining = Draining(out, context, gateway.clock)
            out = draining.out
        with Settling(admission, self._account, gateway, context.background, draining) as settling:
            if self._request.streamed:
                await self._answer_streamed(out, settling, draining)
            else:
                with Interruptible(context, gateway.clock, self._deadline):
                    await self._answer(Client(out, None, self.headers, draining=draining), settling)

    @property
    def record(self) -> UsageRecord | None:
        """What is settled, once the answer has ended; None where nothing was admitted."""
        return self._account.settled

    @property
    def route(self) -> str | None:
        """Who was to be asked and who was not, with the reasons; None where there was nobody to choose from."""
        selection = self._selection
        return selection.told if len(selection.candidates) > 1 or selection.skipped else None

    @property
    def waited_s(self) -> float:
        """Seconds that were spent on providers: from asking each to the end of its answer, and between two tries."""
        return self._account.waited_s

    def headers(self) -> Headers:
        """Ours, on every answer that got as far as the meter."""
        headers = [
            (b"x-sluice-attempts", b"%d" % len(self._account.attempts)),
            *(() if self._headroom is NO_LIMITS else ratelimit_headers(self._headroom)),
        ]
        if self._quote.lowered:
            headers.append((b"x-sluice-max-tokens", b"%d" % (self._quote.output_max or 0)))
        if self._account.dropped:
            headers.append((b"x-sluice-dropped", ", ".join(self._account.dropped).encode()))
        if is_admin(self._ask.principal):
            headers.append((b"x-sluice-route", self._selection.told.encode()))
        return headers

    @property
    def _deadline(self) -> float:
        """By the monotonic clock."""
        most_s = self._gateway.settings.routing.deadline_s
        wanted_s = self._wishes.timeout_s
        return self._account.started + (most_s if wanted_s is None else min(wanted_s, most_s))

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
        self._headroom, self.observed = admission.headroom, admission.observed
        return admission

    def _lowered(self, refused: LimitError) -> Quote | None:
        """The quote with less output, where that may pass. One that is too large as a whole may be so for good, or only
        for what is left of the budget: that is the answer to a single token.
        """
        if refused.room_nanousd is None:
            return None
        return lower(self._quote, refused.room_nanousd, at_least=isinstance(refused, RequestTooLarge))

    async def _answer_streamed(self, out: Out, settling: Settling, draining: Draining | None) -> None:
        silence_s = self._gateway.settings.server.keep_alive_s
        stream = EventStream(out, self._context.background, self.headers, self._context.gone.set, silence_s)
        client = Client(out, stream, self.headers, self._sent(), draining)
        try:
            with Interruptible(self._context, self._gateway.clock, self._deadline):
                await self._answer(client, settling)
        except ClientLeft:
            raise
        except Exception as error:
            if out.started:
                await stream.fail(error)
            raise
        finally:
            stream.stop()

    def _sent(self) -> Sent | None:
        """What keeps a stream for another candidate to go on with; None where none could, or none is wanted."""
        wanted = self._wishes.resume and self._gateway.settings.routing.resume
        possible = len(self._quote.offers) > 1 and self._quote.extent.choices == 1
        return Sent() if wanted and possible else None

    async def _answer(self, client: Client, settling: Settling) -> None:
        gateway, account = self._gateway, self._account
        exchange = Exchange(
            gateway,
            account,
            self._request,
            self._body,
            client,
            bound_by_money=self._ask.principal.bound_by_money,
        )
        manners = Manners(
            streamed=self._request.streamed,
            reasoning=asks_reasoning(self._body.values),
            deadline=self._deadline,
            sent=client.sent,
        )
        fallback = Fallback(
            gateway,
            account,
            exchange,
            manners,
            cover=Cover(gateway, account, settling),
            further=self._further,
        )
        await fallback.answer(gateway.health.open_last(self._quote.offers, gateway.clock.now_ms()))

    def _further(self, recourse: Recourse) -> Sequence[Offer]:
        """Of the first candidate's model, the list for what only others can answer; those of it that can."""
        directory, principal = self._gateway.directory, self._ask.principal
        first, size = self._selection.candidates[0], self._quote.extent
        if recourse is Recourse.LARGER_CONTEXT:
            others = directory.context_fallbacks(first, principal)
        else:
            others = directory.content_filter_fallbacks(first, principal)
        needs = needs_of(self._request, self._body.values, size.input_estimate, size.output_max)
        able = [each for each in others if not each.lacks & needs.abilities]
        try:
            return make_quote(size, able, principal).offers if able else ()
        except InvalidRequest:
            return ()  # what they cost has no bound


class Cover:
    """Holds enough for one more attempt, should those before be billed."""

    __slots__ = ("_account", "_gateway", "_settling")

    def __init__(self, gateway: Gateway, account: Account, settling: Settling) -> None:
        self._gateway = gateway
        self._account = account
        self._settling = settling

    async def __call__(self, offer: Offer) -> bool:
        """Whether that is done; not where the meter refuses."""
        account, settling = self._account, self._settling
        sunk = sum(attempt.offer.cost_nanousd or 0 for attempt in account.attempts if attempt.sent)
        more = sunk + (offer.cost_nanousd or 0) - settling.admission.held_nanousd
        if more <= 0:
            return True
        clock = self._gateway.clock
        asked = clock.monotonic()
        try:
            settling.admission = await self._gateway.meter.extend(settling.admission, more)
        except LimitError:
            return False
        finally:
            account.storage_s += clock.monotonic() - asked
        return True
