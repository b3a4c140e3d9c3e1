"""Usage records for tests: numbered, each with a value of its own in every field, and sums that are right."""

from dataclasses import MISSING, fields, replace
from typing import Final

from common.adapters.sql.database import Value
from common.adapters.sql.usage import COLUMNS, write_settled
from common.metering.price import cost
from common.model.ids import KeyId, RequestId, UserId
from common.model.price import PICO_PER_NANO, Prices
from common.model.usage import AttemptRecord, Booked, Outcome, Tokens, UsageRecord

VERSION_1: Final = 26  # columns
BROKEN: Final = AttemptRecord(
    provider="backup",
    model="some/mini; 'quoted'",
    ended="provider_error",
    took_ms=1_900,
    booked=Booked.USAGE,
    tokens=Tokens(input=2),
    cost_nanousd=405,
    prices=Tokens(input=200_000, cache_read=200_000, output=800_000),
    request_price=5_000,
    provider_request_id=None,
)
ANSWERED: Final = AttemptRecord(
    provider="openrouter",
    model="openai/gpt-4o-mini",
    ended="ok",
    took_ms=480,
    booked=Booked.USAGE,
    tokens=Tokens(input=10, cache_read=3, cache_write=1, output=40, reasoning=5, image=6, audio=7),
    cost_nanousd=1_234_162,
    prices=Tokens(
        input=150_000,
        cache_read=75_000,
        cache_write=150_000,
        output=600_000,
        reasoning=600_000,
        image=150_000,
        audio=600_000,
    ),
    request_price=1_200_187_000,
    provider_request_id="gen-1790000000-abc",
)
UNSENT: Final = AttemptRecord(
    provider="embedded",
    model="demo",
    ended="model_unavailable",
    took_ms=0,
    booked=Booked.NOTHING,
    tokens=Tokens(),
    cost_nanousd=0,
    prices=None,
    request_price=0,
    provider_request_id=None,
)


def usage_record(number: int) -> UsageRecord:
    """The record of request `number`, who paid that much more for it than the first one."""
    dearer = replace(
        ANSWERED,
        cost_nanousd=ANSWERED.cost_nanousd + number,
        request_price=ANSWERED.request_price + number * PICO_PER_NANO,
    )
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
        gateway_us=18_250,
        storage_us=7_125,
        route=(BROKEN, dearer),
        session_id="chat 7; drop",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        end_user="9f86d081884c7d659a2feaa0c55ad015",
    )


def insert_of_version_1(record: UsageRecord) -> tuple[str, tuple[Value, ...]]:
    """A statement that writes a record into a database of the first version, which lacks the columns of later ones."""
    statement = write_settled(record, guarded=False)
    names = ", ".join(COLUMNS[:VERSION_1])
    values = ", ".join(f"?{number}" for number in range(1, VERSION_1 + 1))
    return f"INSERT INTO usage ({names}) VALUES ({values})", statement.parameters[:VERSION_1]


def misbooked(record: UsageRecord) -> str | None:
    """What is wrong with the sums of a record that tells its route; None where nothing is."""
    for attempt in record.route:
        priced = 0
        if attempt.prices is not None:
            prices = Prices(**attempt.prices._asdict(), request=attempt.request_price)
            priced = cost(prices, attempt.tokens)
        match attempt.booked:
            case Booked.NOTHING:
                right = (attempt.tokens, attempt.cost_nanousd) == (Tokens(), 0)
            case Booked.HOLD:
                right = attempt.prices is not None and attempt.cost_nanousd > priced
            case _:
                right = attempt.cost_nanousd == priced
        if not right:
            return f"{attempt} is worth {priced}"
    costs = sum(attempt.cost_nanousd for attempt in record.route)
    tokens = Tokens(*(sum(counts) for counts in zip(*(each.tokens for each in record.route), strict=True)))
    if (record.cost_nanousd, record.tokens) != (costs, tokens):
        return f"the attempts of {record} add up to {costs}, {tokens}"
    return None


def as_of_old(record: UsageRecord) -> UsageRecord:
    """The same as the first version of records knew it."""
    later = {field.name: field.default for field in fields(UsageRecord) if field.default is not MISSING}
    return replace(record, **later)
