"""What the platform does with a Worker's module."""

import gc
from contextvars import ContextVar
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

from workers import Request

from common.gateway.call import Call
from common.targets.cloudflare.exchange import Exchange

_number: Final = ContextVar("_number", default=0)


def number() -> int:
    """Of the request that is worked on just now; 0: of none."""
    return _number.get()


def load(module: str) -> Any:
    """The entry class of a Worker's module."""
    return import_module(module).Default


async def fetch(default: Any, request: Any, execution: Any, env: Any, number: int) -> Any:
    """A JS `Response` to a JS `Request`, which all that is done for it knows by its number."""
    _number.set(number)
    return await default(execution, env).fetch(Request(request))


async def scheduled(default: Any, cron: str, execution: Any, env: Any) -> None:
    """A cron trigger."""
    await default(execution, env).scheduled(SimpleNamespace(cron=cron), env, execution)


def objects() -> int:
    """How many of requests' own are alive."""
    gc.collect()
    return sum(isinstance(each, Call | Exchange) for each in gc.get_objects())
