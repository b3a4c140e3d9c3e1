"""The Worker's entry: `Default = worker(TEXT, CATALOG, SCHEMA, function)`, with what was packaged beside it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from starlette.types import ASGIApp
from workers import WorkerEntrypoint, import_from_javascript

from common.gateway.job import Job, JobContext, run_job
from common.http.app import create_app
from common.http.function import Function
from common.http.patience import PatienceOfEach
from common.settings import SettingsError, parse_settings
from common.targets.cloudflare.crons import cron_of
from common.targets.cloudflare.exchange import answer, failed
from common.targets.cloudflare.promises import Js, clear_cancelled_timers
from common.targets.cloudflare.root import (
    Misplaced,
    log_to_console,
    open_workers,
    variables_of,
)

_log: Final = logging.getLogger("sluice.cloudflare")


class Isolate:
    """What all requests of one isolate share; made at its first, and again at the next where that fails."""

    def __init__(
        self, configuration: str, catalog: str, schema_version: int, served: Sequence[Function | Job]
    ) -> None:
        self._configuration = configuration
        self._catalog = catalog
        self._schema_version = schema_version
        self._functions = [each for each in served if isinstance(each, Function)]
        self._jobs = [each for each in served if isinstance(each, Job)]
        self._context: JobContext | None = None
        self._app: ASGIApp | None = None

    async def fetch(self, request: Js, execution: Js) -> Js:
        """The platform's `Response`."""
        try:
            app = self._open_app()
        except (Misplaced, SettingsError) as error:
            _log.error("this Worker cannot serve: %s", error)
            return failed()
        return await answer(app, request, execution)

    async def scheduled(self, cron: str) -> None:
        """Run the jobs of a cron trigger."""
        context = self._open()
        for job in self._jobs:
            if cron_of(job.every) == cron:
                await run_job(job, context)

    def _open(self) -> JobContext:
        if self._context is None:
            env = import_from_javascript("cloudflare:workers").env
            settings = parse_settings(self._configuration, variables_of(env), catalog=self._catalog)
            log_to_console(settings)
            clear_cancelled_timers(asyncio.get_running_loop())
            self._context = open_workers(settings, self._schema_version, env)
        return self._context

    def _open_app(self) -> ASGIApp:
        if self._app is None:
            self._app = create_app(self._open().gateway, self._functions, PatienceOfEach())
        return self._app


def worker(configuration: str, catalog: str, schema_version: int, *served: Function | Job) -> type[Any]:
    """A Worker that serves functions, and runs jobs. `configuration`: the text of sluice.toml; `catalog`: its own."""
    isolate = Isolate(configuration, catalog, schema_version, served)

    class Default(WorkerEntrypoint):  # type: ignore[misc] # the base is the platform's
        async def fetch(self, request: Any) -> Js:
            return await isolate.fetch(request.js_object, self.ctx)

        async def scheduled(self, controller: Any, _env: Any, _ctx: Any) -> None:
            await isolate.scheduled(controller.cron)

    return Default
