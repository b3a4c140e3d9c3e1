"""Keys, as far as one principal may manage them: its own user's, that may do no more than itself; as `admin` all."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from common.access.authenticate import Authenticator
from common.access.delegation import is_admin, require_grantable, require_shared_limits
from common.model.errors import NotFound, PermissionDenied, StorageUnavailable
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord, Principal
from common.ports import KeyStore

TRIES: Final = 5


async def change_key(
    keys: KeyStore, key_id: KeyId, change: Callable[[KeyRecord], KeyRecord]
) -> KeyRecord | None:
    """The key as it is with `change`, made again where somebody else was faster; None where there is no such key."""
    for _ in range(TRIES):
        record = await keys.get(key_id)
        if record is None:
            return None
        changed = change(record)
        if await keys.update(changed):
            return replace(changed, version=changed.version + 1)
    raise StorageUnavailable("Others are changing this key at the same time: try again.")


class ManagedKeys:
    """What `principal` can do. `PermissionDenied` where it may not, `NotFound` where the key is not there for it."""

    def __init__(self, principal: Principal, authenticator: Authenticator) -> None:
        self._principal = principal
        self._authenticator = authenticator
        self._keys = authenticator.keys
        self._plans = authenticator.plans

    async def list(self, user: UserId | None) -> Sequence[KeyRecord]:
        """Those of `user`; None: all that there are for the principal. Oldest first."""
        if is_admin(self._principal):
            return await self._keys.list(user)
        if user not in {None, self._principal.user}:
            raise PermissionDenied("The keys of other users are for `admin` to see.", param="user")
        return await self._keys.list(self._principal.user)

    async def get(self, key_id: KeyId) -> KeyRecord:
        """One of them. Those of other users are not told from those that there are not."""
        record = await self._keys.get(key_id)
        if record is None:
            raise _no_such_key(key_id)
        self._require_own(record)
        return record

    async def create(self, record: KeyRecord) -> None:
        """Store a new key."""
        require_grantable(self._principal, record, self._plans)
        require_shared_limits(self._principal)
        await self._keys.create(record)

    async def change(self, key_id: KeyId, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
        """Change a key that may do no more than the principal, neither before nor afterwards."""

        def checked(record: KeyRecord) -> KeyRecord:
            self._require_own(record)
            changed = change(record)
            for each in (record, changed):
                require_grantable(self._principal, each, self._plans)
            return changed

        try:
            changed = await change_key(self._keys, key_id, checked)
        finally:  # a change whose acknowledgement is lost may have been made
            self._authenticator.forget(key_id)
        if changed is None:
            raise _no_such_key(key_id)
        return changed

    async def delete(self, key_id: KeyId) -> None:
        """Remove a key that may do no more than the principal."""
        require_grantable(self._principal, await self.get(key_id), self._plans)
        try:
            await self._keys.delete(key_id)
        finally:
            self._authenticator.forget(key_id)

    def _require_own(self, record: KeyRecord) -> None:
        if record.user != self._principal.user and not is_admin(self._principal):
            raise _no_such_key(record.id)


def _no_such_key(key_id: KeyId) -> NotFound:
    shown = "".join(each if each.isprintable() else "\ufffd" for each in key_id[:100])
    return NotFound(f"There is no key `{shown}`. GET /v1/keys lists those there are.", code="key_not_found")
