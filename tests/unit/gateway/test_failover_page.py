"""The page on failover names the tests that show what it says."""

import re
from pathlib import Path
from typing import Final

from common.gateway.pace import STALL_S, WHOLE_S
from common.providers.continuation import MAX_SENT_BYTES
from common.routing.backoff import PATIENCE_S
from common.settings import RoutingSettings, ServerSettings

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = (ROOT / "docs/failover.md").read_text()
TESTS: Final = (ROOT / "tests/functions/test_faults.py").read_text()


def test_every_fault_is_shown() -> None:
    """Each of the sixteen has a row, each row the tests that there are for it."""
    rows = dict(re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert list(rows) == [str(number) for number in range(1, 17)]
    for number, names in rows.items():
        assert re.findall(r"\w+", names) == re.findall(
            rf"^async def (test_{number}_\w+)", TESTS, re.MULTILINE
        )


def test_figures() -> None:
    """What it says of times and sizes is so."""
    routing = RoutingSettings()
    for words in (
        f"up to three times in {PATIENCE_S:.0f} s",
        f"In a silence of {ServerSettings().keep_alive_s:.0f} s",
        f"says nothing for {STALL_S:.0f} s",
        f"waited for {WHOLE_S:.0f} s",
        f"more than {MAX_SENT_BYTES >> 20} MB",
        f"retries = {routing.retries} ",
        f"first_token_timeout_s = {routing.first_token_timeout_s} ",
        f"slow_first_token_timeout_s = {routing.slow_first_token_timeout_s} ",
        f"deadline_s = {routing.deadline_s} ",
    ):
        assert words in PAGE.replace("\n", " "), words
