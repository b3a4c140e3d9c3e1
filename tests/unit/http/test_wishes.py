"""What a client says of its request in headers of ours."""

import pytest
from fastapi import Request

from common.gateway.context import Wishes
from common.http.wishes import wishes_of
from common.model.errors import InvalidRequest


def wishes(**headers: str) -> Wishes:
    """Of a request with these; underscores are hyphens."""
    raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return wishes_of(Request({"type": "http", "state": {"headers": raw}}), "session", "trace")


def test_nothing_is_said() -> None:
    """As configured, and what breaks may be continued."""
    assert wishes() == Wishes("session", "trace", None, resume=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1", 1.0), ("30", 30.0), ("2.5", 2.5), ("0.000001", 0.000001), ("3600", 3600.0), ("0030", 30.0)],
)
def test_timeout(value: str, seconds: float) -> None:
    """Seconds, with a fraction."""
    assert wishes(x_sluice_timeout=value).timeout_s == seconds


@pytest.mark.parametrize(
    "value",
    [
        *("", "0", "0.0", "-1", "+1", "3600.5", "3601", "99999", "1e3", "nan", "inf", "1_0", " 1", "1,5"),
        *("1.", ".5", "1.5.5", "1.0000001", "soon", "30s", "\u0661"),
    ],
)
def test_no_timeout(value: str) -> None:
    """400, with the header's name, and what would do."""
    with pytest.raises(InvalidRequest, match="seconds") as caught:
        wishes(x_sluice_timeout=value)
    assert (caught.value.param, caught.value.code) == ("x-sluice-timeout", "invalid_value")


@pytest.mark.parametrize(("value", "resume"), [("on", True), ("off", False)])
def test_resume(value: str, resume: bool) -> None:  # noqa: FBT001
    """One of two words."""
    assert wishes(x_sluice_resume=value).resume is resume


@pytest.mark.parametrize("value", ["", "On", "OFF", "true", "false", "0", "1", "on,off"])
def test_no_resume(value: str) -> None:
    """400, with the header's name."""
    with pytest.raises(InvalidRequest, match="on or off") as caught:
        wishes(x_sluice_resume=value)
    assert (caught.value.param, caught.value.code) == ("x-sluice-resume", "invalid_value")
