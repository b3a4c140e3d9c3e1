"""What Anthropic's models take, as far as requests differ by it. Data; names that are not here are newer ones.

Sources: https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking, .../extended-thinking, .../effort,
.../structured-outputs, https://platform.claude.com/docs/en/about-claude/models/migration-guide (all 2026-10).
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


class Thinking(Enum):
    """How a model is told to think."""

    NONE = "none"
    BUDGET = "budget"  # so many tokens of its output
    ADAPTIVE = "adaptive"  # as much as it finds right
    ALWAYS = "always"  # the same, and it cannot be told not to


@dataclass(frozen=True, slots=True)
class Traits:
    """What a model takes."""

    thinking: Thinking
    efforts: tuple[str, ...] = ()  # of `EFFORTS`
    sampling: bool = True  # temperature and its like
    schemas: bool = True  # outputs and tools that keep to a JSON schema


_TABLE: Final = (
    (r"claude-(?:[12]|instant|3-(?:5|opus|sonnet|haiku))", Traits(Thinking.NONE, schemas=False)),
    (r"claude-3-7", Traits(Thinking.BUDGET, schemas=False)),
    (r"claude-opus-4-1", Traits(Thinking.BUDGET)),
    (r"claude-(?:opus|sonnet)-4(?:-0)?(?:-[0-9]{8})?$", Traits(Thinking.BUDGET, schemas=False)),
    (r"claude-opus-4-5", Traits(Thinking.BUDGET, ("low", "medium", "high"))),
    (r"claude-(?:sonnet|haiku)-4-5", Traits(Thinking.BUDGET)),
    (r"claude-opus-4-6", Traits(Thinking.ADAPTIVE, ("low", "medium", "high", "max"))),
    (r"claude-sonnet-4-6", Traits(Thinking.ADAPTIVE, ("low", "medium", "high"))),
    (r"claude-(?:mythos|fable)", Traits(Thinking.ALWAYS, EFFORTS, sampling=False)),
)
_NEWER: Final = Traits(Thinking.ADAPTIVE, EFFORTS, sampling=False)


def traits_of(model: str) -> Traits:
    """Those of a model, by its name."""
    return next((traits for pattern, traits in _TABLE if re.search(pattern, model)), _NEWER)
