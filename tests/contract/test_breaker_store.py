"""The contract of `BreakerStore`."""

import asyncio

import pytest

from common.ports import BREAKER_KEPT_S
from tests.contract.adapters import Breakers

NAME = "openrouter/openai/gpt-4o-mini"
OPEN = "open 1790000000000 5000 3"
CLOSED = "closed 1790000005000 5000 3"


async def test_unknown(breakers: Breakers) -> None:
    """What nobody published is not there, nor is anything where nothing is asked for."""
    await breakers.store.publish(NAME, OPEN)
    assert await breakers.store.read(["other/model"]) == {}
    assert await breakers.store.read([]) == {}


async def test_published(breakers: Breakers) -> None:
    """Each of many is found by its name, as it was published last."""
    names = [f"{NAME}-{number}" for number in range(120)]
    for number, name in enumerate(names[:5]):
        await breakers.store.publish(name, OPEN)
        await breakers.store.publish(name, f"open {number} 5000 3")
    await breakers.store.publish(names[119], CLOSED)
    expected = {name: f"open {number} 5000 3" for number, name in enumerate(names[:5])}
    assert await breakers.store.read(names) == expected | {names[119]: CLOSED}


@pytest.mark.parametrize("name", ["a/b", "a/é🚪", "a/b'c\"; --", "a/ b", "a/:free", "a/" + "m" * 300])
async def test_any_name(breakers: Breakers, name: str) -> None:
    """Whatever a model is called."""
    await breakers.store.publish(name, OPEN)
    assert await breakers.store.read([name, "a/other"]) == {name: OPEN}


async def test_name_too_long(breakers: Breakers) -> None:
    """A name that no store can take, which a client may have made up, fails nothing."""
    name = "a/" + "é" * 50_000
    await breakers.store.publish(name, OPEN)
    await breakers.store.publish(NAME, OPEN)
    found = await breakers.store.read([name, NAME])
    assert found[NAME] == OPEN


async def test_at_once(breakers: Breakers) -> None:
    """Of many that publish one name at once, one stands."""
    states = [f"open {number} 5000 3" for number in range(10)]
    await asyncio.gather(*(breakers.store.publish(NAME, state) for state in states))
    assert (await breakers.store.read([NAME]))[NAME] in states


async def test_expires(breakers: Breakers) -> None:
    """A state is there for its time, and then no more."""
    if breakers.expires_by_itself:
        pytest.skip(
            "the platform deletes by its own time; what it is told is tested in tests/unit/cloudflare"
        )
    await breakers.store.publish(NAME, OPEN)
    breakers.clock.advance(BREAKER_KEPT_S - 2)
    assert await breakers.store.read([NAME]) == {NAME: OPEN}
    breakers.clock.advance(2)
    assert await breakers.store.read([NAME]) == {}
    await breakers.store.publish(NAME, CLOSED)
    assert await breakers.store.read([NAME]) == {NAME: CLOSED}
