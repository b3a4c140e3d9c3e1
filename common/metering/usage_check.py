"""Whether the usage that an upstream reports can be true, and what stands in for it where it cannot.

Usage comes normalised to the disjoint classes of `Tokens`, its values as they were in the JSON: whatever is not an
integer, is negative, or contradicts the reported total or the bytes that went through the gateway, is not believed.

An output is believed up to the larger of two bounds: `1.25 x maximum + 64`, where streams are cut, and one token per
byte of content received and 64 more. What is above the hold and within them is a plausible excess: settlement books it
as overrun. From below, 16 bytes of content are at least one token, and so are 16 events of a stream. An input is
believed up to `1.25 x bound + 64`.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from common.model.usage import Tokens

CLASSES: Final = Tokens._fields
OUTPUT: Final = frozenset({"output", "reasoning"})
_UNTOLD: Final = dict.fromkeys(CLASSES, 0) | {"input": None, "output": None}  # these two are required
_of_classes: Final = itemgetter(*CLASSES)
_WHOLE: Final = {int}  # no `bool` either


class Evidence(NamedTuple):
    """What the gateway knows by itself about one attempt."""

    input_bound: int  # tokens, as held
    output_max: int  # tokens of all choices, as held
    input_estimate: int  # tokens, as at admission
    content_bytes: int  # received: text, reasoning, arguments of tools
    content_events: int = 0  # of a stream


class Checked(NamedTuple):
    """Usage to settle with."""

    tokens: Tokens
    estimated: bool


def check_usage(reported: Mapping[str, object] | None, evidence: Evidence) -> Checked:
    """The usage as reported if it can be true, else an estimate within what was held.

    `reported` has a count for each class of `Tokens` (`input` and `output` at least) and, where the upstream told it,
    the `total` of all.
    """
    tokens = _tokens(reported or {})
    if tokens is None or not _plausible(tokens, evidence):
        return Checked(estimate(evidence), estimated=True)
    return Checked(tokens, estimated=False)


def estimate(evidence: Evidence) -> Tokens:
    """Four bytes to a token, at least one to an event, never more than was held."""
    output = max(-(-evidence.content_bytes // 4), evidence.content_events)
    return Tokens(
        input=min(evidence.input_estimate, evidence.input_bound), output=min(output, evidence.output_max)
    )


def _tokens(reported: Mapping[str, object]) -> Tokens | None:
    """The counts, if they are counts and agree with each other."""
    counts: tuple[Any, ...] = _of_classes({**_UNTOLD, **reported})
    if set(map(type, counts)) != _WHOLE or min(counts) < 0:
        return None
    total = sum(counts)
    return Tokens(*counts) if reported.get("total", total) == total else None


def _plausible(tokens: Tokens, evidence: Evidence) -> bool:
    total, output = tokens.total, tokens.output + tokens.reasoning
    most_output = max(with_slack(evidence.output_max), evidence.content_bytes + 64)
    # audio is of both sides, and its bytes tell little: it is bounded with the input and the output together
    read = total - output - tokens.audio
    most_input = with_slack(evidence.input_bound)
    return (
        max(evidence.content_bytes, evidence.content_events) // 16 <= output + tokens.audio
        and output <= most_output
        and read <= most_input
        and total <= most_input + most_output
    )


def with_slack(tokens: int) -> int:
    """The line above which a count is not believed, and a stream is cut."""
    return tokens + tokens // 4 + 64
