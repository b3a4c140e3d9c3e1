"""What is kept in Workers KV, in one namespace, apart by prefixes.

KV is far more available than a database, and eventually consistent: a value may be seen up to a minute late.
Limits and consistency: https://developers.cloudflare.com/kv/platform/limits/ (November 2026).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Final

from common.adapters.cloudflare.namespace import Namespace, NamespaceFailed
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId, UserId
from common.model.limits import Limit
from common.model.principal import KeyRecord
from common.model.usage import UsageRecord
from common.ports import Clock, KeyStore
from common.wire.usage_json import record_from_json, record_to_json

KEY_S: Final = (
    30.0  # how old a copy of a key may be; with what an isolate remembers, a change is seen in 90 s
)
_EXPIRES_S: Final = 60  # the least that KV takes
_KEY: Final = "key:"
_LETTER: Final = "dead-letter:"
_AT_ONCE: Final = (
    100  # letters of one run: each takes a look, a settlement and a delete, of 1,000 calls in all
)
_GIVE_UP_AFTER: Final = 3  # letters in a row that the storage did not take: it is down, and the rest waits

_log = logging.getLogger("sluice.dead_letters")
_keys_log = logging.getLogger("sluice.keys")


class KvKeyStore:
    """A `KeyStore` in front of another, whose keys are found in KV for `KEY_S`: near the client, unlike the database.

    A change takes the copy away, which is seen elsewhere when that is too old. KV is never needed: where it fails, or
    holds what this version can't read, the store behind it answers.
    """

    def __init__(self, keys: KeyStore, namespace: Namespace, clock: Clock) -> None:
        self._keys = keys
        self._namespace = namespace
        self._clock = clock

    async def find(self, key_hash: bytes) -> KeyRecord | None:
        """See `KeyStore.find`."""
        name, now_ms = f"{_KEY}{key_hash.hex()}", self._clock.now_ms()
        try:
            if copy := await self._namespace.get(name):
                made_ms, record = key_from_json(copy)
                if now_ms - made_ms < KEY_S * 1000:
                    return record
        except (NamespaceFailed, ValueError):
            _keys_log.warning("KV failed: the database is asked", exc_info=True)
        found = await self._keys.find(key_hash)
        if found is not None:
            # nobody waits: the request goes on for as long as it takes, and where not, little is lost
            copy = key_to_json(found, now_ms)
            put: asyncio.Future[None] = asyncio.ensure_future(
                self._namespace.put(name, copy, expires_s=_EXPIRES_S)
            )
            put.add_done_callback(lambda done: done.cancelled() or done.exception())
        return found

    async def get(self, key_id: KeyId) -> KeyRecord | None:
        """See `KeyStore.get`."""
        return await self._keys.get(key_id)

    async def create(self, record: KeyRecord) -> None:
        """See `KeyStore.create`. What was not found is not kept, so there is nothing to write."""
        await self._keys.create(record)

    async def list(self, user: UserId | None = None) -> Sequence[KeyRecord]:
        """See `KeyStore.list`."""
        return await self._keys.list(user)

    async def update(self, record: KeyRecord) -> bool:
        """See `KeyStore.update`."""
        before = await self._keys.get(record.id)  # it may have had a hash that it has no more
        updated = await self._keys.update(record)
        if updated:
            await self._forget(record, before)
        return updated

    async def note_use(self, key_id: KeyId, at_ms: int) -> None:
        """See `KeyStore.note_use`."""
        await self._keys.note_use(key_id, at_ms)

    async def delete(self, key_id: KeyId) -> bool:
        """See `KeyStore.delete`."""
        record = await self._keys.get(key_id)
        deleted = await self._keys.delete(key_id)
        await self._forget(record)
        return deleted

    async def _forget(self, *records: KeyRecord | None) -> None:
        known = [record for record in records if record is not None]
        hashes = dict.fromkeys(each for record in known for each in (record.key_hash, record.previous_hash))
        for key_hash in hashes:
            if key_hash is not None:
                try:
                    await self._namespace.delete(f"{_KEY}{key_hash.hex()}")
                except NamespaceFailed:
                    _keys_log.warning(
                        "KV failed: a key that was changed may be good a little longer", exc_info=True
                    )


def key_to_json(record: KeyRecord, made_ms: int) -> str:
    """On one line, with the time at which the record was so."""
    members = {field.name: getattr(record, field.name) for field in fields(record)}
    members["key_hash"] = record.key_hash.hex()
    members["previous_hash"] = None if record.previous_hash is None else record.previous_hash.hex()
    members["permissions"] = sorted(record.permissions)
    return json.dumps([made_ms, members], separators=(",", ":"))


def key_from_json(text: str) -> tuple[int, KeyRecord]:
    """What `key_to_json` wrote. `ValueError` where it is not that, or another version's."""
    try:
        made_ms, members = json.loads(text)
        previous = members["previous_hash"]
        members |= {
            "key_hash": bytes.fromhex(members["key_hash"]),
            "previous_hash": None if previous is None else bytes.fromhex(previous),
            "permissions": frozenset(members["permissions"]),
            "overrides": {Limit(name): value for name, value in members["overrides"].items()},
            "models": tuple(members["models"]),
            "origins": tuple(members["origins"]),
        }
        if members.keys() != {field.name for field in fields(KeyRecord)}:
            raise ValueError("another version's key")
        return made_ms, KeyRecord(**members)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a key") from error


class KvDeadLetters:
    """`DeadLetters`, each under the id of its request."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def put(self, record: UsageRecord) -> None:
        """See `DeadLetters.put`. Where KV fails too, the log line is what remains."""
        letter = record_to_json(record)
        try:
            await self._namespace.put(f"{_LETTER}{record.request_id}", letter)
        except NamespaceFailed:
            _log.exception("a usage record could not be kept: %s", letter)

    async def deliver(self, settle: Callable[[UsageRecord], Awaitable[None]]) -> tuple[int, int]:
        """See `DeadLetters.deliver`. A letter whose deletion is not seen yet is delivered again, and counts once."""
        names = await self._namespace.names(_LETTER, _AT_ONCE)
        taken = in_a_row = 0
        for name in names:
            try:
                letter = await self._namespace.get(name)
                if letter:
                    await settle(record_from_json(letter))
                    await self._namespace.delete(name)
                taken += 1
                in_a_row = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, the letter is kept
                _log.exception("a usage record is still not taken: %s", name)
                in_a_row = in_a_row + 1 if isinstance(error, StorageUnavailable) else 0
                if in_a_row == _GIVE_UP_AFTER:
                    break
        return taken, len(names) - taken
