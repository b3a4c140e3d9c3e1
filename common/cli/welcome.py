"""What `sluice serve` prints when it is up. Pure: text and styles, whoever prints them.

What is meant to be pasted stands on lines of its own, from the first column on.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.cli.output import Piece
from common.settings import ProviderKind, Settings
from common.settings.models import STAR

_CHAT: Final = "chat_completions"
_MODELS_SHOWN: Final = 8
_QUESTION: Final = "Explain in one sentence what a gateway is."
_SOME_KEY: Final = "sk-sluice-..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A gateway that has just begun to serve."""

    base_url: str  # with /v1
    settings: Settings
    functions: Sequence[str]  # names of those that it serves
    complete: bool  # whether these are all there are
    first_key: str | None  # where one was made
    create_key: str  # the command that makes another
    insecure: bool = False  # whether no key is asked for
    example: bool  # whether the example configuration lies in this folder


def welcome(started: Started) -> list[Piece]:
    """Where the gateway is, how to try it, and what else to try."""
    pieces = [("Sluice is running. ", "bold"), ("Ctrl-C stops it.\n\n", "dim"), *_facts(started)]
    asked = next((name for name in started.settings.models if STAR not in name), None)
    if _CHAT in started.functions and asked is not None:
        pieces += _samples(started, asked)
    return pieces + _advice(started)


def _facts(started: Started) -> list[Piece]:
    if started.insecure:
        key = [_fact("API key", "none is asked for (--insecure)", "bold")]
    elif started.first_key is not None:
        key = [
            _fact("API key", started.first_key, "bold cyan"),
            _fact("", f"shown only now; another: {started.create_key}", "dim"),
        ]
    else:
        key = [_fact("API key", f"one of yours, or a new one: {started.create_key}")]
    facts = [_fact("Base URL", started.base_url, "bold cyan"), *key]
    facts.append(_fact("Models", _names(list(started.settings.models)) or "none is configured"))
    if not started.complete:
        facts.append(_fact("Functions", ", ".join(started.functions)))
    return [piece for fact in facts for piece in fact]


def _fact(label: str, text: str, style: str = "") -> list[Piece]:
    return [(f"{label:11}", "dim"), (f"{text}\n", style)]


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MODELS_SHOWN
    return ", ".join(names[:_MODELS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _samples(started: Started, model: str) -> list[Piece]:
    messages = [{"role": "user", "content": _QUESTION}]
    # a tiny model drifts, and may never come to an end by itself; others may not take these parameters
    bounds = {"temperature": 0, "max_tokens": 60} if model in _embedded(started.settings) else {}
    body = _literal({"model": model, "messages": messages, **bounds})
    bearer = f' -H "Authorization: Bearer {started.first_key or "$SLUICE_KEY"}"'
    curl = (
        f"curl {started.base_url}/chat/completions{'' if started.insecure else bearer}"
        f' -H "Content-Type: application/json" -d {shlex.quote(body)}'
    )
    arguments = "".join(f", {name}={value}" for name, value in bounds.items())
    key = "none" if started.insecure else started.first_key or _SOME_KEY
    python = [
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{started.base_url}", api_key="{key}")',
        f"messages = {_literal(messages)}",
        f"answer = client.chat.completions.create(model={_literal(model)}, messages=messages{arguments})",
        "print(answer.choices[0].message.content)",
    ]
    variable = [] if started.first_key or started.insecure else [(f"export SLUICE_KEY={_SOME_KEY}\n", "")]
    return [
        ("\nAsk it with curl:\n\n", "bold"),
        *variable,
        (f"{curl}\n", ""),
        ("\nOr with Python", "bold"),
        (" (pip install openai)", "dim"),
        (":\n\n", "bold"),
        ("\n".join([*python, ""]), ""),
    ]


def _literal(value: Any) -> str:
    """In JSON, which for strings, lists and tables is Python too."""
    return json.dumps(value, ensure_ascii=False)


def _embedded(settings: Settings) -> list[str]:
    """The models that the embedded one answers for, whatever they are called."""
    return [
        model.name
        for model in settings.models.values()
        if all(settings.providers[target.provider].kind is ProviderKind.EMBEDDED for target in model.targets)
    ]


def _advice(started: Started) -> list[Piece]:
    """What the embedded model is, and how to leave it behind."""
    names = _embedded(started.settings)
    if not names:
        return []
    pieces = [
        (f"\n{_names(names)} {'is' if len(names) == 1 else 'are'} SmolLM2-135M", "bold"),
        (", a tiny model embedded in Sluice for trying things out, not for good answers.\n", ""),
    ]
    if started.example and len(names) == len(started.settings.models):
        pieces += [
            ("For real models, by OpenRouter, stop Sluice and run:\n\n", ""),
            ("cp sluice.example.toml sluice.toml\n", ""),
            ("echo 'OPENROUTER_API_KEY=sk-or-...' >> .env\n", ""),
            ("make run\n", ""),
        ]
    return pieces
