"""What LangChain has beside asking: token counts for callbacks, structured output by a tool, its own retries."""

import pytest

from common.model.limits import Limit
from tests.e2e.client import Client, records, task
from tests.e2e.failures import DEAR
from tests.e2e.provider_turns import calling, saying
from tests.support.scripted import scripted

pytestmark = pytest.mark.parametrize("client", ["langchain"], indirect=True)
MEETING = {"topic": "Budget", "people": ["Ada"]}


async def test_token_counts(client: Client) -> None:
    """Callbacks are told what an answer used."""
    async with scripted(saying("Hello.", streamed=False)) as gateway:
        seen = await client.play("whole", task(gateway))
    assert seen["told"] == {"promptTokens": 9, "completionTokens": 2, "totalTokens": 11}


async def test_structured_output_by_a_tool(client: Client) -> None:
    """For models without schemas, the object comes as the arguments of a tool that the model must call."""
    async with scripted(calling("meeting", [MEETING], streamed=False)) as gateway:
        seen = await client.play("structuredByTool", task(gateway))
    assert seen["object"] == MEETING


async def test_spent_budget_is_not_tried_again(client: Client) -> None:
    """It knows `insufficient_quota`: a client that would try three times asks once."""
    async with scripted(DEAR, overrides={Limit.BUDGET_TOTAL: 270_000}) as gateway:
        await client.play("whole", task(gateway, max_tokens=5))
        await records(gateway)
        seen = await client.play("whole", task(gateway, max_tokens=5, retries=2))
        assert seen["error"]["code"] == "insufficient_quota"
        assert len(await gateway.lines(2)) == 2
