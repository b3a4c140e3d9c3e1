"""From the name that a client asks for to those that may answer."""

from typing import Final

import pytest

from common.model.errors import ModelNotFound
from common.model.ids import KeyId, UserId
from common.model.principal import Principal
from common.routing.names import Directory
from common.settings import Policy, parse_settings

CONFIGURATION: Final = """
[providers.one]
kind = "openai"
base_url = "http://one"
[providers.two]
kind = "openrouter"
api_key = "env:KEY"
[routing]
policy = "weighted"
[models.large]
targets = ["one/large", "two/vendor/large"]
tier = "premium"
policy = "fastest"
context_fallbacks = ["long", "hidden"]
content_filter_fallbacks = ["wild/x"]
[models.long]
targets = ["two/vendor/long"]
tier = "standard"
[models.other]
targets = ["one/other", "one/large"]
tier = "premium"
[models.hidden]
targets = ["one/hidden"]
[models."wild/*"]
targets = ["two/*", "one/at-*"]
context_length = 5
[models."wild/narrow/*"]
targets = ["one/fixed"]
[models."sluice/standard"]
targets = ["one/own"]
[aliases]
all = ["other", "large"]
mine = "large"
far = ["wild/vendor/model", "sluice/premium"]
"""
DIRECTORY: Final = Directory(parse_settings(CONFIGURATION, {"KEY": "secret-key"}))


def caller(*models: str) -> Principal:
    """A key for these models; for all without."""
    return Principal(KeyId("key_1"), UserId("alice"), frozenset(), models=models)


def reached(name: str, *models: str) -> list[str]:
    """Where a name leads."""
    return [each.to for each in DIRECTORY.resolve(name, caller(*models)).candidates]


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("large", ["one/large", "two/vendor/large"]),
        ("mine", ["one/large", "two/vendor/large"]),
        ("all", ["one/other", "one/large", "two/vendor/large"]),
        ("sluice/premium", ["one/large", "two/vendor/large", "one/other"]),
        ("sluice/auto", ["one/large", "two/vendor/large", "two/vendor/long", "one/other"]),
        ("sluice/standard", ["one/own"]),
        ("wild/openai/gpt-5", ["two/openai/gpt-5", "one/at-openai/gpt-5"]),
        ("wild/narrow/x", ["one/fixed"]),
        ("wild/narrow", ["two/narrow", "one/at-narrow"]),
        ("far", ["two/vendor/model", "one/at-vendor/model", "one/large", "two/vendor/large", "one/other"]),
    ],
)
def test_names(name: str, targets: list[str]) -> None:
    """In the order of the file, each target once; a model's own name before all others, of stars the longest."""
    assert reached(name) == targets
    assert reached(name) == targets  # from memory


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("large", Policy.FASTEST),
        ("mine", Policy.FASTEST),
        ("all", Policy.WEIGHTED),
        ("long", Policy.WEIGHTED),
        ("sluice/premium", Policy.WEIGHTED),
        ("sluice/auto", Policy.CHEAPEST),
        ("wild/x", Policy.WEIGHTED),
    ],
)
def test_policies(name: str, policy: Policy) -> None:
    """A model's own, else the routing's; `sluice/auto` is for the best price."""
    assert DIRECTORY.resolve(name, caller()).policy is policy


def test_what_a_star_reaches_is_looked_up() -> None:
    """The catalog is asked for the name that stands there then; what the configuration says wins."""
    target = DIRECTORY.resolve("wild/openai/gpt-5", caller()).candidates[0].target
    assert target.prices is not None
    assert (target.context_length, target.reasoning) == (5, True)
    assert DIRECTORY.resolve("wild/openai/none", caller()).candidates[0].target.prices is None


@pytest.mark.parametrize(
    ("models", "name", "targets"),
    [
        (("large",), "large", ["one/large", "two/vendor/large"]),
        (("all", "large"), "all", ["one/large", "two/vendor/large"]),
        (("all", "*e*"), "all", ["one/other", "one/large", "two/vendor/large"]),
        (("sluice/*", "other"), "sluice/premium", ["one/other", "one/large"]),
        (("sluice/*", "long"), "sluice/auto", ["two/vendor/long"]),
        (("wild/*",), "wild/x", ["two/x", "one/at-x"]),
        (("far", "wild/vendor/*"), "far", ["two/vendor/model", "one/at-vendor/model"]),
    ],
)
def test_a_key_reaches_what_it_may_ask_for(models: tuple[str, ...], name: str, targets: list[str]) -> None:
    """Of a name that stands for others, those are left that the key's patterns have."""
    assert reached(name, *models) == targets
    assert reached(name, *models) == targets  # from memory
    assert set(reached(name)) >= set(targets)


@pytest.mark.parametrize(
    ("models", "name"),
    [
        (("other",), "all"),
        (("all",), "all"),
        (("sluice/*",), "sluice/auto"),
        (("large",), "mine"),
        (("long",), "large"),
        (("wild/a*",), "wild/b"),
        (("*",), "none"),
    ],
)
def test_out_of_reach(models: tuple[str, ...], name: str) -> None:
    """Both has to be allowed: what is asked for, and what is reached by it."""
    with pytest.raises(ModelNotFound) as refused:
        reached(name, *models)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert DIRECTORY.find(name, caller(*models)) is None


@pytest.mark.parametrize(
    "name",
    ["", "x", "large ", "Large", "one/large", "wild/", "wild", "wild/*x"[:5], "__class__", "x" * 10_000],
)
def test_no_such_model(name: str) -> None:
    """A name is one to the letter, or none."""
    with pytest.raises(ModelNotFound) as refused:
        reached(name)
    assert len(refused.value.message) < 260


@pytest.mark.parametrize(
    ("models", "name", "near"),
    [
        ((), "lage", "`large`"),
        ((), "Large", "`large`"),
        ((), "openai/hidden", "`hidden`"),
        ((), "sluice/premum", "`sluice/premium`"),
        (("long",), "large", None),
        (("long",), "lung", "`long`"),
        ((), "l" * 65, None),
        ((), "nothing-like-it", None),
    ],
)
def test_near_names(models: tuple[str, ...], name: str, near: str | None) -> None:
    """A slip of the pen is told what it may have been, among what the key may ask for."""
    with pytest.raises(ModelNotFound) as refused:
        reached(name, *models)
    _, asks, told = refused.value.message.partition(" Did you mean ")
    if near is None:
        assert not asks
    else:
        assert told.startswith(near)
        assert "hidden" not in told or near == "`hidden`"


def test_listed() -> None:
    """All names but those with a star; to a key, those that lead somewhere for it."""
    names = ["all", "far", "hidden", "large", "long", "mine", "other"]
    virtual = ["sluice/auto", "sluice/premium", "sluice/standard"]
    assert DIRECTORY.names(caller()) == sorted([*names, *virtual])
    assert DIRECTORY.names(caller("all", "mine", "long", "sluice/*")) == [
        "long",
        "sluice/auto",
        "sluice/standard",
    ]


def test_fallbacks() -> None:
    """What a model names for what it can't answer, as far as the key may reach it."""
    [candidate, *_] = DIRECTORY.resolve("large", caller()).candidates
    longer = [each.to for each in DIRECTORY.context_fallbacks(candidate, caller())]
    assert longer == ["two/vendor/long", "one/hidden"]
    assert [each.to for each in DIRECTORY.context_fallbacks(candidate, caller("large", "long"))] == longer[:1]
    filtered = [each.to for each in DIRECTORY.content_filter_fallbacks(candidate, caller())]
    assert filtered == ["two/x", "one/at-x"]
    [other, *_] = DIRECTORY.resolve("hidden", caller()).candidates
    assert list(DIRECTORY.context_fallbacks(other, caller())) == []


def test_what_clients_make_it_remember_is_bounded() -> None:
    """However many names with a star are asked for, by however many keys."""
    directory = Directory(parse_settings(CONFIGURATION, {"KEY": "secret-key"}))
    for number in range(3_000):
        directory.resolve(f"wild/{number}", caller())
        directory.resolve("all", caller("all", "large", f"{number}"))
    assert len(directory._starred_found) <= 1024
    assert len(directory._left) <= 1024


def test_without_tiers_there_is_nothing_virtual() -> None:
    """`sluice/auto` needs models that have a tier; a name with a star may have all that is left."""
    text = '[providers.one]\nkind = "openai"\nbase_url = "http://one"\n[models."*"]\ntargets = ["one/*"]\n'
    found = Directory(parse_settings(text, {})).resolve("sluice/auto", caller())
    assert [each.to for each in found.candidates] == ["one/sluice/auto"]
