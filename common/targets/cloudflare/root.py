"""What a Worker runs on: D1 for keys, meter and usage, KV for dead letters, the platform's `fetch`.

Once per isolate, at its first request: the environment is not there before, and nothing may be drawn or connected while
the modules are imported. All of it is plain data and bindings, which requests may share; whatever belongs to a request
is made by `exchange.py`.
"""

import logging
from collections.abc import Mapping
from typing import Any

import js

from common.adapters.cloudflare.fetch import FetchUpstream
from common.adapters.cloudflare.namespace import BoundNamespace
from common.adapters.sql.d1 import D1Database, MigratedD1
from common.gateway.job import JobContext
from common.settings import ProviderKind, Settings
from common.targets.cloudflare.wiring import DATABASE, NAMESPACE, wire
from common.telemetry.log_format import JsonLines


class Misplaced(Exception):
    """This Worker cannot serve as it was deployed; the message says what is missing, for its operator."""


def variables_of(env: Any) -> Mapping[str, str]:
    """The text variables and secrets among the bindings."""
    return {name: value for name, value in js.Object.entries(env) if isinstance(value, str)}


def open_workers(settings: Settings, schema_version: int, env: Any) -> JobContext:
    """Everything; nobody is asked yet. `Misplaced` where a binding is missing."""
    if any(provider.kind is ProviderKind.EMBEDDED for provider in settings.providers.values()):
        raise Misplaced("A Worker cannot run the embedded model: configure another provider in sluice.toml.")
    database = MigratedD1(D1Database(_binding(env, DATABASE, "D1")), schema_version)
    namespace = BoundNamespace(_binding(env, NAMESPACE, "KV"))
    return wire(settings, database, namespace, FetchUpstream())


def _binding(env: Any, name: str, kind: str) -> Any:
    found = getattr(env, name, None)
    if not found:
        raise Misplaced(f"The {kind} binding {name} is missing: see wrangler.toml.")
    return found


class _Console(logging.Handler):
    """To the Worker's log, where a line of JSON is taken apart."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        js.console.log(self.format(record))


def log_to_console(settings: Settings) -> None:
    """From now on, by the configured level; no secret of the configuration is written."""
    output = _Console()
    output.setFormatter(JsonLines(settings.secrets))
    log = logging.getLogger("sluice")
    log.handlers = [output]
    log.setLevel(settings.server.log_level.upper())
    log.propagate = False
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
