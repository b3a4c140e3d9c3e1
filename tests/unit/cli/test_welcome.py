"""What `sluice serve` prints, and how it is printed."""

import ast
import io
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from common.cli.output import show
from common.cli.serve import create_key_command
from common.cli.serving import base_url
from common.cli.welcome import Started, welcome
from common.settings import DEFAULT_TOML, Settings, parse_settings

KEY = "sk-sluice-" + "k" * 49
FIRST = Started(
    base_url="http://127.0.0.1:8787/v1",
    settings=parse_settings(DEFAULT_TOML, {}),
    functions=("chat_completions", "health", "models"),
    complete=True,
    first_key=KEY,
    create_key="sluice keys create --user NAME",
    example=True,
)


def text(started: Started) -> str:
    """All of it, without styles."""
    return "".join(piece for piece, _ in welcome(started))


def curl(started: Started) -> list[str]:
    """The words of the curl line, as a shell takes them."""
    return shlex.split(next(line for line in text(started).splitlines() if line.startswith("curl ")))


def snippet(started: Started) -> str:
    """The lines for Python."""
    lines = text(started).splitlines()
    first = lines.index("from openai import OpenAI")
    return "\n".join(lines[first : lines.index("", first)] if "" in lines[first:] else lines[first:])


def settings(*models: str) -> Settings:
    """These models, at a provider that is not the embedded one."""
    tables = [f"[models.{json.dumps(name, ensure_ascii=False)}]\ntargets = ['a/b']\n" for name in models]
    provider = "[providers.a]\nkind = 'openai'\nbase_url = 'http://a'\n"
    return parse_settings(provider + "".join(tables), {})


def test_first_start() -> None:
    """The first start tells everything that is needed, on one screen."""
    told = text(FIRST)
    assert told.startswith("Sluice is running. Ctrl-C stops it.\n\nBase URL   http://127.0.0.1:8787/v1\n")
    assert f"\nAPI key    {KEY}\n           shown only now" in told
    assert "\nModels     demo\n" in told
    assert "\ndemo is SmolLM2-135M, a tiny model embedded in Sluice" in told
    assert told.endswith(
        "\n\ncp sluice.example.toml sluice.toml\necho 'OPENROUTER_API_KEY=sk-or-...' >> .env\nmake run\n"
    )
    assert told.count("\n") <= 30


def test_curl() -> None:
    """The line holds the key; the tiny model is asked what it can answer, bounded, and always answers the same."""
    program, url, *_, body = curl(FIRST)
    assert (program, url) == ("curl", "http://127.0.0.1:8787/v1/chat/completions")
    assert f"Authorization: Bearer {KEY}" in curl(FIRST)
    assert json.loads(body) == {
        "model": "demo",
        "messages": [{"role": "user", "content": "Explain in one sentence what a gateway is."}],
        "temperature": 0,
        "max_tokens": 60,
    }


def test_snippet() -> None:
    """It is five lines of Python that hold the key, and ask the same."""
    lines = snippet(FIRST)
    assert 'messages = [{"role": "user", "content": "Explain in one sentence what a gateway is."}]' in lines
    assert 'create(model="demo", messages=messages, temperature=0, max_tokens=60)' in lines
    assert len(ast.parse(lines).body) == len(lines.splitlines()) == 5
    assert KEY in lines


def test_no_new_key() -> None:
    """Where no key was made, it is told how to make one, and samples have a placeholder."""
    told = text(replace(FIRST, first_key=None))
    assert "\nAPI key    one of yours, or a new one: sluice keys create --user NAME\n" in told
    assert "\nexport SLUICE_KEY=sk-sluice-...\ncurl " in told
    assert ' -H "Authorization: Bearer $SLUICE_KEY" ' in told
    assert 'api_key="sk-sluice-..."' in told


@pytest.mark.parametrize("model", ["o'hara", 'a "b"', "$(date) `x` \\", "Ærø 🚪"])
def test_any_model_name(model: str) -> None:
    """A model's name goes through the shell and Python unchanged; what other models may not take is not sent."""
    started = replace(FIRST, settings=settings(model))
    body = json.loads(curl(started)[-1])
    assert body.keys() == {"model", "messages"}
    assert body["model"] == model
    strings = [each.value for each in ast.walk(ast.parse(snippet(started))) if isinstance(each, ast.Constant)]
    assert model in strings


def test_another_provider() -> None:
    """With a provider of its own, a gateway is not told of the embedded model or of OpenRouter."""
    told = text(replace(FIRST, settings=settings("small")))
    assert "SmolLM2" not in told
    assert "make run" not in told


def test_both_kinds() -> None:
    """Beside other models the embedded one is still labelled; whoever has others needs no advice."""
    other = "[providers.a]\nkind = 'openai'\nbase_url = 'http://a'\n[models.big]\ntargets = ['a/b']\n"
    both = parse_settings(DEFAULT_TOML + other, {})
    told = text(replace(FIRST, settings=both))
    assert "\nModels     demo, big\n" in told
    assert "\ndemo is SmolLM2-135M" in told
    assert "make run" not in told


def test_installed_elsewhere() -> None:
    """Where the example configuration is not at hand, nobody is told to copy it."""
    assert "cp " not in text(replace(FIRST, example=False))


@pytest.mark.parametrize(
    ("models", "told"),
    [
        pytest.param([], "none is configured", id="none"),
        pytest.param(["a", "b"], "a, b", id="two"),
        pytest.param([f"m{n}" for n in range(10)], "m0, m1, m2, m3, m4, m5, m6, m7 and 2 more", id="many"),
    ],
)
def test_models(models: Sequence[str], told: str) -> None:
    """Models are named, but not by the hundred; without one there is nothing to paste."""
    printed = text(replace(FIRST, settings=settings(*models)))
    assert f"\nModels     {told}\n" in printed
    assert ("curl" in printed) == bool(models)


def test_some_functions() -> None:
    """Where not all is served, it is told what is; without chat there is nothing to paste."""
    told = text(replace(FIRST, functions=("models",), complete=False))
    assert "\nFunctions  models\n" in told
    assert "curl" not in told


# -- on a terminal -----------------------------------------------------------------------------------------------------

STYLES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """Standard output that somebody looks at."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def printed(monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO, **variables: str) -> str:
    """The welcome on `stdout`."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", stdout)
    show(welcome(FIRST))
    return stdout.getvalue()


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets the same text in colour, however narrow it is: no line is broken, padded or framed."""
    told = printed(monkeypatch, Terminal(), TERM="xterm-256color", COLUMNS="40")
    assert STYLES.search(told)
    assert STYLES.sub("", told) == text(FIRST)


@pytest.mark.parametrize(
    ("stdout", "variables"),
    [
        pytest.param(io.StringIO(), {"TERM": "xterm"}, id="no terminal"),
        pytest.param(Terminal(), {"TERM": "dumb"}, id="dumb terminal"),
    ],
)
def test_plain(monkeypatch: pytest.MonkeyPatch, stdout: io.StringIO, variables: dict[str, str]) -> None:
    """Otherwise it comes without styles."""
    assert printed(monkeypatch, stdout, **variables) == text(FIRST)


def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants no colours (https://no-color.org) gets none."""
    told = printed(monkeypatch, Terminal(), TERM="xterm-256color", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", told)


# -- addresses and commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/v1"),
        ("0.0.0.0", "http://127.0.0.1:80/v1"),
        ("::", "http://[::1]:80/v1"),
        ("fe80::1", "http://[fe80::1]:80/v1"),
    ],
)
def test_base_url(host: str, url: str) -> None:
    """The base URL is one that a client can use: not a wildcard, and IPv6 in brackets."""
    assert base_url(host, 80) == url


def test_create_key_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written as it would be typed here: by name where that finds this program, else as it was called."""
    program = tmp_path / "sluice"
    program.touch(mode=0o700)
    default = Path(".sluice")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert create_key_command(str(program), default) == "sluice keys create --user NAME"
    monkeypatch.setenv("PATH", "/nowhere")
    assert create_key_command(".venv/bin/sluice", default) == ".venv/bin/sluice keys create --user NAME"
    assert create_key_command("sluice", Path("my data")) == "sluice keys create --user NAME --data 'my data'"


# -- without authentication --------------------------------------------------------------------------------------------


def test_insecure() -> None:
    """Where no key is asked for, that is said, and what there is to paste has none."""
    started = replace(FIRST, first_key=None, insecure=True)
    assert "\nAPI key    none is asked for (--insecure)\n" in text(started)
    assert "Authorization" not in " ".join(curl(started))
    assert "SLUICE_KEY" not in text(started)
    assert 'api_key="none"' in snippet(started)
