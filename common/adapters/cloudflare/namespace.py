"""A namespace of Workers KV: texts by name. KV is eventually consistent: a value may be seen up to a minute late."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final, Protocol

GIVE_UP_S: Final = 3.0  # from a place that KV is far from, a call takes less than one


class NamespaceFailed(Exception):
    """KV did not answer, or said no."""


class Namespace(Protocol):
    """However it is reached; all of it raises `NamespaceFailed`."""

    async def get(self, name: str) -> str | None:
        """The value, if there is one."""

    async def put(self, name: str, value: str, *, expires_s: int | None = None) -> None:
        """Store it, for so long; at least 60 s."""

    async def delete(self, name: str) -> None:
        """Remove it, if it is there."""

    async def names(self, prefix: str, most: int) -> Sequence[str]:
        """The first that begin so, in their order; at least 10 may be asked for."""


class BoundNamespace:
    """A `Namespace` by a Worker's binding, in Pyodide."""

    def __init__(self, binding: Any) -> None:
        """`binding`: the JS object."""
        self._binding = binding
        self._js_exception: type[Exception] = import_module("pyodide.ffi").JsException

    async def get(self, name: str) -> str | None:
        """See `Namespace.get`."""
        async with self._answering():
            value: str | None = await self._binding.get(name)
        return value or None  # JavaScript's null is false, and not None

    async def put(self, name: str, value: str, *, expires_s: int | None = None) -> None:
        """See `Namespace.put`."""
        options = {} if expires_s is None else {"expirationTtl": expires_s}
        async with self._answering():
            await self._binding.put(name, value, **options)

    async def delete(self, name: str) -> None:
        """See `Namespace.delete`."""
        async with self._answering():
            await self._binding.delete(name)

    async def names(self, prefix: str, most: int) -> Sequence[str]:
        """See `Namespace.names`."""
        async with self._answering():
            listed = await self._binding.list(prefix=prefix, limit=most)
        return [key.name for key in listed.keys]

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(GIVE_UP_S):
                yield
        except self._js_exception as error:
            raise NamespaceFailed(str(error)) from error
        except TimeoutError as error:
            raise NamespaceFailed("it did not answer in time") from error
