"""Where the configuration comes from: the file that is named, else `sluice.toml`, else what holds without a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.settings import DEFAULT_TOML, FILE_NAME, Mistake, Settings, SettingsError, parse_settings
from common.settings.catalog import CATALOG_NAME
from common.settings.references import Fetched, Known, missing
from common.targets.stores import Place


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
    settings = parse_settings(text, variables, str(path), catalog=_catalog(catalog_beside(named)))
    return Configuration(settings, str(path))


async def load_at(
    place: Place, named: Path | None, variables: Mapping[str, str]
) -> tuple[Configuration, Fetched]:
    """The configuration with the secrets that are kept at `place`, and what came of fetching them. `SettingsError`.

    `StorageUnavailable` where nobody can be asked for them. Of those that cannot be had there are stand-ins.
    """
    configuration = load(named, Known(variables))
    references = missing(configuration.settings.secrets)
    if not references:
        return configuration, Fetched()
    fetched = await place.secrets(references)
    if fetched is None:
        return load(named, variables), Fetched()  # which says of each that it is not for here
    return load(named, Known(variables, fetched.values)), fetched


def catalog_beside(named: Path | None) -> Path:
    """Where what providers tell of their models is kept."""
    return (named or Path(FILE_NAME)).with_name(CATALOG_NAME)


def _catalog(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise _unreadable(path, "cannot be read: delete it, or make it anew") from None


def _unreadable(path: Path, why: str) -> SettingsError:
    return SettingsError((Mistake(str(path), "", why),))
