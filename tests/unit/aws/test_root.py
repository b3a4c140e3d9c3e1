"""What the root of the AWS target does between invocations."""

import random
from pathlib import Path

import pytest

from common.ports import Timeouts, UpstreamRequest
from common.settings import SettingsError
from common.targets.aws import root
from tests.support.clock import FakeClock
from tests.support.origin import Exchange, origin

SETTINGS = """
[providers.one]
kind = "openai"
base_url = "https://llm.example.com/v1"
[models.demo]
targets = ["one/demo"]
"""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> root.AwsGateway:
    """A gateway with a clock that a test sets."""
    (tmp_path / "sluice.toml").write_text(SETTINGS)
    monkeypatch.setattr(root, "SystemClock", FakeClock)
    monkeypatch.setattr(root, "log_to_stdout", lambda *_: None)
    variables = {"LAMBDA_TASK_ROOT": str(tmp_path), "SLUICE_TABLE": "sluice", "AWS_REGION": "eu-west-1"}
    return root.open_gateway(variables)


@pytest.mark.parametrize(
    ("seconds", "connections"), [(1, 1), (5, 1), (6, 2)], ids=["a moment", "five seconds", "longer"]
)
async def test_connections_after_a_freeze(opened: root.AwsGateway, seconds: int, connections: int) -> None:
    """A kept connection is used again, but not after five seconds in which the process may have been frozen."""
    ports = set()

    async def script(exchange: Exchange) -> None:
        ports.add(exchange._writer.get_extra_info("peername"))
        await exchange.answer(b"{}")

    async with origin(script) as server:
        asked = UpstreamRequest("POST", server.url, (), b"", Timeouts(1, 1, 1))
        for _ in range(2):
            opened.wake()
            async with opened.upstream.send(asked) as response:
                while await response.read():
                    pass
            assert isinstance(opened.clock, FakeClock)
            opened.clock.advance(60)  # that the answer took
            opened.rest()
            opened.clock.advance(seconds)
        await opened.upstream.close()
    assert len(ports) == connections


def test_copies_are_not_alike(opened: root.AwsGateway) -> None:
    """After a restore, ids differ from those of the other copies."""
    rng = opened.gateway.rng
    state = rng.getstate()
    found = []
    for _ in range(2):
        rng.setstate(state)
        opened.after_restore()
        found.append(rng.random())
    rng.setstate(state)
    assert len({*found, rng.random()}) == 3
    assert isinstance(rng, random.Random)


@pytest.mark.parametrize(("text", "days"), [(None, None), ("", None), ("90", 90)])
def test_usage_is_kept(text: str | None, days: int | None) -> None:
    """Usage records are kept for so many days, or for ever."""
    assert root.keep_days({} if text is None else {root.USAGE_DAYS: text}) == days


@pytest.mark.parametrize("text", ["0", "-1", "ninety", "1.5", "36501"])
def test_usage_is_kept_for_no_time(tmp_path: Path, text: str) -> None:
    """What is no number of days keeps a function from starting, with all other mistakes."""
    (tmp_path / "sluice.toml").write_text(SETTINGS)
    with pytest.raises(SettingsError) as caught:
        root.read_settings(tmp_path, {"AWS_REGION": "eu-west-1", root.USAGE_DAYS: text})
    assert [each.key for each in caught.value.mistakes] == ["SLUICE_TABLE", "SLUICE_USAGE_DAYS"]
