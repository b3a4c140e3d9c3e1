"""A deployed stage's stores, for commands: its table, with the operator's own credentials.

boto3 finds them, the region and the endpoint as all of AWS's tools do: in variables, profiles, single sign-on, or the
machine's role. The calls are those that the deployed functions make. boto3 adds 0.15 s to a command.
"""

import logging
import os
import random
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from common.adapters.background import TaskBackground
from common.adapters.clock import SystemClock
from common.adapters.dynamodb.breakers import DynamoBreakerStore
from common.adapters.dynamodb.client import DynamoClient, Unanswered
from common.adapters.dynamodb.rows import DynamoRows
from common.adapters.dynamodb.sign import Credentials, CredentialSource
from common.adapters.dynamodb.usage import DynamoUsageStore
from common.adapters.upstream.pooled import PooledUpstream
from common.gateway.job import JobContext
from common.model.errors import StorageUnavailable
from common.providers.examination import Finding, State
from common.settings import Settings
from common.settings.references import Fetched
from common.targets.aws.examine import examine_table
from common.targets.aws.root import TABLE, USAGE_DAYS, gateway_on, keep_days, open_stores
from common.targets.aws.secrets import SECRET_SERVICES, SecretReader
from common.targets.examination import Check, check_stores
from common.targets.stores import Stores

DRAIN_S: Final = 10.0
_PREFIX: Final = "sluice-"
_LOG_IN: Final = "Log in again (`aws sso login`), or renew the credentials."
_ADVICE: Final = {
    "ResourceNotFoundException": "There is no table {table} in {region}. Is that the stage and the region it is"
    " deployed in? --stage and AWS_REGION name others, AWS_PROFILE another account.",
    "AccessDeniedException": "These credentials may not do that with {table} in {region}; AWS_PROFILE names others.",
    "ExpiredTokenException": f"The credentials have expired. {_LOG_IN}",
    "UnrecognizedClientException": f"AWS does not know these credentials. {_LOG_IN}",
    "InvalidSignatureException": "AWS does not accept the signature: the secret key is wrong, or this machine's clock.",
    "Throttling": "DynamoDB throttles calls to {table} just now. Try again.",
    "ProvisionedThroughputExceeded": "DynamoDB throttles calls to {table} just now. Try again.",
    "Upstream": "{endpoint} cannot be reached. Is there a network, and is {region} a region?",
}


def table_of(stage: str | None, environ: Mapping[str, str]) -> str:
    """The table's name. `ValueError` where nothing says it."""
    if stage is not None:
        return _PREFIX + stage
    if table := environ.get(TABLE):
        return table
    raise ValueError(f"name the stage with --stage, or its table with {TABLE}.")


@dataclass(frozen=True, slots=True)
class AwsPlace:
    """A `Place`: a table of the account and region that the environment names."""

    table: str

    @asynccontextmanager
    async def stores(self, *, make: bool = False) -> AsyncIterator[Stores]:  # noqa: ARG002 - a deployment makes them
        """See `Place.stores`."""
        with self._explained() as access:
            upstream, background = PooledUpstream(), TaskBackground()
            client = access.client(upstream)
            try:
                kept = open_stores(client, self.table)
                rows = DynamoRows(client, self.table, SystemClock(), background)
                usage = DynamoUsageStore(client, self.table)
                breakers = DynamoBreakerStore(client, self.table, SystemClock())
                yield Stores(kept.keys, kept.users, usage, rows, breakers)
            finally:
                await upstream.close()

    @asynccontextmanager
    async def jobs(self, settings: Settings) -> AsyncIterator[JobContext]:
        """See `Place.jobs`."""
        with self._explained() as access:
            upstream = PooledUpstream()
            client = access.client(upstream)
            try:
                opened = gateway_on(
                    client,
                    self.table,
                    settings,
                    upstream=upstream,
                    clock=SystemClock(),
                    rng=access.rng,
                    keep_days=_keep_days(),
                )
                yield JobContext(opened.gateway, opened.rows, opened.keys)
                await opened.background.drain(DRAIN_S)
            finally:
                await upstream.close()

    async def secrets(self, references: Collection[str]) -> Fetched | None:
        """See `Place.secrets`. `StorageUnavailable` where there is no access at all."""
        access, upstream = _access(), PooledUpstream()
        try:
            return await access.reader(upstream).fetch(references)
        finally:
            await upstream.close()

    async def examine(self, settings: Settings | None) -> list[Check]:
        """See `Place.examine`."""
        try:
            with self._explained() as access:
                upstream = PooledUpstream()
                try:
                    probe, now_s = f"doctor:{access.rng.getrandbits(64):016x}", SystemClock().now_ms() // 1000
                    checks = await examine_table(
                        access.client(upstream), self.table, probe=probe, now_s=now_s
                    )
                finally:
                    await upstream.close()
        except StorageUnavailable as error:
            return [Check("table", Finding(State.FAILED, error.message, ""))]
        return [*checks, *await check_stores(self, f"{self.table} in {access.region}", settings)]

    @contextmanager
    def _explained(self) -> Iterator["_Access"]:
        """The operator's access. What fails with it is told as what to do, with AWS's own words, and not logged."""
        log = logging.getLogger("sluice.dynamodb")
        access = _access()
        before, log.disabled = log.disabled, True
        try:
            yield access
        except Unanswered as error:
            known = (advice for name, advice in _ADVICE.items() if name in error.why)
            told = next(known, "{table} in {region} cannot be used.")
            words = told.format(table=self.table, region=access.region, endpoint=access.endpoint)
            raise StorageUnavailable(f"{words} ({error.why})") from None
        finally:
            log.disabled = before


def _keep_days() -> int | None:
    try:
        return keep_days(os.environ)
    except ValueError:
        raise StorageUnavailable(f"{USAGE_DAYS} is no number of days.") from None


@dataclass(frozen=True, slots=True)
class _Access:
    """What signs calls, and where they go."""

    region: str
    endpoint: str
    secret_endpoints: Mapping[str, str]
    credentials: CredentialSource
    rng: random.Random

    def reader(self, upstream: PooledUpstream) -> SecretReader:
        return SecretReader(
            upstream,
            SystemClock(),
            self.rng,
            region=self.region,
            endpoints=self.secret_endpoints,
            credentials=self.credentials,
        )

    def client(self, upstream: PooledUpstream) -> DynamoClient:
        return DynamoClient(
            upstream,
            SystemClock(),
            self.rng,
            endpoint=self.endpoint,
            region=self.region,
            credentials=self.credentials,
        )


def _access() -> _Access:
    """`StorageUnavailable` tells what is missing."""
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError, NoRegionError  # type: ignore[import-untyped]
    except ImportError:
        raise StorageUnavailable("boto3 is not installed: `pip install 'sluice[aws]'`.") from None
    try:
        session = boto3.Session(
            region_name=os.environ.get("AWS_REGION")
        )  # boto3 itself reads the other name alone
        service = session.client("dynamodb").meta  # which knows partitions, and endpoints that are configured
        secret_endpoints = {name: session.client(name).meta.endpoint_url for name in SECRET_SERVICES}
        found = session.get_credentials()
    except NoRegionError:
        raise StorageUnavailable("No region is named: set AWS_REGION, or `region` in the profile.") from None
    except (BotoCoreError, ValueError) as error:
        raise StorageUnavailable(f"AWS cannot be used as it is configured here: {error}.") from None
    if found is None:
        raise StorageUnavailable(
            "There are no AWS credentials: `aws configure` or `aws sso login` gets them, AWS_PROFILE names a profile."
        )

    async def source() -> Credentials:
        return _frozen(found, BotoCoreError)

    return _Access(service.region_name, service.endpoint_url, secret_endpoints, source, random.SystemRandom())


def _frozen(found: Any, failure: type[Exception]) -> Credentials:
    """The credentials as they are now: boto3 renews those that are about to end."""
    try:
        now = found.get_frozen_credentials()
    except failure as error:
        raise StorageUnavailable(f"The AWS credentials cannot be renewed: {error}. {_LOG_IN}") from None
    return Credentials(now.access_key, now.secret_key, now.token)
