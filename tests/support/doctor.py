"""`sluice doctor` before a provider that a test plays.

async with origin(openrouter()) as provider:
    told = await doctor(tmp_path, CONFIGURATION.format(url=provider.url), OPENROUTER_API_KEY="sk-or-...")
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner, Result

from common.cli.root import sluice
from tests.support.origin import Exchange, Script

KEY: Final = "sk-or-v1-2718281828459045235360287471352662497757"
GOOD_KEY: Final = {
    "label": "sk-or-v1-271...757",
    "limit": 20,
    "limit_remaining": 17.25,
    "limit_reset": "monthly",
    "is_management_key": False,
}
MODELS: Final = ("openai/gpt-4o-mini", "openai/gpt-4o")


def listing(*names: str) -> bytes:
    """A list of models."""
    return json.dumps({"data": [{"id": name} for name in names]}).encode()


def answering_by_path(answers: Mapping[str, tuple[str, bytes]], *headers: str) -> Script:
    """A provider that has a status and a body for each path, without its query; else 404."""

    async def script(exchange: Exchange) -> None:
        path = exchange.asked.target.partition("?")[0]
        status, body = answers.get(path, ("404 Not Found", b"{}"))
        await exchange.answer(body, status, "content-type: application/json", *headers)

    return script


def openrouter(key: tuple[str, bytes] | None = None, *headers: str) -> Script:
    """OpenRouter, as far as it is examined; below `/api/v1`. `key`: what it says of the key."""
    good = ("200 OK", json.dumps({"data": GOOD_KEY}).encode())
    answers = {"/api/v1/key": key or good, "/api/v1/models": ("200 OK", listing(*MODELS))}
    return answering_by_path(answers, *headers)


async def doctor(folder: Path, configuration: str, *options: str, **variables: str) -> Result:
    """The command, with this configuration, in a thread: it has an event loop of its own."""
    file = folder / "sluice.toml"
    file.write_text(configuration)
    words = ["doctor", "--config", str(file), "--data", str(folder / "data"), *options]
    return await asyncio.to_thread(CliRunner().invoke, sluice, words, env=variables, catch_exceptions=False)


async def checks(folder: Path, configuration: str, **variables: str) -> dict[str, Any]:
    """What it finds, by the names of the checks, no two of which may be the same here."""
    result = await doctor(folder, configuration, "--json", **variables)
    told = json.loads(result.stdout)
    assert told["ok"] == (result.exit_code == 0)
    assert told["ok"] == all(check["state"] != "failed" for check in told["checks"])
    found: dict[str, Any] = {}
    for check in told["checks"]:
        assert check["check"] not in found
        found[check["check"]] = check
    return found
