"""One frozen `Settings`, parsed from `sluice.toml` and a mapping of variables. Nothing else reads configuration.

All mistakes are reported together, each with its place and what was expected there. The file holds no secret: a
provider's key is a reference, `env:NAME`, which is looked up in the variables.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

FILE_NAME: Final = "sluice.toml"
ENV_PREFIX: Final = "env:"
_CONFIG: Final = ConfigDict(extra="forbid")
_MIB: Final = 2**20

_T = TypeVar("_T")


class ProviderKind(StrEnum):
    """How a provider is spoken to."""

    OPENAI = "openai"  # OpenAI's protocol, at any address
    OPENROUTER = "openrouter"
    EMBEDDED = "embedded"  # the model that comes with the gateway; on one machine only


class LogLevel(StrEnum):
    """What is logged: this and everything graver."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that does not print."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[server]`: bounds that hold for all requests. Times in seconds."""

    __pydantic_config__ = _CONFIG

    max_body_bytes: Annotated[int, Field(ge=1024, le=100 * _MIB)] = 20 * _MIB
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    first_byte_timeout_s: Annotated[float, Field(gt=0, le=900)] = 300.0  # models may think before they answer
    idle_timeout_s: Annotated[float, Field(gt=0, le=900)] = 120.0  # between two pieces of an answer
    log_level: LogLevel = LogLevel.INFO


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """`[providers.NAME]`."""

    name: str
    kind: ProviderKind
    base_url: str | None = None  # None: the kind's own
    api_keys: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Where a request can go: a model by the name that its provider knows it by."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`[models."NAME"]`: what clients ask for. Targets in order of preference."""

    name: str
    targets: tuple[TargetSettings, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured."""

    server: ServerSettings = ServerSettings()
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in the configuration that cannot be used."""

    file: str
    key: str  # dotted; empty for the file as a whole
    expected: str

    def __str__(self) -> str:
        """On one line."""
        return f"{self.file}: {self.key}: {self.expected}" if self.key else f"{self.file}: {self.expected}"


class SettingsError(Exception):
    """The configuration has mistakes."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


EMBEDDED_MODEL: Final = "demo"
DEFAULT_TOML: Final = f"""\
[providers.embedded]
kind = "embedded"

[models.{EMBEDDED_MODEL}]
targets = ["embedded/{EMBEDDED_MODEL}"]
"""  # what holds where there is no file: the embedded model answers


def parse_settings(text: str, variables: Mapping[str, str], file: str = FILE_NAME) -> Settings:
    """The settings that `text` (TOML) describes. `SettingsError` tells all mistakes, `file` names their place."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError((Mistake(file, "", f"expected TOML: {error}"),)) from None
    return _Parser(file, variables).parse(document)


def _http_url(value: Any) -> Any:
    """A base URL without a slash at its end."""
    if isinstance(value, str):
        if not value.startswith(("http://", "https://")) or "?" in value or "#" in value:
            raise ValueError("expected an address like https://llm.example.com/v1")
        return value.rstrip("/")
    return value


def _target(value: Any) -> Any:
    """`provider/upstream-model`; the model's own name may hold more slashes."""
    if isinstance(value, str):
        provider, slash, model = value.partition("/")
        if not (provider and slash and model):
            raise ValueError('expected "provider/upstream-model"')
        return {"provider": provider, "model": model}
    return value


def _references(value: Any) -> Any:
    """One reference or a list of them."""
    references = value if isinstance(value, list) else [value]
    if not all(
        isinstance(each, str) and each.startswith(ENV_PREFIX) and each != ENV_PREFIX for each in references
    ):
        raise ValueError('expected "env:NAME" or a list of such: this file holds no secret')
    return references


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProviderTable:
    __pydantic_config__ = _CONFIG

    kind: ProviderKind
    base_url: Annotated[str, BeforeValidator(_http_url)] | None = None
    api_key: Annotated[list[str], BeforeValidator(_references)] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelTable:
    __pydantic_config__ = _CONFIG

    targets: Annotated[list[Annotated[TargetSettings, BeforeValidator(_target)]], Field(min_length=1)]


class _Parser:
    """Collects mistakes while it builds `Settings`."""

    def __init__(self, file: str, variables: Mapping[str, str]) -> None:
        self._file = file
        self._variables = variables
        self._mistakes: list[Mistake] = []

    def parse(self, document: Mapping[str, Any]) -> Settings:
        sections = {"server", "providers", "models"}
        for name in document.keys() - sections:
            self._mistake(name, f"not a known section; known: {', '.join(sorted(sections))}")
        server = self._table("server", document.get("server", {}), ServerSettings)
        providers = {
            name: provider
            for name, table in self._tables("providers", document)
            if (provider := self._provider(name, table)) is not None
        }
        models = {
            name: model
            for name, table in self._tables("models", document)
            if (model := self._model(name, table, document.get("providers"))) is not None
        }
        if self._mistakes:
            raise SettingsError(tuple(self._mistakes))
        assert server is not None
        return Settings(server, providers, models)

    def _mistake(self, key: str, expected: str) -> None:
        self._mistakes.append(Mistake(self._file, key, expected))

    def _tables(self, section: str, document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        tables = document.get(section, {})
        if isinstance(tables, dict):
            yield from tables.items()
        else:
            self._mistake(section, f"expected tables [{section}.NAME]")

    def _table(self, key: str, table: Any, shape: type[_T]) -> _T | None:
        """`table` in its shape, or None with the mistakes written down."""
        # as JSON, whose types are TOML's: strict validation of Python values wants instances, not tables
        try:
            return TypeAdapter(shape).validate_json(json.dumps(table, default=str), strict=True)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self._mistake(_dotted(key, each["loc"]), _expected(each["type"], each["msg"], shape))
            return None

    def _provider(self, name: str, table: Any) -> ProviderSettings | None:
        key = f"providers.{name}"
        if "/" in name:
            self._mistake(key, "expected a name without slashes: targets are written provider/upstream-model")
        parsed = self._table(key, table, _ProviderTable)
        if parsed is None:
            return None
        if parsed.kind is ProviderKind.OPENAI and parsed.base_url is None:
            self._mistake(f"{key}.base_url", "required for this kind, like https://llm.example.com/v1")
        if parsed.kind is ProviderKind.OPENROUTER and not parsed.api_key:
            self._mistake(f"{key}.api_key", 'required for this kind, like "env:OPENROUTER_API_KEY"')
        if parsed.kind is ProviderKind.EMBEDDED and (parsed.base_url or parsed.api_key):
            self._mistake(key, "expected neither base_url nor api_key for this kind")
        secrets = [self._secret(f"{key}.api_key", reference) for reference in parsed.api_key]
        return ProviderSettings(name, parsed.kind, parsed.base_url, tuple(secrets))

    def _secret(self, key: str, reference: str) -> Secret:
        variable = reference.removeprefix(ENV_PREFIX)
        value = self._variables.get(variable, "").strip()
        if not value:
            self._mistake(key, f"expected the variable {variable} to be set")
        elif not (value.isascii() and value.isprintable()):
            self._mistake(key, f"expected printable ASCII in the variable {variable}")
        return Secret(value)

    def _model(self, name: str, table: Any, providers: Any) -> ModelSettings | None:
        key = f'models."{name}"'
        if not name or len(name) > 256 or not name.isprintable():
            self._mistake(key, "expected a name of 1 to 256 printable characters")
        parsed = self._table(key, table, _ModelTable)
        if parsed is None:
            return None
        known = providers if isinstance(providers, dict) else {}
        for index, target in enumerate(parsed.targets):
            if target.provider not in known:
                names = ", ".join(known) or "none"
                self._mistake(
                    f"{key}.targets.{index}", f"no provider `{target.provider}`; there are: {names}"
                )
        return ModelSettings(name, tuple(parsed.targets))


def _dotted(key: str, loc: tuple[int | str, ...]) -> str:
    return ".".join([key, *map(str, loc)])


def _expected(kind: str, message: str, shape: type) -> str:
    match kind:
        case "unexpected_keyword_argument":
            known = ", ".join(name for name in shape.__dataclass_fields__ if not name.startswith("_"))  # type: ignore[attr-defined] # all shapes are dataclasses
            return f"not a known key; known: {known}"
        case "missing":
            return "required"
        case "dataclass_type" | "dataclass_exact_type":
            return "expected a table"
        case "value_error":
            return message.removeprefix("Value error, ")
        case _:
            return message.replace("Input should be", "expected").replace("Value should", "expected to")
