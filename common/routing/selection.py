"""Which of the candidates are asked for a request, and in which order. Pure.

First, what a candidate lacks: tools, a modality, a context that is long enough. Then the order, by the policy. A
conversation stays at one candidate, as far as the policy leaves a choice, so that the provider's prompt cache has it.

Of a name with hundreds of candidates only as many are looked at as may be asked. What depends on the kind of a request
alone is worked out once for each kind.
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import takewhile
from typing import Any, Final, NamedTuple, TypeAlias

from common.model.errors import InvalidRequest
from common.model.price import Prices
from common.routing.candidates import NO_BOUND, Ability, Candidate
from common.routing.names import Resolved
from common.settings import Policy, TargetSettings
from common.wire.openai.chat import ChatRequest

MOST_ASKED: Final = 8  # candidates for one request
MOST_COMPARED: Final = 32  # candidates whose speeds are looked at, or that lots are drawn for
EXPECTED_OUTPUT: Final = 500  # tokens, of an answer whose maximum says nothing of its length
SIMILAR: Final = 1.25  # times as slow is as fast, to keep a conversation where it is
_REMEMBERED: Final = 512  # kinds of requests
_PARTS: Final = {
    "image_url": Ability.IMAGE,
    "input_image": Ability.IMAGE,
    "input_audio": Ability.AUDIO,
    "file": Ability.FILE,
    "input_file": Ability.FILE,
}

ExpectedSeconds: TypeAlias = Callable[[TargetSettings, int], float | None]
"""How long an answer of so many tokens takes there, by what was observed; None: nobody knows."""


class Needs(NamedTuple):
    """What a request needs of whoever answers it."""

    abilities: int  # of `Ability`
    input_tokens: int  # estimated
    output_tokens: int | None  # at most, of one choice, where the client says so


class Lack(StrEnum):
    """Why a candidate is not asked."""

    TOOLS = "tools"
    RESPONSE_FORMAT = "response_format"
    STRUCTURED_OUTPUTS = "structured_outputs"
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"
    CONTEXT = "context_length"
    OUTPUT = "max_output_tokens"


_ABILITIES: Final = tuple((int(each), Lack(str(each.name).lower())) for each in Ability)
_PARAMS: Final = {
    Lack.TOOLS: "tools",
    Lack.RESPONSE_FORMAT: "response_format",
    Lack.STRUCTURED_OUTPUTS: "response_format",
    Lack.OUTPUT: "max_tokens",
}
_WORDS: Final = {
    Lack.TOOLS: "tools",
    Lack.RESPONSE_FORMAT: "a response_format",
    Lack.STRUCTURED_OUTPUTS: "structured outputs",
    Lack.IMAGE: "images",
    Lack.AUDIO: "audio",
    Lack.FILE: "files",
    Lack.OUTPUT: "so long an answer",
}


class Skipped(NamedTuple):
    """A candidate that is not asked, and why."""

    candidate: Candidate
    lack: Lack


class Selection(NamedTuple):
    """Who is asked, the first first; there is one at least. `skipped`: who was looked at besides."""

    candidates: Sequence[Candidate]
    skipped: Sequence[Skipped]
    policy: Policy

    @property
    def told(self) -> str:
        """For `x-sluice-route`, in ASCII: `cheapest: one/a, two/b; not three/c (tools)`."""
        asked = ", ".join(each.to for each in self.candidates)
        skipped = "".join(f"; not {each.candidate.to} ({each.lack})" for each in self.skipped[:MOST_ASKED])
        return f"{self.policy}: {asked}{skipped}".encode("ascii", "backslashreplace").decode()


def needs_of(request: ChatRequest, body: Mapping[str, Any], input_tokens: int, output: int | None) -> Needs:
    """What a request needs. `input_tokens`: as estimated; `output`: its maximum, where it says one."""
    abilities = 0
    if request.tools or body.get("functions"):
        abilities |= Ability.TOOLS
    format_ = request.response_format
    if format_ is not None and (kind := format_.get("type")) != "text":
        abilities |= Ability.STRUCTURED_OUTPUTS if kind == "json_schema" else Ability.RESPONSE_FORMAT
    for message in request.messages:
        if message.content.__class__ is list:
            for part in message.content:
                kind = part.get("type")
                if kind != "text" and kind.__class__ is str:
                    abilities |= _PARTS.get(kind, 0)
    return Needs(int(abilities), input_tokens, output)


def session_of(body: Mapping[str, Any], session_id: str | None) -> str | None:
    """What the request is a part of, by what the client says; None: it says nothing."""
    for value in (body.get("prompt_cache_key"), session_id, body.get("user")):
        if value and isinstance(value, str):
            return value
    return None


def select(
    resolved: Resolved,
    needs: Needs,
    *,
    session: str | None,
    expected_s: ExpectedSeconds,
    rng: random.Random,
    priced: bool = False,
    longer: Callable[[], Iterable[Candidate]] = tuple,
) -> Selection:
    """Who is asked. `InvalidRequest` where nobody can answer it, with what is missing.

    `priced`: whether those without a price are for last. `longer`: whom to ask where it is too long for all of them.
    """
    able, skipped = _able(resolved, needs)
    chosen: list[Candidate] = []
    small: list[Skipped] = []
    unpriced: list[Candidate] = []
    most = MOST_ASKED if resolved.policy in {Policy.PRIORITY, Policy.CHEAPEST} else MOST_COMPARED
    for candidate in able:
        if (lack := _size_lacking(candidate, needs)) is not None:
            small.append(Skipped(candidate, lack))
        elif priced and candidate.target.prices is None:
            unpriced.append(candidate)
        else:
            chosen.append(candidate)
            if len(chosen) == most:
                break
    chosen = chosen or unpriced[:most]
    if small:
        skipped = (*small, *skipped)
        chosen = chosen or _large_enough(longer(), needs) or _perhaps_large_enough(small, needs)
    if not chosen:
        raise _nobody(skipped, needs)
    if len(chosen) > 1:
        chosen = _ordered(chosen, resolved.policy, needs, session=session, expected_s=expected_s, rng=rng)
    return Selection(chosen, skipped, resolved.policy)


def _size_lacking(candidate: Candidate, needs: Needs) -> Lack | None:
    if needs.input_tokens > candidate.context:
        return Lack.CONTEXT
    if needs.output_tokens is not None and needs.output_tokens > candidate.output:
        return Lack.OUTPUT
    return None


def _large_enough(candidates: Iterable[Candidate], needs: Needs) -> list[Candidate]:
    """Of those from elsewhere, whoever can answer."""
    able = (each for each in candidates if not each.lacks & needs.abilities)
    return [each for each in able if _size_lacking(each, needs) is None][:MOST_ASKED]


def _able(resolved: Resolved, needs: Needs) -> tuple[Sequence[Candidate], Sequence[Skipped]]:
    """Those that lack nothing but, perhaps, size; by cost where that is the policy."""
    cheapest = resolved.policy is Policy.CHEAPEST and len(resolved.candidates) > 1
    key = (needs.abilities, *_amounts(needs)) if cheapest else needs.abilities
    found: tuple[Sequence[Candidate], Sequence[Skipped]] | None = resolved.memory.get(key)
    if found is None:
        able = [each for each in resolved.candidates if not each.lacks & needs.abilities]
        if cheapest:
            amounts = _amounts(needs)
            able.sort(key=lambda each: _expected_pico(each.target.prices, *amounts))
        skipped = [
            Skipped(each, next(lack for bit, lack in _ABILITIES if each.lacks & needs.abilities & bit))
            for each in resolved.candidates
            if each.lacks & needs.abilities
        ]
        found = (able, skipped)
        if len(resolved.memory) >= _REMEMBERED:
            resolved.memory.clear()
        resolved.memory[key] = found
    return found


def _perhaps_large_enough(small: Sequence[Skipped], needs: Needs) -> list[Candidate]:
    """Tokens are estimated on the large side: what is not far too long is left to the largest, to refuse or take."""
    least = needs.input_tokens * 2 // 3
    perhaps = [each for each, lack in small if lack is Lack.CONTEXT and each.context >= least]
    return sorted(perhaps, key=lambda each: -each.context)[:MOST_ASKED]


def _ordered(
    chosen: list[Candidate],
    policy: Policy,
    needs: Needs,
    *,
    session: str | None,
    expected_s: ExpectedSeconds,
    rng: random.Random,
) -> list[Candidate]:
    match policy:
        case Policy.PRIORITY:
            return chosen
        case Policy.CHEAPEST:
            if session is None:
                return chosen
            amounts = _amounts(needs)
            least = _expected_pico(chosen[0].target.prices, *amounts)
            equal = list(
                takewhile(lambda each: _expected_pico(each.target.prices, *amounts) == least, chosen)
            )
            return [*_drawn(equal, session, rng), *chosen[len(equal) :]]
        case Policy.FASTEST:
            return _fastest(chosen, needs, session, expected_s, rng)
        case Policy.WEIGHTED:
            return _drawn(chosen, session, rng)[:MOST_ASKED]


def _fastest(
    chosen: list[Candidate],
    needs: Needs,
    session: str | None,
    expected_s: ExpectedSeconds,
    rng: random.Random,
) -> list[Candidate]:
    """One whose speed nobody knows counts as of middling speed, so that it is tried in its turn."""
    tokens = _expected_output(needs)
    observed = [expected_s(each.target, tokens) for each in chosen]
    known = sorted(each for each in observed if each is not None)
    middle = known[len(known) // 2] if known else 1.0
    seconds = [middle if each is None else max(each, 1e-3) for each in observed]
    if session is None:
        by_speed = sorted(zip(seconds, range(len(chosen)), strict=True))
        return [chosen[index] for _, index in by_speed[:MOST_ASKED]]
    steps = {id(each): round(math.log(s, SIMILAR)) for each, s in zip(chosen, seconds, strict=True)}
    drawn = _drawn(chosen, session, rng)
    return sorted(drawn, key=lambda each: steps[id(each)])[:MOST_ASKED]


def _drawn(chosen: list[Candidate], session: str | None, rng: random.Random) -> list[Candidate]:
    """By lot, each by its weight; of one session the same lot everywhere (rendezvous hashing).

    Without a candidate, the others keep their order: so a conversation moves only if it has to.
    """
    drawn = [
        (
            math.log(rng.random() or 1e-9 if session is None else _lot(session, each)) / each.target.weight,
            index,
        )
        for index, each in enumerate(chosen)
    ]
    return [chosen[index] for _, index in sorted(drawn, reverse=True)]


def _lot(session: str, candidate: Candidate) -> float:
    """Above 0, below 1."""
    text = f"{candidate.to}\0{session}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.blake2b(text, digest_size=6).digest())
    return (number + 0.5) / (1 << 48)


def _expected_output(needs: Needs) -> int:
    return min(needs.output_tokens or EXPECTED_OUTPUT, EXPECTED_OUTPUT)


def _amounts(needs: Needs) -> tuple[int, int]:
    """Tokens of input and output, to three binary digits: requests that are about as long cost about the same."""
    tokens = needs.input_tokens
    cut = max(tokens.bit_length() - 3, 0)
    return tokens >> cut << cut, _expected_output(needs)


def _expected_pico(prices: Prices | None, input_: int, output: int) -> int:
    """What so many tokens are expected to cost. Without a price, more than with any."""
    if prices is None:
        return NO_BOUND
    return prices.request + input_ * prices.input + output * prices.output


def _nobody(skipped: Iterable[Skipped], needs: Needs) -> InvalidRequest:
    """Why nobody can answer, and what to change."""
    skipped = list(skipped)
    lacks = {each.lack for each in skipped}
    if Lack.CONTEXT in lacks:  # whoever has all else is too small
        longest = max(each.candidate.context for each in skipped if each.lack is Lack.CONTEXT)
        return InvalidRequest(
            f"The messages are about {needs.input_tokens} tokens, and the context of this model is {longest}: "
            "shorten them.",
            param="messages",
            code="context_length_exceeded",
        )
    if Lack.OUTPUT in lacks:
        longest = max(each.candidate.output for each in skipped if each.lack is Lack.OUTPUT)
        return InvalidRequest(
            f"An answer of this model has at most {longest} tokens, not {needs.output_tokens}.",
            param="max_tokens",
            code="max_tokens_too_large",
        )
    missing = [lack for lack in Lack if lack in lacks]
    return InvalidRequest(
        f"No model that this name stands for can do {' and '.join(_WORDS[lack] for lack in missing)}.",
        param=_PARAMS.get(missing[0], "messages"),
        code="unsupported_capability",
    )
