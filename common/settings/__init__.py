"""One frozen `Settings`, parsed from `sluice.toml` and a mapping of variables. Nothing else reads configuration.

All mistakes are reported together, each with its place and what was expected there. The file holds no secret: a
provider's key is a reference, `env:NAME`, which is looked up in the variables; `references.py` has those of AWS.
"""

from common.settings.mistakes import Mistake, SettingsError
from common.settings.parse import DEFAULT_TOML, EMBEDDED_MODEL, FILE_NAME, parse_settings
from common.settings.values import (
    CloudflareAiGateway,
    LogBodies,
    LogLevel,
    ModelSettings,
    OnDisconnect,
    OnStorageFailure,
    PlanSettings,
    Policy,
    ProviderKind,
    ProviderSettings,
    RoutingSettings,
    Secret,
    ServerSettings,
    Settings,
    TargetSettings,
)

__all__ = [
    "DEFAULT_TOML",
    "EMBEDDED_MODEL",
    "FILE_NAME",
    "CloudflareAiGateway",
    "LogBodies",
    "LogLevel",
    "Mistake",
    "ModelSettings",
    "OnDisconnect",
    "OnStorageFailure",
    "PlanSettings",
    "Policy",
    "ProviderKind",
    "ProviderSettings",
    "RoutingSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "TargetSettings",
    "parse_settings",
]
