"""The event source mapping: what becomes of messages, rule by rule."""

from __future__ import annotations

import json
import threading
import time

import boto3
import pytest

from orchestrator.rehearsal import DeployFailed, StillBusy

LIST = """
    def handler(event, context):
        return [record["body"] for record in event["Records"]]
"""
FAIL = """
    def handler(event, context):
        raise RuntimeError("no")
"""


def send(stack, *bodies, queue="Tasks", **options):
    for body in bodies:
        boto3.client("sqs").send_message(QueueUrl=stack.outputs[queue], MessageBody=str(body), **options)


def receives(stack, function="Worker"):
    """Give (body, receive count) in the order of delivery."""
    return [
        (record["body"], int(record["attributes"]["ApproximateReceiveCount"]))
        for invocation in stack.invocations(function)
        for record in invocation.event["Records"]
    ]


def count_left(stack, queue="Tasks"):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=names)
    return sum(int(found["Attributes"][name]) for name in names)


def test_nothing_is_delivered_before_a_drain_or_a_moved_clock(bench):
    stack = bench(
        {"Tasks": bench.queue(), "Worker": bench.function(LIST), "M": bench.mapping("Tasks", "Worker")}
    )
    send(stack, "a")
    time.sleep(0.1)
    assert stack.invocations() == []
    stack.advance(0)
    assert receives(stack) == [("a", 1)]
    assert count_left(stack) == 0


def test_batches_hold_at_most_batch_size_messages(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
    mapping = bench.mapping("Tasks", "Worker", BatchSize=4)
    stack = bench({"Tasks": bench.queue(), "Worker": bench.function(LIST), "M": mapping}, concurrency=1)
    send(stack, *range(10))
    stack.drain()
    assert [len(each.event["Records"]) for each in stack.invocations()] == [4, 4, 2]


def test_window_gathers_until_it_ends_or_the_batch_is_full(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
    mapping = bench.mapping("Tasks", "Worker", BatchSize=5, MaximumBatchingWindowInSeconds=20)
    stack = bench({"Tasks": bench.queue(), "Worker": bench.function(LIST), "M": mapping})
    send(stack, 1, 2)
    stack.advance(0)
    send(stack, 3)
    stack.advance(10)
    assert stack.invocations() == []
    stack.advance(10)
    assert [each.response for each in stack.invocations()] == [["1", "2", "3"]]
    send(stack, *range(5))
    stack.advance(0)
    assert len(stack.invocations()) == 2


def test_function_error_leaves_messages_hidden_for_the_queues_visibility(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    tasks = bench.queue(VisibilityTimeout=900)
    stack = bench({"Tasks": tasks, "Worker": bench.function(FAIL), "M": bench.mapping("Tasks", "Worker")})
    send(stack, "a")
    stack.advance(0)
    stack.advance(800)
    assert receives(stack) == [("a", 1)]
    stack.advance(101)
    assert receives(stack) == [("a", 1), ("a", 2)]


def test_messages_leave_for_the_dead_letter_queue_after_max_receives(bench):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html"""
    stack = bench(
        {
            "Letters": bench.queue(),
            "Tasks": bench.queue(letters="Letters", max_receives=4),
            "Worker": bench.function(FAIL),
            "M": bench.mapping("Tasks", "Worker"),
        }
    )
    send(stack, "a")
    stack.drain()
    assert [receive for _, receive in receives(stack)] == [1, 2, 3, 4]
    assert [each["Body"] for each in stack.dead_letters("Tasks")] == ["a"]
    assert (count_left(stack), count_left(stack, "Letters")) == (0, 1)


def test_dead_letter_queue_may_have_a_mapping_of_its_own(bench):
    stack = bench(
        {
            "Letters": bench.queue(),
            "Tasks": bench.queue(letters="Letters", max_receives=1),
            "Worker": bench.function(FAIL),
            "Bury": bench.function(LIST),
            "M": bench.mapping("Tasks", "Worker"),
            "N": bench.mapping("Letters", "Bury"),
        }
    )
    send(stack, "a")
    stack.drain()
    assert [each.response for each in stack.invocations("Bury")] == [["a"]]
    (record,) = stack.invocations("Bury")[0].event["Records"]
    tasks = stack.outputs["Tasks"].rpartition("/")[2]
    assert record["attributes"]["DeadLetterQueueSourceArn"].endswith(f":{tasks}")


def test_message_without_dead_letter_queue_comes_back_until_its_retention_ends(bench):
    tasks = bench.queue(VisibilityTimeout=30, MessageRetentionPeriod=100)
    stack = bench({"Tasks": tasks, "Worker": bench.function(FAIL), "M": bench.mapping("Tasks", "Worker")})
    send(stack, "a")
    stack.drain()
    assert [receive for _, receive in receives(stack)] == [1, 2, 3, 4]
    assert count_left(stack) == 0


REPORT = """
    import json
    def handler(event, context):
        answer = json.loads(event["Records"][0]["body"])
        names = {"<first>": event["Records"][0]["messageId"]}
        for each in answer.get("batchItemFailures") or [] if isinstance(answer, dict) else []:
            if "itemIdentifier" in each:
                each["itemIdentifier"] = names.get(each["itemIdentifier"], each["itemIdentifier"])
        return answer
"""


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (None, 0),
        ({}, 0),
        ({"batchItemFailures": None}, 0),
        ({"batchItemFailures": []}, 0),
        ({"batchItemFailures": [{"itemIdentifier": "<first>"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, 2),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, 2),
        ({"batchItemFailures": [{"messageId": "<first>"}]}, 2),
        ({"batchItemFailures": [{"itemIdentifier": "unheard of"}]}, 2),
    ],
)
def test_answers_of_partial_batch_failures(reporting, answer, left):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    reporting.clock.advance(100)  # what an earlier case has left expires
    send(reporting, json.dumps(answer), "second")
    reporting.advance(0)
    assert count_left(reporting) == left


@pytest.fixture(scope="module")
def reporting(module_bench):
    bench = module_bench
    mapping = bench.mapping("Tasks", "Worker", FunctionResponseTypes=["ReportBatchItemFailures"])
    tasks = bench.queue(MessageRetentionPeriod=60)
    return bench({"Tasks": tasks, "Worker": bench.function(REPORT), "M": mapping})


def test_reported_failures_are_ignored_where_the_mapping_does_not_ask_for_them(bench):
    stack = bench(
        {"Tasks": bench.queue(), "Worker": bench.function(REPORT), "M": bench.mapping("Tasks", "Worker")}
    )
    send(stack, json.dumps({"batchItemFailures": [{"itemIdentifier": "<first>"}]}))
    stack.advance(0)
    assert count_left(stack) == 0


def test_handler_may_change_its_own_messages_visibility(bench):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html"""
    code = """
        import boto3, os
        def handler(event, context):
            for record in event["Records"]:
                boto3.client("sqs").change_message_visibility(
                    QueueUrl=os.environ["QUEUE"], ReceiptHandle=record["receiptHandle"], VisibilityTimeout=7)
            raise RuntimeError("soon")
    """
    worker = bench.function(code, Environment={"Variables": {"QUEUE": {"Ref": "Tasks"}}})
    tasks = bench.queue(VisibilityTimeout=900)
    stack = bench({"Tasks": tasks, "Worker": worker, "M": bench.mapping("Tasks", "Worker")})
    send(stack, "a")
    stack.advance(0)
    stack.advance(8)
    assert receives(stack) == [("a", 1), ("a", 2)]


def test_delayed_messages_wait_for_their_time(bench):
    stack = bench(
        {"Tasks": bench.queue(), "Worker": bench.function(LIST), "M": bench.mapping("Tasks", "Worker")}
    )
    send(stack, "late", DelaySeconds=300)
    stack.advance(250)
    assert stack.invocations() == []
    before = stack.clock.now()
    stack.drain()
    assert receives(stack) == [("late", 1)]
    assert 20 < stack.clock.now() - before < 80


def test_disabled_mapping_delivers_nothing(bench):
    mapping = bench.mapping("Tasks", "Worker", Enabled=False)
    stack = bench({"Tasks": bench.queue(), "Worker": bench.function(LIST), "M": mapping})
    send(stack, "a")
    stack.drain()
    assert stack.invocations() == []
    assert count_left(stack) == 1


def test_maximum_concurrency_bounds_batches_in_flight(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
    code = """
        import time
        def handler(event, context):
            start = time.time()
            time.sleep(0.1)
            return [start, time.time()]
    """
    mapping = bench.mapping("Tasks", "Worker", BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    stack = bench({"Tasks": bench.queue(), "Worker": bench.function(code), "M": mapping}, concurrency=4)
    send(stack, *range(8))
    stack.drain()
    spans = [each.response for each in stack.invocations()]
    assert len(spans) == 8
    assert max(sum(a <= start < b for a, b in spans) for start, _ in spans) <= 2
    assert len({each.environment for each in stack.invocations()}) <= 2


def test_reserved_concurrency_throttles_the_mapping_into_the_dead_letter_queue(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html

    What nobody has seen run is a dead letter: the reason to bound mappings by MaximumConcurrency instead.
    """
    stack = bench(
        {
            "Letters": bench.queue(),
            "Tasks": bench.queue(letters="Letters", max_receives=2),
            "Worker": bench.function(LIST, ReservedConcurrentExecutions=0),
            "M": bench.mapping("Tasks", "Worker"),
        }
    )
    send(stack, "a")
    stack.drain()
    assert stack.invocations() == []
    assert [each["Body"] for each in stack.dead_letters("Tasks")] == ["a"]
    assert {code for code, _ in stack.refusals("Worker")} == {"TooManyRequestsException"}


def test_fifo_groups_keep_their_order_through_failures(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
    code = """
        def handler(event, context):
            record = event["Records"][0]
            if record["body"] == "a1" and record["attributes"]["ApproximateReceiveCount"] == "1":
                raise RuntimeError("once")
    """
    tasks = bench.queue(FifoQueue=True, QueueName="tasks.fifo", ContentBasedDeduplication=True)
    mapping = bench.mapping("Tasks", "Worker", BatchSize=1)
    stack = bench({"Tasks": tasks, "Worker": bench.function(code), "M": mapping}, concurrency=4)
    for body in ("a1", "b1", "a2", "b2", "a3"):
        send(stack, body, MessageGroupId=body[0])
    stack.drain()
    order = [body for body, _ in receives(stack)]
    assert [each for each in order if each[0] == "a"] == ["a1", "a1", "a2", "a3"]
    assert [each for each in order if each[0] == "b"] == ["b1", "b2"]


def test_fair_queue_lets_a_quiet_group_overtake_a_busy_one(bench):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html"""
    mapping = bench.mapping("Tasks", "Worker", BatchSize=1)
    stack = bench({"Tasks": bench.queue(), "Worker": bench.function(LIST), "M": mapping}, concurrency=2)
    for number in range(6):
        send(stack, f"busy{number}", MessageGroupId="busy")
    send(stack, "quiet", MessageGroupId="quiet")
    stack.drain()
    records = [each.event["Records"][0] for each in stack.invocations()]
    records.sort(key=lambda each: each["attributes"]["ApproximateFirstReceiveTimestamp"])
    first_two = {each["body"] for each in records[:2]}  # given out in the same millisecond, in either order
    assert first_two == {"busy0", "quiet"}


LOOP = """
    import boto3, os
    sqs = boto3.client("sqs")
    def handler(event, context):
        for record in event["Records"]:
            left = int(record["body"]) - 1
            if left:
                entry = {"Id": "x", "MessageBody": str(left)}
                sqs.send_message_batch(QueueUrl=os.environ["QUEUE"], Entries=[entry])
"""


@pytest.mark.parametrize(("setting", "runs"), [({}, 16), ({"RecursiveLoop": "Allow"}, 20)])
def test_chain_stops_after_16_invocations_unless_loops_are_allowed(bench, setting, runs):
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"""
    worker = bench.function(LOOP, Environment={"Variables": {"QUEUE": {"Ref": "Tasks"}}}, **setting)
    stack = bench(
        {
            "Letters": bench.queue(),
            "Tasks": bench.queue(letters="Letters", max_receives=2),
            "Worker": worker,
            "M": bench.mapping("Tasks", "Worker"),
        }
    )
    send(stack, 20)
    stack.drain()
    assert [each.error for each in stack.invocations()] == [None] * runs
    assert [each["Body"] for each in stack.dead_letters("Tasks")] == ([] if setting else ["4"])
    assert ("RecursiveInvocationException" in {code for code, _ in stack.refusals()}) == (not setting)


def test_messages_past_1_mib_are_refused(bench):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""
    stack = bench({"Tasks": bench.queue()})
    sqs, url = boto3.client("sqs"), stack.outputs["Tasks"]
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1024 * 1024)
    with pytest.raises(sqs.exceptions.ClientError, match="1048576 bytes"):
        sqs.send_message(QueueUrl=url, MessageBody="\u00e9" * (512 * 1024 + 1))
    note = {"DataType": "String", "StringValue": "y"}
    with pytest.raises(sqs.exceptions.ClientError, match="1048576 bytes"):
        sqs.send_message(QueueUrl=url, MessageBody="x" * 1024 * 1024, MessageAttributes={"n": note})
    entries = [{"Id": str(number), "MessageBody": "x" * 600_000} for number in range(2)]
    with pytest.raises(sqs.exceptions.BatchRequestTooLong):
        sqs.send_message_batch(QueueUrl=url, Entries=entries)


def test_record_has_the_shape_that_lambda_gives(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"""
    stack = bench(
        {"Tasks": bench.queue(), "Worker": bench.function(LIST), "M": bench.mapping("Tasks", "Worker")}
    )
    note = {"DataType": "String", "StringValue": "v"}
    send(stack, "a", MessageAttributes={"kind": note}, MessageGroupId="g")
    stack.drain()
    (record,) = stack.invocations()[0].event["Records"]
    assert set(record) == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert record["messageAttributes"]["kind"]["stringValue"] == "v"
    assert record["attributes"]["MessageGroupId"] == "g"
    assert abs(int(record["attributes"]["SentTimestamp"]) / 1000 - stack.clock.now()) < 60
    assert record["eventSourceARN"].startswith("arn:aws:sqs:us-east-1:")


def test_queue_that_shows_messages_before_the_function_has_ended_is_refused(bench):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
    tasks = bench.queue(VisibilityTimeout=10)
    worker = bench.function(LIST, Timeout=60)
    with pytest.raises(DeployFailed, match="10 seconds is less than Function timeout: 60"):
        bench({"Tasks": tasks, "Worker": worker, "M": bench.mapping("Tasks", "Worker")})


def test_drain_that_cannot_end_says_what_moves(bench):
    worker = bench.function(
        LOOP, Environment={"Variables": {"QUEUE": {"Ref": "Tasks"}}}, RecursiveLoop="Allow"
    )
    stack = bench({"Tasks": bench.queue(), "Worker": worker, "M": bench.mapping("Tasks", "Worker")})
    send(stack, 1_000_000)
    with pytest.raises(StillBusy) as busy:
        stack.drain(limit_s=1.5)
    assert busy.value.waiting


def test_long_poll_of_a_test_ends_when_a_message_comes(bench):
    stack = bench({"Tasks": bench.queue()})
    threading.Timer(0.3, send, [stack, "a"]).start()
    started = time.monotonic()
    found = boto3.client("sqs").receive_message(QueueUrl=stack.outputs["Tasks"], WaitTimeSeconds=10)
    assert [each["Body"] for each in found["Messages"]] == ["a"]
    assert time.monotonic() - started < 5
