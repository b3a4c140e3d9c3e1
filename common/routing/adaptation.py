"""What of a request has to be changed for a model to take it, by what is known of the model. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common.model.catalog import Feature, SystemRole
from common.model.errors import InvalidRequest
from common.settings import TargetSettings

_SYSTEM_ROLES: Final = frozenset(SystemRole)
_FEATURES: Final = frozenset(Feature)  # a request that needs one goes elsewhere: `selection.py`


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a model differs from what clients may send. Names are of top-level members."""

    unsupported: frozenset[str]
    rename: Mapping[str, str]
    system_role: SystemRole | None


@dataclass(frozen=True, slots=True)
class Adapted:
    """What is to be done to a request."""

    changes: Mapping[str, Any]  # members to set
    removed: frozenset[str] = frozenset()  # members to take out; no change is of one
    dropped: tuple[str, ...] = ()  # those that the client will miss, for `x-sluice-dropped`


def adaptation_of(target: TargetSettings) -> Adaptation | None:
    """What is to be done for the model; None: it takes a request as it is."""
    unsupported = (target.unsupported or frozenset()) - _FEATURES
    rename = target.rename or {}
    if not (unsupported or rename or target.system_role):
        return None
    return Adaptation(unsupported, rename, target.system_role)


def adapt(
    adaptation: Adaptation, body: Mapping[str, Any], changes: Mapping[str, Any], *, drop: bool = True
) -> Adapted:
    """`body` for the model, `changes` having been decided on for other reasons.

    `InvalidRequest` where something would be dropped and `drop` forbids it. A member that stands there under its new
    name, too, keeps its value; one that is null is taken out without a word.
    """
    adapted = dict(changes)
    removed: set[str] = set()
    dropped: list[str] = []
    for name in adaptation.unsupported:
        if name in body:
            removed.add(name)
        if adapted.pop(name, body.get(name)) is not None:
            dropped.append(name)
    for old, new in adaptation.rename.items():
        value = adapted.pop(old, body.get(old))
        if old in body:
            removed.add(old)
        if value is not None and adapted.get(new, body.get(new)) is None:
            adapted[new] = value
    role, messages = adaptation.system_role, changes.get("messages", body["messages"])
    if role is not None and any(_has_other_role(each, role) for each in messages):
        adapted["messages"] = [
            {**each, "role": role} if _has_other_role(each, role) else each for each in messages
        ]
    dropped.sort()
    if dropped and not drop:
        raise InvalidRequest(
            f"The model does not take `{dropped[0]}`, and this gateway leaves nothing out.",
            param=dropped[0],
            code="unsupported_parameter",
        )
    return Adapted(adapted, frozenset(removed), tuple(dropped))


def _has_other_role(message: Mapping[str, Any], role: SystemRole) -> bool:
    given = message["role"]
    return given in _SYSTEM_ROLES and given != role
