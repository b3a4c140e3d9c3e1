"""From the text of `sluice.toml` and a mapping of variables to `Settings`, or to all that is wrong with them."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from common.model.limits import Limit, Limits
from common.model.price import FREE, Prices
from common.settings.mistakes import Mistake, SettingsError, dotted, expectation, quoted, toml_key
from common.settings.tables import (
    ENV_PREFIX,
    BudgetTable,
    ModelTable,
    PlanTable,
    PriceTable,
    ProviderTable,
    ServerSecretsTable,
    TargetTable,
)
from common.settings.values import (
    ModelSettings,
    OnDisconnect,
    OnStorageFailure,
    PlanSettings,
    ProviderKind,
    ProviderSettings,
    Secret,
    ServerSettings,
    Settings,
    TargetSettings,
)

FILE_NAME: Final = "sluice.toml"
SHORTEST_END_USER_KEY: Final = 16  # characters
EMBEDDED_CONTEXT: Final = 2048  # tokens, as its server is started
EMBEDDED_MODEL: Final = "demo"
DEFAULT_TOML: Final = f"""\
[providers.embedded]
kind = "embedded"

[models.{EMBEDDED_MODEL}]
targets = ["embedded/{EMBEDDED_MODEL}"]
"""  # what holds where there is no file: the embedded model answers

# OpenRouter stops with some of its own providers only, and does not say with which one it was:
# https://openrouter.ai/docs/api-reference/streaming (2026-08-22)
_ON_DISCONNECT: Final = {
    ProviderKind.OPENAI: OnDisconnect.CANCEL,
    ProviderKind.OPENROUTER: OnDisconnect.RECONCILE,
    ProviderKind.EMBEDDED: OnDisconnect.CANCEL,
}
_TELLS_LATER: Final = frozenset({ProviderKind.OPENROUTER})  # what an answer did cost, by its id

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
        server = self._server(document.get("server", {}))
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

    def _server(self, table: Any) -> ServerSettings | None:
        secrets, rest = {}, table
        if isinstance(table, dict):
            names = {each.name for each in fields(ServerSecretsTable)}
            secrets = {name: value for name, value in table.items() if name in names}
            rest = {name: value for name, value in table.items() if name not in names}
        server = self._table("server", rest, ServerSettings)
        references = self._table("server", secrets, ServerSecretsTable)
        if server is None or references is None or references.end_user_key is None:
            return server
        key = "server.end_user_key"
        secret = self._secret(key, references.end_user_key)
        variable = references.end_user_key.removeprefix(ENV_PREFIX)
        if 0 < len(secret.value) < SHORTEST_END_USER_KEY:
            self._mistake(
                key, f"expected at least {SHORTEST_END_USER_KEY} characters in the variable {variable}"
            )
        return replace(server, end_user_key=secret)

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
        if parsed.on_disconnect is OnDisconnect.RECONCILE and parsed.kind not in _TELLS_LATER:
            self._mistake(
                f"{key}.on_disconnect", 'expected "cancel" or "drain": this kind cannot be asked later'
            )
        secrets = [self._secret(f"{key}.api_key", reference) for reference in parsed.api_key]
        on_disconnect = parsed.on_disconnect or _ON_DISCONNECT[parsed.kind]
        return ProviderSettings(name, parsed.kind, parsed.base_url, tuple(secrets), on_disconnect)

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
        return ModelSettings(name, tuple(targets), parsed.tier, tuple(dict.fromkeys(parsed.modalities or ())))

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
        bounds = {
            Limit.REQUESTS_PER_MINUTE: parsed.requests_per_minute,
            Limit.TOKENS_PER_MINUTE: parsed.tokens_per_minute,
            Limit.REQUESTS_PER_DAY: parsed.requests_per_day,
            Limit.TOKENS_PER_DAY: parsed.tokens_per_day,
            Limit.MAX_PARALLEL: parsed.max_parallel,
            Limit.BUDGET_DAY: budget.day,
            Limit.BUDGET_MONTH: budget.month,
            Limit.BUDGET_TOTAL: budget.total,
        }
        limits = Limits(
            **{limit.value: bound.value for limit, bound in bounds.items()},
            observed=frozenset(limit for limit, bound in bounds.items() if bound.observed),
            alerts=budget.alerts,
        )
        if parsed.on_storage_failure is OnStorageFailure.ALLOW and limits.has_budget:
            self._mistake(
                f"{key}.on_storage_failure",
                'expected "refuse" in a plan with a budget: nothing is spent that is not held',
            )
        return PlanSettings(name, limits, parsed.max_output_tokens, parsed.on_storage_failure)


def _kind(table: Any) -> Any:
    return table.get("kind") if isinstance(table, dict) else None
