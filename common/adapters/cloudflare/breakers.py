"""`BreakerStore` in Workers KV, which deletes by itself what has expired.

KV takes one write a second for each key: https://developers.cloudflare.com/kv/platform/limits/ (November 2026).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from common.adapters.cloudflare.namespace import Namespace, NamespaceFailed
from common.model.errors import StorageUnavailable
from common.ports import BREAKER_KEPT_S

_BREAKER: Final = "breaker:"
_LONGEST_NAME: Final = 512  # bytes


class KvBreakerStore:
    """A `BreakerStore`."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        """See `BreakerStore.read`."""
        kept = [name for name in names if _is_kept(name)]
        try:
            states = await asyncio.gather(*(self._namespace.get(_BREAKER + name) for name in kept))
        except NamespaceFailed as error:
            raise _unavailable() from error
        return {name: state for name, state in zip(kept, states, strict=True) if state is not None}

    async def publish(self, name: str, state: str) -> None:
        """See `BreakerStore.publish`."""
        if not _is_kept(name):
            return
        try:
            await self._namespace.put(_BREAKER + name, state, expires_s=BREAKER_KEPT_S)
        except NamespaceFailed as error:
            raise _unavailable() from error


def _is_kept(name: str) -> bool:
    return len(_BREAKER) + len(name.encode()) <= _LONGEST_NAME


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable("KV cannot be reached just now. Try again.")
