"""What `sluice.toml` says of models, their other names and their routing, and what is known where it says nothing."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.catalog import Modality, SystemRole
from common.model.price import FREE, Prices
from common.settings import (
    Policy,
    ProviderKind,
    ProviderSettings,
    RoutingSettings,
    Settings,
    SettingsError,
    TargetSettings,
    parse_settings,
)
from common.settings.catalog import CATALOG_NAME, Catalog, is_name, read_line, write_line
from common.settings.models import fits
from common.settings.openrouter_models import MODELS

PROVIDERS: Final = """
[providers.one]
kind = "openai"
base_url = "http://one/v1"
[providers.router]
kind = "openrouter"
api_key = "env:KEY"
[providers.direct]
kind = "openai"
base_url = "https://api.openai.com/v1"
[providers.claude]
kind = "anthropic"
api_key = "env:KEY"
"""
ROUTER: Final = ProviderSettings("router", ProviderKind.OPENROUTER)
OWN: Final = "router/openai/gpt-4o-mini context=5 price=1/2\n"


def parsed(text: str, catalog: str = "") -> Settings:
    """Settings with these models."""
    return parse_settings(PROVIDERS + text, {"KEY": "secret-key"}, catalog=catalog)


def target(text: str, catalog: str = "") -> TargetSettings:
    """The first target of the model `m`."""
    return parsed(f"[models.m]\n{text}", catalog).models["m"].targets[0]


def mistakes(text: str) -> list[tuple[str, str]]:
    """What is wrong."""
    with pytest.raises(SettingsError) as wrong:
        parsed(text)
    return [(each.key, each.expected) for each in wrong.value.mistakes]


# -- what is said


def test_traits() -> None:
    """A target's own word wins over its model's, key by key; an empty list is a word, too."""
    model = parsed("""
        [models.m]
        unsupported = ["temperature", "tools"]
        rename = { max_tokens = "max_completion_tokens" }
        system_role = "developer"
        reasoning = true
        assistant_prefill = true
        modalities = ["text"]
        policy = "weighted"
        context_fallbacks = ["m"]
        content_filter_fallbacks = ["sluice/auto"]
        targets = [
            "one/a",
            { to = "one/b", unsupported = [], system_role = "system", reasoning = false, weight = 3 },
        ]
    """).models["m"]
    first, second = model.targets
    assert first == TargetSettings(
        "one",
        "a",
        modalities=(Modality.TEXT,),
        unsupported=frozenset({"temperature", "tools"}),
        rename={"max_tokens": "max_completion_tokens"},
        system_role=SystemRole.DEVELOPER,
        reasoning=True,
        assistant_prefill=True,
    )
    assert second == replace(
        first,
        model="b",
        unsupported=frozenset(),
        system_role=SystemRole.SYSTEM,
        reasoning=False,
        weight=3,
    )
    assert (model.policy, model.context_fallbacks) == (Policy.WEIGHTED, ("m",))
    assert model.content_filter_fallbacks == ("sluice/auto",)


def test_routing() -> None:
    """`[routing]` has values of its own where nothing is said."""
    assert parsed("").routing == RoutingSettings()
    assert parsed('[routing]\npolicy = "fastest"\nresume = false\nretries = 0').routing == RoutingSettings(
        policy=Policy.FASTEST, resume=False, retries=0
    )


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ('policy = "best"', "policy", "expected 'priority', 'cheapest', 'fastest' or 'weighted'"),
        ("retries = 6", "retries", "expected less than or equal to 5"),
        ("retries = 1.5", "retries", "expected a valid integer"),
        ("deadline_s = 0", "deadline_s", "expected greater than 0"),
        ('resume = "on"', "resume", "expected a valid boolean"),
    ],
)
def test_routing_mistakes(text: str, key: str, expected: str) -> None:
    """What is wrong with `[routing]`."""
    assert mistakes(f"[routing]\n{text}") == [(f"routing.{key}", expected)]


def test_aliases() -> None:
    """One name or several, each of a model, of a name with a star, or virtual."""
    text = '[models.a]\ntargets = ["one/a"]\n[models."w/*"]\ntargets = ["one/*"]\n'
    text += '[aliases]\nx = "a"\n"y/é" = ["w/b", "a", "sluice/auto"]\n'
    assert parsed(text).aliases == {"x": ("a",), "y/é": ("w/b", "a", "sluice/auto")}


MODEL: Final = '[models.a]\ntargets = ["one/a"]\n'
MEMBER: Final = 'expected a member of a request, like "temperature"'


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ('aliases = "a"\n', "aliases", 'expected names, like "gpt-4o" = "vendor/model", or a list of them'),
        (f'{MODEL}[aliases]\nx = "b"', 'aliases."x"', 'no model "b"'),
        (f'{MODEL}[aliases]\nx = ["a", "y"]\ny = "a"', 'aliases."x"', 'no model "y"'),
        (f"{MODEL}[aliases]\nx = []", 'aliases."x"', "expected a model's name, or a list of such"),
        (f"{MODEL}[aliases]\nx = 5", 'aliases."x"', "expected a model's name, or a list of such"),
        (f'{MODEL}[aliases]\na = "a"', 'aliases."a"', "expected a name that no model has"),
        (
            f'{MODEL}[aliases]\n"x*" = "a"',
            'aliases."x*"',
            "expected a name of 1 to 256 printable characters, without *",
        ),
        (f'{MODEL}context_fallbacks = ["b"]', 'models."a".context_fallbacks', 'no model "b"'),
        (f'{MODEL}content_filter_fallbacks = ["b*"]', 'models."a".content_filter_fallbacks', 'no model "b*"'),
        (f'{MODEL}unsupported = ["Top P"]', 'models."a".unsupported.0', MEMBER),
        (f"{MODEL}unsupported = [5]", 'models."a".unsupported.0', MEMBER),
        (
            f'{MODEL}unsupported = ["messages"]',
            'models."a".unsupported.0',
            'expected a member that a request can go without, not "messages"',
        ),
        *(
            (
                f"{MODEL}{key} = {value}",
                f'models."a".{key}{at}',
                f'expected a member that a request can go without, not "{name}"',
            )
            for key, value, at, name in (
                ("unsupported", '["max_tokens"]', ".0", "max_tokens"),
                ("unsupported", '["provider"]', ".0", "provider"),
                ("rename", '{ seed = "messages" }', ".seed", "messages"),
            )
        ),
        (f'{MODEL}rename = {{ seed = "" }}', 'models."a".rename.seed', MEMBER),
        (f'{MODEL}system_role = "user"', 'models."a".system_role', "expected 'system' or 'developer'"),
        (
            '[models.a]\ntargets = [{ to = "one/a", weight = 0 }]',
            'models."a".targets.0.weight',
            "expected greater than or equal to 1",
        ),
        ('[models.a]\ntargets = ["one/*"]', 'models."a".targets.0', "expected no *"),
        ('[models."a/*"]\ntargets = ["one/*/*"]', 'models."a/*".targets.0', "expected one * at most"),
        ('[models."*/*"]\ntargets = ["one/a"]', 'models."*/*"', "expected one * at most"),
    ],
)
def test_mistakes(text: str, key: str, expected: str) -> None:
    """What is wrong with a model, or with its other names."""
    top, rest = (text, "") if text.startswith("aliases") else ("", text)
    with pytest.raises(SettingsError) as wrong:
        parse_settings(top + PROVIDERS + rest, {"KEY": "secret-key"})
    assert [(each.key, each.expected) for each in wrong.value.mistakes] == [(key, expected)]


@pytest.mark.parametrize(
    ("pattern", "name", "middle"),
    [
        ("a/*", "a/b/c", "b/c"),
        ("*", "x", "x"),
        ("*-mini", "gpt-mini", "gpt"),
        ("a*a", "aba", "b"),
        ("a/*", "a/", None),
        ("a*a", "aa", None),
        ("a*a", "a", None),
        ("ab*ba", "aba", None),
        ("a", "a", None),
        ("a/*", "A/b", None),
    ],
)
def test_fits(pattern: str, name: str, middle: str | None) -> None:
    """A star stands for one character at least, and both ends are to the letter."""
    assert fits(pattern, name) == middle


# -- what is known besides


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("router/openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("direct/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("claude/claude-sonnet-4-5", "anthropic/claude-sonnet-4.5"),
        ("claude/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
        ("claude/claude-3-5-haiku-latest", "anthropic/claude-3.5-haiku"),
        ("claude/claude-opus-4-20250514", "anthropic/claude-opus-4"),
    ],
)
def test_of_the_copy(to: str, name: str) -> None:
    """OpenRouter's models are known, and those of vendors by the names that these have for them."""
    provider, _, model = to.partition("/")
    [line] = [line for line in MODELS.splitlines() if line.startswith(f"{name} ")]
    found = target(f'targets = ["{to}"]')
    assert found.prices is not None
    assert found.context_length is not None
    assert found == read_line(provider, model, line)


@pytest.mark.parametrize(
    "to", ["one/gpt-4o-mini", "one/openai/gpt-4o-mini", "router/openai/none", "router/gpt-4o"]
)
def test_of_strangers_nothing_is_known(to: str) -> None:
    """A server that only speaks the protocol has its own prices, and a model that is not listed has none here."""
    assert target(f'targets = ["{to}"]').prices is None


def test_what_is_said_wins_by_field() -> None:
    """What the configuration says stands; the rest is as it is known."""
    found = target(
        'targets = ["router/openai/gpt-5"]\nprice = { input = "9", output = "9" }\nunsupported = []'
    )
    assert found.prices == Prices(input=9_000_000, output=9_000_000)
    assert (found.context_length, found.unsupported, found.reasoning) == (400_000, frozenset(), True)


def test_openai_itself_wants_the_newer_name_from_models_that_reason() -> None:
    """OpenRouter takes either; OpenAI refuses `max_tokens` there."""
    assert target('targets = ["direct/gpt-5"]').rename == {"max_tokens": "max_completion_tokens"}
    assert target('targets = ["direct/gpt-4o-mini"]').rename is None
    assert target('targets = ["router/openai/gpt-5"]').rename is None


def test_own_catalog_wins_over_the_copy() -> None:
    """The operator's line is newer, whole; only what no list tells is taken from the copy."""
    found = target('targets = ["router/openai/gpt-4o-mini"]', OWN)
    assert (found.context_length, found.max_output_tokens) == (5, None)
    assert found.prices == Prices(input=1_000_000, output=2_000_000)
    assert target('targets = ["router/openai/gpt-4o"]', OWN).context_length == 128_000
    assert target('targets = ["one/x"]', "one/x context=7\n").context_length == 7
    line = "router/anthropic/claude-sonnet-4.5 context=7\n"
    assert target('targets = ["router/anthropic/claude-sonnet-4.5"]', line).assistant_prefill is True


def test_the_copy_makes_nothing_reachable() -> None:
    """Without a model in the configuration, there is none; nor by a line of the operator's."""
    assert parsed("", OWN).models == {}


@pytest.mark.parametrize(
    "text",
    [
        "router/x context=0\n",
        "router/x context=1e3\n",
        "router/x price=1\n",
        "router/x price=0.0000001/1\n",
        "router/x price=-1/1\n",
        "router/x takes=smell\n",
        "router/x  context=5\n",
        "router/x context=5",
        "router/x unknown=5\n",
        "é context=5\n",
        "# good\nrouter/x \n",
    ],
)
def test_no_catalog(text: str) -> None:
    """A file that nobody can have written so on purpose is told by its line, and nothing is started."""
    with pytest.raises(SettingsError) as wrong:
        parsed("", text)
    [mistake] = wrong.value.mistakes
    assert mistake.file == CATALOG_NAME
    assert mistake.expected.startswith(
        f"line {text.count(chr(10), 0, len(text) - 1) + 1} is none of a catalog"
    )


def test_the_copy_is_a_catalog() -> None:
    """All of its lines can be read, each name stands there once, in order, and all have a price and a context."""
    Catalog(MODELS)
    lines = MODELS.splitlines()
    names = [line.partition(" ")[0] for line in lines]
    assert len(lines) > 300
    assert names == sorted(set(names))
    for line in lines:
        model = read_line("router", line.partition(" ")[0], line)
        assert model.prices is not None
        assert model.context_length
        assert (model.prices == FREE) == (":free" in model.model), line


SIZES: Final = st.none() | st.integers(1, 10**9 - 1)
PRICE: Final = st.integers(0, 10**10 - 1)
MAYBE: Final = st.none() | PRICE
PRICES: Final = st.builds(
    Prices,
    input=PRICE,
    output=PRICE,
    cache_read=MAYBE,
    cache_write=MAYBE,
    reasoning=MAYBE,
    image=MAYBE,
    audio=MAYBE,
    request=st.integers(0, 10**13),
)
TARGETS: Final = st.builds(
    TargetSettings,
    st.just("router"),
    st.text("abc/:.-_", min_size=1, max_size=20),
    prices=st.none() | PRICES,
    context_length=SIZES,
    max_output_tokens=SIZES,
    modalities=st.none() | st.sets(st.sampled_from(Modality), min_size=1).map(tuple),
    unsupported=st.none() | st.frozensets(st.sampled_from(["tools", "top_p", "seed"]), min_size=1),
    reasoning=st.none() | st.just(value=True),
    assistant_prefill=st.none() | st.just(value=True),
)


@given(TARGETS)
def test_lines_are_read_as_written(known: TargetSettings) -> None:
    """A catalog of one line says of its model what was written, and nothing of others."""
    if write_line(known) == f"router/{known.model}":
        return  # nothing is known
    catalog = Catalog(f"# heading\n{write_line(known)}\nrouter/zzz context=9\n")
    assert catalog.find(ROUTER, known.model) == known
    assert catalog.find(ROUTER, known.model + "x") is None
    assert catalog.find(replace(ROUTER, name="route"), known.model) is None


@pytest.mark.parametrize(
    "name", ["router/openai/gpt-4o-mini context=5", "x\nrouter/openai/gpt-4o-mini", "", "\x00", "é"]
)
def test_names_that_clients_may_send(name: str) -> None:
    """A name with spaces or lines in it finds nothing of another."""
    assert Catalog(OWN).find(ROUTER, name) is None
    assert not is_name(name) or name == "x"
