"""A namespace of Workers KV from outside, by Cloudflare's HTTP API: for commands of an operator.

https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/ (November 2026). It tells nothing that the
binding would not; a change is seen as late.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from common.adapters.cloudflare.namespace import NamespaceFailed
from common.model.errors import UpstreamError
from common.wire.cloudflare_api import ApiRefused, result_of


class Call(Protocol):
    """A call of the API."""

    def __call__(self, method: str, path: str, body: bytes = b"") -> Awaitable[tuple[int, bytes]]:
        """The status and the body of the answer. `path`: below the namespace's own."""


class HttpNamespace:
    """A `Namespace` by the HTTP API."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def get(self, name: str) -> str | None:
        """See `Namespace.get`. The API answers with the value itself, without its envelope."""
        try:
            status, answer = await self._call("GET", _value(name))
        except UpstreamError as error:
            raise NamespaceFailed(type(error).__name__) from error
        if status == 404:
            return None
        if status != 200:
            raise NamespaceFailed(f"status {status}")
        return answer.decode()

    async def put(self, name: str, value: str, *, expires_s: int | None = None) -> None:
        """See `Namespace.put`."""
        query = "" if expires_s is None else f"?expiration_ttl={expires_s}"
        await self._result("PUT", f"{_value(name)}{query}", value.encode())

    async def delete(self, name: str) -> None:
        """See `Namespace.delete`."""
        await self._result("DELETE", _value(name))

    async def names(self, prefix: str, most: int) -> Sequence[str]:
        """See `Namespace.names`."""
        keys = await self._result("GET", f"/keys?{urlencode({'prefix': prefix, 'limit': most})}")
        return [key["name"] for key in keys]

    async def _result(self, method: str, path: str, body: bytes = b"") -> Any:
        try:
            return result_of(*await self._call(method, path, body))
        except (ApiRefused, UpstreamError) as error:
            raise NamespaceFailed(str(error)) from error


def _value(name: str) -> str:
    return f"/values/{quote(name, safe='')}"
