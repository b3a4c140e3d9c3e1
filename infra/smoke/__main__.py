"""The smoke test of a deployed gateway, whatever it runs on: what only the real platform can show.

    SLUICE_KEY=sk-sluice-... python -m infra.smoke --url https://llm.example.com/v1 [--model NAME] [--json]

It needs nothing but Python. The key needs the permissions `chat`, `models`, `usage:read` and `keys:write`. A run makes
some thirty short answers of the first model that the key may ask for, or of the one that is named: take a cheap one.
Status 0 where all is well, 1 where a check failed, 2 where it was used wrongly.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit

from infra.smoke.checks import CHECKS, Check, Failed, Run, model_names
from infra.smoke.client import Client

KEY: Final = "SLUICE_KEY"


@dataclass(frozen=True, slots=True)
class Result:
    """Of one check."""

    check: str
    ok: bool
    ms: int
    said: str


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="smoke", description="Prove a deployed gateway.")
    parser.add_argument("--url", required=True, help="its base URL, with or without /v1")
    parser.add_argument(
        "--model", default="", help="the model to ask for (default: the first that the key has)"
    )
    parser.add_argument("--connections", type=int, default=20, help="requests at once (default: 20)")
    parser.add_argument(
        "--only", action="append", choices=list(CHECKS), help="this check alone; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    chosen = parser.parse_args(arguments)
    key = os.environ.get(KEY, "")  # not an option: command lines are seen by other users
    if not key:
        parser.error(
            f"set {KEY} to a key of the gateway with the permissions chat, models, usage:read, keys:write"
        )
    if urlsplit(chosen.url).scheme not in ("http", "https"):
        parser.error("--url is an address like https://llm.example.com/v1")
    run = Run(Client(chosen.url, key), max(chosen.connections, 1), chosen.model)
    names = chosen.only or list(CHECKS)
    width = max(map(len, names))
    results = []
    if not chosen.json:
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC  {chosen.url}", flush=True)
    for result in perform(run, names):
        results.append(result)
        if not chosen.json:
            mark = "ok" if result.ok else "!!"
            print(f"{mark}  {result.check:{width}}  {result.ms:>7,} ms  {result.said}", flush=True)
    failed = sum(not each.ok for each in results)
    if chosen.json:
        told = {"ok": not failed, "url": chosen.url, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        print(json.dumps(told | {"checks": [asdict(each) for each in results]}))
    else:
        print(
            f"{failed} of {len(results)} checks failed." if failed else f"All {len(results)} checks passed."
        )
    return 1 if failed else 0


def perform(run: Run, names: Sequence[str]) -> Iterator[Result]:
    """One after the other. Where no model can be had, only what needs none is checked."""
    for name in names:
        if not run.model and name != "health":
            try:
                run = replace(run, model=model_names(run.client)[0])
            except (Failed, OSError, HTTPException, ValueError) as error:
                yield Result("models", ok=False, ms=0, said=_said(error))
                return
        yield _result(name, CHECKS[name], run)


def _result(name: str, check: Check, run: Run) -> Result:
    begun = time.monotonic()
    try:
        said, ok = check(run), True
    except Exception as error:  # noqa: BLE001 - whatever is not as expected fails the check, and the others go on
        said, ok = _said(error), False
    return Result(name, ok, round((time.monotonic() - begun) * 1000), said)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
