"""Calls as DynamoDB gets them, and what each of its answers means."""

import json
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from common.adapters.dynamodb import client as client_module
from common.adapters.dynamodb.client import ConditionFailed, DynamoClient, TransactionCancelled, pause_s
from common.adapters.dynamodb.sign import Credentials
from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import StorageUnavailable
from tests.support.clock import FakeClock
from tests.support.origin import Exchange, Origin, origin

ITEM: Final = {"pk": {"S": "key:1"}}
OK: Final = ("200 OK", {"Attributes": ITEM})
CLOSED: Final = ("closed", b"")


def error(name: str, status: str = "400 Bad Request", **more: Any) -> tuple[str, dict[str, Any]]:
    """An answer of DynamoDB's that tells what is wrong."""
    return status, {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "arn:secret", **more}


CONDITION: Final = error("ConditionalCheckFailedException", Item=ITEM)
THROTTLED: Final = error("ThrottlingException")
BROKEN: Final = error("InternalServerError", "500 Internal Server Error")


def cancelled(*codes: str) -> tuple[str, dict[str, Any]]:
    """A transaction that was not done."""
    reasons = [
        {"Code": code, "Message": code, "Item": ITEM} if code != "None" else {"Code": code} for code in codes
    ]
    return error("TransactionCanceledException", CancellationReasons=reasons)


class Asked:
    """How often credentials were asked for."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> Credentials:
        """Others each time."""
        self.times += 1
        return Credentials(f"AKID{self.times}", "secret", f"token{self.times}")


@asynccontextmanager
async def answering(
    *answers: tuple[str, dict[str, Any] | bytes],
) -> AsyncIterator[tuple[DynamoClient, Origin]]:
    """A client of a server that gives these answers, the last one again and again."""
    upstream, given = PooledUpstream(), iter(answers)
    last: list[tuple[str, dict[str, Any] | bytes]] = []

    async def script(exchange: Exchange) -> None:
        last[:] = [next(given, *last)]
        status, body = last[0]
        if status == "closed":
            exchange.close()
            return
        await exchange.answer(body if isinstance(body, bytes) else json.dumps(body).encode(), status)

    async with origin(script) as server:
        clock = FakeClock(1_790_000_000_000)
        yield (
            DynamoClient(
                upstream,
                clock,
                random.Random(1),
                endpoint=server.url,
                region="eu-west-1",
                credentials=Asked(),
            ),
            server,
        )
    await upstream.close()


async def test_call() -> None:
    """A POST to the root: the operation as target, the payload as JSON, signed; the answer as it came."""
    async with answering(OK) as (client, server):
        assert await client.call("UpdateItem", {"TableName": "t"}) == {"Attributes": ITEM}
        (exchange,) = server.exchanges
    asked = exchange.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/", b'{"TableName":"t"}')
    assert asked.values("x-amz-target") == ["DynamoDB_20120810.UpdateItem"]
    assert asked.values("content-type") == ["application/x-amz-json-1.0"]
    assert asked.values("x-amz-date") == ["20260921T141320Z"]
    assert asked.values("x-amz-security-token") == ["token1"]
    (authorization,) = asked.values("authorization")
    assert authorization.startswith(
        "AWS4-HMAC-SHA256 Credential=AKID1/20260921/eu-west-1/dynamodb/aws4_request, SignedHeaders="
        "content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature="
    )


async def test_long_answer() -> None:
    """An answer that comes in many pieces is read whole."""
    item = {str(number): {"S": "x" * 1_000} for number in range(300)}
    async with answering(("200 OK", {"Item": item})) as (client, _):
        assert await client.call("GetItem", {}) == {"Item": item}


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(THROTTLED, id="throttled"),
        pytest.param(error("ProvisionedThroughputExceededException"), id="throughput"),
        pytest.param(error("RequestLimitExceeded"), id="account's limit"),
        pytest.param(error("TransactionConflictException"), id="a transaction is under way"),
        pytest.param(error("TransactionInProgressException"), id="this transaction is under way"),
        pytest.param(cancelled("None", "TransactionConflict"), id="a transaction in conflict"),
        pytest.param(cancelled("ThrottlingError", "None"), id="a transaction throttled"),
        pytest.param(BROKEN, id="500"),
        pytest.param(("503 Service Unavailable", b"<html>"), id="503 of a proxy"),
        pytest.param(("200 OK", b'{"Attributes":'), id="JSON that is cut"),
        pytest.param(CLOSED, id="connection closed"),
    ],
)
async def test_tried_again(failure: tuple[str, dict[str, Any] | bytes]) -> None:
    """What passes is tried again, with the same body and fresh credentials."""
    async with answering(failure, failure, OK) as (client, server):
        await client.transact([{"Put": {}}])
        bodies = [exchange.asked.body for exchange in server.exchanges]
        tokens = [exchange.asked.values("x-amz-security-token") for exchange in server.exchanges]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert tokens == [["token1"], ["token2"], ["token3"]]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (error("ResourceNotFoundException"), "ResourceNotFoundException"),
        (error("AccessDeniedException"), "AccessDeniedException"),
        (error("ValidationException"), "ValidationException"),
        (error("UnrecognizedClientException"), "UnrecognizedClientException"),
        (error("ExpiredTokenException"), "ExpiredTokenException"),
        (cancelled("None", "ValidationError"), "TransactionCanceledException"),
        (("403 Forbidden", b"<html>"), "403"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_not_tried_again(
    failure: tuple[str, dict[str, Any] | bytes], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What stays wrong is unavailable at once. Why is for the log: what AWS says may name accounts and roles."""
    async with answering(failure, OK) as (client, server):
        with caplog.at_level(logging.ERROR), pytest.raises(StorageUnavailable) as raised:
            await client.call("UpdateItem", {})
        assert len(server.exchanges) == 1
    assert said in caplog.text
    assert "UpdateItem" in caplog.text
    assert said not in raised.value.message
    assert "arn" not in raised.value.message


async def test_condition_failed() -> None:
    """A condition that failed comes with the item as it is."""
    async with answering(CONDITION) as (client, server):
        with pytest.raises(ConditionFailed) as raised:
            await client.call("UpdateItem", {})
        assert len(server.exchanges) == 1
    assert raised.value.item == ITEM
    assert not raised.value.repeated


async def test_condition_failed_without_an_item() -> None:
    """Where there is no item, it comes without."""
    async with answering(error("ConditionalCheckFailedException")) as (client, _):
        with pytest.raises(ConditionFailed) as raised:
            await client.call("UpdateItem", {})
    assert raised.value.item is None


async def test_transaction_cancelled() -> None:
    """A transaction one of whose conditions failed has a reason for each of its items, and is not tried again."""
    async with answering(cancelled("ConditionalCheckFailed", "None", "TransactionConflict")) as (
        client,
        server,
    ):
        with pytest.raises(TransactionCancelled) as raised:
            await client.transact([])
        assert len(server.exchanges) == 1
    assert [reason.failed for reason in raised.value.reasons] == [True, False, False]
    assert [reason.item for reason in raised.value.reasons] == [ITEM, None, ITEM]


@pytest.mark.parametrize(
    ("before", "repeated"),
    [
        pytest.param([THROTTLED], False, id="throttled"),
        pytest.param([BROKEN], True, id="500"),
        pytest.param([CLOSED], True, id="connection closed"),
        pytest.param([("200 OK", b"{")], True, id="JSON that is cut"),
        pytest.param([BROKEN, THROTTLED], True, id="500, then throttled"),
    ],
)
async def test_what_may_have_been_done(before: Sequence[Any], repeated: bool) -> None:  # noqa: FBT001 - a table's column
    """Whoever is told that a condition failed is told whether an earlier try may have been carried out."""
    async with answering(*before, CONDITION) as (client, _):
        with pytest.raises(ConditionFailed) as raised:
            await client.call("UpdateItem", {})
    assert raised.value.repeated == repeated
    async with answering(*before, cancelled("ConditionalCheckFailed")) as (client, _):
        with pytest.raises(TransactionCancelled) as also_raised:
            await client.transact([])
    assert also_raised.value.repeated == repeated


async def test_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: unavailable, once there is no time for another try."""
    monkeypatch.setattr(client_module, "_RETRY_S", 0.05)
    async with answering(OK) as (client, server):
        await client.call("GetItem", {})
    with pytest.raises(StorageUnavailable):
        await client.call("UpdateItem", {})
    assert len(server.exchanges) == 1


async def test_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not pass in time is unavailable."""
    monkeypatch.setattr(client_module, "_RETRY_S", 0.1)
    async with answering(THROTTLED) as (client, server):
        with pytest.raises(StorageUnavailable):
            await client.call("UpdateItem", {})
        assert len(server.exchanges) > 1


def test_pauses() -> None:
    """Pauses grow from 20 ms, any part of them is waited; no try begins later than a second after the first."""
    rng = random.Random(7)
    longest = [max(pause_s(attempts, 0.0, rng) or 0 for _ in range(1_000)) for attempts in range(1, 6)]
    assert longest == pytest.approx([0.02, 0.04, 0.08, 0.16, 0.32], rel=0.05)
    assert min(pause_s(5, 0.0, rng) or 0 for _ in range(1_000)) < 0.01
    assert pause_s(1, 0.97, rng) is not None
    assert pause_s(1, 1.0001, rng) is None
    assert all((pause_s(10, 0.5, rng) or 0) <= 0.5 for _ in range(1_000))


def test_timeouts() -> None:
    """A second to connect, two for an answer."""
    timeouts = client_module.TIMEOUTS
    assert (timeouts.connect_s, timeouts.first_byte_s, timeouts.idle_s) == (1.0, 2.0, 2.0)
