"""Keys in the API: bodies of requests, and answers.

Amounts of money are decimals of USD in strings, as in `sluice.toml`; times are UTC milliseconds. Fields that are not
known are refused: one that is mistyped would else leave a key without the bound that was meant.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from common.access.new_key import GRACE_MS, LONGEST_GRACE_MS
from common.model.limits import Limit
from common.model.money import MONEY, usd
from common.model.principal import KeyRecord, Overrides, Permission
from common.settings.tables import LARGEST_COUNT, UNLIMITED, nanousd
from common.settings.values import Origin

_BODY: Final = ConfigDict(strict=True, extra="forbid", defer_build=True, hide_input_in_errors=True)
_ANSWER: Final = ConfigDict(defer_build=True)
_LATEST_MS: Final = 2**53 - 1
_RECORDS: Final = {"limits": "overrides"}  # what a field is called in the record, if not the same
_COUNT_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": LARGEST_COUNT},
        {"const": UNLIMITED},
        {"type": "null"},
    ]
}
_MONEY_SCHEMA: Final = {"type": ["string", "null"], "examples": ["50.00", UNLIMITED]}


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("not_printable", "it should be printable characters")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "it should not be blank")
    return value


def _some(value: list[str]) -> list[str]:
    """Null stands for all, so an empty list would be taken for either."""
    if not value:
        raise PydanticCustomError("empty", "it should have at least one item")
    return value


def _count(value: Any) -> Any:
    if value is None or value == UNLIMITED:
        return value
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise PydanticCustomError("limit", 'it should be a whole number from 0, "unlimited" or null')
    return value


def _money(value: Any) -> Any:
    """Nano-dollars."""
    if value is None or value == UNLIMITED:
        return value
    try:
        return nanousd(value)
    except (TypeError, ValueError):
        raise PydanticCustomError(
            "budget", 'it should be US dollars like "50.00", "unlimited" or null'
        ) from None


_Printable: TypeAlias = Annotated[str, AfterValidator(_printable)]
_Name: TypeAlias = Annotated[_Printable, Field(max_length=128)]
_User: TypeAlias = Annotated[_Printable, AfterValidator(_not_blank), Field(max_length=128)]
_Permissions: TypeAlias = Annotated[
    list[Annotated[Permission, Field(strict=False)]], Field(max_length=len(Permission)), AfterValidator(_some)
]
_Models: TypeAlias = Annotated[
    list[Annotated[_Printable, Field(min_length=1, max_length=256)]],
    Field(max_length=100, description="Patterns of model names with `*` and `?`; null: all."),
    AfterValidator(_some),
]
_Origins: TypeAlias = Annotated[
    list[Origin],
    Field(max_length=100, description="Of web pages that it is for; null: anywhere."),
    AfterValidator(_some),
]
_Time: TypeAlias = Annotated[int, Field(ge=0, le=_LATEST_MS)]
_Count: TypeAlias = Annotated[int | str | None, BeforeValidator(_count), WithJsonSchema(_COUNT_SCHEMA)]
_Money: TypeAlias = Annotated[int | str | None, BeforeValidator(_money), WithJsonSchema(_MONEY_SCHEMA)]


class LimitsOfKey(BaseModel):
    """Its own limits. `"unlimited"` lifts the plan's; null: as in the plan."""

    model_config = _BODY

    requests_per_minute: _Count = None
    tokens_per_minute: _Count = None
    requests_per_day: _Count = None
    tokens_per_day: _Count = None
    max_parallel: _Count = None
    budget_day: _Money = None
    budget_month: _Money = None
    budget_total: _Money = None

    def change(self, own: Overrides) -> Overrides:
        """`own`, with what is said here."""
        changed = dict(own)
        for name in self.model_fields_set:
            match getattr(self, name):
                case None:
                    changed.pop(Limit(name), None)
                case int(amount):
                    changed[Limit(name)] = amount
                case _:
                    changed[Limit(name)] = None
        return changed


class CreateKey(BaseModel):
    """A key to be made."""

    model_config = _BODY

    user: _User | None = None
    name: _Name = ""
    permissions: _Permissions | None = None
    plan: str | None = None
    limits: LimitsOfKey = Field(default_factory=LimitsOfKey)
    models: _Models | None = None
    origins: _Origins | None = None
    expires_ms: _Time | None = None


class UpdateKey(BaseModel):
    """What is to change of a key; what is not there stays as it is."""

    model_config = _BODY

    name: _Name = ""
    permissions: _Permissions = []
    plan: str | None = None
    limits: LimitsOfKey = Field(default_factory=LimitsOfKey)
    models: _Models | None = None
    origins: _Origins | None = None
    expires_ms: _Time | None = None

    def change(self, record: KeyRecord) -> KeyRecord:
        """`record`, with what is said here."""
        changes: dict[str, Any] = {
            "name": self.name,
            "permissions": frozenset(self.permissions),
            "plan": self.plan or "",
            "limits": self.limits.change(record.overrides),
            "models": tuple(self.models or ()),
            "origins": tuple(self.origins or ()),
            "expires_ms": self.expires_ms,
        }
        said = {_RECORDS.get(name, name): changes[name] for name in self.model_fields_set}
        return replace(record, **said)


class RotateKey(BaseModel):
    """How long the key that there is stays good."""

    model_config = _BODY

    grace_ms: Annotated[int, Field(ge=0, le=LONGEST_GRACE_MS)] = GRACE_MS


class Key(BaseModel):
    """A key, without itself."""

    model_config = _ANSWER

    object: Literal["key"] = "key"
    id: str
    user: str
    name: str
    permissions: list[str]
    plan: str | None
    limits: dict[str, int | str]
    models: list[str] | None
    origins: list[str] | None
    disabled: bool
    expires_ms: int | None
    created_ms: int
    last_used_ms: int | None  # within an hour
    grace_until_ms: int | None  # of the key before the last rotation


class KeyWithSecret(Key):
    """A key and itself, which is told this once."""

    key: str


class KeyList(BaseModel):
    """Keys, oldest first."""

    model_config = _ANSWER

    object: Literal["list"] = "list"
    data: list[Key]


class DeletedKey(BaseModel):
    """A key that there was."""

    model_config = _ANSWER

    object: Literal["key"] = "key"
    id: str
    deleted: Literal[True] = True


def members(record: KeyRecord) -> Mapping[str, Any]:
    """All that an answer says of it."""
    return {
        "id": record.id,
        "user": record.user,
        "name": record.name,
        "permissions": sorted(record.permissions),
        "plan": record.plan or None,
        "limits": {limit.value: _limit(limit, value) for limit, value in sorted(record.overrides.items())},
        "models": list(record.models) or None,
        "origins": list(record.origins) or None,
        "disabled": record.disabled,
        "expires_ms": record.expires_ms,
        "created_ms": record.created_ms,
        "last_used_ms": record.last_used_ms,
        "grace_until_ms": record.grace_until_ms,
    }


def _limit(limit: Limit, value: int | None) -> int | str:
    if value is None:
        return UNLIMITED
    return usd(value) if limit in MONEY else value
