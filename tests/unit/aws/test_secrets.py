"""Secrets that AWS keeps: fetched from moto's services, or from ones that fail as a test says."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import pytest

from common.adapters.dynamodb.sign import Credentials
from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import StorageUnavailable
from common.targets.aws.secrets import AGAIN_S, FRESH_S, SecretCache, SecretReader
from tests.support.aws_secrets import REGION, AwsSecrets, aws_secrets
from tests.support.clock import FakeClock
from tests.support.origin import Exchange, Origin, origin

VALUE: Final = "sk-or-v1-314159265358979"


async def credentials() -> Credentials:
    """Anybody's."""
    return Credentials("AKID", "secret", "token")


@pytest.fixture(scope="module")
def account() -> Iterator[AwsSecrets]:
    """With both services."""
    with aws_secrets() as served:
        yield served


@pytest.fixture
def path() -> str:
    """Nobody else's."""
    return f"/sluice/{uuid4().hex}"


@asynccontextmanager
async def reading(endpoints: Mapping[str, str]) -> AsyncIterator[SecretReader]:
    """A reader of these services."""
    upstream = PooledUpstream()
    try:
        yield SecretReader(
            upstream,
            FakeClock(),
            random.Random(1),
            region=REGION,
            endpoints=endpoints,
            credentials=credentials,
        )
    finally:
        await upstream.close()


# -- fetching ----------------------------------------------------------------------------------------------------------


async def test_both_kinds(account: AwsSecrets, path: str) -> None:
    """Parameters come decrypted, more than one call takes, and secrets beside them; what is not there is told."""
    for number in range(12):
        account.put_parameter(f"{path}/{number}", f"{VALUE}{number}")
    account.put_secret(path[1:], "kept")
    wanted = {f"ssm:{path}/{number}": f"{VALUE}{number}" for number in range(12)}
    wanted |= {f"secretsmanager:{path[1:]}": "kept"}
    async with reading(account.endpoints) as reader:
        fetched = await reader.fetch([*wanted, f"ssm:{path}/none", "secretsmanager:none"])
    assert fetched.values == wanted
    assert fetched.problems[f"ssm:{path}/none"] == "there is no such parameter in the region"
    assert "ResourceNotFoundException" in fetched.problems["secretsmanager:none"]
    assert len(fetched.problems) == 2
    assert VALUE not in repr(fetched)


async def test_binary_secret(account: AwsSecrets, path: str) -> None:
    """A secret that is no text is none."""
    account.put_secret(path, b"\x00\x01")
    async with reading(account.endpoints) as reader:
        fetched = await reader.fetch([f"secretsmanager:{path}"])
    assert fetched.problems == {f"secretsmanager:{path}": "it is binary, where a text is expected"}


@asynccontextmanager
async def services(*answers: tuple[str, Any]) -> AsyncIterator[tuple[SecretReader, Origin]]:
    """A reader of a service that gives these answers, the last one again and again."""
    given = list(answers)

    async def script(exchange: Exchange) -> None:
        status, body = given.pop(0) if len(given) > 1 else given[0]
        await exchange.answer(body if isinstance(body, bytes) else json.dumps(body).encode(), status)

    async with origin(script) as server, reading({"ssm": server.url, "secretsmanager": server.url}) as reader:
        yield reader, server


FOUND: Final = ("200 OK", {"Parameters": [{"Name": "/key", "Value": VALUE}]})
THROTTLED: Final = ("400 Bad Request", {"__type": "ThrottlingException", "message": "Rate exceeded"})
DENIED: Final = (
    "400 Bad Request",
    {"__type": "aws#AccessDeniedException", "Message": "no ssm:GetParameters"},
)
BROKEN: Final = ("500 Internal Server Error", b"<html>")
CUT: Final = ("200 OK", b"{")


async def test_call_as_it_is_sent() -> None:
    """One signed call for all parameters, which asks for them in clear."""
    async with services(FOUND) as (reader, server):
        fetched = await reader.fetch(["ssm:/key"])
    assert fetched.values == {"ssm:/key": VALUE}
    (exchange,) = server.exchanges
    headers = dict(exchange.asked.headers)
    assert (headers["x-amz-target"], headers["content-type"]) == (
        "AmazonSSM.GetParameters",
        "application/x-amz-json-1.1",
    )
    assert f"/{REGION}/ssm/aws4_request" in headers["authorization"]
    assert json.loads(exchange.asked.body) == {"Names": ["/key"], "WithDecryption": True}


@pytest.mark.parametrize("first", [THROTTLED, BROKEN, CUT], ids=["throttled", "broken", "cut"])
async def test_what_passes_is_tried_again(first: tuple[str, Any]) -> None:
    """Throttling, a failure of the service and an answer that is cut are tried again."""
    async with services(first, FOUND) as (reader, server):
        fetched = await reader.fetch(["ssm:/key"])
    assert (fetched.values, len(server.exchanges)) == ({"ssm:/key": VALUE}, 2)


async def test_what_does_not_pass() -> None:
    """A permission that is missing is told in AWS's words, at once."""
    async with services(DENIED) as (reader, server):
        fetched = await reader.fetch(["ssm:/key"])
    assert fetched.problems == {"ssm:/key": "400 AccessDeniedException: no ssm:GetParameters"}
    assert len(server.exchanges) == 1


async def test_nobody_there() -> None:
    """Where nothing answers, each is told to be unreachable, after a second at most."""
    async with reading({"ssm": "http://127.0.0.1:1"}) as reader:
        fetched = await reader.fetch(["ssm:/key"])
    assert fetched.problems == {"ssm:/key": "UpstreamUnreachable"}


async def test_no_credentials() -> None:
    """Credentials that cannot be had are a problem like others."""

    async def none() -> Credentials:
        raise StorageUnavailable("none")

    reader = SecretReader(
        PooledUpstream(), FakeClock(), random.Random(1), region=REGION, endpoints={}, credentials=none
    )
    assert (await reader.fetch(["ssm:/key"])).problems == {"ssm:/key": "StorageUnavailable"}


# -- remembering -------------------------------------------------------------------------------------------------------


async def test_remembered_for_a_while() -> None:
    """A value is asked for once in five minutes; then a new one is used."""
    rotated = ("200 OK", {"Parameters": [{"Name": "/key", "Value": "new"}]})
    async with services(FOUND, rotated) as (reader, server):
        clock = FakeClock()
        cache = SecretCache(reader, ["ssm:/key"], clock)
        first = await cache.current()
        clock.advance(FRESH_S - 1)
        assert await cache.current() is first
        assert len(server.exchanges) == 1
        clock.advance(1)
        assert (first, await cache.current()) == ({"ssm:/key": VALUE}, {"ssm:/key": "new"})


async def test_unchanged_values_are_the_same_object() -> None:
    """Where AWS tells the same again, nothing has to be made anew."""
    async with services(FOUND) as (reader, server):
        clock = FakeClock()
        cache = SecretCache(reader, ["ssm:/key"], clock)
        first = await cache.current()
        clock.advance(FRESH_S)
        assert await cache.current() is first
        assert len(server.exchanges) == 2


async def test_last_value_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """While AWS does not tell, what is known goes on being used; it is asked again soon, and the log says why."""
    async with services(FOUND, DENIED, DENIED, FOUND) as (reader, server):
        clock = FakeClock()
        cache = SecretCache(reader, ["ssm:/key"], clock)
        first = await cache.current()
        clock.advance(FRESH_S)
        with caplog.at_level(logging.ERROR, "sluice.secrets"):
            assert await cache.current() is first
            assert await cache.current() is first
        assert len(server.exchanges) == 2
        clock.advance(AGAIN_S)
        assert await cache.current() is first
        assert len(server.exchanges) == 3
    assert caplog.messages[0] == (
        "ssm:/key cannot be read, and the value of before is used: "
        "400 AccessDeniedException: no ssm:GetParameters"
    )
    assert VALUE not in caplog.text


async def test_what_was_never_known(caplog: pytest.LogCaptureFixture) -> None:
    """A secret that is not to be had is asked for again after a moment, not for each request, and then is there."""
    async with services(DENIED, FOUND) as (reader, server):
        clock = FakeClock()
        cache = SecretCache(reader, ["ssm:/key"], clock)
        with caplog.at_level(logging.ERROR, "sluice.secrets"):
            assert [await cache.current() for _ in range(3)] == [{}] * 3
        assert len(server.exchanges) == 1
        clock.advance(AGAIN_S)
        assert await cache.current() == {"ssm:/key": VALUE}
    assert caplog.messages == [
        "ssm:/key cannot be read, and who needs it gets a 503: 400 AccessDeniedException: no ssm:GetParameters"
    ]


async def test_together() -> None:
    """Who asks at once is answered by one call."""
    async with services(FOUND) as (reader, server):
        cache = SecretCache(reader, ["ssm:/key"], FakeClock())
        found = await asyncio.gather(*(cache.current() for _ in range(5)))
    assert found == [{"ssm:/key": VALUE}] * 5
    assert len(server.exchanges) == 1
