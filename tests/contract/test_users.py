"""The contract of `UserStore`."""

import asyncio
from dataclasses import replace

import pytest

from common.model.ids import UserId
from common.model.limits import MAX_NANOUSD, Limit
from common.model.principal import UserRecord
from tests.contract.adapters import Stores

ADA = UserRecord(
    UserId("ada"), created_ms=1_790_000_000_000, plan="basic", overrides={Limit.BUDGET_DAY: 10**9}
)


async def test_unknown(stores: Stores) -> None:
    """A user whom nobody stored has no record."""
    await stores.users.put(ADA)
    assert await stores.users.find(UserId("bob")) is None


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(ADA, id="with a plan and a limit"),
        pytest.param(UserRecord(UserId("ada"), 0), id="without plan and limits"),
        pytest.param(replace(ADA, overrides=dict.fromkeys(Limit)), id="unlimited in everything"),
        pytest.param(replace(ADA, overrides=dict.fromkeys(Limit, MAX_NANOUSD)), id="largest limits"),
        pytest.param(replace(ADA, overrides=dict.fromkeys(Limit, 0)), id="nothing allowed"),
        pytest.param(replace(ADA, created_ms=2**53 - 1), id="largest integer"),
        pytest.param(replace(ADA, plan='a "b" \\ \n'), id="quotes"),
        pytest.param(replace(ADA, id=UserId("Ærø 🚪 o'hara; --")), id="not ASCII"),
    ],
)
async def test_found_as_stored(stores: Stores, record: UserRecord) -> None:
    """A user is found by id, every field as it was stored; unlimited is not the same as not said."""
    assert await stores.users.put(record) is True
    found = await stores.users.find(record.id)
    assert found == replace(record, version=1)
    assert [type(each) for each in found.overrides] == [Limit] * len(record.overrides)


async def test_put_again(stores: Stores) -> None:
    """What is stored later takes the place of what was, whole, at the next version."""
    await stores.users.put(ADA)
    later = UserRecord(ADA.id, created_ms=2, overrides={Limit.MAX_PARALLEL: None}, version=1)
    assert await stores.users.put(later) is True
    assert await stores.users.find(ADA.id) == replace(later, version=2)
    assert list(await stores.users.list()) == [replace(later, version=2)]


@pytest.mark.parametrize("version", [0, 1, 3])
async def test_put_of_another_version(stores: Stores, version: int) -> None:
    """Who goes by a record that has changed since changes nothing."""
    await stores.users.put(ADA)
    await stores.users.put(replace(ADA, version=1))
    assert await stores.users.put(replace(ADA, plan="other", version=version)) is False
    assert await stores.users.find(ADA.id) == replace(ADA, version=2)


async def test_put_of_nobody(stores: Stores) -> None:
    """A change of a user who is not there makes none."""
    assert await stores.users.put(replace(ADA, version=1)) is False
    assert list(await stores.users.list()) == []


@pytest.mark.parametrize("version", [0, 1], ids=["who is new", "who is there"])
async def test_put_at_once(stores: Stores, version: int) -> None:
    """Of many that store one user at once, one wins, and is stored whole."""
    for before in range(version):
        await stores.users.put(replace(ADA, version=before))
    rivals = [replace(ADA, created_ms=number, plan=str(number), version=version) for number in range(20)]
    won = await asyncio.gather(*(stores.users.put(rival) for rival in rivals))
    assert sorted(won) == [False] * 19 + [True]
    assert await stores.users.find(ADA.id) == replace(rivals[won.index(True)], version=version + 1)


async def test_list(stores: Stores) -> None:
    """All users come by id, upper case before lower."""
    ids = ["bob", "Zoe", "ada", "ada2", "é"]
    for id_ in ids:
        await stores.users.put(replace(ADA, id=UserId(id_)))
    assert [record.id for record in await stores.users.list()] == sorted(ids)


async def test_nobody(stores: Stores) -> None:
    """At first there are no users."""
    assert list(await stores.users.list()) == []
