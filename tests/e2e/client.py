"""What every client is asked to do, in words that all of them understand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.model.usage import UsageRecord
from tests.support.scripted import ScriptedGateway


@dataclass(frozen=True, slots=True)
class Task:
    """Where a scenario is played, and how."""

    base_url: str
    key: str
    model: str = "hello"
    retries: int = 0
    leave_at: int | None = None  # give up at this piece of a stream, counted from 1
    timeout_s: float | None = None  # of the client's own
    max_tokens: int | None = None
    temperature: object = None
    stream: bool = False  # where a scenario can be played either way

    def as_json(self) -> dict[str, Any]:
        """As `driver.mjs` knows it; what is not there is the client's to choose."""
        optional = {
            "leaveAt": self.leave_at,
            "timeoutMs": None if self.timeout_s is None else self.timeout_s * 1000,
            "maxTokens": self.max_tokens,
            "temperature": self.temperature,
        }
        return {
            "baseUrl": self.base_url,
            "key": self.key,
            "model": self.model,
            "retries": self.retries,
            "stream": self.stream,
            **{name: value for name, value in optional.items() if value is not None},
        }


class Client(Protocol):
    """A client library.

    Scenarios are `whole`, `image`, `streamed`, `tools`, `streamedTools`, `structured` and `streamedStructured`. What is
    seen: the `pieces` of a stream, `text`, `finish`, `usage` (input and output), what the tool was called with
    (`calls`), the parsed `object`; `error`, with `status`, `code`, `param` and `retryAfter` as far as the client tells.
    """

    async def play(self, scenario: str, task: Task) -> dict[str, Any]:
        """Play a scenario to its end; what was seen."""

    def abort(self) -> None:
        """Give up the scenario that is running."""

    def close(self) -> None:
        """The client is no longer needed."""


def task(gateway: ScriptedGateway, **more: Any) -> Task:
    """A task for whoever has the gateway's key."""
    return Task(f"{gateway.url}/v1", **{"key": gateway.held.key, **more})


async def records(gateway: ScriptedGateway, count: int = 1) -> Sequence[UsageRecord]:
    """Every settlement, once so many requests are answered and nothing is left to do."""
    await gateway.lines(count)
    await gateway.background.drain(5)
    return gateway.held.meter.settled
