"""Usage records for tests: numbered, each with a value of its own in every field."""

from common.model.ids import KeyId, RequestId, UserId
from common.model.usage import Outcome, Tokens, UsageRecord


def usage_record(number: int) -> UsageRecord:
    """The record of request `number`."""
    return UsageRecord(
        request_id=RequestId(f"req_{number:016}"),
        key_id=KeyId("key_000000000001"),
        user=UserId("ada"),
        model="fast",
        provider="openrouter",
        upstream_model="openai/gpt-4o-mini",
        outcome=Outcome.OK,
        streamed=True,
        attempts=2,
        tokens=Tokens(input=12, cache_read=3, cache_write=1, output=40, reasoning=5, image=6, audio=7),
        estimated=False,
        cost_nanousd=1_234_567 + number,
        provider_cost_nanousd=1_200_000,
        held_nanousd=2_000_000,
        held_tokens=500,
        sub_window=358_000_000,
        abandoned=False,
        started_ms=1_790_000_000_000,
        first_byte_ms=180,
        total_ms=2_400,
    )
