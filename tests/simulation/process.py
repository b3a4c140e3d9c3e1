"""One instance of the gateway: the application's edge, access, the call and the meter are real."""

import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, ContextVar
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from common.access.authenticate import Authenticator
from common.adapters.background import TaskBackground
from common.adapters.memory import MemoryRows
from common.gateway.gateway import Gateway, Route
from common.http.app import create_app
from common.http.patience import Patience
from common.metering.meter import LimitMeter
from common.metering.rows import Rows
from common.model.admission import Admission, Ask
from common.model.errors import StorageUnavailable
from common.model.ids import RequestId
from common.model.usage import UsageRecord
from common.ports import DeadLetters, KeyStore, Upstream, UserStore
from common.providers.provider import provider_of
from common.settings import Settings, parse_settings
from functions.chat_completions import function
from tests.simulation.loop import OWNER, Owner, SimClock

NONCE: Final[ContextVar[str]] = ContextVar("NONCE")
VARIABLES: Final = {"KEY": "secret", "OTHER": "secret, too"}
TOML: Final = """
[providers.alpha]
kind = "openai"
base_url = "http://alpha/v1"
api_key = ["env:KEY", "env:OTHER"]
[providers.beta]
kind = "openai"
base_url = "http://beta/v1"
on_disconnect = "drain"
[providers.gamma]
kind = "openrouter"
base_url = "http://gamma/v1"
api_key = "env:KEY"

[models.one]
targets = ["alpha/a"]
price = { input = "1", output = "10" }
context_length = 2_000
max_output_tokens = 100
[models.two]
targets = ["alpha/a", { to = "beta/b", price = { input = "3", output = "7" } }]
price = { input = "1", output = "10" }
context_length = 2_000
max_output_tokens = 100
[models.four]
targets = ["beta/b"]
price = { input = "3", output = "7" }
context_length = 2_000
max_output_tokens = 100
[models.three]
targets = ["gamma/c", "alpha/a", { to = "beta/b", price = { input = "3", output = "7" } }]
price = { input = "1", output = "10", cache_read = "0.1" }
context_length = 2_000
max_output_tokens = 100

# the same model in three places; models that go on with what was begun; both, and whom to ask instead
[models.five]
targets = ["alpha/v/m", "gamma/w/m", { to = "beta/M", price = { input = "3", output = "7" } }]
price = { input = "1", output = "10", cache_read = "0.1" }
context_length = 2_000
max_output_tokens = 100
[models.six]
targets = [
  "alpha/a",
  { to = "beta/b", price = { input = "3", output = "7" }, assistant_prefill = true },
  { to = "gamma/c", assistant_prefill = true },
]
price = { input = "1", output = "10", cache_read = "0.1" }
context_length = 2_000
max_output_tokens = 100
[models.seven]
targets = ["gamma/m", { to = "alpha/m", assistant_prefill = true }]
price = { input = "1", output = "10", cache_read = "0.1" }
context_length = 2_000
max_output_tokens = 100
content_filter_fallbacks = ["four"]
context_fallbacks = ["two", "five"]
"""
ROUTINGS: Final = (
    "",
    "retries = 0",
    "retries = 1\nresume = false",
    "first_token_timeout_s = 0.5\nslow_first_token_timeout_s = 20",
)


@cache
def settings(routing: str = "") -> Settings:
    """The configuration of a world, with these lines in `[routing]`."""
    return parse_settings(f"[routing]\n{routing}\n{TOML}", VARIABLES)


@cache
def most_attempts(routing: str, model: str) -> int:
    """How often providers may be asked for one request: each with its retries, and again to go on in the middle."""
    configured = settings(routing)
    asked = configured.models[model]
    names = {model, *asked.context_fallbacks, *asked.content_filter_fallbacks}
    candidates = sum(len(configured.models[name].targets) for name in names)
    return candidates * (1 + configured.routing.retries) + 2 * (candidates - 1)


@dataclass
class Shared:
    """What processes share: stores, the way to providers, and what the world knows of their requests."""

    keys: KeyStore
    users: UserStore
    rows: Rows
    dead_letters: DeadLetters
    upstream: Upstream
    settings: Settings
    ids: dict[str, RequestId] = field(default_factory=dict)  # of requests that came as far as the meter
    admitted: dict[RequestId, "Process"] = field(default_factory=dict)
    settling: set[RequestId] = field(default_factory=set)
    not_taken_back: Counter[RequestId] = field(default_factory=Counter)  # how often that failed


class Process(Owner):
    """See the module. Its tasks run in its `context`."""

    def __init__(self, name: str, shared: Shared, clock: SimClock, rng: random.Random) -> None:
        super().__init__()
        self.name = name
        self.clock = clock
        self.routes = {
            name: Route(provider_of(each), shared.upstream)
            for name, each in shared.settings.providers.items()
        }
        self.context = Context()
        self.context.run(OWNER.set, self)
        self.background = ProcessBackground(self)
        self.authenticator = Authenticator(shared.keys, shared.users, {}, clock)
        gateway = Gateway(
            settings=shared.settings,
            authenticator=self.authenticator,
            meter=WatchedMeter(self, shared),
            usage=MemoryRows(),  # nobody reads it
            dead_letters=shared.dead_letters,
            routes=self.routes,
            clock=clock,
            rng=rng,
        )
        self.app = app_of(gateway)

    def context_of_request(self, nonce: str) -> Context:
        """Where one request is answered; `nonce` is its client's name for it."""
        context = self.context.copy()
        context.run(NONCE.set, nonce)
        return context


_made: Final[list[Any]] = []


def app_of(gateway: Gateway) -> Any:
    """Its application. Only the first is made: to make one takes longer than a whole world."""
    if not _made:
        _made.append(create_app(gateway, [function]))
    app = copy(_made[0])
    app._gateway = gateway
    app._patience = Patience()  # its timer belongs to one process, and to one loop
    return app


class WatchedMeter(LimitMeter):
    """A meter that tells whom it lets in, and whom it settles."""

    def __init__(self, process: Process, shared: Shared) -> None:
        super().__init__(shared.rows, process.clock)
        self._process = process
        self._shared = shared

    async def admit(self, ask: Ask) -> Admission:
        """See `Meter.admit`."""
        self._shared.ids[NONCE.get()] = ask.request_id
        admission = await super().admit(ask)
        self._shared.admitted[ask.request_id] = self._process
        return admission

    async def withdraw(self, ask: Ask) -> None:
        """See `Meter.withdraw`."""
        try:
            await super().withdraw(ask)
        except StorageUnavailable:
            self._shared.not_taken_back[ask.request_id] += 1
            raise

    async def settle(self, admission: Admission, record: UsageRecord) -> None:
        """See `Meter.settle`."""
        self._shared.settling.add(record.request_id)
        await super().settle(admission, record)


class ProcessBackground(TaskBackground):
    """The real one, unless its process is dead: then nothing begins any more."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    def run(self, work: Coroutine[Any, Any, None], *, hurry: Callable[[], None] | None = None) -> None:
        """See `Background.run`."""
        if self._process.alive:
            super().run(work, hurry=hurry)
        else:
            work.close()


def prices() -> Mapping[str, Any]:
    """What each provider charges: as the model says that knows all of them."""
    return {target.provider: target.prices for target in settings().models["three"].targets}
