"""Processes under measurement: pinned to a core, their whole tree weighed, stopped whatever happens."""

import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

ROOT: Final = Path(__file__).parent.parent
STOP_S: Final = 20.0

# Below the range the kernel takes client ports from: whoever polls a closed port inside that range is now and
# then given the port itself as its source, is connected to itself, and the server can't bind any more.
PORTS: Final = range(20_000, 32_000)


class BenchmarkError(Exception):
    """The benchmark can't go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: what is measured has a core to itself."""

    gateway: int
    rest: int  # the mock upstream and the client
    usable: int  # how many there are


def choose_cores() -> Cores:
    """The first two cores this process may use; from here on it stays on the second."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        problem = "two cores are needed: one for the gateway, one for the upstream and the client"
        raise BenchmarkError(problem)
    cores = Cores(gateway=usable[0], rest=usable[1], usable=len(usable))
    os.sched_setaffinity(0, {cores.rest})
    return cores


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started inside run on `core`: they inherit it."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Process:
    """A started process and all its descendants."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        """Take over a process that leads its own session."""
        self._popen = popen
        self._root = psutil.Process(popen.pid)

    @property
    def ended(self) -> bool:
        """Whether it stopped by itself."""
        return self._popen.poll() is not None

    def cpu_s(self) -> float:
        """CPU seconds of the tree, its ended members included."""
        return sum(float(sum(process.cpu_times()[:4])) for process in self._tree())

    def rss_mb(self) -> float:
        """Resident memory of the tree; a page shared by two members counts twice."""
        return sum(int(process.memory_info().rss) for process in self._tree()) / 1e6

    def first_line(self) -> str:
        """What it prints first."""
        return self._popen.stdout.readline() if self._popen.stdout else ""

    def stop(self) -> None:
        """Ask it to end; after `STOP_S` end its whole session."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        if self._popen.stdout:
            self._popen.stdout.close()

    def _tree(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


def tail(log: IO[str]) -> str:
    """What the file `log` ends with."""
    return Path(log.name).read_text()[-2000:].strip()


@contextmanager
def running(
    command: Sequence[str], *, core: int, folder: Path = ROOT, log: IO[str] | None = None
) -> Iterator[Process]:
    """Run `command` on `core` and in `folder`; output goes to `log`, or can be read by line."""
    with on_core(core):
        popen = subprocess.Popen(
            command,
            cwd=folder,
            text=True,
            stdout=log or subprocess.PIPE,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,  # Ctrl-C reaches the harness alone, which then stops what it started
        )
    process = Process(popen)
    try:
        yield process
    finally:
        process.stop()
