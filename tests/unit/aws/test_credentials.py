"""Where a function's credentials come from."""

import json

import pytest

from common.adapters.dynamodb.sign import Credentials
from common.adapters.upstream.pooled import PooledUpstream
from common.model.errors import StorageUnavailable
from common.targets.aws.credentials import credential_source
from tests.support.clock import FakeClock
from tests.support.origin import Exchange, origin

START_MS = 1_798_761_600_000  # 2027-01-01T00:00:00Z


def told(number: int) -> bytes:
    """What the endpoint answers: good for an hour."""
    return json.dumps(
        {
            "AccessKeyId": f"AKIA{number}",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": f"2027-01-01T0{number}:00:00Z",
        }
    ).encode()


async def test_variables() -> None:
    """Those that are set, with the token where there is one."""
    variables = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    source = credential_source(variables, PooledUpstream(), FakeClock())
    assert await source() == Credentials("AKIA", "secret", "token")


async def test_endpoint() -> None:
    """A restored function asks the endpoint, with its token, and again five minutes before what it has expires."""
    asked = []

    async def script(exchange: Exchange) -> None:
        asked.append((exchange.asked.method, exchange.asked.target, exchange.asked.values("authorization")))
        await exchange.answer(told(len(asked)), "200 OK", "content-type: application/json")

    clock, pooled = FakeClock(START_MS), PooledUpstream()
    async with origin(script) as server:
        variables = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/role",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pass",
            "AWS_ACCESS_KEY_ID": "of the snapshot",
        }
        source = credential_source(variables, pooled, clock)
        assert await source() == await source() == Credentials("AKIA1", "secret", "token")
        clock.advance(3_299)
        assert (await source()).access_key == "AKIA1"
        clock.advance(1)
        assert (await source()).access_key == "AKIA2"
        await pooled.close()
    assert asked == [("GET", "/role", ["pass"])] * 2


@pytest.mark.parametrize("body", [b"no JSON", b"{}", b'{"AccessKeyId": 1}'])
async def test_endpoint_that_fails(body: bytes) -> None:
    """Without credentials the store cannot be reached."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(body)

    pooled = PooledUpstream()
    async with origin(script) as server:
        variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url}
        with pytest.raises(StorageUnavailable):
            await credential_source(variables, pooled, FakeClock())()
        await pooled.close()
