"""The services that keep secrets, for tests: moto's, on a thread of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class AwsSecrets:
    """An account, which all tests share: each names its own. `url`: of both services."""

    url: str

    @property
    def endpoints(self) -> dict[str, str]:
        """As a `SecretReader` takes them."""
        return {"ssm": self.url, "secretsmanager": self.url}

    @property
    def variables(self) -> dict[str, str]:
        """As processes take them."""
        return {"AWS_ENDPOINT_URL_SSM": self.url, "AWS_ENDPOINT_URL_SECRETSMANAGER": self.url}

    def put_parameter(self, name: str, value: str) -> None:
        """An encrypted one, new or in place of the one before."""
        self._client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)

    def put_secret(self, name: str, value: str | bytes) -> None:
        """A new one."""
        kind = "SecretString" if isinstance(value, str) else "SecretBinary"
        self._client("secretsmanager").create_secret(Name=name, **{kind: value})

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@contextmanager
def aws_secrets() -> Iterator[AwsSecrets]:
    """Serve."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield AwsSecrets(f"http://{host}:{port}")
    finally:
        server.stop()
