"""Sees what a Worker may not do before its first request: draw randomness, open sockets, start threads.

Randomness is counted where the interpreter takes it from the platform, so that C and Rust are seen too, and laid to
the module whose body is running. Where the call comes from Python, the record names the lines that led there.
"""

import _thread
import os
import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from types import FrameType, ModuleType
from typing import Any, Final

from tests.edge.inside.workerd.allow_entropy import on_change, take
from tests.edge.inside.workerd.import_patch_manager import creating, executing

Function = Callable[..., Any]

_NOT_DRAWING: Final = frozenset({"Random", "SystemRandom", "getstate", "setstate"})
_DRAWING: Final[Sequence[tuple[Any, str]]] = (
    (os, "urandom"),
    (random, "_urandom"),
    (random.Random, "seed"),
)
_FORBIDDEN: Final[Sequence[tuple[Any, str]]] = (
    *((random, name) for name in random.__all__ if name not in _NOT_DRAWING),  # the generator that all share
    (socket.socket, "__init__"),
    (socket, "getaddrinfo"),
    (threading.Thread, "start"),
    (_thread, "start_new_thread"),
    (_thread, "start_joinable_thread"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is not allowed before the first request."""

    what: str
    count: int
    module: str  # whose body was running
    trail: list[str]  # innermost line first; empty where the call did not come from Python
    excused: bool


class ImportWatch:
    """Watches all that happens inside `with watch.on():`. `random` is imported before: workerd excuses it."""

    def __init__(self, drawn: Callable[[], int]) -> None:
        """`drawn`: how often the interpreter has asked the platform for random bytes."""
        self.events: list[Event] = []
        self._drawn = drawn
        self._seen = drawn()
        self._importing = ["(top)"]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch."""
        self._seen = self._drawn()
        on_change(self._lay)
        with ExitStack() as stack:
            for owner, name in _DRAWING:
                stack.enter_context(_replaced(owner, name, self._drawing(getattr(owner, name))))
            for owner, name in _FORBIDDEN:
                stack.enter_context(
                    _replaced(owner, name, self._recording(getattr(owner, name), owner, name))
                )
            for loader in (SourceFileLoader, ExtensionFileLoader):
                stack.enter_context(_replaced(loader, "exec_module", self._executing(loader.exec_module)))
                stack.enter_context(_replaced(loader, "create_module", self._creating(loader.create_module)))
            yield
            self._lay()

    def report(self) -> list[dict[str, object]]:
        """All events, for JSON."""
        return [asdict(event) for event in self.events]

    def _lay(self, trail: Sequence[str] = ()) -> None:
        """Lay what was drawn since the last time to the module whose body is running."""
        count = self._drawn() - self._seen
        self._seen += count
        excused = take(count)
        for share, is_excused in ((excused, True), (count - excused, False)):
            if share:
                self.events.append(Event("randomness", share, self._importing[-1], list(trail), is_excused))

    def _drawing(self, original: Function) -> Function:
        def draw(*args: object) -> object:
            self._lay()
            try:
                return original(*args)
            finally:
                self._lay(_trail())

        return draw

    def _recording(self, original: Function, owner: Any, name: str) -> Function:
        def call(*args: object, **kwargs: object) -> object:
            what = f"{owner.__name__}.{name}"
            self.events.append(Event(what, 1, self._importing[-1], _trail(), excused=False))
            return original(*args, **kwargs)

        return call

    def _executing(self, original: Function) -> Function:
        def exec_module(loader: object, module: ModuleType) -> None:
            with self._inside(module.__name__), executing(module):
                original(loader, module)

        return exec_module

    def _creating(self, original: Function) -> Function:
        def create_module(loader: object, spec: ModuleSpec) -> object:
            with self._inside(spec.name), creating(spec):
                return original(loader, spec)

        return create_module

    @contextmanager
    def _inside(self, module: str) -> Iterator[None]:
        self._lay()
        self._importing.append(module)
        try:
            yield
        finally:
            self._lay()
            self._importing.pop()


@contextmanager
def _replaced(owner: Any, name: str, replacement: Function) -> Iterator[None]:
    own, original = name in vars(owner), getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


def _trail() -> list[str]:
    """The lines that led here, from the caller outwards to the one that turned the watch on."""
    frame: FrameType | None = sys._getframe(2)
    lines: list[str] = []
    while frame is not None and frame.f_code.co_name != "watched":
        code = frame.f_code
        if "importlib" not in code.co_filename and code.co_filename != __file__:
            lines.append(f"{code.co_filename}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return lines
