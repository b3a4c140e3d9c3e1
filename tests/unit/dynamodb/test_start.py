"""What the package costs at the start of a function."""

import subprocess
import sys
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[3]
HEAVY: Final = {
    "boto3",
    "botocore",
    "pynamodb",
    "httptools",
    "httpx",
    "httpx2",
    "pydantic",
    "requests",
    "urllib3",
}
PROGRAM: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from common.adapters.dynamodb import keys, rows, usage, users
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_no_sdk() -> None:
    """Signed calls need no SDK and no client of their own, so importing them loads none."""
    command = [sys.executable, "-I", "-c", PROGRAM, str(REPOSITORY)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "common" in loaded
    assert not HEAVY & set(loaded)
