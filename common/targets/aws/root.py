"""Lambda: DynamoDB, pooled connections, JSON lines.

Nothing is opened here that has to be closed: connections are made when they are first needed, and end with the process.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.access.authenticate import Authenticator
from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.adapters.dynamodb.breakers import DynamoBreakerStore
from common.adapters.dynamodb.client import DynamoClient
from common.adapters.dynamodb.keys import DynamoKeyStore
from common.adapters.dynamodb.rows import DynamoRows
from common.adapters.dynamodb.usage import DynamoUsageStore
from common.adapters.dynamodb.users import DynamoUserStore
from common.adapters.upstream.pooled import PooledUpstream
from common.gateway.gateway import Gateway
from common.metering.meter import LimitMeter
from common.metering.rows import Rows
from common.ports import Clock, KeyStore, UserStore
from common.routing.health import Health
from common.routing.sharing import Sharing
from common.settings import FILE_NAME, Mistake, ProviderKind, Settings, SettingsError, parse_settings
from common.settings.catalog import CATALOG_NAME
from common.settings.references import Known, missing
from common.targets.aws.credentials import credential_source
from common.targets.aws.dead_letters import LoggedDeadLetters
from common.targets.aws.log import log_to_stdout
from common.targets.aws.secrets import SECRET_SERVICES, SecretCache, SecretReader
from common.targets.aws.tracing import Traced
from common.targets.aws.unlock import Unlocking, routes_of

TABLE: Final = "SLUICE_TABLE"
ENDPOINT: Final = "SLUICE_DYNAMODB_ENDPOINT"
USAGE_DAYS: Final = "SLUICE_USAGE_DAYS"
_MOST_DAYS: Final = 36_500
_STALE_MS: Final = 5_000  # a connection that was kept while the process was frozen is not to be trusted


@dataclass(frozen=True, slots=True)
class AwsStores:
    """Who may ask, and their limits."""

    keys: KeyStore
    users: UserStore


def open_stores(client: DynamoClient, table: str) -> AwsStores:
    """Those of the table."""
    return AwsStores(DynamoKeyStore(client, table), DynamoUserStore(client, table))


@dataclass(slots=True)
class AwsGateway:
    """A gateway, and what its runtime needs besides: see `handler.Deployed`."""

    gateway: Gateway
    rows: Rows
    keys: KeyStore
    background: TaskBackground
    upstream: PooledUpstream
    clock: Clock
    rested_ms: int
    unlocking: Unlocking | None = None  # None: all secrets are among the variables

    def wake(self) -> None:
        """See `Deployed.wake`."""
        if self.clock.now_ms() - self.rested_ms > _STALE_MS:
            self.upstream.drop_idle()

    def rest(self) -> None:
        """See `Deployed.rest`."""
        self.rested_ms = self.clock.now_ms()  # not the monotonic clock: it may stand still with the process

    def before_snapshot(self) -> None:
        """See `Deployed.before_snapshot`."""
        self.upstream.drop_idle()

    def after_restore(self) -> None:
        """See `Deployed.after_restore`."""
        self.gateway.rng.seed()


def open_gateway(environ: Mapping[str, str]) -> AwsGateway:
    """Everything, by the `sluice.toml` of the package. `SettingsError` tells what is wrong with it or the variables."""
    package = Path(environ.get("LAMBDA_TASK_ROOT", "."))
    settings = read_settings(package, environ)
    log_to_stdout(settings.secrets, settings.server.log_level)
    clock, upstream = SystemClock(), PooledUpstream()
    rng = random.Random()  # noqa: S311 - ids are unique, not secret
    region, credentials = environ["AWS_REGION"], credential_source(environ, upstream, clock)
    client = DynamoClient(
        upstream,
        clock,
        rng,
        endpoint=environ.get(ENDPOINT) or f"https://dynamodb.{region}.amazonaws.com",
        region=region,
        credentials=credentials,
    )
    opened = gateway_on(
        client,
        environ[TABLE],
        settings,
        upstream=upstream,
        clock=clock,
        rng=rng,
        keep_days=keep_days(environ),
    )
    if references := missing(settings.secrets):
        reader = SecretReader(
            upstream,
            clock,
            rng,
            region=region,
            endpoints=secret_endpoints(environ),
            credentials=credentials,
        )
        opened.unlocking = Unlocking(
            opened.gateway,
            SecretCache(reader, references, clock),
            lambda secrets: read_settings(package, environ, secrets),
            Traced(upstream),
        )
    return opened


def secret_endpoints(environ: Mapping[str, str]) -> dict[str, str]:
    """Other endpoints than the region's, by service, as AWS's own tools are told them."""
    named = {service: environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") for service in SECRET_SERVICES}
    return {service: url.rstrip("/") for service, url in named.items() if url}


def gateway_on(
    client: DynamoClient,
    table: str,
    settings: Settings,
    *,
    upstream: PooledUpstream,
    clock: Clock,
    rng: random.Random,
    keep_days: int | None,
) -> AwsGateway:
    """A gateway over a table, whosever credentials the client has. `keep_days`: see `DynamoRows`."""
    background, stores, health = TaskBackground(), open_stores(client, table), Health()
    rows = DynamoRows(client, table, clock, background, keep_days=keep_days)
    gateway = Gateway(
        settings=settings,
        authenticator=Authenticator(stores.keys, stores.users, settings.plans, clock),
        meter=LimitMeter(rows, clock),
        usage=DynamoUsageStore(client, table),
        dead_letters=LoggedDeadLetters(),
        routes=routes_of(settings, Traced(upstream)),
        clock=clock,
        rng=rng,
        health=health,
        sharing=Sharing(health, DynamoBreakerStore(client, table, clock)),
    )
    return AwsGateway(gateway, rows, stores.keys, background, upstream, clock, clock.now_ms())


def keep_days(environ: Mapping[str, str]) -> int | None:
    """How long usage records are kept; None: for ever. `ValueError` where that is no number of days."""
    text = environ.get(USAGE_DAYS)
    if not text:
        return None
    days = int(text)
    if not 1 <= days <= _MOST_DAYS:
        raise ValueError(text)
    return days


def read_settings(
    package: Path, environ: Mapping[str, str], secrets: Mapping[str, str] | None = None
) -> Settings:
    """The `sluice.toml` of the folder `package`, where a deployed function needs one. `SettingsError`.

    `secrets`: by their references, those that were fetched; the others are stood in for.
    """
    mistakes = [
        Mistake("variables", name, "expected to be set")
        for name in (TABLE, "AWS_REGION")
        if not environ.get(name)
    ]
    try:
        keep_days(environ)
    except ValueError:
        mistakes.append(Mistake("variables", USAGE_DAYS, f"expected a number of days, 1 to {_MOST_DAYS}"))
    try:
        text = (package / FILE_NAME).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        missing = Mistake(
            FILE_NAME, "", f"cannot be read from the function's package ({type(error).__name__})"
        )
        raise SettingsError((missing, *mistakes)) from None
    try:
        settings = parse_settings(text, Known(environ, secrets), catalog=_catalog(package))
    except SettingsError as error:
        raise SettingsError((*error.mistakes, *mistakes)) from None
    mistakes += [
        Mistake(FILE_NAME, f"providers.{provider.name}.kind", "the embedded model is for one machine only")
        for provider in settings.providers.values()
        if provider.kind is ProviderKind.EMBEDDED
    ]
    if mistakes:
        raise SettingsError(tuple(mistakes))
    return settings


def _catalog(package: Path) -> str:
    file = package / CATALOG_NAME
    return file.read_text("utf-8") if file.is_file() else ""
