"""An HTTP request as the event of a function URL, payload 2.0. Pure.

Format: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html (November 2026).
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MAX_EVENT_BYTES: Final = 6 * 2**20
_TEXT: Final = ("text/", "application/json", "application/javascript", "application/xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a client asked. Header names are lower-case; `target` as it came."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str
    request_id: str
    trace_id: str
    now_ms: int


def event_of(call: Call) -> dict[str, Any]:
    """The event. Repeated headers are joined; a body is text where its type says so, and else in base 64."""
    path, _, query = call.target.partition("?")
    headers = _joined(call.headers)
    cookies = [each.strip() for each in headers.get("cookie", "").split(";") if each.strip()]
    headers |= {
        "x-amzn-trace-id": call.trace_id,
        "x-forwarded-for": call.source_ip,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    domain = headers.get("host", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "emulated",
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": call.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": call.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": call.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": call.now_ms,
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if call.body:
        text = _text(call.body, headers)
        event |= (
            {"body": base64.b64encode(call.body).decode(), "isBase64Encoded": True}
            if text is None
            else {"body": text}
        )
    return event


def _joined(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _text(body: bytes, headers: dict[str, str]) -> str | None:
    """The body as text; None where it has to go in base 64."""
    if "content-encoding" in headers or not headers.get("content-type", "").startswith(_TEXT):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
