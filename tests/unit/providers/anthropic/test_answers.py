"""Anthropic's whole answers as chat completions; `answers/` has what its API reference shows, `translated/` ours."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from openai.types.chat import ChatCompletion

from common.model.errors import UpstreamBroken, UpstreamError, UpstreamFailed, UpstreamRefused
from common.providers.anthropic import ANTHROPIC
from common.providers.openai_usage import reported_usage

FOLDER: Final = Path(__file__).parent
CREATED: Final = 1_787_270_400
NAMES: Final = sorted(path.stem for path in (FOLDER / "answers").glob("*.json"))


def message(**members: Any) -> bytes:
    """An answer with these members."""
    usage = {"input_tokens": 2, "output_tokens": 1}
    content = [{"type": "text", "text": "Hi"}]
    made = {"id": "msg_1", "content": content, "stop_reason": "end_turn", "usage": usage}
    return json.dumps(made | members).encode()


@pytest.mark.parametrize("name", NAMES)
def test_golden_answers(name: str) -> None:
    """Each recorded answer comes to the completion beside it, which the official client can read."""
    answer = ANTHROPIC.read_answer((FOLDER / f"answers/{name}.json").read_bytes(), CREATED)
    expected = json.loads((FOLDER / f"translated/{name}.json").read_bytes())
    assert answer.body is not None
    assert json.loads(answer.body) == expected
    assert ChatCompletion.model_validate_json(answer.body, strict=True).choices[0].message.role == "assistant"
    assert (answer.id, answer.usage) == (expected["id"], expected["usage"])


def test_there_are_answers() -> None:
    """None is left without its twin."""
    assert len(NAMES) >= 8
    assert {path.stem for path in (FOLDER / "translated").glob("*.json")} == set(NAMES)


def test_a_cache_is_counted_once() -> None:
    """What was read from a cache and written to it is in the prompt's sum, and in classes of their own."""
    answer = ANTHROPIC.read_answer((FOLDER / "answers/thinking.json").read_bytes(), CREATED)
    assert reported_usage(answer.usage) == {
        "input": 25,
        "cache_read": 1024,
        "cache_write": 300,
        "output": 36,
        "reasoning": 60,
        "audio": 0,
        "total": 1445,
    }


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 2},
        {"input_tokens": "2", "output_tokens": 1},
        {"input_tokens": 2, "output_tokens": 1.0},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 2, "output_tokens": 1, "cache_read_input_tokens": "5"},
        {"input_tokens": 2, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": []}},
    ],
)
def test_counts_that_are_none(usage: dict[str, Any]) -> None:
    """A count that is no number is neither believed nor shown."""
    answer = ANTHROPIC.read_answer(message(usage=usage))
    reported = reported_usage(answer.usage)
    assert reported is not None
    assert reported["input"] is None
    assert "usage" not in json.loads(answer.body or b"")


def test_negative_counts_stay_negative() -> None:
    """A count below nothing is not hidden in the sum."""
    usage = {"input_tokens": -5, "output_tokens": 1, "cache_read_input_tokens": 10}
    reported = reported_usage(ANTHROPIC.read_answer(message(usage=usage)).usage)
    assert reported is not None
    assert reported["input"] == -5


def test_no_usage() -> None:
    """Where there is none, none is made up."""
    answer = ANTHROPIC.read_answer(message(usage=None))
    assert answer.usage is None
    assert "usage" not in json.loads(answer.body or b"")


def test_words_of_a_refusal_are_not_the_models() -> None:
    """What is said about a refusal does not count as content, which would make its usage unbelievable."""
    body = message(
        content=[], stop_reason="refusal", stop_details={"type": "refusal", "explanation": "Because. " * 50}
    )
    assert ANTHROPIC.read_answer(body).content_bytes == 0


def test_content_is_counted_in_bytes() -> None:
    """Texts, thoughts and arguments are."""
    blocks = [
        {"type": "thinking", "thinking": "Hm", "signature": "s" * 100},
        {"type": "text", "text": "Zürich"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ]
    assert ANTHROPIC.read_answer(message(content=blocks)).content_bytes == 2 + 7 + len('{"a":1}')


@pytest.mark.parametrize(
    "block", [5, None, {}, {"type": "new"}, {"type": "text"}, {"type": "text", "text": 5}, {"type": ["text"]}]
)
def test_blocks_that_are_not_known(block: Any) -> None:
    """They are left out."""
    answer = ANTHROPIC.read_answer(message(content=[block, {"type": "text", "text": "Hi"}]))
    assert json.loads(answer.body or b"")["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize("reason", ["end_turn", "pause_turn", "new_reason"])
def test_ends(reason: str) -> None:
    """A reason that OpenAI has no word for is an end like any other; its own word stands beside it."""
    (choice,) = json.loads(ANTHROPIC.read_answer(message(stop_reason=reason)).body or b"")["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", reason)


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (b"", UpstreamBroken),
        (b"<html>", UpstreamBroken),
        (b"[]", UpstreamBroken),
        (b"{}", UpstreamBroken),
        (b"[" * 100_000, UpstreamBroken),
        (b'{"content":"Hi","stop_reason":"end_turn"}', UpstreamBroken),
        (b'{"content":[],"stop_reason":null}', UpstreamBroken),
        (b'{"content":[],"stop_reason":"\xff"}', UpstreamBroken),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', UpstreamFailed),
        (b'{"type":"error","error":{"type":"authentication_error","message":"m"}}', UpstreamRefused),
        (b'{"type":"error","error":"m"}', UpstreamFailed),
    ],
)
def test_no_answer(body: bytes, cls: type[UpstreamError]) -> None:
    """What is no message is an error, whatever its status says."""
    with pytest.raises(UpstreamError) as raised:
        ANTHROPIC.read_answer(body)
    assert type(raised.value) is cls
