"""What the streaming runtime costs on Lambda's emulator, beside the floor; each process is frozen between invocations.

The time is from handing out an event to the first bytes of the answer, the emulator's own part included.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Final

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from benchmarks.contenders import FLOOR, SLUICE
from benchmarks.process import ROOT, BenchmarkError, Cores, on_core
from common.targets.aws.emulator.emulator import EmulatedFunction, Emulator, emulating, variables_of
from common.targets.aws.emulator.environment import Environment, Invocation, Platform
from common.targets.aws.emulator.event import Call, event_of
from common.targets.aws.emulator.response import Response

WARM: Final = 50
MEASURED: Final = 1_000
COMMANDS: Final = {
    FLOOR: (sys.executable, "-m", "benchmarks.lambda_function"),
    SLUICE: (sys.executable, "-m", "common.targets.aws"),
}
BODY: Final = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "Say hello."}]}).encode()


@dataclass(frozen=True, slots=True)
class Cost:
    """Of an invocation."""

    first_byte_ms: float  # median
    cpu_us: float


def measure(cores: Cores) -> dict[str, Cost]:
    """Both, by name."""
    return {name: asyncio.run(_measure(command, cores)) for name, command in COMMANDS.items()}


async def _measure(command: tuple[str, ...], cores: Cores) -> Cost:
    platform = Platform(
        command=command,
        folder=ROOT,
        variables=variables_of(os.environ),
        tell=lambda _: None,
        log=subprocess.DEVNULL,
    )
    function = EmulatedFunction("benchmark", "benchmarks.lambda_function.handler", lambda _: True)
    async with emulating([function], platform) as emulator:
        with on_core(cores.gateway):
            environment = await emulator.warm(function)
        for _ in range(WARM):
            await _first_byte_ms(emulator, environment)
        process = psutil.Process(environment.pid)
        before = sum(process.cpu_times()[:2])
        took = [await _first_byte_ms(emulator, environment) for _ in range(MEASURED)]
        return Cost(median(took), (sum(process.cpu_times()[:2]) - before) / MEASURED * 1e6)


async def _first_byte_ms(emulator: Emulator, environment: Environment) -> float:
    call = Call(
        method="POST",
        target="/v1/chat/completions",
        headers=[("host", "benchmark"), ("content-type", "application/json")],
        body=BODY,
        source_ip="127.0.0.1",
        request_id="request",
        trace_id="Root=1-0-0",
        now_ms=0,
    )
    invocation = Invocation("request", call.trace_id, json.dumps(event_of(call)).encode(), Response())
    began = time.perf_counter()
    environment.invoke(invocation)
    if await invocation.response.head is None:
        raise BenchmarkError("the function on Lambda's emulator has ended")
    took = time.perf_counter() - began
    await emulator.is_quiet()
    return took * 1e3
