"""The record of a request whose hold expired: what the hold knows of it, all of it booked as spent."""

from common.metering.standing import Hold
from common.metering.window import SUB_WINDOW_MS
from common.model.ids import KeyId, UserId
from common.model.usage import Outcome, Tokens, UsageRecord


def abandoned_record(hold: Hold, key_id: KeyId, user: UserId) -> UsageRecord:
    """Of a swept hold. `key_id`, `user`: empty where the row it was swept from does not tell."""
    return UsageRecord(
        request_id=hold.id,
        key_id=key_id,
        user=user,
        model="",
        provider="",
        upstream_model="",
        outcome=Outcome.GATEWAY,
        streamed=False,
        attempts=0,
        tokens=Tokens(),
        estimated=True,
        cost_nanousd=hold.cost_nanousd,
        provider_cost_nanousd=None,
        held_nanousd=hold.cost_nanousd,
        held_tokens=hold.tokens,
        sub_window=hold.sub_window,
        abandoned=True,
        started_ms=hold.sub_window * SUB_WINDOW_MS,
        first_byte_ms=None,
        total_ms=0,
    )
