"""The tables of `sluice.toml`, as they are written there. `parse.py` makes values of them.

A table inside a table is parsed by itself, so that a mistake in it is told with what is known there.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator

from common.model.catalog import Modality, SystemRole, Tier
from common.model.limits import MAX_NANOUSD
from common.model.price import usd_per_million, usd_per_request
from common.settings.references import EXPECTED, is_reference
from common.settings.values import TABLE, OnDisconnect, OnStorageFailure, Policy, ProviderKind

UNLIMITED: Final = "unlimited"
LARGEST_COUNT: Final = 10**12
_NANO_DIGITS: Final = 9
# no query or fragment, which a path could not be appended to, and no user name or password: the file holds no secret
_BASE_URL: Final = re.compile(r'https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!"$->@-~]*)?', re.ASCII)
_MEMBER: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_OUTPUT: Final = ("max_tokens", "max_completion_tokens")  # what is held is held for so much
_NEEDED: Final = (
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "provider",
    "tool_choice",
    "functions",
    "function_call",
)
_PATH_PART: Final = re.compile(r"[\w-]{1,64}", re.ASCII)
_USD: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)


def _http_url(value: Any) -> Any:
    """A base URL without a slash at its end."""
    if not isinstance(value, str) or _BASE_URL.fullmatch(value) is None:
        raise ValueError("expected an address like https://llm.example.com/v1")
    return value.rstrip("/")


def _reference(value: Any) -> Any:
    """One reference."""
    if not is_reference(value):
        raise ValueError(f"{EXPECTED}: this file holds no secret")
    return value


def _references(value: Any) -> Any:
    """One reference or a list of them."""
    references = value if isinstance(value, list) else [value]
    if not all(map(is_reference, references)):
        raise ValueError(f"{EXPECTED}, or a list of such: this file holds no secret")
    return references


def _path_part(value: Any) -> Any:
    if not isinstance(value, str) or _PATH_PART.fullmatch(value) is None:
        raise ValueError("expected an id like my-gateway: letters, digits, hyphens and underscores")
    return value


def nanousd(text: str) -> int:
    """Nano-dollars, of a decimal in USD. Raises `ValueError`."""
    if _USD.fullmatch(text) is None:
        raise ValueError('expected US dollars like "50.00", in quotes')
    dollars, _, rest = text.partition(".")
    amount = int(dollars + rest.ljust(_NANO_DIGITS, "0"))
    if amount > MAX_NANOUSD:
        raise ValueError("expected at most 9000000 US dollars")
    return amount


class Bound(NamedTuple):
    """A limit of a plan."""

    value: int | None  # None: unlimited
    observed: bool = False  # it is counted, but refuses nothing


def _bound(value: Any, read: Callable[[Any], int]) -> Bound:
    """A limit, or a table of one and its mode."""
    mode = "enforce"
    if isinstance(value, dict):
        if "limit" not in value or value.keys() - {"limit", "mode"}:
            raise ValueError('expected a limit, or { limit = ..., mode = "observe" }')
        value, mode = value["limit"], value.get("mode", mode)
    if mode not in ("enforce", "observe"):
        raise ValueError('expected "enforce" or "observe" as mode')
    return Bound(None) if value == UNLIMITED else Bound(read(value), observed=mode == "observe")


def _budget(value: Any) -> Bound:
    return _bound(
        value, lambda each: nanousd(each if isinstance(each, str) else str(each) if type(each) is int else "")
    )


def _count(value: Any) -> Bound:
    return _bound(value, _whole)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise ValueError('expected a whole number from 0, or "unlimited"')
    return value


def _percents(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(each) is int and 1 <= each <= 100 for each in value):
        raise ValueError("expected whole percents from 1 to 100, like [50, 80, 100]")
    return tuple(sorted(set(value)))


def _per_token(value: Any) -> Any:
    return usd_per_million(_decimal(value))


def _per_request(value: Any) -> Any:
    return usd_per_request(_decimal(value))


def _decimal(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('expected a decimal like "0.15", in quotes: it must be exact')  # noqa: TRY004 - pydantic's rule
    return value


def _member(value: Any) -> Any:
    if not isinstance(value, str) or _MEMBER.fullmatch(value) is None:
        raise ValueError('expected a member of a request, like "temperature"')
    return value


def _droppable(value: Any) -> Any:
    if value in _OUTPUT:
        raise ValueError(f'expected a member that a request can go without, not "{value}"')
    return _renamable(value)


def _renamable(value: Any) -> Any:
    if value in _NEEDED:
        raise ValueError(f'expected a member that a request can go without, not "{value}"')
    return _member(value)


Count: TypeAlias = Annotated[Bound, PlainValidator(_count)]
"""A limit of requests or tokens."""

Budget: TypeAlias = Annotated[Bound, PlainValidator(_budget)]
"""A limit of money, in nano-dollars."""

_UNLIMITED: Final = Bound(None)

TokenPrice: TypeAlias = Annotated[int, BeforeValidator(_per_token)]
"""Pico-dollars per token."""

Size: TypeAlias = Annotated[int, Field(ge=1, le=10**9)] | None
"""Tokens."""

Renamable: TypeAlias = Annotated[str, BeforeValidator(_renamable)]
"""A member that a model may know by another name."""

Droppable: TypeAlias = Annotated[str, BeforeValidator(_droppable)]
"""A member that a request may go without, or a feature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSecretsTable:
    """What in `[server]` is a secret; the rest of it is parsed as the settings that it becomes."""

    __pydantic_config__ = TABLE

    end_user_key: Annotated[str | None, BeforeValidator(_reference)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTable:
    """`[providers.NAME]`."""

    __pydantic_config__ = TABLE

    kind: ProviderKind
    base_url: Annotated[str, BeforeValidator(_http_url)] | None = None
    api_key: Annotated[list[str], BeforeValidator(_references)] = field(default_factory=list)
    on_disconnect: OnDisconnect | None = None  # None: as the kind does
    cloudflare_ai_gateway: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudflareAiGatewayTable:
    """`cloudflare_ai_gateway` of a provider."""

    __pydantic_config__ = TABLE

    account: Annotated[str, BeforeValidator(_path_part)]
    gateway: Annotated[str, BeforeValidator(_path_part)]
    token: Annotated[str | None, BeforeValidator(_reference)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """`price`: USD per million tokens of a class; `request` per request."""

    __pydantic_config__ = TABLE

    input: TokenPrice
    output: TokenPrice
    cache_read: TokenPrice | None = None
    cache_write: TokenPrice | None = None
    reasoning: TokenPrice | None = None
    image: TokenPrice | None = None
    audio: TokenPrice | None = None
    request: Annotated[int, BeforeValidator(_per_request)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TraitsTable:
    """What can be said of a target, or of a model for all its targets."""

    __pydantic_config__ = TABLE

    price: Any = None
    context_length: Size = None
    max_output_tokens: Size = None
    modalities: Annotated[list[Modality], Field(min_length=1)] | None = None
    unsupported: list[Droppable] | None = None
    rename: dict[Renamable, Renamable] | None = None
    system_role: SystemRole | None = None
    reasoning: bool | None = None
    assistant_prefill: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTable(TraitsTable):
    """A target that has more to say than where it is."""

    to: str
    weight: Annotated[int, Field(ge=1, le=1000)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTable(TraitsTable):
    """`[models."NAME"]`; what a target does not say holds from here."""

    targets: Annotated[list[Any], Field(min_length=1)]
    tier: Tier | None = None
    policy: Policy | None = None
    context_fallbacks: list[str] = field(default_factory=list)
    content_filter_fallbacks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTable:
    """`[plans.NAME]`."""

    __pydantic_config__ = TABLE

    requests_per_minute: Count = _UNLIMITED
    tokens_per_minute: Count = _UNLIMITED
    requests_per_day: Count = _UNLIMITED
    tokens_per_day: Count = _UNLIMITED
    max_parallel: Count = _UNLIMITED
    max_output_tokens: Size = None
    budget: Any = None
    on_storage_failure: OnStorageFailure = OnStorageFailure.REFUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetTable:
    """`budget` of a plan: USD in a UTC day, in a UTC month, in total; at which percents of each somebody is told."""

    __pydantic_config__ = TABLE

    day: Budget = _UNLIMITED
    month: Budget = _UNLIMITED
    total: Budget = _UNLIMITED
    alerts: Annotated[tuple[int, ...], PlainValidator(_percents)] = ()
