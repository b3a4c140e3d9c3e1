"""The handlers of `common.targets.aws.entry` over stores in memory, for processes that a test starts.

Not for a test to import: it replaces the stores of the root. `_HANDLER` is `tests.support.on_lambda.<function>`. The
variable `SLUICE_TEST_KEYS` has what the stores hold: a JSON list of keys, each with its plan.
"""

import asyncio
import json
import os

from common.access.api_key import hash_key
from common.adapters.dynamodb.client import DynamoClient
from common.adapters.memory import MemoryKeyStore, MemoryUserStore
from common.model.ids import KeyId, UserId
from common.model.principal import DEFAULT_PERMISSIONS, KeyRecord
from common.targets.aws import entry, root
from common.targets.aws.handler import Handler


def _stores(client: DynamoClient, table: str) -> root.AwsStores:
    keys = MemoryKeyStore()
    for number, key in enumerate(json.loads(os.environ["SLUICE_TEST_KEYS"])):
        record = KeyRecord(
            id=KeyId(f"key_{number}"),
            key_hash=hash_key(key["key"]),
            user=UserId("ada"),
            name="test",
            permissions=DEFAULT_PERMISSIONS,
            created_ms=1,
            plan=key.get("plan", ""),
        )
        asyncio.run(keys.create(record))  # no loop runs yet: handlers are made before
    return root.AwsStores(keys, MemoryUserStore())


root.open_stores = _stores


def __getattr__(name: str) -> Handler:
    """See `common.targets.aws.entry`."""
    handler: Handler = getattr(entry, name)
    return handler
