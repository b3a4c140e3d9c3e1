"""A table for each test, and time."""

from collections.abc import AsyncIterator

import pytest

from tests.support.dynamodb import LocalDynamo, moto, open_dynamo
from tests.support.metered import World


@pytest.fixture
async def dynamo() -> AsyncIterator[LocalDynamo]:
    """An empty table on moto."""
    async with open_dynamo(moto()) as local:
        yield local


@pytest.fixture
def world(dynamo: LocalDynamo) -> World:
    """Time, and processes over the table."""
    return World(dynamo.rows())
