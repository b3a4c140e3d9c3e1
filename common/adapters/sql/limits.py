"""A key's or user's own limits as a column: JSON by name, null for unlimited."""

import json

from common.model.limits import Limit
from common.model.principal import Overrides


def to_column(overrides: Overrides) -> str:
    """The JSON of it."""
    return json.dumps(dict(sorted(overrides.items())), separators=(",", ":"))


def from_column(text: str) -> Overrides:
    """What was stored."""
    return {Limit(name): value for name, value in json.loads(text).items()}
