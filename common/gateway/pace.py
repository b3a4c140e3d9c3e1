"""How long an attempt may take: less where another candidate is left to turn to. Pure.

A model that thinks is slow by nature, so what asks for reasoning is waited for. A silence in the middle of a stream is
cut short only where another candidate can go on with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from common.ports import Timeouts
from common.settings import RoutingSettings, ServerSettings

STALL_S: Final = 15.0  # between two pieces of a stream that can be continued elsewhere
WHOLE_S: Final = 60.0  # of an answer in one piece: a provider says nothing before it has all of it
_NO_EFFORT: Final = ("none", "minimal")


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one attempt."""

    timeouts: Timeouts
    first_content_s: float | None  # of a stream, from asking to its first content


class Paces:
    """Those that the configuration makes."""

    def __init__(self, server: ServerSettings, routing: RoutingSettings) -> None:
        usual = Timeouts(
            connect_s=server.connect_timeout_s,
            first_byte_s=server.first_byte_timeout_s,
            idle_s=server.idle_timeout_s,
            total_s=server.total_timeout_s,
        )
        stalled = replace(usual, idle_s=min(usual.idle_s, STALL_S))
        self.whole: Final = Pace(usual, None)
        self.whole_of_many: Final = Pace(replace(usual, first_byte_s=min(usual.first_byte_s, WHOLE_S)), None)
        self.stream: Final = Pace(usual, routing.slow_first_token_timeout_s)
        self.stream_of_many: Final = Pace(usual, routing.first_token_timeout_s)
        self.stream_to_resume: Final = Pace(stalled, routing.first_token_timeout_s)
        self.splice: Final = Pace(stalled, None)  # it says nothing new until it has said what was said

    def of(self, *, streamed: bool, alone: bool, reasoning: bool, resumable: bool) -> Pace:
        """`alone`: no other candidate is left. `resumable`: another one could go on in the middle."""
        patient = alone or reasoning
        if not streamed:
            return self.whole if patient else self.whole_of_many
        if patient:
            return self.stream
        return self.stream_to_resume if resumable else self.stream_of_many


def asks_reasoning(body: Mapping[str, Any]) -> bool:
    """Whether a request asks a model to think first, in OpenAI's spelling, OpenRouter's or Anthropic's."""
    effort, reasoning, thinking = body.get("reasoning_effort"), body.get("reasoning"), body.get("thinking")
    if isinstance(reasoning, dict):
        effort = effort or reasoning.get("effort")
        if reasoning.get("enabled") is False:
            return False
    asked = bool(effort or reasoning or thinking)
    return asked and effort not in _NO_EFFORT
