"""Which limits bind a key, and which its user: those of the plan, except where its own say otherwise. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from common.model.limits import UNLIMITED, Limits
from common.model.principal import KeyRecord, Principal, UserRecord
from common.settings import OnStorageFailure, PlanSettings


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
        needs_no_storage=_needs_no_storage(key_plan, key)
        and (user is None or _needs_no_storage(user_plan, user)),
        models=key.models,
        origins=key.origins,
        expires_ms=key.expires_ms,
    )


def limits_of_key(key: KeyRecord, plans: Mapping[str, PlanSettings]) -> Limits:
    """What binds a key by itself. Raises `KeyError` for a plan that is not configured (any more)."""
    return _limits(plans[key.plan] if key.plan else None, key)


def _limits(plan: PlanSettings | None, record: KeyRecord | UserRecord) -> Limits:
    limits = UNLIMITED if plan is None else plan.limits
    own: dict[str, Any] = {limit.value: value for limit, value in record.overrides.items()}
    return replace(limits, observed=limits.observed - record.overrides.keys(), **own) if own else limits


def _needs_no_storage(plan: PlanSettings | None, record: KeyRecord | UserRecord) -> bool:
    """Whether nothing limits it but a plan that lets requests pass while the storage fails. Never with a budget."""
    limits = _limits(plan, record)
    allowed = plan is not None and plan.on_storage_failure is OnStorageFailure.ALLOW
    return limits.is_unlimited or (allowed and not limits.has_budget)
