"""`sluice users set`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from common.access.authenticate import CACHE_S
from common.access.managed_keys import TRIES
from common.adapters.clock import SystemClock
from common.cli import limits, options
from common.cli.output import show, show_json
from common.cli.plans import require_plan
from common.cli.stores import with_stores
from common.cli.users.described import as_members, described
from common.model.errors import StorageUnavailable
from common.model.ids import UserId
from common.model.principal import UserRecord
from common.ports import UserStore
from common.settings.tables import UNLIMITED
from common.targets.stores import Place


@click.command(
    "set",
    help="Give a user a plan or limits, for all keys together; what is not given stays as it is."
    f" A limit that is given here wins over the plan's; `{UNLIMITED}` lifts the plan's,"
    f" `{limits.PLAN}` lets it hold again.",
)
@click.argument("user", callback=options.printable)
@options.plan
@click.option("--no-plan", is_flag=True, help="Take the plan away.")
@limits.options(UNLIMITED, limits.PLAN)
@options.config
@options.place
@options.as_json
def command(
    user: str,
    plan: str | None,
    config: Path | None,
    place: Place,
    *,
    no_plan: bool,
    as_json: bool,
    **given: int | str | None,
) -> None:
    """Set a user's limits."""
    if plan is not None and no_plan:
        raise click.UsageError("--plan and --no-plan exclude each other.")
    if plan is None and not no_plan and all(value is None for value in given.values()):
        raise click.UsageError("Nothing to set: give --plan, --no-plan or a limit.")
    if plan is not None:
        require_plan(plan, config)
    new_plan = "" if no_plan else plan
    record = with_stores(place, lambda stores: _set(stores.users, UserId(user), new_plan, given), make=True)
    if as_json:
        show_json(as_members(record))
    else:
        noted = f"\nA gateway that is running goes by this within {CACHE_S:.0f} s.\n"
        show([*described(record), (noted, "")])


async def _set(
    users: UserStore, user: UserId, plan: str | None, given: Mapping[str, int | str | None]
) -> UserRecord:
    """`plan` None: as it was."""
    for _ in range(TRIES):
        known = await users.find(user) or UserRecord(user, SystemClock().now_ms())
        record = replace(
            known,
            plan=known.plan if plan is None else plan,
            overrides=limits.changed(known.overrides, given),
        )
        if await users.put(record):
            return record
    raise StorageUnavailable(f"Others are changing the user {user!r} at the same time: try again.")
