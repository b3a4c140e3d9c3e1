"""Who may answer a request: a target, with what is known of it worked out once. Pure."""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

from common.model.catalog import Feature, Modality
from common.routing.adaptation import Adaptation, adaptation_of
from common.settings import ModelSettings, TargetSettings

NO_BOUND: Final = 1 << 62  # tokens, where nobody has named a maximum


class Ability(IntFlag):
    """What a request may need and a model may lack."""

    TOOLS = 1
    RESPONSE_FORMAT = 2
    STRUCTURED_OUTPUTS = 4
    IMAGE = 8
    AUDIO = 16
    FILE = 32


_OF_FEATURES: Final = {
    Feature.TOOLS: Ability.TOOLS,
    Feature.RESPONSE_FORMAT: Ability.RESPONSE_FORMAT,
    Feature.STRUCTURED_OUTPUTS: Ability.STRUCTURED_OUTPUTS,
}
OF_MODALITIES: Final = {
    Modality.IMAGE: Ability.IMAGE,
    Modality.AUDIO: Ability.AUDIO,
    Modality.FILE: Ability.FILE,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target of a model."""

    model: ModelSettings
    target: TargetSettings
    name: str  # that it is reached by, among those that clients can ask for
    lacks: int = field(init=False, compare=False)  # of `Ability`: a plain number is faster
    context: int = field(init=False, compare=False)  # tokens
    output: int = field(init=False, compare=False)  # tokens
    adaptation: Adaptation | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Once, for all requests."""
        target = self.target
        lacks = 0
        for feature, ability in _OF_FEATURES.items():
            if feature in (target.unsupported or ()):
                lacks |= ability
        if target.modalities is not None:
            for modality, ability in OF_MODALITIES.items():
                if modality not in target.modalities:
                    lacks |= ability
        if lacks & Ability.RESPONSE_FORMAT:
            lacks |= Ability.STRUCTURED_OUTPUTS
        derived = {
            "lacks": int(lacks),
            "context": target.context_length or NO_BOUND,
            "output": target.max_output_tokens or NO_BOUND,
            "adaptation": adaptation_of(target),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def to(self) -> str:
        """`provider/upstream-model`."""
        return f"{self.target.provider}/{self.target.model}"
