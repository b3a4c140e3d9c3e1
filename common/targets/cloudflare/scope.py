"""A request of the platform's as an ASGI scope."""

from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


def scope_of(method: str, url: str, headers: Iterable[tuple[str, str]]) -> MutableMapping[str, Any]:
    """The scope. `headers` as `fetch` has them: lower-case names, of a repeated one the values in one, by commas."""
    parts = urlsplit(url)
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    client = dict(raw).get(b"cf-connecting-ip")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode("latin-1"),
        "root_path": "",
        "query_string": parts.query.encode("latin-1"),
        "headers": raw,
        "client": None if client is None else (client.decode("latin-1"), 0),
        "server": (parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)),
    }
