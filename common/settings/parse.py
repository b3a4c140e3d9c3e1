"""From the text of `sluice.toml` and a mapping of variables to `Settings`, or to all that is wrong with them."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from common.model.limits import Limit, Limits
from common.settings.catalog import CATALOG_NAME, Catalog
from common.settings.mistakes import Mistake, SettingsError, dotted, expectation, toml_key
from common.settings.models import ModelsParser
from common.settings.references import ENV_PREFIX, is_kept_elsewhere, place_of
from common.settings.tables import (
    BudgetTable,
    CloudflareAiGatewayTable,
    PlanTable,
    ProviderTable,
    ServerSecretsTable,
)
from common.settings.values import (
    CloudflareAiGateway,
    OnDisconnect,
    OnStorageFailure,
    PlanSettings,
    ProviderKind,
    ProviderSettings,
    RoutingSettings,
    Secret,
    ServerSettings,
    Settings,
)

FILE_NAME: Final = "sluice.toml"
SHORTEST_END_USER_KEY: Final = 16  # characters
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
    ProviderKind.ANTHROPIC: OnDisconnect.CANCEL,
    ProviderKind.EMBEDDED: OnDisconnect.CANCEL,
}
_TELLS_LATER: Final = frozenset({ProviderKind.OPENROUTER})  # what an answer did cost, by its id

_ADAPTERS: Final[dict[type, TypeAdapter[Any]]] = {}  # to make one takes longer than all that is done with it

_T = TypeVar("_T")


def parse_settings(
    text: str, variables: Mapping[str, str], file: str = FILE_NAME, *, catalog: str = ""
) -> Settings:
    """The settings that `text` (TOML) describes. `SettingsError` tells all mistakes, `file` names their place.

    `catalog`: the text of the operator's own, where there is one.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also of a number with too many digits
        raise SettingsError((Mistake(file, "", f"expected TOML: {error}"),)) from None
    try:
        known = Catalog(catalog)
    except ValueError as error:
        raise SettingsError(
            (Mistake(CATALOG_NAME, "", f"{error}: `sluice models refresh` makes it anew"),)
        ) from None
    return _Parser(file, variables).parse(document, known)


class _Parser:
    """Collects mistakes while it builds `Settings`."""

    def __init__(self, file: str, variables: Mapping[str, str]) -> None:
        self._file = file
        self._variables = variables
        self._mistakes: list[Mistake] = []

    def parse(self, document: Mapping[str, Any], known: Catalog) -> Settings:
        sections = ("server", "providers", "models", "aliases", "routing", "plans")
        for name in document:
            if name not in sections:
                self._mistake(toml_key(name), f"not a known section; known: {', '.join(sections)}")
        server = self._server(document.get("server", {}))
        providers = {
            name: provider
            for name, table in self._tables("providers", document)
            if (provider := self._provider(name, table)) is not None
        }
        parser = ModelsParser(self._table, self._mistake, document.get("providers"), providers, known)
        models = {
            name: model
            for name, table in self._tables("models", document)
            if (model := parser.model(name, table)) is not None
        }
        aliases = parser.aliases(document.get("aliases", {}), models)
        parser.fallbacks(models, aliases)
        routing = self._table("routing", document.get("routing", {}), RoutingSettings)
        plans = {
            name: plan
            for name, table in self._tables("plans", document)
            if (plan := self._plan(name, table)) is not None
        }
        if self._mistakes:
            raise SettingsError(tuple(self._mistakes))
        assert server is not None
        assert routing is not None
        return Settings(server, providers, models, plans, aliases, routing, known.text)

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
            if (adapter := _ADAPTERS.get(shape)) is None:
                adapter = _ADAPTERS[shape] = TypeAdapter(shape)
            return cast("_T", adapter.validate_json(text, strict=True))
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
        key, reference = "server.end_user_key", references.end_user_key
        secret = self._secret(key, reference)
        if 0 < len(secret.value) < SHORTEST_END_USER_KEY:
            self._mistake(
                key, f"expected at least {SHORTEST_END_USER_KEY} characters in {place_of(reference)}"
            )
        return replace(server, end_user_key=secret)

    def _provider(self, name: str, table: Any) -> ProviderSettings | None:
        key = f"providers.{toml_key(name)}"
        if "/" in name:
            self._mistake(key, "expected a name without slashes: targets are written provider/upstream-model")
        parsed = self._table(key, table, ProviderTable)
        if parsed is None:
            return None
        gateway = self._ai_gateway(f"{key}.cloudflare_ai_gateway", parsed.cloudflare_ai_gateway)
        if parsed.kind is ProviderKind.OPENAI and parsed.base_url is None and gateway is None:
            self._mistake(f"{key}.base_url", "required for this kind, like https://llm.example.com/v1")
        if parsed.kind in {ProviderKind.OPENROUTER, ProviderKind.ANTHROPIC} and not parsed.api_key:
            variable = f"{parsed.kind.value.upper()}_API_KEY"
            self._mistake(f"{key}.api_key", f'required for this kind, like "env:{variable}"')
        if parsed.kind is ProviderKind.EMBEDDED and (parsed.base_url or parsed.api_key or gateway):
            self._mistake(key, "expected neither base_url nor api_key for this kind")
        if parsed.on_disconnect is OnDisconnect.RECONCILE and parsed.kind not in _TELLS_LATER:
            self._mistake(
                f"{key}.on_disconnect", 'expected "cancel" or "drain": this kind cannot be asked later'
            )
        secrets = [self._secret(f"{key}.api_key", reference) for reference in parsed.api_key]
        on_disconnect = parsed.on_disconnect or _ON_DISCONNECT[parsed.kind]
        return ProviderSettings(name, parsed.kind, parsed.base_url, tuple(secrets), on_disconnect, gateway)

    def _ai_gateway(self, key: str, table: Any) -> CloudflareAiGateway | None:
        parsed = None if table is None else self._table(key, table, CloudflareAiGatewayTable)
        if parsed is None:
            return None
        token = None if parsed.token is None else self._secret(f"{key}.token", parsed.token)
        return CloudflareAiGateway(parsed.account, parsed.gateway, token)

    def _secret(self, key: str, reference: str) -> Secret:
        value = self._variables.get(reference.removeprefix(ENV_PREFIX), "").strip()
        if not value and is_kept_elsewhere(reference):
            self._mistake(key, f'expected "env:NAME" here: {reference} is read on AWS only')
        elif not value:
            self._mistake(key, f"expected {place_of(reference)} to be set")
        elif not (value.isascii() and value.isprintable()):
            self._mistake(key, f"expected printable ASCII in {place_of(reference)}")
        return Secret(value)

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
