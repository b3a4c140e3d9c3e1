"""What goes wrong, as each client library raises it: status, code and field for all, the official classes too."""

import pytest

from tests.e2e.client import Client
from tests.e2e.failures import CASES, fail

each_case = pytest.mark.parametrize("name", CASES)


@each_case
async def test_error(client: Client, name: str) -> None:
    """An error tells what it is by its status, its code, and the field that it is about."""
    case, error = CASES[name], await fail(client, name)
    assert (error["status"], error["code"], error["param"]) == (case.status, case.code, case.param)
    assert error["message"]


@pytest.mark.parametrize("client", ["openai-python", "openai-node"], indirect=True)
@each_case
async def test_class_of_an_error(client: Client, name: str) -> None:
    """The official clients raise the class that they have for it, streams or not, and know when to come back."""
    case = CASES[name]
    for scenario in ("whole", "streamed"):
        error = await fail(client, name, scenario)
        assert error["class"] == case.raised
        assert (error["requestId"] or "").startswith("req_")
        if case.retry_after_s is None:
            assert error["retryAfter"] is None
        else:
            assert int(error["retryAfter"]) in case.retry_after_s
