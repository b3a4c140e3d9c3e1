"""Which module is imported inside which patch of the SDK."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Patch = Callable[[Any], AbstractContextManager[None]]

_exec: dict[str, Patch] = {}
_create: dict[str, Patch] = {}


def register_exec_patch(name: str) -> Callable[[Patch], Patch]:
    """Run the body of module `name` inside the decorated context manager."""
    return _registering(_exec, name)


def register_create_patch(name: str) -> Callable[[Patch], Patch]:
    """Load the extension `name` inside the decorated context manager."""
    return _registering(_create, name)


def register_after_snapshot(_name: str) -> Callable[[Patch], Patch]:
    """Nothing is snapshotted here."""
    return lambda patch: patch


def register_before_first_request(_name: str) -> Callable[[Patch], Patch]:
    """For packages that we do not have (numpy)."""
    return lambda patch: patch


def block_calls(_module: ModuleType, *, allowlist: tuple[str, ...] = ()) -> None:
    """For packages that we do not have (numpy)."""


def executing(module: ModuleType) -> AbstractContextManager[None]:
    """What the SDK wants around the body of `module`."""
    return _exec.get(module.__name__, nullcontext)(module)


def creating(spec: ModuleSpec) -> AbstractContextManager[None]:
    """What the SDK wants around the loading of an extension."""
    return _create.get(spec.name, nullcontext)(spec)


def _registering(patches: dict[str, Patch], name: str) -> Callable[[Patch], Patch]:
    def register(patch: Patch) -> Patch:
        patches[name] = patch
        return patch

    return register
