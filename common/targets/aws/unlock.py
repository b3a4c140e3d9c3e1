"""The gateway with the secrets that AWS keeps, as they are now.

It is opened without them. Whoever needs them asks with each request, and is answered from memory but for once in five
minutes. A provider whose key is not there refuses with a 503, and the next candidate is tried; what needs no secret
works on.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final

from common.gateway.gateway import Gateway, Route
from common.model.errors import ModelUnavailable
from common.ports import Upstream, UpstreamRequest, UpstreamResponse
from common.providers.provider import provider_of
from common.settings import Secret, Settings, SettingsError
from common.settings.references import reference_of
from common.targets.aws.asgi import Application, Message, Receive, Send
from common.targets.aws.log import log_to_stdout
from common.targets.aws.secrets import SecretCache

_MESSAGE: Final = "What the gateway asks the provider with cannot be read just now. Try again."

_log = logging.getLogger("sluice.secrets")


class Locked:
    """An `Upstream` of a provider whose key is not there."""

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:  # noqa: ARG002
        """Nothing is sent: `ModelUnavailable`."""
        raise ModelUnavailable(_MESSAGE)


def routes_of(settings: Settings, upstream: Upstream) -> dict[str, Route]:
    """The ways to all providers, by those of their keys that are there."""
    end_user_key = settings.server.end_user_key
    # without it, requests would be recorded as if they were of other people
    all_locked = end_user_key is not None and not _is_there(end_user_key)
    routes = {}
    for name, each in settings.providers.items():
        there = tuple(key for key in each.api_keys if _is_there(key))
        others = [secret for secret in each.secrets if secret not in each.api_keys]
        locked = all_locked or not all(map(_is_there, others)) or (bool(each.api_keys) and not there)
        provider = provider_of(replace(each, api_keys=there))
        routes[name] = Route(provider, Locked() if locked else upstream)
    return routes


def _is_there(secret: Secret) -> bool:
    return reference_of(secret.value) is None


class Unlocking:
    """One gateway, in as many forms as its secrets have."""

    def __init__(
        self,
        gateway: Gateway,
        cache: SecretCache,
        read: Callable[[Mapping[str, str]], Settings],
        upstream: Upstream,
    ) -> None:
        """`read`: the settings, given the secrets by their references; `SettingsError`."""
        self._gateway = gateway
        self._cache = cache
        self._read = read
        self._upstream = upstream
        self._used: Mapping[str, str] = {}

    async def current(self) -> Gateway:
        """The same object as before where nothing has changed."""
        values = await self._cache.current()
        if values is not self._used:
            self._used = values
            self._unlock(values)
        return self._gateway

    def _unlock(self, values: Mapping[str, str]) -> None:
        try:
            settings = self._read(values)
        except SettingsError as error:
            _log.error("secrets cannot be used, and what was there before is: %s", error)
            return
        log_to_stdout(settings.secrets, settings.server.log_level)
        self._gateway = replace(self._gateway, settings=settings, routes=routes_of(settings, self._upstream))


class Unlocked:
    """An ASGI application on the gateway as it is now."""

    def __init__(self, unlocking: Unlocking, app_on: Callable[[Gateway], Application]) -> None:
        self._unlocking = unlocking
        self._app_on = app_on
        self._gateway: Gateway | None = None
        self._app: Application | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        gateway = await self._unlocking.current()
        if self._app is None or gateway is not self._gateway:
            self._gateway, self._app = gateway, self._app_on(gateway)
        await self._app(scope, receive, send)
