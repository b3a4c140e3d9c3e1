"""One principal's row as the meter sees it: a flat mapping of integers, and the open holds one by one."""

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.metering.window import REQUESTS, SUB_WINDOW, SUB_WINDOW_MS, TOKENS
from common.model.ids import BASE36, RequestId, in_base

IN_FLIGHT: Final = "in_flight"  # how many holds the row has
DAY_REQUESTS: Final = "day_requests"
DAY_TOKENS: Final = "day_tokens"
COMMITTED_DAY: Final = "committed_day"  # spent + held, nano-dollars
COMMITTED_MONTH: Final = "committed_month"
COMMITTED_TOTAL: Final = "committed_total"

ATTRIBUTES: Final = (
    SUB_WINDOW,
    IN_FLIGHT,
    DAY_REQUESTS,
    DAY_TOKENS,
    COMMITTED_DAY,
    COMMITTED_MONTH,
    COMMITTED_TOTAL,
    *REQUESTS,
    *TOKENS,
)


def expiry_s(hold_id: RequestId) -> int:
    """The UTC second at which a hold expires, as its id tells."""
    return int(hold_id[4:10], 36)


def first_alive(now_ms: int) -> str:
    """What no id of a hold that has expired at `now_ms` comes after or is equal to, and all others do."""
    return f"req_{in_base(now_ms // 1000 + 1, BASE36, 6)}"


@dataclass(frozen=True, slots=True)
class Hold:
    """What one admitted request may still use. `sub_window` is where it is booked, and so tells its day and month.

    As text it is base64 of: its sub-window less that of its expiry, and the length of what follows (20 + 4 bits,
    signed); tokens; cost. Stored as bytes, it has nine for 60,000 tokens and $4, and a row with 32 holds is below 1 KB.
    """

    id: RequestId
    cost_nanousd: int
    tokens: int
    sub_window: int

    def encode(self) -> str:
        """The hold as text, without its id. Two holds of one id are equal exactly if their texts are."""
        width, rest = (self.tokens.bit_length() + 7) // 8, (self.cost_nanousd.bit_length() + 7) // 8
        head = (self.sub_window - _expiry_sub_window(self.id)) << 4 | width
        number = (head << 8 * width | self.tokens) << 8 * rest | self.cost_nanousd
        return b2a_base64(number.to_bytes(3 + width + rest, "big", signed=True), newline=False).decode()

    @staticmethod
    def decode(hold_id: RequestId, text: str) -> "Hold":
        """The hold that was encoded as `text`."""
        raw = a2b_base64(text)
        head = int.from_bytes(raw[:3], "big", signed=True)
        end = 3 + (head & 15)
        tokens, cost = int.from_bytes(raw[3:end], "big"), int.from_bytes(raw[end:], "big")
        return Hold(hold_id, cost, tokens, _expiry_sub_window(hold_id) + (head >> 4))


def _expiry_sub_window(hold_id: RequestId) -> int:
    return expiry_s(hold_id) * 1000 // SUB_WINDOW_MS


@dataclass(frozen=True, slots=True)
class Standing:
    """A row. `counts` has every one of `ATTRIBUTES`; `holds` the text of every open hold by its id."""

    counts: Mapping[str, int]
    holds: Mapping[RequestId, str]

    def expired(self, now_ms: int) -> list[RequestId]:
        """The holds whose second has come, the oldest first."""
        oldest = min(self.holds, default=None)  # ids sort by expiry: most often one look is enough
        if oldest is None or expiry_s(oldest) * 1000 > now_ms:
            return []
        return sorted(hold_id for hold_id in self.holds if expiry_s(hold_id) * 1000 <= now_ms)

    def alive(self, now_ms: int) -> list[Hold]:
        """The holds that have not expired."""
        expired = set(self.expired(now_ms))
        return [Hold.decode(id_, text) for id_, text in self.holds.items() if id_ not in expired]


EMPTY: Final = Standing(dict.fromkeys(ATTRIBUTES, 0), {})
