"""From an `Authorization` header to a `Principal`.

A key that was found is remembered for `CACHE_S`, by its full hash, and never beyond its end. So an instance that has
seen a key may serve it that long after it was changed elsewhere; the instance that changes it forgets it at once. Keys
that were refused are not remembered: a new key works at once.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from common.access.api_key import hash_key, is_well_formed
from common.access.plans import principal_of
from common.access.validity import good_until_ms, is_use_to_note
from common.model.errors import AuthenticationFailed, ModelNotFound, PermissionDenied
from common.model.ids import KeyId
from common.model.principal import Permission, Principal
from common.ports import Background, Clock, KeyStore, UserStore
from common.settings import PlanSettings

CACHE_S: Final = 60.0
CACHE_ENTRIES: Final = 4096
_BEARER: Final = "bearer "


class Authenticator:
    """Knows keys by asking a `KeyStore`, and for a minute by heart."""

    def __init__(
        self, keys: KeyStore, users: UserStore, plans: Mapping[str, PlanSettings], clock: Clock
    ) -> None:
        self.keys: Final = keys  # whoever changes one there calls `forget`
        self.clock: Final = clock
        self.users: Final = users
        self.plans: Final = plans
        self._cache: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._forgotten = 0

    async def authenticate(
        self, authorization: str | None, origin: str | None = None, background: Background | None = None
    ) -> Principal:
        """Who sent these headers. `AuthenticationFailed`; `PermissionDenied` where the key is not for this origin.

        `background`: where it is noted, now and then, that the key was used.
        """
        key = _bearer_key(authorization)
        key_hash = hash_key(key)
        entry = self._cache.get(key_hash)
        if entry is not None and self.clock.monotonic() < entry[0]:
            principal = entry[1]
        else:
            principal = await self._look_up(key, key_hash, background)
        if principal.origins and origin not in principal.origins:
            raise wrong_origin(origin)
        return principal

    def forget(self, key_id: KeyId) -> None:
        """Ask for this key again the next time, whatever is being looked up now."""
        self._forgotten += 1
        for key_hash in [each for each, (_, known) in self._cache.items() if known.key_id == key_id]:
            del self._cache[key_hash]

    async def _look_up(self, key: str, key_hash: bytes, background: Background | None) -> Principal:
        now, now_ms, forgotten = self.clock.monotonic(), self.clock.now_ms(), self._forgotten
        if not is_well_formed(key):
            raise _refused("Not an API key of this gateway: it must be `sk-sluice-...`, copied whole.")
        record = await self.keys.find(key_hash)
        self._cache.pop(key_hash, None)
        if record is None:
            raise _refused("No such API key. It may have been deleted.")
        until_ms = good_until_ms(record, key_hash, now_ms)
        user = await self.users.find(record.user)
        try:
            principal = principal_of(record, user, self.plans)
        except KeyError as plan:
            raise PermissionDenied(
                f"This API key or its user has the plan {plan}, which is not configured. "
                "This is for the gateway's operator to mend.",
                code="unknown_plan",
            ) from None
        for_s = CACHE_S if until_ms is None else min(CACHE_S, (until_ms - now_ms) / 1000)
        if forgotten == self._forgotten:
            self._remember(key_hash, now + for_s, principal)
        if background is not None and is_use_to_note(record, now_ms):
            background.run(self.keys.note_use(record.id, now_ms))
        return principal

    def _remember(self, key_hash: bytes, until: float, principal: Principal) -> None:
        self._cache[key_hash] = (until, principal)
        self._cache.move_to_end(key_hash)
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)


def require(principal: Principal, permission: Permission) -> None:
    """`PermissionDenied` where the principal lacks it."""
    if not principal.may(permission):
        raise PermissionDenied(
            f"This API key lacks the permission `{permission}`.", code="insufficient_permissions"
        )


def require_models(principal: Principal, models: object) -> None:
    """Of OpenRouter's `models`, which it may fall back to by itself: `ModelNotFound` for one that is not allowed."""
    for model in models if principal.models and isinstance(models, list) else ():
        if not isinstance(model, str) or not principal.may_use(model):
            raise ModelNotFound.named(str(model))


def wrong_origin(origin: str | None) -> PermissionDenied:
    """Of a request that comes from elsewhere than the key is for, or says nothing of where it comes from."""
    given = "of no web page (there is no Origin header)" if origin is None else "of this web page's origin"
    return PermissionDenied(
        f"This API key is not for requests {given}: the key's `origins` say which it is for.",
        code="origin_not_allowed",
    )


def _bearer_key(authorization: str | None) -> str:
    if authorization is None:
        raise _refused("No API key: send `Authorization: Bearer sk-sluice-...`.")
    if not authorization[: len(_BEARER)].lower() == _BEARER:
        raise _refused("The Authorization header must be `Bearer sk-sluice-...`.")
    return authorization[len(_BEARER) :].strip()


def _refused(message: str) -> AuthenticationFailed:
    return AuthenticationFailed(message, code="invalid_api_key")
