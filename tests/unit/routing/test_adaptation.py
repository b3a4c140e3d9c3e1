"""What of a request is changed for a model to take it."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.catalog import SystemRole
from common.model.errors import InvalidRequest
from common.routing.adaptation import Adaptation, Adapted, adapt, adaptation_of
from common.settings import TargetSettings

MESSAGES: Final = [{"role": "user", "content": "hi"}]
RENAME: Final = {"max_tokens": "max_completion_tokens"}


def of(
    *unsupported: str, rename: dict[str, str] | None = None, system_role: SystemRole | None = None
) -> Adaptation:
    """What is to be done."""
    return Adaptation(frozenset(unsupported), rename or {}, system_role)


def adapted(adaptation: Adaptation, changes: dict[str, Any] | None = None, **body: Any) -> Adapted:
    """A request for the model."""
    return adapt(adaptation, {"messages": MESSAGES, **body}, changes or {})


@pytest.mark.parametrize(
    "target",
    [
        TargetSettings("p", "m"),
        TargetSettings("p", "m", unsupported=frozenset(), rename={}),
        TargetSettings("p", "m", unsupported=frozenset({"tools", "structured_outputs", "response_format"})),
    ],
)
def test_nothing_to_do(target: TargetSettings) -> None:
    """Where nothing is known there is nothing to do; what needs a feature goes elsewhere, and loses nothing here."""
    assert adaptation_of(target) is None


def test_all_that_is_known() -> None:
    """What is said of a target."""
    target = TargetSettings(
        "p",
        "m",
        unsupported=frozenset({"tools", "top_p"}),
        rename=RENAME,
        system_role=SystemRole.SYSTEM,
    )
    assert adaptation_of(target) == of("top_p", rename=RENAME, system_role=SystemRole.SYSTEM)


def test_what_a_model_does_not_take_is_dropped_and_told() -> None:
    """By name, in order; a change is dropped likewise, and what is null is taken out without a word."""
    found = adapted(
        of("temperature", "top_p", "seed", "stop"), {"seed": 5, "x": 1}, temperature=1, top_p=None, other=2
    )
    assert found == Adapted({"x": 1}, frozenset({"temperature", "top_p"}), ("seed", "temperature"))


def test_nothing_is_dropped_where_that_is_forbidden() -> None:
    """The client is told what the model does not take."""
    with pytest.raises(InvalidRequest) as refused:
        adapt(of("top_p", "seed"), {"messages": MESSAGES, "top_p": 1, "seed": 2}, {}, drop=False)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "seed")
    assert adapt(of("top_p"), {"messages": MESSAGES, "top_p": None}, {}, drop=False).dropped == ()


@pytest.mark.parametrize(
    ("changes", "body", "after", "removed"),
    [
        ({}, {"max_tokens": 5}, {"max_completion_tokens": 5}, {"max_tokens"}),
        ({"max_tokens": 3}, {"max_tokens": 5}, {"max_completion_tokens": 3}, {"max_tokens"}),
        ({"max_tokens": 3}, {}, {"max_completion_tokens": 3}, set()),
        ({}, {"max_completion_tokens": 5}, {}, set()),
        ({}, {"max_tokens": 5, "max_completion_tokens": 7}, {}, {"max_tokens"}),
        (
            {"max_tokens": 3, "max_completion_tokens": 3},
            {"max_tokens": 5, "max_completion_tokens": 7},
            {"max_completion_tokens": 3},
            {"max_tokens"},
        ),
        ({}, {"max_tokens": 5, "max_completion_tokens": None}, {"max_completion_tokens": 5}, {"max_tokens"}),
        ({}, {"max_tokens": None}, {}, {"max_tokens"}),
        ({}, {}, {}, set()),
    ],
)
def test_other_names(
    changes: dict[str, Any], body: dict[str, Any], after: dict[str, Any], removed: set[str]
) -> None:
    """The value is what would have been sent; where it is there under the new name, too, that one stands."""
    assert adapted(of(rename=RENAME), changes, **body) == Adapted(after, frozenset(removed))


@pytest.mark.parametrize(
    ("role", "given_", "after"),
    [
        (SystemRole.SYSTEM, ["developer", "user", "system"], ["system", "user", "system"]),
        (SystemRole.DEVELOPER, ["system", "assistant", "tool"], ["developer", "assistant", "tool"]),
        (SystemRole.SYSTEM, ["system", "user"], None),
        (SystemRole.DEVELOPER, ["user"], None),
    ],
)
def test_roles(role: SystemRole, given_: list[str], after: list[str] | None) -> None:
    """A message of the other role gets this one, and stays as it is otherwise; where none is, nothing is written."""
    messages = [{"role": each, "content": f"{index}", "name": "n"} for index, each in enumerate(given_)]
    found = adapted(of(system_role=role), messages=messages)
    if after is None:
        assert found == Adapted({})
    else:
        written = found.changes["messages"]
        assert [each["role"] for each in written] == after
        assert [{**each, "role": ""} for each in written] == [{**each, "role": ""} for each in messages]
        assert [each["role"] for each in messages] == given_


def test_roles_of_messages_that_are_changed_anyway() -> None:
    """What was written for another reason stays."""
    longer = [{"role": "developer", "content": "d"}, {"role": "assistant", "content": "so far"}]
    found = adapted(of(system_role=SystemRole.SYSTEM), {"messages": longer}, messages=longer[:1])
    assert found.changes["messages"] == [{"role": "system", "content": "d"}, longer[1]]


NAMES: Final = st.sampled_from(["a", "b", "c", "d", "e"])
VALUES: Final = st.none() | st.integers(0, 3)


@given(
    st.frozensets(NAMES),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["d", "e"])),
    st.dictionaries(NAMES, VALUES),
    st.dictionaries(NAMES, st.integers(4, 6)),
)
def test_what_is_sent(
    unsupported: frozenset[str], rename: dict[str, str], body: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Nothing is sent that the model does not take or knows by another name; the rest is as it would have been."""
    unsupported -= frozenset(rename.values())
    found = adapted(of(*unsupported, rename=rename), changes, **body)
    assert not found.removed & found.changes.keys()
    sent = {name: value for name, value in {**body, **found.changes}.items() if name not in found.removed}
    before = {**body, **changes}
    assert not sent.keys() & (unsupported | rename.keys())
    assert set(found.dropped) == {name for name in unsupported if before.get(name) is not None}
    untouched = before.keys() - unsupported - rename.keys() - set(rename.values())
    assert {name: sent[name] for name in untouched} == {name: before[name] for name in untouched}
