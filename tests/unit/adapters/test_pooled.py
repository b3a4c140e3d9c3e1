"""`PooledUpstream`: what the contract of all upstreams does not tell."""

import asyncio
import gc

import pytest

from common.adapters.upstream.http1 import Connection
from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import UpstreamBroken
from common.ports import Upstream
from tests.contract.exchanges import LENGTH_6, request, says
from tests.support.origin import origin


def connections() -> int:
    """How many the process holds, garbage among them."""
    return sum(type(each) is Connection for each in gc.get_objects())


async def ask(upstream: Upstream, url: str, *, breaks: bool) -> None:
    """Read the first part of an answer, and find that it breaks or leave it."""
    async with upstream.send(request(url)) as response:
        assert await response.read() == b"ans"
        assert connections()
        if breaks:
            await response.read()


@pytest.mark.parametrize("breaks", [False, True], ids=["left", "broken"])
async def test_answers_in_part_are_no_garbage(*, breaks: bool) -> None:
    """The connection of an answer that is left, or breaks off, is freed at once, without a collection of garbage."""
    gc.collect()
    gc.disable()
    before = connections()
    try:
        async with origin(says(LENGTH_6 + b"ans", then_close=breaks)) as server:
            try:
                await ask(PooledUpstream(), server.url, breaks=breaks)
            except UpstreamBroken:
                assert breaks
            await server.exchanges[0].left.wait()
            await asyncio.sleep(0)
            assert connections() == before
    finally:
        gc.enable()
