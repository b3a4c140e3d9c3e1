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
