"""Users and keys of a world, in real stores."""

from collections.abc import Mapping, Sequence

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.adapters.memory import MemoryKeyStore, MemoryUserStore
from common.model.ids import KeyId, UserId
from common.model.limits import Limit, Limits
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord, UserRecord
from tests.simulation.storage import at_once


class Principals:
    """`keys` are whose each is (by number) and its limits."""

    def __init__(self, users: Sequence[Limits], keys: Sequence[tuple[int, Limits]]) -> None:
        self.key_store, self.user_store = MemoryKeyStore(), MemoryUserStore()
        self.keys = [new_key(bytes([number]) * RANDOM_BYTES) for number in range(len(keys))]
        self.limits = {f"user:u{number}": limits for number, limits in enumerate(users)}
        self._users = [user for user, _ in keys]
        for number, limits in enumerate(users):
            at_once(self.user_store.put(UserRecord(UserId(f"u{number}"), 1, overrides=_overrides(limits))))
        for number, (user, limits) in enumerate(keys):
            self.limits[f"key:key_{number}"] = limits
            record = KeyRecord(
                id=KeyId(f"key_{number}"),
                key_hash=hash_key(self.keys[number]),
                user=UserId(f"u{user}"),
                name="",
                permissions=DEFAULT_PERMISSIONS,
                created_ms=1,
                overrides=_overrides(limits),
            )
            at_once(self.key_store.create(record))

    def rows(self, key: str) -> tuple[str, str]:
        """The meter's rows that may bind a key."""
        number = self.keys.index(key)
        return f"key:key_{number}", f"user:u{self._users[number]}"


def _overrides(limits: Limits) -> Mapping[Limit, int | None]:
    return {limit: value for limit in Limit if (value := getattr(limits, limit)) is not None}
