"""What the commands that work on one key share."""

from collections.abc import Callable

from common.access.managed_keys import change_key
from common.cli.output import Failed
from common.cli.stores import with_stores
from common.model.ids import KeyId
from common.model.principal import KeyRecord
from common.targets.stores import Place


def changed(place: Place, key_id: str, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
    """The key as it is with `change`, however many others change it. `Failed` where there is none."""
    record = with_stores(place, lambda stores: change_key(stores.keys, KeyId(key_id), change))
    if record is None:
        raise unknown(key_id)
    return record


def unknown(key_id: str) -> Failed:
    """What is said of a key that there is not."""
    return Failed(f"There is no key {key_id!r}: `sluice keys list` shows those there are.")
