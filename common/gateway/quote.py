"""What a request may cost and use at most, for the meter to hold before anything is sent. Pure.

The hold covers one attempt at the dearest candidate. Where money binds the caller, a candidate whose cost has no bound
(no price, or nothing that bounds its output or input) is not reachable, and the output maximum is sent along.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from common.gateway.extent import Extent
from common.metering.budget import affordable_output
from common.metering.price import InputBound, input_bound, input_pico, output_pico, worst_case
from common.metering.usage_check import Evidence
from common.model.errors import InvalidRequest
from common.model.price import Prices
from common.model.principal import Principal
from common.routing.candidates import Candidate
from common.settings import TargetSettings


class Offer(NamedTuple):
    """A candidate with the bounds of this request there; None where there is none."""

    candidate: Candidate
    input: InputBound | None
    output_max: int | None  # of one choice
    cost_nanousd: int | None  # of one attempt; None: nobody can say
    said_tokens: int = 0  # estimated, of the beginning of an answer that it is given besides

    @property
    def target(self) -> TargetSettings:
        """Where it is, and what is known of it."""
        return self.candidate.target

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.target.provider

    @property
    def model(self) -> str:
        """The model's name there."""
        return self.target.model

    def evidence(self, quote: "Quote", content_bytes: int, content_events: int) -> Evidence:
        """What usage that it reports is checked against."""
        estimate = quote.extent.input_estimate + self.said_tokens
        read = self.input.total if self.input is not None else estimate
        output = (self.output_max or _LARGEST_OUTPUT) * quote.extent.choices
        return Evidence(read, output, estimate, content_bytes, content_events)


_LARGEST_OUTPUT: Final = 10**7  # tokens; stands for a maximum that nobody named


class Quote(NamedTuple):
    """All candidates that may answer, and what to ask the meter for."""

    extent: Extent
    offers: Sequence[Offer]
    output_max: int | None  # of one choice, where it has to be sent along because the request does not say it
    lowered: bool = False  # below what was asked for, because the money does not pay more

    @property
    def tokens(self) -> int:
        """Of the input, and of the output that was asked for."""
        output = max([offer.output_max or 0 for offer in self.offers], default=0)
        return self.extent.input_estimate + output * self.extent.choices

    @property
    def cost_nanousd(self) -> int:
        """Of one attempt at the dearest candidate."""
        return max([offer.cost_nanousd or 0 for offer in self.offers], default=0)


def make_quote(extent: Extent, candidates: Sequence[Candidate], principal: Principal) -> Quote:
    """The quote for a request. `InvalidRequest` where money binds its caller and no candidate's cost is bounded."""
    offers = [_offer(extent, candidate, principal) for candidate in candidates]
    if not principal.bound_by_money:
        return Quote(extent, offers, output_max=None)
    bounded = [offer for offer in offers if offer.cost_nanousd is not None]
    if not bounded:
        raise _unbounded(offers[0])
    asked = extent.output_max
    return Quote(
        extent, bounded, output_max=max(o.output_max or 0 for o in bounded) if asked is None else None
    )


def lower(quote: Quote, room_nanousd: int, at_least: int = 0) -> Quote | None:
    """The same request with as much output as the unspent money pays; None where that is none, or may not be cut.

    `at_least`: tokens to ask for even where the money pays fewer, for the meter to say why they can't be had.
    """
    if quote.extent.structured or quote.extent.audio:
        return None
    priced = [_priced(offer) for offer in quote.offers]
    dearest_input = max(input_pico(prices, bound) for prices, bound in priced)
    dearest_token = max(output_pico(prices, audio=False) for prices, _ in priced) * quote.extent.choices
    asked = max(offer.output_max or 0 for offer in quote.offers)
    paid = affordable_output(asked, room_nanousd, input_pico=dearest_input, token_pico=dearest_token)
    output = max(paid, at_least)
    if not 0 < output < asked:
        return None
    offers = [_lowered(quote.extent, offer, output) for offer in quote.offers]
    return Quote(quote.extent, offers, output_max=output, lowered=True)


def with_said(quote: Quote, offer: Offer, text_bytes: int) -> Offer:
    """The candidate, where the request has the beginning of an answer besides, of so many bytes."""
    size = quote.extent
    extent = size._replace(text_bytes=size.text_bytes + text_bytes, messages=size.messages + 1)
    bound = _input(extent, offer.target)
    cost_nanousd = _cost(extent, offer.target, bound, offer.output_max)
    said_tokens = extent.input_estimate - size.input_estimate
    return Offer(offer.candidate, bound, offer.output_max, cost_nanousd, said_tokens)


def _lowered(extent: Extent, offer: Offer, output: int) -> Offer:
    output_max = min(output, offer.output_max or output)
    return Offer(
        offer.candidate, offer.input, output_max, _cost(extent, offer.target, offer.input, output_max)
    )


def _priced(offer: Offer) -> tuple[Prices, InputBound]:
    assert offer.target.prices is not None  # only offers whose cost is known are left where money binds
    return offer.target.prices, offer.input or InputBound(0, 0)


def _unbounded(offer: Offer) -> InvalidRequest:
    """Why the cost at a candidate has no bound, and what to do."""
    name = offer.target.model
    if offer.target.prices is None:
        return InvalidRequest(
            f"This API key has a budget, and no price is configured for `{name}`.",
            param="model",
            code="unpriced_model",
        )
    if offer.input is None:
        return InvalidRequest(
            f"This API key has a budget, and what is not text in the messages has no bound for `{name}`: "
            "its context_length is not configured.",
            param="messages",
            code="unpriced_feature",
        )
    return InvalidRequest(
        f"This API key has a budget, and the answer of `{name}` has no bound: send max_tokens.",
        param="max_tokens",
        code="max_tokens_required",
    )


def _offer(extent: Extent, candidate: Candidate, principal: Principal) -> Offer:
    """A candidate with its bounds; the first maximum that somebody named is the output's."""
    target = candidate.target
    bound = _input(extent, target)
    output_max = extent.output_max
    if output_max is None:
        maxima = (principal.max_output_tokens, target.max_output_tokens, target.context_length)
        output_max = next((each for each in maxima if each is not None), None)
    return Offer(candidate, bound, output_max, _cost(extent, target, bound, output_max))


def _input(extent: Extent, target: TargetSettings) -> InputBound | None:
    return input_bound(
        extent.text_bytes,
        extent.messages,
        tools=extent.tools,
        media=[None] * extent.media,
        context_length=target.context_length,
    )


def _cost(
    extent: Extent, target: TargetSettings, bound: InputBound | None, output_max: int | None
) -> int | None:
    if target.prices is None:
        return None
    if target.prices.is_free:
        return 0
    if bound is None or output_max is None:
        return None
    return worst_case([target.prices], bound, output_max * extent.choices, audio=extent.audio)
