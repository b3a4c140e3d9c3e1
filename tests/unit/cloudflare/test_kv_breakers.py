"""Breakers in KV, against a namespace that fails as told."""

from collections.abc import Sequence

import pytest

from common.adapters.cloudflare.breakers import KvBreakerStore
from common.adapters.cloudflare.namespace import NamespaceFailed
from common.model.errors import StorageUnavailable
from common.ports import BREAKER_KEPT_S


class Noting:
    """A `Namespace` that notes what is put."""

    def __init__(self, *, fails: bool = False) -> None:
        self.puts: list[tuple[str, str, int | None]] = []
        self._fails = fails

    async def get(self, name: str) -> str | None:
        """Nothing."""
        self._fail()
        return None

    async def put(self, name: str, value: str, *, expires_s: int | None = None) -> None:
        """Note it."""
        self._fail()
        self.puts.append((name, value, expires_s))

    async def delete(self, name: str) -> None:
        """Nobody deletes."""
        raise NotImplementedError

    async def names(self, prefix: str, most: int) -> Sequence[str]:
        """Nobody lists."""
        raise NotImplementedError

    def _fail(self) -> None:
        if self._fails:
            raise NamespaceFailed("429")


async def test_expiry() -> None:
    """KV is told for how long a state is good, and no other key can be mistaken for it."""
    namespace = Noting()
    await KvBreakerStore(namespace).publish("a/b", "open 1 5000 3")
    assert namespace.puts == [("breaker:a/b", "open 1 5000 3", BREAKER_KEPT_S)]


async def test_down() -> None:
    """A namespace that says no, as to a second write within a second, is a storage that is unavailable."""
    store = KvBreakerStore(Noting(fails=True))
    with pytest.raises(StorageUnavailable):
        await store.publish("a/b", "open 1 5000 3")
    with pytest.raises(StorageUnavailable):
        await store.read(["a/b"])
