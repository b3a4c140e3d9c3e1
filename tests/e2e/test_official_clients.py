"""What the official clients for Python and Node have beside asking: headers, retries, time-outs, models, refusals."""

import asyncio
import re
import time
from typing import Final

import pytest

from common.model.limits import Limit
from common.model.usage import Outcome
from tests.e2e.client import Client, records, task
from tests.e2e.failures import DEAR, HELLO, failing
from tests.e2e.provider_turns import DONE, refusing, saying, turns
from tests.support import answers
from tests.support.origin import Exchange
from tests.support.scripted import scripted, streaming

pytestmark = pytest.mark.parametrize("client", ["openai-python", "openai-node"], indirect=True)
LIMITS = {Limit.REQUESTS_PER_MINUTE: 5, Limit.TOKENS_PER_MINUTE: 50_000}
BUSY = failing("429 Too Many Requests", {"message": "busy"}, "retry-after: 1")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_headers(client: Client, *, streamed: bool) -> None:
    """The headers that OpenAI sends are there for whoever looks at the response itself; so is the request's id."""
    async with scripted(saying("Hello.", streamed=streamed), overrides=LIMITS) as gateway:
        seen = await client.play("withResponse", task(gateway, stream=streamed))
        (record,) = await records(gateway)
    headers = seen["headers"]
    assert seen["requestId"] == headers["x-request-id"] == record.request_id
    assert headers["openai-processing-ms"].isdecimal()
    assert headers["x-sluice-attempts"] == "1"
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("5", "4")
    assert int(headers["x-ratelimit-remaining-tokens"]) < int(headers["x-ratelimit-limit-tokens"]) == 50_000
    assert re.fullmatch(r"(\d+m)?[\d.]+m?s", headers["x-ratelimit-reset-requests"])
    assert seen["pieces"] == (["Hello."] if streamed else [])


async def test_models(client: Client) -> None:
    """The models are those that are configured."""
    async with scripted() as gateway:
        seen = await client.play("models", task(gateway))
    assert seen["models"] == ["hello", "twice"]


VENDORS: Final = """
[models."vendor/large:free"]
targets = ["one/large"]
tier = "premium"
context_length = 128_000
price = { input = "0.15", output = "0.60" }
"""


async def test_model_with_slashes(client: Client) -> None:
    """A model whose name has slashes is found, however the client writes them, with what is known of it besides."""
    async with scripted(server=VENDORS) as gateway:
        seen = await client.play("model", task(gateway, model="vendor/large:free"))
        missing = await client.play("model", task(gateway, model="vendor/none"))
    model = seen["model"]
    assert (model["id"], model["tier"], model["context_length"]) == ("vendor/large:free", "premium", 128_000)
    assert model["pricing"] == {"prompt": "0.00000015", "completion": "0.0000006"}
    error = missing["error"]
    assert (error["class"], error["status"], error["code"]) == ("NotFoundError", 404, "model_not_found")


async def test_spent_budget_is_not_tried_again(client: Client) -> None:
    """`x-should-retry: false` is obeyed: a client that would try three times asks once."""
    async with scripted(DEAR, overrides={Limit.BUDGET_TOTAL: 270_000}) as gateway:
        await client.play("whole", task(gateway, max_tokens=5))
        await records(gateway)
        seen = await client.play("whole", task(gateway, max_tokens=5, retries=2))
        assert seen["error"]["code"] == "insufficient_quota"
        assert len(await gateway.lines(2)) == 2


async def test_retry_after_is_waited_for(client: Client) -> None:
    """A provider's `retry-after` reaches the client, which comes back when it is over, and is answered."""
    async with scripted(turns(BUSY, HELLO)) as gateway:
        began = time.monotonic()
        seen = await client.play("whole", task(gateway, retries=1))
        took_s = time.monotonic() - began
        settled = await records(gateway, 2)
    assert seen["text"] == "Hello."
    assert took_s >= 1
    assert [record.outcome for record in settled] == [Outcome.UPSTREAM, Outcome.OK]


async def test_what_is_wrong_is_not_tried_again(client: Client) -> None:
    """A mistake in the request is told once."""
    async with scripted(HELLO) as gateway:
        seen = await client.play("whole", task(gateway, temperature="hot", retries=2))
        assert seen["error"]["class"] == "BadRequestError"
        assert len(await gateway.lines(1)) == 1


@pytest.mark.parametrize("scenario", ["whole", "streamed"])
async def test_timeout(client: Client, scenario: str) -> None:
    """A client that waits no longer raises its time-out, and the provider is not kept busy for it."""

    async def script(exchange: Exchange) -> None:
        await asyncio.wait_for(exchange.left.wait(), 5)

    async with scripted(script) as gateway:
        seen = await client.play(scenario, task(gateway, timeout_s=0.5))
        await asyncio.wait_for(gateway.provider.exchanges[0].left.wait(), 1)
        (record,) = await records(gateway)
    assert seen["error"]["class"] in {"APITimeoutError", "APIConnectionTimeoutError"}
    assert record.outcome is Outcome.CANCELLED


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param([], "provider_error", id="cut"),
        pytest.param([DONE], "provider_error", id="no finish reason"),
        pytest.param(
            [b'data: {"error": {"code": 429, "message": "busy"}}\n\n'],
            "provider_rate_limited",
            id="error event",
        ),
    ],
)
async def test_broken_stream(client: Client, ending: list[bytes], code: str) -> None:
    """An error in the middle of a stream is an `APIError` with the code of what went wrong."""
    async with scripted(streaming([*answers.stream("Hel")[:2], *ending])) as gateway:
        seen = await client.play("streamed", task(gateway))
    assert (seen["error"]["class"], seen["error"]["code"]) == ("APIError", code)


async def test_refusal(client: Client) -> None:
    """A model that refuses a structured answer is heard: no object, but its reason."""
    async with scripted(refusing("I will not.")) as gateway:
        seen = await client.play("structured", task(gateway))
    assert "error" not in seen
    assert (seen["object"], seen["refusal"]) == (None, "I will not.")
