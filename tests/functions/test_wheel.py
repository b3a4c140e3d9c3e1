"""The wheel: what `pip install` gets, and that it works away from the repository."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the backend that is installed, as `pip wheel` would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


def test_contents(wheel: Path) -> None:
    """It holds the two packages, the migrations, the licence and the console script, and nothing of the tests."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "common",
        "functions",
        "infra",
    }
    assert any(name.startswith("infra/sql/0001") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    scripts = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"sluice = common.cli:main" in zipfile.ZipFile(wheel).read(scripts)


def test_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, it makes a database and a key: migrations are found beside the code."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from common.cli import main; main()"
    options = ["keys", "create", "--user", "ada", "--json", "--data", str(tmp_path / "data")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path / "site"), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["key"].startswith("sk-sluice-")
