"""Authentication that is off."""

import pytest

from common.access.authenticate import Authenticator
from common.access.loopback import LOCAL, LoopbackAccess
from common.adapters.memory import MemoryKeyStore, MemoryUserStore
from common.model.errors import PermissionDenied
from common.model.limits import UNLIMITED
from tests.support.clock import FakeClock

ACCESS = LoopbackAccess(
    Authenticator(MemoryKeyStore(), MemoryUserStore(), {}, FakeClock()), ["https://app.example"]
)


@pytest.mark.parametrize("header", [None, "", "Bearer sk-else", "Basic x"])
@pytest.mark.parametrize("origin", [None, "https://app.example"])
async def test_everybody_is_local(header: str | None, origin: str | None) -> None:
    """Whatever is sent for a key, it is the local principal: without limits, and without power over keys."""
    principal = await ACCESS.authenticate(header, origin)
    assert principal is LOCAL
    assert (principal.key_limits, principal.user_limits) == (UNLIMITED, UNLIMITED)
    assert principal.permissions == {"chat", "models", "usage:read"}


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:8787"])
async def test_web_pages_are_not(origin: str) -> None:
    """A page that is open in a browser of this machine cannot spend, unless it is configured for CORS."""
    with pytest.raises(PermissionDenied) as denied:
        await ACCESS.authenticate(None, origin)
    assert denied.value.code == "origin_not_allowed"
