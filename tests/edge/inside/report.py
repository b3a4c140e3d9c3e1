"""Everything that is tried inside Pyodide, in one interpreter, as one JSON report."""

import importlib
import json
import pkgutil
import site
import sys
from typing import Final

import stage  # type: ignore[import-not-found] # given by harness.mjs

from tests.edge.inside import workerd
from tests.edge.inside.import_watch import ImportWatch
from tests.edge.inside.workerd import allow_entropy, import_patch_manager

# what the entry of a Worker imports besides its function
AROUND: Final = ("common.targets.cloudflare.entry",)


async def main() -> str:
    """The report."""
    _register_excuses()
    report: dict[str, object] = {"imports": _imports(), "careless": watched("tests.edge.inside.careless")}
    # after the watched imports, or they would be done already
    from tests.edge.inside import chat_facts, fetch_facts

    report["fetch"] = await fetch_facts.gather()
    report["chat"] = await chat_facts.gather()
    report["rejections"] = stage.rejections().to_py()
    return json.dumps(report)


def watched(*names: str) -> list[dict[str, object]]:
    """What the watch saw while the modules were imported as by the top level of a Worker."""
    watch = ImportWatch(stage.drawn)
    with watch.on():
        for name in names:
            importlib.import_module(name)
    return watch.report()


def _imports() -> dict[str, object]:
    names = [f"functions.{module.name}" for module in pkgutil.iter_modules(["/worker/functions"])]
    return {"modules": names, "events": watched(*names, *AROUND)}


def _register_excuses() -> None:
    """Let the SDK's `.pth` file do what it does at the start of a Worker."""
    sys.modules["_cloudflare"] = workerd
    sys.modules["_cloudflare.allow_entropy"] = allow_entropy
    sys.modules["_cloudflare.import_patch_manager"] = import_patch_manager
    site.addsitedir("/worker/python_modules")
