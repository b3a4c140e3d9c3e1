"""The commands on one data folder."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from common.cli.root import sluice


class Commands:
    """`sluice GROUP ... --data` with one folder, which is made when something is written."""

    def __init__(self, data: Path, group: str) -> None:
        self._data = data
        self._group = group

    def run(self, *words: str) -> Result:
        """Run one."""
        return CliRunner().invoke(sluice, [self._group, *words, "--data", str(self._data)])

    def json(self, *words: str) -> Any:
        """Run it with `--json`; the one line it prints."""
        result = self.run(*words, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        (line,) = result.stdout.splitlines()
        return json.loads(line)
