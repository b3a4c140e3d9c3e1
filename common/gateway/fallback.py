"""Which candidate is asked, and asked again, until one has answered.

While no content has gone to the client, a failed attempt is made good by another one: at the same candidate after a
pause, then at the next. Behind content, another candidate goes on with the same answer, where that can be done so that
the client does not notice. What may help after which error is told by `routing/recourse.py`.

An attempt that may be billed is paid for, whether another one succeeds or not: before each further one, enough is held
for all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from common.gateway.account import Account
from common.gateway.exchange import Exchange, Resumption
from common.gateway.gateway import Gateway
from common.gateway.pace import Pace
from common.gateway.quote import Offer, with_said
from common.gateway.telling import most_telling
from common.model.errors import (
    InvalidRequest,
    ModelUnavailable,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefused,
)
from common.providers.continuation import Said, Sent
from common.routing.backoff import pause_s
from common.routing.recourse import Recourse, recourse

Failure: TypeAlias = UpstreamError | ModelUnavailable
_FAILURES: Final = (UpstreamError, ModelUnavailable)
_NOT_RESUMED: Final = (*_FAILURES, InvalidRequest)  # as where it lacks what may not be left out


class Manners(NamedTuple):
    """What the request and the configuration say of its attempts."""

    streamed: bool
    reasoning: bool  # the request asks for it
    deadline: float  # of all attempts, by the monotonic clock
    sent: Sent | None  # what the client has; None where nobody is to go on with it


class Fallback:
    """Tries the candidates of one request."""

    __slots__ = ("_account", "_asked_further", "_cover", "_exchange", "_further", "_gateway", "_manners")

    def __init__(
        self,
        gateway: Gateway,
        account: Account,
        exchange: Exchange,
        manners: Manners,
        *,
        cover: Callable[[Offer], Awaitable[bool]],
        further: Callable[[Recourse], Sequence[Offer]],
    ) -> None:
        """`cover`: hold enough for one more attempt, or say that it can't be held.

        `further`: candidates of other models that the operator names for such an error.
        """
        self._gateway = gateway
        self._account = account
        self._exchange = exchange
        self._manners = manners
        self._cover = cover
        self._further = further
        self._asked_further: set[Recourse] = set()

    async def answer(self, offers: Sequence[Offer]) -> None:
        """Ask until one has answered. Raises what tells most of why none did."""
        failures: list[Failure] = []
        try:
            await self._try(list(offers), failures)
            if failures:
                raise most_telling(failures, self._account.attempts)
        finally:
            del (
                failures
            )  # what is raised holds this frame: with it, the whole request would wait for a collection

    async def _try(self, left: list[Offer], failures: list[Failure]) -> None:
        """Ask one after the other. `failures` has those of all where none has answered, and else nothing."""
        while left:
            offer = left.pop(0)
            if failures and not await self._cover(offer):
                return
            failure = await self._ask(offer, left)
            if failure is None:
                failures.clear()
                return
            failures.append(failure)
            if self._account.first_byte is not None:
                if await self._has_gone_on(offer, left):
                    failures.clear()
                else:
                    del failures[:-1]
                return
            left = self._worth(offer, left, failure)

    async def _ask(self, offer: Offer, others: Sequence[Offer]) -> Failure | None:
        """Ask one candidate, as often as that is worth it. Returns what it ended with; None: it has answered."""
        clock = self._gateway.clock
        began = clock.monotonic()
        pace = self._pace(offer, others)
        attempts = 0
        while True:
            attempts += 1
            try:
                await self._exchange.run(offer, pace)
            except _FAILURES as failure:
                pause = self._pause_s(offer, others, failure, attempts, clock.monotonic() - began)
                if pause is None or not await self._cover(offer):
                    return failure
                paused = clock.monotonic()
                try:
                    await asyncio.sleep(pause)
                finally:
                    self._account.paused_s += clock.monotonic() - paused
            else:
                return None

    def _pace(self, offer: Offer, others: Sequence[Offer]) -> Pace:
        manners = self._manners
        return self._gateway.paces.of(
            streamed=manners.streamed,
            alone=not others,
            reasoning=manners.reasoning or bool(offer.target.reasoning),
            resumable=manners.sent is not None and any(_ways(offer, other) for other in others),
        )

    def _pause_s(
        self, offer: Offer, others: Sequence[Offer], failure: Failure, attempts: int, spent_s: float
    ) -> float | None:
        """How long to wait before the same candidate is asked again; None: it is not."""
        gateway = self._gateway
        if self._account.first_byte is not None:
            return None
        has_key = self._has_another_key(offer, failure)
        if recourse(failure) is not Recourse.HERE and not has_key:
            return None
        pause = pause_s(
            attempts,
            gateway.rng.random(),
            spent_s=spent_s,
            remaining_s=self._manners.deadline - gateway.clock.monotonic(),
            alone=not others,
            retry_after_s=None if has_key or isinstance(failure, ModelUnavailable) else failure.retry_after_s,
            retries=gateway.settings.routing.retries,
        )
        if pause is None or not gateway.health.may_retry(offer, gateway.clock.now_ms()):
            return None
        return 0.0 if has_key else pause

    def _has_another_key(self, offer: Offer, failure: Failure) -> bool:
        """Whether the failure is of the key alone, and the provider has another that is not at rest."""
        if not isinstance(failure, UpstreamRateLimited | UpstreamRefused):
            return False
        credentials = self._gateway.routes[offer.target.provider].provider.credentials
        return len(credentials.all) > 1 and credentials.ready(self._gateway.clock.monotonic())

    def _worth(self, failed: Offer, left: list[Offer], failure: Failure) -> list[Offer]:
        """Of the candidates that are left, those that may do better."""
        match recourse(failure):
            case Recourse.NOWHERE:
                return []
            case Recourse.CONTENT_FILTER as filtered:
                return self._listed(filtered)
            case Recourse.LARGER_CONTEXT as too_long:
                larger = [each for each in left if _is_larger(each, failed)]
                return larger or self._listed(too_long)
            case _:
                return list(self._gateway.health.open_last(left, self._gateway.clock.now_ms()))

    def _listed(self, why: Recourse) -> list[Offer]:
        """Whom the operator names for such an error: each list once, and nobody on it who was asked before."""
        if why in self._asked_further:
            return []
        self._asked_further.add(why)
        asked = {(attempt.offer.provider, attempt.offer.model) for attempt in self._account.attempts}
        return [each for each in self._further(why) if (each.provider, each.model) not in asked]

    async def _has_gone_on(self, broken: Offer, left: Sequence[Offer]) -> bool:
        """Whether another candidate has gone on with what the client has, to the end."""
        sent = self._manners.sent
        for offer in left if sent is not None else ():
            for is_prefilled in _ways(broken, offer):
                said = None if sent is None else sent.said()
                if said is None:
                    return False
                if await self._resumed(offer, said, is_prefilled=is_prefilled and bool(said.text.strip())):
                    return True
        return False

    async def _resumed(self, offer: Offer, said: Said, *, is_prefilled: bool) -> bool:
        """Whether this candidate has gone on to the end."""
        if is_prefilled:
            offer = with_said(self._account.quote, offer, len(said.text.encode()))
        if not await self._cover(offer):
            return False
        paces = self._gateway.paces
        try:
            await self._exchange.run(
                offer,
                paces.stream_to_resume if is_prefilled else paces.splice,
                Resumption(said, is_prefilled=is_prefilled),
            )
        except _NOT_RESUMED:
            return False
        return True


def _ways(broken: Offer, other: Offer) -> Iterator[bool]:
    """How another candidate may go on with a broken answer: given its beginning, or anew as the same model."""
    if other.target.assistant_prefill:
        yield True
    if _name(broken) == _name(other):
        yield False


def _name(offer: Offer) -> str:
    """Of the model, without the vendor that some providers put before it."""
    return offer.target.model.rpartition("/")[2].casefold()


def _is_larger(offer: Offer, failed: Offer) -> bool:
    """Whether more fits into it, as far as is known."""
    mine, its = offer.target.context_length, failed.target.context_length
    return mine is None or its is None or mine > its
