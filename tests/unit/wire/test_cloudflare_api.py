"""The envelope of Cloudflare's API."""

import json

import pytest

from common.wire.cloudflare_api import ApiRefused, result_of


def test_result() -> None:
    """What was asked for is taken out of it, be it nothing."""
    assert result_of(200, b'{"success": true, "result": [1], "errors": []}') == [1]
    assert result_of(200, b'{"success": true, "result": null, "errors": []}') is None


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [
        pytest.param(
            403,
            {"success": False, "errors": [{"code": 10000, "message": "Authentication\nerror"}]},
            "403: 10000 Authentication error",
            id="an error",
        ),
        pytest.param(
            400,
            {"success": False, "errors": [{"code": 1, "message": "a"}, {"code": 2, "message": "b"}]},
            "400: 1 a; 2 b",
            id="two errors",
        ),
        pytest.param(200, {"success": False, "errors": []}, "200: None no reason given", id="no reason"),
        pytest.param(
            500, {"success": True, "result": 1, "errors": []}, "500: None no reason given", id="a status"
        ),
        pytest.param(200, {"result": 1}, "200: not an answer of the API", id="no envelope"),
        pytest.param(200, [1], "200: not an answer of the API", id="a list"),
        pytest.param(
            200, {"success": False, "errors": ["x"]}, "200: not an answer of the API", id="odd errors"
        ),
    ],
)
def test_refusals(status: int, answer: object, why: str) -> None:
    """Anything else is refused, with what was said on one line."""
    with pytest.raises(ApiRefused) as caught:
        result_of(status, json.dumps(answer).encode())
    assert (caught.value.why, caught.value.status) == (why, status)


def test_page() -> None:
    """An error page of a gateway on the way is no answer of the API."""
    with pytest.raises(ApiRefused, match="504: not an answer"):
        result_of(504, b"<html>Gateway Time-out</html>")
