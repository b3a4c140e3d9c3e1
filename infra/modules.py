"""Which of our files a program needs: the modules that it imports, anywhere, and what lies beside them."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[1]
_OURS: Final = ("common", "functions")


def needed(sources: Iterable[str]) -> set[Path]:
    """Files of `common` and `functions`, by the text of the programs.

    Modules that are imported, also late and inside functions, with the packages that they are in, and what those
    import; and the files of their folders that are no modules.
    """
    modules: set[Path] = set()
    to_read = [name for source in sources for name in _imported(source)]
    while to_read:
        parts = to_read.pop().split(".")
        for length in range(1, len(parts) + 1):
            file = _file(parts[:length])
            if file is not None and file not in modules:
                modules.add(file)
                to_read += _imported(file.read_text("utf-8"))
    folders = {module.parent for module in modules}
    data = {
        file for folder in folders for file in folder.iterdir() if file.is_file() and file.suffix != ".py"
    }
    return modules | data


def _imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in _OURS)


def _file(parts: Sequence[str]) -> Path | None:
    path = REPOSITORY.joinpath(*parts)
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)
