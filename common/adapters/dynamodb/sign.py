"""AWS Signature Version 4 for a POST to the root of a JSON service, as a pure function.

Source: "Create a signed AWS API request" in the IAM user guide. The key that signs is derived anew each UTC day.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeAlias

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_END: Final = "aws4_request"

Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


CredentialSource: TypeAlias = Callable[[], Awaitable[Credentials]]
"""Asked before every call, so that it can replace what is about to expire; it keeps them itself meanwhile."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is called: the scope of a signature, and the `host` header as it is sent."""

    name: str
    region: str
    host: str


def sign(credentials: Credentials, service: Service, headers: Headers, body: bytes, now_ms: int) -> Headers:
    """`headers` (lower-case names, values without outer spaces) and those that sign them with the body and the host."""
    stamp = _stamp(now_ms // 1000)
    sent: Headers = (*headers, ("x-amz-date", stamp))
    if credentials.session_token is not None:
        sent = (*sent, ("x-amz-security-token", credentials.session_token))
    signed = sorted((*sent, ("host", service.host)))
    names = ";".join([name for name, _ in signed])
    lines = [f"{name}:{value}" for name, value in signed]
    request = "\n".join(["POST", "/", "", *lines, "", names, sha256(body).hexdigest()])
    scope = f"{stamp[:8]}/{service.region}/{service.name}/{_END}"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, stamp[:8], service.region, service.name)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    granted = f"Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return (*sent, ("authorization", f"{_ALGORITHM} {granted}"))


@lru_cache(maxsize=2)
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=4)
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, _END):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
