"""What is uploaded for a Worker: its entry, the modules that it imports, and nothing else.

wrangler uploads every Python file below the folder of a Worker's entry, so each Worker gets a folder of its own.
"""

import ast
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.adapters.sql.migrations import migrations
from common.http.site import FUNCTIONS as PATHS
from common.targets.cloudflare.crons import cron_of
from common.targets.registry import FUNCTIONS, JOBS, job_of

REPOSITORY: Final = Path(__file__).parents[2]
CONFIGURATION: Final = "configuration"
JOBS_WORKER: Final = "jobs"
_OURS: Final = ("common", "functions")


@dataclass(frozen=True, slots=True)
class Worker:
    """One that is deployed: a function, or all jobs together."""

    name: str
    paths: tuple[str, ...]  # below these, requests are its own
    crons: tuple[str, ...]
    modules: Mapping[str, str]  # of `functions`, and what each exports: `function` or `job`

    @property
    def source(self) -> str:
        """Its entry."""
        imports = [
            f"from functions.{module} import {what} as {module}\n" for module, what in self.modules.items()
        ]
        return (
            "from common.targets.cloudflare.entry import worker\n"
            f"from {CONFIGURATION} import SCHEMA, TEXT\n"
            f"{''.join(imports)}\n"
            f"Default = worker(TEXT, SCHEMA, {', '.join(self.modules)})\n"
        )


def all_workers() -> list[Worker]:
    """Every function's, and the jobs'."""
    workers = [
        Worker(name, tuple(path for path, owner in PATHS.items() if owner == name), (), {name: "function"})
        for name in FUNCTIONS
    ]
    crons = {cron_of(job_of(name).every) for name in JOBS}
    return [*workers, Worker(JOBS_WORKER, (), tuple(sorted(crons)), dict.fromkeys(JOBS, "job"))]


def stage(folder: Path, workers: Mapping[str, Worker], configuration: str) -> None:
    """Fill `folder`: an entry `NAME.py` for each Worker, and what they import. `configuration`: text of sluice.toml."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packaged = f"TEXT = {configuration!r}\nSCHEMA = {migrations()[-1].version}\n"
    (folder / f"{CONFIGURATION}.py").write_text(packaged, "utf-8")
    sources = []
    for name, worker in workers.items():
        (folder / f"{name}.py").write_text(worker.source, "utf-8")
        sources.append(worker.source)
    for file in sorted(_needed(sources)):
        target = folder / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _needed(sources: Sequence[str]) -> set[Path]:
    """Our modules that are imported, anywhere in the text of those that are, with the packages that they are in."""
    files: set[Path] = set()
    to_read = [name for source in sources for name in _imported(source)]
    while to_read:
        parts = to_read.pop().split(".")
        for length in range(1, len(parts) + 1):
            file = _file(parts[:length])
            if file is not None and file not in files:
                files.add(file)
                to_read += _imported(file.read_text("utf-8"))
    return files


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


def wrangler_config(base: Mapping[str, Any], stage_name: str, worker: Worker) -> dict[str, Any]:
    """The Worker's own configuration, explicit in everything. `base`: of its environment, from wrangler.toml."""
    config: dict[str, Any] = {
        key: value for key, value in base.items() if key not in {"env", "name", "routes"}
    }
    hosts = base.get("routes", ())
    routes = [{**host, "pattern": f"{host['pattern']}{path}*"} for host in hosts for path in worker.paths]
    return {
        "name": f"{base['name']}-{worker.name.replace('_', '-')}-{stage_name}",
        "main": "worker.py",
        **config,
        **({"routes": routes} if routes else {}),
        **({"triggers": {"crons": list(worker.crons)}} if worker.crons else {}),
    }
