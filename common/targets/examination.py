"""What `sluice doctor` looks at in a place where stores are, whichever it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from common.adapters.clock import SystemClock
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId
from common.model.principal import KeyRecord, UserRecord
from common.ports import BreakerStore
from common.providers.examination import Finding, State
from common.routing.availability import degraded, keys_of
from common.routing.breaker import BreakerState
from common.routing.sharing import troubled
from common.settings import Settings
from common.settings.mistakes import toml_key

if TYPE_CHECKING:
    from common.targets.stores import Place

_NOBODY: Final = KeyId("key_doctor")  # an id that is never given
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    finding: Finding


async def check_stores(
    place: "Place", name: str, settings: Settings | None, *, advice_on_writing: str = ""
) -> list[Check]:
    """Whether they can be written, whether the plans that are named in them are among those of `settings`, and whom
    instances have told each other not to trust.
    """
    advice = ""  # in opening, the error itself says what to do
    try:
        async with place.stores() as stores:  # which also brings a schema up to date
            advice = advice_on_writing
            await stores.keys.note_use(_NOBODY, 0)  # a write that changes nothing
            keys, users = await stores.keys.list(), await stores.users.list()
            breakers = None
            if settings is not None and stores.breakers is not None:
                breakers = await _examine(stores.breakers, settings)
    except StorageUnavailable as error:
        return [Check("storage", Finding(State.FAILED, error.message, advice))]
    checks = [Check("storage", Finding(State.OK, f"{name} can be written."))]
    if settings is not None:
        checks.append(Check("plans", find_plans(keys, users, settings)))
    if breakers is not None:
        checks.append(Check("breakers", breakers))
    return checks


async def _examine(store: BreakerStore, settings: Settings) -> Finding:
    try:
        states = await troubled(store, keys_of(settings), SystemClock().now_ms())
    except StorageUnavailable as error:
        return Finding(State.UNKNOWN, error.message, "")
    return find_breakers(states, degraded(settings, states))


def find_breakers(states: Mapping[tuple[str, str], BreakerState], degraded: Sequence[str]) -> Finding:
    """Whether each model has a target whose breaker is closed. `states`: of those that are not."""
    if not states:
        return Finding(State.OK, "All breakers are closed.")
    told = [f"{provider}/{model} ({state})" for (provider, model), state in sorted(states.items())]
    said = f"Breakers that are not closed: {_some(told)}."
    if not degraded:
        return Finding(State.OK, f"{said} Each model has others.")
    return Finding(
        State.FAILED,
        f"{said} Nobody else is there for {_some(degraded)}.",
        "These are asked all the same, last. `sluice probe` asks them now, and tells what they say.",
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def find_plans(keys: Iterable[KeyRecord], users: Iterable[UserRecord], settings: Settings) -> Finding:
    """Whether all plans that keys and users have are configured; who has another is refused."""
    keys, users = list(keys), list(users)
    holders = [(f"key {key.id}", key.plan) for key in keys] + [
        (f"user {user.id}", user.plan) for user in users
    ]
    lost = [(holder, plan) for holder, plan in holders if plan and plan not in settings.plans]
    if not lost:
        counted = f"{len(keys)} {'key' if len(keys) == 1 else 'keys'}"
        counted += f" and {len(users)} {'user' if len(users) == 1 else 'users'} with limits"
        return Finding(State.OK, f"All plans of {counted} are configured.")
    shown = ", ".join(f"{holder} ({plan})" for holder, plan in lost[:_SHOWN])
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    plans = " and ".join(f"[plans.{toml_key(plan)}]" for plan in dict.fromkeys(plan for _, plan in lost))
    return Finding(
        State.FAILED,
        f"Plans that are not configured: {shown}{more}. Their requests are refused.",
        f"Configure {plans}, or give other plans with `sluice keys set` and `sluice users set`.",
    )
