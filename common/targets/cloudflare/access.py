"""An account's stores by Cloudflare's HTTP API, with the operator's own token.

Variables are wrangler's own: developers.cloudflare.com/workers/wrangler/system-environment-variables/ (November 2026).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from common.adapters.cloudflare.namespace_http import HttpNamespace
from common.adapters.sql.d1 import MigratedD1
from common.adapters.sql.d1_http import HttpD1
from common.adapters.sql.migrations import migrations
from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import StorageUnavailable
from common.ports import Timeouts, UpstreamRequest
from common.targets.cloudflare.wrangler import Deployment, deployment
from common.wire.cloudflare_api import result_of

TOKEN: Final = "CLOUDFLARE_API_TOKEN"  # noqa: S105 - the variable's name
ACCOUNT: Final = "CLOUDFLARE_ACCOUNT_ID"
BASE_URL: Final = "CLOUDFLARE_API_BASE_URL"
_BASE_URL: Final = "https://api.cloudflare.com/client/v4"
# a query of D1's takes 30 s at most
_TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=35.0, idle_s=10.0, total_s=45.0)


@dataclass(frozen=True, slots=True)
class Access:
    """Where calls go, and what they are made with."""

    base_url: str
    account_id: str
    token: str
    to: Deployment

    def __repr__(self) -> str:
        """Without the token."""
        return f"Access({self.base_url}, {self.account_id})"

    def reach(self, upstream: PooledUpstream) -> "Reached":
        """The stores; nobody is asked yet."""
        database = partial(self._call, upstream, f"/d1/database/{self.to.database_id}")
        namespace = partial(self._call, upstream, f"/storage/kv/namespaces/{self.to.namespace_id}")
        migrated = MigratedD1(HttpD1(partial(database, "POST", "/raw")), migrations()[-1].version)
        return Reached(self, upstream, migrated, HttpNamespace(namespace))

    async def scripts(self, upstream: PooledUpstream) -> Any:
        """The account's Workers. `ApiRefused`, `UpstreamError`."""
        return result_of(*await self._call(upstream, "/workers", "GET", "/scripts"))

    async def _call(
        self, upstream: PooledUpstream, of: str, method: str, path: str, body: bytes = b""
    ) -> tuple[int, bytes]:
        url = f"{self.base_url}/accounts/{self.account_id}{of}{path}"
        headers = (("authorization", f"Bearer {self.token}"), ("content-type", "application/json"))
        pieces: list[bytes] = []
        async with upstream.send(UpstreamRequest(method, url, headers, body, _TIMEOUTS)) as response:
            while piece := await response.read():
                pieces.append(piece)
        return response.status, b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Reached:
    """What is there."""

    access: Access
    upstream: PooledUpstream
    database: MigratedD1
    namespace: HttpNamespace


def access_of(stage: str, file: Path, environ: Mapping[str, str]) -> Access:
    """By wrangler.toml and variables. `StorageUnavailable` tells what is missing."""
    try:
        to = deployment(stage, file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StorageUnavailable(
            f"{error} Run this where {file} is, once it has the ids that wrangler printed."
        ) from None
    token, account = (environ.get(name, "").strip() for name in (TOKEN, ACCOUNT))
    if not token:
        raise StorageUnavailable(f"There is no API token: set {TOKEN}.")
    if not (account or to.account_id):
        raise StorageUnavailable(f"No account is named: set {ACCOUNT}, or account_id in {file}.")
    base_url = environ.get(BASE_URL) or _BASE_URL
    return Access(base_url.rstrip("/"), account or to.account_id, token, to)
