"""Which candidate is asked after which failure, how often, and in which way it is to go on with what was said."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pytest

from common.gateway.account import Account
from common.gateway.exchange import Exchange, Resumption
from common.gateway.extent import Extent
from common.gateway.fallback import Fallback, Manners
from common.gateway.gateway import Gateway
from common.gateway.pace import Pace
from common.gateway.quote import Offer, Quote, make_quote, with_said
from common.model.errors import (
    InvalidRequest,
    ModelUnavailable,
    SluiceError,
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from common.model.ids import KeyId, UserId
from common.model.limits import Limits
from common.model.price import Prices
from common.model.principal import Principal
from common.ports import UpstreamRequest, UpstreamResponse
from common.providers.continuation import Sent
from common.routing.candidates import Candidate
from common.routing.recourse import Recourse
from common.settings import ModelSettings, TargetSettings
from tests.support.answers import chunk
from tests.support.clock import FakeClock
from tests.support.gateway import memory_gateway

TOML = """
[providers.one]
kind = "openai"
base_url = "http://one/v1"
[providers.two]
kind = "openai"
base_url = "http://two/v1"
[providers.three]
kind = "openai"
base_url = "http://three/v1"
"""
PRINCIPAL = Principal(KeyId("key_1"), UserId("ada"), frozenset(), Limits())
EXTENT = Extent(
    text_bytes=400, messages=1, tools=False, media=0, choices=1, output_max=100, structured=False, audio=False
)
PRICES = Prices(input=1_000, output=10_000)


class Nowhere:
    """An `Upstream` that nobody is to ask."""

    def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """See `Upstream`."""
        raise AssertionError(request)


class NoLuck(random.Random):
    """Every pause is as short as it can be."""

    def random(self) -> float:
        """The least there is."""
        return 0.0


def offers(*targets: TargetSettings) -> Quote:
    """Candidates of one model."""
    model = ModelSettings("m", targets)
    return make_quote(EXTENT, [Candidate(model, target, "m") for target in targets], PRINCIPAL)


def target(
    provider: str, model: str = "m", *, context: int | None = 1_000, prefill: bool = False
) -> TargetSettings:
    """One of them."""
    return TargetSettings(provider, model, PRICES, context_length=context, assistant_prefill=prefill or None)


End: TypeAlias = SluiceError | str | None
"""How an attempt ends; a text: it says that, and breaks off."""


@dataclass
class Scene:
    """One request, and what was asked for it: a mark tells that it was to go on, `+`, or to begin anew, `~`."""

    gateway: Gateway
    quote: Quote
    ends: dict[str, list[End]]  # by provider, the last for ever
    sent: Sent | None = field(default_factory=Sent)
    further: Sequence[Offer] = ()
    covered: Callable[[Offer], bool] = lambda _: True
    asked: list[str] = field(default_factory=list)
    listed: list[Recourse] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The request's account."""
        self.account = Account("m", streamed=True, quote=self.quote, started=0.0)

    async def answer(self) -> None:
        """As `Fallback` does."""

        async def cover(offer: Offer) -> bool:
            return self.covered(offer)

        def further(why: Recourse) -> Sequence[Offer]:
            self.listed.append(why)
            return self.further

        manners = Manners(streamed=True, reasoning=False, deadline=2_000.0, sent=self.sent)
        played = Played(self)
        await Fallback(self.gateway, self.account, played, manners, cover=cover, further=further).answer(
            self.quote.offers
        )


class Played(Exchange):
    """Attempts that end as they are to."""

    __slots__ = ("_scene",)

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def run(self, offer: Offer, pace: Pace, resumption: Resumption | None = None) -> None:
        """See `Exchange`."""
        scene = self._scene
        mark = "" if resumption is None else "+" if resumption.is_prefilled else "~"
        scene.asked.append(offer.provider + mark)
        ends = scene.ends.get(offer.provider, [None])
        end = ends.pop(0) if len(ends) > 1 else ends[0]
        attempt = scene.account.attempt(offer, cancel_stops_billing=True)
        if isinstance(end, str):
            scene.account.first_content(1.0)
            if scene.sent is not None and end:
                scene.sent.keep(chunk({"content": end}))
            end = UpstreamBroken("The answer broke off.")
        if end is not None:
            attempt.failed(end)
            raise end


@pytest.fixture
async def gateway() -> Gateway:
    """One with three providers, and no luck."""
    held = await memory_gateway(TOML, Nowhere(), clock=FakeClock())  # type: ignore[arg-type]
    return replace(held.gateway, rng=NoLuck())


THREE = (target("one"), target("two"), target("three"))
TOO_LONG = UpstreamRejected("too long", status=400, code="context_length_exceeded")
FILTERED = UpstreamRejected("violent", status=400, code="content_filter")


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (UpstreamFailed("503"), "one one one two"),
        (UpstreamBroken("cut"), "one one one two"),
        (UpstreamUnreachable("no"), "one one one two"),
        (UpstreamRateLimited("slower"), "one one one two"),
        (UpstreamRateLimited("slower", retry_after_s=0.2), "one one one two"),
        (UpstreamRateLimited("slower", retry_after_s=60.0), "one two"),
        (UpstreamTimeout("silence"), "one two"),
        (UpstreamRefused("no money"), "one two"),
        (ModelUnavailable("no model"), "one two"),
        (UpstreamRejected("no such field", status=400, code="unsupported_parameter"), "one two"),
        (UpstreamRejected("not here", status=404), "one two"),
        (UpstreamRejected("wrong", status=400), "one"),
        (TOO_LONG, "one"),
        (FILTERED, "one"),
        (InvalidRequest("ours"), "one"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{type(value).__name__} {value.code or ''}",
)
async def test_attempts(gateway: Gateway, error: SluiceError, asked: str) -> None:
    """The same candidate as often as that may help, then the next, or nobody."""
    scene = Scene(gateway, offers(*THREE), {"one": [error]})
    if asked.endswith("two"):
        await scene.answer()
    else:
        with pytest.raises(type(error)) as caught:
            await scene.answer()
        assert caught.value is error
    assert scene.asked == asked.split()


async def test_attempts_are_bounded(gateway: Gateway) -> None:
    """Where all fail for ever, each is asked three times, and the retry budget bounds even that."""
    scene = Scene(gateway, offers(*THREE), {each.provider: [UpstreamFailed("503")] for each in THREE})
    with pytest.raises(UpstreamFailed) as caught:
        await scene.answer()
    tried = ", ".join(f"{each.provider}/m (provider_error) x 3" for each in THREE)
    assert caught.value.message == f"503 Tried: {tried}."
    assert scene.asked == ["one"] * 3 + ["two"] * 3 + ["three"] * 3
    total = len(scene.asked)
    for _ in range(20):
        again = Scene(gateway, offers(*THREE), {each.provider: [UpstreamFailed("503")] for each in THREE})
        with pytest.raises(UpstreamFailed):
            await again.answer()
        total += len(again.asked)
    assert total <= 21 * 3 + 3 * (10 + 7)


@pytest.mark.parametrize(
    ("error", "contexts", "asked"),
    [
        (TOO_LONG, (1_000, 1_000, 2_000), "one three"),
        (TOO_LONG, (1_000, None, 500), "one two"),
        (TOO_LONG, (None, 1_000, 2_000), "one two"),
        (TOO_LONG, (1_000, 1_000, 500), "one listed"),
        (FILTERED, (1_000, 9_000, 9_000), "one listed"),
    ],
)
async def test_who_may_do_better(
    gateway: Gateway, error: UpstreamError, contexts: tuple[int | None, ...], asked: str
) -> None:
    """Who is larger, as far as is known, else who is listed; a filter is not routed around."""
    targets = [
        target(name, context=context) for name, context in zip(("one", "two", "three"), contexts, strict=True)
    ]
    listed = offers(target("listed", "other")).offers
    scene = Scene(gateway, offers(*targets), {"one": [error]}, further=listed)
    await scene.answer()
    assert scene.asked == asked.split()


@pytest.mark.parametrize("error", [TOO_LONG, FILTERED], ids=["too long", "filtered"])
async def test_a_list_is_asked_once(gateway: Gateway, error: UpstreamError) -> None:
    """Those on it are asked once, whatever they say; who was asked before is left out."""
    listed = offers(target("one"), target("two", "other")).offers
    scene = Scene(gateway, offers(target("one")), {"one": [error], "two": [error]}, further=listed)
    with pytest.raises(UpstreamRejected):
        await scene.answer()
    assert scene.asked == ["one", "two"]
    assert len(scene.listed) == 1


@pytest.mark.parametrize(
    ("refused", "asked"),
    [
        ("one", "one two two two three three three"),
        ("two", "one one one"),
        ("three", "one one one two two two"),
    ],
)
async def test_what_cannot_be_held_for_is_not_asked(gateway: Gateway, refused: str, asked: str) -> None:
    """The first attempt was admitted; each further one is held for, or not made: a retry, or another candidate."""
    ends: dict[str, list[End]] = {each.provider: [UpstreamFailed("503")] for each in THREE}
    scene = Scene(gateway, offers(*THREE), ends, covered=lambda offer: offer.provider != refused)
    with pytest.raises(UpstreamFailed):
        await scene.answer()
    assert scene.asked == asked.split()


@pytest.mark.parametrize(
    ("others", "asked"),
    [
        ([target("two")], "one two~"),
        ([target("two", "Vendor/M")], "one two~"),
        ([target("two", "m-mini")], "one"),
        ([target("two", "other", prefill=True)], "one two+"),
        ([target("two", "m", prefill=True)], "one two+"),
        ([target("two", "other"), target("three")], "one three~"),
    ],
    ids=["same model", "same model, by another name", "another", "prefill", "prefill first", "passed over"],
)
async def test_ways(gateway: Gateway, others: list[TargetSettings], asked: str) -> None:
    """With its beginning where the candidate takes that, anew where it is the same model, else not at all."""
    scene = Scene(gateway, offers(target("one"), *others), {"one": ["Hello, "]})
    if " " in asked:
        await scene.answer()
    else:
        with pytest.raises(UpstreamBroken):
            await scene.answer()
    assert scene.asked == asked.split()


async def test_one_way_after_the_other(gateway: Gateway) -> None:
    """Where a beginning is refused the same model begins anew; then it is the next one's turn; each way once."""
    targets = [target("one"), target("two", prefill=True), target("three")]
    rejected = UpstreamRejected("no prefill", status=400)
    ends: dict[str, list[End]] = {"one": ["Hello, "], "two": [rejected, ""], "three": ["wo"]}
    scene = Scene(gateway, offers(*targets), ends)
    with pytest.raises(UpstreamBroken):
        await scene.answer()
    assert scene.asked == ["one", "two+", "two~", "three~"]


@pytest.mark.parametrize(
    "refuse", [UpstreamFailed("503"), UpstreamTimeout("silence"), InvalidRequest("it lacks a parameter")]
)
async def test_the_break_stands(gateway: Gateway, refuse: SluiceError) -> None:
    """Whatever comes of going on, the client hears of the break; nobody is tried twice for it."""
    scene = Scene(gateway, offers(target("one"), target("two")), {"one": ["Hello, "], "two": [refuse]})
    with pytest.raises(UpstreamBroken, match="broke off"):
        await scene.answer()
    assert scene.asked == ["one", "two~"]


async def test_not_wanted(gateway: Gateway) -> None:
    """Where nothing is kept of what was sent, nobody goes on, and nobody is asked again."""
    scene = Scene(gateway, offers(*THREE), {"one": ["Hello, "]}, sent=None)
    with pytest.raises(UpstreamBroken):
        await scene.answer()
    assert scene.asked == ["one"]


async def test_only_thoughts_were_sent(gateway: Gateway) -> None:
    """Without a text there is no beginning to give: whoever may go on begins anew."""
    sent = Sent()
    sent.keep(chunk({"reasoning_content": "Hm."}))
    quote = offers(target("one"), target("two", "other", prefill=True))
    scene = Scene(gateway, quote, {"one": [""]}, sent=sent)
    await scene.answer()
    assert scene.asked == ["one", "two~"]


async def test_going_on_is_held_for(gateway: Gateway) -> None:
    """The hold has the beginning of the answer in it, where a candidate is given that; else the next is asked."""
    targets = [target("one"), target("two", "other", prefill=True), target("three")]
    quote = offers(*targets)
    seen: list[Offer] = []

    def covered(offer: Offer) -> bool:
        seen.append(offer)
        return offer.provider != "two"

    scene = Scene(gateway, quote, {"one": ["Hello, "]}, covered=covered)
    await scene.answer()
    assert scene.asked == ["one", "three~"]
    assert [offer.cost_nanousd for offer in seen] == [
        with_said(quote, quote.offers[1], len("Hello, ")).cost_nanousd,
        quote.offers[2].cost_nanousd,
    ]


def test_what_was_said_counts_as_input() -> None:
    """In the bound that is held, and in the estimate where the provider does not say what it read."""
    quote = offers(target("one", context=None))
    (offer,) = quote.offers
    longer = with_said(quote, offer, 200)
    assert (offer.cost_nanousd, longer.cost_nanousd) == (464 + 1_000, 464 + 264 + 1_000)
    before, after = offer.evidence(quote, 0, 0), longer.evidence(quote, 0, 0)
    assert (before.input_bound, after.input_bound) == (464, 728)
    assert (before.input_estimate, after.input_estimate) == (100, 150)
