"""The loop that the simulation stands on."""

import asyncio
import random
from contextvars import Context

import pytest

from tests.simulation.loop import OWNER, Owner, VirtualLoop, virtual_loop


def loop(seed: int = 0) -> VirtualLoop:
    """A new one."""
    return virtual_loop(random.Random(seed))


def context_of(owner: Owner) -> Context:
    """Where an owner's tasks run."""
    context = Context()
    context.run(OWNER.set, owner)
    return context


async def note(what: str, seen: list[str], *delays: float) -> None:
    """Note it at the start, after each delay, and at the end."""
    try:
        for delay in delays:
            seen.append(what)
            await asyncio.sleep(delay)
    finally:
        seen.append(f"{what} ends")


def test_time_is_what_timers_say() -> None:
    """A day passes at once, to the second."""
    virtual = loop()
    virtual.run(asyncio.sleep(86_400))
    assert virtual.time() == 86_400


def test_waiting_in_vain_is_noticed() -> None:
    """A run in which nothing can happen any more fails instead of hanging."""

    async def wait() -> None:
        await virtual.create_future()

    virtual = loop()
    with pytest.raises(AssertionError, match="in vain"):
        virtual.run(wait())
    virtual.close()


def order(seed: int) -> str:
    """In which order timers of one instant fire."""

    async def main() -> None:
        for name in "abcdef":
            virtual.call_later(1.0, seen.append, name)
        await asyncio.sleep(2)

    virtual, seen = loop(seed), list[str]()
    virtual.run(main())
    return "".join(seen)


def test_the_seed_draws_the_order_of_timers() -> None:
    """What happens in one instant happens in any order, the same for the same seed."""
    orders = {order(seed) for seed in range(20)}
    assert len(orders) > 10
    assert order(3) == order(3)
    assert {"".join(sorted(each)) for each in orders} == {"abcdef"}


def test_the_dead_do_nothing() -> None:
    """What belongs to a dead process is never run again, its `finally` neither; others go on."""

    async def main() -> None:
        for who in (dead, alive):
            virtual.create_task(note(names[who], seen, 1, 1), context=context_of(who))
        await asyncio.sleep(1.5)
        dead.alive = False
        await asyncio.sleep(1.5)

    virtual, seen = loop(), list[str]()
    dead, alive = Owner(), Owner()
    names = {dead: "dead", alive: "alive"}
    virtual.run(main())
    assert sorted(seen) == ["alive", "alive", "alive ends", "dead", "dead"]
    virtual.close()


def test_the_frozen_go_on() -> None:
    """What became ready for a frozen process happens when it goes on."""

    async def main() -> None:
        virtual.create_task(note("frozen", seen, 1), context=context_of(frozen))
        await asyncio.sleep(0.5)
        frozen.paused = True
        await asyncio.sleep(9.5)
        assert seen == ["frozen"]
        virtual.resume(frozen)
        await asyncio.sleep(1)

    virtual, seen, frozen = loop(), list[str](), Owner()
    virtual.run(main())
    assert seen == ["frozen", "frozen ends"]
    assert frozen.resumed_s == 10
    virtual.close()


def test_what_fails_in_a_callback_ends_the_run() -> None:
    """An invariant is checked where nobody awaits, and is heard all the same."""

    def fail() -> None:
        raise ValueError("found")

    async def main() -> None:
        virtual.call_later(1.0, fail)
        await asyncio.sleep(5)

    virtual = loop()
    with pytest.raises(ValueError, match="found"):
        virtual.run(main())
    virtual.close()
