"""`make run-cloudflare`: the Workers on this machine, offline, as `tests/edge/serving.py` has them.

Reads sluice.toml and .dev.vars; where there is no sluice.toml, the model that comes with Sluice answers. What is stored
stays in .sluice/cloudflare.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.adapters.sql.keys import SqlKeyStore
from common.adapters.upstream import model_server
from common.adapters.upstream.embedded import find_model
from common.cli.new_key import create_key
from common.model.ids import UserId
from common.model.principal import DEFAULT_PERMISSIONS
from infra.cloudflare.package import catalog_beside
from tests.edge.serving import Edge, open_workers

_DEMO: Final = """
[providers.demo]
kind = "openai"
base_url = "{url}/v1"
api_key = "env:DEMO_KEY"
[models.demo]
targets = ["demo/demo"]
price = {{ input = "0", output = "0" }}
context_length = 2048
"""
_DEMO_VARIABLES: Final = {"DEMO_KEY": "on-loopback"}


def main(arguments: Sequence[str]) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="run-cloudflare", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8787)
    parser.add_argument("--config", type=Path, default=Path("sluice.toml"))
    parser.add_argument("--variables", type=Path, default=Path(".dev.vars"))
    parser.add_argument("--data", type=Path, default=Path(".sluice/cloudflare"))
    chosen = parser.parse_args(arguments)
    data: Path = chosen.data.absolute()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        _configuration(chosen.config, chosen.variables) as (text, variables),
        open_workers(data, text, variables, port=chosen.port, catalog=catalog_beside(chosen.config)) as edge,
    ):
        edge.migrate()
        print(f"Base URL  {edge.url}/v1")
        if key := asyncio.run(_first_key(edge)):
            print(f"API key   {key}   (shown this once)")
        print(
            "Ctrl-C ends it. Proven here is what docs/cloudflare-worker.md lists, not the platform itself.",
            flush=True,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("Stopped.")


@contextmanager
def _configuration(file: Path, variables: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    if file.is_file():
        lines = variables.read_text("utf-8").splitlines() if variables.is_file() else []
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        yield file.read_text("utf-8"), {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
        return
    command = [sys.executable, "-P", str(model_server.__file__)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin
        assert process.stdout
        order = {"model": str(find_model()), "alias": "demo", "api_key": _DEMO_VARIABLES["DEMO_KEY"]}
        process.stdin.write(f"{json.dumps(order)}\n")
        process.stdin.flush()
        yield _DEMO.format(url=process.stdout.readline().strip()), _DEMO_VARIABLES
        process.stdin.close()  # it ends by itself then


async def _first_key(edge: Edge) -> str | None:
    keys = SqlKeyStore(edge)
    if await keys.list():
        return None
    return (await create_key(keys, UserId("admin"), "first key", DEFAULT_PERMISSIONS)).key


if __name__ == "__main__":
    main(sys.argv[1:])
