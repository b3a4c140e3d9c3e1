"""What a client is told where nobody has answered."""

from itertools import permutations

import pytest

from common.gateway.account import Attempt
from common.gateway.quote import Offer
from common.gateway.telling import most_telling
from common.model.errors import (
    ModelUnavailable,
    SluiceError,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from common.routing.candidates import Candidate
from common.settings import ModelSettings, TargetSettings


def errors() -> list[SluiceError]:
    """From the one that tells most to the one that tells least."""
    return [
        UpstreamRejected("the request is wrong", status=400),
        UpstreamRateLimited("be patient"),
        UpstreamRefused("the gateway's key is not accepted"),
        UpstreamFailed("failed"),
        UpstreamTimeout("silent"),
        UpstreamBroken("cut"),
        UpstreamUnreachable("not there"),
        ModelUnavailable("the embedded model does not start"),
    ]


def attempt(provider: str, error: SluiceError) -> Attempt:
    """One that ended so."""
    target = TargetSettings(provider, "m")
    offer = Offer(Candidate(ModelSettings("m", (target,)), target, "m"), None, None, None)
    made = Attempt(offer, cancel_stops_billing=True)
    made.failed(error)
    return made


@pytest.mark.parametrize("pair", [*permutations(range(len(errors())), 2)], ids=str)
def test_order(pair: tuple[int, int]) -> None:
    """What is wrong with the request is told before how a provider was, whichever came first."""
    failures = [errors()[place] for place in pair]
    assert most_telling(failures, []) is failures[pair.index(min(pair))]


def test_the_first_of_equals() -> None:
    """Of two that tell as much it is the first candidate's: it was the first choice."""
    first, second = UpstreamFailed("first"), UpstreamFailed("second")
    assert most_telling([first, second], []) is first


def test_one_attempt_is_not_listed() -> None:
    """There is nothing to add."""
    error = UpstreamFailed("It failed.")
    assert most_telling([error], [attempt("one", error)]).message == "It failed."


def test_attempts_are_listed() -> None:
    """In their order, with how each ended; those that are alike in a row together."""
    failed, silent = UpstreamFailed("It failed."), UpstreamTimeout("silent")
    attempts = [
        attempt("one", failed),
        attempt("one", failed),
        attempt("two", silent),
        attempt("one", failed),
    ]
    message = most_telling([failed, silent], attempts).message
    tried = "one/m (provider_error) x 2, two/m (provider_timeout), one/m (provider_error)"
    assert message == f"It failed. Tried: {tried}."


def test_the_list_is_bounded() -> None:
    """However many attempts there were, eight are told."""
    error = UpstreamFailed("It failed.")
    message = most_telling([error], [attempt(f"p{nth}", error) for nth in range(40)]).message
    assert message.endswith("p7/m (provider_error), and 32 more.")
    assert "p8/" not in message
