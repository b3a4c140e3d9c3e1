"""The contract of the meter's `Rows`: every engine does with a plan exactly what the oracle in memory does."""

import asyncio
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import HealthCheck, assume, given, settings

from common.metering import decision
from common.metering.apply import apply
from common.metering.decision import Actual, Ask
from common.metering.plan import SWEPT_AT_ONCE, Plan
from common.metering.rows import PAGE, Change, Records
from common.metering.standing import ATTRIBUTES, EMPTY, Hold, Standing
from common.metering.window import SUB_WINDOW_MS
from common.model.ids import KeyId, UserId
from common.model.limits import MAX_NANOUSD, Limits
from common.model.usage import CountedIn, Provisional
from tests.contract.adapters import Stores
from tests.contract.plans import LARGEST, Case, cases, holding, request_id, usage
from tests.contract.twins import NO_RECORDS, Twins
from tests.support.metered import KEY, MIDNIGHT, USER

OPEN: Final = Hold(request_id(MIDNIGHT + 600_000, 1), 100, 5, MIDNIGHT // SUB_WINDOW_MS)
OTHER: Final = replace(OPEN, id=request_id(MIDNIGHT + 600_000, 2))
ROW: Final = holding(OPEN, committed_total=100, day_requests=1)


@pytest.fixture
def twins(stores: Stores) -> Twins:
    """The engine under test and the oracle, both empty."""
    return Twins(stores.rows)


@given(case=cases())
@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=list(HealthCheck),
)
async def test_as_the_oracle_does(stores: Stores, twins: Twins, case: Case) -> None:
    """Whatever is asked of whatever rows: the same is done or nothing is, and the rows and records are the same."""
    if not stores.together:  # it takes back admissions, and relies on records that belong to their plans
        case = replace(case, known=(), records=NO_RECORDS)
        after = [apply(row, plan) for row, plan in zip(case.rows, case.plans, strict=True)]
        assume(after[0] is None or None not in after)
    await twins.try_case(case)


async def test_missing_rows(twins: Twins) -> None:
    """A row that nobody has written reads as empty, beside one that is there, in the order they were asked for."""
    (name,) = await twins.make(ROW)
    assert list(await twins.rows.read(["key:nobody", name, "user:nobody"])) == [EMPTY, ROW, EMPTY]
    assert list(await twins.rows.read([])) == []


async def test_first_change(twins: Twins) -> None:
    """The first change of a row meets it as empty: guards are held against zeros."""
    plan = Plan(at_most={"in_flight": 0}, holds={OPEN.id: None}, add={"in_flight": 1}, put={OPEN.id: "AAAA"})
    (name,) = await twins.make(ROW)
    assert (await twins.apply([Change("key:new", plan)])).applied
    assert not (await twins.apply([Change("key:newer", Plan(at_most={"in_flight": -1}))])).applied
    assert (await twins.apply([Change("user:new", plan), Change(name, Plan(add={"in_flight": 1}))])).applied
    assert (await twins.apply([Change("key:third", plan), Change("user:third", plan)])).applied


PLANS = [
    ("nothing asked", Plan(), True),
    ("equal", Plan(equal={"committed_total": 100}), True),
    ("not equal", Plan(equal={"committed_total": 99}), False),
    ("at most", Plan(at_most={"committed_total": 100}), True),
    ("above", Plan(at_most={"committed_total": 99}, add={"in_flight": 1}), False),
    ("below zero", Plan(at_most={"requests_0": -1}, add={"in_flight": 1}), False),
    ("one of two guards", Plan(at_most={"committed_total": 100, "in_flight": 0}), False),
    ("hold as it is", Plan(holds={OPEN.id: OPEN.encode()}), True),
    ("hold with another text", Plan(holds={OPEN.id: OTHER.encode() + "AAAA"}), False),
    ("hold that should be absent", Plan(holds={OPEN.id: None}), False),
    ("hold that should be there", Plan(holds={OTHER.id: OTHER.encode()}), False),
    ("absent hold", Plan(holds={OTHER.id: None}), True),
    ("one of two holds", Plan(holds={OPEN.id: OPEN.encode(), OTHER.id: OTHER.encode()}), False),
    ("set", Plan(set_to={"committed_total": 7, "tokens_13": LARGEST}), True),
    ("add and subtract", Plan(add={"committed_total": -99, "tokens_13": 1}), True),
    ("put", Plan(put={OTHER.id: OTHER.encode()}), True),
    ("put in place of", Plan(put={OPEN.id: "AAAA"}), True),
    ("remove", Plan(remove=(OPEN.id,)), True),
    ("remove what is absent", Plan(remove=(OTHER.id,)), True),
    ("put and remove", Plan(put={OTHER.id: OTHER.encode()}, remove=(OPEN.id,)), True),
]


@pytest.mark.parametrize(("plan", "applied"), [p[1:] for p in PLANS], ids=[p[0] for p in PLANS])
async def test_parts_of_a_plan(twins: Twins, plan: Plan, applied: bool) -> None:  # noqa: FBT001 - a table's column
    """Each guard is held against the row as it is, and every set is made; or nothing is, and the row comes back."""
    (name,) = await twins.make(ROW)
    assert (await twins.apply([Change(name, plan)])).applied == applied


async def test_integers_are_exact(twins: Twins) -> None:
    """No integer within 2^53 is rounded: not what is stored, compared, added or recorded."""
    edge = Standing(dict.fromkeys(ATTRIBUTES, LARGEST - 1), {})
    (name,) = await twins.make(edge)
    one_more = Plan(at_most=dict.fromkeys(ATTRIBUTES[:7], LARGEST - 1), add=dict.fromkeys(ATTRIBUTES, 1))
    assert (await twins.apply([Change(name, one_more)], Records(settled=usage(1, cost=LARGEST)))).applied
    assert not (await twins.apply([Change(name, one_more)])).applied
    assert (await twins.apply([Change(name, Plan(equal=dict.fromkeys(ATTRIBUTES[:7], LARGEST)))])).applied


async def test_largest_plans(twins: Twins) -> None:
    """All limits, the first request of a new year, as many expired holds as are swept at once, in both rows."""
    hold = partial_hold(MIDNIGHT - 1_000)
    crowd = [replace(hold, id=request_id(MIDNIGHT - 1_000, nth)) for nth in range(SWEPT_AT_ONCE + 6)]
    row = holding(*crowd, sub_window=hold.sub_window, committed_total=10)
    limits = Limits(9, 10**6, 9, 10**6, 99, 99, 99, MAX_NANOUSD)
    plan = decision.admit(row, limits, Ask(request_id(MIDNIGHT + 60_000, 0), 7, 7), MIDNIGHT)
    assert isinstance(plan, Plan)
    assert len(plan.swept) == SWEPT_AT_ONCE
    abandoned = tuple(replace(usage(0, abandoned=True), request_id=each.id) for each in plan.swept)
    names = await twins.make(row, row)
    assert (await twins.apply([Change(name, plan) for name in names], Records(abandoned=abandoned))).applied


def partial_hold(expires_ms: int) -> Hold:
    """A hold that expires at this time."""
    return Hold(request_id(expires_ms, 0), 10**9, 60_000, (expires_ms - 60_000) // SUB_WINDOW_MS)


@pytest.mark.parametrize("full", [KEY, USER])
async def test_one_of_two_rows_is_full(stores: Stores, full: str) -> None:
    """An admission that one row has no room for leaves the other as if it had never been asked."""
    rows, now = stores.rows, MIDNIGHT
    first = decision.admit(EMPTY, Limits(), Ask(OPEN.id, 100, 5), now)
    assert isinstance(first, Plan)
    (before, _) = (await rows.apply([Change(KEY, first), Change(USER, first)], NO_RECORDS)).standings
    second = decision.admit(before, Limits(), Ask(OTHER.id, 100, 5), now)
    assert isinstance(second, Plan)
    guarded = second._replace(at_most={"committed_total": 99})
    changes = [Change(row, guarded if row == full else second) for row in (KEY, USER)]
    outcome = await rows.apply(changes, NO_RECORDS)
    assert not outcome.applied
    assert list(outcome.standings) == [before, before]
    assert list(await rows.read([KEY, USER])) == [before, before]


async def test_settled_once(twins: Twins) -> None:
    """M3: a settlement that is asked again, or that comes with another record, changes neither row nor record."""
    names = await twins.make(ROW, ROW)
    settled = replace(usage(1), request_id=OPEN.id)
    plan = decision.settle(ROW, OPEN.id, Actual(30, 5), MIDNIGHT)
    both = [Change(name, plan) for name in names]
    assert (await twins.apply(both, Records(settled=settled))).applied
    await twins.rows.apply(both, Records(settled=replace(settled, total_ms=1)))
    await twins.compare(names, Records(settled=settled))


async def test_only_a_record(twins: Twins) -> None:
    """Where nothing is limited there is no row to change; the first record of a request stays."""
    assert (await twins.apply([], Records(settled=usage(1)))).applied
    await twins.apply([], Records(settled=usage(1, cost=9)))
    await twins.compare([], Records(settled=usage(1)))


async def test_swept_by_one_row_after_the_other(twins: Twins) -> None:
    """M4: what the user's row leaves behind says whose key it was once the key's row is swept, and nothing else."""
    expired = partial_hold(MIDNIGHT - 1_000)
    row = holding(expired, sub_window=expired.sub_window)
    names = await twins.make(row, row)
    plan = decision.sweep(row, MIDNIGHT)
    of_user = replace(usage(0, abandoned=True, key_id=""), request_id=expired.id)
    of_key = replace(of_user, key_id=usage(0).key_id, total_ms=1)
    assert (await twins.apply([Change(names[1], plan)], Records(abandoned=(of_user,)))).applied
    await twins.compare(names, Records(abandoned=(of_user,)))
    assert (await twins.apply([Change(names[0], plan)], Records(abandoned=(of_key,)))).applied
    await twins.compare(names, Records(abandoned=(of_user,)))
    found = await twins.rows.find(expired.id)
    assert found == replace(of_user, key_id=of_key.key_id)


BOUND: Final = {
    Provisional.ABANDONED: replace(usage(0, abandoned=True), request_id=OPEN.id),
    Provisional.AWAITING: replace(usage(0), request_id=OPEN.id, awaiting=CountedIn.KEY | CountedIn.USER),
}


@pytest.mark.parametrize("provisional", Provisional)
async def test_a_provisional_record_is_corrected_once(twins: Twins, provisional: Provisional) -> None:
    """M4: the record that knows more replaces the other and what was booked; the next one does nothing at all."""
    row = holding(committed_total=100, committed_day=100, committed_month=100)
    names = await twins.make(row, row, known=[BOUND[provisional]])
    plan = decision.correct(row, OPEN, Actual(30, 5), MIDNIGHT)
    both = [Change(name, plan) for name in names]
    other = Records(replace(usage(0), request_id=OPEN.id), corrects=_other(provisional))
    assert not (await twins.apply(both, other)).applied
    right = Records(replace(usage(0), request_id=OPEN.id), corrects=provisional)
    assert (await twins.apply(both, right)).applied
    await twins.compare(names, right)
    assert not (await twins.apply(both, right)).applied
    await twins.compare(names, right)


def _other(provisional: Provisional) -> Provisional:
    return next(each for each in Provisional if each is not provisional)


async def test_a_settlement_leaves_a_record_that_awaits(twins: Twins) -> None:
    """M3: the first settlement stays, also where it awaits a correction, unless the correction says that it is one."""
    awaiting = BOUND[Provisional.AWAITING]
    await twins.make(ROW, known=[awaiting])
    await twins.apply([], Records(replace(usage(0, cost=7), request_id=OPEN.id)))
    assert await twins.rows.find(OPEN.id) == awaiting
    await twins.apply(
        [], Records(replace(usage(0, cost=7), request_id=OPEN.id), corrects=Provisional.AWAITING)
    )
    assert await twins.rows.find(OPEN.id) == await twins.oracle.find(OPEN.id) != awaiting


async def test_records_that_await_are_listed(twins: Twins) -> None:
    """All of them and no others, by their ids, in pages, until they are corrected."""
    ids = [request_id(MIDNIGHT, nth) for nth in range(PAGE + 3)]
    for id_ in ids:
        await twins.apply([], Records(replace(usage(0), request_id=id_, awaiting=CountedIn(0))))
    await twins.apply([], Records(replace(usage(0), request_id=OPEN.id)))
    first = await twins.rows.awaiting()
    second = await twins.rows.awaiting(first[-1].request_id)
    assert [record.request_id for record in (*first, *second)] == ids
    assert (len(first), first[0]) == (PAGE, await twins.rows.find(ids[0]))
    corrected = Records(replace(usage(0), request_id=ids[-1]), corrects=Provisional.AWAITING)
    await twins.apply([], corrected)
    assert [record.request_id for record in await twins.rows.awaiting(ids[-3])] == ids[-2:-1]
    assert not await twins.rows.awaiting(ids[-2])


async def test_nothing_to_correct(twins: Twins) -> None:
    """M4: without an abandoned record there is nothing that a correction may change."""
    names = await twins.make(ROW)
    plan = decision.correct(ROW, OTHER, Actual(30, 5), MIDNIGHT)
    late = Records(replace(usage(0), request_id=OTHER.id), corrects=Provisional.ABANDONED)
    assert not (await twins.apply([Change(names[0], plan)], late)).applied
    await twins.compare(names, late)


async def test_a_failed_guard_leaves_no_record(twins: Twins) -> None:
    """Records are written together with the change, or not at all."""
    expired = partial_hold(MIDNIGHT - 1_000)
    (name,) = await twins.make(holding(expired, committed_total=1))
    plan = decision.sweep(holding(expired), MIDNIGHT)._replace(equal={"committed_total": 0})
    abandoned = Records(abandoned=(replace(usage(0, abandoned=True), request_id=expired.id),))
    assert not (await twins.apply([Change(name, plan)], abandoned)).applied
    await twins.compare([name], abandoned)


def expiring(expires_ms: int, nth: int = 0) -> Standing:
    """A row with one hold, which expires at this time."""
    return holding(replace(partial_hold(expires_ms), id=request_id(expires_ms, nth)))


async def test_rows_with_expired_holds(twins: Twins) -> None:
    """Those whose second has come are listed as they are, by name; not those with holds that live, or with none."""
    expired, last, alive = expiring(MIDNIGHT - 90_000, 1), expiring(MIDNIGHT), expiring(MIDNIGHT + 1_000)
    both = holding(partial_hold(MIDNIGHT - 1_000), OPEN, committed_total=7)
    names = await twins.make(alive, both, holding(), expired, last)
    expected = [(names[1], both), (names[3], expired), (names[4], last)]
    assert list(await twins.rows.expired(MIDNIGHT)) == list(await twins.oracle.expired(MIDNIGHT)) == expected
    assert list(await twins.rows.expired(MIDNIGHT + 999, names[1])) == expected[1:]
    assert list(await twins.rows.expired(MIDNIGHT, names[4])) == []
    assert [name for name, _ in await twins.rows.expired(MIDNIGHT - 1)] == [names[1], names[3]]
    assert all(type(n) is int for _, row in await twins.rows.expired(MIDNIGHT) for n in row.counts.values())


async def test_pages_of_rows_with_expired_holds(twins: Twins) -> None:
    """Page by page, all of them come once, however many others are between."""
    rows = [expiring(MIDNIGHT, nth) if nth % 3 else expiring(MIDNIGHT + 60_000, nth) for nth in range(220)]
    names = [f"key:{nth}" for nth in range(220)]
    for name, row in zip(names, rows, strict=True):
        await twins.apply([Change(name, Plan(set_to=row.counts, put=row.holds))])
    found: list[tuple[str, Standing]] = []
    while page := await twins.rows.expired(MIDNIGHT, found[-1][0] if found else ""):
        assert len(page) <= PAGE
        found += page
    assert found == sorted((names[nth], row) for nth, row in enumerate(rows) if nth % 3)


async def test_records_of_expired_holds_are_no_rows(twins: Twins) -> None:
    """What lies beside the rows, and is named by an id that has expired, is not listed."""
    await twins.apply([], Records(settled=usage(1)))
    assert list(await twins.rows.expired(MIDNIGHT + 90_000)) == []


@pytest.mark.parametrize("known", ["user", "key"])
async def test_abandoned_records_complete_each_other(twins: Twins, known: str) -> None:
    """M4: what one row does not know of a swept request, the other says; what is known stays."""
    whole = replace(usage(0, abandoned=True), request_id=OPEN.id)
    nameless = replace(whole, key_id=KeyId("")) if known == "user" else replace(whole, user=UserId(""))
    names = await twins.make(holding(), holding())
    for name, record in zip(names, (nameless, whole), strict=True):
        await twins.apply([Change(name, Plan(add={"in_flight": 1}))], Records(abandoned=(record,)))
    other = replace(whole, key_id=KeyId("key_2"), user=UserId("bob"))
    await twins.apply([Change(names[0], Plan(add={"in_flight": 1}))], Records(abandoned=(other,)))
    await twins.compare(names, Records(abandoned=(whole,)))
    assert await twins.rows.find(OPEN.id) == whole


async def test_last_unit(stores: Stores) -> None:
    """Of 25 plans at once for ten units, in two rows each, exactly ten are done, and the rows agree."""

    def take(nth: int) -> list[Change]:
        hold = replace(OPEN, id=request_id(MIDNIGHT + 600_000, nth))
        admission = Plan(
            at_most={"in_flight": 9},
            holds={hold.id: None},
            add={"in_flight": 1},
            put={hold.id: hold.encode()},
            hold=hold,
        )
        return [Change(KEY, admission), Change(USER, admission)]

    outcomes = await asyncio.gather(*(stores.rows.apply(take(nth), NO_RECORDS) for nth in range(25)))
    key, user = await stores.rows.read([KEY, USER])
    assert sum(outcome.applied for outcome in outcomes) == key.counts["in_flight"] == 10
    assert key == user
    assert len(key.holds) == 10
