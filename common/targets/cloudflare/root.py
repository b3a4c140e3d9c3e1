"""What stands where on Workers: D1 for keys, meter and usage, KV for dead letters, the platform's `fetch`.

Once per isolate, at its first request: the environment is not there before, and nothing may be drawn or connected while
the modules are imported. All of it is plain data and bindings, which requests may share; whatever belongs to a request
is made by `exchange.py`.
"""

import logging
import random
from collections.abc import Mapping
from typing import Any, Final

import js

from common.access.authenticate import Authenticator
from common.adapters.clock import SystemClock
from common.adapters.cloudflare.denials import RemembersDenials
from common.adapters.cloudflare.fetch import FetchUpstream
from common.adapters.cloudflare.kv import KvDeadLetters, KvKeyStore
from common.adapters.sql.d1 import MigratedD1
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.rows import SqlRows
from common.adapters.sql.usage import SqlUsageStore
from common.adapters.sql.users import SqlUserStore
from common.gateway.gateway import Gateway, Route
from common.gateway.job import JobContext
from common.metering.meter import LimitMeter
from common.providers.openai import provider_of
from common.settings import ProviderKind, Settings
from common.telemetry.log_format import JsonLines

DATABASE: Final = "DB"
NAMESPACE: Final = "KV"


class Misplaced(Exception):
    """This Worker cannot serve as it was deployed; the message says what is missing, for its operator."""


def variables_of(env: Any) -> Mapping[str, str]:
    """The text variables and secrets among the bindings."""
    return {name: value for name, value in js.Object.entries(env) if isinstance(value, str)}


def open_workers(settings: Settings, schema_version: int, env: Any) -> JobContext:
    """Everything; nobody is asked yet. `Misplaced` where a binding is missing."""
    if any(provider.kind is ProviderKind.EMBEDDED for provider in settings.providers.values()):
        raise Misplaced("A Worker cannot run the embedded model: configure another provider in sluice.toml.")
    database = MigratedD1(_binding(env, DATABASE, "D1"), schema_version)
    namespace = _binding(env, NAMESPACE, "KV")
    rows, clock = SqlRows(database), SystemClock()
    keys = KvKeyStore(SqlKeyStore(database), namespace, clock)
    upstream, letters = FetchUpstream(), KvDeadLetters(namespace)
    gateway = Gateway(
        settings=settings,
        authenticator=Authenticator(keys, SqlUserStore(database), settings.plans, clock),
        meter=RemembersDenials(LimitMeter(rows, clock), clock),
        usage=SqlUsageStore(database),
        dead_letters=letters,
        routes={name: Route(provider_of(each), upstream) for name, each in settings.providers.items()},
        clock=clock,
        rng=random.Random(),  # noqa: S311 - ids are unique, not secret
    )
    return JobContext(gateway, rows, keys, letters)


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
    secrets = [key.value for provider in settings.providers.values() for key in provider.api_keys]
    output = _Console()
    output.setFormatter(JsonLines(secrets))
    log = logging.getLogger("sluice")
    log.handlers = [output]
    log.setLevel(settings.server.log_level.upper())
    log.propagate = False
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
