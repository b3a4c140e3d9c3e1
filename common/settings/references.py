"""What stands in `sluice.toml` in place of a secret: a variable of the process, or, on AWS, a secret that AWS keeps.

A secret that is kept elsewhere has to be fetched, after the file says which. So there are settings without it first: by
`Known`, a stand-in is in its place, which tells the reference.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

ENV_PREFIX: Final = "env:"
SSM_PREFIX: Final = "ssm:"
SECRETS_MANAGER_PREFIX: Final = "secretsmanager:"
EXPECTED: Final = 'expected "env:NAME", on AWS also "ssm:/path" or "secretsmanager:name"'
# names as the services take them, without versions and labels:
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html and
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html (2026-11)
_REFERENCE: Final = re.compile(
    rf"{ENV_PREFIX}.+|{SSM_PREFIX}/[\w./-]{{1,1010}}|{SECRETS_MANAGER_PREFIX}[\w/+=.@-]{{1,512}}",
    re.ASCII | re.DOTALL,
)


def is_reference(value: object) -> bool:
    """Whether it names a secret rather than being one."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def is_kept_elsewhere(reference: str) -> bool:
    """Whether it has to be fetched."""
    return reference.startswith((SSM_PREFIX, SECRETS_MANAGER_PREFIX))


def place_of(reference: str) -> str:
    """Where the secret is, in words."""
    if is_kept_elsewhere(reference):
        return reference
    return f"the variable {reference.removeprefix(ENV_PREFIX)}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching secrets, by their references. `problems`: for operators alone."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: Mapping[str, str] = field(default_factory=dict)


class Known(Mapping[str, str]):
    """Variables by name, and secrets by their whole reference: the stand-in of one that was not fetched."""

    def __init__(self, variables: Mapping[str, str], secrets: Mapping[str, str] | None = None) -> None:
        """`secrets`: those that were fetched."""
        self._variables = variables
        self._secrets = secrets or {}

    def __getitem__(self, name: str) -> str:
        return self._secrets.get(name, stand_in(name)) if is_kept_elsewhere(name) else self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._variables, **self._secrets})

    def __len__(self) -> int:
        return len({**self._variables, **self._secrets})


_STAND_IN: Final = ("(", " has not been read)")


def stand_in(reference: str) -> str:
    """In place of a secret that is not there: it has the form of one, and is never sent."""
    return reference.join(_STAND_IN)


def reference_of(value: str) -> str | None:
    """Which secret is not there; None where `value` is no stand-in."""
    begin, end = _STAND_IN
    reference = value.removeprefix(begin).removesuffix(end)
    return reference if is_kept_elsewhere(reference) and value == stand_in(reference) else None


def missing(values: Iterable[str]) -> list[str]:
    """The references of all that is not there."""
    return [reference for value in values if (reference := reference_of(value)) is not None]
