"""What a deployed gateway must do that only a deployed one can show. Each check costs a few short answers at most.

They are the same for every target. Where targets differ, the line says what was found: Lambda does not tell a function
that its client has left, so there the answer is paid to its end.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final

from infra.smoke.client import Answer, Client

CHAT: Final = "/v1/chat/completions"
LEAST_SPREAD_S: Final = 0.05  # from the first event to the last: an answer that came in one piece has none
SETTLED_WITHIN_S: Final = 20.0
LEFT_WITHIN_S: Final = 300.0  # where nobody notices, the provider's whole answer is waited for
LIMIT: Final = 2  # requests of a key that is bounded
TRIES: Final = 5
LONG: Final = "Count from 1 to 200 in words, one on each line."
SHORT: Final = "Say hello."
_POLL_S: Final = 0.5
_EVENT: Final = b'"delta"'
_DONE: Final = b"data: [DONE]"


class Failed(Exception):
    """A check found what must not be; the message says what."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the checks are given, and hand on to each other."""

    client: Client
    connections: int
    model: str = ""

    def chat(self, words: str, most_tokens: int, *, stream: bool = False) -> dict[str, Any]:
        """A request for a completion."""
        messages = [{"role": "user", "content": words}]
        body = {"model": self.model, "messages": messages, "max_tokens": most_tokens, "stream": stream}
        return body | ({"stream_options": {"include_usage": True}} if stream else {})


Check = Callable[[Run], str]
"""What was found, in words. `Failed` otherwise."""


def expect(condition: object, found: str) -> None:
    """`Failed` with `found` unless the condition holds."""
    if not condition:
        raise Failed(found)


def expect_error(answer: Answer, status: int, code: str | None = None) -> None:
    """An answer in OpenAI's error envelope."""
    expected = f"expected {status} {code or ''}".rstrip()
    expect(answer.status == status, f"{expected}, got {answer.status} {answer.code}")
    expect(answer.code != "no error envelope", f"{status} without an error envelope")
    expect(code is None or answer.code == code, f"{expected}, got {answer.code}")
    expect(answer.headers.get("x-request-id"), f"{status} without x-request-id")


def health(run: Run) -> str:
    """The first request: what it took has a cold start in it, where there was one."""
    answer = run.client.ask("GET", "/health")
    expect((answer.status, answer.json) == (200, {"status": "ok"}), f"GET /health: {answer.status}")
    ready = run.client.ask("GET", "/health/ready")
    expect(ready.status == 200, f"GET /health/ready: {ready.status}; the log says why")
    return "alive and ready"


def models(run: Run) -> str:
    """The key may list models, and ask for the one that is used here."""
    names = model_names(run.client)
    expect(run.model in names, f"the key may not ask for {run.model!r}, only for: {', '.join(names)}")
    return f"{len(names)} there; asking for {run.model}"


def model_names(client: Client) -> list[str]:
    """Of all that the key may ask for. `Failed`."""
    answer = client.ask("GET", "/v1/models")
    expect(answer.status == 200, f"GET /v1/models: {answer.status} {answer.code}")
    names = [str(each["id"]) for each in answer.json["data"]]
    expect(names, "the key may ask for no model")
    return names


def errors(run: Run) -> str:
    """Mistakes are answered in OpenAI's words, whoever makes them."""
    body = run.chat(SHORT, 1)
    expect_error(run.client.with_key("").ask("POST", CHAT, body), 401)
    expect_error(run.client.with_key("sk-sluice-none").ask("POST", CHAT, body), 401, "invalid_api_key")
    expect_error(run.client.ask("POST", CHAT, b'{"model": '), 400)
    expect_error(run.client.ask("POST", CHAT, body | {"model": "no-such-model"}), 404, "model_not_found")
    expect_error(run.client.ask("GET", "/v1/models/no-such-model"), 404, "model_not_found")
    return "401, 400 and 404 in the error envelope, each with x-request-id"


def whole_answer(run: Run) -> str:
    """A completion in one piece."""
    answer = run.client.ask("POST", CHAT, run.chat(SHORT, 16))
    expect(answer.status == 200, f"{answer.status} {answer.code}")
    expect(answer.json["choices"][0]["message"], "no message in the answer")
    return f"{answer.json['usage']['total_tokens']} tokens"


def stream(run: Run) -> str:
    """Events arrive as they are made: the first long before the last. The receipt says what the client was told."""
    with run.client.stream("POST", CHAT, run.chat(LONG, 200, stream=True)) as got:
        expect(got.status == 200, f"status {got.status}: {got.read_all()[:200]!r}")
        kind = got.headers.get("content-type", "")
        expect(kind.startswith("text/event-stream"), f"content-type {kind!r}")
        told = got.read_all()
        expect(told.rstrip().endswith(_DONE), "the stream has no [DONE]")
        expect(b'"usage":{' in told.replace(b" ", b""), "the usage that was asked for has not come")
        first, last = got.pieces[0][0], got.arrived_s(_DONE)
    expect(
        last - first >= LEAST_SPREAD_S,
        f"all came within {(last - first) * 1000:.0f} ms: something on the way collects the answer",
    )
    found = receipt(run.client, got.headers["x-request-id"], SETTLED_WITHIN_S)
    expect(found["outcome"] == "ok", f"settled as {found['outcome']}")
    pieces = f"{len(got.pieces)} pieces, the first after {first * 1000:.0f} ms, the last {last * 1000:.0f} ms"
    return f"{pieces}; ${found['cost']}"


def disconnect(run: Run) -> str:
    """A client that leaves in the middle is settled."""
    with run.client.stream("POST", CHAT, run.chat(LONG, 1_000, stream=True)) as got:
        expect(got.status == 200, f"status {got.status}")
        expect(got.read_until(_EVENT), "the stream ended before it began")
        request_id = got.headers["x-request-id"]
    left = time.monotonic()
    found = receipt(run.client, request_id, LEFT_WITHIN_S)
    expect(found["outcome"] in ("cancelled", "ok"), f"settled as {found['outcome']}")
    after = f"{found['tokens']['total']} tokens, known {time.monotonic() - left:.1f} s later"
    if found["outcome"] == "cancelled":
        return f"settled as cancelled: {after}"
    return f"settled in full, as the platform does not tell that a client left: {after}"


def limits(run: Run) -> str:
    """A key of two requests a minute gets two of five that come at once, and is told when to come again."""
    with bounded_key(run.client, {"requests_per_minute": LIMIT}) as client:
        answers = together(TRIES, lambda _: client.ask("POST", CHAT, run.chat(SHORT, 1)))
    passed = [each for each in answers if each.status == 200]
    refused = [each for each in answers if each.status == 429]
    found = ", ".join(f"{each.status} {each.code if each.status != 200 else ''}".strip() for each in answers)
    expect((len(passed), len(refused)) == (LIMIT, TRIES - LIMIT), f"{LIMIT} may pass, got: {found}")
    for each in refused:
        expect_error(each, 429, "rate_limit_exceeded")
        expect(each.headers.get("retry-after"), "429 without retry-after")
    return f"{LIMIT} of {TRIES} passed, the others may come again in {refused[0].headers['retry-after']} s"


def money(run: Run) -> str:
    """A key whose budget pays for nothing gets nothing."""
    with bounded_key(run.client, {"budget_total": "0.000000001"}) as client:
        answer = client.ask("POST", CHAT, run.chat(SHORT, 16))
        if answer.status == 200:
            found = receipt(client, answer.headers["x-request-id"], SETTLED_WITHIN_S)
            expect(float(found["cost"]) == 0, f"answered for ${found['cost']} on a budget of $0.000000001")
            return f"{run.model} is free: a budget cannot bind it"
    expect(answer.status in (400, 404, 429), f"{answer.status} {answer.code}")
    return f"refused with {answer.status} {answer.code}"


def instances(run: Run) -> str:
    """Many at once: every one is answered, under an id of its own, and settled."""

    def one(_: int) -> tuple[float, Answer]:
        begun = time.monotonic()
        with run.client.stream("POST", CHAT, run.chat(SHORT, 16, stream=True)) as got:
            got.read()
            first_s = time.monotonic() - begun
            return first_s, Answer(got.status, got.headers, got.read_all())

    found = together(run.connections, one)
    statuses = [answer.status for _, answer in found]
    expect(set(statuses) == {200}, f"statuses {sorted(set(statuses))} of {len(statuses)}")
    ids = {answer.headers["x-request-id"] for _, answer in found}
    expect(len(ids) == len(found), f"{len(found)} answers have {len(ids)} ids")
    for request_id in sorted(ids):
        receipt(run.client, request_id, SETTLED_WITHIN_S)
    first = sorted(first_s * 1000 for first_s, _ in found)
    middle = quantiles(first, n=100, method="inclusive")[49] if len(first) > 1 else first[0]
    return f"{len(found)} answered and settled; first byte {middle:.0f} ms, {first[-1]:.0f} ms at most"


CHECKS: Final[Mapping[str, Check]] = {
    "health": health,
    "models": models,
    "errors": errors,
    "whole answer": whole_answer,
    "stream": stream,
    "disconnect": disconnect,
    "limits": limits,
    "money": money,
    "instances": instances,
}


# -- what they are made of ---------------------------------------------------------------------------------------------


def receipt(client: Client, request_id: str, within_s: float) -> dict[str, Any]:
    """The receipt of a request, once it is settled."""
    until = time.monotonic() + within_s
    while True:
        answer = client.ask("GET", f"/v1/usage/{request_id}")
        if answer.status == 200:
            return dict(answer.json)
        expect(answer.status == 404, f"no receipt of {request_id}: {answer.status} {answer.code}")
        expect(time.monotonic() < until, f"{request_id} is not settled within {within_s:.0f} s")
        time.sleep(_POLL_S)


@contextmanager
def bounded_key(client: Client, bounds: Mapping[str, object]) -> Iterator[Client]:
    """A client with a key of its own, which has these limits, and is deleted at the end."""
    body = {"name": "smoke test", "permissions": ["chat", "usage:read"], "limits": bounds}
    made = client.ask("POST", "/v1/keys", body)
    expect(made.status == 201, f"no key can be made: {made.status} {made.code}")
    try:
        yield client.with_key(made.json["key"])
    finally:
        with suppress(OSError):
            client.ask("DELETE", f"/v1/keys/{made.json['id']}")


def together(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What `act` returns, done so many times at once."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))
