"""Chat requests as Anthropic's Messages API takes them: what is said, what is left out, what is refused."""

import json
from typing import Any, Final

import pytest

from common.model.errors import UpstreamRejected
from common.providers.anthropic import ANTHROPIC
from common.providers.anthropic_models import Thinking, traits_of
from common.wire.json_members import ABSENT, JsonMembers

SONNET: Final = "claude-sonnet-4-5-20250929"  # thinks by a budget
OPUS: Final = "claude-opus-4-8"  # as much as it likes
USER: Final = {"role": "user", "content": "Hi"}
SAID: Final = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
FUNCTION: Final = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PNG: Final = "iVBORw0KGgo="
SCHEMA: Final = {"type": "object", "properties": {}, "additionalProperties": False}
CALL: Final = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.50}'}}
THOUGHT: Final = {
    "type": "reasoning.text",
    "text": "Hm",
    "signature": "Sig",
    "format": "anthropic-claude-v1",
    "index": 0,
}


def body(**members: Any) -> JsonMembers:
    """A client's request."""
    asked = {"model": "claude", "messages": [USER], "max_tokens": 4_000} | members
    return JsonMembers(json.dumps(asked).encode())


def encoded(model: str = SONNET, *, output_max: int | None = None, **members: Any) -> dict[str, Any]:
    """What goes out."""
    made = ANTHROPIC.encode(body(**members), {"model": model}, output_max)
    found: dict[str, Any] = json.loads(made)
    return found


def turns(*messages: Any) -> Any:
    """Of a conversation."""
    return encoded(messages=messages)["messages"]


def dropped(model: str = SONNET, **members: Any) -> tuple[str, ...]:
    """The names of what is left out."""
    return ANTHROPIC.left_out(body(**members), {"model": model})


def refused(**members: Any) -> tuple[str | None, str | None, int]:
    """What a refusal names."""
    with pytest.raises(UpstreamRejected) as raised:
        encoded(**members)
    assert raised.value.message.startswith("Anthropic's Messages API takes no ")
    assert not raised.value.may_be_billed
    return raised.value.code, raised.value.param, raised.value.status


def test_a_plain_request() -> None:
    """It has a model, a maximum and turns, and nothing that was not said."""
    assert encoded() == {"model": SONNET, "max_tokens": 4_000, "messages": SAID}
    assert dropped() == ()


@pytest.mark.parametrize(
    ("given", "output_max", "expected"),
    [
        ({"max_tokens": 7}, 100, 7),
        ({"max_tokens": None, "max_completion_tokens": 8}, 100, 8),
        ({"max_tokens": None}, 100, 100),
        ({"max_tokens": None}, None, 32_000),
    ],
)
def test_a_maximum_is_always_told(given: Any, output_max: int | None, expected: int) -> None:
    """The client's, else the one that is known, else what all models of today can."""
    assert encoded(output_max=output_max, **given)["max_tokens"] == expected


def test_changes_win() -> None:
    """Members that the gateway sets stand for the client's own."""
    changes = {"model": SONNET, "max_tokens": 5, "max_completion_tokens": 5}
    made = json.loads(ANTHROPIC.encode(body(max_completion_tokens=9), changes, None))
    assert (made["model"], made["max_tokens"]) == (SONNET, 5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"stream": False, "n": 1, "modalities": ["text"]}, {}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", " \n", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": "\n\n"}, {}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"temperature": 1.7}, {"temperature": 1}),
        ({"top_p": 0.9, "top_k": 5}, {"top_p": 0.9, "top_k": 5}),
        ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"user": "u-1", "safety_identifier": "s-1"}, {"metadata": {"user_id": "s-1"}}),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        ({"service_tier": "auto", "logprobs": False, "seed": None, "frequency_penalty": 0}, {}),
    ],
)
def test_members(given: Any, expected: Any) -> None:
    """Each member in the API's words; nothing of it is left out."""
    assert encoded(**given) == {"model": SONNET, "max_tokens": 4_000, "messages": SAID} | expected
    assert dropped(**given) == ()


@pytest.mark.parametrize(
    ("model", "given", "names"),
    [
        (
            SONNET,
            {"seed": 5, "logit_bias": {"1": 2}, "metadata": {"a": "b"}, "provider": {"sort": "price"}},
            ("seed", "logit_bias", "metadata", "provider"),
        ),
        (SONNET, {"logprobs": True, "top_logprobs": 2}, ("logprobs", "top_logprobs")),
        (SONNET, {"service_tier": "flex", "prompt_cache_key": "k"}, ("service_tier", "prompt_cache_key")),
        (SONNET, {"response_format": {"type": "json_object"}}, ("response_format",)),
        (SONNET, {"temperature": 0.2, "top_p": 0.9}, ("top_p",)),
        (OPUS, {"temperature": 0.2, "top_k": 3}, ("temperature", "top_k")),
        (SONNET, {"temperature": 0.2, "reasoning_effort": "high"}, ("temperature",)),
        ("claude-3-haiku-20240307", {"reasoning_effort": "high"}, ("reasoning_effort",)),
        (SONNET, {"reasoning_effort": "high", "max_tokens": 1_024}, ("reasoning_effort",)),
        (
            SONNET,
            {"reasoning": {"effort": "low"}, "tool_choice": "required", "tools": [FUNCTION]},
            ("reasoning",),
        ),
    ],
)
def test_what_is_left_out_is_named(model: str, given: Any, names: tuple[str, ...]) -> None:
    """It stands in the list, and nowhere in the request."""
    assert dropped(model, **given) == names
    assert set(names).isdisjoint(encoded(model, **given))


def test_names_are_fit_for_a_header() -> None:
    """What a client calls its members is told only where it is a name, and not without end."""
    strange: dict[str, Any] = {"a\r\nset-cookie: b": 1, "\u00e9": 1, "": 1, "x" * 65: 1, "seed": 1}
    assert dropped(**strange) == ("seed",)
    many: dict[str, Any] = {f"new_{number}": 1 for number in range(100)}
    assert len(dropped(**many)) == 32


def test_members_that_are_taken_out() -> None:
    """What the gateway takes out of a request is neither told nor missed."""
    request, changes = body(temperature=0.5, seed=1), {"model": SONNET, "temperature": ABSENT, "seed": ABSENT}
    assert "temperature" not in json.loads(ANTHROPIC.encode(request, changes, None))
    assert ANTHROPIC.left_out(request, changes) == ()


def test_sampling_and_thought_exclude_each_other() -> None:
    """A model that thinks is told no temperature; one that is told not to think may be."""
    assert "temperature" not in encoded(temperature=0.2, reasoning_effort="low")
    assert encoded("claude-opus-4-6", temperature=0.2, reasoning_effort="none")["temperature"] == 0.2


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages"),
    ],
)
def test_what_is_refused(given: Any, param: str) -> None:
    """What would be another request without it is the client's to change, or another provider's to answer."""
    assert refused(**given) == ("unsupported_parameter", param, 400)


def test_schemas_for_models_that_keep_to_none() -> None:
    """A shape that a model cannot be held to is refused; a tool's strictness is only more than it can."""
    form = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    old = "claude-sonnet-4-20250514"
    assert refused(model=old, response_format=form) == ("unsupported_parameter", "response_format", 400)
    strict = {"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}}
    assert "strict" not in encoded(old, tools=[strict])["tools"][0]
    assert encoded(SONNET, tools=[strict])["tools"][0]["strict"] is True


# -- the conversation


def test_instructions_stand_by_themselves() -> None:
    """Those of systems and developers, wherever they come, in their order and with their marks for the cache."""
    marked = {"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}}
    asked = encoded(
        messages=[
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [marked]},
            USER,
            {"role": "system", "content": "Three."},
        ]
    )
    assert asked["system"] == [{"type": "text", "text": "One."}, marked, {"type": "text", "text": "Three."}]
    assert asked["messages"] == SAID


def test_turns_alternate() -> None:
    """Messages of one speaker in a row are one turn; those without a word are none."""
    said = turns(
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "  "}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": None, "refusal": "Never."},
        {"role": "user", "content": "d"},
    )
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in said] == [
        ("user", ["a", "b"]),
        ("assistant", ["c", "No.", "Never."]),
        ("user", ["d"]),
    ]


def test_tools_and_their_results() -> None:
    """Calls keep their order, results come before the user's next words, ids fit the API."""
    strange = CALL | {"id": "functions.f:0", "function": {"name": "g", "arguments": ""}}
    said = turns(
        USER,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, strange]},
        {"role": "tool", "tool_call_id": "call_1", "content": "5"},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": ""},
        {"role": "user", "content": "And?"},
    )
    assert said[1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1.5}},
                {"type": "tool_use", "id": "functions_f_0", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "5"}]},
                {"type": "tool_result", "tool_use_id": "functions_f_0"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


@pytest.mark.parametrize("arguments", ["[1]", "{", "5", 5, '"x"'])
def test_arguments_that_are_none(arguments: Any) -> None:
    """What a tool was called with is an object."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    asked = [USER, {"role": "assistant", "tool_calls": [call]}]
    assert refused(messages=asked) == ("unsupported_parameter", "messages", 400)


def test_thoughts_go_back() -> None:
    """What the model thought stands before what it said, with its signature; other models' thoughts stay away."""
    details = [
        THOUGHT,
        {"type": "reasoning.encrypted", "data": "Enc", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "unsigned"},
        {"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"},
        5,
    ]
    said = turns(USER, {"role": "assistant", "content": "So.", "reasoning_details": details}, USER)
    assert said[1]["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "Sig"},
        {"type": "redacted_thinking", "data": "Enc"},
        {"type": "text", "text": "So."},
    ]


def test_an_answer_that_is_begun() -> None:
    """White space at its end, which the API refuses, is left off."""
    assert turns(USER, {"role": "assistant", "content": "Once \n"})[-1]["content"][0]["text"] == "Once"


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/JPG;base64,{PNG}"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}},
        ),
        (
            {"type": "image_url", "image_url": "https://example.com/a.png"},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "JVBE"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            },
        ),
        (
            {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,SGk="}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
        ),
    ],
)
def test_content_that_is_no_text(part: Any, block: Any) -> None:
    """Images and documents, as data and by address, each with its mark for the cache."""
    mark = {"cache_control": {"type": "ephemeral"}}
    assert turns({"role": "user", "content": [part, part | mark]})[0]["content"] == [block, block | mark]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
        {"type": "image_url"},
        {"type": "image_url", "image_url": {"url": 5}},
        {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url", "image_url": {"url": "data:"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,A"}},
        {"type": "file"},
        {"type": "<script>"},
        {},
    ],
)
def test_content_that_cannot_be_said(part: Any) -> None:
    """It is refused, never left out: the question would be another."""
    assert refused(messages=[{"role": "user", "content": [part]}]) == (
        "unsupported_parameter",
        "messages",
        400,
    )


# -- tools


def test_tools() -> None:
    """Each has a name, its schema, and what else is said of it."""
    described = {
        "type": "function",
        "function": {"name": "g", "description": "Does g."},
        "cache_control": {"type": "ephemeral"},
    }
    assert encoded(tools=[FUNCTION, described])["tools"] == [
        {"name": "f", "input_schema": {"type": "object"}},
        {
            "name": "g",
            "input_schema": {"type": "object", "properties": {}},
            "description": "Does g.",
            "cache_control": {"type": "ephemeral"},
        },
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"tools": None, "tool_choice": "auto", "parallel_tool_calls": False}, None),
    ],
)
def test_choice_of_tools(given: Any, expected: Any) -> None:
    """Whether one must be called, and whether several may be at once; nothing where there are none."""
    assert encoded(**{"tools": [FUNCTION], **given}).get("tool_choice") == expected


# -- thinking


@pytest.mark.parametrize(
    ("model", "given", "thinking", "effort"),
    [
        (SONNET, {}, None, None),
        (SONNET, {"reasoning_effort": "none"}, None, None),
        (SONNET, {"reasoning_effort": "minimal"}, {"type": "enabled", "budget_tokens": 1_024}, None),
        (SONNET, {"reasoning_effort": "medium"}, {"type": "enabled", "budget_tokens": 2_000}, None),
        (SONNET, {"reasoning_effort": "xhigh"}, {"type": "enabled", "budget_tokens": 3_800}, None),
        (SONNET, {"reasoning": {"max_tokens": 3_000}}, {"type": "enabled", "budget_tokens": 3_000}, None),
        (SONNET, {"reasoning": {"max_tokens": 9_000}}, {"type": "enabled", "budget_tokens": 3_999}, None),
        (SONNET, {"reasoning": {"enabled": True}}, {"type": "enabled", "budget_tokens": 2_000}, None),
        (
            SONNET,
            {"reasoning_effort": "high", "max_tokens": 100_000},
            {"type": "enabled", "budget_tokens": 64_000},
            None,
        ),
        (
            "claude-opus-4-5",
            {"reasoning_effort": "xhigh"},
            {"type": "enabled", "budget_tokens": 3_800},
            "high",
        ),
        (
            "claude-opus-4-6",
            {"reasoning_effort": "minimal"},
            {"type": "adaptive", "display": "summarized"},
            "low",
        ),
        (
            "claude-sonnet-4-6",
            {"reasoning_effort": "max"},
            {"type": "adaptive", "display": "summarized"},
            "high",
        ),
        (
            OPUS,
            {"reasoning": {"effort": "xhigh", "exclude": True}},
            {"type": "adaptive", "display": "omitted"},
            "xhigh",
        ),
        (OPUS, {"reasoning": {"max_tokens": 1_500}}, {"type": "adaptive", "display": "summarized"}, "medium"),
        (OPUS, {"reasoning_effort": "none"}, {"type": "disabled"}, None),
        ("claude-fable-5-2", {"reasoning_effort": "none"}, None, "low"),
        (OPUS, {"reasoning_effort": "low", "tool_choice": "required", "tools": [FUNCTION]}, None, "low"),
    ],
)
def test_thinking(model: str, given: Any, thinking: Any, effort: str | None) -> None:
    """Older models are given a budget below their maximum, newer ones an effort that they know."""
    made = encoded(model, **given)
    assert made.get("thinking") == thinking
    assert made.get("output_config", {}).get("effort") == effort
    assert dropped(model, **given) == ()


@pytest.mark.parametrize("signed", [True, False])
def test_thinking_goes_on_after_a_tool(signed: bool) -> None:  # noqa: FBT001
    """A model with a budget may think on only where its thoughts before the call are told."""
    caller = {"role": "assistant", "tool_calls": [CALL]} | (
        {"reasoning_details": [THOUGHT]} if signed else {}
    )
    result = {"role": "tool", "tool_call_id": "call_1", "content": "5"}
    given: dict[str, Any] = {"messages": [USER, caller, result], "reasoning_effort": "high"}
    assert ("thinking" in encoded(**given), dropped(**given)) == (
        signed,
        () if signed else ("reasoning_effort",),
    )


@pytest.mark.parametrize(
    ("model", "thinking", "sampling", "schemas"),
    [
        ("claude-3-5-haiku-20241022", Thinking.NONE, True, False),
        ("claude-3-7-sonnet-20250219", Thinking.BUDGET, True, False),
        ("claude-sonnet-4-20250514", Thinking.BUDGET, True, False),
        ("claude-opus-4-0", Thinking.BUDGET, True, False),
        ("claude-opus-4-1-20250805", Thinking.BUDGET, True, True),
        ("claude-haiku-4-5", Thinking.BUDGET, True, True),
        ("claude-opus-4-6", Thinking.ADAPTIVE, True, True),
        ("claude-opus-4-7", Thinking.ADAPTIVE, False, True),
        ("claude-sonnet-5", Thinking.ADAPTIVE, False, True),
        ("claude-mythos-5-2", Thinking.ALWAYS, False, True),
        ("some-other-model", Thinking.ADAPTIVE, False, True),
    ],
)
def test_models(model: str, thinking: Thinking, sampling: bool, schemas: bool) -> None:  # noqa: FBT001
    """What a model takes is known by its name; one that is not known is new."""
    traits = traits_of(model)
    assert (traits.thinking, traits.sampling, traits.schemas) == (thinking, sampling, schemas)
