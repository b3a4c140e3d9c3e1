"""The contract of `UsageStore.sums` and `UsageStore.bookings`: every engine answers what the oracle in memory does."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

from common.adapters.memory import MemoryRows
from common.adapters.sql import usage as sql_usage
from common.metering import sums
from common.metering.rows import Records
from common.model.errors import InvalidRequest
from common.model.ids import KeyId, UserId, new_request_id
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord, UserRecord
from common.model.usage import Outcome, Tokens, UsageRecord
from common.model.usage_query import (
    ALL_TIME,
    LONGEST_HOLD_S,
    Booking,
    Group,
    GroupBy,
    Totals,
    UsageQuery,
)
from tests.contract.adapters import Stores
from tests.support.records import as_of_old, usage_record

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
MIDNIGHT: Final = 20_700 * DAY_MS
KEYS: Final = (
    ("key_a1", "ada"),
    ("key_a2", "ada"),
    ("key_b1", "bob"),
    ("key_c1", "c'; DROP TABLE usage; --"),
)
MODELS: Final = ("fast", "smart", "a\"b'c\\", "")
ALL: Final = frozenset(GroupBy)
WHOLE: Final = UsageQuery(start_ms=MIDNIGHT - DAY_MS, end_ms=MIDNIGHT + 3 * DAY_MS, width_ms=DAY_MS)


def record_at(started_ms: int, rng: random.Random, **what: Any) -> UsageRecord:
    """Of a request that started then; its hold lasts as long as ours do, or as long as any may."""
    lifetime_s = rng.choice((600, 3_600, LONGEST_HOLD_S))
    key_id, user = rng.choice(KEYS)
    old = as_of_old(usage_record(0))
    drawn = replace(
        old,
        request_id=new_request_id(started_ms // 1000 + lifetime_s, rng),
        key_id=KeyId(key_id),
        user=UserId(user),
        model=rng.choice(MODELS),
        outcome=rng.choice(list(Outcome)),
        estimated=rng.random() < 0.3,
        tokens=Tokens(*(rng.choice((0, 1, 77, 10**9)) for _ in Tokens._fields)),
        cost_nanousd=rng.choice((0, 1, 999_999_999, 10**12)),
        sub_window=started_ms // 5_000,
        started_ms=started_ms,
    )
    return replace(drawn, **what)


def drawn(seed: int, count: int = 40) -> list[UsageRecord]:
    """Records of two days, many of them at the edges of minutes, hours and days."""
    rng = random.Random(seed)
    edges = (MIDNIGHT, MIDNIGHT + DAY_MS, MIDNIGHT + HOUR_MS, MIDNIGHT + 90 * MINUTE_MS)
    times = [rng.choice(edges) + rng.choice((-1, 0, 1, 59_999, rng.randrange(DAY_MS))) for _ in range(count)]
    return [record_at(time, rng) for time in times]


async def keep(stores: Stores, records: Sequence[UsageRecord]) -> MemoryRows:
    """Write them to the engine, and to the oracle."""
    oracle = MemoryRows()
    for rows in (stores.rows, oracle):
        for record in records:
            how = Records(abandoned=(record,)) if record.abandoned else Records(settled=record)
            assert (await rows.apply([], how)).applied
    return oracle


QUERIES: Final = {
    "all": WHOLE,
    "by hour": replace(WHOLE, width_ms=HOUR_MS),
    "by minute": replace(WHOLE, start_ms=MIDNIGHT, end_ms=MIDNIGHT + 2 * HOUR_MS, width_ms=MINUTE_MS),
    "one bucket": replace(WHOLE, width_ms=ALL_TIME),
    "by model": replace(WHOLE, group_by=frozenset({GroupBy.MODEL})),
    "by key": replace(WHOLE, group_by=frozenset({GroupBy.KEY}), width_ms=ALL_TIME),
    "by user": replace(WHOLE, group_by=frozenset({GroupBy.USER})),
    "by all": replace(WHOLE, group_by=ALL, width_ms=HOUR_MS),
    "a key of a user": replace(
        WHOLE, keys=frozenset({KeyId("key_a1")}), users=frozenset({UserId("ada")}), group_by=ALL
    ),
    "a key of another user": replace(
        WHOLE, keys=frozenset({KeyId("key_a1")}), users=frozenset({UserId("bob")})
    ),
    "a key": replace(WHOLE, keys=frozenset({KeyId("key_b1")})),
    "two users": replace(WHOLE, users=frozenset({UserId("ada"), UserId("c'; DROP TABLE usage; --")})),
    "models": replace(WHOLE, models=frozenset({"a\"b'c\\", "", "none"}), group_by=ALL),
    "from the middle of a bucket": replace(WHOLE, start_ms=MIDNIGHT + 1, end_ms=MIDNIGHT + HOUR_MS + 1),
    "no time": replace(WHOLE, end_ms=WHOLE.start_ms),
    "long ago": replace(WHOLE, start_ms=0, end_ms=1),
    "far ahead": replace(WHOLE, start_ms=2**43, end_ms=2**44),
    "all time": replace(WHOLE, start_ms=0, end_ms=2**44),
    "nobody": replace(WHOLE, users=frozenset({UserId("' OR 1 = 1 --"), UserId("\x00"), UserId("\ud800")})),
    "no user": replace(WHOLE, users=frozenset()),
}


async def test_as_the_oracle_does(stores: Stores) -> None:
    """Whatever is asked: the same buckets and groups, in the same order, with the same sums."""
    oracle = await keep(stores, drawn(1))
    for name, query in QUERIES.items():
        expected = await oracle.sums(query)
        found = await stores.usage.sums(query)
        assert list(found) == list(expected), name
        assert repr(found) == repr(expected), name  # 1 and 1.0 are equal, but do not look the same


async def test_oracle() -> None:
    """The oracle itself: each request is counted once, where it started, with all that it used."""
    rows, records = MemoryRows(), drawn(2)
    for record in records:
        await rows.apply([], Records(settled=record))
    found = await rows.sums(replace(WHOLE, group_by=ALL, width_ms=HOUR_MS))
    assert sum(each.totals.requests for each in found) == len(records)
    assert sum(each.totals.cost_nanousd for each in found) == sum(each.cost_nanousd for each in records)
    for each in found:
        inside = [
            record
            for record in records
            if record.started_ms // HOUR_MS == each.bucket_ms // HOUR_MS
            and Group(record.model, record.key_id, record.user) == each.group
        ]
        assert each.totals == Totals(
            len(inside),
            Tokens(*(sum(counts) for counts in zip(*(record.tokens for record in inside), strict=True))),
            sum(record.cost_nanousd for record in inside),
            sum(record.estimated for record in inside),
            sum(record.outcome in {"upstream", "gateway"} for record in inside),
        )


async def test_corrected_record_counts_once(stores: Stores) -> None:
    """A request that was abandoned counts with what was held, and once it is settled with what it used, alone."""
    record = record_at(MIDNIGHT, random.Random(3), cost_nanousd=40)
    lost = replace(
        record, abandoned=True, cost_nanousd=100, model="", tokens=Tokens(), outcome=Outcome.GATEWAY
    )
    for each, expected in ((Records(abandoned=(lost,)), 100), (Records(settled=record), 40)):
        await stores.rows.apply([], each)
        (found,) = await stores.usage.sums(WHOLE)
        assert (found.totals.requests, found.totals.cost_nanousd) == (1, expected)


async def test_many_pages(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """More records than an engine reads at once are all counted, and all listed, those of one user in order."""
    monkeypatch.setattr(sql_usage, "BOOKINGS_AT_ONCE", 7)
    records = drawn(4, 60)
    oracle = await keep(stores, records)
    assert list(await stores.usage.sums(WHOLE)) == list(await oracle.sums(WHOLE))
    found = [each async for each in stores.usage.bookings()]
    assert sorted(found) == sorted(
        Booking(each.request_id, each.key_id, each.user, each.sub_window, each.cost_nanousd)
        for each in records
    )
    for user in {each.user for each in records}:
        ids = [each.request_id for each in found if each.user == user]
        assert ids == sorted(ids)


async def test_too_many_sums(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that would be too large is refused, whatever engine finds that out; one that just fits is given."""
    for module in (sums, sql_usage):
        monkeypatch.setattr(module, "MOST_SUMS", 4)
    await keep(stores, [record_at(MIDNIGHT + day * DAY_MS, random.Random(day)) for day in range(-1, 4)])
    assert len(await stores.usage.sums(replace(WHOLE, end_ms=MIDNIGHT + 3 * DAY_MS))) == 4
    with pytest.raises(InvalidRequest, match="ask for fewer"):
        await stores.usage.sums(replace(WHOLE, end_ms=MIDNIGHT + 4 * DAY_MS))


async def test_empty(stores: Stores) -> None:
    """Where nothing was used there are no sums and no bookings."""
    assert list(await stores.usage.sums(WHOLE)) == []
    assert [each async for each in stores.usage.bookings()] == []


async def test_keys_are_no_usage(stores: Stores) -> None:
    """Keys and users that are kept beside records count for nothing, whatever index they are in."""
    await keep(stores, drawn(5, 3))
    before = [each async for each in stores.usage.bookings()]
    await stores.keys.create(
        KeyRecord(KeyId("key_a1"), b"\x01" * 32, UserId("ada"), "phone", DEFAULT_PERMISSIONS, MIDNIGHT)
    )
    assert await stores.users.put(UserRecord(UserId("ada"), MIDNIGHT))
    assert [each async for each in stores.usage.bookings()] == before
    (found,) = await stores.usage.sums(replace(WHOLE, width_ms=ALL_TIME))
    assert found.totals.requests == 3
