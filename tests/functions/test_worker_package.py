"""What is uploaded for a Worker, and wrangler's word on it."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from common.adapters.sql.migrations import FOLDER, migrations
from common.http.site import FUNCTIONS
from common.metering.rows import Rows
from common.ports import (
    Background,
    BreakerStore,
    Clock,
    DeadLetters,
    KeyStore,
    LetterBox,
    Meter,
    Upstream,
    UsageStore,
    UserStore,
)
from common.targets.cloudflare.wiring import DATABASE, NAMESPACE
from common.targets.cloudflare.wrangler import JOBS_WORKER, environment
from common.targets.registry import function_of, job_of
from infra.cloudflare.package import (
    STAGES,
    check,
    dry_run,
    main,
    missing_ids,
    package,
    secrets_of,
    wrangler_toml,
)
from infra.cloudflare.stage import REPOSITORY, Worker, all_workers, wrangler_config
from tests.edge import toolbox

CONFIGURATION = (REPOSITORY / "sluice.example.toml").read_text("utf-8")
WORKERS = {worker.name: worker for worker in all_workers()}
# what stands behind a port on Workers
BINDINGS: Mapping[type, set[str]] = {
    KeyStore: {DATABASE, NAMESPACE},
    UserStore: {DATABASE},
    Meter: {DATABASE},
    Rows: {DATABASE},
    UsageStore: {DATABASE},
    DeadLetters: {NAMESPACE},
    LetterBox: {NAMESPACE},
    BreakerStore: {NAMESPACE},
    Upstream: set(),
    Background: set(),
    Clock: set(),
}


def config_of(stage: str, worker: Worker, **more: Any) -> dict[str, Any]:
    """The generated one, where wrangler.toml says so much more."""
    return wrangler_config({**environment(stage, wrangler_toml()), **more}, stage, worker)


def test_every_function_is_a_worker() -> None:
    """Each function that has a path is deployed, and all jobs together, at their times."""
    assert set(FUNCTIONS.values()) <= set(WORKERS)
    assert {path for worker in WORKERS.values() for path in worker.paths} == set(FUNCTIONS)
    assert WORKERS[JOBS_WORKER].modules.keys() >= {"repair", "sweep"}
    assert set(WORKERS[JOBS_WORKER].crons) >= {"*/10 * * * *", "0 * * * *"}


@pytest.mark.parametrize("stage", STAGES)
def test_configuration(stage: str) -> None:
    """Each environment has both bindings, no secret, and a name for each Worker that is its own."""
    configs = [config_of(stage, worker) for worker in WORKERS.values()]
    assert len({config["name"] for config in configs}) == len(configs)
    for config in configs:
        assert config["name"].endswith(f"-{stage}")
        assert [each["binding"] for each in config["d1_databases"]] == ["DB"]
        assert config["d1_databases"][0]["database_name"].endswith(stage)
        assert [each["binding"] for each in config["kv_namespaces"]] == ["KV"]
        assert {"python_workers", "enable_request_signal"} <= set(config["compatibility_flags"])
        assert "env" not in config


@pytest.mark.parametrize("name", WORKERS)
def test_bindings_are_those_that_are_needed(name: str) -> None:
    """A Worker's bindings are those of the ports that its function, or its jobs, say that they need."""
    worker = WORKERS[name]
    needs = {
        port
        for module, what in worker.modules.items()
        for port in (job_of(module) if what == "job" else function_of(module)).needs
    }
    config = config_of("staging", worker)
    bound = {each["binding"] for kind in ("d1_databases", "kv_namespaces") for each in config[kind]}
    assert bound == {binding for port in needs for binding in BINDINGS[port]}


def test_routes() -> None:
    """A host of wrangler.toml becomes a route for each of a Worker's paths; jobs have none, but triggers."""
    hosts = [{"pattern": "llm.example.com", "zone_name": "example.com"}]
    chat = config_of("staging", WORKERS["chat_completions"], routes=hosts)
    assert chat["routes"] == [
        {"pattern": f"llm.example.com{path}*", "zone_name": "example.com"}
        for path in WORKERS["chat_completions"].paths
    ]
    jobs = config_of("staging", WORKERS[JOBS_WORKER], routes=hosts)
    assert "routes" not in jobs
    assert jobs["triggers"]["crons"]


def test_secrets() -> None:
    """The variables that the configuration refers to are required of a deployment, wherever they stand."""
    document = {"a": {"api_key": ["env:ONE", "env:TWO"]}, "b": "environment", "c": [{"d": "env:THREE"}]}
    assert list(secrets_of(document)) == ["ONE", "TWO", "THREE"]


def test_plain_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What wrangler.toml has as a variable is not required as a secret, too, which wrangler would refuse."""
    text = f'{wrangler_toml()}\n[vars]\nOPENROUTER_API_KEY = "on-loopback"\n'
    monkeypatch.setattr("infra.cloudflare.package.wrangler_toml", lambda: text)
    folder = tmp_path / "health"
    config = package(folder, "staging", WORKERS["health"], CONFIGURATION)
    assert (config["vars"], config.get("secrets")) == ({"OPENROUTER_API_KEY": "on-loopback"}, None)
    assert "env.OPENROUTER_API_KEY" in dry_run(folder)


def test_missing_ids() -> None:
    """Placeholders are told; an id is not."""
    config = {
        "d1_databases": [{"binding": "DB", "database_id": "0000-00"}],
        "kv_namespaces": [{"binding": "KV", "id": "a1"}],
    }
    assert list(missing_ids(config)) == ["DB"]


def test_no_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without a configuration there is nothing to package, and a line says what to do."""
    assert main(["--config", str(tmp_path / "absent.toml")]) == 2
    assert "copy sluice.example.toml" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["chat_completions", JOBS_WORKER])
def test_bundle(tmp_path: Path, name: str) -> None:
    """A bundle has its function and what that imports, no other target's code and no tests; wrangler takes it."""
    folder = tmp_path / name
    config = package(folder, "dev", WORKERS[name], CONFIGURATION, "a catalog")
    assert json.loads((folder / "wrangler.json").read_text()) == config
    assert config["secrets"] == {"required": ["OPENROUTER_API_KEY"]}
    assert 0 < check(folder) < 20 * 2**20
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*.py")}
    assert {
        "worker.py",
        "common/adapters/sql/d1.py",
        *(f"functions/{each}.py" for each in WORKERS[name].modules),
    } <= files
    assert not [
        file
        for file in files
        if file.startswith("functions/") and Path(file).stem not in (*WORKERS[name].modules, "__init__")
    ]
    packaged = ast.parse((folder / "configuration.py").read_text())
    values = [ast.literal_eval(node.value) for node in packaged.body if isinstance(node, ast.Assign)]
    assert values == [CONFIGURATION, "a catalog", migrations()[-1].version]
    said = dry_run(folder)
    assert "env.DB" in said
    assert "env.KV" in said
    bundled = {file.name for file in folder.with_name(f"{name}.bundle").rglob("*.py")}
    assert {"worker.py", "d1.py", "exchange.py"} <= bundled


def test_strays_are_seen(tmp_path: Path) -> None:
    """What is none of a Worker's is not packaged in silence."""
    folder = tmp_path / "health"
    package(folder, "dev", WORKERS["health"], CONFIGURATION)
    (folder / "tests").mkdir()
    (folder / "tests" / "x.py").touch()
    with pytest.raises(ValueError, match="not for a Worker"):
        check(folder)


def test_migrations(tmp_path: Path) -> None:
    """By wrangler.toml itself, wrangler finds the migrations of an environment's database."""
    state = (
        "--local",
        "--persist-to",
        str(tmp_path / "state"),
        "--config",
        str(REPOSITORY / "wrangler.toml"),
    )
    said = toolbox.run_node(
        toolbox.WRANGLER,
        "d1",
        "migrations",
        "apply",
        "sluice-staging",
        "--env",
        "staging",
        *state,
        home=tmp_path,
    )
    assert all(file.name in said for file in FOLDER.glob("*.sql"))
