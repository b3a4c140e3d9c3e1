"""The documentation says what is true, as far as a program can tell."""

import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import click
import pytest

from common.access.authenticate import CACHE_S
from common.cli.root import sluice
from common.gateway.extent import BYTES_PER_TOKEN
from common.metering.checks import WAIT_FOR_OTHERS_MS
from common.metering.meter import TRIES
from common.metering.plan import SWEPT_AT_ONCE, Plan
from common.metering.price import cost, input_bound, worst_case
from common.metering.window import COUNTED, SUB_WINDOW_MS
from common.model.admission import HOLD_S
from common.model.errors import LimitError
from common.model.limits import MAX_NANOUSD
from common.model.price import Prices, usd_per_million
from common.model.usage import AttemptRecord, Booked, Tokens, UsageRecord
from common.routing.selection import EXPECTED_OUTPUT, MOST_ASKED, SIMILAR
from common.settings import (
    EMBEDDED_MODEL,
    ProviderKind,
    RoutingSettings,
    ServerSettings,
    SettingsError,
    parse_settings,
)
from common.settings.openrouter_models import DATE, MODELS
from common.settings.references import Known
from common.settings.tables import BudgetTable, ModelTable, PlanTable, PriceTable, TargetTable
from common.targets.registry import JOBS, job_of
from common.wire.openai.errors import KINDS

REPOSITORY: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
CONFIGURATION: Final = REPOSITORY / "docs/configuration.md"
METERING: Final = REPOSITORY / "docs/metering.md"

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_COMMAND: Final = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?sluice(?= )(.*)", re.MULTILINE)
_MAKE: Final = re.compile(r"^(?:\$ )?make ([a-z-]+)", re.MULTILINE)
_PATH: Final = re.compile(r"(?:\.ci|common|functions|tests|infra|docs|benchmarks)/[\w./-]*")


class Block(NamedTuple):
    """Fenced text, and its language."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All of a page's."""
    return [Block(*found) for found in _FENCE.findall(page.read_text())]


def prose(page: Path) -> str:
    """What stands outside of the fences."""
    return _FENCE.sub("", page.read_text())


def code(page: Path) -> Iterator[str]:
    """What a reader may paste or look up: code within the prose, and blocks for the shell."""
    yield from _SPAN.findall(prose(page))
    yield from (block.text for block in blocks(page) if block.language in {"sh", "text"})


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives to headings: lower-case, without punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Commands:
    """What the command line takes, by the words that lead there."""

    def __init__(self) -> None:
        self.options: dict[tuple[str, ...], set[str]] = {}
        self.groups: set[tuple[str, ...]] = set()
        self._add((), sluice)

    def _add(self, path: tuple[str, ...], command: click.Command) -> None:
        with click.Context(command) as context:
            parameters = command.get_params(context)
            self.options[path] = {name for each in parameters for name in each.opts if name[:2] == "--"}
            if isinstance(command, click.Group):
                self.groups.add(path)
                for name in command.list_commands(context):
                    found = command.get_command(context, name)
                    assert found is not None
                    self._add((*path, name), found)

    def mistake(self, words: list[str]) -> str | None:
        """What is wrong with a command line; None where nothing is."""
        path: tuple[str, ...] = ()
        while path in self.groups and words and words[0][:2] != "--" and words[0] != "...":
            path = (*path, words.pop(0))
            if path not in self.options:
                return f"no command `{' '.join(path)}`"
        unknown = {word for word in words if word[:2] == "--"} - self.options[path]
        return f"`{' '.join(path)}` has no {', '.join(sorted(unknown))}" if unknown else None


COMMANDS: Final = Commands()


def each_page(*, at_least: int) -> list[object]:
    """The pages as a table; a glob that finds nothing would test nothing."""
    assert len(PAGES) >= at_least
    return [pytest.param(page, id=str(page.relative_to(REPOSITORY))) for page in PAGES]


ON_EVERY_PAGE: Final = pytest.mark.parametrize("page", each_page(at_least=8))


@ON_EVERY_PAGE
def test_links(page: Path) -> None:
    """A link within the repository leads to a file, and to a heading where it names one."""
    broken = []
    for link in _LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.is_file() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


@ON_EVERY_PAGE
def test_paths(page: Path) -> None:
    """A path that is named exists."""
    named = [span for span in _SPAN.findall(prose(page)) if _PATH.fullmatch(span)]
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


@ON_EVERY_PAGE
def test_configuration_parses(page: Path) -> None:
    """Every piece of configuration is a whole one without a mistake, once its variables are set."""
    for block in blocks(page):
        if block.language == "toml":
            variables = dict.fromkeys(re.findall(r"env:(\w+)", block.text), "secret")
            parse_settings(block.text, Known(variables))


@ON_EVERY_PAGE
def test_commands_exist(page: Path) -> None:
    """A command of `sluice` that is named exists, and so do its options; a target of make likewise."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    mistakes = []
    for text in code(page):
        mistakes += [COMMANDS.mistake(line.split()) for line in _COMMAND.findall(text)]
        mistakes += [f"no target {name}" for name in _MAKE.findall(text) if name not in targets]
    assert [mistake for mistake in mistakes if mistake] == []


@ON_EVERY_PAGE
def test_python_compiles(page: Path) -> None:
    """Python that is shown is Python."""
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, page.name, "exec")


def test_quoted_code_stands_in_the_source() -> None:
    """What CONTRIBUTING shows as an example is the code's own."""
    sources = [REPOSITORY / "common/targets/local_server.py", REPOSITORY / "tests/contract/adapters.py"]
    quoted = [block.text for block in blocks(REPOSITORY / "CONTRIBUTING.md") if block.language == "python"]
    assert len(quoted) == len(sources)
    for text, source in zip(quoted, sources, strict=True):
        assert text in source.read_text()


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("serve --port 9000", None),
        ("keys ...", None),
        ("keys create --user alice --json", None),
        ("keys forge", "no command `keys forge`"),
        ("spending --by model", "no command `spending`"),
        ("keys list --by model", "`keys list` has no --by"),
    ],
)
def test_check_of_commands_is_awake(line: str, mistake: str | None) -> None:
    """A command or option that does not exist would be told."""
    assert COMMANDS.mistake(line.split()) == mistake


@pytest.mark.parametrize("command", [path for path in COMMANDS.options if path not in COMMANDS.groups])
def test_every_command_is_described(command: tuple[str, ...]) -> None:
    """Whatever the command line takes, the page on it names."""
    spans = _SPAN.findall(prose(CONFIGURATION))
    assert any(span.startswith(" ".join(("sluice", *command))) for span in spans)
    words = {word for span in spans for word in span.split()}
    assert COMMANDS.options[command] - words == set()


def test_every_bound_is_described() -> None:
    """The page on configuration shows all of `[server]`, with the values that hold without it."""
    (shown,) = (block.text for block in blocks(CONFIGURATION) if "[server]" in block.text)
    assert parse_settings(shown, {}).server == ServerSettings()
    # one that has no value by itself is commented out
    names = re.findall(r"^(?:# )?(\w+) =", shown, re.MULTILINE)
    assert names == [field.name for field in fields(ServerSettings)]


def test_routing_is_described() -> None:
    """The page on configuration shows all of `[routing]`, with the values that hold without it."""
    (shown,) = (block.text for block in blocks(CONFIGURATION) if "[routing]" in block.text)
    assert parse_settings(shown, {}).routing == RoutingSettings()
    assert re.findall(r"^(\w+) =", shown, re.MULTILINE) == [field.name for field in fields(RoutingSettings)]


def test_figures_of_the_choice() -> None:
    """The page on models says how old the copy of OpenRouter's list is, how long it is, and what the code goes by."""
    page = " ".join(prose(REPOSITORY / "docs/models.md").split())
    assert f"has {len(MODELS.splitlines())} models as of {DATE}." in page
    assert f"up to {EXPECTED_OUTPUT} tokens of output" in page
    assert (MOST_ASKED, SIMILAR, BYTES_PER_TOKEN) == (8, 1.25, 4)  # "eight", "within a quarter", "4 bytes"


MISTAKEN: Final = """
[server]
max_body_bytes = "many"

[providers.openrouter]
kind = "openrouter"
api_key = "sk-or-1234"

[models."gpt-4o-mini"]
targets = ["gpt-4o-mini"]
"""


def test_mistakes_are_told_as_shown() -> None:
    """The page on configuration shows what is said of mistakes, word by word."""
    (shown,) = (block.text for block in blocks(CONFIGURATION) if "Error: " in block.text)
    with pytest.raises(SettingsError) as caught:
        parse_settings(MISTAKEN, {})
    assert [f"Error: {each}" for each in caught.value.mistakes] == shown.splitlines()[1:]


def test_every_kind_is_described() -> None:
    """It names all kinds of providers."""
    assert {f'"{kind}"' for kind in ProviderKind} <= set(_SPAN.findall(prose(CONFIGURATION)))


@pytest.mark.parametrize("table", [ModelTable, TargetTable, PriceTable, PlanTable, BudgetTable])
def test_every_key_is_described(table: type) -> None:
    """It names all that a model, a target, a price, a plan and a budget can have."""
    words = {word for span in _SPAN.findall(prose(CONFIGURATION)) for word in re.findall(r"\w+", span)}
    assert {field.name for field in fields(table)} - words == set()


LIMIT_ERRORS: Final = [(kind.status, kind.code) for cls, kind in KINDS.items() if issubclass(cls, LimitError)]


@pytest.mark.parametrize(("status", "code"), LIMIT_ERRORS, ids=[str(code) for _, code in LIMIT_ERRORS])
def test_every_refusal_is_described(status: int, code: str) -> None:
    """It has a row for each way in which a limit refuses."""
    assert f"| {status} `{code}` |" in prose(CONFIGURATION)


@pytest.mark.parametrize("page", [CONFIGURATION, REPOSITORY / "README.md"], ids=["configuration", "readme"])
def test_how_long_a_gateway_remembers(page: Path) -> None:
    """What is said of changes is how long keys and users are remembered."""
    said = set(re.findall(r"(?:within|up to) (\d+)\s+s\b", prose(page)))
    assert said == {f"{CACHE_S:.0f}"}


def test_every_job_is_described() -> None:
    """It names all jobs, and how often they run."""
    units = {"min": "minutes", "h": "hours"}
    told = {name.strip("`"): every.split() for name, every in rows(CONFIGURATION, "job").items()}
    assert {name: timedelta(**{units[unit]: int(number)}) for name, (number, unit) in told.items()} == {
        name: job_of(name).every for name in JOBS
    }


# -- the page on metering ----------------------------------------------------------------------------------------------


def rows(page: Path, heading: str) -> dict[str, str]:
    """The second column of the table that begins with `heading`, by the first."""
    _, _, table = prose(page).partition(f"\n| {heading} |")
    lines = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()[2:]]
    return {line[0]: line[1] for line in lines}


def test_figures_of_the_meter() -> None:
    """The figures on the page are the code's."""
    assert rows(METERING, "figure") == {
        "sub-window": f"{SUB_WINDOW_MS // 1000} s",
        "sub-windows that count": f"{COUNTED}",
        "a hold expires after": f"{HOLD_S:,} s",
        "expired holds swept at once": f"{SWEPT_AT_ONCE}",
        "wait for money or a place that others hold": f"{WAIT_FOR_OTHERS_MS // 1000} s",
        "tries at a row that others change": f"{TRIES}",
        "largest budget": f"{MAX_NANOUSD // 10**9:,} USD",
    }


def test_every_part_of_a_plan_is_translated() -> None:
    """The page says what each guard and each set of a plan becomes; the rest of a plan is for its caller."""
    named = {
        re.findall(r"`(\w+)`", first)[0] for first in rows(METERING, "part of a plan") if first[0] == "`"
    }
    assert named == set(Plan._fields) - {"hold", "swept"}


@pytest.mark.parametrize("values", [UsageRecord, AttemptRecord])
def test_every_field_of_a_record_is_described(values: type) -> None:
    """The page says what each field of a usage record and of its attempts is, and by what an attempt may be booked."""
    spans = set(_SPAN.findall(prose(METERING)))
    assert {field.name for field in fields(values)} - spans == set()
    assert rows(METERING, "booked by").keys() == {f"`{each}`" for each in Booked}


def test_example_of_a_hold() -> None:
    """The example's amounts are those that come out."""
    prices = Prices(input=usd_per_million("0.15"), output=usd_per_million("0.60"))
    bound = input_bound(2_000, 3, tools=False, media=[], context_length=128_000)
    assert bound is not None
    shown = prose(METERING)
    assert f"= {bound.total:,} tokens |" in shown
    assert f"= {worst_case([prices], bound, 500):,} nano-dollars |" in shown
    assert f"= {cost(prices, Tokens(input=480, output=120)):,} nano-dollars |" in shown


# -- the readme --------------------------------------------------------------------------------------------------------


def test_readme_asks_for_models_that_there_are() -> None:
    """The models that the README asks for are those that answer at that point of it."""
    readme = (REPOSITORY / "README.md").read_text()
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL))
    for title in ("Try it", "From an OpenAI client"):
        assert set(re.findall(r'model(?:": |=)"([^"]+)"', sections[title])) == {EMBEDDED_MODEL}
    example = (REPOSITORY / "sluice.example.toml").read_text()
    (asked,) = re.findall(r"ask for `([^`]+)`", sections["A real model"])
    assert asked in parse_settings(example, {"OPENROUTER_API_KEY": "secret"}).models
