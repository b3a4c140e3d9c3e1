"""How much a model of Anthropic's is asked to think, by what a request says in OpenAI's or OpenRouter's words. Pure.

Older models take a budget in tokens, newer ones an effort. Sources:
https://platform.claude.com/docs/en/build-with-claude/effort, .../extended-thinking, .../adaptive-thinking (2026-10),
https://openrouter.ai/docs/use-cases/reasoning-tokens (2026-08-22; the shares of the output maximum).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from common.providers.anthropic_messages import Block, cannot_say, thinks_unsigned
from common.providers.anthropic_models import EFFORTS, Thinking, Traits

LEAST_BUDGET: Final = 1_024  # tokens
LARGEST_BUDGET: Final = 64_000
_PERCENTS: Final = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 95}
_NONE: Final = "none"


class _Asked(NamedTuple):
    """What a request says."""

    member: str  # of the request
    effort: str
    budget: int  # tokens
    shown: bool  # whether the client wants to read it


def thinking_of(
    values: Mapping[str, Any], traits: Traits, output_max: int
) -> tuple[Block | None, str | None, list[str]]:
    """The members `thinking` and `output_config.effort`, and the names of what is left out."""
    if values.get("thinking"):  # in Anthropic's own words
        return values["thinking"], None, []
    asked = _asked(values, output_max)
    if asked is None:
        return None, None, []
    if asked.effort == _NONE:
        return _unthinking(traits)
    thinking = _thinking(values, traits, asked, output_max)
    effort = _at_most(asked.effort, traits.efforts)
    return thinking, effort, [asked.member] if thinking is None and effort is None else []


def _asked(values: Mapping[str, Any], output_max: int) -> _Asked | None:
    given = values.get("reasoning")
    reasoning = given if isinstance(given, dict) else {}
    member = "reasoning" if reasoning else "reasoning_effort"
    effort = reasoning.get("effort") or values.get("reasoning_effort")
    budget, shown = reasoning.get("max_tokens"), not reasoning.get("exclude")
    if type(budget) is int and budget > 0:
        least = (each for each in EFFORTS if _PERCENTS[each] * output_max >= 100 * budget)
        return _Asked(member, next(least, EFFORTS[-1]), budget, shown)
    if effort is None:
        if not reasoning.get("enabled"):
            return None
        effort = "medium"
    if effort not in (_NONE, *_PERCENTS):
        raise cannot_say("such effort", member)
    return _Asked(member, effort, _PERCENTS.get(effort, 0) * output_max // 100, shown)


def _unthinking(traits: Traits) -> tuple[Block | None, str | None, list[str]]:
    """Not to think, which is what a model with a budget does by itself."""
    match traits.thinking:
        case Thinking.ALWAYS:
            return None, traits.efforts[0], []
        case Thinking.ADAPTIVE:
            return {"type": "disabled"}, None, []
        case _:
            return None, None, []


def _thinking(values: Mapping[str, Any], traits: Traits, asked: _Asked, output_max: int) -> Block | None:
    """None where the model cannot, or not here: a tool that it must call leaves it no thought."""
    choice = values.get("tool_choice")
    if traits.thinking is Thinking.NONE or choice == "required" or isinstance(choice, dict):
        return None
    if traits.thinking is not Thinking.BUDGET:
        return {"type": "adaptive", "display": "summarized" if asked.shown else "omitted"}
    budget = min(max(asked.budget, LEAST_BUDGET), LARGEST_BUDGET, output_max - 1)
    if budget < LEAST_BUDGET or thinks_unsigned(values["messages"]):
        return None
    return {"type": "enabled", "budget_tokens": budget}


def _at_most(effort: str, known: tuple[str, ...]) -> str | None:
    """The largest that a model knows and that is not above the one asked for; its least, should none be."""
    most = EFFORTS.index(effort) if effort in EFFORTS else 0
    return next((each for each in reversed(known) if EFFORTS.index(each) <= most), next(iter(known), None))
