"""`sluice models`: what can be asked for, and what a provider over a real socket tells of its models."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from common.cli.root import sluice
from common.settings.catalog import CATALOG_NAME
from tests.support.doctor import answering_by_path
from tests.support.origin import Script, origin

KEY: Final = "sk-or-v1-2718281828459045235360287471352662497757"
CONFIGURATION: Final = """
[providers.router]
kind = "openrouter"
base_url = "{url}/api/v1"
api_key = "env:KEY"
[providers.embedded]
kind = "embedded"
[models.small]
targets = ["router/openai/gpt-4o-mini", "embedded/demo"]
tier = "budget"
[models."router/*"]
targets = ["router/*"]
[aliases]
both = ["small", "router/openai/gpt-5"]
"""
MINI: Final[dict[str, Any]] = {
    "id": "openai/gpt-4o-mini",
    "context_length": 128_000,
    "architecture": {"input_modalities": ["text", "image", "file"], "output_modalities": ["text"]},
    "pricing": {"prompt": "0.0000002", "completion": "0.0000006", "input_cache_read": "0.000000075"},
    "top_provider": {"max_completion_tokens": 16_384},
}
KNOWN: Final = "context=128000 output=16384 price=0.15/0.6 cache_read=0.075 takes=text,image,file"
TOLD: Final = KNOWN.replace("0.15/", "0.2/")


def listing(*models: Any) -> Script:
    """A provider with these models."""
    body = json.dumps({"data": models}).encode()
    return answering_by_path({"/api/v1/models": ("200 OK", body)})


async def models(folder: Path, *words: str, url: str = "http://127.0.0.1:9", text: str = "") -> Result:
    """The command, in a thread: it has an event loop of its own."""
    file = folder / "sluice.toml"
    file.write_text(CONFIGURATION.format(url=url))
    command = ["models", *words, "--config", str(file)]
    return await asyncio.to_thread(
        CliRunner().invoke, sluice, command, input=text, env={"KEY": KEY}, catch_exceptions=False
    )


async def refreshed(folder: Path, script: Script, *words: str, text: str = "") -> Result:
    """`models refresh` before a provider."""
    async with origin(script) as provider:
        return await models(folder, "refresh", *words, url=provider.url, text=text)


async def test_list(tmp_path: Path) -> None:
    """Each name, where it leads, and what is known of that; names that stand for others say for which."""
    result = await models(tmp_path, "list")
    assert result.exit_code == 0
    rows = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines()
    ]
    assert rows[1:] == [
        ["both", "small, router/openai/gpt-5"],
        ["sluice/auto", "small"],
        ["sluice/budget", "small"],
        [
            "small",
            "budget",
            "router/openai/gpt-4o-mini",
            "0.15 / 0.6",
            "128,000",
            "16,384",
            "text, image, file",
        ],
        ["embedded/demo", "0 / 0", "2,048"],
        ["router/*", "router/*"],
    ]


async def test_list_for_scripts(tmp_path: Path) -> None:
    """The same as JSON, with the policy, and of each target the model that it is of."""
    told = {each["name"]: each for each in json.loads((await models(tmp_path, "list", "--json")).stdout)}
    assert told.keys() == {"both", "sluice/auto", "sluice/budget", "small", "router/*"}
    assert told["sluice/auto"]["policy"] == "cheapest"
    assert [(each["model"], each["to"]) for each in told["both"]["targets"]] == [
        ("small", "router/openai/gpt-4o-mini"),
        ("small", "embedded/demo"),
        ("router/openai/gpt-5", "router/openai/gpt-5"),
    ]
    assert told["small"]["targets"][0] == {
        "model": "small",
        "to": "router/openai/gpt-4o-mini",
        "input": "0.15",
        "output": "0.6",
        "context_length": 128_000,
        "max_output_tokens": 16_384,
        "modalities": ["text", "image", "file"],
        "unsupported": None,
    }


async def test_refresh_shows_the_difference_and_asks(tmp_path: Path) -> None:
    """Nothing is written before it is shown and agreed to; then it is what holds."""
    shown = f"router/openai/gpt-4o-mini\n  - {KNOWN}\n  + {TOLD}\n"
    path = tmp_path / CATALOG_NAME
    refused = await refreshed(tmp_path, listing(MINI), text="n\n")
    assert refused.stdout.startswith(shown)
    assert not path.exists()
    agreed = await refreshed(tmp_path, listing(MINI), text="y\n")
    assert agreed.stdout.startswith(shown)
    assert path.read_text().splitlines()[1:] == [f"router/openai/gpt-4o-mini {TOLD}"]
    assert "0.2 / 0.6" in (await models(tmp_path, "list")).stdout
    again = await refreshed(tmp_path, listing(MINI))
    assert (again.exit_code, again.stdout) == (0, f"All of it is known: {path} stays as it is.\n")
    gone = await refreshed(tmp_path, listing({**MINI, "id": "other"}), "router", "--yes")
    assert f"router/openai/gpt-4o-mini\n  - {TOLD}\n" in gone.stdout
    assert [line.split(" ")[0] for line in path.read_text().splitlines()] == ["#", "router/other"]


async def test_refresh_for_scripts(tmp_path: Path) -> None:
    """JSON asks nobody: it writes with `--yes` alone."""
    change = {"name": "router/openai/gpt-4o-mini", "before": KNOWN, "after": TOLD}
    file = str(tmp_path / CATALOG_NAME)
    told = json.loads((await refreshed(tmp_path, listing(MINI), "--json")).stdout)
    assert told == {"file": file, "written": False, "changes": [change]}
    assert not (tmp_path / CATALOG_NAME).exists()
    told = json.loads((await refreshed(tmp_path, listing(MINI), "--json", "--yes")).stdout)
    assert told == {"file": file, "written": True, "changes": [change]}
    told = json.loads((await refreshed(tmp_path, listing(MINI), "--json", "--yes")).stdout)
    assert told == {"file": file, "written": False, "changes": []}


async def test_refresh_says_so_much_at_once(tmp_path: Path) -> None:
    """Of hundreds of changes the first are shown, and all are written."""
    many = [{**MINI, "id": f"vendor/{number:03}"} for number in range(300)]
    result = await refreshed(tmp_path, listing(*many), "--yes")
    assert result.stdout.splitlines()[-1] == "... and 240 more"
    assert len((tmp_path / CATALOG_NAME).read_text().splitlines()) == 301


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("401 Unauthorized", b"{}"), "router did not tell its models (401)"),
        (("200 OK", b"<html>"), "router did not tell its models (200)"),
        (("200 OK", b'{"data": [{"id": "x"}]}'), "router tells the names of its models, and nothing else"),
    ],
)
async def test_refresh_in_vain(tmp_path: Path, answer: tuple[str, bytes], said: str) -> None:
    """A provider that tells nothing changes nothing."""
    (tmp_path / CATALOG_NAME).write_text("router/x context=5\n")
    result = await refreshed(tmp_path, answering_by_path({"/api/v1/models": answer}), "--yes")
    assert (result.exit_code, said in result.stderr) == (1, True)
    assert (tmp_path / CATALOG_NAME).read_text() == "router/x context=5\n"


async def test_refresh_of_nobody(tmp_path: Path) -> None:
    """One that cannot be reached is told as that, without its key; one that is not configured is a wrong use."""
    result = await models(tmp_path, "refresh")
    assert result.exit_code == 1
    assert "router did not tell its models" in result.stderr
    assert KEY not in result.stderr
    for words in (["none"], ["embedded"]):
        assert (await models(tmp_path, "refresh", *words)).exit_code == 2


async def test_a_catalog_that_is_none(tmp_path: Path) -> None:
    """It is told with its place, and nothing is started by it."""
    (tmp_path / CATALOG_NAME).write_text("router/x price=cheap\n")
    result = await models(tmp_path, "list")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {CATALOG_NAME}: line 1 is none of a catalog")
