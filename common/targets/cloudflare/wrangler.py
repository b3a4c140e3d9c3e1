"""What wrangler.toml says of a stage: which database and namespace it has."""

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from common.targets.cloudflare.wiring import DATABASE, NAMESPACE

FILE_NAME: Final = "wrangler.toml"
JOBS_WORKER: Final = "jobs"
TOP: Final = "dev"  # the stage that the top of the file is
_NO_ID: Final = re.compile(r"[0-]*")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a stage keeps what it stores."""

    name: str  # what names of Workers begin with
    account_id: str  # empty where the file leaves that to the environment
    database_id: str
    database_name: str
    namespace_id: str


def environment(stage: str, text: str) -> dict[str, Any]:
    """What the file says of a stage. Bindings are not inherited. `ValueError` where there is no such stage."""
    document = tomllib.loads(text)
    environments = document.pop("env", {})
    if stage == TOP:
        return document
    if stage not in environments:
        raise ValueError(f"{FILE_NAME} has no stage {stage}; there are: {', '.join([TOP, *environments])}.")
    return {**document, **environments[stage]}


def deployment(stage: str, text: str) -> Deployment:
    """Its database and namespace. `ValueError` tells what is missing."""
    section = environment(stage, text)
    database = _binding(section, "d1_databases", DATABASE)
    return Deployment(
        name=section.get("name", ""),
        account_id=section.get("account_id", ""),
        database_id=_known(database.get("database_id", ""), "database_id", stage),
        database_name=database.get("database_name", DATABASE),
        namespace_id=_known(
            _binding(section, "kv_namespaces", NAMESPACE).get("id", ""), "id of the namespace", stage
        ),
    )


def worker_name(name: str, worker: str, stage: str) -> str:
    """What a Worker is deployed as. `name`: of wrangler.toml; `worker`: a function, or `JOBS_WORKER`."""
    return f"{name}-{worker.replace('_', '-')}-{stage}"


def is_placeholder(given: str) -> bool:
    """Whether it is no id, but stands where one is to be put."""
    return _NO_ID.fullmatch(given) is not None


def _binding(section: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found = [each for each in section.get(kind, ()) if each.get("binding") == name]
    if not found:
        raise ValueError(f"{FILE_NAME} has no {kind} with the binding {name}.")
    return dict(found[0])


def _known(given: str, what: str, stage: str) -> str:
    if is_placeholder(given):
        raise ValueError(f"{FILE_NAME} does not have the {what} of the stage {stage} yet.")
    return given
