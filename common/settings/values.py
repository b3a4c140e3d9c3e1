"""What can be configured, as values. `sluice.toml` has a section for each mapping of `Settings`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field

from common.model.catalog import Modality, SystemRole, Tier
from common.model.limits import Limits
from common.model.price import Prices

TABLE: Final = ConfigDict(extra="forbid")
_MIB: Final = 2**20
_ORIGIN: Final = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


def _origin(value: Any) -> Any:
    if not isinstance(value, str) or _ORIGIN.fullmatch(value) is None:
        raise ValueError("expected an origin like https://app.example.com, in lower case and without a path")
    return value


Origin: TypeAlias = Annotated[str, BeforeValidator(_origin)]
"""Scheme, host and port, as browsers send it."""


class ProviderKind(StrEnum):
    """How a provider is spoken to."""

    OPENAI = "openai"  # OpenAI's protocol, at any address
    OPENROUTER = "openrouter"
    ANTHROPIC = "anthropic"  # its Messages API
    EMBEDDED = "embedded"  # the model that comes with the gateway; on one machine only


class OnDisconnect(StrEnum):
    """What becomes of a provider's answer whose client has left."""

    CANCEL = "cancel"  # the connection is closed
    DRAIN = "drain"  # it is read to its end, within bounds, for its usage to be known
    RECONCILE = "reconcile"  # the connection is closed, and the provider is asked later what it charged


class OnStorageFailure(StrEnum):
    """What becomes of a request while its limits cannot be asked for."""

    REFUSE = "refuse"
    ALLOW = "allow"


class Policy(StrEnum):
    """In which order the candidates for a request are tried."""

    PRIORITY = "priority"  # as written
    CHEAPEST = "cheapest"  # by what the request is expected to cost
    FASTEST = "fastest"  # by what was observed
    WEIGHTED = "weighted"  # by lot


class LogLevel(StrEnum):
    """What is logged: this and everything graver."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogBodies(StrEnum):
    """Whose bodies are logged, as far as the redactor lets them through."""

    OFF = "off"
    ERRORS = "errors"  # of requests that did not end well
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that does not print."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[server]`: bounds that hold for all requests. Times in seconds."""

    __pydantic_config__ = TABLE

    max_body_bytes: Annotated[int, Field(ge=1024, le=100 * _MIB)] = 20 * _MIB
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    first_byte_timeout_s: Annotated[float, Field(gt=0, le=900)] = 300.0  # models may think before they answer
    idle_timeout_s: Annotated[float, Field(gt=0, le=900)] = 120.0  # between two pieces of an answer
    keep_alive_s: Annotated[float, Field(gt=0, le=300)] = 15.0  # of silence in a stream
    total_timeout_s: Annotated[float, Field(gt=0, le=3000)] = (
        900.0  # of one provider's answer; holds last 3,600
    )
    log_level: LogLevel = LogLevel.INFO
    log_bodies: LogBodies = LogBodies.OFF
    cors_origins: tuple[Origin, ...] = ()  # of web pages whose scripts may call
    docs: bool = False  # whether /docs and /openapi.json are served
    base_urls: Mapping[str, Origin] = field(default_factory=dict)  # where other functions are, by their names
    end_user_key: Secret | None = None  # what end users are hashed with; None: they are not recorded


@dataclass(frozen=True, slots=True)
class CloudflareAiGateway:
    """`cloudflare_ai_gateway` of a provider: it is asked by way of this one."""

    account: str
    gateway: str
    token: Secret | None = None  # None: it asks for none


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """`[providers.NAME]`."""

    name: str
    kind: ProviderKind
    base_url: str | None = None  # None: the kind's own
    api_keys: tuple[Secret, ...] = ()
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    cloudflare_ai_gateway: CloudflareAiGateway | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All that it is asked with."""
        gateway = self.cloudflare_ai_gateway
        return self.api_keys if gateway is None or gateway.token is None else (*self.api_keys, gateway.token)


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Where a request can go: a model by the name that its provider knows it by. None: nobody has said."""

    provider: str
    model: str
    prices: Prices | None = None
    context_length: int | None = None  # tokens, of input and output together
    max_output_tokens: int | None = None
    modalities: tuple[Modality, ...] | None = None  # that messages may have
    unsupported: frozenset[str] | None = (
        None  # members of a request that it does not take; features among them
    )
    rename: Mapping[str, str] | None = None  # members that it knows by another name
    system_role: SystemRole | None = None  # the one that it takes, of the two
    reasoning: bool | None = None  # it thinks before it answers
    assistant_prefill: bool | None = None  # it goes on with an answer that it is given the beginning of
    weight: int = 1  # its part of the traffic, by the policy `weighted`


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`[models."NAME"]`: what clients ask for. Targets in order of preference.

    A name with a star is of all models whose names fit; so is a target's, which the same characters are put into.
    """

    name: str
    targets: tuple[TargetSettings, ...]
    tier: Tier | None = None
    policy: Policy | None = None  # None: the routing's
    context_fallbacks: tuple[str, ...] = ()  # models for what is too long for all targets
    content_filter_fallbacks: tuple[str, ...] = ()  # models for what a content filter refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """`[routing]`: how the candidates for a request are tried. Times in seconds."""

    __pydantic_config__ = TABLE

    policy: Policy = Policy.PRIORITY
    retries: Annotated[int, Field(ge=0, le=5)] = 2  # at one candidate, after its first attempt
    first_token_timeout_s: Annotated[float, Field(gt=0, le=900)] = 12.0  # where another candidate is left
    slow_first_token_timeout_s: Annotated[float, Field(gt=0, le=900)] = 120.0  # of the last, and of reasoning
    deadline_s: Annotated[float, Field(gt=0, le=3000)] = 900.0  # of a request, all its attempts together
    resume: bool = True  # whether a stream that breaks is continued elsewhere
    drop_params: bool = True  # whether what a model does not take is left out, or refused
    probe: bool = False  # whether targets that failed, or that nobody asks, are asked now and then


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """`[plans.NAME]`: the limits of keys and users that have this plan and none of their own."""

    name: str
    limits: Limits
    max_output_tokens: int | None = None  # of an answer whose request does not say
    on_storage_failure: OnStorageFailure = OnStorageFailure.REFUSE


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured."""

    server: ServerSettings = ServerSettings()
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    plans: Mapping[str, PlanSettings] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # other names, and the models they are of
    routing: RoutingSettings = RoutingSettings()
    catalog: str = ""  # the text of the operator's own

    @property
    def secrets(self) -> list[str]:
        """Every value that must never be shown."""
        keys = [key for provider in self.providers.values() for key in provider.secrets]
        return [key.value for key in (*keys, self.server.end_user_key) if key is not None]
