"""What a composition root wires, once per process: the ports and the settings that every request shares."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from common.access.authenticate import Authenticator
from common.ports import Clock, DeadLetters, Meter, Timeouts, Upstream, UsageStore
from common.providers.openai import Provider
from common.settings import Settings


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

    @property
    def timeouts(self) -> Timeouts:
        """How long a provider may take."""
        server = self.settings.server
        return Timeouts(
            connect_s=server.connect_timeout_s,
            first_byte_s=server.first_byte_timeout_s,
            idle_s=server.idle_timeout_s,
            total_s=server.total_timeout_s,
        )
