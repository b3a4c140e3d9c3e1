"""`sluice doctor` before providers over real sockets."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

import pytest

from common.cli.doctor import providers
from tests.support.doctor import KEY, MODELS, answering_by_path, checks, doctor, listing, openrouter
from tests.support.origin import Exchange, Script, origin
from tests.support.sluice import run

OPENROUTER: Final = """
[providers.openrouter]
kind = "openrouter"
base_url = "{url}/api/v1"
api_key = "env:KEY"
[models."gpt-4o-mini"]
targets = ["openrouter/openai/gpt-4o-mini"]
"""
OPENAI: Final = """
[providers.main]
kind = "openai"
base_url = "{url}/v1"
api_key = ["env:KEY", "env:OTHER"]
[models.large]
targets = ["main/large"]
"""
NOBODY: Final = "http://127.0.0.1:9"  # the port for discarding, where nothing listens


async def state_of(
    folder: Path, script: Script, check: str, configuration: str = OPENROUTER
) -> dict[str, Any]:
    """One check, before a provider that plays `script`."""
    async with origin(script) as provider:
        found = await checks(folder, configuration.format(url=provider.url), KEY=KEY, OTHER="another-key")
    told: dict[str, Any] = found[check]
    return told


async def test_all_is_well(tmp_path: Path) -> None:
    """Each check is one line, the status is 0; OpenRouter is asked twice, both times with the key."""
    async with origin(openrouter()) as provider:
        result = await doctor(tmp_path, OPENROUTER.format(url=provider.url), KEY=KEY)
        asked = sorted((each.asked.method, each.asked.target) for each in provider.exchanges)
        keys = [each.asked.values("authorization") for each in provider.exchanges]
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"✓ configuration        {tmp_path}/sluice.toml has no mistakes.",
        f"✓ storage              There is no database in {tmp_path}/data yet: `sluice serve` makes one.",
        "✓ provider openrouter  The API key sk-or-v1-271...757 is accepted; 17.25 of 20.00 USD are left, monthly.",
        "✓ model gpt-4o-mini    openrouter has openai/gpt-4o-mini.",
        "",
        "All is well.",
    ]
    assert asked == [("GET", "/api/v1/key"), ("GET", "/api/v1/models?output_modalities=all")]
    assert keys == [[f"Bearer {KEY}"]] * 2


async def test_key_is_refused(tmp_path: Path) -> None:
    """The provider's line says so, and what to do; its models are looked up all the same."""
    refused = ("401 Unauthorized", json.dumps({"error": {"message": f"Bad key {KEY}", "code": 401}}).encode())
    async with origin(openrouter(refused)) as provider:
        result = await doctor(tmp_path, OPENROUTER.format(url=provider.url), KEY=KEY)
    assert result.exit_code == 1
    assert "✗ provider openrouter  The API key is refused (401).\n" in result.stdout
    assert f"\n{'':23}→ Make one at https://openrouter.ai/settings/keys" in result.stdout
    assert "✓ model gpt-4o-mini" in result.stdout
    assert result.stdout.endswith("\nOf 4 checks, 1 failed.\n")


async def test_model_is_not_there(tmp_path: Path) -> None:
    """A model that the provider does not list fails, with names that are near."""
    configuration = OPENROUTER.replace("openrouter/openai/gpt-4o-mini", "openrouter/gpt-4o-mini")
    check = await state_of(tmp_path, openrouter(), "model gpt-4o-mini", configuration)
    assert (check["state"], check["said"]) == ("failed", "openrouter has no gpt-4o-mini.")
    assert "openai/gpt-4o-mini" in check["advice"]


async def test_each_key_is_tried(tmp_path: Path) -> None:
    """Of several keys, each has a line; the list is asked for once with each, no more."""

    async def script(exchange: Exchange) -> None:
        good = exchange.asked.values("authorization") == [f"Bearer {KEY}"]
        await exchange.answer(listing("large"), "200 OK" if good else "401 Unauthorized")

    async with origin(script) as provider:
        found = await checks(tmp_path, OPENAI.format(url=provider.url), KEY=KEY, OTHER="another-key")
        asked = [each.asked.target for each in provider.exchanges]
    assert found["provider main, key 1"]["state"] == found["model large"]["state"] == "ok"
    assert found["provider main, key 2"]["said"] == "The API key is refused (401)."
    assert asked == ["/v1/models"] * 2


@pytest.mark.parametrize("url", [NOBODY, "http://no-such-host.invalid"])
async def test_nobody_there(tmp_path: Path, url: str) -> None:
    """Who cannot be reached fails, with what the system says of it; the model is not said to be missing."""
    found = await checks(tmp_path, OPENROUTER.format(url=url), KEY=KEY)
    check = found["provider openrouter"]
    assert check["state"] == "failed"
    assert check["said"].startswith("It cannot be reached: ")
    assert f"{url}/api/v1" in check["advice"]
    assert found["model gpt-4o-mini"]["state"] == "unknown"
    assert "clock" not in found


async def test_tls_that_is_none(tmp_path: Path) -> None:
    """An https address at which plain HTTP is spoken is told from a machine that is off."""

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await checks(tmp_path, OPENROUTER.format(url=url), KEY=KEY)
    assert found["provider openrouter"]["said"].endswith("its certificate, or its TLS, is not accepted.")


async def test_slow_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence ends after a while, for all requests at the same time; so does a trickle."""
    monkeypatch.setattr(providers, "WITHIN_S", 0.5)

    async def script(exchange: Exchange) -> None:
        if exchange.asked.target == "/api/v1/key":
            await exchange.left.wait()
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not exchange.left.is_set():
            await exchange.send(b"1\r\n \r\n")
            await asyncio.sleep(0.01)

    began = time.monotonic()
    async with origin(script) as provider:
        found = await checks(tmp_path, OPENROUTER.format(url=provider.url), KEY=KEY)
    assert time.monotonic() - began < 3
    assert found["provider openrouter"]["said"].startswith("It cannot be reached: there is no answer within")
    assert found["model gpt-4o-mini"]["state"] == "unknown"


async def test_endless_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not end is not kept."""
    monkeypatch.setattr(providers, "MAX_BYTES", 10_000)
    endless = answering_by_path({"/v1/models": ("200 OK", listing(*("x" * 100 for _ in range(1000))))})
    check = await state_of(tmp_path, endless, "provider main, key 1", OPENAI)
    assert (check["state"], check["said"]) == ("failed", "The provider's answer is too long.")


async def test_something_else_answers(tmp_path: Path) -> None:
    """A page for people is no provider: the address is asked about."""
    page = answering_by_path({"/v1/models": ("200 OK", b"<!doctype html><title>Welcome</title>")})
    check = await state_of(tmp_path, page, "provider main, key 1", OPENAI)
    assert (check["state"], check["said"]) == (
        "failed",
        "It answers with something that is no list of models.",
    )


async def test_words_of_the_provider(tmp_path: Path) -> None:
    """What a provider says is one line that a terminal can show, without the key and without its address."""
    words = f"down\n\x1b[31m\u202e {KEY} at {{host}} " + "x" * 5000

    async def script(exchange: Exchange) -> None:
        said = words.format(host=exchange.asked.values("host")[0])
        await exchange.answer(json.dumps({"error": {"message": said}}).encode(), "500 Internal Server Error")

    async with origin(script) as provider:
        result = await doctor(tmp_path, OPENAI.format(url=provider.url), KEY=KEY, OTHER="another-key")
    line = next(line for line in result.stdout.splitlines() if "provider main, key 1" in line)
    assert line.isprintable()
    assert len(line) < 600
    assert KEY not in result.output
    assert provider.url.removeprefix("http://") not in line


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (timedelta(0), "ok", "It agrees with the providers' to the minute."),
        (timedelta(seconds=-40), "ok", "It agrees"),
        (timedelta(hours=1), "failed", "s ahead of the providers'."),
        (timedelta(days=-1), "failed", "s behind the providers'."),
    ],
    ids=str,
)
async def test_clock(tmp_path: Path, ahead: timedelta, state: str, said: str) -> None:
    """A clock that goes wrong is seen by what providers say of the time."""
    date = format_datetime(datetime.now(UTC) - ahead, usegmt=True)
    check = await state_of(tmp_path, openrouter(None, f"date: {date}"), "clock")
    assert (check["state"], bool(check["advice"])) == (state, state == "failed")
    assert said in check["said"]


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Jan 2026 25:61:61 GMT", "9" * 400])
async def test_dates_that_are_none(tmp_path: Path, date: str) -> None:
    """A `date` that is none tells nothing of the clock."""
    async with origin(openrouter(None, f"date: {date}")) as provider:
        found = await checks(tmp_path, OPENROUTER.format(url=provider.url), KEY=KEY)
    assert "clock" not in found
    assert found["provider openrouter"]["state"] == "ok"


async def test_a_wrong_clock_of_one_provider(tmp_path: Path) -> None:
    """One provider's wrong clock says nothing of ours, where another's agrees."""
    wrong = format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)
    right = format_datetime(datetime.now(UTC), usegmt=True)
    answers = {"/v1/models": ("200 OK", listing("large"))}
    async with (
        origin(openrouter(None, f"date: {wrong}")) as one,
        origin(answering_by_path(answers, f"date: {right}")) as other,
    ):
        configuration = OPENROUTER.format(url=one.url) + OPENAI.format(url=other.url)
        found = await checks(tmp_path, configuration, KEY=KEY, OTHER=KEY)
    assert found["clock"]["state"] == "ok"


async def test_embedded_model_starts(tmp_path: Path) -> None:
    """The model that comes with Sluice is started, and answers by any name."""
    found = await checks(
        tmp_path, '[providers.own]\nkind = "embedded"\n[models.tiny]\ntargets = ["own/any"]\n'
    )
    assert found["provider own"]["state"] == found["model tiny"]["state"] == "ok"


async def test_without_a_configuration(tmp_path: Path) -> None:
    """Where nothing is configured, what holds then is examined: the embedded model."""
    ended = await run(tmp_path, "doctor")
    assert (ended.status, ended.stderr) == (0, "")
    assert "There is no sluice.toml: the embedded model answers.\n" in ended.stdout
    assert "✓ model demo" in ended.stdout


async def test_no_key_is_printed(tmp_path: Path) -> None:
    """Neither in words nor in JSON, whatever the provider says of the key."""
    telling = {"label": KEY, "limit": None, "limit_remaining": None}
    for options in ([], ["--json"]):
        async with origin(openrouter(("200 OK", json.dumps({"data": telling}).encode()))) as provider:
            result = await doctor(tmp_path, OPENROUTER.format(url=provider.url), *options, KEY=KEY)
        assert result.exit_code == 0
        assert "is accepted" in result.output
        assert KEY not in result.output
    assert MODELS[0] in result.output
