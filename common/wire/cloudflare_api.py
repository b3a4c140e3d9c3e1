"""The envelope of Cloudflare's HTTP API: https://developers.cloudflare.com/fundamentals/api/ (November 2026)."""

import json
from typing import Any


class ApiRefused(Exception):
    """The API did not do it. `why`: status, code and what it said, on one line; for operators alone."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def result_of(status: int, answer: bytes) -> Any:
    """What was asked for. `ApiRefused` where the answer says no, or is none: a gateway's error page, for one."""
    try:
        envelope = json.loads(answer)
        if status == 200 and envelope["success"]:
            return envelope["result"]
        errors = envelope["errors"] or [{"code": None, "message": "no reason given"}]
        told = "; ".join(f"{error.get('code')} {error.get('message')}" for error in errors)
    except (ValueError, TypeError, KeyError, AttributeError):
        told = "not an answer of the API"
    raise ApiRefused(status, f"{status}: {' '.join(told.split())}")
