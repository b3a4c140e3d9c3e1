"""`sluice probe` before providers over real sockets: what it asks for, what it tells, and what its status is."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from common.cli.root import sluice
from common.gateway import probe as probing
from tests.support.answers import completion
from tests.support.origin import Exchange, Script, origin
from tests.support.pair import failing, silent
from tests.support.scripted import answering

KEY: Final = "sk-2718281828459045"
CONFIGURATION: Final = """
[providers.main]
kind = "openai"
base_url = "{url}/v1"
api_key = "env:KEY"
[models.small]
targets = ["main/vendor/small"]
price = {{ input = "1", output = "2" }}
[models.thinking]
targets = [{{ to = "main/thinking", rename = {{ max_tokens = "max_completion_tokens" }} }}, "main/vendor/small"]
[models."main/*"]
targets = ["main/*"]
[aliases]
usual = "small"
"""
ANTHROPIC: Final = """
[providers.claude]
kind = "anthropic"
base_url = "{url}/v1"
api_key = "env:KEY"
[models.sonnet]
targets = ["claude/claude-sonnet"]
price = {{ input = "3", output = "15" }}
"""
ROUTER: Final = """
[providers.router]
kind = "openrouter"
base_url = "{url}/v1"
api_key = "env:KEY"
[models.small]
targets = ["router/small"]
"""
REASONS: Final = b"""{"error": {"message": "Could not finish the message because max_tokens or model output limit was
reached.", "type": "invalid_request_error", "param": null, "code": null}}""".replace(b"\n", b" ")
TOO_LOW: Final = (
    b'{"error": {"message": "Below the minimum.", "param": "max_output_tokens", "code": "invalid"}}'
)


async def probe(
    folder: Path, script: Script, *words: str, configuration: str = CONFIGURATION
) -> tuple[Result, list[Exchange]]:
    """The command, in a thread: it has an event loop of its own. And what the provider was asked."""
    file = folder / "sluice.toml"
    async with origin(script) as provider:
        file.write_text(configuration.format(url=provider.url))
        command = ["probe", *words, "--config", str(file)]
        result = await asyncio.to_thread(
            CliRunner().invoke, sluice, command, env={"KEY": KEY}, catch_exceptions=False
        )
        return result, provider.exchanges


async def told(folder: Path, script: Script, *words: str, configuration: str = CONFIGURATION) -> Any:
    """What it tells programs of the one target that it asks."""
    result, _ = await probe(folder, script, "--json", *words, configuration=configuration)
    (one,) = json.loads(result.stdout)
    assert result.exit_code == (0 if one["ok"] else 1)
    return one


async def test_all_targets(tmp_path: Path) -> None:
    """Each that is written with its whole name is asked once, for one token, under its names of members."""
    result, asked = await probe(tmp_path, answering(completion()))
    bodies = sorted((json.loads(each.asked.body) for each in asked), key=lambda body: str(body["model"]))
    messages = [{"role": "user", "content": "Hi"}]
    assert bodies == [
        {"model": "thinking", "messages": messages, "max_completion_tokens": 1},
        {"model": "vendor/small", "messages": messages, "max_tokens": 1},
    ]
    assert {each.asked.values("authorization")[0] for each in asked} == {f"Bearer {KEY}"}
    lines = result.stdout.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["PROVIDER", "MODEL", "ANSWER"],
        ["main", "vendor/small", "ok"],
        ["main", "thinking", "ok"],
    ]
    assert lines[0].index("MS") == lines[1].index(lines[1].split()[3])
    assert lines[1].split()[4] == "0.000013"  # nine tokens of input, two of output
    assert lines[2].split()[4] == "?"
    assert lines[-1] == "2 of 2 answer; 0.000013 USD in all."
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("names", "models"),
    [
        (["small"], ["vendor/small"]),
        (["usual", "small"], ["vendor/small"]),
        (["main/thinking"], ["thinking"]),
        (["main/other"], ["other"]),  # it fits the star
        (["thinking"], ["thinking", "vendor/small"]),
    ],
    ids=",".join,
)
async def test_some(tmp_path: Path, names: list[str], models: list[str]) -> None:
    """Names of models, of aliases and of targets: whoever they lead to is asked, once."""
    _, asked = await probe(tmp_path, answering(completion()), *names)
    assert sorted(json.loads(each.asked.body)["model"] for each in asked) == models


async def test_unknown_name(tmp_path: Path) -> None:
    """Nobody is asked where one of the names is not known."""
    result, asked = await probe(tmp_path, answering(completion()), "small", "tiny")
    assert (result.exit_code, asked) == (1, [])
    assert "There is no tiny: `sluice models list`" in result.stderr


@pytest.mark.parametrize(
    ("script", "code", "nanousd"),
    [
        (failing("503 Service Unavailable"), "provider_error", 0),
        (failing("429 Too Many Requests"), "provider_rate_limited", 0),
        (failing("401 Unauthorized"), "provider_refused", 0),
        (failing("404 Not Found", body=b'{"error": {"code": "model_not_found"}}'), "model_not_found", 0),
        (failing("307 Temporary Redirect", "location: /elsewhere"), "provider_redirected", 0),
        (answering(b"<html>"), "provider_error", None),
    ],
    ids=["503", "429", "401", "404", "redirect", "no completion"],
)
async def test_failures(tmp_path: Path, script: Script, code: str, nanousd: int | None) -> None:
    """Each has a code; what may have cost something is not told to be free."""
    one = await told(tmp_path, script, "small")
    assert (one["provider"], one["model"], one["ok"], one["code"]) == ("main", "vendor/small", False, code)
    assert one["cost"] == (None if nanousd is None else {"nanousd": nanousd, "usd": "0"})


async def test_reasons_are_told(tmp_path: Path) -> None:
    """In the provider's words, without the key that it repeats; on one line."""
    body = json.dumps({"error": {"message": f"No.\nNot with {KEY}."}}).encode()
    result, _ = await probe(tmp_path, failing("400 Bad Request", body=body), "small")
    assert KEY not in result.stdout
    assert any(
        line.startswith("main/vendor/small: The provider rejected") for line in result.stdout.splitlines()
    )
    assert result.stdout.splitlines()[-1] == "0 of 1 answer; 0 USD in all."
    assert result.exit_code == 1


async def test_codes_for_a_terminal(tmp_path: Path) -> None:
    """A provider's own code moves no cursor."""
    body = json.dumps({"error": {"message": "No.", "code": "up\x1b[1A\ngone"}}).encode()
    result, _ = await probe(tmp_path, failing("400 Bad Request", body=body), "small")
    assert not any(each in result.stdout for each in ("\x1b", "\ngone"))
    assert result.stdout.splitlines()[1].startswith("main      vendor/small  up")


@pytest.mark.parametrize("body", [REASONS, TOO_LOW], ids=["reasons", "minimum"])
async def test_one_token_is_too_few(tmp_path: Path, body: bytes) -> None:
    """A model that says no more than this is there."""
    assert (await told(tmp_path, failing("400 Bad Request", body=body), "small"))["ok"]


async def test_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for without an end, and may have cost something."""
    monkeypatch.setattr(probing, "WITHIN_S", 0.2)
    one = await told(tmp_path, silent, "small")
    assert (one["code"], one["cost"]) == ("provider_timeout", None)
    assert 200 <= one["ms"] < 5_000


async def test_anthropic(tmp_path: Path) -> None:
    """In its own protocol."""

    async def script(exchange: Exchange) -> None:
        asked = json.loads(exchange.asked.body)
        assert (exchange.asked.target, asked["max_tokens"]) == ("/v1/messages", 1)
        answer = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet",
            "content": [{"type": "text", "text": "Hi"}],
            "stop_reason": "max_tokens",
            "usage": {"input_tokens": 8, "output_tokens": 1},
        }
        await exchange.answer(json.dumps(answer).encode(), "200 OK", "content-type: application/json")

    one = await told(tmp_path, script, configuration=ANTHROPIC)
    assert (one["ok"], one["cost"]) == (True, {"nanousd": 39_000, "usd": "0.000039"})


async def test_cost_as_it_is_told(tmp_path: Path) -> None:
    """OpenRouter says itself what it charges, whatever is configured."""
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "cost": 0.0000005}
    one = await told(tmp_path, answering(completion(usage=usage)), configuration=ROUTER)
    assert one["cost"] == {"nanousd": 500, "usd": "0.0000005"}


def test_nothing_to_ask(tmp_path: Path) -> None:
    """Without a model there is nobody."""
    file = tmp_path / "sluice.toml"
    file.write_text("[plans.standard]\n")
    result = CliRunner().invoke(sluice, ["probe", "--config", str(file)])
    assert (result.exit_code, result.stderr) == (1, "Error: No model is configured that could be asked.\n")


def test_mistakes(tmp_path: Path) -> None:
    """Each is told, and nobody is asked."""
    file = tmp_path / "sluice.toml"
    file.write_text('[models.a]\ntargets = ["nowhere/a"]\n')
    result = CliRunner().invoke(sluice, ["probe", "--config", str(file)])
    assert result.exit_code == 1
    assert "nowhere" in result.stderr
