"""The request of `POST /v1/chat/completions`, as far as the gateway must know it.

Known fields are checked for their types; all others go to the provider unseen. Limits on values (a temperature's
range, say) differ by model, so they are the provider's to hold; those on amounts are ours, who count with them.
Building the validators waits for the first request.
Collections fail fast: the errors of half a million wrong items, which a megabyte can hold, would fill the memory.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

_CONFIG = ConfigDict(strict=True, defer_build=True, hide_input_in_errors=True)
_T = TypeVar("_T")
_List: TypeAlias = Annotated[list[_T], Field(fail_fast=True)]
_Object: TypeAlias = dict[str, Any]
# above what any model can; a number that no column holds could be held for, but not recorded
_OutputMaximum: TypeAlias = Annotated[int, Field(ge=1, le=10**9)]


class Message(BaseModel):
    """One turn of the conversation; what belongs to a role is not looked at."""

    model_config = _CONFIG

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | _List[_Object] | None = None
    name: str | None = None
    tool_calls: _List[_Object] | None = None
    tool_call_id: str | None = None


class StreamOptions(BaseModel):
    """How a stream is to be delivered."""

    model_config = _CONFIG

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The known top-level fields. `None` is as good as absent, as it is to OpenAI."""

    model_config = _CONFIG

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[_List[Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _OutputMaximum | None = None
    max_completion_tokens: _OutputMaximum | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: str | _List[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: Annotated[dict[str, float], Field(fail_fast=True)] | None = None
    tools: _List[_Object] | None = None
    tool_choice: str | _Object | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Object | None = None
    metadata: _Object | None = None
    modalities: _List[str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    session_id: str | None = None  # OpenRouter's

    @property
    def streamed(self) -> bool:
        """Whether the client asked for a stream."""
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked to see the usage chunk of its stream."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def end_user(self) -> str | None:
        """Whom the client asks for, in its own words: OpenAI's newer field for it, else the older one."""
        return self.safety_identifier or self.user or None

    @property
    def output_fields(self) -> tuple[str, ...]:
        """The fields in which it names its output maximum; where it does not, the one that most providers know."""
        names = ("max_completion_tokens", "max_tokens")
        return tuple(name for name in names if getattr(self, name) is not None) or ("max_tokens",)
