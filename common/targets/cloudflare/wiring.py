"""What stands where on Cloudflare, however its stores are reached: by bindings, or from outside by the HTTP API."""

import random
from typing import Final

from common.access.authenticate import Authenticator
from common.adapters.clock import SystemClock
from common.adapters.cloudflare.breakers import KvBreakerStore
from common.adapters.cloudflare.denials import RemembersDenials
from common.adapters.cloudflare.kv import KvDeadLetters, KvKeyStore
from common.adapters.cloudflare.namespace import Namespace
from common.adapters.sql.database import Database
from common.adapters.sql.keys import SqlKeyStore
from common.adapters.sql.rows import SqlRows
from common.adapters.sql.usage import SqlUsageStore
from common.adapters.sql.users import SqlUserStore
from common.gateway.gateway import Gateway, Route
from common.gateway.job import JobContext
from common.metering.meter import LimitMeter
from common.ports import Upstream
from common.providers.provider import provider_of
from common.routing.health import Health
from common.routing.sharing import Sharing
from common.settings import Settings

DATABASE: Final = "DB"
NAMESPACE: Final = "KV"
"""The names of the bindings."""


def wire(settings: Settings, database: Database, namespace: Namespace, upstream: Upstream) -> JobContext:
    """Everything; nobody is asked yet."""
    rows, clock, health = SqlRows(database), SystemClock(), Health()
    keys, letters = KvKeyStore(SqlKeyStore(database), namespace, clock), KvDeadLetters(namespace)
    gateway = Gateway(
        settings=settings,
        authenticator=Authenticator(keys, SqlUserStore(database), settings.plans, clock),
        meter=RemembersDenials(LimitMeter(rows, clock), clock),
        usage=SqlUsageStore(database),
        dead_letters=letters,
        routes={name: Route(provider_of(each), upstream) for name, each in settings.providers.items()},
        clock=clock,
        rng=random.Random(),  # noqa: S311 - ids are unique, not secret
        health=health,
        sharing=Sharing(health, KvBreakerStore(namespace)),
    )
    return JobContext(gateway, rows, keys, letters)
