"""The clients. One that is a process of its own lives as long as tests want it one after another."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import pytest

from tests.e2e.client import Client
from tests.e2e.node_client import NodeClient
from tests.e2e.python_client import PythonClient

CLIENTS: Final[Mapping[str, Callable[[], Client]]] = {
    "openai-python": PythonClient,
    "openai-node": partial(NodeClient, "openai"),
    "ai-sdk": partial(NodeClient, "ai_sdk"),
    "langchain": partial(NodeClient, "langchain"),
}


@pytest.fixture(scope="session", params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Each of them in turn, for a test that does not name its own."""
    started = CLIENTS[request.param]()
    yield started
    started.close()
