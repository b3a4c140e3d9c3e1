"""Asking a candidate for one token, to see whether it answers: no key's request, so no key pays for it.

The request is made, and what comes back is read, as for any other. A model that reasons may refuse so low a maximum, as
OpenAI's do: that is an answer, too.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from common.gateway.gateway import Route
from common.gateway.relay import read_failure, read_whole
from common.metering.price import cost
from common.metering.usage_check import Evidence, check_usage
from common.model.errors import SluiceError, UpstreamError, UpstreamRejected, UpstreamTimeout
from common.ports import Clock, Timeouts, UpstreamRequest
from common.providers.codec import Answer
from common.providers.credentials import Credential
from common.providers.openai import refuse_compressed
from common.providers.openai_usage import reported_cost, reported_usage
from common.providers.provider import Provider
from common.routing.adaptation import adapt
from common.routing.candidates import Candidate
from common.wire.json_members import ABSENT, JsonMembers
from common.wire.openai.errors import kind_of

WITHIN_S: Final = 30.0
_TIMEOUTS: Final = Timeouts(connect_s=10.0, first_byte_s=WITHIN_S, idle_s=WITHIN_S, total_s=WITHIN_S)
_MOST_BYTES: Final = 2**20
_MOST_INPUT: Final = 256  # tokens, of a template around one word
_ABOUT_MAXIMUM: Final = re.compile(r"max_(?:completion_|output_)?tokens")


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of it. `cost_nanousd` None: nobody can say."""

    candidate: Candidate
    error: SluiceError | None
    took_s: float
    cost_nanousd: int | None

    @property
    def ended(self) -> str:
        """`ok`, or a code of what went wrong."""
        return "ok" if self.error is None else self.error.code or kind_of(self.error).code or "rejected"


async def probe(route: Route, candidate: Candidate, clock: Clock) -> Probed:
    """Ask once. Never raises what a provider brings about."""
    provider = route.provider
    asked = clock.monotonic()
    credential = provider.credentials.take(asked)
    try:
        async with asyncio.timeout(WITHIN_S):
            answer = await _ask(route, _request(provider, candidate, credential), clock)
    except TimeoutError:
        late = UpstreamTimeout("The provider did not answer in time.")
        return Probed(candidate, late, clock.monotonic() - asked, None)
    except SluiceError as error:
        error.message = provider.hide(error.message)
        provider.credentials.failed(credential, error, clock.monotonic())
        is_answer = isinstance(error, UpstreamRejected) and _ABOUT_MAXIMUM.search(
            f"{error.param} {error.message}"
        )
        billed = isinstance(error, UpstreamError) and error.may_be_billed
        took_s = clock.monotonic() - asked
        return Probed(candidate, None if is_answer else error, took_s, None if billed else 0)
    return Probed(candidate, None, clock.monotonic() - asked, _cost(candidate, answer))


def _request(provider: Provider, candidate: Candidate, credential: Credential) -> UpstreamRequest:
    text = {
        "model": candidate.target.model,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
    }
    body = JsonMembers(json.dumps(text).encode())
    changes: dict[str, Any] = {}
    if candidate.adaptation is not None:
        adapted = adapt(candidate.adaptation, body.values, {})
        changes = {**adapted.changes, **dict.fromkeys(adapted.removed, ABSENT)}
    return provider.chat_request(body, changes, output_max=1, credential=credential, timeouts=_TIMEOUTS)


async def _ask(route: Route, request: UpstreamRequest, clock: Clock) -> Answer:
    codec = route.provider.codec
    async with route.upstream.send(request) as response:
        if response.status != 200:
            body = await read_failure(response, _MOST_BYTES)
            raise codec.failure(response.status, response.headers, body)
        refuse_compressed(response.headers)
        return codec.read_answer(await read_whole(response, _MOST_BYTES), clock.now_ms() // 1000)


def _cost(candidate: Candidate, answer: Answer) -> int | None:
    """As the provider says, else by its usage, or an estimate, and the prices that are known."""
    prices = candidate.target.prices
    told = reported_cost(answer.usage)
    if told is not None or prices is None:
        return told
    evidence = Evidence(_MOST_INPUT, 1, input_estimate=8, content_bytes=answer.content_bytes)
    return cost(prices, check_usage(reported_usage(answer.usage), evidence).tokens)
