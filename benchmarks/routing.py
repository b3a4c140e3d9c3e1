"""What routing adds to a request, in microseconds: `python -m benchmarks.routing`.

A configuration of 500 models of two targets each; the least of several runs, in this process. Each case is what is done
for a request: its name is looked up, what it needs is found out, candidates are chosen.
"""

import random
import time
import timeit
from typing import Final

from common.model.ids import KeyId, UserId
from common.model.principal import Principal
from common.routing.names import Directory
from common.routing.selection import needs_of, select
from common.settings import Settings, parse_settings
from common.wire.openai.chat import ChatRequest

MODELS: Final = 500
CALLS: Final = 10_000
RUNS: Final = 5
TIERS: Final = ("premium", "standard", "budget")
BODY: Final = (
    '{"model": "m", "max_tokens": 100, "messages": '
    '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]}'
)
# by what is asked for, and by what it is part of
CASES: Final = (
    ("single", None),
    ("model-7", None),
    ("router/openai/gpt-5", None),
    ("alias", None),
    ("sluice/standard", None),
    ("sluice/auto", None),
    ("sluice/auto", "a conversation"),
    ("fastest", None),
    ("fastest", "a conversation"),
    ("weighted", "a conversation"),
)


def configured() -> Settings:
    """All of it."""
    text = (
        '[providers.router]\nkind = "openrouter"\napi_key = "env:KEY"\n'
        '[providers.other]\nkind = "openai"\nbase_url = "http://other"\n'
        '[aliases]\nalias = ["model-1", "model-2"]\n'
        '[models."router/*"]\ntargets = ["router/*"]\n[models.single]\ntargets = ["other/single"]\n'
    )
    for policy in ("fastest", "weighted"):
        targets = ", ".join(f'"other/{policy}-{number}"' for number in range(4))
        text += f'[models.{policy}]\npolicy = "{policy}"\ntargets = [{targets}]\n'
    for number in range(MODELS):
        text += (
            f'[models.model-{number}]\ntier = "{TIERS[number % 3]}"\n'
            f'targets = ["router/vendor/{number}", "other/{number}"]\n'
            f'price = {{ input = "{number % 7 + 1}", output = "{number % 11 + 1}" }}\n'
            'context_length = 128_000\nmax_output_tokens = 16_384\nmodalities = ["text", "image"]\n'
        )
    return parse_settings(text, {"KEY": "a secret key"})


def measure() -> dict[str, float]:
    """Microseconds by case; milliseconds for the configuration and the directory, once per process."""
    began = time.perf_counter()
    settings = configured()
    read = time.perf_counter()
    directory = Directory(settings)
    figures = {
        "configuration, ms": (read - began) * 1e3,
        "directory, ms": (time.perf_counter() - read) * 1e3,
    }
    request, rng = ChatRequest.model_validate_json(BODY), random.Random(1)
    caller = Principal(KeyId("key_1"), UserId("alice"), frozenset())

    def routed(name: str, session: str | None) -> None:
        resolved = directory.resolve(name, caller)
        needs = needs_of(request, {}, 500, 100)
        select(resolved, needs, session=session, expected_s=lambda *_: 1.0, rng=rng)

    for name, session in CASES:
        took = min(timeit.repeat(lambda: routed(name, session), number=CALLS, repeat=RUNS))  # noqa: B023
        figures[f"{name}, {session or 'on its own'}"] = took / CALLS * 1e6
    return figures


if __name__ == "__main__":
    for case, figure in measure().items():
        print(f"{case:32} {figure:8.2f}")
