"""What is uploaded for each function on AWS: it starts from there alone, and is the same whenever it is made."""

import asyncio
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Final

import httpx2
import openai
import pytest

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.model.ids import KeyId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord
from common.model.usage import Outcome
from common.settings.catalog import CATALOG_NAME
from common.targets.registry import FUNCTIONS, JOBS
from infra.aws import package as packaging
from infra.aws.artifact import DEPLOYED, WRAPPER, ours
from infra.aws.package import Artifact, check, loadable, main, package, references
from infra.aws.python import TAG, interpreter
from infra.modules import needed
from tests.support import answers
from tests.support.dynamodb import moto, open_dynamo
from tests.support.emulator import emulated
from tests.support.origin import Exchange, origin

CONFIGURATION: Final = """
[providers.one]
kind = "openai"
base_url = "https://llm.example.com/v1"
api_key = ["ssm:/sluice/one", "secretsmanager:sluice/two"]
[models.demo]
targets = ["one/demo"]
"""
KEY: Final = new_key(bytes(range(RANDOM_BYTES)))
RECORD: Final = KeyRecord(
    id=KeyId("key_0"),
    key_hash=hash_key(KEY),
    user=UserId("ada"),
    name="test",
    permissions=DEFAULT_PERMISSIONS,
    created_ms=1,
)
VARIABLES: Final = {"SLUICE_TABLE": "sluice", "AWS_REGION": "eu-west-1"}
STRAYS: Final = (
    "tests/",
    "common/cli/",
    "common/targets/aws/emulator/",
    "common/targets/cloudflare/",
    "boto",
    "bin/",
)
UNCHECKED_HASH: Final = 1  # PEP 552
START: Final = """
import json, os, sys
sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"]]
from common.targets.aws import compiled

taken = []
def run(code, names, made):
    taken.append(not isinstance(code, str))
    exec(code, names, made)

vars(compiled)["exec"] = run
compiled.use()
from common.targets.aws.bootstrap import load
load(sys.argv[1])
print(json.dumps([sorted({name.partition(".")[0] for name in sys.modules}), taken]))
"""


@pytest.fixture(scope="module")
def python() -> str:
    """Lambda's version; without it there is nothing to test."""
    try:
        return interpreter(None, os.environ)
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose secrets AWS keeps."""
    file = tmp_path_factory.mktemp("config") / "sluice.toml"
    file.write_text(CONFIGURATION)
    return file


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packages are made."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def artifacts(build: Path, config: Path, python: str) -> dict[str, Artifact]:
    """Made once, by name."""
    return {artifact.name: artifact for artifact in package(build, config, python)}


@pytest.fixture(scope="module")
def unzipped(artifacts: dict[str, Artifact], build: Path) -> dict[str, Path]:
    """The packages' folders, as this machine can load them."""
    return {artifact.name: folder for artifact, folder in loadable(list(artifacts.values()), build)}


def test_two_runs_make_the_same_bytes(
    artifacts: dict[str, Artifact], build: Path, config: Path, python: str, tmp_path: Path
) -> None:
    """In another folder, from files with other times."""
    again = tmp_path / "elsewhere" / "build"
    for wheels in (".wheels", ".here"):
        shutil.copytree(build / wheels, again / wheels, copy_function=shutil.copyfile)
    for artifact in package(again, config, python):
        assert artifact.archive.read_bytes() == artifacts[artifact.name].archive.read_bytes()


@pytest.mark.parametrize("name", DEPLOYED)
def test_package_has_what_the_function_needs_and_no_more(artifacts: dict[str, Artifact], name: str) -> None:
    """Its own module alone, the wrapper, the configuration; for Lambda's processor; of a bounded size."""
    with zipfile.ZipFile(artifacts[name].archive) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        assert archive.read("sluice.toml").decode() == CONFIGURATION
    modules = {
        Path(place).stem for place in entries if place.startswith("functions/") and place.endswith(".py")
    }
    assert modules == {"__init__", name}
    assert not [place for place in entries if place.startswith(STRAYS)]
    modes = {place: info.external_attr >> 16 & 0o777 for place, info in entries.items()}
    assert modes.pop(WRAPPER) == 0o755
    assert set(modes.values()) == {0o644}
    compiled = [place for place in entries if ".so" in Path(place).suffixes]
    assert compiled
    assert all("aarch64" in place for place in compiled)
    assert sum(info.file_size for info in entries.values()) == artifacts[name].size <= 25 * 2**20


def test_bytecode_is_shipped_for_every_module(artifacts: dict[str, Artifact]) -> None:
    """Not checked against the sources, and with the paths that tracebacks tell on Lambda."""
    with zipfile.ZipFile(artifacts["health"].archive) as archive:
        places = set(archive.namelist())
        sources = [place for place in places if place.endswith(".py")]
        for source in sources:
            folder, slash, name = source.rpartition("/")
            place = f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.{TAG}.pyc"
            bytecode = archive.read(place)
            assert int.from_bytes(bytecode[4:8], "little") == UNCHECKED_HASH
            assert f"/var/task/{source}".encode() in bytecode
    assert len(sources) > 100


@pytest.mark.parametrize("name", DEPLOYED)
def test_function_starts_from_its_package_alone(unzipped: dict[str, Path], python: str, name: str) -> None:
    """On Lambda's version of Python, with nothing else installed; no cloud SDK and no Mangum is loaded for it.

    The code of every dataclass comes with the package.
    """
    done = subprocess.run(
        [python, "-I", "-c", START, f"common.targets.aws.entry.{name}"],
        env={**VARIABLES, "LAMBDA_TASK_ROOT": str(unzipped[name])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded, taken = json.loads(done.stdout)
    assert {"fastapi", "common"} <= set(loaded)
    assert {"boto3", "botocore", "mangum", "uvloop"}.isdisjoint(loaded)
    assert len(taken) > 100
    assert all(taken)


async def test_requests_are_answered_from_a_package(unzipped: dict[str, Path], python: str) -> None:
    """The real wrapper starts the real runtime, in the package's folder, and a client is answered."""
    folder = unzipped["health"]
    wrapper = (str(folder / WRAPPER), python)
    (folder / WRAPPER).chmod(0o755)
    variables = {**VARIABLES, "PYTHONPATH": ""}
    async with (
        emulated(
            "common.targets.aws.entry.health", variables=variables, folder=folder, command=wrapper
        ) as lambda_,
        httpx2.AsyncClient(base_url=lambda_.url) as client,
    ):
        answer = await client.get("/health")
        absent = await client.get("/v1/models")
        log = lambda_.log
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert (absent.status_code, absent.json()["error"]["type"]) == (404, "invalid_request_error")
    assert "Traceback" not in log


async def test_chat_streams_from_its_package(unzipped: dict[str, Path], python: str) -> None:
    """The official client reads the first piece before the provider sends the last; what was used is in the table."""
    folder, go_on = unzipped["chat_completions"], asyncio.Event()
    role, first, *rest, usage, done = answers.stream("Hel", "lo")

    async def provider_says(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        await exchange.send(head, role + first)
        await go_on.wait()
        await exchange.send(*rest, usage, done)
        exchange.close()

    async with open_dynamo(moto()) as store, origin(provider_says) as provider:
        await store.keys().create(RECORD)
        without_keys = "\n".join(line for line in CONFIGURATION.splitlines() if "api_key" not in line)
        (folder / "sluice.toml").write_text(without_keys.replace("https://llm.example.com", provider.url))
        variables = {"PYTHONPATH": "", "SLUICE_TABLE": store.table, "SLUICE_DYNAMODB_ENDPOINT": store.url}
        (folder / WRAPPER).chmod(0o755)
        wrapper = (str(folder / WRAPPER), python)
        handler = "common.targets.aws.entry.chat_completions"
        async with (
            emulated(handler, variables=variables, folder=folder, command=wrapper) as lambda_,
            openai.AsyncOpenAI(api_key=KEY, base_url=f"{lambda_.url}/v1", max_retries=0) as client,
        ):
            stream = await client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            text = (await anext(stream)).choices[0].delta.content or ""
            go_on.set()
            text += "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            await lambda_.is_quiet()
            [record] = await store.records()
    assert (text, record.outcome, record.tokens.output) == ("Hello", Outcome.OK, 2)


async def test_a_package_answers_its_edge_alone(unzipped: dict[str, Path], python: str) -> None:
    """Where a secret is configured, a caller without it is refused in OpenAI's shape; either of two secrets will do."""
    variables = {**VARIABLES, "PYTHONPATH": "", "SLUICE_ORIGIN_SECRETS": "new old"}
    async with (
        emulated(
            "common.targets.aws.entry.health",
            variables=variables,
            folder=unzipped["health"],
            command=(python, "-m", "common.targets.aws"),
        ) as lambda_,
        httpx2.AsyncClient(base_url=lambda_.url) as client,
    ):
        statuses = [
            (await client.get("/health", headers={"x-sluice-origin": secret})).status_code
            for secret in ("new", "old", "ne", "new old", "")
        ]
        refused = await client.get("/health")
    assert statuses == [200, 200, 403, 403, 403]
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_the_base_url")


def test_what_is_too_large_is_not_packaged(
    build: Path, config: Path, python: str, artifacts: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound that grew by accident would be noticed at a cold start, or never."""
    monkeypatch.setattr(packaging, "DEPLOYED", ("health",))
    monkeypatch.setattr(packaging, "MOST_BYTES", artifacts["health"].size // 2)
    with pytest.raises(ValueError, match="is too large"):
        package(build, config, python)


# -- without packaging -------------------------------------------------------------------------------------------------


def test_what_cannot_run_here_is_left_out() -> None:
    """Every function, and the jobs but for the one that takes in letters, which are laid down in the log."""
    assert set(DEPLOYED) == {*FUNCTIONS, *JOBS} - {"repair"}


def test_modules_are_found_wherever_they_are_imported(config: Path) -> None:
    """Also those that are imported late, with the packages that they are in."""
    places = set(ours("health", config))
    late = "common/http/readiness.py"  # inside a function
    assert {late, "common/http/__init__.py", "functions/health.py", "functions/__init__.py"} <= places
    assert "functions/keys.py" not in places
    names = {file.name for file in needed(["from common.model import ids"])}
    assert {"ids.py", "__init__.py"} <= names
    assert "money.py" not in names


def test_a_catalog_beside_the_configuration_is_packaged(config: Path, tmp_path: Path) -> None:
    """Where there is one; `sluice.toml` has its name whatever the file is called here."""
    mine = tmp_path / "mine.toml"
    shutil.copyfile(config, mine)
    assert ours("health", mine)["sluice.toml"] == mine
    assert CATALOG_NAME not in ours("health", mine)
    (tmp_path / CATALOG_NAME).touch()
    assert ours("health", mine)[CATALOG_NAME] == tmp_path / CATALOG_NAME


def test_references_are_found_wherever_they_stand() -> None:
    """In lists and tables; variables are none."""
    document = {"a": {"api_key": ["ssm:/one", "env:TWO"]}, "b": "text", "c": [{"d": "secretsmanager:three"}]}
    assert references(document) == {"ssm:/one", "secretsmanager:three"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CONFIGURATION.replace("ssm:/sluice/one", "env:ONE_KEY"), "ONE_KEY"),
        (CONFIGURATION.replace("one/demo", "two/demo"), "two"),
        ('[providers.local]\nkind = "embedded"\n[models.demo]\ntargets = ["local/demo"]', "one machine"),
    ],
    ids=["a variable", "a mistake", "the embedded model"],
)
def test_what_would_not_start_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """Before anything is built, with what is to be changed: functions have no variables of the operator's."""
    file = tmp_path / "sluice.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"(?s)secrets are kept in SSM.*{told}"):
        check(file)


def test_a_good_configuration_passes(config: Path) -> None:
    """Secrets that AWS keeps need not be there."""
    check(config)


def test_no_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line says what to do."""
    assert main(["--config", str(tmp_path / "absent.toml")]) == 1
    assert "copy sluice.example.toml" in capsys.readouterr().err


def test_another_version_of_python_is_refused(tmp_path: Path) -> None:
    """Its bytecode would not be Lambda's. One that stands on the path and does not work is passed over."""
    broken = tmp_path / "python3.13"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    environ = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path / "none")}
    with pytest.raises(LookupError, match=r"missing: Python 3\.13"):
        interpreter(None, environ)
    with pytest.raises(LookupError):
        interpreter(os.devnull, environ)
