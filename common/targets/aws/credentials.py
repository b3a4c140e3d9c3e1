"""The credentials of the function's role: from variables, or, where it is restored from a snapshot, from its endpoint.

A snapshot holds no credentials: they are fetched in each restored copy, from an address on the loopback that the
variables name, and again before they expire.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html (November 2026).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from common.adapters.dynamodb.sign import Credentials, CredentialSource
from common.model.errors import StorageUnavailable, UpstreamError
from common.ports import Clock, Timeouts, Upstream, UpstreamRequest

_TIMEOUTS: Final = Timeouts(connect_s=1.0, first_byte_s=2.0, idle_s=2.0)
_RENEWED_MS: Final = 300_000  # before they expire


def credential_source(environ: Mapping[str, str], upstream: Upstream, clock: Clock) -> CredentialSource:
    """The one that the variables name."""
    if url := environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return _Endpoint(url, environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""), upstream, clock)
    known = Credentials(
        environ.get("AWS_ACCESS_KEY_ID", ""),
        environ.get("AWS_SECRET_ACCESS_KEY", ""),
        environ.get("AWS_SESSION_TOKEN"),
    )

    async def source() -> Credentials:
        return known

    return source


@dataclass(slots=True)
class _Endpoint:
    """Two that ask at once may both fetch: the answers are as good as each other."""

    url: str
    token: str
    upstream: Upstream
    clock: Clock
    known: Credentials | None = None
    until_ms: int = 0

    async def __call__(self) -> Credentials:
        """See `CredentialSource`."""
        if self.known is None or self.clock.now_ms() >= self.until_ms - _RENEWED_MS:
            await self._fetch()
        assert self.known is not None
        return self.known

    async def _fetch(self) -> None:
        request = UpstreamRequest("GET", self.url, (("authorization", self.token),), b"", _TIMEOUTS)
        body = b""
        try:
            async with self.upstream.send(request) as response:
                while piece := await response.read():
                    body += piece
                told = json.loads(body)
            self.known = Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["Token"])
            self.until_ms = int(datetime.fromisoformat(told["Expiration"]).timestamp() * 1000)
        except (UpstreamError, ValueError, KeyError) as error:
            # the error's own words may hold what was answered
            raise StorageUnavailable("The store cannot be reached just now. Try again.") from error
