"""`make package-aws`: for each function on Lambda, what is deployed, below build/aws; its size, its time to start.

    .venv/bin/python -m infra.aws.package [--config sluice.toml] [--build build/aws] [--python python3.13]

It needs no account, no Docker and no arm64 machine: pip takes Lambda's wheels from the lock, and bytecode is the same
on all machines. The platform could not keep bytecode of its own: `/var/task` is not to be written to.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.settings import FILE_NAME, SettingsError
from common.settings.references import SECRETS_MANAGER_PREFIX, SSM_PREFIX, is_kept_elsewhere
from common.targets.aws.root import TABLE, read_settings
from infra.aws import imports
from infra.aws.artifact import DEPLOYED, configured, installed, ours, write
from infra.aws.classes import COMPILED, compile_classes
from infra.aws.python import VERSION, bytecode_of, compile_tree, interpreter
from infra.modules import REPOSITORY

BUILD: Final = REPOSITORY / "build" / "aws"
LOCK: Final = REPOSITORY / "infra" / "requirements" / "aws.txt"
SECRETS: Final = "secrets.json"
SCHEDULED: Final = "scheduled.json"
READERS: Final = ("ChatRole", "ProbeRole", "ReconcileRole")  # of functions that ask providers
MOST_BYTES: Final = 25 * 2**20  # of a function, unzipped
_TASK_ROOT: Final = "/var/task"
_START: Final = ("common.targets.aws.bootstrap", "common.targets.aws.entry")
_VARIABLES: Final = {TABLE: "sluice", "AWS_REGION": "us-east-1"}
# Amazon Linux 2023 has glibc 2.34
_LAMBDA: Final = ("--platform", "manylinux2014_aarch64", "--platform", "manylinux_2_28_aarch64")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One that is made. `size`: its bytes, unzipped."""

    name: str
    archive: Path
    size: int


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="package", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, default=REPOSITORY / FILE_NAME)
    parser.add_argument("--build", type=Path, default=BUILD)
    parser.add_argument("--python", help=f"a Python {VERSION}; else the one that is found")
    chosen = parser.parse_args(arguments)
    try:
        check(chosen.config)
        python = interpreter(chosen.python, os.environ)
        artifacts = package(chosen.build, chosen.config, python)
    except (LookupError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    show(artifacts, chosen.build, python)
    return 0


def check(config: Path) -> None:
    """`ValueError` tells what would keep functions from starting."""
    if not config.is_file():
        raise ValueError(f"There is no {config}: copy sluice.example.toml, or name another with CONFIG=.")
    with tempfile.TemporaryDirectory() as folder:
        for place, file in configured(config).items():
            shutil.copyfile(file, Path(folder, place))
        try:
            read_settings(Path(folder), _VARIABLES)
        except SettingsError as error:
            mistakes = "\n".join(f"  {mistake}" for mistake in error.mistakes)
            raise ValueError(
                f"{config} is not for AWS, where secrets are kept in SSM or Secrets Manager"
                f' ("ssm:/path", "secretsmanager:name"):\n{mistakes}'
            ) from None


def package(build: Path, config: Path, python: str) -> list[Artifact]:
    """Fill `build`. `ValueError` where something becomes too large."""
    build.mkdir(parents=True, exist_ok=True)
    site = installed(wheels(build / ".wheels", *_LAMBDA))
    files = {name: {**site, **ours(name, config)} for name in DEPLOYED}
    tree = build / ".tree"
    shutil.rmtree(tree, ignore_errors=True)
    for place, file in {place: file for each in files.values() for place, file in each.items()}.items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, tree / place)
    compile_tree(python, tree, _TASK_ROOT)
    add_native(tree, build)
    compile_classes(python, tree, (*_START, *(f"functions.{name}" for name in DEPLOYED)))
    artifacts = []
    for name, places in files.items():
        compiled = [bytecode_of(place) for place in places if place.endswith(".py")]
        archive = build / f"{name}.zip"
        size = write(archive, {place: tree / place for place in (*places, *compiled, COMPILED)})
        if size > MOST_BYTES:
            raise ValueError(f"{archive} is too large: {size:,} bytes unzipped, of {MOST_BYTES:,}")
        artifacts.append(Artifact(name, archive, size))
    configuration = tomllib.loads(config.read_text("utf-8"))
    for name, content in (
        (SECRETS, secrets_policy(references(configuration))),
        (SCHEDULED, scheduled(configuration)),
    ):
        (build / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return artifacts


def wheels(folder: Path, *platform: str) -> Path:
    """What the lock names, below `folder`, installed for a platform, else for this machine's; unless it is there."""
    stamp = folder / ".stamp"
    wanted = hashlib.sha256(LOCK.read_bytes() + repr(platform).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder / "site"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(LOCK)]
    command += [
        "--implementation",
        "cp",
        "--python-version",
        VERSION,
        *platform,
        "--target",
        str(folder / "site"),
    ]
    subprocess.run(command, check=True)
    stamp.write_text(wanted)
    return folder / "site"


def scheduled(configuration: Mapping[str, Any]) -> dict[str, bool]:
    """Of the jobs that a configuration turns on or off, whether their schedule triggers them."""
    return {"probe": configuration.get("routing", {}).get("probe", False)}


def references(value: Any) -> set[str]:
    """Secrets that a configuration refers to, wherever they stand."""
    if isinstance(value, str):
        return {value} if is_kept_elsewhere(value) else set()
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {reference for child in children for reference in references(child)}


def secrets_policy(wanted: set[str]) -> dict[str, Any]:
    """A part of the stack: that functions which ask providers may read these, and no others."""
    parameters = sorted(each.removeprefix(SSM_PREFIX) for each in wanted if each.startswith(SSM_PREFIX))
    secrets = sorted(
        each.removeprefix(SECRETS_MANAGER_PREFIX)
        for each in wanted
        if each.startswith(SECRETS_MANAGER_PREFIX)
    )
    # a secret's ARN ends with six characters that AWS chooses
    resources = {
        "ssm:GetParameters": [
            f"ssm:${{AWS::Region}}:${{AWS::AccountId}}:parameter{each}" for each in parameters
        ],
        "secretsmanager:GetSecretValue": [
            f"secretsmanager:${{AWS::Region}}:${{AWS::AccountId}}:secret:{each}-??????" for each in secrets
        ],
    }
    statements = [
        {
            "Effect": "Allow",
            "Action": [action],
            "Resource": [{"Fn::Sub": f"arn:${{AWS::Partition}}:{each}"} for each in named],
        }
        for action, named in resources.items()
        if named
    ]
    if not statements:
        return {"Resources": {}}
    properties = {
        "PolicyName": "secrets",
        "Roles": [{"Ref": role} for role in READERS],
        "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
    }
    return {"Resources": {"SecretsPolicy": {"Type": "AWS::IAM::Policy", "Properties": properties}}}


def show(artifacts: Sequence[Artifact], build: Path, python: str) -> None:
    """A line for each."""
    floor: float | None = None
    print(f"{'':18}{'zip':>10}{'unzipped':>12}{'start':>10}{'beside FastAPI alone':>24}")
    for artifact, folder in loadable(artifacts, build):
        variables = {**_VARIABLES, "LAMBDA_TASK_ROOT": str(folder)}
        floor = floor or imports.start_ms(python, folder, variables, imports.FLOOR)
        took = imports.start_ms(python, folder, variables, imports.start_of(artifact.name))
        zipped, unzipped = artifact.archive.stat().st_size / 2**20, artifact.size / 2**20
        print(
            f"{artifact.name:18}{zipped:>6.1f} MiB{unzipped:>8.1f} MiB{took:>7.0f} ms{took / floor:>22.2f} x"
        )


def loadable(artifacts: Sequence[Artifact], build: Path) -> Iterator[tuple[Artifact, Path]]:
    """Each unzipped, with this machine's own compiled modules beside those of Lambda's processor."""
    for artifact in artifacts:
        folder = build / ".loadable" / artifact.name
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(artifact.archive) as archive:
            archive.extractall(folder)
        add_native(folder, build)
        yield artifact, folder


def add_native(folder: Path, build: Path) -> None:
    """Lay this machine's own compiled modules beside those of Lambda's processor, whose names are others."""
    for place, file in installed(wheels(build / ".here")).items():
        if file.suffix == ".so" and not (folder / place).exists():
            shutil.copyfile(file, folder / place)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
