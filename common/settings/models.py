"""The models of `sluice.toml` and their other names: what a table says, and behind it what the catalog knows."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Final, Protocol, TypeVar

from common.model.price import FREE, Prices
from common.settings.catalog import Catalog
from common.settings.mistakes import quoted, toml_key
from common.settings.tables import ModelTable, PriceTable, TargetTable, TraitsTable
from common.settings.values import ModelSettings, ProviderKind, ProviderSettings, TargetSettings

STAR: Final = "*"
VIRTUAL: Final = ("sluice/premium", "sluice/standard", "sluice/budget", "sluice/auto")
EMBEDDED_CONTEXT: Final = 2048  # tokens, as its server is started
_EMBEDDED: Final = TargetSettings("", "", prices=FREE, context_length=EMBEDDED_CONTEXT)
_TRAITS: Final = [each.name for each in fields(TraitsTable) if each.name != "price"]

_T = TypeVar("_T")


class _Read(Protocol):
    def __call__(self, key: str, table: Any, shape: type[_T]) -> _T | None:
        """The table in its shape, or None with the mistakes written down."""


class ModelsParser:
    """Makes models of tables. `read` and `mistake` are the file's parser's; `providers`: the tables as written."""

    def __init__(
        self,
        read: _Read,
        mistake: Callable[[str, str], None],
        providers: Any,
        parsed: Mapping[str, ProviderSettings],
        catalog: Catalog,
    ) -> None:
        self._read = read
        self._mistake = mistake
        self._providers = providers if isinstance(providers, dict) else {}
        self._parsed = parsed  # those without a mistake
        self._catalog = catalog

    def model(self, name: str, table: Any) -> ModelSettings | None:
        """`[models."NAME"]`."""
        key = f"models.{quoted(name)}"
        if not is_a_name(name):
            self._mistake(key, "expected a name of 1 to 256 printable characters")
        if name.count(STAR) > 1:
            self._mistake(key, "expected one * at most")
        parsed = self._read(key, table, ModelTable)
        if parsed is None:
            return None
        prices = self._prices(f"{key}.price", parsed.price)
        targets = [
            target
            for index, entry in enumerate(parsed.targets)
            if (target := self._target(f"{key}.targets.{index}", entry, parsed, prices, starred=STAR in name))
            is not None
        ]
        return ModelSettings(
            name,
            tuple(targets),
            parsed.tier,
            parsed.policy,
            tuple(parsed.context_fallbacks),
            tuple(parsed.content_filter_fallbacks),
        )

    def _target(
        self, key: str, entry: Any, model: ModelTable, prices: Prices | None, *, starred: bool
    ) -> TargetSettings | None:
        """One target: what itself says wins over what its model says, and that over what the catalog knows."""
        parsed = self._read(key, {"to": entry} if isinstance(entry, str) else entry, TargetTable)
        if parsed is None:
            return None
        provider, _, upstream = parsed.to.partition("/")
        if not (provider and upstream):
            self._mistake(key, 'expected "provider/upstream-model"')
        elif provider not in self._providers:
            known = ", ".join(map(toml_key, self._providers)) or "none"
            self._mistake(key, f"no provider {quoted(provider)}; there are: {known}")
        if upstream.count(STAR) > (1 if starred else 0):
            self._mistake(key, "expected no *" if not starred else "expected one * at most")
        said = {
            name: value
            for name in _TRAITS
            if (value := _own_or(getattr(parsed, name), getattr(model, name))) is not None
        }
        if "modalities" in said:
            said["modalities"] = tuple(dict.fromkeys(said["modalities"]))
        if "unsupported" in said:
            said["unsupported"] = frozenset(said["unsupported"])
        own = self._prices(f"{key}.price", parsed.price)
        target = TargetSettings(provider, upstream, own or prices, weight=parsed.weight, **said)
        of = self._parsed.get(provider)
        return target if starred or of is None else known_of(target, of, self._catalog)

    def _prices(self, key: str, table: Any) -> Prices | None:
        parsed = None if table is None else self._read(key, table, PriceTable)
        return None if parsed is None else Prices(**asdict(parsed))

    def aliases(self, tables: Any, models: Mapping[str, ModelSettings]) -> dict[str, tuple[str, ...]]:
        """`[aliases]`, each of models that there are."""
        if not isinstance(tables, dict):
            self._mistake("aliases", 'expected names, like "gpt-4o" = "vendor/model", or a list of them')
            return {}
        aliases = {}
        for name, value in tables.items():
            key = f"aliases.{quoted(name)}"
            names = [value] if isinstance(value, str) else value
            if not is_a_name(name) or STAR in name:
                self._mistake(key, "expected a name of 1 to 256 printable characters, without *")
            elif name in models:
                self._mistake(key, "expected a name that no model has")
            if isinstance(names, list) and names and all(isinstance(each, str) for each in names):
                aliases[name] = tuple(names)
            else:
                self._mistake(key, "expected a model's name, or a list of such")
        for name, names in aliases.items():
            self._there_are(f"aliases.{quoted(name)}", names, models)
        return aliases

    def fallbacks(self, models: Mapping[str, ModelSettings], aliases: Mapping[str, tuple[str, ...]]) -> None:
        """Whether the fallbacks of all models are there."""
        for name, model in models.items():
            key = f"models.{quoted(name)}"
            self._there_are(f"{key}.context_fallbacks", model.context_fallbacks, models, aliases)
            self._there_are(
                f"{key}.content_filter_fallbacks", model.content_filter_fallbacks, models, aliases
            )

    def _there_are(
        self,
        key: str,
        names: tuple[str, ...],
        models: Mapping[str, ModelSettings],
        aliases: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        for name in names:
            known = name in models or name in (aliases or {}) or name in VIRTUAL
            if STAR in name or not (known or any(fits(pattern, name) is not None for pattern in models)):
                self._mistake(key, f"no model {quoted(name)}")


def is_a_name(name: str) -> bool:
    """Whether it can be asked for, and be printed."""
    return bool(name) and len(name) <= 256 and name.isprintable()


def fits(pattern: str, name: str) -> str | None:
    """What stands for the star of `pattern` in `name`; None where that has none, or it does not fit."""
    before, star, after = pattern.partition(STAR)
    if not star or len(name) <= len(before) + len(after):
        return None
    return (
        name[len(before) : len(name) - len(after)]
        if name.startswith(before) and name.endswith(after)
        else None
    )


def known_of(target: TargetSettings, provider: ProviderSettings, catalog: Catalog) -> TargetSettings:
    """The target with what the catalog knows of it, where nothing is said."""
    known = _EMBEDDED if provider.kind is ProviderKind.EMBEDDED else catalog.find(provider, target.model)
    if known is None:
        return target
    unsaid = {
        name: value
        for name in ("prices", *_TRAITS)
        if getattr(target, name) is None and (value := getattr(known, name)) is not None
    }
    return replace(target, **unsaid) if unsaid else target


def _own_or(own: Any, otherwise: Any) -> Any:
    return otherwise if own is None else own
