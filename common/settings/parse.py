"""From the text of `sluice.toml` and a mapping of variables to `Settings`, or to all that is wrong with them."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from common.model.limits import Limits
from common.model.price import FREE, Prices
from common.settings.mistakes import Mistake, SettingsError, dotted, expectation, quoted, toml_key
from common.settings.tables import (
    ENV_PREFIX,
    BudgetTable,
    ModelTable,
    PlanTable,
    PriceTable,
    ProviderTable,
    TargetTable,
)
from common.settings.values import (
    ModelSettings,
    PlanSettings,
    ProviderKind,
    ProviderSettings,
    Secret,
    ServerSettings,
    Settings,
    TargetSettings,
)

FILE_NAME: Final = "sluice.toml"
EMBEDDED_CONTEXT: Final = 2048  # tokens, as its server is started
EMBEDDED_MODEL: Final = "demo"
DEFAULT_TOML: Final = f"""\
[providers.embedded]
kind = "embedded"

[models.{EMBEDDED_MODEL}]
targets = ["embedded/{EMBEDDED_MODEL}"]
"""  # what holds where there is no file: the embedded model answers

_T = TypeVar("_T")


def parse_settings(text: str, variables: Mapping[str, str], file: str = FILE_NAME) -> Settings:
    """The settings that `text` (TOML) describes. `SettingsError` tells all mistakes, `file` names their place."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also of a number with too many digits
        raise SettingsError((Mistake(file, "", f"expected TOML: {error}"),)) from None
    return _Parser(file, variables).parse(document)


class _Parser:
    """Collects mistakes while it builds `Settings`."""

    def __init__(self, file: str, variables: Mapping[str, str]) -> None:
        self._file = file
        self._variables = variables
        self._mistakes: list[Mistake] = []

    def parse(self, document: Mapping[str, Any]) -> Settings:
        sections = ("server", "providers", "models", "plans")
        for name in document:
            if name not in sections:
                self._mistake(toml_key(name), f"not a known section; known: {', '.join(sections)}")
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
        plans = {
            name: plan
            for name, table in self._tables("plans", document)
            if (plan := self._plan(name, table)) is not None
        }
        if self._mistakes:
            raise SettingsError(tuple(self._mistakes))
        assert server is not None
        return Settings(server, providers, models, plans)

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
            text = json.dumps(table, default=str)
            return TypeAdapter(shape).validate_json(text, strict=True)
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self._mistake(dotted(key, each["loc"]), expectation(each["type"], each["msg"], shape))
            return None

    def _provider(self, name: str, table: Any) -> ProviderSettings | None:
        key = f"providers.{toml_key(name)}"
        if "/" in name:
            self._mistake(key, "expected a name without slashes: targets are written provider/upstream-model")
        parsed = self._table(key, table, ProviderTable)
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
        key = f"models.{quoted(name)}"
        if not name or len(name) > 256 or not name.isprintable():
            self._mistake(key, "expected a name of 1 to 256 printable characters")
        parsed = self._table(key, table, ModelTable)
        if parsed is None:
            return None
        known = providers if isinstance(providers, dict) else {}
        prices = self._prices(f"{key}.price", parsed.price)
        targets = [
            target
            for index, entry in enumerate(parsed.targets)
            if (target := self._target(f"{key}.targets.{index}", entry, parsed, prices, known)) is not None
        ]
        return ModelSettings(name, tuple(targets))

    def _target(
        self, key: str, entry: Any, model: ModelTable, prices: Prices | None, providers: Mapping[str, Any]
    ) -> TargetSettings | None:
        """One target: its own prices and sizes win over its model's."""
        parsed = self._table(key, {"to": entry} if isinstance(entry, str) else entry, TargetTable)
        if parsed is None:
            return None
        provider, _, upstream = parsed.to.partition("/")
        if not (provider and upstream):
            self._mistake(key, 'expected "provider/upstream-model"')
        elif provider not in providers:
            known = ", ".join(map(toml_key, providers)) or "none"
            self._mistake(key, f"no provider {quoted(provider)}; there are: {known}")
        own = self._prices(f"{key}.price", parsed.price)
        is_free = _kind(providers.get(provider)) == ProviderKind.EMBEDDED
        return TargetSettings(
            provider=provider,
            model=upstream,
            prices=own or prices or (FREE if is_free else None),
            context_length=parsed.context_length
            or model.context_length
            or (EMBEDDED_CONTEXT if is_free else None),
            max_output_tokens=parsed.max_output_tokens or model.max_output_tokens,
        )

    def _prices(self, key: str, table: Any) -> Prices | None:
        parsed = None if table is None else self._table(key, table, PriceTable)
        return None if parsed is None else Prices(**asdict(parsed))

    def _plan(self, name: str, table: Any) -> PlanSettings | None:
        key = f"plans.{toml_key(name)}"
        parsed = self._table(key, table, PlanTable)
        if parsed is None:
            return None
        budget = self._table(f"{key}.budget", {} if parsed.budget is None else parsed.budget, BudgetTable)
        if budget is None:
            return None
        limits = Limits(
            requests_per_minute=parsed.requests_per_minute,
            tokens_per_minute=parsed.tokens_per_minute,
            requests_per_day=parsed.requests_per_day,
            tokens_per_day=parsed.tokens_per_day,
            max_parallel=parsed.max_parallel,
            budget_day=budget.day,
            budget_month=budget.month,
            budget_total=budget.total,
        )
        return PlanSettings(name, limits, parsed.max_output_tokens)


def _kind(table: Any) -> Any:
    return table.get("kind") if isinstance(table, dict) else None
