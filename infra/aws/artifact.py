"""What a function on Lambda is made of, as one file: the same bytes whenever and wherever it is made.

In it are our modules that the function imports, what they need of the lock, `sluice.toml`, and what starts it.
"""

import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from common.ports import LetterBox
from common.settings import FILE_NAME
from common.settings.catalog import CATALOG_NAME
from common.targets.registry import FUNCTIONS, JOBS, job_of
from infra.modules import REPOSITORY, needed

# where letters are laid down in the log, no job can take them
DEPLOYED: Final = (*FUNCTIONS, *(name for name in JOBS if LetterBox not in job_of(name).needs))
WRAPPER: Final = "infra/aws/stream"
# of use to a compiler, a type checker or pip
_USELESS: Final = frozenset({".c", ".h", ".pxd", ".pyi", ".pyx", ".typed"})
_USELESS_METADATA: Final = frozenset(
    {"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "direct_url.json", "top_level.txt"}
)
_FIRST_DAY: Final = (1980, 1, 1, 0, 0, 0)  # that a zip can tell


def ours(name: str, configuration: Path) -> dict[str, Path]:
    """A function's or job's files that pip does not bring, by their places in the package."""
    what = "job" if name in JOBS else "function"
    program = (
        "import common.targets.aws.__main__\n"
        "import common.targets.aws.entry\n"
        f"from functions.{name} import {what}\n"
    )
    files = {file.relative_to(REPOSITORY).as_posix(): file for file in needed([program])}
    return {**files, WRAPPER: REPOSITORY / WRAPPER, **configured(configuration)}


def configured(configuration: Path) -> dict[str, Path]:
    """What functions are configured by: `sluice.toml`, and the operator's own catalog, where one is beside it."""
    catalog = configuration.with_name(CATALOG_NAME)
    return {FILE_NAME: configuration} | ({CATALOG_NAME: catalog} if catalog.is_file() else {})


def installed(site: Path) -> dict[str, Path]:
    """Of what pip has put into a folder, what is of use on Lambda."""
    files = ((file.relative_to(site), file) for file in site.rglob("*") if file.is_file())
    return {path.as_posix(): file for path, file in files if _is_of_use(path)}


def _is_of_use(path: Path) -> bool:
    folder = path.parts[0]
    if folder == "bin" or "__pycache__" in path.parts or path.suffix in _USELESS:
        return False
    return not (folder.endswith(".dist-info") and path.name in _USELESS_METADATA)


def write(archive: Path, files: Mapping[str, Path]) -> int:
    """Zip files in the order of their places, without owners and times; the sum of their bytes.

    Only the wrapper may be executed.
    """
    total = 0
    with zipfile.ZipFile(archive, "w") as output:
        for place, file in sorted(files.items()):
            info = zipfile.ZipInfo(place, _FIRST_DAY)
            info.create_system = 3  # Unix, whose modes these are
            info.external_attr = (stat.S_IFREG | (0o755 if place == WRAPPER else 0o644)) << 16
            content = file.read_bytes()
            total += len(content)
            output.writestr(info, content, zipfile.ZIP_DEFLATED, 9)
    return total
