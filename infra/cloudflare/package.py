"""`make package-cloudflare`: a folder for each Worker and environment, below build/cloudflare, and what is in it.

    .venv/bin/python -m infra.cloudflare.package [--stage dev]... [--config sluice.toml] [--dry-run]

`--dry-run` lets wrangler bundle each as it would upload it, which needs no account.
"""

import argparse
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from common.settings.catalog import CATALOG_NAME
from common.settings.references import ENV_PREFIX
from common.targets.cloudflare.wrangler import FILE_NAME, environment, is_placeholder
from infra.cloudflare.stage import REPOSITORY, Worker, all_workers, stage, wrangler_config
from tests.edge import toolbox

BUILD: Final = REPOSITORY / "build" / "cloudflare"
WHEELS: Final = toolbox.EDGE / "python_modules"
MOST_BYTES: Final = 64 * 2**20  # of a Worker, uncompressed, on every plan (November 2026)
STAGES: Final = ("dev", "staging", "production")
FORBIDDEN: Final = re.compile(r"(^|/)(tests|\.venv|dynamodb|aws|cli|sqlite3?|upstream)(/|\.py$|$)")


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="package", description=__doc__.partition("\n")[0])
    parser.add_argument("--stage", choices=STAGES, action="append")
    parser.add_argument("--config", type=Path, default=REPOSITORY / "sluice.toml")
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--dry-run", action="store_true")
    chosen = parser.parse_args(arguments)
    if not chosen.config.is_file():
        print(
            f"There is no {chosen.config}: copy sluice.example.toml, or name another with --config.",
            file=sys.stderr,
        )
        return 2
    toolbox.prepare()
    configuration, catalog = chosen.config.read_text("utf-8"), catalog_beside(chosen.config)
    for name in chosen.stage or STAGES:
        for worker in all_workers():
            folder = chosen.build / name / worker.name
            config = package(folder, name, worker, configuration, catalog)
            size = check(folder)
            print(f"{folder}: {size / 2**20:.1f} of {MOST_BYTES // 2**20} MiB")
            if chosen.dry_run:
                dry_run(folder)
        if missing := list(missing_ids(config)):
            print(f"{name}: not deployable before wrangler.toml has the ids of {', '.join(missing)}")
    return 0


def wrangler_toml() -> str:
    """Its text."""
    return (REPOSITORY / FILE_NAME).read_text("utf-8")


def catalog_beside(config: Path) -> str:
    """What `sluice models refresh` has made, if anything."""
    file = config.with_name(CATALOG_NAME)
    return file.read_text("utf-8") if file.is_file() else ""


def package(
    folder: Path, stage_name: str, worker: Worker, configuration: str, catalog: str = ""
) -> dict[str, Any]:
    """Fill `folder`; its configuration."""
    stage(folder, {"worker": worker}, configuration, catalog)
    (folder / "python_modules").symlink_to(WHEELS)
    config = wrangler_config(environment(stage_name, wrangler_toml()), stage_name, worker)
    # wrangler takes no name twice, and a plain variable is read the same way
    if secrets := set(secrets_of(tomllib.loads(configuration))) - config.get("vars", {}).keys():
        config["secrets"] = {"required": sorted(secrets)}
    (folder / "wrangler.json").write_text(json_of(config), "utf-8")
    return config


def json_of(config: Mapping[str, Any]) -> str:
    """For a reader, too: a change of a deployment is reviewed as a difference of these."""
    import json

    return json.dumps(config, indent=2) + "\n"


def secrets_of(value: Any) -> Iterator[str]:
    """The variables that sluice.toml refers to."""
    if isinstance(value, str) and value.startswith(ENV_PREFIX):
        yield value.removeprefix(ENV_PREFIX)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from secrets_of(child)


def check(folder: Path) -> int:
    """The bytes that are uploaded. `ValueError` where that is too much, or something that is none of a Worker's."""
    ours = [file for file in folder.rglob("*.py") if "python_modules" not in file.parts]
    if strays := [str(file) for file in ours if FORBIDDEN.search(file.relative_to(folder).as_posix())]:
        raise ValueError(f"not for a Worker: {', '.join(strays)}")
    wheels = [file for file in WHEELS.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    size = sum(file.stat().st_size for file in [*ours, *wheels])
    if size > MOST_BYTES:
        raise ValueError(f"{folder} is too large: {size} bytes")
    return size


def missing_ids(config: Mapping[str, Any]) -> Iterator[str]:
    """Bindings whose ids are still the placeholders."""
    for each in (*config.get("d1_databases", ()), *config.get("kv_namespaces", ())):
        if is_placeholder(each.get("database_id") or each.get("id", "")):
            yield each["binding"]


def dry_run(folder: Path) -> str:
    """What wrangler says to it. `RuntimeError` where it does not take it."""
    out = folder.with_name(f"{folder.name}.bundle")
    shutil.rmtree(out, ignore_errors=True)
    home = folder.parent
    config = ("--config", str(folder / "wrangler.json"))
    said = toolbox.run_node(toolbox.WRANGLER, "deploy", "--dry-run", "--outdir", str(out), *config, home=home)
    strays = [str(file) for file in out.rglob("*.py") if FORBIDDEN.search(file.relative_to(out).as_posix())]
    if strays := [each for each in strays if "python_modules" not in each]:
        raise RuntimeError(f"wrangler bundles what is none of a Worker's: {', '.join(strays)}")
    return said


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
