"""What dataclasses are made of, compiled when the package was made: a fifth of the time to start.

`dataclasses` writes the methods of each class as text, and compiles it whenever the class is made; no bytecode of a
module holds them. `make package-aws` lays what it compiled beside this file, by its text, so what has another text (or
another Python) is compiled as ever. docs/adr/0014 weighs it.
"""

import dataclasses
import marshal
import sys
from pathlib import Path
from typing import Any, Final

PLACE: Final = "common/targets/aws/dataclasses.{tag}.code"
_FILE: Final = Path(__file__).parents[3] / PLACE.format(tag=sys.implementation.cache_tag)


def use(file: Path = _FILE) -> None:
    """Take what is in the file, where it is, for all classes from now on."""
    try:
        codes = marshal.loads(file.read_bytes())  # noqa: S302 - as much ours as the bytecode beside it
    except FileNotFoundError:
        return

    def run(text: str, names: dict[str, Any], made: dict[str, Any]) -> None:
        exec(codes.get(text, text), names, made)  # noqa: S102 - what `dataclasses` itself does

    vars(dataclasses)["exec"] = run  # before the built-in one, which it calls with these three
