"""`GET /v1/keys/me`: how far the limits are used that bind the key that asks."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict

from common.model.limits import Limit, LimitStanding
from common.model.money import MONEY, usd
from common.model.principal import Principal

_ANSWER: Final = ConfigDict(defer_build=True)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class StandingOfLimit(BaseModel):
    """One limit. Money is exact decimals of US dollars in strings, everything else whole numbers.

    `held` is for requests that are running. `resets_in_s`: when all that is used comes back; null: it does not, or
    when those requests end.
    """

    model_config = _ANSWER

    of: Literal["key", "user"]
    limit: Limit
    mode: Literal["enforce", "observe"]
    value: int | str
    used: int | str
    held: int | str
    remaining: int | str
    resets_in_s: int | None
    resets_at: str | None  # the same as a time in UTC

    @classmethod
    def all(cls, rows: Mapping[str, Sequence[LimitStanding]], now_ms: int) -> Iterator[Self]:
        """Of every row."""
        for row, limits in rows.items():
            for each in limits:
                yield cls(
                    of="key" if row.startswith("key:") else "user",
                    limit=each.limit,
                    mode="enforce" if each.is_enforced else "observe",
                    value=_amount(each.limit, each.value),
                    used=_amount(each.limit, each.used),
                    held=_amount(each.limit, each.held),
                    remaining=_amount(each.limit, each.remaining),
                    resets_in_s=None if each.resets_ms is None else -(-each.resets_ms // 1000),
                    resets_at=None if each.resets_ms is None else _time(now_ms + each.resets_ms),
                )


class KeyStanding(BaseModel):
    """A key, and the limits that bind it: its own, and those of its user for all the user's keys together."""

    model_config = _ANSWER

    object: Literal["key.standing"] = "key.standing"
    id: str
    user: str
    permissions: list[str]
    models: list[str] | None
    expires_ms: int | None
    limits: list[StandingOfLimit]

    @classmethod
    def of(cls, principal: Principal, rows: Mapping[str, Sequence[LimitStanding]], now_ms: int) -> Self:
        """As the meter says it at `now_ms`."""
        return cls(
            id=principal.key_id,
            user=principal.user,
            permissions=sorted(principal.permissions),
            models=list(principal.models) or None,
            expires_ms=principal.expires_ms,
            limits=list(StandingOfLimit.all(rows, now_ms)),
        )


def _amount(limit: Limit, amount: int) -> int | str:
    return usd(amount) if limit in MONEY else amount


def _time(at_ms: int) -> str:
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"
