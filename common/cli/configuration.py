"""Where the configuration comes from: the file that is named, else `sluice.toml`, else what holds without a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.settings import DEFAULT_TOML, FILE_NAME, Mistake, Settings, SettingsError, parse_settings


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings, and the file they come from; None where there is none."""

    settings: Settings
    file: str | None


def load(named: Path | None, variables: Mapping[str, str]) -> Configuration:
    """The configuration. `SettingsError` tells all its mistakes; a file that is named has to exist."""
    path = named or Path(FILE_NAME)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise _unreadable(path, "expected text in UTF-8") from None
    except OSError as error:
        if named is None and isinstance(error, FileNotFoundError):
            return Configuration(parse_settings(DEFAULT_TOML, variables), None)
        raise _unreadable(
            path, f"cannot be read ({error.strerror}): name another file with --config"
        ) from None
    return Configuration(parse_settings(text, variables, str(path)), str(path))


def _unreadable(path: Path, why: str) -> SettingsError:
    return SettingsError((Mistake(str(path), "", why),))
