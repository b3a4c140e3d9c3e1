"""Keys of several users at one gateway, each asking by itself."""

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from common.access.api_key import RANDOM_BYTES
from common.access.new_key import with_secret
from common.model.ids import KeyId, UserId
from common.model.principal import KeyRecord
from tests.support.scripted import ScriptedGateway
from tests.support.wire import Answer

KEYS: Final = "/v1/keys"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has a key."""

    gateway: ScriptedGateway
    key: str
    id: KeyId

    async def ask(self, method: str, path: str, body: Any = None, *lines: str | bytes) -> Answer:
        """One request with the key; `body` in JSON, bytes as they are."""
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.gateway.send(method, path, f"authorization: Bearer {self.key}", *lines, body=sent)

    async def make(self, **what: Any) -> "Caller":
        """A key that is made with this one."""
        made = await self.ask("POST", KEYS, what)
        assert made.status == 201, made.json
        return Caller(self.gateway, made.json["key"], KeyId(made.json["id"]))

    async def is_let_in(self) -> bool:
        """Whether the key is good for anything."""
        return (await self.ask("GET", "/v1/models")).status != 401

    @property
    def path(self) -> str:
        """Of this key."""
        return f"{KEYS}/{self.id}"


async def caller(
    gateway: ScriptedGateway, number: int, user: str = "alice", *permissions: str, **what: Any
) -> Caller:
    """A key that the operator has made; `what` of its record."""
    plain = KeyRecord(KeyId(f"key_{number}"), b"", UserId(user), "", frozenset(permissions), number)
    new = with_secret(replace(plain, **what), number.to_bytes(RANDOM_BYTES))
    await gateway.held.keys.create(new.record)
    return Caller(gateway, new.key, new.record.id)
