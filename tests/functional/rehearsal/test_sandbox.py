"""What a handler finds around it, and how an environment ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import boto3
import psutil
import pytest

from orchestrator.rehearsal import PackageTooLarge, Stack


def call(stack: Stack, event: object = None, function: str = "Worker"):
    """Invoke synchronously and give the record."""
    before = len(stack.invocations())
    boto3.client("lambda").invoke(FunctionName=stack.outputs[function], Payload=json.dumps(event).encode())
    return stack.invocations()[before]


def test_handler_sees_only_what_lambda_gives(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html"""
    code = """
        import importlib, sys, os
        def handler(event, context):
            missing = []
            for name in event:
                try:
                    importlib.import_module(name)
                except ModuleNotFoundError:
                    missing.append(name)
            return {"missing": missing, "path": sys.path, "cwd": os.getcwd(), "venv": sys.prefix}
    """
    stack = bench({"Worker": bench.function(code)})
    absent = ["orchestrator", "aliquot", "aliquot_chem", "moto", "yaml", "pytest", "psutil", "numpy", "click"]
    found = call(stack, [*absent, "boto3", "botocore", "json"]).response
    assert found["missing"] == absent
    assert found["cwd"] == found["path"][0]
    assert not [each for each in found["path"] if each.endswith("site-packages") and "opt" not in each]


def test_child_of_handler_sees_no_more_than_handler(bench):
    code = """
        import subprocess, sys
        def handler(event, context):
            script = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('aliquot', 'moto')])"
            return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    """
    assert call(bench({"Worker": bench.function(code)})).response.strip() == "[False, False]"


def test_variables_are_those_of_lambda_and_the_template(bench, monkeypatch):
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
    monkeypatch.setenv("SECRET_OF_THE_USER", "x")
    code = """
        import os
        def handler(event, context):
            return dict(os.environ)
    """
    worker = bench.function(code, Environment={"Variables": {"MODE": "fast", "COUNT": 3, "ON": True}})
    stack = bench({"Worker": worker})
    found = call(stack).response
    assert (found["MODE"], found["COUNT"], found["ON"]) == ("fast", "3", "true")
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == stack.outputs["Worker"]
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert found["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert "SECRET_OF_THE_USER" not in found
    assert "VIRTUAL_ENV" not in found


def test_context_tells_request_and_time_left(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""
    code = """
        def handler(event, context):
            return [context.function_name, context.aws_request_id, context.memory_limit_in_mb,
                    context.get_remaining_time_in_millis(), context.invoked_function_arn]
    """
    stack = bench({"Worker": bench.function(code)})
    record = call(stack)
    name, request_id, memory, left_ms, arn = record.response
    assert (name, request_id, memory) == (stack.outputs["Worker"], record.request_id, "512")
    assert 4000 < left_ms <= 5000
    assert arn.endswith(f":function:{name}")


def test_environment_is_used_again_until_it_dies(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"""
    code = """
        import os
        count = 0
        def handler(event, context):
            global count
            count += 1
            if event == "die":
                os._exit(7)
            return count
    """
    stack = bench({"Worker": bench.function(code)})
    records = [call(stack, event) for event in ("", "", "die", "")]
    assert [each.response for each in records] == [1, 2, None, 1]
    assert records[2].error["errorType"] == "Runtime.ExitError"
    assert "exit status 7" in records[2].error["errorMessage"]
    assert [each.init_ms is not None for each in records] == [True, False, False, True]
    assert records[0].billed_ms >= records[0].init_ms
    assert len({each.environment for each in records}) == 2


def test_error_of_handler_is_answered_with_type_and_trace(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html"""
    code = """
        class Odd(Exception):
            pass
        def handler(event, context):
            print("about to fail")
            raise Odd("three")
    """
    record = call(bench({"Worker": bench.function(code)}))
    assert (record.error["errorType"], record.error["errorMessage"]) == ("Odd", "three")
    assert len(record.error["stackTrace"]) == 1
    assert "index.py" in record.error["stackTrace"][0]
    assert "about to fail" in record.log


@pytest.mark.parametrize(
    ("code", "handler", "kind"),
    [
        ("import nothing_like_it", "index.handler", "Runtime.ImportModuleError"),
        ("x = 1", "index.handler", "Runtime.HandlerNotFound"),
        ("raise KeyError('at import')", "index.handler", "KeyError"),
        ("def handler(e, c): return {1, 2}", "index.handler", "Runtime.MarshalError"),
        ("import sys\ndef handler(e, c): sys.exit(3)", "index.handler", "Runtime.ExitError"),
    ],
)
def test_failures_of_the_runtime_have_names(bench, code, handler, kind):
    assert call(bench({"Worker": bench.function(code, Handler=handler)})).error["errorType"] == kind


def test_timeout_kills_the_environment(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html"""
    code = """
        import os, time
        def handler(event, context):
            if event == "hang":
                if os.fork() == 0:
                    time.sleep(60)
                time.sleep(60)
            return os.getpid()
    """
    stack = bench({"Worker": bench.function(code, Timeout=1)})
    first = call(stack)
    hung = call(stack, "hang")
    assert hung.error["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in hung.error["errorMessage"]
    assert 1000 <= hung.duration_ms < 10_000
    assert call(stack).response != first.response


def test_memory_past_the_ceiling_kills_every_process_of_the_environment(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html

    In Lambda it is not the child that eats that dies, it is the whole environment.
    """
    code = """
        import os, time
        def handler(event, context):
            pid = os.fork()
            if pid == 0:
                held = [bytearray(os.urandom(1 << 20)) for _ in range(event)]
                time.sleep(20)
            with open(os.environ["PIDS"], "a") as notes:
                notes.write(f"{pid}\\n")
            time.sleep(4)
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return "survived"
    """
    notes = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"rehearsal-pids-{os.getpid()}")  # noqa: PTH118, S108
    worker = bench.function(code, MemorySize=128, Timeout=10, Environment={"Variables": {"PIDS": notes}})
    stack = bench({"Worker": worker})
    try:
        record = call(stack, 300)
        assert record.error["errorType"] == "Runtime.OutOfMemory"
        assert record.max_memory_mib > 128
        with open(notes) as lines:  # noqa: PTH123
            pid = int(lines.read())
        for _ in range(100):
            try:
                with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
                    if stat.read().split()[2] == "Z":
                        break
            except FileNotFoundError:
                break
            time.sleep(0.02)
        else:
            pytest.fail("the handler's child outlived its environment")
    finally:
        if os.path.exists(notes):  # noqa: PTH110
            os.unlink(notes)  # noqa: PTH108


def test_pages_shared_by_forks_count_once(bench):
    code = """
        import os, time
        held = bytearray(150 << 20)
        held[::4096] = b"x" * len(held[::4096])  # every page is touched
        def handler(event, context):
            pids = [os.fork() for _ in range(3)]
            if 0 in pids:
                time.sleep(0.4)
                os._exit(0)
            for pid in pids:
                os.waitpid(pid, 0)
            return "fine"
    """
    assert call(bench({"Worker": bench.function(code, MemorySize=300)})).response == "fine"


def test_later_layers_cover_earlier_ones_and_packages_merge(bench, tmp_path):
    """https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html"""
    for layer, files in {
        "one": {"python/shared.py": "x = 1", "python/parts/a.py": "x = 'a'", "data.txt": "kept"},
        "two": {"python/shared.py": "x = 2", "python/parts/b.py": "x = 'b'", "python/boto3.py": "x = 'ours'"},
    }.items():
        for name, text in files.items():
            path = tmp_path / layer / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    code = """
        import shared, boto3
        from parts import a, b
        def handler(event, context):
            return [shared.x, a.x, b.x, boto3.x]
    """
    layer = {"Type": "AWS::Lambda::LayerVersion"}
    stack = bench(
        {
            "One": {**layer, "Properties": {"Content": "one"}},
            "Two": {**layer, "Properties": {"Content": "two"}},
            "Worker": bench.function(code, Layers=[{"Ref": "One"}, {"Ref": "Two"}]),
        }
    )
    assert call(stack).response == [2, "a", "b", "ours"]


def test_function_and_layers_past_250_mb_are_refused(bench, tmp_path):
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
    folder = tmp_path / "big" / "python"
    folder.mkdir(parents=True)
    with (folder / "weights.bin").open("wb") as hole:
        hole.truncate(250 * 1024 * 1024)
    layer = {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": "big"}}
    worker = bench.function("def handler(e, c): pass", Layers=[{"Ref": "Big"}])
    with pytest.raises(PackageTooLarge) as refusal:
        bench({"Big": layer, "Worker": worker})
    assert refusal.value.function == "Worker"


def test_payloads_past_6_mb_are_refused_both_ways(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
    stack = bench({"Worker": bench.function("def handler(e, c): return 'x' * e")})
    client, name = boto3.client("lambda"), stack.outputs["Worker"]
    assert call(stack, 6 * 1024 * 1024 - 10).error is None
    assert call(stack, 6 * 1024 * 1024).error["errorType"] == "Function.ResponseSizeTooLarge"
    with pytest.raises(client.exceptions.RequestTooLargeException):
        client.invoke(FunctionName=name, Payload=b'"' + b"x" * 6 * 1024 * 1024 + b'"')
    with pytest.raises(client.exceptions.RequestTooLargeException):
        client.invoke(FunctionName=name, InvocationType="Event", Payload=b'"' + b"x" * 1024 * 1024 + b'"')


def test_nothing_is_left_when_the_block_ends(bench):
    from orchestrator.rehearsal import rehearse

    before = dict(os.environ)
    code = "import os\ndef handler(e, c): return [os.getpid(), os.environ['TMPDIR']]"
    with rehearse(bench.write({"Worker": bench.function(code)})) as stack:
        pid, scratch = call(stack).response
        assert os.path.isdir(scratch)  # noqa: PTH112
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110
    assert not os.path.exists(scratch)  # noqa: PTH110
    assert dict(os.environ) == before


def test_what_runs_on_after_the_answer_is_frozen_until_the_next_event(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"""
    code = """
        import threading, time
        ticks = 0
        def tick():
            global ticks
            while True:
                time.sleep(0.01)
                ticks += 1
        threading.Thread(target=tick, daemon=True).start()
        def handler(event, context):
            return ticks
    """
    stack = bench({"Worker": bench.function(code)})
    first = call(stack).response
    time.sleep(0.5)
    assert call(stack).response - first < 25


def test_powertools_run_as_in_lambda(bench, tmp_path):
    """https://docs.aws.amazon.com/powertools/python/latest/utilities/batch/"""
    import importlib.util

    folder = tmp_path / "tools" / "python"
    folder.mkdir(parents=True)
    for name in ("aws_lambda_powertools", "typing_extensions", "jmespath"):
        origin = importlib.util.find_spec(name).origin
        source = os.path.dirname(origin) if origin.endswith("__init__.py") else origin  # noqa: PTH120
        (folder / os.path.basename(source)).symlink_to(source)  # noqa: PTH119
    code = """
        from aws_lambda_powertools import Logger, Metrics
        from aws_lambda_powertools.metrics import MetricUnit
        from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
        logger, metrics = Logger(service="s"), Metrics(namespace="n", service="s")
        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        def record_handler(record):
            if record.body == "bad":
                raise ValueError("bad one")
            metrics.add_metric(name="Done", unit=MetricUnit.Count, value=1)
        @metrics.log_metrics
        @logger.inject_lambda_context
        def handler(event, context):
            logger.info("at work")
            return process_partial_response(
                event=event, record_handler=record_handler, processor=processor, context=context)
    """
    stack = bench(
        {
            "Tools": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": "tools"}},
            "Letters": bench.queue(),
            "Tasks": bench.queue(letters="Letters", max_receives=2),
            "Worker": bench.function(code, Layers=[{"Ref": "Tools"}]),
            "M": bench.mapping("Tasks", "Worker", FunctionResponseTypes=["ReportBatchItemFailures"]),
        }
    )
    for body in ("good", "bad"):
        boto3.client("sqs").send_message(QueueUrl=stack.outputs["Tasks"], MessageBody=body)
    stack.drain()
    assert [each.error for each in stack.invocations()] == [None] * len(stack.invocations())
    assert [each["Body"] for each in stack.dead_letters("Tasks")] == ["bad"]
    lines = [json.loads(line) for line in stack.invocations()[0].log.splitlines() if line.startswith("{")]
    assert {"at work"} <= {line.get("message") for line in lines}
    assert any("_aws" in line for line in lines)
    assert lines[0]["cold_start"] is True


def test_environments_end_with_a_test_process_that_is_killed(bench, tmp_path):
    code = "import os\ndef handler(e, c): return os.getpid()"
    path = bench.write({"Worker": bench.function(code)})
    script = f"""
import json, os, signal, boto3
from orchestrator.rehearsal import rehearse
with rehearse({str(path)!r}) as stack:
    answer = boto3.client("lambda").invoke(FunctionName=stack.outputs["Worker"])
    print(json.load(answer["Payload"]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what a killed process leaves behind
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    pid = int(done.stdout)
    ends = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends, "the environment is still there"
        time.sleep(0.05)
