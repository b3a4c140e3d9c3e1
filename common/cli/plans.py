"""Plans that are named on the command line."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from common.cli.configuration import load
from common.cli.output import Failed
from common.settings import FILE_NAME, SettingsError


class _AnyVariable(Mapping[str, str]):
    """Every variable is set: whoever looks for a plan needs no provider's key."""

    def __getitem__(self, _name: str) -> str:
        return "not looked at"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def require_plan(plan: str, config: Path | None) -> None:
    """`Failed` where the configuration has no such plan: a key that had it would be refused."""
    try:
        configuration = load(config, _AnyVariable())
    except SettingsError as error:
        raise Failed(*map(str, error.mistakes)) from None
    plans = configuration.settings.plans
    if plan in plans:
        return
    if configuration.file is None:
        why = f"there is no {FILE_NAME} here. --config names the file that has it"
    elif plans:
        why = f"{configuration.file} has {', '.join(plans)}"
    else:
        why = f"{configuration.file} has none. Add a table [plans.NAME]"
    raise Failed(f"There is no plan {plan!r}: {why}.")
