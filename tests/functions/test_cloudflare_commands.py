"""`sluice keys`, `users`, `usage` and `jobs` on a stage on Cloudflare: the installed program, its HTTP API imitated."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from common.access.api_key import hash_key
from common.adapters.clock import SystemClock
from common.adapters.cloudflare.kv import KvDeadLetters, KvKeyStore
from common.adapters.sql.d1_http import HttpD1
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.rows import SqlRows
from common.adapters.sql.usage import SqlUsageStore
from common.adapters.sql.users import SqlUserStore
from common.model.ids import UserId
from common.model.limits import Limit, Limits
from common.targets.cloudflare.wrangler import JOBS_WORKER, worker_name
from common.targets.registry import FUNCTIONS
from tests.support.cloudflare_api import (
    ACCOUNT,
    TOKEN,
    WRANGLER,
    CloudflareApi,
    Refused,
    open_api,
    open_stores,
)
from tests.support.metered import NOON, Instance, World, principal
from tests.support.records import usage_record
from tests.support.sluice import Ended, run

SETTINGS: Final = """
[providers.one]
kind = "openai"
base_url = "https://llm.example.com/v1"
[models.demo]
targets = ["one/demo"]
"""


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at a terminal, in a folder with the deployment's files."""

    folder: Path
    variables: Mapping[str, str]

    async def run(self, *words: str, stage: str = "dev") -> Ended:
        """Run a command."""
        return await run(self.folder, *words, "--target", "cloudflare", "--stage", stage, **self.variables)

    async def json(self, *words: str) -> Any:
        """Run one with `--json`; what it prints."""
        ended = await self.run(*words, "--json")
        assert (ended.status, ended.stderr) == (0, "")
        return json.loads(ended.stdout)

    async def told(self, *words: str, stage: str = "dev") -> str:
        """What one says that fails: one line."""
        ended = await self.run(*words, stage=stage)
        assert (ended.status, ended.stdout) == (1, "")
        (line,) = ended.stderr.splitlines()
        return line


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what whoever runs the tests has set."""
    for name in list(os.environ):
        if name.startswith("CLOUDFLARE_"):
            monkeypatch.delenv(name)


@pytest.fixture
async def api() -> AsyncIterator[CloudflareApi]:
    """With a database that is migrated."""
    async with open_api() as opened:
        yield opened


@pytest.fixture
async def database(api: CloudflareApi) -> AsyncIterator[HttpD1]:
    """As others see it."""
    async with open_stores(api) as (database, _):
        yield database


@pytest.fixture
def operator(api: CloudflareApi, tmp_path: Path) -> Operator:
    """Of that account."""
    return at(api, tmp_path)


def at(api: CloudflareApi, folder: Path) -> Operator:
    """Somebody whose tools go to this API."""
    (folder / "wrangler.toml").write_text(WRANGLER)
    (folder / "sluice.toml").write_text(SETTINGS)
    variables = {"CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ACCOUNT_ID": ACCOUNT}
    return Operator(folder, variables | {"CLOUDFLARE_API_BASE_URL": api.url})


def instance(database: HttpD1, age_s: int = 0) -> Instance:
    """A Worker that did what it does so long ago."""
    return World(SqlRows(database)).instance(skew_ms=SystemClock().now_ms() - age_s * 1000 - NOON)


# -- commands ----------------------------------------------------------------------------------------------------------


async def test_keys(api: CloudflareApi, database: HttpD1, operator: Operator) -> None:
    """A key is made, shown, listed, changed, rotated, disabled and deleted in D1."""
    made = await operator.json("keys", "create", "--user", "ada", "--budget-month", "5")
    keys = SqlKeyStore(database)
    record = await keys.get(made["id"])
    assert record is not None
    assert (record.key_hash, record.overrides) == (hash_key(made["key"]), {Limit.BUDGET_MONTH: 5 * 10**9})
    assert (await operator.json("keys", "show", made["id"]))["user"] == "ada"
    await operator.json("keys", "create", "--user", "bob")
    assert [each["id"] for each in await operator.json("keys", "list", "--user", "ada")] == [made["id"]]
    await operator.json("keys", "set", made["id"], "--name", "laptop")
    await operator.json("keys", "rotate", made["id"])
    await operator.json("keys", "disable", made["id"])
    record = await keys.get(made["id"])
    assert record is not None
    assert (record.name, record.disabled, record.version) == ("laptop", True, 4)
    assert (await operator.run("keys", "delete", made["id"])).status == 0
    assert (await operator.told("keys", "show", made["id"])).startswith("Error: There is no key")
    assert [each.user for each in await keys.list()] == ["bob"]
    assert api.values == {}


async def test_disabling_takes_the_copy_away(api: CloudflareApi, operator: Operator) -> None:
    """A key that Workers have a copy of in KV loses it with the command that disables it."""
    made = await operator.json("keys", "create", "--user", "ada")
    async with open_stores(api) as (database, namespace):
        found = await KvKeyStore(SqlKeyStore(database), namespace, SystemClock()).find(hash_key(made["key"]))
        assert found is not None
        copy = f"key:{found.key_hash.hex()}"
        await namespace.put(copy, "as a Worker did", expires_s=60)
    await operator.json("keys", "disable", made["id"])
    assert copy not in api.values


async def test_copy_that_stays(api: CloudflareApi, operator: Operator) -> None:
    """Where KV does not take the change, D1 has it, and a line says that Workers may see it later."""
    made = await operator.json("keys", "create", "--user", "ada")
    api.fault = lambda: (
        Refused("403 Forbidden", 10000, "Authentication error") if "/kv/" in api.calls[-1] else None
    )
    ended = await operator.run("keys", "disable", made["id"])
    assert (ended.status, ended.stdout[:9]) == (0, "Disabled.")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(
        "Warning: KV failed: a key that was changed may be good a little longer (403: 10000"
    )


async def test_users(database: HttpD1, operator: Operator) -> None:
    """A user's limits are set in D1, changed, and listed."""
    await operator.json("users", "set", "ada", "--max-parallel", "2")
    await operator.json("users", "set", "ada", "--budget-day", "1")
    record = await SqlUserStore(database).find(UserId("ada"))
    assert record is not None
    assert record.overrides == {Limit.MAX_PARALLEL: 2, Limit.BUDGET_DAY: 10**9}
    assert [each["user"] for each in await operator.json("users", "list")] == ["ada"]


async def test_usage(database: HttpD1, operator: Operator) -> None:
    """What requests used is summed, shown one by one, and held against the meter's rows."""
    one = instance(database)
    await one.settle(await one.admit(principal(Limits(budget_day=100)), cost=50), cost=30)
    (row,) = await operator.json("usage", "--by", "user")
    assert row["requests"] == 1
    assert [each["verdict"] for each in await operator.json("usage", "verify")] == ["right"]


async def test_jobs(api: CloudflareApi, database: HttpD1, operator: Operator) -> None:
    """Jobs run from here: an expired hold is booked, and a dead letter in KV is settled."""
    await instance(database, age_s=3_600).admit(principal(Limits(budget_day=100)), cost=50)
    assert await operator.json("jobs", "run", "sweep") == {"booked as spent": 1}
    async with open_stores(api) as (_, namespace):
        await KvDeadLetters(namespace).put(usage_record(1))
    assert await operator.json("jobs", "run", "repair") == {"settled": 1, "left": 0}
    assert api.values == {}
    assert await SqlUsageStore(database).find(usage_record(1).request_id) == usage_record(1)


# -- doctor ------------------------------------------------------------------------------------------------------------


async def doctor(operator: Operator) -> dict[str, tuple[str, str]]:
    """State and words of each check but those of providers."""
    ended = await operator.run("doctor", "--json")
    checks = json.loads(ended.stdout)["checks"]
    return {each["check"]: (each["state"], each["said"]) for each in checks if "one" not in each["check"]}


async def test_doctor(api: CloudflareApi, operator: Operator) -> None:
    """The doctor looks at D1, KV, and which Workers there are."""
    api.workers = [worker_name("sluice", name, "dev") for name in (*FUNCTIONS, JOBS_WORKER)]
    checks = await doctor(operator)
    assert checks["storage"] == ("ok", "D1's sluice-dev can be written.")
    assert checks["namespace"] == ("ok", "KV can be written.")
    assert checks["breakers"] == ("ok", "All breakers are closed.")
    assert checks["workers"] == ("ok", f"All {len(api.workers)} are deployed.")
    assert api.values == {}


async def test_doctor_before_a_deployment(api: CloudflareApi, operator: Operator) -> None:
    """Workers that are missing are named; where they may not be listed, that fails nothing."""
    api.workers = [worker_name("sluice", name, "dev") for name in FUNCTIONS]
    assert (await doctor(operator))["workers"] == ("failed", "Not deployed: sluice-jobs-dev.")
    no = Refused("403 Forbidden", 10000, "Authentication error")
    api.fault = lambda: no if "/workers/" in api.calls[-1] else None
    state, said = (await doctor(operator))["workers"]
    assert (state, said[:24]) == ("unknown", "They cannot be listed (4")


async def test_doctor_without_kv(api: CloudflareApi, operator: Operator) -> None:
    """A token that may not write KV is told."""
    no = Refused("403 Forbidden", 10000, "Authentication error")
    api.fault = lambda: no if "/kv/" in api.calls[-1] else None
    checks = await doctor(operator)
    assert checks["namespace"][0] == "failed"
    assert checks["breakers"][0] == "unknown"
    assert checks["storage"][0] == "ok"


async def test_doctor_without_a_deployment(operator: Operator) -> None:
    """Where wrangler.toml has no ids yet, the doctor says so."""
    (operator.folder / "wrangler.toml").unlink()
    assert (await doctor(operator))["deployment"][0] == "failed"


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param([], "name the stage with --stage", id="no stage"),
        pytest.param(["--stage", "dev", "--data", "x"], "--data is a folder of this machine", id="a folder"),
    ],
)
async def test_used_wrongly(tmp_path: Path, words: list[str], told: str) -> None:
    """What does not go together is a mistake of whoever calls, with status 2."""
    ended = await run(tmp_path, "keys", "list", "--target", "cloudflare", *words)
    assert (ended.status, ended.stdout) == (2, "")
    assert told in ended.stderr


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("CLOUDFLARE_API_TOKEN", "There is no API token: set CLOUDFLARE_API_TOKEN."),
        (
            "CLOUDFLARE_ACCOUNT_ID",
            "No account is named: set CLOUDFLARE_ACCOUNT_ID, or account_id in wrangler",
        ),
    ],
)
async def test_no_way_in(operator: Operator, without: str, told: str) -> None:
    """What is missing on this machine is told in one line, with what to do."""
    variables = {name: value for name, value in operator.variables.items() if name != without}
    assert told in await Operator(operator.folder, variables).told("keys", "list")


@pytest.mark.parametrize(
    ("wrangler", "stage", "told"),
    [
        pytest.param(None, "dev", "No such file", id="no file"),
        pytest.param(WRANGLER, "staging", "has no stage staging; there are: dev.", id="no stage"),
        pytest.param("[[x", "dev", "Run this where wrangler.toml is", id="no TOML"),
        pytest.param("name = 'sluice'", "dev", "has no d1_databases with the binding DB", id="no database"),
        pytest.param(
            WRANGLER.replace('"d1"', '"00000000-0000"'), "dev", "does not have the database_id", id="no id"
        ),
    ],
)
async def test_no_deployment(operator: Operator, wrangler: str | None, stage: str, told: str) -> None:
    """What wrangler.toml lacks is told."""
    file = operator.folder / "wrangler.toml"
    file.write_text(wrangler or "")
    if wrangler is None:
        file.unlink()
    assert told in await operator.told("keys", "list", stage=stage)


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        (
            Refused("403 Forbidden", 10000, "Authentication error"),
            "Cloudflare does not take CLOUDFLARE_API_TOKEN",
        ),
        (
            Refused("400 Bad Request", 9109, "Invalid access token"),
            "Cloudflare does not take CLOUDFLARE_API_TOKEN",
        ),
        (Refused("404 Not Found", 7404, "not found"), "There is no database sluice-dev with that id"),
        (Refused("429 Too Many Requests", 971, "throttle"), "Cloudflare takes 1,200 calls in five minutes."),
        (Refused("500 Internal Server Error", 7500, "internal error"), "sluice-dev cannot be used."),
    ],
)
async def test_refused(api: CloudflareApi, operator: Operator, refused: Refused, told: str) -> None:
    """What Cloudflare refuses is told in one line, with what to do and its own words."""
    api.fault = lambda: refused
    line = await operator.told("keys", "list")
    assert line.startswith(f"Error: {told}")
    assert line.endswith(f" {refused})")


async def test_nobody_there(operator: Operator) -> None:
    """An API that cannot be reached is told with its address."""
    variables = {**operator.variables, "CLOUDFLARE_API_BASE_URL": "http://127.0.0.1:1"}
    line = await Operator(operator.folder, variables).told("keys", "list")
    assert line.startswith("Error: http://127.0.0.1:1 cannot be reached.")


async def test_not_migrated(tmp_path: Path) -> None:
    """A database without its tables is told with the command that makes them."""
    async with open_api(migrated=False) as api:
        line = await at(api, tmp_path).told("keys", "list")
    assert "`wrangler d1 migrations apply sluice-dev" in line
