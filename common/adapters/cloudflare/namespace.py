"""A namespace of Workers KV: texts by name. KV is eventually consistent: a value may be seen up to a minute late."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol


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
        try:
            value: str | None = await self._binding.get(name)
        except self._js_exception as error:
            raise NamespaceFailed(str(error)) from error
        return value or None  # JavaScript's null is false, and not None

    async def put(self, name: str, value: str, *, expires_s: int | None = None) -> None:
        """See `Namespace.put`."""
        options = {} if expires_s is None else {"expirationTtl": expires_s}
        try:
            await self._binding.put(name, value, **options)
        except self._js_exception as error:
            raise NamespaceFailed(str(error)) from error

    async def delete(self, name: str) -> None:
        """See `Namespace.delete`."""
        try:
            await self._binding.delete(name)
        except self._js_exception as error:
            raise NamespaceFailed(str(error)) from error

    async def names(self, prefix: str, most: int) -> Sequence[str]:
        """See `Namespace.names`."""
        try:
            listed = await self._binding.list(prefix=prefix, limit=most)
        except self._js_exception as error:
            raise NamespaceFailed(str(error)) from error
        return [key.name for key in listed.keys]
