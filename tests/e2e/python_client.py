"""The official client for Python, by its own helpers."""

import asyncio
from typing import Any, Final

import openai
from pydantic import BaseModel

from tests.e2e.client import Task

QUESTION: Final = "Say hello."
IMAGE: Final = "data:image/png;base64,iVBORw0KGgo="


class Meeting(BaseModel):
    """What a structured answer is parsed into."""

    topic: str
    people: list[str]


class Place(BaseModel):
    """What the tool is called with."""

    city: str


WEATHER: Final = openai.pydantic_function_tool(Place, name="weather", description="The weather in a city.")


class PythonClient:
    """See `Client`."""

    def __init__(self) -> None:
        self._playing: asyncio.Task[None] | None = None

    async def play(self, scenario: str, task: Task) -> dict[str, Any]:
        """See `Client.play`."""
        seen: dict[str, Any] = {"pieces": []}
        async with openai.AsyncOpenAI(
            base_url=task.base_url, api_key=task.key, max_retries=task.retries, timeout=task.timeout_s
        ) as client:
            acts = _Acts(client, task, seen)
            self._playing = asyncio.create_task(getattr(acts, scenario)())
            try:
                await self._playing
            except asyncio.CancelledError:
                seen["error"] = {"name": "CancelledError"}
            except openai.OpenAIError as error:
                seen["error"] = told(error)
        return seen

    def abort(self) -> None:
        """See `Client.abort`."""
        assert self._playing is not None
        self._playing.cancel()

    def close(self) -> None:
        """Nothing is left."""


def told(error: openai.OpenAIError) -> dict[str, Any]:
    """What an error tells."""
    found: dict[str, Any] = {"class": type(error).__name__, "message": str(error)}
    if isinstance(error, openai.APIError):
        found |= {"code": error.code, "param": error.param, "type": error.type}
    if isinstance(error, openai.APIStatusError):
        found |= {
            "status": error.status_code,
            "requestId": error.request_id,
            "retryAfter": error.response.headers.get("retry-after"),
        }
    return found


class _Acts:
    """The scenarios, by their names in all languages."""

    def __init__(self, client: openai.AsyncOpenAI, task: Task, seen: dict[str, Any]) -> None:
        self._client = client
        self._chat: Any = client.chat.completions  # its overloads do not take what is put together here
        self._task = task
        self._seen = seen

    def _ask(self, content: Any = QUESTION) -> dict[str, Any]:
        messages = [{"role": "user", "content": content}]
        asked = {"model": self._task.model, "messages": messages}
        given = {"max_tokens": self._task.max_tokens, "temperature": self._task.temperature}
        return asked | {name: value for name, value in given.items() if value is not None}

    async def whole(self, content: Any = QUESTION) -> None:
        answer = await self._chat.create(**self._ask(content))
        self._seen["text"] = answer.choices[0].message.content
        self._seen["finish"] = answer.choices[0].finish_reason
        self._seen["usage"] = _used(answer.usage)

    async def image(self) -> None:
        await self.whole(
            [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": IMAGE}}]
        )

    async def streamed(self) -> None:
        wanted = {"stream": True, "stream_options": {"include_usage": True}}
        async with await self._chat.create(**self._ask(), **wanted) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    self._seen["finish"] = choice.finish_reason
                    self._piece(choice.delta.content)
                if chunk.usage:
                    self._seen["usage"] = _used(chunk.usage)
                if len(self._seen["pieces"]) == self._task.leave_at:
                    return

    async def tools(self) -> None:
        await self._converse(self._chat.parse)

    async def streamedTools(self) -> None:  # noqa: N802 - the scenario's name
        await self._converse(self._stream)

    async def structured(self) -> None:
        message = (await self._chat.parse(**self._ask(), response_format=Meeting)).choices[0].message
        self._seen["object"] = message.parsed and message.parsed.model_dump()
        self._seen["refusal"] = message.refusal

    async def streamedStructured(self) -> None:  # noqa: N802 - the scenario's name
        answer = await self._stream(**self._ask(), response_format=Meeting)
        self._seen["object"] = answer.choices[0].message.parsed.model_dump()

    async def withResponse(self) -> None:  # noqa: N802 - the scenario's name
        raw = await self._chat.with_raw_response.create(**self._ask(), stream=self._task.stream)
        self._seen["headers"] = dict(raw.headers)
        self._seen["requestId"] = raw.request_id
        if self._task.stream:
            async for chunk in raw.parse():
                self._piece(chunk.choices[0].delta.content)

    async def models(self) -> None:
        self._seen["models"] = [model.id async for model in self._client.models.list()]

    async def model(self) -> None:
        self._seen["model"] = (await self._client.models.retrieve(self._task.model)).model_dump()

    def _piece(self, text: str | None) -> None:
        if text:
            self._seen["pieces"].append(text)

    async def _stream(self, **asked: Any) -> Any:
        """By the helper that puts a stream together."""
        async with self._chat.stream(**asked) as stream:
            async for event in stream:
                if event.type == "content.delta":
                    self._piece(event.delta)
            return await stream.get_final_completion()

    async def _converse(self, ask: Any) -> None:
        """Ask, do as the model says, and ask again, until it has no more calls."""
        self._seen["calls"] = []
        asked = self._ask()
        while True:
            message = (await ask(**asked, tools=[WEATHER])).choices[0].message
            asked["messages"].append(message)
            if not message.tool_calls:
                self._seen["text"] = message.content
                return
            for call in message.tool_calls:
                city = call.function.parsed_arguments.city
                self._seen["calls"].append(city)
                asked["messages"].append(
                    {"role": "tool", "tool_call_id": call.id, "content": f"Sun in {city}."}
                )


def _used(usage: Any) -> list[int]:
    return [usage.prompt_tokens, usage.completion_tokens]
