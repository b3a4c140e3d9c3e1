"""From an `Authorization` header to a `Principal`.

A key that was found is remembered for `CACHE_S`, by its full hash; so a deleted key may be served that long by an
instance that has seen it. Keys that were not found are not remembered: a new key works at once.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from common.access.api_key import hash_key, is_well_formed
from common.access.plans import principal_of
from common.model.errors import AuthenticationFailed, PermissionDenied
from common.model.principal import Permission, Principal
from common.ports import Clock, KeyStore, UserStore
from common.settings import PlanSettings

CACHE_S: Final = 60.0
CACHE_ENTRIES: Final = 4096
_BEARER: Final = "bearer "


class Authenticator:
    """Knows keys by asking a `KeyStore`, and for a minute by heart."""

    def __init__(
        self, keys: KeyStore, users: UserStore, plans: Mapping[str, PlanSettings], clock: Clock
    ) -> None:
        self._keys = keys
        self._users = users
        self._plans = plans
        self._clock = clock
        self._cache: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def authenticate(self, authorization: str | None) -> Principal:
        """Who sent this header. `AuthenticationFailed` where it is nobody."""
        key = _bearer_key(authorization)
        key_hash = hash_key(key)
        now = self._clock.monotonic()
        if (entry := self._cache.get(key_hash)) is not None and now < entry[0]:
            return entry[1]
        if not is_well_formed(key):
            raise _refused("Not an API key of this gateway: it must be `sk-sluice-...`, copied whole.")
        record = await self._keys.find(key_hash)
        if record is None:
            self._cache.pop(key_hash, None)
            raise _refused("No such API key. It may have been deleted.")
        user = await self._users.find(record.user)
        try:
            principal = principal_of(record, user, self._plans)
        except KeyError as plan:
            raise PermissionDenied(
                f"This API key or its user has the plan {plan}, which is not configured. "
                "This is for the gateway's operator to mend.",
                code="unknown_plan",
            ) from None
        self._remember(key_hash, now + CACHE_S, principal)
        return principal

    def _remember(self, key_hash: bytes, until: float, principal: Principal) -> None:
        self._cache[key_hash] = (until, principal)
        self._cache.move_to_end(key_hash)
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)


def require(principal: Principal, permission: Permission) -> None:
    """`PermissionDenied` where the principal lacks it."""
    if permission not in principal.permissions:
        raise PermissionDenied(
            f"This API key lacks the permission `{permission}`.", code="insufficient_permissions"
        )


def _bearer_key(authorization: str | None) -> str:
    if authorization is None:
        raise _refused("No API key: send `Authorization: Bearer sk-sluice-...`.")
    if not authorization[: len(_BEARER)].lower() == _BEARER:
        raise _refused("The Authorization header must be `Bearer sk-sluice-...`.")
    return authorization[len(_BEARER) :].strip()


def _refused(message: str) -> AuthenticationFailed:
    return AuthenticationFailed(message, code="invalid_api_key")
