"""What one key may grant to another: never more than it may itself. Pure.

A key with `keys:write` makes and changes keys of its own user, each of them bounded by what bounds the maker:

- permissions, models and origins: all of them are among its own;
- its end: not later than its own;
- limits, plans included: for each limit of the maker's one that is not higher.

Many keys that each stay within a limit pass it together. So a key with a limit makes further keys only where its user
has that limit as well, which binds them all. With `admin`, none of this holds.
"""

from collections.abc import Iterable, Mapping

from common.access.plans import limits_of_key
from common.model.errors import PermissionDenied
from common.model.limits import Limit, Limits
from common.model.money import MONEY, usd
from common.model.principal import KeyRecord, Permission, Principal
from common.settings import PlanSettings


def is_admin(principal: Principal) -> bool:
    """Whether it may do everything, to everybody's keys."""
    return Permission.ADMIN in principal.permissions


def require_grantable(maker: Principal, key: KeyRecord, plans: Mapping[str, PlanSettings]) -> None:
    """`PermissionDenied`, with the field, where the key may do more than `maker`."""
    if is_admin(maker):
        return
    if key.user != maker.user:
        raise _exceeds("user", f"it manages keys of its own user, `{maker.user}`, alone")
    if lacking := sorted(each for each in key.permissions if not maker.may(each)):
        raise _exceeds("permissions", f"it has no {_list(lacking)} itself")
    if beyond := [each for each in key.models or ("*",) if not maker.globs.match(each)]:
        raise _exceeds("models", f"its own models, {_list(maker.models)}, do not cover {_list(beyond)}")
    if maker.origins and not (key.origins and set(key.origins) <= set(maker.origins)):
        raise _exceeds("origins", f"it is for {_list(maker.origins)} alone")
    if maker.expires_ms is not None and (key.expires_ms is None or key.expires_ms > maker.expires_ms):
        raise _exceeds("expires_ms", f"it expires itself, at {maker.expires_ms}")
    _require_limits(maker, key, plans)


def require_shared_limits(maker: Principal) -> None:
    """`PermissionDenied` where a limit of the maker's could be passed by several keys together."""
    if is_admin(maker):
        return
    for limit in Limit:
        if _value(maker.key_limits, limit) is not None and _value(maker.user_limits, limit) is None:
            raise _exceeds(
                f"limits.{limit}",
                "it has this limit and its user has not, so several keys could pass it together:"
                " the gateway's operator can give the user that limit as well",
            )


def _require_limits(maker: Principal, key: KeyRecord, plans: Mapping[str, PlanSettings]) -> None:
    try:
        limits = limits_of_key(key, plans)
    except KeyError:
        raise _exceeds("plan", "what the key's plan allows is not known: it is not configured") from None
    for limit in Limit:
        most, value = _value(maker.key_limits, limit), _value(limits, limit)
        if most is not None and (value is None or value > most):
            own = f"{usd(most)} USD" if limit in MONEY else most
            raise _exceeds(f"limits.{limit}", f"its own is {own}")


def _value(limits: Limits, limit: Limit) -> int | None:
    """Above what it refuses; what is only observed does not."""
    return None if limit in limits.observed else limits.stated(limit)


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)


def _exceeds(param: str, why: str) -> PermissionDenied:
    message = f"This API key cannot grant that (`{param}`): {why}."
    return PermissionDenied(message, param=param, code="exceeds_own_key")
