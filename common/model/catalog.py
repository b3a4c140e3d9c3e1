"""What is known of a model that can be asked for, beside its prices."""

from enum import StrEnum


class Tier(StrEnum):
    """How good a model is, and how dear."""

    PREMIUM = "premium"
    STANDARD = "standard"
    BUDGET = "budget"


class Modality(StrEnum):
    """What a message can be made of."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"


class Feature(StrEnum):
    """What a request may need of a model. A model that has it not can't answer; leaving it out is no way."""

    TOOLS = "tools"
    RESPONSE_FORMAT = "response_format"  # any that is not plain text
    STRUCTURED_OUTPUTS = "structured_outputs"  # a `response_format` with a schema


class SystemRole(StrEnum):
    """By which role a model is told what it is there for."""

    SYSTEM = "system"
    DEVELOPER = "developer"
