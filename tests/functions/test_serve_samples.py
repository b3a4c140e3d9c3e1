"""What `sluice serve` prints to be pasted, pasted."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.origin import origin
from tests.support.provider import ANSWER, answer, configure
from tests.support.sluice import Serving, run, serving


async def paste(command: list[str], text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `command` with `text` as its input."""
    return await asyncio.to_thread(
        subprocess.run,
        command,
        input=text,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "NO_PROXY": "*", **variables},
    )


def curl_line(gateway: Serving) -> str:
    """As printed."""
    return next(line for line in gateway.welcome.splitlines() if line.startswith("curl "))


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@needs_curl
async def test_curl_line_asks_the_embedded_model(tmp_path: Path) -> None:
    """The line that the very first start prints gets an answer of a real model when it is pasted into a shell."""
    async with serving(tmp_path) as gateway:
        pasted = await paste(["sh"], curl_line(gateway))
        said: dict[str, Any] = json.loads(pasted.stdout)
        assert isinstance(said["choices"][0]["message"]["content"], str)
        assert 1 <= said["usage"]["completion_tokens"] <= 60


@needs_curl
async def test_curl_line_with_a_variable(tmp_path: Path) -> None:
    """Where no key was made, the line takes it from the variable that is exported above it."""
    created = json.loads((await run(tmp_path, "keys", "create", "--user", "ada", "--json")).stdout)
    async with origin(answer) as upstream:
        configure(tmp_path, upstream)
        async with serving(tmp_path) as gateway:
            assert "export SLUICE_KEY=sk-sluice-...\n" in gateway.welcome
            pasted = await paste(["sh"], curl_line(gateway), SLUICE_KEY=created["key"])
    assert pasted.stdout.encode() == ANSWER


async def test_python_snippet(tmp_path: Path) -> None:
    """The five lines print an answer when they are pasted into Python."""
    async with origin(answer) as upstream:
        configure(tmp_path, upstream)
        async with serving(tmp_path) as gateway:
            _, _, snippet = gateway.welcome.partition("from openai")
            lines = f"from openai{snippet}".splitlines()[:5]
            pasted = await paste([sys.executable], "\n".join(lines))
    assert (pasted.stdout, pasted.stderr) == ("Paris, they say.\n", "")
