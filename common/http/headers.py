"""Headers that are on every answer, errors and streams among them.

They are those that OWASP names for a JSON API (https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet,
November 2026). No answer is for a cache that others share: all of them are `private`, whether a key was needed or not.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from common.gateway.delivery import Headers
from common.telemetry.request_facts import RequestFacts
from common.telemetry.text import for_a_header, session_id

RawHeaders: TypeAlias = Mapping[bytes, bytes]
"""A request's, by lower-case name; of a repeated one the last."""

_ALWAYS: Final[Headers] = [
    (b"cache-control", b"private, no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"server", b""),  # without one, a server puts in its own name
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_OVER_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000")
_LONGEST_ID: Final = (
    512  # as OpenAI takes: https://platform.openai.com/docs/api-reference/debugging-requests (2026-08)
)
_LONGEST_NAMES: Final = 1024
# version, trace, parent, flags; a later version may have more: https://www.w3.org/TR/trace-context/ (section 3.2)
_TRACEPARENT: Final = re.compile(
    rb"(?:(00)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?(1)|(?:-.*)?)"
)


def client_request_id(headers: RawHeaders) -> str | None:
    """The client's own id for its request, fit for headers and logs; OpenAI's header for it wins over the usual one."""
    given = headers.get(b"x-client-request-id") or headers.get(b"x-request-id")
    return for_a_header(given, _LONGEST_ID) or None if given else None


def client_session_id(headers: RawHeaders) -> str | None:
    """What the client says that its request is part of, fit for logs and records; OpenRouter's header for it."""
    given = headers.get(b"x-session-id")
    return session_id(for_a_header(given, _LONGEST_ID)) if given else None


def trace_id(headers: RawHeaders) -> str | None:
    """The trace that the client's request belongs to, if it says so as W3C's trace context asks."""
    given = headers.get(b"traceparent")
    found = _TRACEPARENT.fullmatch(given) if given else None
    return found[2].decode() if found else None


class AnswerHeaders:
    """What is put on answers. `origins`: whose scripts may read them; nobody's cookies are ever asked for."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        vary = b"authorization, origin" if origins else b"authorization"
        self._always = [*_ALWAYS, (b"vary", vary)]

    def of(self, facts: RequestFacts, headers: RawHeaders, *, https: bool) -> Headers:
        """For an answer that begins now. `https`: the request came by it, as far as the server itself can see."""
        found = [
            *self._always,
            (b"x-request-id", facts.request_id.encode()),
            (b"openai-processing-ms", b"%d" % ((facts.first_byte_s or 0.0) * 1000)),
        ]
        if facts.client_request_id is not None:
            found.append((b"x-client-request-id", facts.client_request_id.encode()))
        # who lies about the protocol gets a header that browsers do not heed over plain HTTP
        if https or headers.get(b"x-forwarded-proto") == b"https":
            found.append(_OVER_HTTPS)
        if self._origins and (origin := headers.get(b"origin")) in self._origins:
            found += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", b"*")]
        return found

    def preflight(self, headers: RawHeaders, methods: str) -> Headers:
        """What a browser wants to know before it sends a script's request."""
        if headers.get(b"origin") not in self._origins or b"access-control-request-method" not in headers:
            return []
        # whatever is asked for is granted, by its name: `*` would leave out authorization
        names = for_a_header(headers.get(b"access-control-request-headers", b""), _LONGEST_NAMES)
        granted = [
            (b"access-control-allow-methods", methods.encode()),
            (b"access-control-max-age", b"600"),
        ]
        return [*granted, (b"access-control-allow-headers", names.encode())] if names else granted
