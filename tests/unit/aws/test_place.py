"""What a command on a deployed stage says where boto3 is of no help."""

import sys
from types import SimpleNamespace
from typing import Never

import pytest
from botocore.exceptions import UnauthorizedSSOTokenError  # type: ignore[import-untyped]
from click.testing import CliRunner

from common.cli.root import sluice
from common.targets.aws.place import table_of


def told() -> str:
    """What `sluice keys list` says, on one line."""
    result = CliRunner().invoke(sluice, ["keys", "list", "--target", "aws", "--stage", "dev"])
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where boto3 is not installed, the command says what is to be."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert told() == "Error: boto3 is not installed: `pip install 'sluice[aws]'`."


def test_login_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that cannot be renewed are told with how to get others, and nothing is called."""

    def expired() -> Never:
        raise UnauthorizedSSOTokenError

    meta = SimpleNamespace(region_name="eu-west-1", endpoint_url="http://127.0.0.1:1")
    session = SimpleNamespace(
        client=lambda _: SimpleNamespace(meta=meta),
        get_credentials=lambda: SimpleNamespace(get_frozen_credentials=expired),
    )
    monkeypatch.setattr("boto3.Session", lambda **_: session)
    line = told()
    assert line.startswith("Error: The AWS credentials cannot be renewed: The SSO session associated with")
    assert line.endswith("Log in again (`aws sso login`), or renew the credentials.")


@pytest.mark.parametrize(
    ("stage", "variables", "table"),
    [
        ("dev", {}, "sluice-dev"),
        (None, {"SLUICE_TABLE": "other"}, "other"),
        ("dev", {"SLUICE_TABLE": "other"}, "sluice-dev"),
    ],
)
def test_table(stage: str | None, variables: dict[str, str], table: str) -> None:
    """The stage names the table; the variable does where no stage is named."""
    assert table_of(stage, variables) == table


@pytest.mark.parametrize("variables", [{}, {"SLUICE_TABLE": ""}])
def test_no_table(variables: dict[str, str]) -> None:
    """No stage is taken for granted."""
    with pytest.raises(ValueError, match="--stage"):
        table_of(None, variables)
