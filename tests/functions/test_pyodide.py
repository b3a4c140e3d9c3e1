"""The application under Pyodide in Node, as on Workers: what it imports, how it answers, what its `fetch` adapter does.

Everything is tried in one interpreter by `tests/edge/harness.mjs`; the tests read its report.
"""

import json
from typing import Any

import pytest

from tests.edge.toolbox import REPOSITORY, prepare, run_node

Report = dict[str, Any]


@pytest.fixture(scope="module")
def report() -> Report:
    """What the harness found."""
    prepare()
    report: Report = json.loads(run_node("harness.mjs"))
    return report


def _events(events: list[Report], *, excused: bool) -> list[str]:
    return [
        "\n".join((f"{event['what']} while importing {event['module']}", *event["trail"]))
        for event in events
        if event["excused"] is excused
    ]


def test_imports_are_innocent(report: Report) -> None:
    """No function module, nor what a Worker puts around it, draws randomness, opens a socket or starts a thread.

    That is when a Worker imports it. Excused is only what Cloudflare's own SDK excuses.
    """
    assert _events(report["imports"]["events"], excused=False) == []


def test_every_function_is_imported(report: Report) -> None:
    """A new function module is held to it without being named anywhere."""
    modules = {f"functions.{path.stem}" for path in (REPOSITORY / "functions").glob("[!_]*.py")}
    assert set(report["imports"]["modules"]) == modules
    assert modules >= {"functions.chat_completions", "functions.models", "functions.health"}


def test_watch_is_awake(report: Report) -> None:
    """The watch sees a module that does at import all that it may not, line by line, and Cloudflare's excuses."""
    seen = [(event["what"], event["trail"][-1]) for event in report["careless"]]
    source = (REPOSITORY / "tests/edge/inside/careless.py").read_text().splitlines()
    lines = {what: source[int(line.split(":")[1].split()[0]) - 1] for what, line in seen}
    assert [what for what, _ in seen] == [
        "randomness",
        "random.choice",
        "randomness",
        "socket.__init__",
        "Thread.start",
    ]
    assert "random.Random()" in lines["randomness"]
    assert "threading.Thread" in lines["Thread.start"]
    assert _events(report["imports"]["events"], excused=True)


@pytest.mark.parametrize(
    ("path", "status", "pieces"),
    [
        pytest.param("/pieces", 200, ["one", "two"], id="in pieces"),
        pytest.param("/gzip", 200, ["plain"], id="compressed against our will"),
        pytest.param("/moved", 302, [], id="redirect"),
        pytest.param("/empty", 204, [], id="no body"),
        pytest.param("get", 204, [], id="no request body"),
    ],
)
def test_fetch_answers(report: Report, path: str, status: int, pieces: list[str]) -> None:
    """`FetchUpstream` hands on status and body as they come, decompressed, and follows no redirect."""
    answer = report["fetch"][path]
    assert (answer["status"], answer["pieces"], "error" in answer) == (status, pieces, False)


@pytest.mark.parametrize(
    ("path", "error", "pieces"),
    [
        pytest.param("deserted", "UpstreamUnreachable", [], id="nobody listens"),
        pytest.param("not an address", "UpstreamUnreachable", [], id="not an address"),
        pytest.param("not a header", "UpstreamUnreachable", [], id="not a header"),
        pytest.param("/hang-up", "UpstreamBroken", [], id="closed before the head"),
        pytest.param("/cut", "UpstreamBroken", ["part"], id="closed in the body"),
        pytest.param("/silent", "UpstreamTimeout", [], id="no head"),
        pytest.param("/stalled", "UpstreamTimeout", ["part"], id="no further piece"),
        pytest.param("/trickle", "UpstreamTimeout", None, id="too long in total"),
    ],
)
def test_fetch_failures(report: Report, path: str, error: str, pieces: list[str] | None) -> None:
    """`FetchUpstream` tells apart what was never sent, what broke, and what was too slow."""
    answer = report["fetch"][path]
    assert answer.get("error") == error
    assert pieces is None or answer["pieces"] == pieces


def test_fetch_sends_what_it_was_given(report: Report) -> None:
    """Method, headers (repeated ones too) and body arrive, and no compression is asked for."""
    asked = report["fetch"]["asked"]["/pieces"]
    assert (asked["method"], asked["body"]) == ("POST", '{"a": 1}')
    assert asked["headers"]["authorization"] == ["Bearer k"]
    assert asked["headers"]["x-twice"] == ["1, 2"]
    assert asked["headers"]["accept-encoding"] == ["identity"]


def test_fetch_headers_describe_the_body(report: Report) -> None:
    """Response headers come by lower-case name, without the length of a compressed body, which is gone."""
    assert report["fetch"]["/pieces"]["headers"]["x-repeated"] == "a, b"
    assert report["fetch"]["/gzip"]["headers"]["content-encoding"] == "gzip"
    assert "content-length" not in report["fetch"]["/gzip"]["headers"]


@pytest.mark.parametrize("how", ["left early", "cancelled"])
def test_fetch_is_aborted(report: Report, how: str) -> None:
    """Leaving an exchange, or being cancelled in a pending read, closes the connection to the provider."""
    assert report["fetch"][how] is True


# -- the application ---------------------------------------------------------------------------------------------------

CHATS = (
    "whole",
    "streamed",
    "streamed with usage",
    "no end of the body",
    "left after a piece",
    "left in silence",
    "left, not streamed",
    "broken off",
)


def test_chat_answers(report: Report) -> None:
    """A completion comes whole, as the provider gave it; the provider is asked by its own name and with its own key."""
    answer = report["chat"]["whole"]
    assert answer["status"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    assert int(answer["headers"]["content-length"]) == len(answer["body"])
    assert json.loads(answer["body"])["choices"] == [{"message": {"content": "Hello"}}]
    [asked] = answer["requests"]
    assert (asked["method"], asked["url"]) == ("POST", "https://provider.example.com/v1/chat/completions")
    assert asked["headers"]["authorization"] == "Bearer provider-secret"
    sent = {"messages": [{"role": "user", "content": "hi"}], "x_unknown": [1, None]}
    assert json.loads(asked["body"]) == {"model": "upstream-demo"} | sent


def test_stream_flows(report: Report) -> None:
    """Each piece is with the client, byte for byte, before the provider lets go of the next."""
    first, last, _, done = report["chat"]["pieces"]
    answer = report["chat"]["streamed"]
    assert answer["notes"] == [first, first + last]
    assert (answer["status"], answer["body"], answer["ended"]) == (200, first + last + done, True)
    assert answer["headers"]["content-type"] == "text/event-stream; charset=utf-8"


def test_usage_is_asked_for_and_shown_to_who_asked(report: Report) -> None:
    """The provider is always asked for usage; only a client that asked for it gets it."""
    chat = report["chat"]
    for name in ("streamed", "streamed with usage"):
        assert json.loads(chat[name]["requests"][0]["body"])["stream_options"] == {"include_usage": True}
    assert "usage" not in chat["streamed"]["body"]
    assert chat["streamed with usage"]["body"] == "".join(chat["pieces"])


def test_open_connection_delays_no_end(report: Report) -> None:
    """A provider that keeps its connection open behind `[DONE]` is left, and the answer is as whole as any."""
    answer = report["chat"]["no end of the body"]
    assert (answer["body"], answer["ended"]) == (report["chat"]["streamed"]["body"], True)


@pytest.mark.parametrize("how", ["left after a piece", "left in silence", "left, not streamed"])
def test_leaving_aborts_the_fetch(report: Report, how: str) -> None:
    """When the client leaves, the provider's connection is closed, and the record says so."""
    answer = report["chat"][how]
    assert answer["notes"] == ["the provider was left"]
    assert [record["outcome"] for record in answer["records"]] == ["cancelled"]


def test_what_left_clients_got_is_estimated(report: Report) -> None:
    """Tokens that no usage told of are estimated where something was produced."""
    [record] = report["chat"]["left after a piece"]["records"]
    assert record["estimated"]
    assert record["tokens"]["output"] > 0


def test_break_is_an_event(report: Report) -> None:
    """A stream that breaks in the middle ends with the error's envelope and without `[DONE]`."""
    answer = report["chat"]["broken off"]
    first, event, end = answer["body"].split("\n\n")
    assert (first, end) == (report["chat"]["pieces"][0].strip(), "")
    assert json.loads(event.removeprefix("data: "))["error"]["code"] == "provider_error"
    assert [record["outcome"] for record in answer["records"]] == ["upstream"]


@pytest.mark.parametrize(
    ("given", "status", "outcome"),
    [("400", 400, "client"), ("401", 502, "upstream"), ("429", 429, "upstream"), ("500", 502, "upstream")],
)
def test_provider_errors_are_envelopes(report: Report, given: str, status: int, outcome: str) -> None:
    """A provider's error is answered in OpenAI's shape, with a status that is ours to say, without its addresses."""
    answer = report["chat"]["failed"][given]
    assert answer["status"] == status
    assert json.loads(answer["body"])["error"].keys() == {"message", "type", "param", "code"}
    assert "example.com" not in answer["body"]
    assert [record["outcome"] for record in answer["records"]] == [outcome]


@pytest.mark.parametrize("how", CHATS)
def test_one_record_for_each_chat(report: Report, how: str) -> None:
    """Every ending leaves exactly one record, under the id that the client was told, after one attempt."""
    answer = report["chat"][how]
    [record] = answer["records"]
    assert (record["user"], record["model"], record["attempts"]) == ("alice", "demo", 1)
    assert answer["headers"].get("x-request-id") in {record["request_id"], None}
    if record["outcome"] == "ok":
        tokens = {name: count for name, count in record["tokens"].items() if count}
        assert (tokens, record["estimated"]) == ({"input": 7, "output": 2}, False)


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("no key", 401, "invalid_api_key"),
        ("no such key", 401, "invalid_api_key"),
        ("no key for models", 401, "invalid_api_key"),
        ("invalid", 400, "missing_required_parameter"),
        ("no such model", 404, "model_not_found"),
        ("no such path", 404, "unknown_url"),
    ],
)
def test_refusals(report: Report, what: str, status: int, code: str) -> None:
    """What is refused is an envelope with a request id; no provider is asked and no record left."""
    others = report["chat"]["without a provider"]
    answer = others[what]
    assert (answer["status"], json.loads(answer["body"])["error"]["code"]) == (status, code)
    assert answer["headers"]["x-request-id"].startswith("req_")
    assert (others["requests"], others["records"]) == (0, 0)


def test_models_and_health_answer(report: Report) -> None:
    """The other functions answer too."""
    others = report["chat"]["without a provider"]
    assert (others["health"]["status"], json.loads(others["health"]["body"])) == (200, {"status": "ok"})
    assert others["models"]["status"] == 200
    assert [model["id"] for model in json.loads(others["models"]["body"])["data"]] == ["demo"]


@pytest.mark.parametrize("how", ["whole", "streamed", "left", "broken off"])
def test_nothing_is_left_behind(report: Report, how: str) -> None:
    """Twenty requests leave no Python object in JS's hands, and none of their own alive; a leak would be seen."""
    left_behind = report["chat"]["left behind"]
    assert left_behind[how] == [0, 0]
    assert left_behind["on purpose"] == [20, 20]


def test_no_rejection_is_lost(report: Report) -> None:
    """No JS promise was rejected without somebody hearing of it."""
    assert report["rejections"] == []
