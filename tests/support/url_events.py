"""Events as a Lambda function URL makes them of HTTP requests, payload 2.0.

Format: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html (November 2026).
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any


def url_event(
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Sequence[str] = (),
    body: bytes = b"",
    source_ip: str = "192.0.2.1",
) -> dict[str, Any]:
    """The event of a call. A body that is not UTF-8 comes in base 64."""
    domain = "abcdefgh.lambda-url.eu-west-1.on.aws"
    edge = {"host": domain, "x-forwarded-port": "443", "x-forwarded-proto": "https"}
    call = {
        "method": method,
        "path": path,
        "protocol": "HTTP/1.1",
        "sourceIp": source_ip,
        "userAgent": "test",
    }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": edge | dict(headers or {}),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefgh",
            "domainName": domain,
            "http": call,
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_790_000_000_000,
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = list(cookies)
    if body:
        try:
            event["body"] = body.decode()
        except UnicodeDecodeError:
            event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return event


def post(path: str, document: Any, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The event of JSON being posted."""
    headers = {"content-type": "application/json"} | dict(headers or {})
    return url_event("POST", path, headers=headers, body=json.dumps(document).encode())
