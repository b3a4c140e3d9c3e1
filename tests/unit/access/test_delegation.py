"""What one key may grant to another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.delegation import require_grantable, require_shared_limits
from common.access.plans import principal_of
from common.model.errors import PermissionDenied
from common.model.ids import KeyId, UserId
from common.model.limits import Limit, Limits
from common.model.principal import KeyRecord, Permission, Principal
from common.settings import PlanSettings

NOW = 1_790_000_000_000
PLANS: Mapping[str, PlanSettings] = {
    "small": PlanSettings("small", Limits(requests_per_day=10)),
    "large": PlanSettings("large", Limits(requests_per_day=1_000)),
    "watched": PlanSettings(
        "watched", Limits(requests_per_day=10, observed=frozenset({Limit.REQUESTS_PER_DAY}))
    ),
}
USUAL = frozenset({Permission.CHAT, Permission.KEYS_WRITE})
KEY = KeyRecord(KeyId("key_new"), b"", UserId("ada"), "", frozenset({"chat"}), NOW)


def maker(**what: Any) -> Principal:
    """A key of Ada's that may chat and make keys, and is bounded by `what` of its record."""
    record = replace(KEY, id=KeyId("key_maker"), permissions=USUAL)
    return principal_of(replace(record, **what), None, PLANS)


def refused(by: Principal, key: KeyRecord) -> str | None:
    """The field because of which it is refused."""
    with pytest.raises(PermissionDenied) as denied:
        require_grantable(by, key, PLANS)
    assert denied.value.code == "exceeds_own_key"
    assert f"`{denied.value.param}`" in denied.value.message
    return denied.value.param


GRANTED = [
    pytest.param({}, {}, id="plain"),
    pytest.param({}, {"permissions": USUAL}, id="all of its permissions"),
    pytest.param({}, {"permissions": frozenset()}, id="none"),
    pytest.param(
        {}, {"plan": "small", "models": ("a",), "expires_ms": 1, "origins": ("http://a",)}, id="bounds"
    ),
    pytest.param({"models": ("gpt-*", "a")}, {"models": ("gpt-4*", "a")}, id="covered models"),
    pytest.param({"models": ("*",)}, {}, id="all models by a star"),
    pytest.param({"expires_ms": 9}, {"expires_ms": 9}, id="the same end"),
    pytest.param({"origins": ("http://a", "http://b")}, {"origins": ("http://b",)}, id="one of its origins"),
    pytest.param({"plan": "small"}, {"plan": "small"}, id="the same plan"),
    pytest.param({"plan": "large"}, {"plan": "small"}, id="a smaller plan"),
    pytest.param(
        {"plan": "large"},
        {"overrides": {Limit.REQUESTS_PER_DAY: 1_000}},
        id="a limit of its own, as of the plan",
    ),
    pytest.param({"plan": "watched"}, {}, id="no limit where its own is only observed"),
    pytest.param(
        {"overrides": {Limit.BUDGET_DAY: 5}}, {"overrides": {Limit.BUDGET_DAY: 5}}, id="the same budget"
    ),
]
REFUSED = [
    pytest.param({}, {"user": UserId("bob")}, "user", id="another user"),
    pytest.param({}, {"permissions": frozenset({"admin"})}, "permissions", id="admin"),
    pytest.param({}, {"permissions": frozenset({"chat", "models"})}, "permissions", id="one too many"),
    pytest.param({}, {"permissions": frozenset({"of-tomorrow"})}, "permissions", id="unknown permission"),
    pytest.param({"models": ("gpt-*",)}, {}, "models", id="all models"),
    pytest.param({"models": ("gpt-*",)}, {"models": ("*",)}, "models", id="wider models"),
    pytest.param({"models": ("gpt-*",)}, {"models": ("gpt-4", "o3")}, "models", id="one model too many"),
    pytest.param({"models": ("a*", "b*")}, {"models": ("?*",)}, "models", id="what cannot be shown"),
    pytest.param({"expires_ms": 9}, {}, "expires_ms", id="no end"),
    pytest.param({"expires_ms": 9}, {"expires_ms": 10}, "expires_ms", id="a later end"),
    pytest.param({"origins": ("http://a",)}, {}, "origins", id="any origin"),
    pytest.param(
        {"origins": ("http://a",)}, {"origins": ("http://a", "http://b")}, "origins", id="another origin"
    ),
    pytest.param({"plan": "small"}, {}, "limits.requests_per_day", id="no plan"),
    pytest.param({"plan": "small"}, {"plan": "large"}, "limits.requests_per_day", id="a larger plan"),
    pytest.param(
        {"plan": "small"}, {"plan": "watched"}, "limits.requests_per_day", id="a plan that only observes"
    ),
    pytest.param({}, {"plan": "gone"}, "plan", id="a plan that is not there"),
    pytest.param(
        {"plan": "small"},
        {"plan": "small", "overrides": {Limit.REQUESTS_PER_DAY: None}},
        "limits.requests_per_day",
        id="a plan whose limit is lifted",
    ),
    *(
        pytest.param({"overrides": {limit: 5}}, {"overrides": own}, f"limits.{limit}", id=f"{limit}, {how}")
        for limit in Limit
        for how, own in {"unlimited": {}, "lifted": {limit: None}, "higher": {limit: 6}}.items()
    ),
]


@pytest.mark.parametrize(("own", "asked"), GRANTED)
def test_granted(own: dict[str, Any], asked: dict[str, Any]) -> None:
    """What the maker may itself, it may grant."""
    require_grantable(maker(**own), replace(KEY, **asked), PLANS)


@pytest.mark.parametrize(("own", "asked", "param"), REFUSED)
def test_refused(own: dict[str, Any], asked: dict[str, Any], param: str) -> None:
    """What it lacks it cannot, and the field is named; as `admin` it can."""
    key = replace(KEY, **asked)
    assert refused(maker(**own), key) == param
    require_grantable(replace(maker(**own), permissions=frozenset({"admin"})), key, PLANS)


@pytest.mark.parametrize("limit", Limit)
def test_limits_that_several_keys_would_pass(limit: Limit) -> None:
    """A key with a limit makes others only where the user has that limit too; in what is only observed it is free."""
    alone = maker(overrides={limit: 5})
    with pytest.raises(PermissionDenied) as denied:
        require_shared_limits(alone)
    assert denied.value.param == f"limits.{limit}"
    fifty: dict[str, Any] = {limit.value: 50}
    bounded = Limits(**fifty)
    require_shared_limits(replace(alone, user_limits=bounded))
    require_shared_limits(replace(alone, permissions=frozenset({"admin"})))
    require_shared_limits(replace(alone, key_limits=replace(bounded, observed=frozenset({limit}))))
    with pytest.raises(PermissionDenied):
        require_shared_limits(replace(alone, user_limits=replace(bounded, observed=frozenset({limit}))))


RECORDS = st.builds(
    KeyRecord,
    id=st.just(KeyId("key_x")),
    key_hash=st.just(b""),
    user=st.sampled_from([UserId("ada"), UserId("bob")]),
    name=st.just(""),
    permissions=st.frozensets(st.sampled_from(["chat", "models", "keys:write"])),
    created_ms=st.just(NOW),
    plan=st.sampled_from(["", "small", "large"]),
    overrides=st.dictionaries(st.sampled_from(Limit), st.one_of(st.none(), st.integers(0, 3))),
    models=st.lists(st.sampled_from(["*", "a*", "a", "ab", "?"]), max_size=2).map(tuple),
    origins=st.lists(st.sampled_from(["http://a", "http://b"]), max_size=2).map(tuple),
    expires_ms=st.one_of(st.none(), st.integers(0, 3)),
)


@given(RECORDS, RECORDS, st.sampled_from(["", "a", "ab", "b", "c"]))
def test_no_key_grants_more(mine: KeyRecord, other: KeyRecord, model: str) -> None:
    """Whatever is granted, the new key is in nothing above its maker."""
    by, new = (principal_of(each, None, PLANS) for each in (mine, other))
    try:
        require_grantable(by, other, PLANS)
    except PermissionDenied:
        return
    assert new.user == by.user
    assert new.permissions <= by.permissions
    assert by.may_use(model) or not new.may_use(model)
    assert not by.origins or set() != set(new.origins) <= set(by.origins)
    for limit in Limit:
        most, value = by.key_limits.stated(limit), new.key_limits.stated(limit)
        assert most is None or (value is not None and value <= most)
    assert by.expires_ms is None or (new.expires_ms is not None and new.expires_ms <= by.expires_ms)


@given(RECORDS)
def test_a_key_may_grant_itself(mine: KeyRecord) -> None:
    """What a key is, it may grant: it can be rotated by itself."""
    require_grantable(principal_of(mine, None, PLANS), mine, PLANS)
