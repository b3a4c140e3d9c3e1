"""What docs/setup/openrouter.md shows of `sluice doctor` is what it says."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from common.cli.doctor.providers import WITHIN_S
from common.settings import parse_settings
from tests.support.doctor import GOOD_KEY, KEY, openrouter
from tests.support.origin import Script, origin
from tests.support.sluice import run

REPOSITORY: Final = Path(__file__).parents[2]
PAGE: Final = (REPOSITORY / "docs/setup/openrouter.md").read_text()
OWN_URL: Final = "https://openrouter.ai/api/v1"
NOBODY: Final = "http://127.0.0.1:9/api/v1"  # the port for discarding, where nothing listens
(CONFIGURATION,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def sample(heading: str) -> str:
    """What stands below the heading, without the command."""
    _, _, section = PAGE.partition(f"# {heading}\n")
    found = re.search(r"^```text\n\$ [^\n]+ ?doctor\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def key(**data: Any) -> Script:
    """An OpenRouter that says this of the key."""
    return openrouter(("200 OK", json.dumps({"data": GOOD_KEY | data}).encode()))


REFUSED: Final = openrouter(("401 Unauthorized", b'{"error": {"message": "User not found.", "code": 401}}'))


@pytest.mark.parametrize(
    ("heading", "script"),
    [
        ("See that it works", openrouter()),
        ("The variable is not set", openrouter()),
        ("The key is not good", REFUSED),
        ("Its credit limit is used up", key(limit_remaining=0)),
        ("The model has another name", openrouter()),
        ("OpenRouter cannot be reached", openrouter()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_sample(tmp_path: Path, heading: str, script: Script) -> None:
    """Each sample, letter by letter, of the page's own configuration."""
    async with origin(script) as provider:
        url = NOBODY if "reached" in heading else f"{provider.url}/api/v1"
        text = CONFIGURATION.replace("api_key", f'base_url = "{url}"\napi_key', 1)
        if "another name" in heading:
            text = text.replace("openrouter/openai/", "openrouter/")
        (tmp_path / "sluice.toml").write_text(text)
        ended = await run(tmp_path, "doctor", OPENROUTER_API_KEY="" if "not set" in heading else KEY)
    assert ended.stdout.replace(url, OWN_URL) == sample(heading)
    assert (ended.status, ended.stderr) == (int("works" not in heading), "")


def test_every_sample_is_run() -> None:
    """No sample is left to grow old."""
    assert len(re.findall(r"^\$ .*doctor$", PAGE, re.MULTILINE)) == 6


def test_page_has_the_examples_models() -> None:
    """The configuration is that of the example which the page copies, as far as it goes."""
    variables = {"OPENROUTER_API_KEY": KEY}
    shown = parse_settings(CONFIGURATION, variables)
    example = parse_settings((REPOSITORY / "sluice.example.toml").read_text(), variables)
    assert {name: example.providers[name] for name in shown.providers} == shown.providers
    for name, model in shown.models.items():
        [target], [stated] = model.targets, example.models[name].targets
        assert replace(stated, modalities=target.modalities) == target


def test_how_long_it_waits() -> None:
    """The figure on the page is the code's."""
    assert f"within {WITHIN_S:.0f} s" in PAGE
