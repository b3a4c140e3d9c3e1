"""Asking providers afterwards what they charged for answers whose end nobody saw, and correcting what was booked.

Until a provider tells, its generation costs what was held for it. It tells some seconds or minutes after the end, so it
is asked by each run in the first hour, and then in every hour. After a day what was booked stands.

A process that died leaves nothing to ask with: what its hold knows is booked (`metering/abandoned.py`), no id of a
provider's.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from common.gateway.account import UNTOLD
from common.gateway.gateway import Route
from common.gateway.relay import read_whole
from common.metering.corrector import correct
from common.metering.price import cost
from common.metering.rows import Rows
from common.metering.usage_check import Evidence, check_usage
from common.model.errors import SluiceError, StorageContended
from common.model.price import Prices
from common.model.usage import AttemptRecord, Booked, Tokens, UsageRecord
from common.ports import Clock
from common.providers.generation import MAX_BYTES, Generation, generation_requests, read_generation
from common.providers.openai_errors import failure

EVERY: Final = timedelta(minutes=5)
GIVE_UP_AFTER: Final = timedelta(days=1)
_OFTEN: Final = timedelta(hours=1)  # for so long at each run, afterwards once in so long
_AT_ONCE: Final = 8
_NOT_YET: Final = 404

_log = logging.getLogger("sluice.reconciliation")


async def reconcile(routes: Mapping[str, Route], rows: Rows, clock: Clock) -> tuple[int, int, int]:
    """Correct the records that await it: how many were, how many were given up, and how many still wait."""
    run = _Run(routes, rows, clock)
    after = ""
    while page := await rows.awaiting(after):
        for first in range(0, len(page), _AT_ONCE):
            await asyncio.gather(*map(run.look_at, page[first : first + _AT_ONCE]))
        after = page[-1].request_id
    return run.corrected, run.given_up, run.left


class _Run:
    """One run."""

    def __init__(self, routes: Mapping[str, Route], rows: Rows, clock: Clock) -> None:
        self.corrected = self.given_up = self.left = 0
        self._routes = routes
        self._rows = rows
        self._clock = clock
        self._failing: set[str] = set()  # providers that are not asked again in this run

    async def look_at(self, record: UsageRecord) -> None:
        """Ask for what a record awaits, where it is time; correct it when all is told, or too late."""
        age = timedelta(milliseconds=self._clock.now_ms() - record.started_ms)
        if not is_due(age):
            self.left += 1
            return
        each = await asyncio.gather(*map(self._ask, record.route))
        told = {index: generation for index, generation in enumerate(each) if generation is not None}
        complete = len(told) == sum(attempt.awaits is not None for attempt in record.route)
        if not complete and age < GIVE_UP_AFTER:
            self.left += 1
            return
        try:
            done = await correct(self._rows, self._clock, record, reconciled(record, told))
        except StorageContended:
            self.left += 1
            return
        self.corrected += done and complete
        self.given_up += done and not complete

    async def _ask(self, attempt: AttemptRecord) -> Generation | None:
        """What the provider says of an attempt that awaits it; None: nothing yet."""
        route, id_ = self._routes.get(attempt.provider), attempt.provider_request_id
        if attempt.awaits is None or route is None or id_ is None or attempt.provider in self._failing:
            return None
        try:
            for request in generation_requests(route.provider, id_):
                async with route.upstream.send(request) as response:
                    body = await read_whole(response, MAX_BYTES)
                    if response.status not in {200, _NOT_YET}:
                        raise failure(response.status, response.headers, body)
                    if generation := read_generation(response.status, body):
                        return generation
        except SluiceError as error:
            self._failing.add(attempt.provider)
            _log.warning("%s does not tell what it charged: %s", attempt.provider, error.code or type(error))
        return None


def is_due(age: timedelta) -> bool:
    """Whether a request of this age is asked for by this run."""
    return age < _OFTEN or age % _OFTEN < EVERY or age >= GIVE_UP_AFTER


def reconciled(record: UsageRecord, told: Mapping[int, Generation]) -> UsageRecord:
    """The record with what was told of its attempts, by their place in the route. It awaits nothing any more.

    What cannot be true changes nothing but the provider's own cost: the bound stays booked.
    """
    route = tuple(
        _reconciled(attempt, told.get(index)) if attempt.awaits is not None else attempt
        for index, attempt in enumerate(record.route)
    )
    costs = [record.provider_cost_nanousd, *(each.cost_nanousd for each in told.values())]
    known = [cost_nanousd for cost_nanousd in costs if cost_nanousd is not None]
    return replace(
        record,
        route=route,
        tokens=_sum([attempt.tokens for attempt in route]),
        cost_nanousd=sum(attempt.cost_nanousd for attempt in route),
        estimated=any(attempt.booked in UNTOLD for attempt in route),
        provider_cost_nanousd=sum(known) if known else None,
        awaiting=None,
    )


def _reconciled(attempt: AttemptRecord, generation: Generation | None) -> AttemptRecord:
    assert attempt.awaits is not None
    final = replace(attempt, awaits=None)
    if generation is None:
        return final
    seen = attempt.tokens  # an estimate: of the whole input, and of as much output as came
    most_input, most_output = attempt.awaits
    checked = check_usage(
        generation.usage, Evidence(most_input, most_output, seen.input, content_bytes=seen.output)
    )
    if checked.estimated:
        _log.warning("what %s says of %s cannot be true", attempt.provider, attempt.provider_request_id)
        return final
    charged = 0
    if attempt.prices is not None:
        prices = Prices(**attempt.prices._asdict(), request=attempt.request_price)
        charged = cost(prices, checked.tokens)
    return replace(final, booked=Booked.USAGE, tokens=checked.tokens, cost_nanousd=charged)


def _sum(each: Sequence[Tokens]) -> Tokens:
    return Tokens(*map(sum, zip(*each, strict=True)))
