"""What a client says of one request in headers of ours."""

from typing import Final

from fastapi import Request

from common.gateway.context import Wishes
from common.http.request import headers_of
from common.model.errors import InvalidRequest

TIMEOUT: Final = b"x-sluice-timeout"
RESUME: Final = b"x-sluice-resume"
_LONGEST_S: Final = 3_600.0
_RESUME: Final = {b"on": True, b"off": False}


def wishes_of(request: Request, session_id: str | None, trace_id: str | None) -> Wishes:
    """The wishes. `InvalidRequest` names the header that is none."""
    headers = headers_of(request)
    timeout, resume = headers.get(TIMEOUT), headers.get(RESUME)
    return Wishes(
        session_id,
        trace_id,
        None if timeout is None else _seconds(timeout),
        True if resume is None else _switch(resume),
    )


def _seconds(value: bytes) -> float:
    whole, _, part = value.partition(b".")
    if whole.isdigit() and len(whole) <= 4 and (part.isdigit() or b"." not in value) and len(part) <= 6:
        seconds = float(value)
        if 0 < seconds <= _LONGEST_S:
            return seconds
    raise InvalidRequest(
        "The header x-sluice-timeout must be seconds, more than 0 and at most 3600, like 30 or 2.5.",
        param=TIMEOUT.decode(),
        code="invalid_value",
    )


def _switch(value: bytes) -> bool:
    if value not in _RESUME:
        raise InvalidRequest(
            "The header x-sluice-resume must be on or off.", param=RESUME.decode(), code="invalid_value"
        )
    return _RESUME[value]
