"""Which of the candidates are asked, and in which order."""

import json
import random
from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import InvalidRequest
from common.model.ids import KeyId, UserId
from common.model.principal import Principal
from common.routing.candidates import Ability
from common.routing.names import Directory
from common.routing.selection import (
    MOST_ASKED,
    Needs,
    Selection,
    needs_of,
    select,
    session_of,
)
from common.settings import TargetSettings, parse_settings
from common.wire.openai.chat import ChatRequest

ANYBODY: Final = Principal(KeyId("key_1"), UserId("alice"), frozenset())
PLAIN: Final = Needs(0, 100, None)
PROVIDER: Final = '[providers.p]\nkind = "openai"\nbase_url = "http://p"\n'


def directory(*targets: str, policy: str = "priority", more: str = "") -> Directory:
    """With a model `m` of these targets, as TOML."""
    text = f'{PROVIDER}[models.m]\npolicy = "{policy}"\ntargets = [{", ".join(targets)}]\n{more}'
    return Directory(parse_settings(text, {}))


def selected(
    of: Directory,
    needs: Needs = PLAIN,
    *,
    session: str | None = None,
    seconds: dict[str, float] | None = None,
    seed: int = 1,
) -> Selection:
    """Who is asked for `m`, `seconds` being how long each is expected to take."""
    known = seconds or {}

    def expected_s(target: TargetSettings, _tokens: int) -> float | None:
        return known.get(target.model)

    resolved = of.resolve("m", ANYBODY)
    return select(resolved, needs, session=session, expected_s=expected_s, rng=random.Random(seed))


def order(*arguments: Any, **options: Any) -> str:
    """The models that are asked, one letter each."""
    return "".join(each.target.model for each in selected(*arguments, **options).candidates)


def refusal(of: Directory, needs: Needs) -> tuple[str | None, str | None, str]:
    """What a request gets that nobody can answer."""
    with pytest.raises(InvalidRequest) as refused:
        selected(of, needs)
    return refused.value.code, refused.value.param, refused.value.message


# -- what a request needs


@pytest.mark.parametrize(
    ("members", "abilities"),
    [
        ({}, Ability(0)),
        ({"tools": [{"type": "function"}]}, Ability.TOOLS),
        ({"functions": [{"name": "f"}]}, Ability.TOOLS),
        ({"tools": [], "functions": None}, Ability(0)),
        ({"response_format": {"type": "text"}}, Ability(0)),
        ({"response_format": {"type": "json_object"}}, Ability.RESPONSE_FORMAT),
        ({"response_format": {"type": "json_schema"}}, Ability.STRUCTURED_OUTPUTS),
        ({"response_format": {"type": 5}}, Ability.RESPONSE_FORMAT),
    ],
)
def test_needs_of_members(members: dict[str, Any], abilities: Ability) -> None:
    """Tools, in both spellings, and formats of answers."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}
    needs = needs_of(ChatRequest.model_validate_json(json.dumps(body)), body, 7, 9)
    assert needs == (abilities, 7, 9)


@pytest.mark.parametrize(
    ("types", "abilities"),
    [
        (["text"], Ability(0)),
        (["text", "image_url"], Ability.IMAGE),
        (["input_audio", "image_url", "text"], Ability.AUDIO | Ability.IMAGE),
        (["file"], Ability.FILE),
        (["video_url", 5, None, ["text"], {"a": 1}], Ability(0)),
    ],
)
def test_needs_of_parts(types: list[Any], abilities: Ability) -> None:
    """Of all messages; what nobody knows is for the provider to know."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "s"},
        {"role": "assistant", "content": None},
    ]
    messages += [{"role": "user", "content": [{"type": each}]} for each in types]
    body = {"model": "m", "messages": messages}
    assert needs_of(ChatRequest.model_validate_json(json.dumps(body)), body, 0, None).abilities == abilities


@pytest.mark.parametrize(
    ("body", "header", "session"),
    [
        ({}, None, None),
        ({"user": "u"}, None, "u"),
        ({"user": "u"}, "x", "x"),
        ({"user": "u", "prompt_cache_key": "k"}, "x", "k"),
        ({"user": "", "prompt_cache_key": 5}, "", None),
    ],
)
def test_session(body: dict[str, Any], header: str | None, session: str | None) -> None:
    """What tells most of the prompt comes first; an empty word is none."""
    assert session_of(body, header) == session


# -- what a candidate lacks

LACKING: Final = (
    '{ to = "p/a", unsupported = ["tools"], modalities = ["text", "image"] }',
    '{ to = "p/b", unsupported = ["response_format"], modalities = ["text"] }',
    '{ to = "p/c", unsupported = ["structured_outputs", "temperature"], modalities = ["text", "audio", "file"] }',
    '"p/d"',
)


@pytest.mark.parametrize(
    ("abilities", "able", "lacks"),
    [
        (Ability(0), "abcd", []),
        (Ability.TOOLS, "bcd", ["tools"]),
        (Ability.RESPONSE_FORMAT, "acd", ["response_format"]),
        (Ability.STRUCTURED_OUTPUTS, "ad", ["structured_outputs", "structured_outputs"]),
        (Ability.IMAGE, "ad", ["image", "image"]),
        (Ability.AUDIO, "cd", ["audio", "audio"]),
        (Ability.FILE | Ability.TOOLS, "cd", ["tools", "file"]),
    ],
)
def test_abilities(abilities: Ability, able: str, lacks: list[str]) -> None:
    """Who lacks something is skipped, with the reason; of whom nobody has said anything, is asked."""
    found = selected(directory(*LACKING), Needs(int(abilities), 100, None))
    assert "".join(each.target.model for each in found.candidates) == able
    assert [each.lack for each in found.skipped] == lacks


SIZED: Final = (
    '{ to = "p/a", context_length = 1000, max_output_tokens = 100 }',
    '{ to = "p/b", context_length = 2000, max_output_tokens = 50 }',
    '{ to = "p/c", context_length = 3000 }',
)


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens", "able"),
    [
        (1000, None, "abc"),
        (1001, None, "bc"),
        (1, 50, "abc"),
        (1, 51, "ac"),
        (1, 101, "c"),
        (1001, 51, "c"),
        (3000, None, "c"),
        (3001, None, "cb"),  # an estimate that is too large by little is left to the largest
        (4500, 101, "c"),
    ],
)
def test_sizes(input_tokens: int, output_tokens: int | None, able: str) -> None:
    """What is too long for some goes to the others."""
    assert order(directory(*SIZED), Needs(0, input_tokens, output_tokens)) == able


def test_too_long_for_all() -> None:
    """Nothing is sent that cannot fit: the client is told how long it may be."""
    code, param, message = refusal(directory(*SIZED), Needs(0, 4503, None))
    assert (code, param) == ("context_length_exceeded", "messages")
    assert "4503" in message
    assert "3000" in message


def test_too_long_an_answer_for_all() -> None:
    """The client is told how long it may be."""
    code, param, message = refusal(directory(*SIZED[:2]), Needs(0, 1, 101))
    assert (code, param) == ("max_tokens_too_large", "max_tokens")
    assert "at most 100 tokens" in message


@pytest.mark.parametrize(
    ("abilities", "param", "words"),
    [
        (Ability.TOOLS, "tools", "tools"),
        (Ability.IMAGE, "messages", "images"),
        (Ability.STRUCTURED_OUTPUTS | Ability.AUDIO, "response_format", "structured outputs and audio"),
    ],
)
def test_nobody_is_able(abilities: Ability, param: str, words: str) -> None:
    """The client is told what is missing; together, where each of the candidates lacks something else."""
    of = directory(
        '{ to = "p/a", unsupported = ["tools", "structured_outputs"], modalities = ["text", "audio"] }',
        '{ to = "p/b", unsupported = ["tools"], modalities = ["text"] }',
    )
    assert refusal(of, Needs(int(abilities), 1, None)) == (
        "unsupported_capability",
        param,
        f"No model that this name stands for can do {words}.",
    )


def test_longer_ones() -> None:
    """What is too long for all goes to those that are named for that, where they can answer it; the rest does not."""
    of = directory(*SIZED, more='[models.more]\ntargets = ["p/x", { to = "p/y", context_length = 3500 }]\n')
    longer = of.resolve("more", ANYBODY).candidates

    def asked(input_tokens: int, output_tokens: int | None = None) -> str:
        found = select(
            of.resolve("m", ANYBODY),
            Needs(0, input_tokens, output_tokens),
            session=None,
            expected_s=lambda *_: None,
            rng=random.Random(1),
            longer=lambda: longer,
        )
        return "".join(each.target.model for each in found.candidates)

    assert [asked(3000), asked(3001), asked(3501), asked(10**6)] == ["c", "xy", "x", "x"]


def test_without_a_price_last() -> None:
    """Where money binds, those whose cost nobody knows are asked only if there are no others."""
    unpriced = [f'"p/u{number}"' for number in range(2 * MOST_ASKED)]
    of = directory(*unpriced, priced("a", "1", "1"))

    def asked(of: Directory) -> list[str]:
        resolved, rng = of.resolve("m", ANYBODY), random.Random(1)
        found = select(resolved, PLAIN, session=None, expected_s=lambda *_: None, rng=rng, priced=True)
        return [each.target.model for each in found.candidates]

    assert asked(of) == ["a"]
    assert len(asked(directory(*unpriced))) == MOST_ASKED


# -- the order


def priced(name: str, input_: str, output: str, request: str = "0") -> str:
    """A target with a price."""
    return (
        f'{{ to = "p/{name}", price = {{ input = "{input_}", output = "{output}", request = "{request}" }} }}'
    )


PRICED: Final = (
    '"p/n"',
    priced("a", "1", "100"),
    priced("b", "10", "10"),
    priced("c", "0.01", "0.01", request="0.05"),
)


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens", "expected"),
    [
        (16, None, "bcan"),  # the answer counts: 500 tokens of it are expected
        (16, 1, "abcn"),
        (4096, 1, "abcn"),
        (100_000, 1, "cabn"),
        (100_000, 4_000, "cabn"),
    ],
)
def test_cheapest(input_tokens: int, output_tokens: int | None, expected: str) -> None:
    """By what this request is expected to cost there, not by list prices; without a price last."""
    assert order(directory(*PRICED, policy="cheapest"), Needs(0, input_tokens, output_tokens)) == expected


def test_cheapest_keeps_conversations_among_equals() -> None:
    """At the same price, a conversation stays where it is, and conversations are spread."""
    of = directory(*(priced(each, "1", "1") for each in "abc"), priced("d", "2", "2"), policy="cheapest")
    assert order(of) == "abcd"
    orders = {session: order(of, session=session) for session in map(str, range(60))}
    assert {each[0] for each in orders.values()} == set("abc")
    assert {each[3] for each in orders.values()} == {"d"}
    assert orders == {session: order(of, session=session, seed=2) for session in orders}


def test_fastest() -> None:
    """By what was observed; whom nobody has observed is of middling speed."""
    of = directory('"p/a"', '"p/b"', '"p/c"', '"p/d"', policy="fastest")
    assert order(of) == "abcd"
    assert order(of, seconds={"a": 3.0, "b": 1.0, "c": 2.0}) == "bcda"
    assert order(of, seconds={"d": 0.0}) == "abcd"


def test_fastest_keeps_conversations_among_the_similar() -> None:
    """What is about as fast is a matter of the conversation; what is far slower comes behind all the same."""
    of = directory('"p/a"', '"p/b"', '"p/c"', policy="fastest")
    seconds = {"a": 1.0, "b": 1.05, "c": 4.0}
    orders = {order(of, session=str(session), seconds=seconds) for session in range(40)}
    assert orders == {"abc", "bac"}


def test_weighted() -> None:
    """Traffic is split by the weights; all others are behind, for when that one fails."""
    of = directory('{ to = "p/a", weight = 6 }', '{ to = "p/b", weight = 3 }', '"p/c"', policy="weighted")
    resolved, rng = of.resolve("m", ANYBODY), random.Random(7)
    first: Counter[str] = Counter()
    for number in range(4_000):
        session = str(number) if number % 2 else None
        found = select(resolved, PLAIN, session=session, expected_s=lambda *_: None, rng=rng)
        first[found.candidates[0].target.model] += 1
        assert {each.target.model for each in found.candidates} == set("abc")
    assert first["a"] == pytest.approx(2_400, rel=0.06)
    assert first["b"] == pytest.approx(1_200, rel=0.09)


@given(st.text(min_size=1, max_size=20))
def test_a_conversation_moves_only_if_it_has_to(session: str) -> None:
    """Where a candidate is gone, the conversations of the others stay where they were."""
    all_of = order(directory('"p/a"', '"p/b"', '"p/c"', policy="weighted"), session=session)
    without = order(directory('"p/a"', '"p/c"', policy="weighted"), session=session)
    assert without == all_of.replace("b", "")


def test_of_many_as_few_are_asked_as_is_worth_it() -> None:
    """A name with hundreds of candidates does not try them all, and finds those behind that are able."""
    targets = [f'{{ to = "p/{number}", context_length = {number + 1} }}' for number in range(300)]
    for policy in ("priority", "cheapest", "fastest", "weighted"):
        found = selected(directory(*targets, policy=policy), Needs(0, 200, None))
        assert len(found.candidates) == MOST_ASKED
        assert all(each.context >= 200 for each in found.candidates)


NEEDS: Final = st.builds(Needs, st.integers(0, 63), st.integers(0, 5_000), st.none() | st.integers(1, 200))
POLICIES: Final = st.sampled_from(["priority", "cheapest", "fastest", "weighted"])


@given(NEEDS, POLICIES, st.none() | st.text(max_size=5))
def test_whoever_is_asked_is_able(needs: Needs, policy: str, session: str | None) -> None:
    """Nobody is asked who is known to lack something, or asked twice; where somebody is able, nothing is refused."""
    of = directory(*LACKING, *(each.replace("p/", "p/s") for each in SIZED), *PRICED[:1], policy=policy)
    candidates = of.resolve("m", ANYBODY).candidates
    able = {
        each.to
        for each in candidates
        if not each.lacks & needs.abilities
        and needs.input_tokens <= each.context
        and (needs.output_tokens or 0) <= each.output
    }
    found = selected(of, needs, session=session)  # "p/d" and "p/n" lack nothing
    asked = [each.to for each in found.candidates]
    assert len(asked) == len(set(asked))
    assert set(asked) <= able
    assert asked
    assert {each.candidate.to for each in found.skipped} == {each.to for each in candidates} - able
    assert len(candidates) == MOST_ASKED  # so that all of them are looked at


def test_what_is_told() -> None:
    """The policy, who is asked, and who is not and why, in ASCII and on one line."""
    of = directory('"p/é"', LACKING[0], '{ to = "p/x", context_length = 5 }')
    assert (
        selected(of, Needs(1, 100, None)).told
        == "priority: p/\\xe9; not p/x (context_length); not p/a (tools)"
    )


def test_what_requests_make_it_remember_is_bounded() -> None:
    """However many kinds of requests there are."""
    of = directory(*PRICED, policy="cheapest")
    for tokens in range(2_000):
        selected(of, Needs(tokens % 64, tokens * tokens, tokens % 600 or None))
    assert len(of.resolve("m", ANYBODY).memory) <= 512
