"""Function URL events (payload 2.0) as ASGI, and ASGI's answer as the prelude of a streamed response. Pure.

Format: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html (November 2026).
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

_PRELUDE_END: Final = bytes(8)
_HTTPS_PORT: Final = 443


def is_http(event: Any) -> bool:
    """Whether a client called the function's URL; a warm-up or a schedule did otherwise."""
    return isinstance(event, dict) and "http" in (event.get("requestContext") or {})


def scope_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """The ASGI scope of a call, without `scope["sluice"]`.

    The query is taken as sent: `queryStringParameters` merges repeated names. `client` is the edge's address where
    there is an edge in front. 2.4 is the version of ASGI since which `send` raises `OSError` when nobody listens.
    """
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    if event.get("cookies"):
        headers.setdefault("cookie", "; ".join(event["cookies"]))
    call = event["requestContext"]["http"]
    path = event.get("rawPath") or "/"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": call["method"],
        "scheme": headers.get("x-forwarded-proto", "https"),
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": event.get("rawQueryString", "").encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (call["sourceIp"], 0),
        "server": _server(headers),
    }


def _server(headers: Mapping[str, str]) -> tuple[str, int]:
    """The client chooses the host header, so a port that is none is passed over rather than refused."""
    name, _, port = headers.get("host", "").partition(":")
    port = port or headers.get("x-forwarded-port", "")
    return name, int(port) if port.isdecimal() and len(port) <= 5 else _HTTPS_PORT


def body_of(event: Mapping[str, Any]) -> bytes:
    """The body of a call: text as it is, anything else in base 64, or nothing at all."""
    body: str = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def prelude_of(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """What stands before the body: JSON, ended by eight NULs.

    It has one string per name: repeats are joined, except cookies, which have a list of their own because their
    values may hold commas.
    """
    joined: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "set-cookie":
            cookies.append(value)
        else:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
    prelude = {"statusCode": status, "headers": joined, "cookies": cookies}
    return json.dumps(prelude, separators=(",", ":")).encode() + _PRELUDE_END
