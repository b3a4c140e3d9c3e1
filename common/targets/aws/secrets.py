"""Secrets that AWS keeps: parameters of the Systems Manager, `ssm:/path`, and Secrets Manager's, `secretsmanager:name`.

`SecretReader` fetches, `SecretCache` remembers. The rules:

- Nothing is fetched before a request needs it, so no snapshot holds a secret, and a secret that cannot be had keeps
  no function from starting.
- What is known is at most `FRESH_S` old, unless AWS does not answer: then the last value goes on being used.
- One that was never known is not asked for again within `AGAIN_S`: a burst of requests is refused without a call each.
- Of a failure, the log has the reference and what AWS said; never a value.

The calls are GetParameters, of up to ten names, and GetSecretValue, of one:
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html,
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html (2026-11).
"""

import asyncio
import json
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from common.adapters.dynamodb.client import TIMEOUTS, pause_s
from common.adapters.dynamodb.sign import CredentialSource, Service, sign
from common.model.errors import StorageUnavailable, UpstreamError
from common.ports import Clock, Upstream, UpstreamRequest
from common.settings.references import SECRETS_MANAGER_PREFIX, SSM_PREFIX, Fetched

FRESH_S: Final = 300.0
AGAIN_S: Final = 5.0  # after a failure
_AT_ONCE: Final = 10  # parameters of one call
_SSM: Final = "ssm"
_SECRETS_MANAGER: Final = "secretsmanager"
SECRET_SERVICES: Final = (_SSM, _SECRETS_MANAGER)
_THROTTLED: Final = frozenset({"ThrottlingException", "TooManyUpdates", "RequestLimitExceeded"})

_log = logging.getLogger("sluice.secrets")


class _Refused(Exception):
    """AWS answered with an error, or not at all; the message says which."""


class SecretReader:
    """Fetches secrets of one account and region."""

    def __init__(
        self,
        upstream: Upstream,
        clock: Clock,
        rng: random.Random,
        *,
        region: str,
        endpoints: Mapping[str, str],
        credentials: CredentialSource,
    ) -> None:
        """`endpoints`: of the services `ssm` and `secretsmanager`, without a path; else the region's own."""
        self._upstream = upstream
        self._clock = clock
        self._rng = rng
        self._region = region
        self._endpoints = endpoints
        self._credentials = credentials

    async def fetch(self, references: Iterable[str]) -> Fetched:
        """All of them, at once."""
        names = sorted(set(references))
        parameters = [name for name in names if name.startswith(SSM_PREFIX)]
        secrets = [name for name in names if name.startswith(SECRETS_MANAGER_PREFIX)]
        calls = [
            self._parameters(parameters[at : at + _AT_ONCE]) for at in range(0, len(parameters), _AT_ONCE)
        ]
        found = await asyncio.gather(*calls, *map(self._secret, secrets))
        values = {name: value for each in found for name, value in each.values.items()}
        problems = {name: problem for each in found for name, problem in each.problems.items()}
        return Fetched(values, problems)

    async def _parameters(self, references: Sequence[str]) -> Fetched:
        names = [each.removeprefix(SSM_PREFIX) for each in references]
        payload = {"Names": names, "WithDecryption": True}
        try:
            reply = await self._call(_SSM, "AmazonSSM.GetParameters", payload)
        except _Refused as error:
            return Fetched(problems=dict.fromkeys(references, str(error)))
        values = {SSM_PREFIX + each["Name"]: str(each["Value"]) for each in reply.get("Parameters", ())}
        missing = [each for each in references if each not in values]
        return Fetched(values, dict.fromkeys(missing, "there is no such parameter in the region"))

    async def _secret(self, reference: str) -> Fetched:
        payload = {"SecretId": reference.removeprefix(SECRETS_MANAGER_PREFIX)}
        try:
            reply = await self._call(_SECRETS_MANAGER, "secretsmanager.GetSecretValue", payload)
        except _Refused as error:
            return Fetched(problems={reference: str(error)})
        if not isinstance(reply.get("SecretString"), str):
            return Fetched(problems={reference: "it is binary, where a text is expected"})
        return Fetched({reference: reply["SecretString"]})

    async def _call(self, service: str, target: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The answer. Tried again, within a second, where that may help: reading changes nothing."""
        body = json.dumps(payload).encode()
        now = asyncio.get_running_loop().time
        started, attempts = now(), 0
        while True:
            attempts += 1
            try:
                status, reply = await self._attempt(service, target, body)
            except (UpstreamError, StorageUnavailable) as error:
                failure, passes = type(error).__name__, isinstance(error, UpstreamError)
            else:
                if status == 200:
                    return reply
                kind = str(reply.get("__type", "")).rpartition("#")[2]
                failure = f"{status} {kind}: {reply.get('message') or reply.get('Message')}"
                passes = status >= 500 or kind in _THROTTLED
            pause = pause_s(attempts, now() - started, self._rng) if passes else None
            if pause is None:
                raise _Refused(failure)
            await asyncio.sleep(pause)

    async def _attempt(self, service: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        endpoint = self._endpoints.get(service) or f"https://{service}.{self._region}.amazonaws.com"
        headers = (("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target))
        scope = Service(service, self._region, urlsplit(endpoint).netloc)
        signed = sign(await self._credentials(), scope, headers, body, self._clock.now_ms())
        request = UpstreamRequest("POST", f"{endpoint}/", signed, body, TIMEOUTS)
        parts = []
        async with self._upstream.send(request) as response:
            while part := await response.read():
                parts.append(part)
        try:
            reply = json.loads(b"".join(parts))
        except ValueError:
            reply = None
        if not isinstance(reply, dict):  # cut, or from a proxy
            return (502 if response.status == 200 else response.status), {}
        return response.status, reply


class SecretCache:
    """What is known of some secrets. Safe to share between requests."""

    def __init__(self, reader: SecretReader, references: Iterable[str], clock: Clock) -> None:
        self._reader = reader
        self._references = frozenset(references)
        self._clock = clock
        self._values: dict[str, str] = {}
        self._until_ms = 0
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> Mapping[str, str]:
        """Those that are known, by reference. The same object as before where nothing has changed."""
        # by the wall clock: the monotonic one may stand still while the process is frozen
        if self._references and self._clock.now_ms() >= self._until_ms:
            if self._fetching is None:
                self._fetching = asyncio.get_running_loop().create_task(self._fetch())
            # a client that leaves does not end it for others, who wait for the same
            await asyncio.shield(self._fetching)
        return self._values

    async def _fetch(self) -> None:
        try:
            begun = self._clock.monotonic()
            fetched = await self._reader.fetch(self._references)
            took_ms = (self._clock.monotonic() - begun) * 1000
            _log.info("%d of %d secrets read in %.0f ms", len(fetched.values), len(self._references), took_ms)
            for reference, problem in fetched.problems.items():
                kept = (
                    "the value of before is used" if reference in self._values else "who needs it gets a 503"
                )
                _log.error("%s cannot be read, and %s: %s", reference, kept, problem)
            values = {**self._values, **fetched.values}
            if values != self._values:
                self._values = values
            fresh_s = AGAIN_S if fetched.problems else FRESH_S
            self._until_ms = self._clock.now_ms() + int(fresh_s * 1000)
        finally:
            self._fetching = None
