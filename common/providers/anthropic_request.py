"""A chat request as Anthropic's Messages API takes it. Pure.

What the API has no word for is left out, and named by `left_out`; what would be another request without it is
refused (`UpstreamRejected`, `unsupported_parameter`): several choices, speech, tools that are no functions, schemas
for models that keep to none. Sources: https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/api/openai-sdk (both 2026-10).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from common.providers.anthropic_messages import Block, cannot_say, conversation
from common.providers.anthropic_models import Traits, traits_of
from common.providers.anthropic_thinking import thinking_of
from common.wire.json_members import JsonMembers

DEFAULT_OUTPUT_MAX: Final = 32_000  # tokens: what all models of today can, where nobody names a maximum
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMES: Final = 32
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_KNOWN: Final = frozenset(
    {
        *(
            "model",
            "messages",
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "n",
            "stop",
        ),
        *("tools", "tool_choice", "parallel_tool_calls", "response_format", "cache_control", "modalities"),
        *("reasoning_effort", "reasoning", "thinking", *_SAMPLING),
        *("user", "safety_identifier", "session_id", "usage"),
    }
)
_AS_ALWAYS: Final = {"service_tier": ("auto", "default"), "verbosity": ("medium",), "logprobs": (False,)}


def encode(body: JsonMembers, changes: Mapping[str, Any], output_max: int | None) -> bytes:
    """See `Encode`."""
    values = body.merged(changes)
    _refuse(values)
    request, _ = _parameters(values, output_max)
    system, turns = conversation(values["messages"])
    if system:
        request["system"] = system
    request["messages"] = turns
    return json.dumps(request, separators=(",", ":")).encode()


def left_out(body: JsonMembers, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """See `LeftOut`."""
    values = body.merged(changes)
    _, dropped = _parameters(values, None)
    unknown = [
        name
        for name, value in values.items()
        if name not in _KNOWN and not _says_nothing(name, value) and _NAME.fullmatch(name)
    ]
    return (*unknown[:_MOST_NAMES], *dropped)


def _says_nothing(name: str, value: Any) -> bool:
    return not value or value in _AS_ALWAYS.get(name, ())


def _refuse(values: Mapping[str, Any]) -> None:
    if (values.get("n") or 1) > 1:
        raise cannot_say("request for several choices", "n")
    if "audio" in (values.get("modalities") or ()):
        raise cannot_say("request for speech", "modalities")
    if values.get("functions"):
        raise cannot_say("`functions`: send tools", "functions")


def _parameters(values: Mapping[str, Any], output_max: int | None) -> tuple[Block, list[str]]:
    """All members but the conversation, and the names of what is left out."""
    model = values["model"]
    traits = traits_of(model)
    maximum = (
        values.get("max_completion_tokens") or values.get("max_tokens") or output_max or DEFAULT_OUTPUT_MAX
    )
    request: Block = {"model": model, "max_tokens": maximum}
    if values.get("stream"):
        request["stream"] = True
    tools = _tools(values, traits)
    if tools:
        request["tools"] = tools
    choice = _tool_choice(values, bool(tools))
    if choice is not None:
        request["tool_choice"] = choice
    output, schema_dropped = _output_format(values, traits)
    thinking, effort, thinking_dropped = thinking_of(values, traits, maximum)
    if thinking is not None:
        request["thinking"] = thinking
    if effort is not None:
        output["effort"] = effort
    if output:
        request["output_config"] = output
    sampling, sampling_dropped = _sampling(values, traits, thinking)
    request |= sampling
    stops = values.get("stop")
    stops = [stop for stop in ([stops] if isinstance(stops, str) else stops or ()) if stop.strip()]
    if stops:
        request["stop_sequences"] = stops
    user = values.get("safety_identifier") or values.get("user")
    if user:
        request["metadata"] = {"user_id": user}
    if values.get("cache_control"):
        request["cache_control"] = values["cache_control"]
    return request, [*schema_dropped, *thinking_dropped, *sampling_dropped]


def _tools(values: Mapping[str, Any], traits: Traits) -> list[Block]:
    tools = []
    for tool in values.get("tools") or ():
        function = tool.get("function")
        if tool.get("type", "function") != "function" or not isinstance(function, dict):
            raise cannot_say("tools other than functions", "tools")
        made: Block = {
            "name": function.get("name"),
            "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        }
        if function.get("description"):
            made["description"] = function["description"]
        if function.get("strict") and traits.schemas:
            made["strict"] = True
        cache_control = tool.get("cache_control") or function.get("cache_control")
        if cache_control:
            made["cache_control"] = cache_control
        tools.append(made)
    return tools


def _tool_choice(values: Mapping[str, Any], has_tools: bool) -> Block | None:  # noqa: FBT001
    given = values.get("tool_choice")
    alone = values.get("parallel_tool_calls") is False
    made: Block
    match given:
        case None | "auto":
            if not (has_tools and (given or alone)):
                return None
            made = {"type": "auto"}
        case "none":
            return {"type": "none"} if has_tools else None
        case "required":
            made = {"type": "any"}
        case {"type": "function", "function": {"name": str(name)}}:
            made = {"type": "tool", "name": name}
        case _:
            raise cannot_say("such choice of tools", "tool_choice")
    return {**made, "disable_parallel_tool_use": True} if alone else made


def _output_format(values: Mapping[str, Any], traits: Traits) -> tuple[Block, list[str]]:
    """A member of `output_config`. That an answer is JSON of any kind cannot be asked for."""
    given = values.get("response_format")
    match given:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            if not traits.schemas:
                raise cannot_say("schema of the answer for this model", "response_format")
            return {"format": {"type": "json_schema", "schema": schema}}, []
        case None | {"type": "text"}:
            return {}, []
        case {"type": "json_object"}:
            return {}, ["response_format"]
        case _:
            raise cannot_say("such format of the answer", "response_format")


def _sampling(values: Mapping[str, Any], traits: Traits, thinking: Block | None) -> tuple[Block, list[str]]:
    """Of temperature and the probability mass a request may name one; while it thinks, neither."""
    given = {name: values[name] for name in _SAMPLING if values.get(name) is not None}
    thinks = thinking is not None and thinking.get("type") != "disabled"
    if not traits.sampling or thinks:
        return {}, list(given)
    if "temperature" not in given:
        return given, []
    given["temperature"] = min(given["temperature"], 1)  # OpenAI's goes up to 2
    return {name: value for name, value in given.items() if name != "top_p"}, [
        "top_p"
    ] if "top_p" in given else []
