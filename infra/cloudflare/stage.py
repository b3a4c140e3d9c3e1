"""What is uploaded for a Worker: its entry, the modules that it imports, and nothing else.

wrangler uploads every Python file below the folder of a Worker's entry, so each Worker gets a folder of its own.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.adapters.sql.migrations import migrations
from common.http.site import FUNCTIONS as PATHS
from common.targets.cloudflare.crons import cron_of
from common.targets.cloudflare.wrangler import JOBS_WORKER, worker_name
from common.targets.registry import FUNCTIONS, JOBS, job_of
from infra.modules import needed

REPOSITORY: Final = Path(__file__).parents[2]
CONFIGURATION: Final = "configuration"


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
            f"from {CONFIGURATION} import CATALOG, SCHEMA, TEXT\n"
            f"{''.join(imports)}\n"
            f"Default = worker(TEXT, CATALOG, SCHEMA, {', '.join(self.modules)})\n"
        )


def all_workers() -> list[Worker]:
    """Every function's, and the jobs'."""
    workers = [
        Worker(name, tuple(path for path, owner in PATHS.items() if owner == name), (), {name: "function"})
        for name in FUNCTIONS
    ]
    crons = {cron_of(job_of(name).every) for name in JOBS}
    return [*workers, Worker(JOBS_WORKER, (), tuple(sorted(crons)), dict.fromkeys(JOBS, "job"))]


def stage(folder: Path, workers: Mapping[str, Worker], configuration: str, catalog: str) -> None:
    """Fill `folder`: an entry `NAME.py` for each Worker, and what they import.

    `configuration`: text of sluice.toml. `catalog`: of the operator's own, where there is one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packaged = f"TEXT = {configuration!r}\nCATALOG = {catalog!r}\nSCHEMA = {migrations()[-1].version}\n"
    (folder / f"{CONFIGURATION}.py").write_text(packaged, "utf-8")
    sources = []
    for name, worker in workers.items():
        (folder / f"{name}.py").write_text(worker.source, "utf-8")
        sources.append(worker.source)
    for file in sorted(file for file in needed(sources) if file.suffix == ".py"):
        target = folder / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def wrangler_config(base: Mapping[str, Any], stage_name: str, worker: Worker) -> dict[str, Any]:
    """The Worker's own configuration, explicit in everything. `base`: of its environment, from wrangler.toml."""
    config: dict[str, Any] = {
        key: value for key, value in base.items() if key not in {"env", "name", "routes"}
    }
    hosts = base.get("routes", ())
    routes = [{**host, "pattern": f"{host['pattern']}{path}*"} for host in hosts for path in worker.paths]
    return {
        "name": worker_name(base["name"], worker.name, stage_name),
        "main": "worker.py",
        **config,
        **({"routes": routes} if routes else {}),
        **({"triggers": {"crons": list(worker.crons)}} if worker.crons else {}),
    }
