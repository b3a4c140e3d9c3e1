"""What a client is told where no candidate has answered. Pure.

Of several errors the one that tells most: what is wrong with the request, before how a provider was.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, TypeVar

from common.gateway.account import Attempt
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

_MOST_TOLD: Final = 8  # attempts
_ORDER: Final[Sequence[type[SluiceError]]] = (
    UpstreamRejected,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamBroken,
    UpstreamUnreachable,
    ModelUnavailable,
)
_E = TypeVar("_E", bound=SluiceError)


def most_telling(failures: Sequence[_E], attempts: Sequence[Attempt]) -> _E:
    """One of `failures`, at least one, with the attempts in its message where there was more than one."""
    chosen = min(failures, key=_rank)
    if len(attempts) > 1:
        chosen.message = f"{chosen.message} Tried: {_listed(attempts)}."
    return chosen


def _rank(error: SluiceError) -> int:
    return next((rank for rank, kind in enumerate(_ORDER) if isinstance(error, kind)), len(_ORDER))


def _listed(attempts: Sequence[Attempt]) -> str:
    """`one/model (provider_timeout), two/model (provider_error) x 3`."""
    names = [f"{each.offer.target.provider}/{each.offer.target.model} ({each.ended})" for each in attempts]
    told = [(name, len(list(same))) for name, same in groupby(names)]
    words = [name if times == 1 else f"{name} x {times}" for name, times in told[:_MOST_TOLD]]
    return ", ".join([*words, f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else words)
