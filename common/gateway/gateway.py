"""What a composition root wires, once per process: the ports and the settings that every request shares."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.access.authenticate import Authenticator
from common.gateway.pace import Paces
from common.ports import Clock, DeadLetters, Meter, Upstream, UsageStore
from common.providers.provider import Provider
from common.routing.health import Health
from common.routing.names import Directory
from common.routing.sharing import Sharing
from common.settings import OnDisconnect, Settings


@dataclass(frozen=True, slots=True)
class Route:
    """A provider and the way to it."""

    provider: Provider
    upstream: Upstream


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything a function may need. It holds nothing that belongs to one request."""

    settings: Settings
    authenticator: Authenticator
    meter: Meter
    usage: UsageStore
    dead_letters: DeadLetters
    routes: Mapping[str, Route]  # by the provider's name
    clock: Clock
    rng: random.Random
    health: Health = field(default_factory=Health)
    sharing: Sharing | None = None  # of `health`; None: there is no other instance
    paces: Paces = field(init=False)
    directory: Directory = field(init=False)
    drains: bool = field(init=False)  # whether any provider's answers are read to their end without a client

    def __post_init__(self) -> None:
        """What follows from the settings alone."""
        object.__setattr__(self, "paces", Paces(self.settings.server, self.settings.routing))
        object.__setattr__(self, "directory", Directory(self.settings))
        manners = [route.provider.on_disconnect for route in self.routes.values()]
        object.__setattr__(self, "drains", OnDisconnect.DRAIN in manners)
