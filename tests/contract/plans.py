"""Random rows, plans and records, for what an engine must do exactly as the oracle does."""

from dataclasses import dataclass, replace
from typing import Final

from hypothesis import strategies as st

from common.metering import decision
from common.metering.decision import Actual, Ask
from common.metering.plan import Plan
from common.metering.rows import Records
from common.metering.standing import ATTRIBUTES, IN_FLIGHT, Hold, Standing
from common.metering.window import REQUESTS, SUB_WINDOW, SUB_WINDOW_MS, TOKENS
from common.model.ids import BASE36, KeyId, RequestId, in_base
from common.model.limits import MAX_NANOUSD, Limits, Refused
from common.model.usage import CountedIn, Outcome, Provisional, Tokens, UsageRecord
from tests.support.metered import MIDNIGHT
from tests.support.records import as_of_old, usage_record

LARGEST: Final = 2**53 - 1
_INDEX: Final = MIDNIGHT // SUB_WINDOW_MS
_RING: Final = frozenset((*REQUESTS, *TOKENS))
_SMALL: Final = st.sampled_from([0, 0, 1, 7, 2**40])
_LARGE: Final = st.sampled_from([0, 1, 7, 10**9 + 1, 2**52 - 1])
_TEXTS: Final = st.sampled_from(["AAAA", "AAA=", "+/+/"])


def request_id(expires_ms: int, nth: int) -> RequestId:
    """The nth id of a hold that expires at `expires_ms`."""
    return RequestId(f"req_{in_base(expires_ms // 1000, BASE36, 6)}{in_base(nth, BASE36, 10)}")


def usage(nth: int, *, abandoned: bool = False, key_id: str = "key_1", cost: int = 3) -> UsageRecord:
    """The record of one of a few requests."""
    record = replace(
        usage_record(nth),
        request_id=request_id(MIDNIGHT, nth),
        key_id=KeyId(key_id),
        model="it's; \N{GREEK SMALL LETTER ALPHA}/b:free",
        tokens=Tokens(1, 2, 3, 4, 5, 6, 7),
        cost_nanousd=cost,
        provider_cost_nanousd=cost,
        held_nanousd=LARGEST,
        sub_window=_INDEX,
        started_ms=MIDNIGHT,
        gateway_us=LARGEST,
    )
    if not abandoned:
        return record
    return replace(
        as_of_old(record),
        model="",
        outcome=Outcome.GATEWAY,
        streamed=False,
        estimated=True,
        provider_cost_nanousd=None,
        abandoned=True,
        first_byte_ms=None,
    )


def holding(*held: Hold, **counts: int) -> Standing:
    """A row with these holds and counts."""
    every = dict.fromkeys(ATTRIBUTES, 0) | {IN_FLIGHT: len(held), SUB_WINDOW: _INDEX} | counts
    return Standing(every, {hold.id: hold.encode() for hold in held})


@dataclass(frozen=True, slots=True)
class Case:
    """Rows as they are, records that exist, and what is then asked."""

    rows: tuple[Standing, ...]
    known: tuple[UsageRecord, ...]
    plans: tuple[Plan, ...]
    records: Records

    def of_new_requests(self, number: int) -> "Case":
        """The same, with records of requests that no case of another number is about."""

        def renamed(record: UsageRecord) -> UsageRecord:
            id_ = record.request_id
            return replace(record, request_id=RequestId(f"{id_[:10]}{number:08}{id_[-2:]}"))

        settled = self.records.settled
        records = replace(
            self.records,
            settled=None if settled is None else renamed(settled),
            abandoned=tuple(renamed(each) for each in self.records.abandoned),
        )
        return replace(self, known=tuple(renamed(each) for each in self.known), records=records)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One row or two, each with a plan that was made from it or from what it may once have been."""
    rows = tuple(draw(st.lists(_standings(), min_size=1, max_size=2)))
    plans = tuple(draw(_decided(draw(_views(row))) | _hand_made(draw(_views(row)))) for row in rows)
    return Case(rows, draw(_known()), plans, draw(_records()))


@st.composite
def _standings(draw: st.DrawFn) -> Standing:
    counts = {name: draw(_SMALL if name in _RING else _LARGE) for name in ATTRIBUTES}
    counts[SUB_WINDOW] = _INDEX + draw(st.sampled_from([-15, -2, -1, 0, 3]))
    held = [
        Hold(
            request_id(MIDNIGHT + draw(st.sampled_from([-9_000, 0, 600_000])), nth),
            draw(_LARGE),
            draw(_SMALL),
            counts[SUB_WINDOW],
        )
        for nth in range(draw(st.sampled_from([0, 1, 3])))
    ]
    crowd = [Hold(request_id(MIDNIGHT - 1_000, nth), nth, 1, _INDEX - 40) for nth in range(100, 170)]
    return holding(*held, *crowd[: draw(st.sampled_from([0, 0, 0, 5, 70]))], **counts)


@st.composite
def _views(draw: st.DrawFn, row: Standing) -> Standing:
    """The row as it is, or as it was: with other counts, an older sub-window, a hold more or less or changed."""
    counts, held = dict(row.counts), dict(row.holds)
    match draw(st.sampled_from(["fresh", "fresh", "count", "hold"])):
        case "count":
            name = draw(st.sampled_from([SUB_WINDOW, IN_FLIGHT, "committed_total", *_RING]))
            counts[name] = max(0, counts[name] + draw(st.sampled_from([-2, -1, 1])))
        case "hold" if held:
            first = min(held)
            if draw(st.booleans()):
                del held[first]
            else:
                held[first] = replace(Hold.decode(first, held[first]), cost_nanousd=2**51).encode()
        case _:
            pass
    return Standing(counts, held)


@st.composite
def _decided(draw: st.DrawFn, view: Standing) -> Plan:
    """What the decision makes of a standing; where it refuses, a plan that only asks."""
    now = MIDNIGHT + draw(st.sampled_from([-70_000, -1, 0, 4_999, 5_000, 80_000, 40 * 86_400_000]))
    absent = Hold(request_id(now + 60_000, 99), draw(_LARGE), draw(_SMALL), view.counts[SUB_WINDOW])
    known = Hold.decode(min(view.holds), view.holds[min(view.holds)]) if view.holds else absent
    hold = draw(st.sampled_from([known, absent]))
    actual = Actual(draw(_LARGE), draw(_SMALL))
    limits = draw(_limits())
    plan: Plan | Refused
    match draw(st.sampled_from(["admit", "admit", "extend", "settle", "correct", "withdraw", "sweep"])):
        case "admit":
            plan = decision.admit(view, limits, Ask(hold.id, hold.cost_nanousd, hold.tokens), now)
        case "extend":
            plan = decision.extend(view, limits, hold, draw(_LARGE), now)
        case "settle":
            plan = decision.settle(view, hold.id, actual, now)
        case "correct":
            plan = decision.correct(view, hold, actual, now)
        case "withdraw":
            plan = decision.withdraw(view, hold.id, now)
        case _:
            plan = decision.sweep(view, now)
    return Plan() if isinstance(plan, Refused) else plan


def _limits() -> st.SearchStrategy[Limits]:
    some = st.sampled_from([None, None, 5, 10**15, MAX_NANOUSD])
    return st.builds(Limits, some, some, some, some, some, some, some, some)


@st.composite
def _hand_made(draw: st.DrawFn, view: Standing) -> Plan:
    """Guards and sets that no decision makes together."""
    names = draw(st.lists(st.sampled_from(ATTRIBUTES), unique=True, max_size=6))
    half = len(names) // 2
    ids = [*sorted(view.holds)[:2], request_id(MIDNIGHT, 98)]
    put = draw(st.dictionaries(st.sampled_from(ids), _TEXTS, max_size=2))
    guarded = draw(st.lists(st.sampled_from(ids), unique=True, max_size=3))
    return Plan(
        equal={name: view.counts[name] for name in draw(_some(names))},
        at_most={
            name: view.counts[name] + draw(st.sampled_from([0, 0, 1, -1])) for name in draw(_some(names))
        },
        holds={id_: view.holds.get(id_) for id_ in guarded},
        set_to={name: draw(_LARGE) for name in names[:half]},
        add={name: draw(st.sampled_from([-1, 1, 10**9 + 7])) for name in names[half:]},
        put=put,
        remove=tuple(id_ for id_ in draw(st.lists(st.sampled_from(ids), unique=True)) if id_ not in put),
    )


def _some(names: list[str]) -> st.SearchStrategy[list[str]]:
    every = st.sampled_from([*names, IN_FLIGHT])
    return st.lists(every, unique=True, max_size=3)


def _known() -> st.SearchStrategy[tuple[UsageRecord, ...]]:
    """Records that exist, none, one or two."""
    return st.sampled_from(
        [
            (),
            (usage(1),),
            (usage(1, abandoned=True),),
            (usage(1, abandoned=True, key_id=""),),
            (replace(usage(1), awaiting=CountedIn.KEY),),
            (usage(1, abandoned=True, key_id=""), usage(2)),
        ]
    )


def _records() -> st.SearchStrategy[Records]:
    """What becomes of records."""
    abandoned = (usage(1, abandoned=True, cost=5), usage(2, abandoned=True, key_id="", cost=5))
    return st.sampled_from(
        [
            Records(),
            Records(settled=usage(1, cost=LARGEST)),
            *(Records(settled=usage(1, cost=LARGEST), corrects=each) for each in Provisional),
            Records(abandoned=abandoned[:1]),
            Records(abandoned=abandoned),
        ]
    )
