"""Which targets there are to know the health of, and which models have nobody left. By the configuration; pure."""

from collections.abc import Collection, Iterator, Sequence

from common.routing.candidates import Candidate
from common.settings import ModelSettings, Settings
from common.settings.models import STAR


def candidates_of(settings: Settings) -> Sequence[Candidate]:
    """Each target that is written with its whole name, once."""
    once: dict[str, Candidate] = {}
    for model in _models(settings):
        for target in model.targets:
            candidate = Candidate(model, target, model.name)
            once.setdefault(candidate.to, candidate)
    return list(once.values())


def keys_of(settings: Settings) -> Sequence[tuple[str, str]]:
    """Their providers and models."""
    return [(each.target.provider, each.target.model) for each in candidates_of(settings)]


def degraded(settings: Settings, troubled: Collection[tuple[str, str]]) -> Sequence[str]:
    """Models that have no target but those whose breakers are not closed: `troubled`."""
    return [
        model.name
        for model in _models(settings)
        if all((target.provider, target.model) in troubled for target in model.targets)
    ]


def _models(settings: Settings) -> Iterator[ModelSettings]:
    return (model for name, model in settings.models.items() if STAR not in name)
