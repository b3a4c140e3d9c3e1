"""The page for application developers: what it shows is run as it stands, but for the address and the model."""

import asyncio
import os
import re
import subprocess
import sys
from typing import Final

import pytest

from tests.e2e.provider_turns import saying
from tests.edge.toolbox import REPOSITORY, node, prepare
from tests.support.scripted import scripted

PAGE: Final = (REPOSITORY / "docs/clients.md").read_text()
SHOWN: Final = re.findall(r"^```(js|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RUN: Final = [block for block in SHOWN if "langchain_openai" not in block[1]]


def test_page_shows_all_clients() -> None:
    """Each client has its lines there; only LangChain's for Python are not run."""
    assert [language for language, _ in SHOWN] == ["python", "js", "js", "js", "python"]
    assert len(RUN) == len(SHOWN) - 1


@pytest.mark.parametrize(
    ("language", "text"), RUN, ids=["openai-python", "openai-node", "ai-sdk", "langchain"]
)
async def test_shown_lines(language: str, text: str) -> None:
    """They print the answer."""
    prepare()
    command = [sys.executable, "-c"] if language == "python" else [str(node()), "--input-type=module", "-e"]
    async with scripted(saying("Hello there.", streamed=False)) as gateway:
        lines = text.replace("http://127.0.0.1:8787", gateway.url).replace('"demo"', '"hello"')
        assert lines != text
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, lines],
            cwd=REPOSITORY / "tests/e2e",
            env=os.environ | {"SLUICE_KEY": gateway.held.key},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("Hello there.\n", 0), done.stderr
