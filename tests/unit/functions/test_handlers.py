"""Handlers as a stack calls them. The core behind them is scripted where the rule is the handler's own."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from aliquot.errors import StoreError
from aliquot.intake import Taken
from aliquot.keys import ChunkId, OutcomeKey
from aliquot.ledger import UnreadableOutcome
from aliquot.message import TaskMessage
from aliquot.spans import SpanSet
from aliquot.stages import StageNote
from aliquot.worker import Worked

MARKER = "CC(=O)Oc1ccccc1C(=O)O-marker"
CHUNK = ChunkId(0, 100)
TASK = TaskMessage("june", "match", CHUNK, CHUNK.all_records).to_text()


@dataclass
class ScriptedCloud:
    """Answers as told, and counts."""

    answer: Callable[[], Any]
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def _call(self, *args: Any) -> Any:
        self.calls.append(args)
        return self.answer()

    work = bury = tick = reduce_group = publish = cut = prepare = take = _call


def refuse(error: Exception) -> Callable[[], Any]:
    def raise_it() -> Any:
        raise error

    return raise_it


def list_metrics(out: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, out.splitlines()) if "_aws" in line]


def test_worker_acknowledges_a_task_that_it_worked_on(stack):
    app = stack.load("worker")
    app.cloud = ScriptedCloud(lambda: Worked(n_answered=100, n_failed=3))
    assert app.handler(stack.receive(TASK), stack.context) == {"batchItemFailures": []}
    assert app.cloud.calls == [(TASK, 1, 150.0)]


def test_worker_reports_a_task_that_it_could_not_work_on(stack):
    """It must not raise: a failed item comes back when the handler said, a failed function much later."""
    app = stack.load("worker")
    app.cloud = ScriptedCloud(refuse(StoreError("s3://run-bucket/x", "SlowDown")))
    event = stack.receive(TASK)
    failed = [{"itemIdentifier": event["Records"][0]["messageId"]}]
    assert app.handler(event, stack.context) == {"batchItemFailures": failed}


def test_worker_forgets_the_failures_of_the_last_event(stack):
    """Environments are used again; a failure that stays would have the next task done twice."""
    app = stack.load("worker")
    app.cloud = ScriptedCloud(refuse(ConnectionError()))
    app.handler(stack.receive(TASK), stack.context)
    app.cloud = ScriptedCloud(Worked)
    boto3.client("sqs").purge_queue(QueueUrl=stack.queue_url)
    assert app.handler(stack.receive(TASK), stack.context) == {"batchItemFailures": []}


@pytest.mark.parametrize("function", ["worker", "bury"])
def test_message_of_somebody_else_is_filed_and_acknowledged(stack, function):
    app = stack.load(function)
    assert app.handler(stack.receive(MARKER), stack.context) == {"batchItemFailures": []}
    (key,) = stack.list_keys()
    assert key.startswith("unclaimed/")


def test_lost_task_is_delivered_again_soon_after_the_invocation(stack):
    """The queue hides for 900 s; the handler's own message comes back when its time is over, and 30 s."""
    app = stack.load("worker")
    hidden = []
    app.hide = lambda **given: hidden.append(given)
    app.cloud = ScriptedCloud(Worked)
    stack.context.remaining_ms = 149_600
    event = stack.receive(TASK)
    app.handler(event, stack.context)
    receipt = event["Records"][0]["receiptHandle"]
    assert hidden == [{"ReceiptHandle": receipt, "VisibilityTimeout": 179}]


def test_worker_works_on_when_hiding_cannot_be_shortened(stack):
    app = stack.load("worker")
    app.hide = lambda **_: refuse(ClientError({"Error": {"Code": "Throttled"}}, "ChangeMessageVisibility"))()
    app.cloud = ScriptedCloud(Worked)
    assert app.handler(stack.receive(TASK), stack.context) == {"batchItemFailures": []}
    assert len(app.cloud.calls) == 1


def test_hosts_find_what_the_handler_finds(stack):
    """Lambda puts layers on the path of its own process only."""
    stack.load("worker")
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [folder for folder in sys.path if folder]


@pytest.mark.parametrize("function", ["worker", "bury"])
def test_no_text_of_a_task_or_an_error_is_logged(stack, function, capfd):
    app = stack.load(function)
    app.cloud = ScriptedCloud(refuse(ValueError(f"cannot parse {MARKER}")))
    response = app.handler(stack.receive(MARKER), stack.context)
    assert len(response["batchItemFailures"]) == 1
    said = "".join(capfd.readouterr())
    assert "ValueError" in said
    assert MARKER not in said


def test_bury_takes_each_dead_letter_for_itself(stack):
    app = stack.load("bury")
    answers = iter([2, ConnectionError(), 0])

    def answer() -> int:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    app.cloud = ScriptedCloud(answer)
    records = [stack.receive(TASK)["Records"][0] for _ in range(3)]
    response = app.handler({"Records": records}, stack.context)
    assert response == {"batchItemFailures": [{"itemIdentifier": records[1]["messageId"]}]}


def test_cut_tells_how_long_there_is(stack):
    app = stack.load("cut")
    app.cloud = ScriptedCloud(lambda: {"again": True})
    stack.context.remaining_ms = 840_500
    event = {"run": "june", "step": "count", "epoch": 0, "round": 0, "parts": [0, 3]}
    assert app.handler(event, stack.context) == {"again": True}
    assert app.cloud.calls == [(event, 840.5)]


def test_cut_ends_the_epoch_of_a_dataset_that_it_cannot_cut(stack):
    """Trying again would not help, and the reason may hold a line of a file: it stays in the bucket."""
    app = stack.load("cut")
    source = {"path": "s3://data/a.csv", "format": "csv", "size_bytes": 5}
    identity = {"sources": [source], "columns": {}, "keep": []}
    manifest = {
        "job": "j",
        "stages": [StageNote("call").to_plain()],
        "options": {},
        "versions": {},
        "created": "2026-11-22T12:00:00+00:00",
    }
    settings = {"record_timeout_s": 5.0, "window": 4, "max_failed": "5%"}
    app.cloud.ledger_of("june").begin(
        {**manifest, "identity": identity, "reads": None, "source_names": [], "settings": settings}
    )
    said = app.handler({"run": "june", "step": "plan", "epoch": None}, stack.context)
    assert said == {"epoch": 0, "next": "done", "parts_key": ""}
    assert "runs/june/stop/0000.json" in stack.list_keys()


@pytest.mark.parametrize("error", [StoreError("s3://run-bucket/x", "SlowDown"), ValueError(MARKER)])
def test_records_in_an_error_of_cut_do_not_reach_the_state_machine(stack, capfd, error):
    app = stack.load("cut")
    app.cloud = ScriptedCloud(refuse(error))
    with pytest.raises((StoreError, app.CutFailed)) as caught:
        app.handler({"run": "june", "step": "plan", "epoch": None}, stack.context)
    assert (caught.value is error) == isinstance(error, StoreError)
    assert MARKER not in str(caught.value) + "".join(capfd.readouterr())


def test_worker_prepares_a_run_when_the_state_machine_asks(stack):
    app = stack.load("worker")
    app.cloud = ScriptedCloud(lambda: {"next": "plan", "epoch": 0})
    event = {"prepare": "june", "epoch": 0}
    assert app.handler(event, stack.context) == {"next": "plan", "epoch": 0}
    assert app.cloud.calls == [(event, 150.0)]


@pytest.mark.parametrize("error", [StoreError("s3://run-bucket/x", "SlowDown"), ValueError(MARKER)])
def test_templates_in_an_error_of_preparing_do_not_reach_the_state_machine(stack, capfd, error):
    app = stack.load("worker")
    app.cloud = ScriptedCloud(refuse(error))
    with pytest.raises((StoreError, app.PrepareFailed)) as caught:
        app.handler({"prepare": "june", "epoch": 0}, stack.context)
    assert (caught.value is error) == isinstance(error, StoreError)
    assert MARKER not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("taken", "metric"),
    [
        (Taken("june-1"), "RequestsAccepted"),
        (Taken(field="job"), "RequestsRejected"),
        (Taken(), "RequestsReplaced"),
    ],
)
def test_requests_are_counted_by_what_became_of_them(stack, capfd, taken, metric):
    app = stack.load("intake")
    app.intake = ScriptedCloud(lambda: taken)
    assert app.handler({}, stack.context) == {"run": taken.run}
    (metrics,) = list_metrics(capfd.readouterr().out)
    assert metrics[metric] == [1.0]


@pytest.mark.parametrize("error", [StoreError("s3://inbox/x", "SlowDown"), ValueError(MARKER)])
def test_text_of_a_request_is_logged_nowhere(stack, capfd, error):
    """Lambda tries a failed event again: it has to be raised."""
    app = stack.load("intake")
    app.intake = ScriptedCloud(refuse(error))
    with pytest.raises((StoreError, app.IntakeFailed)) as caught:
        app.handler({}, stack.context)
    assert MARKER not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize("function", ["worker", "bury", "tally", "reduce", "cut"])
def test_metrics_have_no_run_among_their_dimensions(stack, function, capfd):
    """Every new value of a dimension is a new metric, and is billed for a month."""
    app = stack.load(function)
    answers = {"worker": Worked(100, 3), "bury": 2, "tally": {"phase": "done", "wait_s": 0}}
    app.cloud = ScriptedCloud(lambda: answers.get(function, {}))
    is_task = function in ("worker", "bury")
    event = stack.receive(TASK) if is_task else {"run": "june", "epoch": 0, "step": "plan"}
    app.handler(event, stack.context)
    (metrics,) = list_metrics(capfd.readouterr().out)
    (about,) = metrics["_aws"]["CloudWatchMetrics"]
    assert set(about["Dimensions"][0]) <= {"service", "rung"}
    assert "june" not in json.dumps(metrics)


def test_tally_hands_the_next_state_on(stack):
    app = stack.load("tally")
    answer = {
        "run": "june",
        "state": {"n": 1},
        "phase": "running",
        "wait_s": 5,
        "groups_key": None,
        "epoch": 0,
    }
    app.cloud = ScriptedCloud(lambda: answer)
    event = {"run": "june", "state": None}
    assert app.handler(event, stack.context) == answer
    assert app.cloud.calls == [(event,)]


def test_reduce_tells_groups_from_publishing(stack):
    app = stack.load("reduce")
    app.cloud = ScriptedCloud(dict)
    called = []
    app.cloud.reduce_group = lambda event: called.append("group") or event
    app.cloud.publish = lambda event: called.append("publish") or event
    app.handler({"run": "june", "epoch": 0, "group": 0}, stack.context)
    app.handler({"run": "june", "epoch": 0}, stack.context)
    assert called == ["group", "publish"]


def test_rows_in_an_error_do_not_reach_the_state_machine(stack, capfd):
    app = stack.load("reduce")
    app.cloud = ScriptedCloud(refuse(ValueError(f"Could not convert '{MARKER}'")))
    with pytest.raises(app.ReduceFailed) as caught:
        app.handler({"run": "june", "epoch": 0, "group": 0}, stack.context)
    assert MARKER not in str(caught.value) + "".join(capfd.readouterr())
    assert "ValueError at test_handlers.py:" in str(caught.value)


def test_state_machine_sees_which_outcome_was_unreadable(stack):
    """It catches this name, and tallies again."""
    app = stack.load("reduce")
    key = OutcomeKey("match", CHUNK, SpanSet.range(0, 100), "a" * 12, "small", 10, 0, 1)
    app.cloud = ScriptedCloud(refuse(UnreadableOutcome(key, "is cut short")))
    with pytest.raises(UnreadableOutcome):
        app.handler({"run": "june", "epoch": 0, "group": 0}, stack.context)
