"""What a request is booked with, by what was seen of its attempts."""

import pytest

from common.gateway.account import Account
from common.gateway.extent import Extent
from common.gateway.quote import make_quote
from common.model.admission import Admission, Ask
from common.model.errors import SluiceError, UpstreamBroken, UpstreamRateLimited, UpstreamTimeout
from common.model.ids import KeyId, RequestId, UserId
from common.model.limits import Headroom, Limits
from common.model.price import Prices
from common.model.principal import Principal
from common.settings import TargetSettings

PRINCIPAL = Principal(KeyId("key_1"), UserId("ada"), frozenset(), Limits(budget_total=10**9))
EXTENT = Extent(
    text_bytes=400, messages=1, tools=False, media=0, choices=1, output_max=100, structured=False, audio=False
)
PRICES = Prices(input=1_000, output=10_000)  # one nano-dollar for a token of input, ten for one of output
HELD = 464 + 100 * 10
GUESSED = 100  # the input, and no output


def account(*, streamed: bool) -> Account:
    """A request that one candidate may answer."""
    target = TargetSettings("provider", "model", prices=PRICES, context_length=None, max_output_tokens=None)
    return Account("model", streamed, make_quote(EXTENT, [target], PRINCIPAL), started=0.0)


def booked(request: Account) -> int:
    """What its record says that it cost, in nano-dollars."""
    ask = Ask(
        RequestId("req_0000000000000001"), PRINCIPAL, 0, request.quote.tokens, request.quote.cost_nanousd
    )
    assert ask.cost_nanousd == HELD
    return request.record(Admission(ask, HELD, 0, Headroom(None, None)), 1.0).cost_nanousd


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
