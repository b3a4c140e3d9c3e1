"""One fixture per port, once for each of its adapters."""

from collections.abc import AsyncIterator, Iterator

import pytest

from common.adapters.cloudflare.namespace import Namespace
from common.adapters.sql.database import Database, Statement
from common.adapters.sql.migrations import migrations, statements
from common.ports import Background, Clock, Upstream
from tests.contract.adapters import (
    BACKGROUNDS,
    BREAKERS,
    CLOCKS,
    DATABASES,
    NAMESPACES,
    NOT_BY_FETCH,
    STORES,
    UPSTREAMS,
    Breakers,
    Stores,
)
from tests.edge import toolbox
from tests.support.d1 import LocalD1, configure, open_d1


@pytest.fixture(params=STORES)
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Of one backend, empty."""
    async with STORES[request.param](request) as opened:
        yield opened


@pytest.fixture(params=DATABASES)
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Migrated, with nothing in it."""
    async with DATABASES[request.param](request) as opened:
        yield opened


@pytest.fixture(params=NAMESPACES)
async def namespace(request: pytest.FixtureRequest) -> AsyncIterator[Namespace]:
    """With nothing in it."""
    async with NAMESPACES[request.param](request) as opened:
        yield opened


@pytest.fixture(params=BREAKERS)
async def breakers(request: pytest.FixtureRequest) -> AsyncIterator[Breakers]:
    """A store with nothing in it."""
    async with BREAKERS[request.param](request) as opened:
        yield opened


@pytest.fixture(params=UPSTREAMS)
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    """With no connection open."""
    if reason := NOT_BY_FETCH.get(request.node.name):
        pytest.skip(reason)
    async with UPSTREAMS[request.param](request) as opened:
        yield opened


@pytest.fixture(params=BACKGROUNDS)
def background(request: pytest.FixtureRequest) -> Background:
    """With nothing to do."""
    return BACKGROUNDS[request.param]()


@pytest.fixture(params=CLOCKS)
def clock(request: pytest.FixtureRequest) -> Clock:
    """The time."""
    return CLOCKS[request.param]()


@pytest.fixture(scope="session")
def local_d1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalD1]:
    """Migrated directly; that wrangler's command does the same is shown in tests/functions."""
    toolbox.prepare()
    folder = tmp_path_factory.mktemp("d1")
    configure(folder)
    with open_d1(folder) as opened:
        script = [Statement(sql) for step in migrations() for sql in statements(step.script)]
        opened.run_now(*script)
        yield opened
