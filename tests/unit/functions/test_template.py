"""What AWS lets pass and punishes later, held in the template as SAM transforms it."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import aliquot
from aliquot import spending
from orchestrator.stack.files import PACKAGES

ROOT = Path(__file__).parents[3]
EVERY_RUNG = {"Rungs": "all"}
IN_VPC = {"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}
WORKERS = {"SmallWorker", "MediumWorker", "LargeWorker"}
NO_RESOURCES = {  # actions that know no resources, by AWS's Service Authorization Reference
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}


def list_statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for policy in role["Policies"] for each in policy["PolicyDocument"]["Statement"]]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture
def mappings(deploy):
    """Each mapping with its function and its queue."""
    found = deploy(**EVERY_RUNG)
    queues, functions = found.of_type("AWS::SQS::Queue"), found.of_type("AWS::Lambda::Function")
    return {
        name: (each, functions[each["FunctionName"]["Ref"]], queues[each["EventSourceArn"]["Fn::GetAtt"][0]])
        for name, each in found.of_type("AWS::Lambda::EventSourceMapping").items()
    }


def test_queues_hide_for_six_times_the_functions_timeout(mappings):
    assert {
        name: queue["VisibilityTimeout"] / function["Timeout"]
        for name, (_, function, queue) in mappings.items()
    } == dict.fromkeys(mappings, 6)


def test_workers_get_one_task_and_every_mapping_reports_failures(mappings):
    for name, (mapping, _, _) in mappings.items():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name
        assert mapping["BatchSize"] == 1 or name == "BuryMapping"


@pytest.mark.parametrize("record_s", [60, 300, 780])
def test_timeout_is_slice_and_record_deadline_and_a_minute(deploy, record_s):
    found = deploy(**EVERY_RUNG, RecordTimeout=str(record_s))
    functions, queues = found.of_type("AWS::Lambda::Function"), found.of_type("AWS::SQS::Queue")
    for name in WORKERS:
        function = functions[name]
        assert (
            function["Timeout"]
            == int(function["Environment"]["Variables"]["ALIQUOT_SLICE_S"]) + record_s + 60
        )
        assert queues[name.replace("Worker", "Tasks")]["VisibilityTimeout"] == 6 * function["Timeout"]
        lease_s = int(functions["Tally"]["Environment"]["Variables"]["ALIQUOT_LEASE_S"])
        assert lease_s == function["Timeout"] + 30
    assert found.outputs["RecordTimeout"]["Value"] == str(record_s)


@pytest.mark.parametrize("pollers", ["standard", "provisioned"])
def test_pollers_and_concurrency_exclude_each_other(deploy, pollers):
    """Lambda refuses a mapping with both; cfn-lint does not notice."""
    mappings = deploy(Pollers=pollers, **EVERY_RUNG).of_type("AWS::Lambda::EventSourceMapping")
    for name, mapping in mappings.items():
        has_pollers, is_limited = "ProvisionedPollerConfig" in mapping, "ScalingConfig" in mapping
        assert has_pollers != is_limited, name
        assert has_pollers == (pollers == "provisioned" and name != "BuryMapping")


def test_nothing_reserves_concurrency(deploy):
    """Reserved concurrency throttles the poller, which sends messages to the dead letters unseen."""
    for function in deploy(**EVERY_RUNG).of_type("AWS::Lambda::Function").values():
        assert "ReservedConcurrentExecutions" not in function


def test_functions_that_send_to_queues_may_loop(deploy):
    """Lambda ends a chain of queue and function after 16 rounds; hand-backs are such a chain."""
    found = deploy(**EVERY_RUNG)
    roles = found.of_type("AWS::IAM::Role")
    for name, function in found.of_type("AWS::Lambda::Function").items():
        statements = list_statements(roles[function["Role"]["Fn::GetAtt"][0]])
        sends = any("sqs:SendMessage" in as_list(each["Action"]) for each in statements)
        assert sends == (name not in ("Reduce", "Cut", "Intake"))
        assert function.get("RecursiveLoop") == ("Allow" if sends else None), name


def test_dead_letters_are_kept_longest(deploy):
    """Time counts from the first send: equal times would end a dead letter as it arrives."""
    queues = deploy(**EVERY_RUNG).of_type("AWS::SQS::Queue")
    letters = queues.pop("DeadLetters")
    assert letters["MessageRetentionPeriod"] == 14 * 24 * 3600
    for queue in queues.values():
        assert queue["MessageRetentionPeriod"] < letters["MessageRetentionPeriod"]
        assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
        assert queue["RedrivePolicy"]["maxReceiveCount"] >= 5


@pytest.mark.parametrize("given", [{}, IN_VPC])
def test_only_what_knows_no_resources_has_a_star(deploy, given):
    found = deploy(KmsKeyArn="arn:aws:kms:us-east-1:1:key/1", **EVERY_RUNG, **given)
    roles = found.of_type("AWS::IAM::Role")
    assert not [name for name, role in roles.items() if "ManagedPolicyArns" in role]
    statements = [each for role in roles.values() for each in list_statements(role)]
    for policy in found.of_type("AWS::IAM::Policy").values():
        statements += policy["PolicyDocument"]["Statement"]
    for statement in statements:
        actions = as_list(statement["Action"])
        assert not [action for action in actions if "*" in action]
        if "*" in as_list(statement["Resource"]):
            assert set(actions) <= NO_RESOURCES


def test_functions_in_a_vpc_wait_for_their_rights(deploy):
    """Lambda refuses to make one whose role may not make network interfaces yet."""
    inside, outside = deploy(**IN_VPC), deploy()
    (policy,) = inside.of_type("AWS::IAM::Policy").values()
    roles = [each["Ref"] for each in policy["Roles"]]
    for function in inside.of_type("AWS::Lambda::Function").values():
        assert function["Role"]["Fn::GetAtt"][0] in roles
        assert {"Ref": "NetworkPolicy"} in function["Environment"]["Variables"].values()
        assert function["VpcConfig"] == {"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}
    assert outside.of_type("AWS::IAM::Policy") == {}
    assert not [each for each in outside.of_type("AWS::Lambda::Function").values() if "VpcConfig" in each]


def test_roles_take_boundary_and_path(deploy):
    given = {"PermissionsBoundary": "arn:aws:iam::1:policy/edge", "RolePath": "/science/"}
    for role in deploy(**given).of_type("AWS::IAM::Role").values():
        assert (role["PermissionsBoundary"], role["Path"]) == tuple(given.values())
    for role in deploy().of_type("AWS::IAM::Role").values():
        assert "PermissionsBoundary" not in role


def test_results_and_references_never_expire(deploy):
    bucket = deploy().of_type("AWS::S3::Bucket")["RunBucket"]
    expiring = {
        rule["Prefix"]: rule["ExpirationInDays"]
        for rule in bucket["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    assert expiring == {"runs/": "30", "unclaimed/": "30"}


@pytest.mark.parametrize("name", ["RunBucket", "InboxBucket"])
def test_bucket_outlives_the_stack_and_is_private(deploy, name):
    found = deploy()
    bucket = found.resources[name]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    policies = found.of_type("AWS::S3::BucketPolicy").values()
    (policy,) = (each for each in policies if each["Bucket"] == {"Ref": name})
    only_tls, only_here = policy["PolicyDocument"]["Statement"]
    assert {(each["Effect"], each["Action"]) for each in (only_tls, only_here)} == {("Deny", "s3:*")}
    assert only_tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert only_here["Condition"] == {
        "StringNotEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
    }


def test_inbox_tells_of_what_is_dropped_and_forgets_it(deploy):
    inbox = deploy().of_type("AWS::S3::Bucket")["InboxBucket"]
    assert inbox["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    (rule,) = inbox["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == "30"


def test_datasets_are_read_where_the_stack_was_told_and_nowhere_else(deploy):
    """The cutting function reads what users name: its rights are the bound, not their word."""
    runs, inbox = {"Fn::Sub": "${RunBucket.Arn}/runs/*"}, {"Fn::Sub": "${InboxBucket.Arn}/*"}
    results = {"Fn::Sub": "${RunBucket.Arn}/results/*"}
    own = list_statements(deploy().of_type("AWS::IAM::Role")["CutRole"])
    assert [each["Resource"] for each in own if each["Action"] == "s3:GetObject"] == [[results, runs, inbox]]
    assert [each["Resource"] for each in own if each["Action"] == "s3:PutObject"] == [[runs]]
    told = deploy(DataBuckets="arn:aws:s3:::a,arn:aws:s3:::b").of_type("AWS::IAM::Role")["CutRole"]
    added = {each["Action"]: each["Resource"] for each in list_statements(told) if each not in own}
    objects = {"Fn::Join": ["", ["arn:aws:s3:::a/*,arn:aws:s3:::b", "/*"]]}
    assert added == {
        "s3:ListBucket": "arn:aws:s3:::a,arn:aws:s3:::b",
        "s3:GetObject": {"Fn::Split": [",", objects]},
    }


def test_requests_start_the_function_that_takes_them_in(deploy):
    found = deploy()
    (rule,) = found.of_type("AWS::Events::Rule").values()
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [{"Ref": "InboxBucket"}]},
            "object": {"key": [{"suffix": ".run.json"}]},
        },
    }
    assert [each["Arn"] for each in rule["Targets"]] == [{"Fn::GetAtt": ["Intake", "Arn"]}]
    (permission,) = found.of_type("AWS::Lambda::Permission").values()
    assert permission["SourceArn"] == {"Fn::GetAtt": ["InboxRule", "Arn"]}


def test_answers_in_the_inbox_start_nothing(deploy):
    """The function may write nothing there that its own rule would hear of."""
    statements = list_statements(deploy().of_type("AWS::IAM::Role")["IntakeRole"])
    written = [
        resource["Fn::Sub"]
        for each in statements
        if "s3:PutObject" in as_list(each["Action"])
        for resource in as_list(each["Resource"])
        if "InboxBucket" in resource["Fn::Sub"]
    ]
    assert written
    assert not [each for each in written if each.endswith((".run.json", "/*"))]


@pytest.mark.parametrize(
    ("given", "workers"),
    [({}, "500"), ({"Concurrency": "40"}, "40"), ({"Pollers": "provisioned", "MaximumPollers": "30"}, "300")],
)
def test_requests_get_the_workers_that_there_are(deploy, given, workers):
    variables = deploy(**given).of_type("AWS::Lambda::Function")["Intake"]["Environment"]["Variables"]
    said = variables["ALIQUOT_CONCURRENCY"]
    pollers = given.get("MaximumPollers", "")
    assert (
        said["Fn::Sub"].replace("${MaximumPollers}", pollers) if isinstance(said, dict) else said
    ) == workers


def test_templates_satisfy_cfn_lint(written, tmp_path):
    """Exceptions would stand here, with their reasons; `make lint-stack` asks checkov too.

    The state machine is looked at where it stands in a template: cfn-lint opens no DefinitionUri.
    """
    names = written["Resources"]["Settle"]["Properties"]["DefinitionSubstitutions"]
    machine = {
        "Definition": json.loads((ROOT / "statemachine/settle.asl.json").read_text()),
        "DefinitionSubstitutions": dict.fromkeys(names, "arn:aws:lambda:us-east-1:123456789012:function:f"),
        "RoleArn": "arn:aws:iam::123456789012:role/settle",
    }
    resources = {"Settle": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}}
    apart = tmp_path / "machine.json"
    apart.write_text(json.dumps({"Resources": resources}))
    paths = [ROOT / "template.yaml", apart, *sorted((ROOT / "examples" / "events").glob("*.yaml"))]
    command = [sys.executable, "-c", "from cfnlint.runner import main; main()", *map(str, paths)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_nobodys_code_runs_beside_the_rights_to_data(deploy):
    functions = deploy(AllowCode="true").of_type("AWS::Lambda::Function")
    assert not [each for each in functions["Cut"]["Layers"] if "Chem" in str(each)]


def test_key_encrypts_bucket_and_puts(deploy):
    found = deploy(KmsKeyArn="arn:aws:kms:us-east-1:1:key/1")
    for bucket in found.of_type("AWS::S3::Bucket").values():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert rule["BucketKeyEnabled"] is True
    for function in found.of_type("AWS::Lambda::Function").values():
        said = function["Environment"]["Variables"]["ALIQUOT_ENCRYPTION"]["Fn::Sub"]
        assert json.loads(said)["ServerSideEncryption"] == "aws:kms"
    for function in deploy().of_type("AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["ALIQUOT_ENCRYPTION"] == "{}"


@pytest.mark.parametrize(
    ("rungs", "expected"),
    [
        ("small", {"small": 1769}),
        ("small+medium", {"small": 1769, "medium": 3538}),
        ("all", {"small": 1769, "medium": 3538, "large": 10240}),
    ],
)
def test_rungs_are_functions_queues_and_a_variable(deploy, rungs, expected):
    """New accounts refuse functions past 3,008 MB, and with one of them the whole deployment."""
    found = deploy(Rungs=rungs)
    functions = found.of_type("AWS::Lambda::Function")
    workers = [functions[name]["Environment"]["Variables"] for name in functions if name in WORKERS]
    memory = {functions[name]["MemorySize"] for name in functions if name in WORKERS}
    assert {each["ALIQUOT_RUNG"] for each in workers} == set(expected)
    assert memory == set(expected.values())
    assert len(found.of_type("AWS::SQS::Queue")) == len(expected) + 1
    for function in functions.values():
        said = function["Environment"]["Variables"]["ALIQUOT_QUEUES"]["Fn::Sub"]
        assert set(json.loads(said)) == set(expected)


def test_record_of_2500_mb_has_room_on_every_rung_above_small(deploy):
    """A record that climbed has the memory of all hosts; the function needs some 120 MB besides."""
    functions = deploy(Rungs="all").of_type("AWS::Lambda::Function")
    workers = [functions[name] for name in functions if name in WORKERS]
    alone = {}
    for worker in workers:
        said = worker["Environment"]["Variables"]
        alone[said["ALIQUOT_RUNG"]] = int(said["ALIQUOT_MEMORY_MIB"]) * int(said["ALIQUOT_HOSTS"])
        assert alone[said["ALIQUOT_RUNG"]] + 120 <= worker["MemorySize"]
    assert alone["small"] < 2500 / 1.048576 < min(alone["medium"], alone["large"])


@pytest.mark.parametrize("rungs", ["small", "small+medium", "all"])
def test_workers_out_of_an_image_are_the_same_but_for_their_code(deploy, rungs):
    """They know no Globals: a variable that is added there and not to them would be missed on AWS alone."""
    of_layers = deploy(Rungs=rungs).of_type("AWS::Lambda::Function")
    of_image = deploy(Rungs=rungs, WorkerImageUri="1.dkr.ecr/mine:1").of_type("AWS::Lambda::Function")
    for name in WORKERS & set(of_layers):
        assert name not in of_image
        worker, own = of_image[name.replace("Worker", "ImageWorker")], dict(of_layers[name])
        for gone in ("Code", "Layers", "Runtime", "Handler"):
            del own[gone]
        own["Tags"] = [tag for tag in own["Tags"] if tag["Key"] != "lambda:createdBy"]
        said = {key: value for key, value in worker.items() if key not in ("Code", "PackageType")}
        assert said.pop("ImageConfig") == {"Command": ["app.handler"]}
        by_key = {tag["Key"]: tag["Value"] for tag in said.pop("Tags")}
        assert by_key == {tag["Key"]: tag["Value"] for tag in own.pop("Tags")}
        assert said == own
        assert worker["PackageType"] == "Image"
        assert worker["Code"] == {"ImageUri": "1.dkr.ecr/mine:1"}
    mappings = deploy(Rungs=rungs, WorkerImageUri="1.dkr.ecr/mine:1").of_type(
        "AWS::Lambda::EventSourceMapping"
    )
    assert {each["FunctionName"]["Ref"] for each in mappings.values()} <= set(of_image)


def test_hosts_fit_into_their_function(deploy):
    """A host that may hold as much as the environment would take the supervisor with it."""
    for name, function in deploy(**EVERY_RUNG).of_type("AWS::Lambda::Function").items():
        if name in WORKERS:
            variables = function["Environment"]["Variables"]
            hosts, memory_mib = int(variables["ALIQUOT_HOSTS"]), int(variables["ALIQUOT_MEMORY_MIB"])
            assert hosts == max(1, min(6, round(function["MemorySize"] / 1769)))
            assert 0.95 <= hosts * memory_mib / (0.85 * (function["MemorySize"] - 120)) <= 1


def test_allow_list_is_the_entry_points(deploy):
    """Layers carry no metadata of distributions, so workers cannot look entry points up."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["aliquot.jobs"]
    declared = {name: at for name, at in points.items() if at.partition(".")[0] in PACKAGES.values()}
    assert points.keys() - declared.keys() == {
        "exec",
        "sql",
    }  # in own layers, images
    for function in deploy(**EVERY_RUNG).of_type("AWS::Lambda::Function").values():
        assert json.loads(function["Environment"]["Variables"]["ALIQUOT_JOBS"]) == declared


OWN = {"Jobs": "demo=demo.job:job@1", "JobLayer": "arn:aws:lambda:us-east-1:123456789012:layer:demo:1"}


def test_jobs_of_ones_own_reach_what_imports_jobs(deploy):
    """A layer more where a job is declared or run, none beside the rights to data; the words everywhere."""
    without = deploy(**EVERY_RUNG).of_type("AWS::Lambda::Function")
    for name, function in deploy(**EVERY_RUNG, **OWN).of_type("AWS::Lambda::Function").items():
        added = [OWN["JobLayer"]] if name in {*WORKERS, "Reduce", "Intake"} else []
        assert function["Layers"] == without[name]["Layers"] + added, name
        assert len(function["Layers"]) <= 5
        assert function["Environment"]["Variables"]["ALIQUOT_OWN_JOBS"] == OWN["Jobs"]
    assert deploy(**OWN).outputs["Jobs"]["Value"] == OWN["Jobs"]


def test_versions_are_those_of_code_and_layers(deploy):
    said = json.loads(deploy().outputs["Versions"]["Value"])
    points = metadata.entry_points(group="aliquot.jobs")
    ours = [each for each in points if each.value.partition(".")[0] in PACKAGES.values()]
    jobs = {each.name: each.load().version for each in ours}
    pins = dict(
        line.split("==")
        for line in (ROOT / "layers/chem-deps/requirements.txt").read_text().split()
        if "==" in line
    )
    assert said == {"aliquot": aliquot.__version__, "python": "3.13", **pins, "jobs": jobs}


def test_outputs_name_what_an_orchestrator_needs(deploy):
    assert {"Bucket", "Queues", "StateMachineArn", "Versions", "AllowCode"} <= set(deploy().outputs)


def test_own_code_runs_only_where_it_was_allowed(deploy):
    for given, expected in (({}, "false"), ({"AllowCode": "true"}, "true")):
        for function in deploy(**given).of_type("AWS::Lambda::Function").values():
            assert function["Environment"]["Variables"]["ALIQUOT_ALLOW_CODE"] == expected


def test_alarms_reach_the_topic_where_there_is_one(deploy):
    for given, expected in (({}, None), ({"AlarmTopicArn": "arn:aws:sns:us-east-1:1:t"}, 1)):
        for name, alarm in deploy(**given).of_type("AWS::CloudWatch::Alarm").items():
            assert (len(alarm["AlarmActions"]) if "AlarmActions" in alarm else None) == expected, name


def test_functions_trace_log_and_have_at_most_five_layers(deploy):
    found = deploy(**EVERY_RUNG)
    groups = found.of_type("AWS::Logs::LogGroup")
    for function in found.of_type("AWS::Lambda::Function").values():
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert groups[function["LoggingConfig"]["LogGroup"]["Ref"]]["RetentionInDays"] == "30"
        assert function["Runtime"] == "python3.13"
        assert len(function["Layers"]) <= 5


def test_every_resource_that_takes_tags_has_the_cost_center(deploy):
    for name, each in deploy(CostCenter="lab-7").resources.items():
        if "Tags" in each.get("Properties", {}):
            assert {"Key": "cost-center", "Value": "lab-7"} in each["Properties"]["Tags"], name


# ---------------------------------------------------------------------------------- the state machine


@pytest.fixture(scope="module")
def machine():
    return json.loads((ROOT / "statemachine/settle.asl.json").read_text())


def test_definition_gets_every_substitution(written):
    asked = set(re.findall(r"\$\{(\w+)\}", (ROOT / "statemachine/settle.asl.json").read_text()))
    assert asked == set(written["Resources"]["Settle"]["Properties"]["DefinitionSubstitutions"])


def test_history_of_an_execution_is_bounded(machine):
    """25,000 events end an execution; a tick goes through these states, a task makes 5 events, others 2."""
    states = machine["States"]
    (hand_over,) = [each for each in states["WhichPhase"]["Choices"] if each["Next"] == "HandOver"]
    tick = ["Tick", "WhichPhase", "Count", "Wait"]
    n_events = sum(5 if states[name]["Type"] == "Task" else 2 for name in tick)
    assert hand_over["NumericGreaterThanEquals"] * n_events < 25_000 / 2


@pytest.mark.parametrize("name", ["Merge", "CutParts"])
def test_answers_of_children_stay_out_of_the_state(machine, name):
    """A state holds 256 KiB, and all children's answers together are one."""
    found = machine["States"][name]
    assert found["ResultPath"] is None
    for state in found["ItemProcessor"]["States"].values():
        assert not state.get("End") or state["OutputPath"] is None
    assert found["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}


def test_cutting_ends_in_the_epoch_in_which_it_began(machine):
    """A tally that begins without one takes the epoch after a cancelled one, and would run it."""
    states = machine["States"]
    before, after = (states[name]["Parameters"] for name in ("Begin", "BeginInEpoch"))
    assert after.pop("last") == {"tick": {"state": {"epoch.$": "$.cut.epoch"}}}
    assert before.pop("last") == {"tick": {"state": None}}
    assert before == after


def test_transitions_of_cutting_are_those_that_are_paid_for(machine):
    """Step Functions charges each state that is entered, and the start of each child."""

    def follow(states, name, until):
        path = []
        while name != until:
            path.append(name)
            name = states[name].get("Default") or states[name].get("Next")
        return path

    states, children = machine["States"], machine["States"]["CutParts"]["ItemProcessor"]
    child = follow(children["States"], children["StartAt"], None)
    assert states["CutParts"]["MaxConcurrency"] == spending.MOST_CUTTERS
    assert len(follow(states, "Prepare", "CutStep")) == spending.TRANSITIONS_PER_PAID
    assert len(follow(states, "CutStep", "CutParts")) == spending.TRANSITIONS_PER_PAID
    assert len(follow(states, "CutParts", "CutStep")) == spending.TRANSITIONS_PER_MAP
    assert len(child) == spending.TRANSITIONS_PER_PAID + spending.TRANSITIONS_PER_ITEM - 1
    around = ["IsSuccessor", *follow(states, "BeginCut", "CutStep"), *follow(states, "BeginInEpoch", "Tick")]
    assert len(around) == spending.TRANSITIONS_PER_CUT


def test_functions_are_priced_as_they_are_deployed(deploy):
    functions = deploy().of_type("AWS::Lambda::Function")
    memory_mb = {name: functions[name]["MemorySize"] for name in ("Tally", "Reduce", "Cut", "Intake")}
    assert memory_mb == {
        "Tally": spending.TALLY_MB,
        "Reduce": spending.REDUCE_MB,
        "Cut": spending.CUT_MB,
        "Intake": spending.INTAKE_MB,
    }
    assert functions["Cut"]["Timeout"] == spending.CUT_TIMEOUT_S
    assert functions["Intake"]["Timeout"] == spending.INTAKE_TIMEOUT_S
    assert functions["Cut"]["Environment"]["Variables"]["ALIQUOT_TIMEOUT_S"] == "900"


def list_calls(states):
    """Every state that invokes a function, those of maps among them."""
    for name, state in states.items():
        if state.get("Resource", "").endswith(":lambda:invoke"):
            yield name, state
        if state["Type"] == "Map":
            yield from list_calls(state["ItemProcessor"]["States"])


def test_every_function_is_called_again_when_its_environment_dies(machine):
    """Killed, out of memory or out of time: whatever it had begun, it may begin once more."""
    deaths = {
        "Runtime.ExitError",
        "Runtime.OutOfMemory",
        "Sandbox.Timedout",
        "Lambda.Unknown",
        "States.Timeout",
    }
    calls = dict(list_calls(machine["States"]))
    assert set(calls) == {"Prepare", "CutStep", "CutSome", "Tick", "ExchangeSome", "Reduce", "Publish"}
    for name, state in calls.items():
        assert deaths <= set(state["Retry"][0]["ErrorEquals"]), name


def test_every_call_is_retried_and_caught(machine):
    for name, state in machine["States"].items():
        calls_function = state.get("Resource", "").endswith(":lambda:invoke")
        if state["Type"] == "Task":
            wanted = "Lambda.TooManyRequestsException" if calls_function else "States.TaskFailed"
            assert wanted in state["Retry"][0]["ErrorEquals"], name
        if state["Type"] in ("Task", "Map"):
            following = {"Announce": "Unannounced", "AnnounceBroken": "Broken"}.get(name, "AnnounceBroken")
            assert (state["Catch"][-1]["ErrorEquals"], state["Catch"][-1]["Next"]) == (
                ["States.ALL"],
                following,
            )
    assert {machine["States"][name]["Type"] for name in ("Broken", "Unannounced")} == {"Fail"}


def test_run_is_kept_in_the_state_when_it_breaks(machine):
    """What is told of it names it; a catch replaces the state unless it says where its words go."""
    for state in machine["States"].values():
        for catch in state.get("Catch", ()):
            assert catch["ResultPath"] in ("$.broken", None)
