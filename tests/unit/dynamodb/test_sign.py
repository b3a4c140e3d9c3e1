"""Signatures are those of AWS's own library."""

from datetime import UTC, datetime
from importlib import import_module

import pytest

from common.adapters.dynamodb.sign import Credentials, Headers, Service, sign

NOW_MS = 1_790_000_000_123
KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
DYNAMODB = Service("dynamodb", "eu-west-1", "dynamodb.eu-west-1.amazonaws.com")
HEADERS = (("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.UpdateItem"))


def signed_by_botocore(
    credentials: Credentials, service: Service, headers: Headers, body: bytes, now: datetime
) -> dict[str, str]:
    """The headers that botocore sends, but for the host."""
    auth = import_module("botocore.auth")
    request = import_module("botocore.awsrequest").AWSRequest(
        "POST", f"http://{service.host}/", dict(headers), body
    )
    request.headers["host"] = service.host
    keys = (credentials.access_key, credentials.secret_key, credentials.session_token)
    signer = auth.SigV4Auth(
        import_module("botocore.credentials").Credentials(*keys), service.name, service.region
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: now)
        signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items() if name != "host"}


@pytest.mark.parametrize(
    ("credentials", "service", "headers", "body"),
    [
        pytest.param(Credentials(*KEYS), DYNAMODB, HEADERS, b'{"TableName":"t"}', id="keys alone"),
        pytest.param(
            Credentials(*KEYS, "IQoJb3JpZ2luX2VjE+/="), DYNAMODB, HEADERS, b"{}", id="session token"
        ),
        pytest.param(Credentials(*KEYS), DYNAMODB, HEADERS, b"", id="no body"),
        pytest.param(Credentials(*KEYS), DYNAMODB, HEADERS, '{"a":"ö"}'.encode(), id="not ASCII"),
        pytest.param(Credentials(*KEYS), DYNAMODB, HEADERS[::-1], b"{}", id="headers in another order"),
        pytest.param(
            Credentials(*KEYS),
            Service("dynamodb", "us-east-1", "127.0.0.1:8801"),
            HEADERS,
            b"{}",
            id="a port",
        ),
        pytest.param(
            Credentials(*KEYS), Service("ssm", "us-east-1", "ssm.amazonaws.com"), (), b"{}", id="SSM"
        ),
    ],
)
def test_as_botocore_signs(credentials: Credentials, service: Service, headers: Headers, body: bytes) -> None:
    """The same headers, signature included, for the same request at the same second."""
    now = datetime.fromtimestamp(NOW_MS // 1000, UTC)
    expected = signed_by_botocore(credentials, service, headers, body, now)
    signed = sign(credentials, service, headers, body, NOW_MS)
    assert dict(signed) == expected
    assert len(signed) == len(expected)


def test_each_day_has_its_key() -> None:
    """The turn of a UTC day changes the scope and the key; going back is the old ones again."""
    credentials, midnight = Credentials(*KEYS), 1_798_761_600_000
    for now_ms in (midnight - 1, midnight, midnight - 1):
        now = datetime.fromtimestamp(now_ms // 1000, UTC)
        signed = sign(credentials, DYNAMODB, HEADERS, b"{}", now_ms)
        assert dict(signed) == signed_by_botocore(credentials, DYNAMODB, HEADERS, b"{}", now)


def test_credentials_do_not_print() -> None:
    """Neither the secret key nor the token is in what a log would show."""
    assert repr(Credentials("AKID", "secret-key", "secret-token")) == "Credentials(access_key='AKID')"
