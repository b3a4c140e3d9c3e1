"""What a provider makes of one request: everything that it will send, generate and charge, and when. Drawn by the seed.

A token is four bytes of text, and an event of a stream has one. A stream is sent as it is generated, whether anybody
reads it or not; a whole answer is on its way only when all of it is generated.

All of them tell the same text, as far as they get, and go on with it from where they are asked to; some stray from it.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from common.metering.price import cost
from common.model.price import Prices
from common.model.usage import Tokens

BYTES_PER_TOKEN: Final = 4
CONTEXT: Final = 2_000  # tokens, of every model
_TEXT: Final = "".join(f"{number:03d} " for number in range(1_000))
_ASTRAY: Final = _TEXT.replace(" ", "-")
_EVENT: Final = (
    b'data: {"id":"%b","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":%d,"delta":%b,"finish_reason":%b}]}\n\n'
)
_WORDS: Final = b'{"content":"%b"}'
_ROLE: Final = b'{"role":"assistant","content":""}'
_UNBOUNDED: Final = 40  # tokens, about, where nobody says how many at most
_TELLING: Final = 16  # tokens, of which nobody can say that they were none


class Manner(StrEnum):
    """How a provider deals with one request."""

    ANSWERS = "answers"
    SILENT = "silent"  # works, and says nothing until the gateway's patience is at its end
    UNREACHABLE = "unreachable"
    BUSY = "busy"  # 429
    FAILS = "fails"  # 500
    REJECTS = "rejects"  # 400
    FILTERS = "filters"  # 400, for what the request says
    TOO_LONG = "too long"  # 400, for how long it is
    CUT = "cut"  # the connection breaks somewhere in the answer
    ENDS_EARLY = "ends early"  # the same, cleanly
    SAYS_FAILED = "says failed"  # an error event in the middle, or instead of an answer


REFUSALS: Final = {
    Manner.BUSY: (429, "busy"),
    Manner.FAILS: (500, "failed"),
    Manner.REJECTS: (400, "rejected"),
    Manner.FILTERS: (400, "content_filter"),
    Manner.TOO_LONG: (400, "context_length_exceeded"),
}
FINAL: Final = frozenset({Manner.REJECTS, Manner.FILTERS, Manner.TOO_LONG})  # it would refuse that again


class Lie(StrEnum):
    """What it says about usage."""

    NONE = "none"
    MISSING = "missing"
    NEGATIVE = "negative"
    ABSURD = "absurd"
    FREE = "free"  # nothing was read or written
    TEXT = "text"  # counts as strings
    CACHED = "cached"  # more read from the cache than there was


@dataclass(frozen=True, slots=True)
class Temper:
    """What a provider is like: weights of manners and lies, and how much it writes."""

    manners: Mapping[Manner, float] = field(default_factory=lambda: {Manner.ANSWERS: 1.0})
    lies: Mapping[Lie, float] = field(default_factory=lambda: {Lie.NONE: 1.0})
    token_s: tuple[float, ...] = (0.0, 0.005, 0.02)
    excess: float = 0.0  # how often it writes more than it was asked for, within the trust boundary
    breach: float = 0.0  # and far beyond it
    verbose: float = 0.5  # how much of its maximum it uses, about
    strays: float = 0.0  # how often it tells another text from somewhere on
    prefills: float = 1.0  # how often it goes on with an answer that was begun; else it refuses that


@dataclass(frozen=True, slots=True)
class Provider:
    """One of them. `prices` are those that it bills by; `cancel_stops`: whether leaving ends the bill of a stream."""

    name: str
    prices: Prices
    cancel_stops: bool
    temper: Temper


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt, as the provider sees it."""

    nonce: str  # of the client's request
    provider: Provider
    id: str  # the provider's own
    prompt_tokens: int
    choices: int
    output_max: int | None
    streamed: bool
    model: str = ""
    begun: str | None = None  # the beginning of an answer, to go on with
    most_prompt: int = 0  # tokens that the prompt may have, by what is taken on trust

    def bill(self, output: int) -> int:
        """What it costs with this many tokens of output, in nano-dollars."""
        return cost(self.provider.prices, Tokens(input=self.prompt_tokens, output=output))

    @property
    def most(self) -> int:
        """What it may cost, with a provider that keeps to its maximum."""
        return self.bill((self.output_max or 0) * self.choices)

    @property
    def possible(self) -> int:
        """The same, where the prompt has as many tokens as can be."""
        tokens = Tokens(input=self.most_prompt, output=(self.output_max or 0) * self.choices)
        return cost(self.provider.prices, tokens)


def asked(provider: Provider, id_: str, body: bytes) -> Asked:
    """What a request's body asks of a provider, which calls it `id_`."""
    request = json.loads(body)
    messages = request["messages"]
    text = sum(len(message["content"]) for message in messages)
    trusted = text + 64 * len(messages) + (1_024 if "tools" in request else 0)
    maxima = [request[name] for name in ("max_tokens", "max_completion_tokens") if request.get(name)]
    return Asked(
        nonce=request["metadata"]["nonce"],
        provider=provider,
        id=id_,
        prompt_tokens=-(-text // BYTES_PER_TOKEN) + 3 * len(messages),
        choices=request.get("n") or 1,
        output_max=min(maxima, default=None),
        streamed=bool(request.get("stream")),
        model=request["model"],
        begun=messages[-1]["content"] if messages[-1]["role"] == "assistant" else None,
        most_prompt=min(trusted, CONTEXT),
    )


@dataclass(slots=True)
class Script:
    """One exchange, from the provider's side."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    body: bytes = b""
    arrives: list[tuple[float, int]] = field(default_factory=list)  # when how much of the body is there
    generated: list[float] = field(default_factory=list)  # when each token is there
    written: list[int] = field(default_factory=list)  # where in the body the event of each token begins
    breaks: bool = False  # at its end the connection is cut
    free: bool = False  # charges nothing
    breached: bool = False  # beyond what the gateway can know
    texts: tuple[str, ...] = ()  # that a client may have who gets all of it, with what was begun


class Author:
    """Writes the scripts of one provider's exchanges."""

    def __init__(self, ask: Asked, temper: Temper, rng: random.Random, now: float) -> None:
        self._ask = ask
        self._temper = temper
        self._rng = rng
        self._now = now
        self._script = Script()
        self._id = ask.id.encode()
        self._script.headers = {"content-type": "text/event-stream", "x-generation-id": ask.id}

    def write(self, manner: Manner) -> Script:
        """The script of an exchange that begins now."""
        script, rng, now = self._script, self._rng, self._now
        if manner in REFUSALS:
            self._refuse(*REFUSALS[manner])
            return script
        tokens = self._tokens()
        pace = rng.choice(self._temper.token_s)
        begin = now + rng.choice((0.0, 0.01, 0.5))
        choices = self._ask.choices
        script.generated = [begin + pace * (number // choices) for number in range(1, tokens + 1)]
        text = self._tell(BYTES_PER_TOKEN * (tokens // choices))
        if self._ask.streamed:
            self._stream(tokens, begin, text.encode())
        else:
            self._whole(tokens, text)
        if manner is Manner.SILENT:
            script.arrives = []
            script.generated = [now + 2 * number for number in range(1, tokens + 1)]
        elif manner in {Manner.CUT, Manner.ENDS_EARLY}:
            script.breaks = manner is Manner.CUT
            self._cut(rng.randrange(len(script.body)))
        elif manner is Manner.SAYS_FAILED:
            self._fail()
        return script

    def _tell(self, length: int) -> str:
        """What it says, of each choice. Some leave out a space at its start: the client may have it, or not."""
        rng, begun = self._rng, self._ask.begun or ""
        ends: tuple[str, ...] = (begun,)
        if begun and _TEXT.startswith(" ", len(begun)) and rng.random() < 0.5:
            ends = (f"{begun} ", begun)
        start = len(ends[0])
        end = start + length
        turn = end if rng.random() >= self._temper.strays else rng.randrange(start, end) + 1
        said = _TEXT[start:turn] + _ASTRAY[turn:end]
        self._script.texts = tuple(each + said for each in ends)
        return said

    def _tokens(self) -> int:
        """How many it writes, of all choices."""
        rng, temper, most = self._rng, self._temper, self._ask.output_max
        draw = rng.random()
        if most is not None and draw < temper.breach:
            self._script.breached = True
            return (2 * most + 200) * self._ask.choices
        if most is not None and draw < temper.breach + temper.excess:
            return (
                most * self._ask.choices * 5 // 4 + 48
            )  # events that have no token count too where streams are cut
        share = min(1.0, rng.random() * 2 * temper.verbose)
        return max(1, round((most or _UNBOUNDED) * share)) * self._ask.choices

    def _usage(self, output: int) -> dict[str, Any]:
        lies = self._temper.lies
        (lie,) = self._rng.choices(list(lies), list(lies.values()))
        read: Any = self._ask.prompt_tokens
        wrote: Any = output
        details: dict[str, Any] = {}
        match lie:
            case Lie.MISSING:
                return {}
            case Lie.NEGATIVE:
                wrote = -wrote
            case Lie.ABSURD:
                wrote = 10**9
            case Lie.FREE if output >= _TELLING:
                read = wrote = 0
            case Lie.TEXT:
                wrote = str(wrote)
            case Lie.CACHED:
                details = {"prompt_tokens_details": {"cached_tokens": read + 1}}
            case Lie.NONE | Lie.FREE:
                pass
        return {"usage": {"prompt_tokens": read, "completion_tokens": wrote, **details}}

    def _stream(self, tokens: int, begin: float, text: bytes) -> None:
        script, choices = self._script, range(self._ask.choices)
        pieces = [_EVENT % (self._id, choice, _ROLE, b"null") for choice in choices]
        size = sum(map(len, pieces))
        script.arrives.append((begin, size))
        for number, at in enumerate(script.generated):
            at_byte = BYTES_PER_TOKEN * (number // len(choices))
            word = _WORDS % text[at_byte : at_byte + BYTES_PER_TOKEN]
            event = _EVENT % (self._id, number % len(choices), word, b"null")
            script.written.append(size)
            pieces.append(event)
            size += len(event)
            script.arrives.append((at, size))
        pieces += [_EVENT % (self._id, choice, b"{}", b'"stop"') for choice in choices]
        if usage := self._usage(tokens):
            pieces.append(b"data: " + json.dumps({"choices": [], **usage}).encode() + b"\n\n")
        pieces.append(b"data: [DONE]\n\n")
        script.body = b"".join(pieces)
        script.arrives.append((script.generated[-1], len(script.body)))

    def _whole(self, tokens: int, text: str) -> None:
        script, choices = self._script, self._ask.choices
        message = {"role": "assistant", "content": text}
        listed = [{"index": index, "message": message, "finish_reason": "stop"} for index in range(choices)]
        answer = {"id": self._ask.id, "object": "chat.completion", "created": 1, "choices": listed}
        script.headers = {**script.headers, "content-type": "application/json"}
        script.body = json.dumps(answer | self._usage(tokens)).encode()
        ready, middle = script.generated[-1], self._rng.randrange(len(script.body))
        script.arrives = [(ready, middle), (ready + 0.001, len(script.body))]

    def _refuse(self, status: int, code: str) -> None:
        script = self._script
        script.status, script.free = status, True
        script.headers = {"content-type": "application/json", "retry-after": "1"}
        script.body = json.dumps({"error": {"message": "not now", "code": code}}).encode()
        script.arrives = [(self._now + 0.01, len(script.body))]

    def _cut(self, size: int) -> None:
        script = self._script
        script.body = script.body[:size]
        kept = [(at, min(there, size)) for at, there in script.arrives]
        end = next((at for at, there in kept if there >= size), kept[0][0])
        script.arrives = [(at, there) for at, there in kept if at <= end]
        if self._ask.streamed and self._ask.provider.cancel_stops:  # it notices
            script.generated = [at for at in script.generated if at <= end]

    def _fail(self) -> None:
        """It says itself that it failed; what it had written by then it may charge, if that was anything."""
        script = self._script
        error = json.dumps({"error": {"code": 502, "message": "overloaded"}}).encode()
        if not self._ask.streamed:
            script.body, script.free = error, True
            script.arrives = [(script.arrives[0][0], len(error))]
            return
        boundary = self._rng.choice([0, *script.written])
        self._cut(boundary)
        script.body += b"data: " + error + b"\n\n"
        script.arrives = [*script.arrives[:-1], (script.arrives[-1][0], len(script.body))]
        script.free = boundary == 0
