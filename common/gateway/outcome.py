"""Whose doing the end of a request was."""

import asyncio

from common.model.errors import CallerError, ClientLeft, LimitError, UpstreamError, UpstreamRejected
from common.model.usage import Outcome


def outcome_of(error: BaseException) -> Outcome:
    """By whose doing a request ended with `error`."""
    match error:
        case ClientLeft() | asyncio.CancelledError():
            return Outcome.CANCELLED
        case LimitError():
            return Outcome.LIMIT
        case CallerError() | UpstreamRejected():
            return Outcome.CLIENT
        case UpstreamError():
            return Outcome.UPSTREAM
        case _:
            return Outcome.GATEWAY
