"""What a request is booked with, by what was seen of its attempts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.gateway.account import MAX_ROUTE, Account
from common.gateway.extent import Extent
from common.gateway.outcome import outcome_of
from common.gateway.quote import make_quote
from common.model.admission import Admission, Ask
from common.model.errors import (
    BudgetExceeded,
    RequestTooLarge,
    SluiceError,
    UpstreamBroken,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from common.model.ids import KeyId, RequestId, UserId
from common.model.limits import UNLIMITED, Headroom, Limit, Limits
from common.model.price import Prices
from common.model.principal import Principal
from common.model.usage import Booked, Bounds, CountedIn, Outcome, Tokens, UsageRecord
from common.routing.candidates import Candidate
from common.settings import ModelSettings, TargetSettings
from tests.support.records import misbooked

PRINCIPAL = Principal(KeyId("key_1"), UserId("ada"), frozenset(), Limits(budget_total=10**9))
EXTENT = Extent(
    text_bytes=400, messages=1, tools=False, media=0, choices=1, output_max=100, structured=False, audio=False
)
PRICES = Prices(input=1_000, output=10_000)  # one nano-dollar for a token of input, ten for one of output
HELD = 464 + 100 * 10
GUESSED = 100  # the input, and no output


def account(*, streamed: bool, candidates: int = 1) -> Account:
    """A request that candidates may answer, of prices that differ."""
    prices = [replace(PRICES, output=PRICES.output + nth, request=nth) for nth in range(candidates)]
    targets = tuple(
        TargetSettings(f"provider {nth}", f"model {nth}", each) for nth, each in enumerate(prices)
    )
    model = ModelSettings("model", targets)
    offered = [Candidate(model, target, "model") for target in targets]
    return Account("model", streamed, make_quote(EXTENT, offered, PRINCIPAL), started=0.0)


def recorded(request: Account, now: float = 1.0) -> UsageRecord:
    """Its record, by `now`."""
    quote = request.quote
    ask = Ask(RequestId("req_0000000000000001"), PRINCIPAL, 0, quote.tokens, quote.cost_nanousd)
    return request.record(Admission(ask, quote.cost_nanousd, 0, Headroom(None, None)), now)


def booked(request: Account) -> int:
    """What its record says that it cost, in nano-dollars."""
    assert request.quote.cost_nanousd == HELD
    return recorded(request).cost_nanousd


@pytest.mark.parametrize(
    ("streamed", "stops", "cost"),
    [
        pytest.param(True, True, GUESSED, id="stream that a cancel ends: what was seen"),
        pytest.param(True, False, HELD, id="stream that goes on: all that was held"),
        pytest.param(False, True, HELD, id="in one piece: nobody saw how much there was of it"),
        pytest.param(False, False, HELD, id="in one piece, and it goes on"),
    ],
)
@pytest.mark.parametrize("error", [UpstreamBroken("cut"), UpstreamTimeout("late"), None], ids=repr)
def test_broken_off(error: SluiceError | None, cost: int, *, streamed: bool, stops: bool) -> None:
    """What broke off, or was left by its client, is booked with no less than the provider may charge."""
    request = account(streamed=streamed)
    attempt = request.attempt(request.quote.offers[0], cancel_stops_billing=stops)
    if error is not None:
        attempt.failed(error)
    assert booked(request) == cost


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_refused(*, streamed: bool) -> None:
    """What the provider did not begin to work on costs nothing."""
    request = account(streamed=streamed)
    request.attempt(request.quote.offers[0], cancel_stops_billing=True).failed(UpstreamRateLimited("busy"))
    assert booked(request) == 0


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_whole_without_usage(*, streamed: bool) -> None:
    """An answer that is there is estimated by its length, four bytes to a token."""
    request = account(streamed=streamed)
    attempt = request.attempt(request.quote.offers[0], cancel_stops_billing=False)
    attempt.whole, attempt.content_bytes = True, 80
    assert booked(request) == GUESSED + 20 * 10


# -- what is to be told later -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_", "whole", "usage", "awaits"),
    [
        pytest.param("gen-1", False, None, True, id="broke off"),
        pytest.param(
            "gen-1", False, {"input": 90, "output": 10**9}, True, id="broke off, usage that cannot be true"
        ),
        pytest.param(None, False, None, False, id="nobody knows its id"),
        pytest.param("gen-1", True, None, False, id="whole: less than was held may be booked"),
        pytest.param("gen-1", False, {"input": 90, "output": 7}, False, id="usage is there"),
    ],
)
def test_awaiting(id_: str | None, usage: dict[str, int] | None, *, whole: bool, awaits: bool) -> None:
    """M2: a record awaits what its provider says only where all that was held is booked until then."""
    request = account(streamed=True)
    attempt = request.attempt(request.quote.offers[0], cancel_stops_billing=False, told_later=True)
    attempt.provider_request_id, attempt.usage, attempt.whole = id_, usage, whole
    record = recorded(request)
    assert record.awaiting == (CountedIn.KEY if awaits else None)
    assert record.route[0].awaits == (Bounds(464, 100) if awaits else None)
    assert not awaits or record.cost_nanousd == HELD


@pytest.mark.parametrize(
    ("key", "user", "booked", "counted"),
    [
        (True, True, True, CountedIn.KEY | CountedIn.USER),
        (False, True, True, CountedIn.USER),
        (False, False, True, CountedIn(0)),
        (True, True, False, CountedIn(0)),
    ],
)
def test_rows_to_correct(*, key: bool, user: bool, booked: bool, counted: CountedIn) -> None:
    """Only rows that hold the request will be corrected, none where it was admitted without a hold."""
    limits = Limits(requests_per_day=5)
    who = Principal(
        KeyId("k"), UserId("u"), frozenset(), limits if key else UNLIMITED, limits if user else UNLIMITED
    )
    request = account(streamed=True)
    attempt = request.attempt(request.quote.offers[0], cancel_stops_billing=False, told_later=True)
    attempt.provider_request_id = "gen-1"
    ask = Ask(RequestId("req_0000000000000001"), who, 0, 1, HELD)
    admission = Admission(ask, HELD, 0, Headroom(None, None), booked=booked)
    assert request.record(admission, 1.0).awaiting == counted


# -- the route ---------------------------------------------------------------------------------------------------------

ERRORS = (
    UpstreamBroken("cut"),
    UpstreamTimeout("late"),
    UpstreamRateLimited("busy"),
    UpstreamRejected("no", status=400, code="context_length_exceeded"),
)
USAGES = (None, {"input": 90, "output": 7}, {"input": 90, "output": 10**9}, {"input": -1, "output": 1})


@st.composite
def attempted(draw: st.DrawFn) -> Account:
    """A request with some attempts, each of which went somehow."""
    request = account(streamed=draw(st.booleans()), candidates=4)
    for offer in request.quote.offers[: draw(st.integers(0, 4))]:
        attempt = request.attempt(offer, cancel_stops_billing=draw(st.booleans()))
        attempt.usage = draw(st.sampled_from(USAGES))
        attempt.content_bytes = draw(st.integers(0, 200))
        attempt.took_s = draw(st.floats(0, 0.2))
        if (error := draw(st.none() | st.sampled_from(ERRORS))) is not None:
            attempt.failed(error)
        attempt.whole = error is None and draw(st.booleans())
    return request


@given(attempted())
def test_route_adds_up(asked: Account) -> None:
    """The route adds up to the record, and each cost is its tokens at its own prices, or what was held."""
    record = recorded(asked)
    assert misbooked(record) is None
    assert [(each.provider, each.model) for each in record.route] == [
        (each.offer.target.provider, each.offer.target.model) for each in asked.attempts
    ]
    for told, attempt in zip(record.route, asked.attempts, strict=True):
        assert (told.booked is Booked.NOTHING) == (not attempt.sent)
        if told.booked is Booked.HOLD:
            assert told.cost_nanousd == attempt.offer.cost_nanousd
    assert record.estimated == any(each.booked in {Booked.ESTIMATE, Booked.HOLD} for each in record.route)
    assert record.gateway_us is not None
    assert abs(1_000 - record.gateway_us / 1_000 - sum(each.took_ms for each in record.route)) <= 4


@pytest.mark.parametrize(
    ("error", "whole", "ended"),
    [
        (None, True, "ok"),
        (None, False, "cancelled"),
        (UpstreamTimeout("late"), False, "provider_timeout"),
        (UpstreamRejected("no", status=422, code="their_own"), False, "their_own"),
        (UpstreamRejected("no", status=422), False, "rejected"),
        (UpstreamRejected("no", status=422, code="x" * 100), False, "x" * 64),
    ],
)
def test_how_an_attempt_ended(error: SluiceError | None, ended: str, *, whole: bool) -> None:
    """A short code says how an attempt ended: the one that a client would be told."""
    request = account(streamed=False)
    attempt = request.attempt(request.quote.offers[0], cancel_stops_billing=False)
    attempt.whole = whole
    if error is not None:
        attempt.failed(error)
    [told] = recorded(request).route
    assert told.ended == ended


def test_long_route() -> None:
    """Of very many attempts a record tells those that are booked with something, and the last."""
    request = account(streamed=False, candidates=MAX_ROUTE + 8)
    *others, last = request.quote.offers
    for nth, offer in enumerate(others):
        attempt = request.attempt(offer, cancel_stops_billing=False)
        attempt.failed(UpstreamTimeout("late") if nth == 5 else UpstreamRateLimited("busy"))
    request.attempt(last, cancel_stops_billing=False).failed(UpstreamRateLimited("busy"))
    record = recorded(request)
    assert [each.provider for each in record.route] == ["provider 5", f"provider {MAX_ROUTE + 7}"]
    assert record.attempts == MAX_ROUTE + 8
    assert misbooked(record) is None


def test_no_attempt() -> None:
    """A request that was admitted and not sent has an empty route, and was the gateway's all the time."""
    record = recorded(account(streamed=False), now=0.25)
    assert (record.route, record.cost_nanousd, record.tokens) == ((), 0, Tokens())
    assert (record.gateway_us, record.provider_request_id) == (250_000, None)


@pytest.mark.parametrize("cls", [BudgetExceeded, RequestTooLarge])
def test_limit_is_nobodys_failure(cls: type[BudgetExceeded | RequestTooLarge]) -> None:
    """What a limit refuses is told apart from what is wrong with a request, and from what fails."""
    assert outcome_of(cls("no", limit=Limit.BUDGET_DAY, retry_after_ms=None)) is Outcome.LIMIT
