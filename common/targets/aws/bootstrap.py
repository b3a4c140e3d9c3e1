"""A function's process from its start, in place of the managed runtime's.

`infra/aws/stream`, which AWS_LAMBDA_EXEC_WRAPPER names, starts it as `python -m common.targets.aws`. It does what the
managed runtime does before the first invocation (the path that modules are found on, the handler, reporting what fails
at the start), and besides:

- It registers as an extension that wants no events, because only where there is an extension does Lambda send SIGTERM
  before it ends the environment. That leaves a moment for what is in the background; nothing relies on it.
- Where the function starts from snapshots (SnapStart), the process is copied while it waits for `/restore/next`. What
  is connected is closed before, and what is random is made anew after.

Protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, runtimes-extensions-api.html and
snapstart-runtime-hooks-python.html (November 2026).
"""

import asyncio
import gc
import logging
import os
import random
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final

from common.adapters.clock import SystemClock
from common.settings import SettingsError
from common.targets.aws.connection import RUNTIME, Connection
from common.targets.aws.exchange import ERROR, Invocation, error_body
from common.targets.aws.handler import Handler
from common.targets.aws.log import correlate, log_to_stdout
from common.targets.aws.runtime import serve

_EXTENSION: Final = "/2020-01-01/extension"
_EXTENSION_NAME: Final = "sluice"
_LAST_S: Final = 0.15  # of the 500 ms between SIGTERM and SIGKILL, what a runtime can count on
_GC_THRESHOLDS: Final = (20_000, 50, 100)

_log = logging.getLogger("sluice.aws")


class InitError(Exception):
    """The function cannot start. The message is for whoever deployed it; `kind` is a name that Lambda has for it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(environ: Mapping[str, str]) -> int:
    """Serve the handler that `_HANDLER` names, "module.attribute", until the platform ends it; the exit status."""
    api = environ["AWS_LAMBDA_RUNTIME_API"]
    log_to_stdout()
    sys.path[:] = module_path(sys.path, environ)
    try:
        handler = load(environ["_HANDLER"])
    except InitError as error:
        _log.error("%s", error)
        asyncio.run(_report(api, "/init/error", error.kind, str(error)))
        return 1
    gc.freeze()  # what is imported stays
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
    return asyncio.run(_run(handler, environ, api))


def module_path(path: list[str], environ: Mapping[str, str]) -> list[str]:
    """`path` with what the managed runtime finds modules on: the package, then layers, last the runtime's own."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    package = environ.get("LAMBDA_TASK_ROOT") or str(Path.cwd())
    first = [package, f"/opt/python/lib/python{version}/site-packages", "/opt/python"]
    last = environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime")
    return [*first, *(each for each in path if each not in {*first, last}), last]


def load(name: str) -> Handler:
    """The handler. `InitError`."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise InitError("Runtime.MalformedHandlerName", f"The handler {name!r} is not module.function.")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InitError(
            "Runtime.ImportModuleError", f"The handler {name!r} cannot be imported: {error}."
        ) from error
    except Exception as error:
        raise _unforeseen(name, error) from error
    try:
        handler = getattr(module, attribute)
    except AttributeError as error:
        raise InitError("Runtime.HandlerNotFound", f"The handler {name!r} names nothing: {error}.") from error
    except SettingsError as error:
        raise InitError("Sluice.Settings", "; ".join(map(str, error.mistakes))) from error
    except Exception as error:
        raise _unforeseen(name, error) from error
    if not isinstance(handler, Handler):
        raise InitError(
            "Runtime.HandlerNotFound", f"The handler {name!r} is not one of common.targets.aws.entry."
        )
    return handler


def _unforeseen(name: str, error: Exception) -> InitError:
    """The error's own words stay in the log: they may hold what is secret."""
    _log.error("the function cannot start", exc_info=error)
    return InitError(
        f"Runtime.{type(error).__name__}", f"The handler {name!r} fails at its start: see the log."
    )


async def _run(handler: Handler, environ: Mapping[str, str], api: str) -> int:
    deployed = handler.deployed

    def begin(invocation: Invocation) -> None:
        # where X-Ray's own libraries look for it
        os.environ["_X_AMZN_TRACE_ID"] = invocation.trace_id or ""
        correlate(invocation.id, invocation.trace_id)
        deployed.wake()

    parked = None
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        parked = await _register(api)
    elif not await _restore(handler, api):
        return 1
    loop = asyncio.get_running_loop()
    serving = loop.create_task(
        serve(
            handler.app,
            api,
            deployed.background,
            SystemClock(),
            begin=begin,
            end=deployed.rest,
            trigger=handler.trigger,
        )
    )
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        await deployed.background.drain(_LAST_S)
        return 0
    except Exception:
        _log.exception("no invocation can be had: the process ends, and Lambda starts another")
    finally:
        if parked is not None:
            parked.abort()
    return 1


async def _register(api: str) -> Connection | None:
    """Register as an extension, and let it wait for its next event, which does not come. None where that fails."""
    connection = None
    try:
        connection = await Connection.open(api)
        body = b'{"events":[]}'
        headers = f"Lambda-Extension-Name: {_EXTENSION_NAME}\r\nContent-Length: {len(body)}\r\n"
        answer = await connection.request("POST", f"{_EXTENSION}/register", headers, body)
        identifier = answer.headers["lambda-extension-identifier"]
        connection.write_request(
            "GET", f"{_EXTENSION}/event/next", f"Lambda-Extension-Identifier: {identifier}\r\n"
        )
    except (OSError, EOFError, KeyError) as error:
        _log.warning("no SIGTERM will come: not registered as an extension (%r)", error)
        if connection is not None:
            connection.abort()
        return None
    return connection


async def _restore(handler: Handler, api: str) -> bool:
    """Wait to be copied, and make the copy one of its own; whether that is done."""
    handler.deployed.before_snapshot()
    connection = await Connection.open(api)
    try:
        await connection.request("GET", f"{RUNTIME}/restore/next")
        random.seed()
        handler.deployed.after_restore()
    except Exception as error:
        _log.exception("the function cannot be restored")
        await _report(
            api, "/restore/error", f"Runtime.{type(error).__name__}", "The restore failed: see the log."
        )
        return False
    finally:
        connection.abort()
    return True


async def _report(api: str, path: str, kind: str, message: str) -> None:
    """Tell the platform, if it listens, why the process is about to end."""
    with suppress(OSError, EOFError):
        connection = await Connection.open(api)
        body = error_body(kind, message)
        headers = f"{ERROR}Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        await connection.request("POST", f"{RUNTIME}{path}", headers, body)
        connection.abort()
