"""What is deployed to AWS: the stack that osls makes of serverless.yml, without an account and offline."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi.routing import APIRoute

from common.metering.rows import Rows
from common.ports import (
    Background,
    BreakerStore,
    Clock,
    DeadLetters,
    KeyStore,
    Meter,
    Upstream,
    UsageStore,
    UserStore,
)
from common.targets.aws.edge_only import HEADER, ORIGIN_SECRETS
from common.targets.aws.metrics import OUTCOME, VARIABLE, Metric
from common.targets.aws.root import TABLE, USAGE_DAYS
from common.targets.registry import FUNCTIONS, JOBS, function_of, job_of
from common.telemetry.service_levels import ERRORS
from infra.aws import osls
from infra.aws.artifact import DEPLOYED, WRAPPER
from infra.aws.osls import before_last, command, main
from infra.aws.package import READERS, SCHEDULED, SECRETS, scheduled, secrets_policy
from infra.modules import REPOSITORY

AWS: Final = REPOSITORY / "infra" / "aws"
SECRET: Final = "sk-a-secret-of-the-operator"
REFERENCES: Final = {"ssm:/sluice/dev/openrouter", "secretsmanager:sluice/anthropic"}
OFFLINE: Final = {"CI": "1", "PATH": os.environ["PATH"], "OPENROUTER_API_KEY": SECRET}

# what requests do with each port: common/adapters/dynamodb
READ, WRITE = {"BatchGetItem", "GetItem"}, {"ConditionCheckItem", "PutItem", "UpdateItem"}
GRANTS: Final[Mapping[type, set[str]]] = {
    KeyStore: {"table GetItem", "key_record:* UpdateItem"},  # its use is noted
    UserStore: {"table GetItem"},
    Meter: {f"table {action}" for action in READ | WRITE},
    Rows: {f"table {action}" for action in READ | WRITE} | {"items_by_kind Query"},
    BreakerStore: {"table BatchGetItem", "breaker:* PutItem"},
    UsageStore: {"table GetItem", "items_by_user Query", "items_by_user Scan"},
    DeadLetters: set(),  # the log
    Upstream: set(),  # secrets: see below
    Background: set(),
    Clock: set(),
}
# a port that a function uses otherwise than all others
OTHERWISE: Final[Mapping[tuple[str, type], set[str]]] = {
    ("usage", Meter): {"table BatchGetItem"},  # what is left
    ("health", BreakerStore): {"table BatchGetItem"},  # it tells of them
    ("keys", KeyStore): {
        "table BatchGetItem",
        "table GetItem",
        "items_by_kind Query",
        "items_by_user Query",
        "key_record:* UpdateItem",
        *(
            f"{items} {action}"
            for items in ("key_hash:*", "key_record:*")
            for action in ("DeleteItem", "PutItem")
        ),
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What osls reads, with files in place of artifacts, so that none of this repository's builds is touched."""
    subprocess.run([str(AWS / "setup.sh")], env={**os.environ, "PYTHON": sys.executable}, check=True)
    folder = tmp_path_factory.mktemp("service")
    shutil.copyfile(REPOSITORY / "serverless.yml", folder / "serverless.yml")
    shutil.copytree(
        AWS, folder / "infra" / "aws", ignore=shutil.ignore_patterns("node_modules", "*.py", "__pycache__")
    )
    build = folder / "build" / "aws"
    build.mkdir(parents=True)
    for name in DEPLOYED:
        (build / f"{name}.zip").write_bytes(name.encode())
    (build / SECRETS).write_text(json.dumps(secrets_policy(REFERENCES)))
    (build / SCHEDULED).write_text(json.dumps(scheduled({})))
    return folder


def made(folder: Path, stage: str) -> Path:
    """The template of a stage, made without credentials."""
    out = folder / stage
    arguments = ("package", "--stage", stage, "--package", str(out))
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env={**OFFLINE, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "cloudformation-template-update-stack.json"


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    """The template of `production`."""
    return made(folder, "production")


@pytest.fixture(scope="module")
def template(file: Path) -> dict[str, Any]:
    """Parsed."""
    document: dict[str, Any] = json.loads(file.read_text())
    return document


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    """By logical id."""
    found: dict[str, Any] = template["Resources"]
    return found


def of_type(resources: Mapping[str, Any], type_: str) -> dict[str, Any]:
    """Properties by logical id."""
    return {name: each["Properties"] for name, each in resources.items() if each["Type"] == type_}


def functions(resources: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Logical id and properties, by the name that the function has in `functions/`."""
    found = of_type(resources, "AWS::Lambda::Function")
    return {each["Handler"].rpartition(".")[2]: (name, each) for name, each in found.items()}


def texts(value: Any) -> Iterator[str]:
    """All that is text in a document, members' names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def to(name: str) -> dict[str, Any]:
    """As permissions name a function."""
    return {"Fn::GetAtt": [name, "Arn"]}


# -- functions ---------------------------------------------------------------------------------------------------------


def test_each_function_and_job_is_deployed(resources: dict[str, Any], folder: Path) -> None:
    """What there is in `functions/` and can run here is a function: streaming runtime, arm64, and a zip of its own."""
    deployed = functions(resources)
    assert set(deployed) == set(DEPLOYED)
    for name, (_, each) in deployed.items():
        assert each["Handler"] == f"common.targets.aws.entry.{name}"
        assert (each["Runtime"], each["Architectures"]) == ("python3.13", ["arm64"])
        assert each["Code"]["S3Key"].endswith(f"/{name}.zip")
        variables = each["Environment"]["Variables"]
        assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == f"/var/task/{WRAPPER}"
        assert variables[TABLE] == {"Ref": "Table"}
        assert {USAGE_DAYS, VARIABLE, ORIGIN_SECRETS} <= set(variables)
    assert deployed["chat_completions"][1]["Timeout"] == 900


def test_functions_have_streaming_urls(resources: dict[str, Any]) -> None:
    """Each endpoint has one, with both permissions that its callers need since October 2025; jobs have none."""
    urls = of_type(resources, "AWS::Lambda::Url")
    permissions = list(of_type(resources, "AWS::Lambda::Permission").values())
    deployed = functions(resources)
    assert {each["TargetFunctionArn"]["Fn::GetAtt"][0] for each in urls.values()} == {
        deployed[name][0] for name in FUNCTIONS
    }
    for name in FUNCTIONS:
        target = to(deployed[name][0])
        assert urls[f"{deployed[name][0]}Url"] == {
            "AuthType": "NONE",
            "InvokeMode": "RESPONSE_STREAM",
            "TargetFunctionArn": target,
        }
        granted = [each for each in permissions if each["FunctionName"] == target]
        assert {each["Action"] for each in granted} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
        assert any(each.get("FunctionUrlAuthType") == "NONE" for each in granted)
        assert any(each.get("InvokedViaFunctionUrl") is True for each in granted)


def test_jobs_come_as_often_as_they_say(resources: dict[str, Any]) -> None:
    """A rule for each job, and the permission to trigger it. What the configuration does not want rests."""
    deployed, found, resting = functions(resources), {}, []
    for name, rule in of_type(resources, "AWS::Events::Rule").items():
        [target] = rule["Targets"]
        if rule["State"] != "ENABLED":
            resting.append((target["Arn"]["Fn::GetAtt"][0], rule["State"]))
        found[target["Arn"]["Fn::GetAtt"][0]] = (name, rule["ScheduleExpression"])
    assert resting == [(deployed["probe"][0], "DISABLED")]
    jobs = [name for name in DEPLOYED if name in JOBS]
    assert set(found) == {deployed[name][0] for name in jobs}
    for name in jobs:
        rule_name, expression = found[deployed[name][0]]
        number, unit = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression).groups()  # type: ignore[union-attr]
        assert timedelta(**{f"{unit}s": int(number)}) == job_of(name).every
        assert {
            "FunctionName": to(deployed[name][0]),
            "Action": "lambda:InvokeFunction",
            "Principal": "events.amazonaws.com",
            "SourceArn": to(rule_name),
        } in of_type(resources, "AWS::Lambda::Permission").values()


@pytest.mark.parametrize(
    ("configuration", "probe"), [({}, False), ({"routing": {}}, False), ({"routing": {"probe": True}}, True)]
)
def test_probe_is_scheduled_where_it_is_wanted(configuration: dict[str, Any], *, probe: bool) -> None:
    """Elsewhere it would start every five minutes, and do nothing."""
    assert scheduled(configuration) == {"probe": probe}


def test_logs_are_kept_for_a_while(resources: dict[str, Any]) -> None:
    """Every function's own group, thirty days."""
    groups = of_type(resources, "AWS::Logs::LogGroup").values()
    names = {each["FunctionName"] for _, each in functions(resources).values()}
    assert {each["LogGroupName"] for each in groups} == {f"/aws/lambda/{name}" for name in names}
    assert {each["RetentionInDays"] for each in groups} == {30}


# -- what they may do --------------------------------------------------------------------------------------------------


def needs(name: str) -> tuple[type, ...]:
    """Of a function or a job."""
    return job_of(name).needs if name in JOBS else function_of(name).needs


def granted(role: Mapping[str, Any], log_group: str) -> set[str]:
    """What a role may do with the table: `what action`. That it may write its log, and nothing else, is looked at."""
    found = set()
    [policy] = role["Policies"]
    logs, *statements = policy["PolicyDocument"]["Statement"]
    assert set(logs["Action"]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert logs["Resource"] == {"Fn::GetAtt": [log_group, "Arn"]}
    for statement in statements:
        assert statement["Effect"] == "Allow"
        named = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        whats = [_named(resource) for resource in named]
        if condition := statement.get("Condition"):
            assert whats == ["table"]
            whats = condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        found |= {
            f"{what} {action.removeprefix('dynamodb:')}" for what in whats for action in statement["Action"]
        }
    return found


def _named(resource: Mapping[str, Any]) -> str:
    if resource == {"Fn::GetAtt": ["Table", "Arn"]}:
        return "table"
    return str(resource["Fn::Sub"]).removeprefix("${Table.Arn}/index/")


@pytest.mark.parametrize("name", DEPLOYED)
def test_role_has_what_is_needed_and_no_more(resources: dict[str, Any], name: str) -> None:
    """Each function has a role of its own, whose grants are those of the ports that the function needs."""
    logical, properties = functions(resources)[name]
    [role, _] = properties["Role"]["Fn::GetAtt"]
    assert role == logical.replace("LambdaFunction", "Role")
    wanted = {grant for port in needs(name) for grant in OTHERWISE.get((name, port), GRANTS[port])}
    wide = {action for what, _, action in (each.partition(" ") for each in wanted) if what == "table"}
    wanted = {each for each in wanted if not (":* " in each and each.partition(" ")[2] in wide)}
    assert granted(resources[role]["Properties"], logical.replace("LambdaFunction", "LogGroup")) == wanted


def test_who_asks_providers_reads_the_secrets(resources: dict[str, Any]) -> None:
    """And nobody else; only those that the configuration names."""
    asking = {
        functions(resources)[name][1]["Role"]["Fn::GetAtt"][0] for name in DEPLOYED if Upstream in needs(name)
    }
    assert set(READERS) == asking
    [policy] = of_type(resources, "AWS::IAM::Policy").values()
    assert {each["Ref"] for each in policy["Roles"]} == asking
    place = "${AWS::Region}:${AWS::AccountId}"
    assert {
        (action, resource["Fn::Sub"])
        for statement in policy["PolicyDocument"]["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    } == {
        ("ssm:GetParameters", f"arn:${{AWS::Partition}}:ssm:{place}:parameter/sluice/dev/openrouter"),
        (
            "secretsmanager:GetSecretValue",
            f"arn:${{AWS::Partition}}:secretsmanager:{place}:secret:sluice/anthropic-??????",
        ),
    }
    assert secrets_policy(set()) == {"Resources": {}}


def test_no_role_has_wildcards(resources: dict[str, Any]) -> None:
    """Neither actions nor resources, but for the six characters that AWS puts behind a secret's name."""
    for properties in [
        *of_type(resources, "AWS::IAM::Role").values(),
        *of_type(resources, "AWS::IAM::Policy").values(),
    ]:
        documents = [each["PolicyDocument"] for each in properties.get("Policies", ())]
        for document in documents or [properties["PolicyDocument"]]:
            for statement in document["Statement"]:
                said = [*texts(statement["Action"]), *texts(statement["Resource"])]
                assert not [each for each in said if "*" in each or "?" in each.removesuffix("-??????")]


def test_no_secret_is_in_plain_text(file: Path, resources: dict[str, Any]) -> None:
    """What the operator's environment holds is not in the template; the origin's secret is there as a reference."""
    assert SECRET not in file.read_text()
    sent = [each for each in texts(of_type(resources, "AWS::CloudFront::Distribution")) if "resolve" in each]
    taken = [
        text
        for _, each in functions(resources).values()
        for text in texts(each["Environment"])
        if "resolve" in text
    ]
    assert set(sent) == {"{{resolve:ssm:${OriginSecret}}}"}
    assert set(taken) == {"{{resolve:ssm:${OriginSecret}}}", "{{resolve:ssm:${PreviousOriginSecret}}}"}


# -- the edge ----------------------------------------------------------------------------------------------------------


def distribution(resources: dict[str, Any]) -> dict[str, Any]:
    """Its configuration."""
    config: dict[str, Any] = resources["Distribution"]["Properties"]["DistributionConfig"]
    return config


def test_one_base_url(resources: dict[str, Any]) -> None:
    """Each route of each function reaches that function by its path, with any method, and nothing is cached."""
    config, deployed = distribution(resources), functions(resources)
    origins = {each["Id"]: each for each in config["Origins"]}
    behaviours = [*config["CacheBehaviors"], {**config["DefaultCacheBehavior"], "PathPattern": "*"}]
    for name in FUNCTIONS:
        for route in function_of(name).router.routes:
            assert isinstance(route, APIRoute)
            path = re.sub(r"\{[^}]*\}", "key_0abc", route.path)
            first = next(each for each in behaviours if fnmatch.fnmatchcase(path, each["PathPattern"]))
            domain = origins[first["TargetOriginId"]]["DomainName"]
            assert domain == {
                "Fn::Select": [
                    2,
                    {"Fn::Split": ["/", {"Fn::GetAtt": [f"{deployed[name][0]}Url", "FunctionUrl"]}]},
                ]
            }
    for each in behaviours:
        assert {"GET", "POST", "PATCH", "DELETE", "OPTIONS"} <= set(each["AllowedMethods"])
        assert each["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # CachingDisabled
        assert (
            each["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
        )  # AllViewerExceptHostHeader
        assert (each["Compress"], each["ViewerProtocolPolicy"]) == (False, "https-only")


def test_errors_are_not_kept(resources: dict[str, Any]) -> None:
    """Else one client would be told what another was answered: by the path alone, for ten seconds."""
    kept = {
        each["ErrorCode"]: each["ErrorCachingMinTTL"]
        for each in distribution(resources)["CustomErrorResponses"]
    }
    assert kept == dict.fromkeys((400, 403, 404, 405, 414, 500, 501, 502, 503, 504), 0)


def test_origins(resources: dict[str, Any]) -> None:
    """The longest pause that there may be, and the secret, where one is configured, in the header that is looked at."""
    for each in distribution(resources)["Origins"]:
        assert each["CustomOriginConfig"]["OriginReadTimeout"] == 120
        assert each["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
        condition, [header], _ = each["OriginCustomHeaders"]["Fn::If"]
        assert (condition, header["HeaderName"]) == ("HasOriginSecret", HEADER.decode())


# -- what is watched ---------------------------------------------------------------------------------------------------


def test_alarms(resources: dict[str, Any]) -> None:
    """Ten by default, each of one metric; every function's errors, throttles, our p95, what is settled late."""
    alarms = {name: each for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    usual = {name: each["Properties"] for name, each in alarms.items() if each["Condition"] == "HasAlarms"}
    assert len(usual) == 10
    assert {each["Condition"] for each in alarms.values()} == {"HasAlarms", "HasMoreAlarms"}
    watched: dict[str, set[str]] = {}
    for each in (alarm["Properties"] for alarm in alarms.values()):
        assert each["AlarmActions"] == [{"Ref": "AlarmTopic"}]
        assert each["TreatMissingData"] == "notBreaching"
        [what] = [dimension["Value"]["Ref"] for dimension in each.get("Dimensions", ())] or [
            each["Namespace"]
        ]
        watched.setdefault(each["MetricName"], set()).add(what)
    every = {logical for logical, _ in functions(resources).values()}
    assert watched["Errors"] == every
    assert watched["Throttles"] == {
        logical for name, (logical, _) in functions(resources).items() if name in FUNCTIONS
    }
    ours = {name for name, what in watched.items() if what == {"Sluice/production"}}
    assert ours == {Metric.ERRORS, Metric.GATEWAY_MS, Metric.UNSETTLED, Metric.EXPIRED_HOLDS}
    [late] = [each for each in usual.values() if each["MetricName"] == Metric.GATEWAY_MS]
    assert late["ExtendedStatistic"] == "p95"
    assert {"ChatErrorsAlarm", "ChatThrottlesAlarm", "UnsettledAlarm", "ExpiredHoldsAlarm"} <= set(usual)


def test_metrics_have_the_namespace_that_is_watched(resources: dict[str, Any]) -> None:
    """Functions are told it, where there are alarms."""
    for _, each in functions(resources).values():
        assert each["Environment"]["Variables"][VARIABLE] == {
            "Fn::If": ["HasAlarms", "Sluice/production", ""]
        }


def test_dashboard(resources: dict[str, Any]) -> None:
    """One, of metrics that there are, each outcome among them."""
    [dashboard] = of_type(resources, "AWS::CloudWatch::Dashboard").values()
    body = dashboard["DashboardBody"]["Fn::Sub"]
    there = {*resources, "AWS::Region"}
    assert {name.partition(".")[0] for name in re.findall(r"\$\{([^}]+)\}", body)} <= there
    shown = [metric for widget in json.loads(body)["widgets"] for metric in widget["properties"]["metrics"]]
    assert len(shown) <= 50
    ours = [metric for metric in shown if metric[0] == "Sluice/production"]
    assert {metric[1] for metric in ours} == set(Metric)
    assert {metric[3] for metric in ours if metric[2:3] == [OUTCOME]} == ERRORS
    failing = {metric[3] for metric in shown if metric[1:2] == ["Errors"]}
    assert failing == {f"${{{logical}}}" for logical, _ in functions(resources).values()}


def test_the_account_has_a_budget(resources: dict[str, Any]) -> None:
    """Where one is named: what is spent and what will be are mailed."""
    [budget] = [each for each in resources.values() if each["Type"] == "AWS::Budgets::Budget"]
    assert budget["Condition"] == "HasBudget"
    told = budget["Properties"]["NotificationsWithSubscribers"]
    assert {each["Notification"]["NotificationType"] for each in told} == {"ACTUAL", "FORECASTED"}


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_stages_share_nothing(folder: Path, template: dict[str, Any]) -> None:
    """Whatever has a name has the stage in it; what a stage says for itself is passed on."""
    for stage in ("dev", "staging"):
        resources = json.loads(made(folder, stage).read_text())["Resources"]
        state = json.loads((folder / stage / "serverless-state.json").read_text())
        given = {
            each["ParameterKey"]: each["ParameterValue"]
            for each in state["service"]["provider"]["stackParameters"]
        }
        assert set(given) == set(template["Parameters"])
        assert given["Alarms"] == "none"
        names = ("FunctionName", "TableName", "TopicName", "DashboardName", "BudgetName", "LogGroupName")
        named = [
            value
            for each in resources.values()
            for name, value in each["Properties"].items()
            if name in names and isinstance(value, str)
        ]
        assert len(named) >= 2 * len(DEPLOYED) + 3
        assert not [name for name in named if f"sluice-{stage}" not in name]


def test_linter_has_no_findings(file: Path) -> None:
    """cfn-lint knows what CloudFormation takes. W3005 is about a line that osls writes twice."""
    linter = str(Path(sys.executable).with_name("cfn-lint"))
    arguments = ["--ignore-checks", "W3005", "--regions", "eu-central-1", "--", str(file)]
    done = subprocess.run([linter, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


# -- going back --------------------------------------------------------------------------------------------------------

LISTING: Final = """
2026-11-24 10:00:00 UTC
Timestamp: 1795514400000
Files:
  - chat_completions.zip
2026-11-25 10:00:00 UTC
Timestamp: 1795600800000
Files:
  - chat_completions.zip
"""


def test_rollback_goes_to_the_deployment_before_the_last() -> None:
    """As osls lists them; where there is none, there is nothing to go back to."""
    assert before_last(LISTING) == "1795514400000"
    assert before_last(LISTING.partition("2026-11-25")[0]) is None
    assert before_last("No deployments found") is None


def test_rollback_has_the_parameters_that_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no part of what a deployment was made of."""
    ran: list[tuple[str, ...]] = []

    def run(*arguments: str) -> int:
        ran.append(arguments)
        return 0

    monkeypatch.setattr(osls, "run", run)
    for more in ((), ("--param=Domain=a.example", "--param=UsageDays=30")):
        assert main(("rollback", "--stage", "dev", "--to", "1795514400000", *more)) == 0
        assert ran.pop() == ("rollback", "--stage", "dev", "--timestamp", "1795514400000", *more)


@pytest.mark.parametrize(
    "arguments", [("deploy", "--stage", ""), ("rollback", "--stage", "prod", "--to", "")]
)
def test_a_stage_has_to_be_one(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A stage that there is not is refused before anything is asked of AWS."""
    assert main(arguments) == 2
    assert "STAGE is one of dev, staging, production" in capsys.readouterr().err
