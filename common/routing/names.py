"""From the name that a client asks for to those that may answer. Pure, but for what it remembers.

A name is, in this order: a model of the configuration; an alias of one or several; `sluice/premium`, `sluice/standard`,
`sluice/budget` (all models of that tier) or `sluice/auto` (all that have a tier, the cheapest first); or it fits a
model with a star. A key may reach what it may ask for: of several models, those that its patterns have are left.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from common.model.catalog import Tier
from common.model.errors import ModelNotFound
from common.model.principal import Principal
from common.routing.candidates import Candidate
from common.settings import ModelSettings, Policy, Settings
from common.settings.catalog import Catalog
from common.settings.models import STAR, fits, known_of

AUTO: Final = "sluice/auto"
OF_TIERS: Final = {tier: f"sluice/{tier}" for tier in Tier}
_REMEMBERED: Final = 1024  # names that fit a star, and what is left of a name for restricted keys
_NEAR: Final = 3
_LONGEST_NEAR: Final = 64  # characters; what is longer is no slip of the pen
_MOST_NAMES: Final = 2000  # that are looked through


@dataclass(frozen=True, slots=True)
class Resolved:
    """Who may answer by a name, in the order in which it is written."""

    name: str
    candidates: tuple[Candidate, ...]
    policy: Policy
    every: tuple[Candidate, ...] = field(
        default=(), compare=False, repr=False
    )  # of several models, with repetitions
    memory: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)  # of `selection.py`

    @property
    def is_one_model(self) -> bool:
        """Whether it stands for itself, not for others that could be asked for as well."""
        return all(candidate.name == self.name for candidate in self.candidates)


class Directory:
    """All names that can be asked for. Made once from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._catalog = Catalog(settings.catalog)
        self._starred = sorted(
            (model for name, model in settings.models.items() if STAR in name),
            key=lambda model: len(model.name),
            reverse=True,
        )
        self._starred_found: dict[str, Resolved] = {}
        self._left: dict[tuple[str, tuple[str, ...]], Resolved] = {}
        models = {
            name: self._of_model(name, model) for name, model in settings.models.items() if STAR not in name
        }
        self._named: dict[str, Resolved] = {**self._virtual(models), **models}
        for alias, names in settings.aliases.items():
            self._named[alias] = self._of_alias(alias, names)

    def resolve(self, name: str, principal: Principal) -> Resolved:
        """Who may answer this caller by this name. `ModelNotFound`, with names that are near, where nobody may."""
        resolved = self.find(name, principal)
        if resolved is None:
            raise self._not_found(name, principal)
        return resolved

    def find(self, name: str, principal: Principal) -> Resolved | None:
        """The same; None where nobody may."""
        if principal.models and not principal.may_use(name):
            return None
        resolved = self._named.get(name) or self._of_star(name)
        if resolved is None or not principal.models or resolved.is_one_model:
            return resolved
        return self._left_to(principal, resolved)

    def names(self, principal: Principal) -> list[str]:
        """All names that can be listed and that the caller may ask for, in order."""
        return [name for name in sorted(self._named) if self.find(name, principal) is not None]

    def context_fallbacks(self, candidate: Candidate, principal: Principal) -> Iterator[Candidate]:
        """Who is asked where a request was too long for the model."""
        return self._all(candidate.model.context_fallbacks, principal)

    def content_filter_fallbacks(self, candidate: Candidate, principal: Principal) -> Iterator[Candidate]:
        """Who is asked where a content filter refused a request to the model."""
        return self._all(candidate.model.content_filter_fallbacks, principal)

    def _all(self, names: Iterable[str], principal: Principal) -> Iterator[Candidate]:
        for name in names:
            resolved = self.find(name, principal)
            yield from resolved.candidates if resolved is not None else ()

    def _of_model(self, name: str, model: ModelSettings) -> Resolved:
        candidates = tuple(Candidate(model, target, name) for target in model.targets)
        return Resolved(name, candidates, model.policy or self._settings.routing.policy)

    def _virtual(self, models: Mapping[str, Resolved]) -> dict[str, Resolved]:
        of_tiers: dict[str, list[Resolved]] = {}
        for each in models.values():
            tier = each.candidates[0].model.tier
            if tier is not None:
                of_tiers.setdefault(OF_TIERS[tier], []).append(each)
                of_tiers.setdefault(AUTO, []).append(each)
        usual = self._settings.routing.policy
        return {
            name: _joined(name, all_of, Policy.CHEAPEST if name == AUTO else usual)
            for name, all_of in of_tiers.items()
        }

    def _of_alias(self, alias: str, names: tuple[str, ...]) -> Resolved:
        """The settings hold that each of the names is there."""
        all_of = [found for name in names if (found := self._named.get(name) or self._of_star(name))]
        policy = all_of[0].policy if len(all_of) == 1 else self._settings.routing.policy
        return _joined(alias, all_of, policy)

    def _of_star(self, name: str) -> Resolved | None:
        """The model with a star that the name fits; of several, the one that says most."""
        found = self._starred_found.get(name)
        if found is None:
            for model in self._starred:
                middle = fits(model.name, name)
                if middle is not None:
                    found = self._of_model(name, self._put_in(model, middle))
                    _remember(self._starred_found, name, found)
                    break
        return found

    def _put_in(self, model: ModelSettings, middle: str) -> ModelSettings:
        """The model with what stands for its star, and what the catalog knows of its targets then."""
        targets = []
        for target in model.targets:
            reached = replace(target, model=target.model.replace(STAR, middle))
            targets.append(known_of(reached, self._settings.providers[target.provider], self._catalog))
        return replace(model, targets=tuple(targets))

    def _left_to(self, principal: Principal, resolved: Resolved) -> Resolved | None:
        key = (resolved.name, principal.models)
        left = self._left.get(key)
        if left is None:
            reachable = [each for each in resolved.every if principal.may_use(each.name)]
            left = _once(resolved.name, reachable, resolved.policy)
            _remember(self._left, key, left)
        return left if left.candidates else None

    def _not_found(self, name: str, principal: Principal) -> ModelNotFound:
        error = ModelNotFound.named(name)
        near = self._near(name, principal) if len(name) <= _LONGEST_NEAR else []
        if near:
            error.message += f" Did you mean {' or '.join(f'`{each}`' for each in near)}?"
        return error

    def _near(self, name: str, principal: Principal) -> list[str]:
        from difflib import get_close_matches

        names = [each for each in self.names(principal)[:_MOST_NAMES] if len(each) <= _LONGEST_NEAR]
        last = name.rpartition("/")[2].lower()
        same = [each for each in names if each.rpartition("/")[2].lower() == last]
        return list(dict.fromkeys([*same, *get_close_matches(name, names, _NEAR)]))[:_NEAR]


def _joined(name: str, all_of: Iterable[Resolved], policy: Policy) -> Resolved:
    """The candidates of several names, one behind the other."""
    return _once(
        name, [each for resolved in all_of for each in resolved.every or resolved.candidates], policy
    )


def _once(name: str, every: Sequence[Candidate], policy: Policy) -> Resolved:
    """Each target once, by the first model that has it."""
    once: dict[str, Candidate] = {}
    for candidate in every:
        once.setdefault(candidate.to, candidate)
    return Resolved(name, tuple(once.values()), policy, tuple(every))


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    """Within bounds: clients choose the keys."""
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
