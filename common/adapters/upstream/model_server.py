"""The embedded model's server: a program of its own, run by its path, that never outlives the gateway.

It reads one line of JSON from standard input (`model`, `alias`, `api_key`), writes its address as one line to standard
output, and serves OpenAI's protocol on loopback until standard input ends. The operating system ends that when the
gateway does, however that happens; nothing has to be tidied up, for nothing is kept on disk. What llama.cpp has to say
goes to standard error.

Figures are for SmolLM2-135M on one core with xllamacpp 2026.10: 50 tokens/s, 150 tokens/s of prompt, 335 MB.
"""

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any, Final

_SLOTS: Final = 4  # requests that are worked on at once; more wait
_CONTEXT_TOKENS: Final = (
    2048  # of each, prompt and answer; 23 KB a token; the model itself was trained for 8,192
)
_BATCH_TOKENS: Final = 128  # of a prompt, between looks at whether the client is still there: under a second
_NICENESS: Final = 5  # where gateway and model share a core, the gateway comes first
_ERRORS: Final = 1  # llama.cpp's verbosity


def threads(cores: int) -> int:
    """How many compute: one core is left to the gateway where there are several.

    They wait for each other at every layer. With a thread on every core and one of the cores busy with something else,
    2 cores gave 11 tokens/s, where one thread alone gave 42 (and 92 were to be had from two idle cores).
    """
    return max(1, min(cores - 1, 4))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parameters(xllamacpp: Any, *, model: str, alias: str, api_key: str) -> Any:
    chosen = xllamacpp.CommonParams()
    chosen.model.path = model
    chosen.model_alias = {alias}
    chosen.api_keys = [api_key]
    chosen.hostnames = ["127.0.0.1"]
    chosen.port = 0
    chosen.offline = True
    chosen.ui = chosen.endpoint_slots = (
        False  # metrics, tools and writing slots or properties are off by themselves
    )
    chosen.verbosity = _ERRORS
    chosen.n_parallel = _SLOTS
    # Not shared between the slots (`kv_unified`): when a shared one runs full, all running requests fail.
    chosen.n_ctx = _SLOTS * _CONTEXT_TOKENS
    chosen.n_batch = chosen.n_ubatch = _BATCH_TOKENS
    chosen.cache_ram_mib = 0  # a slot still knows its last prompt, which spares a chat its history
    chosen.cpuparams.n_threads = chosen.cpuparams_batch.n_threads = threads(_usable_cores())
    return chosen


def main() -> None:
    """Serve until standard input ends."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # Ctrl-C goes to both processes, and the gateway has yet to drain
        signal.signal(number, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)  # what llama.cpp prints is no address
        os.nice(_NICENESS)
        xllamacpp = import_module("xllamacpp")
        server = xllamacpp.Server(_parameters(xllamacpp, **order))
        print(server.listening_address, file=answer)
    sys.stdin.read()
    os._exit(0)  # the server's own way out waits for streams, up to 30 s


if __name__ == "__main__":
    main()
