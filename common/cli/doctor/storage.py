"""The stores, and the plans of the keys and users in them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from common.cli.doctor.checks import Check
from common.model.errors import StorageUnavailable
from common.model.ids import KeyId
from common.model.principal import KeyRecord, UserRecord
from common.providers.examination import Finding, State
from common.settings import Settings
from common.settings.mistakes import toml_key
from common.targets.local import DATABASE
from common.targets.local_place import LocalPlace, is_missing
from common.targets.stores import Place

_NOBODY: Final = KeyId("key_doctor")  # an id that is never given
_SHOWN: Final = 3


async def check_folder(data: Path, settings: Settings | None) -> list[Check]:
    """The same of the database in the folder `data`, which need not have been made yet."""
    if is_missing(data / DATABASE):
        return [Check("storage", _not_made_yet(data))]
    return await check_stores(LocalPlace(data), f"{data / DATABASE}", settings)


async def check_stores(place: Place, name: str, settings: Settings | None) -> list[Check]:
    """Whether they can be written, and whether the plans that are named in them are among those of `settings`."""
    advice = ""  # in opening, the error itself says what to do
    try:
        async with place.stores() as stores:  # which also brings a schema up to date
            advice = f"Can {name} be written by this user, and is there room? No request is admitted before."
            await stores.keys.note_use(_NOBODY, 0)  # a write that changes nothing
            keys, users = await stores.keys.list(), await stores.users.list()
    except StorageUnavailable as error:
        return [Check("storage", Finding(State.FAILED, error.message, advice))]
    checks = [Check("storage", Finding(State.OK, f"{name} can be written."))]
    if settings is not None:
        checks.append(Check("plans", find_plans(keys, users, settings)))
    return checks


def _not_made_yet(data: Path) -> Finding:
    folder = data.absolute()
    while is_missing(folder):
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Finding(State.OK, f"There is no database in {data} yet: `sluice serve` makes one.")
    said = (
        f"There is no database in {data}, and none can be made: {folder} is not a folder that can be written."
    )
    return Finding(State.FAILED, said, "Make it writable, or choose another folder with --data.")


def find_plans(keys: Iterable[KeyRecord], users: Iterable[UserRecord], settings: Settings) -> Finding:
    """Whether all plans that keys and users have are configured; who has another is refused."""
    keys, users = list(keys), list(users)
    holders = [(f"key {key.id}", key.plan) for key in keys] + [
        (f"user {user.id}", user.plan) for user in users
    ]
    lost = [(holder, plan) for holder, plan in holders if plan and plan not in settings.plans]
    if not lost:
        counted = f"{len(keys)} {'key' if len(keys) == 1 else 'keys'}"
        counted += f" and {len(users)} {'user' if len(users) == 1 else 'users'} with limits"
        return Finding(State.OK, f"All plans of {counted} are configured.")
    shown = ", ".join(f"{holder} ({plan})" for holder, plan in lost[:_SHOWN])
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    plans = " and ".join(f"[plans.{toml_key(plan)}]" for plan in dict.fromkeys(plan for _, plan in lost))
    return Finding(
        State.FAILED,
        f"Plans that are not configured: {shown}{more}. Their requests are refused.",
        f"Configure {plans}, or give other plans with `sluice keys set` and `sluice users set`.",
    )
