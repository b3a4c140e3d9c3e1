"""Which limits bind a key, and which its user: those of the plan, except where its own say otherwise. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from common.model.limits import UNLIMITED, Limits
from common.model.principal import KeyRecord, Principal, UserRecord
from common.settings import PlanSettings


def principal_of(key: KeyRecord, user: UserRecord | None, plans: Mapping[str, PlanSettings]) -> Principal:
    """The caller that a key stands for. Raises `KeyError` for a plan that is not configured (any more)."""
    key_plan = plans[key.plan] if key.plan else None
    user_plan = plans[user.plan] if user is not None and user.plan else None
    own = [plan.max_output_tokens for plan in (key_plan, user_plan) if plan is not None]
    return Principal(
        key_id=key.id,
        user=key.user,
        permissions=key.permissions,
        key_limits=_limits(key_plan, key),
        user_limits=UNLIMITED if user is None else _limits(user_plan, user),
        max_output_tokens=min((each for each in own if each is not None), default=None),
    )


def _limits(plan: PlanSettings | None, record: KeyRecord | UserRecord) -> Limits:
    limits = UNLIMITED if plan is None else plan.limits
    return replace(limits, **{limit.value: value for limit, value in record.overrides.items()})
