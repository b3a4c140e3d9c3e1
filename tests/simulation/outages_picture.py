"""Draws the simulated hour, for the documentation: `python -m tests.simulation.outages_picture > docs/routing.svg`."""

from collections.abc import Mapping, Sequence
from typing import Final

from common.routing.breaker import BreakerState
from tests.simulation.outages import FALLBACK, HOUR_S, PRIMARY, SPELLS, Diary, Illness, Model, simulate

SEED: Final = 1
PER_S: Final = 5.0
_BIN_S: Final = 10
_LEFT, _WIDTH = 150, 780
_PRIMARY, _FALLBACK, _RETRY = "#2b6cb0", "#dd8a2c", "#c53030"
_STATES: Final = {
    BreakerState.CLOSED: "#9ad29a",
    BreakerState.HALF_OPEN: "#f2d16b",
    BreakerState.OPEN: "#d9695f",
}
_NAMES: Final = {
    Illness.SLOW: ("brown-out", "50 times as slow"),
    Illness.SILENT: ("silence", ""),
    Illness.REFUSING: ("refused", ""),
    Illness.FAILING: ("black-out", "503"),
    Illness.LIMITING: ("rate limit", "2 a second"),
    Illness.ERRATIC: ("half of all", "500"),
}


def picture() -> str:
    """The SVG."""
    states: list[BreakerState] = []

    def watch(troubled: Mapping[tuple[str, str], BreakerState]) -> None:
        states.append(troubled.get(PRIMARY, BreakerState.CLOSED))

    diary = simulate(SEED, per_s=PER_S, watch=watch)
    answered = len(diary.answers) / len(diary.calls)
    title = (
        f"An hour of {len(diary.calls):,} calls: {answered:.2%} answered, "
        f"{len(diary.attempts) / len(diary.calls):.3f} attempts for each"
    )
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 470" font-family="sans-serif" font-size="12">',
        f"<title>{title}</title>",
        '<rect width="960" height="470" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" fill="#222222">{title}</text>',
        *_spells(),
        _label(105, "answered by", "the primary"),
        _bars(_answers(diary, PRIMARY), 150, _PRIMARY),
        _label(205, "answered by", "the fallback"),
        _bars(_answers(diary, FALLBACK), 250, _FALLBACK),
        _label(305, "attempts at", "the primary"),
        _bars(_attempts(diary), 350, _PRIMARY),
        _label(375, "of these, retries", ""),
        _bars(_attempts(diary, retries=True), 400, _RETRY, height=40),
        _label(425, "its breaker", ""),
        *_strip(states, 413),
        *_axis(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(at_s: float) -> float:
    return round(_LEFT + at_s / HOUR_S * _WIDTH, 1)


def _label(y: int, *lines: str) -> str:
    spans = "".join(
        f'<tspan x="10" dy="{14 * (place > 0)}">{line}</tspan>' for place, line in enumerate(lines)
    )
    return f'<text x="10" y="{y}" fill="#222222">{spans}</text>'


def _spells() -> list[str]:
    parts = []
    for spell in SPELLS:
        left, right = _x(spell.start_s), _x(spell.end_s)
        parts.append(f'<rect x="{left}" y="62" width="{right - left:.1f}" height="368" fill="#eeeeee"/>')
        for place, line in enumerate(_NAMES[spell.illness]):
            middle = (left + right) / 2
            text = f'<text x="{middle:.1f}" y="{44 + 13 * place}" text-anchor="middle" font-size="11"'
            parts.append(f'{text} fill="#555555">{line}</text>')
    return parts


def _bars(counts: Sequence[int], bottom: int, colour: str, height: int = 75) -> str:
    """Of each ten seconds; the full height is twice the calls that come on average."""
    scale = height / (2 * PER_S * _BIN_S)
    path = "".join(
        f"M{_x(place * _BIN_S + _BIN_S / 2)} {bottom}v-{min(height, count * scale):.1f}"
        for place, count in enumerate(counts)
        if count
    )
    line = f'<path d="M{_LEFT} {bottom}.5h{_WIDTH}" stroke="#bbbbbb"/>'
    return f'{line}<path d="{path}" stroke="{colour}" stroke-width="2"/>'


def _binned(times: Sequence[float]) -> list[int]:
    counts = [0] * (int(HOUR_S) // _BIN_S)
    for at_s in times:
        if at_s < HOUR_S:
            counts[int(at_s) // _BIN_S] += 1
    return counts


def _answers(diary: Diary, model: Model) -> list[int]:
    return _binned([at_s for at_s, who, _ in diary.answers if who is model])


def _attempts(diary: Diary, *, retries: bool = False) -> list[int]:
    return _binned([at_s for at_s, where, retry in diary.attempts if where is PRIMARY and retry >= retries])


def _strip(states: Sequence[BreakerState], top: int) -> list[str]:
    """A rectangle for each time that the state stays the same."""
    parts, start = [], 0
    for place in range(1, len(states) + 1):
        if place == len(states) or states[place] is not states[start]:
            width = _x(place) - _x(start)
            parts.append(
                f'<rect x="{_x(start)}" y="{top}" width="{width:.1f}" height="16" fill="{_STATES[states[start]]}"/>'
            )
            start = place
    return parts


def _axis() -> list[str]:
    minutes = [
        f'<text x="{_x(minute * 60)}" y="446" text-anchor="middle" fill="#555555">{minute} min</text>'
        for minute in range(0, 61, 10)
    ]
    legend = [
        f'<rect x="{_LEFT + 110 * place}" y="454" width="12" height="12" fill="{colour}"/>'
        f'<text x="{_LEFT + 110 * place + 17}" y="464" fill="#555555">{state.value.replace("_", "-")}</text>'
        for place, (state, colour) in enumerate(_STATES.items())
    ]
    return minutes + legend


if __name__ == "__main__":
    print(picture(), end="")
