"""A gateway whose stores are dictionaries, and its application: real in everything but the storage.

    world = await memory_gateway(SETTINGS, upstream, {"PROVIDER_KEY": "secret"})
    app = world.app()  # all functions; or world.app(["health"])
    headers = {"authorization": f"Bearer {world.key}"}
    [record] = world.meter.settled

Imports nothing that is absent on Workers: the proofs under Pyodide use it too.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from common.access.api_key import RANDOM_BYTES, hash_key, new_key
from common.access.authenticate import Authenticator
from common.adapters.clock import SystemClock
from common.adapters.memory import MemoryDeadLetters, MemoryKeyStore, MemoryRows, MemoryUserStore
from common.gateway.gateway import Gateway, Route
from common.http.app import create_app
from common.http.function import Function
from common.metering.meter import LimitMeter
from common.metering.rows import Rows
from common.model.admission import Admission
from common.model.ids import KeyId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord, Overrides
from common.model.usage import UsageRecord
from common.ports import Clock, Upstream
from common.providers.provider import provider_of
from common.settings import parse_settings
from common.targets.registry import FUNCTIONS, function_of

NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
NO_OVERRIDES: Final[Overrides] = MappingProxyType({})
UNKNOWN_KEY: Final = new_key(b"\xff" * RANDOM_BYTES)  # well-formed, and nobody's


class Ledger(LimitMeter):
    """A meter that also shows every settlement in its order: one that comes twice would stand there twice."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        super().__init__(rows, clock)
        self.settled: list[UsageRecord] = []

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        self.settled.append(record)
        await super().settle(admission, record)


@dataclass(frozen=True, slots=True)
class MemoryGateway:
    """A gateway, its stores, and a key that may do everything."""

    gateway: Gateway
    keys: MemoryKeyStore
    users: MemoryUserStore
    rows: MemoryRows
    meter: Ledger
    dead_letters: MemoryDeadLetters
    key: str

    def app(self, names: Iterable[str] | None = None) -> ASGIApp:
        """The application of all functions, or of those named. Who calls it sets `scope["sluice"]`."""
        return create_app(self.gateway, load_functions(names))


async def memory_gateway(
    settings_toml: str,
    upstream: Upstream,
    variables: Mapping[str, str] = NO_VARIABLES,
    *,
    clock: Clock | None = None,
    permissions: frozenset[str] = DEFAULT_PERMISSIONS,
    plan: str = "",
    overrides: Overrides = NO_OVERRIDES,
) -> MemoryGateway:
    """A gateway by `settings_toml` (the text of a sluice.toml) that reaches all its providers through `upstream`."""
    settings = parse_settings(settings_toml, variables)
    clock = clock or SystemClock()
    keys, users, rows = MemoryKeyStore(), MemoryUserStore(), MemoryRows()
    meter, dead_letters = Ledger(rows, clock), MemoryDeadLetters()
    key = new_key(bytes(range(RANDOM_BYTES)))
    record = KeyRecord(
        id=KeyId("key_test"),
        key_hash=hash_key(key),
        user=UserId("alice"),
        name="test",
        permissions=permissions,
        created_ms=clock.now_ms(),
        plan=plan,
        overrides=overrides,
    )
    await keys.create(record)
    gateway = Gateway(
        settings=settings,
        authenticator=Authenticator(keys, users, settings.plans, clock),
        meter=meter,
        usage=rows,
        dead_letters=dead_letters,
        routes={name: Route(provider_of(each), upstream) for name, each in settings.providers.items()},
        clock=clock,
        rng=random.Random(1),
    )
    return MemoryGateway(gateway, keys, users, rows, meter, dead_letters, key)


def load_functions(names: Iterable[str] | None = None) -> list[Function]:
    """All functions there are, or those named, by their modules' names."""
    if names is None:
        names = FUNCTIONS
    return [function_of(name) for name in names]
