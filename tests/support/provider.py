"""A provider that a test plays, and the configuration that makes it the only one."""

from pathlib import Path

from tests.support.answers import completion
from tests.support.origin import Exchange, Origin

MODEL = "scripted"
ANSWER = completion("Paris, they say.")
_TOML = """
[providers.scripted]
kind = "openai"
base_url = "{url}/v1"

[models.scripted]
targets = ["scripted/any"]
"""


def configure(folder: Path, upstream: Origin) -> None:
    """Let whatever serves in `folder` ask `upstream`, for the model `MODEL`."""
    (folder / "sluice.toml").write_text(_TOML.format(url=upstream.url))


async def answer(exchange: Exchange) -> None:
    """A script that answers at once."""
    await exchange.answer(ANSWER)
