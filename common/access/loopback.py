"""Authentication that is off, for one machine that nobody else reaches (`sluice serve --insecure`)."""

from collections.abc import Collection
from typing import Final

from common.access.authenticate import Authenticator
from common.model.errors import PermissionDenied
from common.model.ids import KeyId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, Principal
from common.ports import Background

LOCAL: Final = Principal(KeyId("key_local"), UserId("local"), DEFAULT_PERMISSIONS)


class LoopbackAccess(Authenticator):
    """Whoever comes is `LOCAL`, without limits; no key is looked at.

    But for web pages: any that is open in a browser of this machine can send requests to it. Those need an origin that
    is configured for CORS, as they do for reading the answer.
    """

    def __init__(self, instead_of: Authenticator, origins: Collection[str]) -> None:
        super().__init__(instead_of.keys, instead_of.users, instead_of.plans, instead_of.clock)
        self._origins = frozenset(origins)

    async def authenticate(
        self,
        authorization: str | None,  # noqa: ARG002
        origin: str | None = None,
        background: Background | None = None,  # noqa: ARG002
    ) -> Principal:
        """See `Authenticator.authenticate`."""
        if origin is not None and origin not in self._origins:
            raise PermissionDenied(
                "Authentication is off here, so web pages may ask only from an origin in `cors_origins`.",
                code="origin_not_allowed",
            )
        return LOCAL
