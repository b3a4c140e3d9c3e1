"""What the Vercel AI SDK has beside asking: steps, totals, reasoning, headers, and errors that say whether to retry."""

from typing import Any

import pytest

from tests.e2e.client import Client, task
from tests.e2e.failures import CASES, fail
from tests.e2e.provider_turns import calling, saying, turns
from tests.support.answers import chunk, completion, stream
from tests.support.scripted import Script, answering, scripted, streaming

pytestmark = pytest.mark.parametrize("client", ["ai-sdk"], indirect=True)
either_way = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@either_way
async def test_steps(client: Client, *, streamed: bool) -> None:
    """Several steps with tools end in one answer, with the usage of all of them."""
    call = calling("weather", [{"city": "Paris"}], streamed=streamed)
    async with scripted(turns(call, call, saying("Sunny.", streamed=streamed))) as gateway:
        seen = await client.play("streamedTools" if streamed else "tools", task(gateway))
    assert (seen["steps"], seen["calls"], seen["text"]) == (3, ["Paris", "Paris"], "Sunny.")
    assert (seen["finish"], seen["usage"]) == ("stop", [27, 6])


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@either_way
async def test_reasoning(client: Client, name: str, *, streamed: bool) -> None:
    """A model's reasoning, in either of its spellings, is told apart from its answer."""
    script: Script
    if streamed:
        first, *rest = stream("42")
        script = streaming([first, chunk({name: "Six by "}), chunk({name: "seven."}), *rest])
    else:
        message: dict[str, Any] = {"role": "assistant", "content": "42", name: "Six by seven."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        script = answering(completion(choices=[choice]))
    async with scripted(script) as gateway:
        seen = await client.play("streamed" if streamed else "whole", task(gateway))
    assert (seen["text"], seen["reasoning"]) == ("42", "Six by seven.")


async def test_partial_objects(client: Client) -> None:
    """A structured stream shows the object as it grows."""
    script = saying('{"topic": "Bud', 'get", "people', '": ["Ada"]}', streamed=True)
    async with scripted(script) as gateway:
        seen = await client.play("streamedStructured", task(gateway))
    assert seen["partial"][0] == {"topic": "Bud"}
    assert seen["partial"][-1] == {"topic": "Budget", "people": ["Ada"]}


async def test_headers(client: Client) -> None:
    """The response's headers are there, the request's id among them."""
    async with scripted(saying("Hello.", streamed=False)) as gateway:
        seen = await client.play("whole", task(gateway))
        (line,) = await gateway.lines()
    assert seen["headers"]["x-request-id"] == line["request_id"]


@pytest.mark.parametrize("name", CASES)
async def test_worth_another_try(client: Client, name: str) -> None:
    """It takes for worth another try what is ours or the provider's to mend, and nothing that is the caller's."""
    error = await fail(client, name)
    assert error["name"] == "AI_APICallError"
    assert error["retryable"] == (CASES[name].status >= 429)
