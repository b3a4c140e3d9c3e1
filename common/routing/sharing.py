"""Breakers of all instances, told to each other in the background: what opened or closed goes out, and others' come in.

A store that fails is no harm: each instance goes by what it sees itself.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from common.model.errors import StorageUnavailable
from common.ports import BreakerStore
from common.routing.breaker import Breaker, BreakerState, from_text, rested, to_text
from common.routing.health import Health

PUBLISH_MS: Final = 1_000  # at most once, for each name too: what Workers KV takes
READ_MS: Final = 10_000
MOST_NAMES: Final = 50  # of one read: each is a look of its own in some stores

_log = logging.getLogger("sluice.breakers")


class Sharing:
    """Of one process. Ask `due` after a request, and hand `share` to the background where it is."""

    def __init__(self, health: Health, store: BreakerStore) -> None:
        self._health = health
        self._store = store
        self._published_ms = self._read_ms = 0

    def due(self, now_ms: int) -> bool:
        """Whether there is something to publish, or to hear."""
        return now_ms - self._read_ms >= READ_MS or (
            self._health.has_changes() and now_ms - self._published_ms >= PUBLISH_MS
        )

    async def share(self, now_ms: int) -> None:
        """Publish what has changed; read of what is called, where that is some time ago."""
        health, store = self._health, self._store
        reads = now_ms - self._read_ms >= READ_MS
        if reads:
            self._read_ms = now_ms  # before anything awaits: another request would be told to do the same
        changes: Mapping[tuple[str, str], Breaker] = {}
        if now_ms - self._published_ms >= PUBLISH_MS:
            self._published_ms = now_ms
            changes = health.take_changes()
        try:
            for key, breaker in changes.items():
                await store.publish("/".join(key), to_text(breaker))
        except StorageUnavailable:
            _log.warning("breakers are not shared just now", exc_info=True)
        else:
            if reads:
                await self.hear(health.recent(now_ms)[-MOST_NAMES:], now_ms)

    async def hear(self, keys: Iterable[tuple[str, str]], now_ms: int) -> None:
        """Take in what others say of these providers' models."""
        try:
            published = await read(self._store, keys)
        except StorageUnavailable:
            _log.warning("breakers of other instances are not known just now", exc_info=True)
            return
        for key, breaker in published.items():
            self._health.tell(key, breaker, now_ms)

    async def troubled(
        self, keys: Iterable[tuple[str, str]], now_ms: int
    ) -> Mapping[tuple[str, str], BreakerState]:
        """What is known here of breakers that are not closed, and what is published of these. `StorageUnavailable`."""
        return {**await troubled(self._store, keys, now_ms), **self._health.troubled(now_ms)}


async def read(store: BreakerStore, keys: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Breaker]:
    """What is published of these providers' models. `StorageUnavailable`."""
    names = {"/".join(key): key for key in keys}
    texts = await store.read(list(names))
    breakers = {names[name]: from_text(text) for name, text in texts.items()}
    return {key: breaker for key, breaker in breakers.items() if breaker is not None}


async def troubled(
    store: BreakerStore, keys: Iterable[tuple[str, str]], now_ms: int
) -> Mapping[tuple[str, str], BreakerState]:
    """The state of each of their published breakers that is not closed. `StorageUnavailable`."""
    states = {key: rested(breaker, now_ms).state for key, breaker in (await read(store, keys)).items()}
    return {key: state for key, state in states.items() if state is not BreakerState.CLOSED}
