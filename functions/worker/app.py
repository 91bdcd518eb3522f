"""Receives one task from a rung's queue and works on it for a slice.

    {"Records": [...]}, an event of the queue         -> the messages to deliver again
    {"prepare": run, "epoch"}, from the state machine -> {"next": "plan" or "done", "epoch"}

An event of a queue is one message (BatchSize 1). A task that cannot be worked on is reported as a failure of
its item, so that the queue delivers it again; a job's own errors are outcomes and never come up here. Neither
the text of a message nor that of an error is logged: both may hold a user's data.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from aliquot.cloud import Cloud
from aliquot.errors import StoreError, Undecodable
from aliquot.notes import tell_run
from aliquot.withheld import Withheld, locate

_GRACE_S = 30  # after the invocation's end, until a task that was lost with it is delivered again

# Hosts are processes of their own: Lambda's PYTHONPATH knows the runtime, not the layers.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))

logger = Logger()
metrics = Metrics()
tracer = Tracer(patch_modules=("botocore",))
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
clients = {name: boto3.client(name) for name in ("s3", "sqs")}
cloud = Cloud.from_environment(os.environ, clients.__getitem__)
rung = os.environ["ALIQUOT_RUNG"]
queue_url = json.loads(os.environ["ALIQUOT_QUEUES"])[rung]
hide = partial(clients["sqs"].change_message_visibility, QueueUrl=queue_url)
metrics.set_default_dimensions(rung=rung)


class PrepareFailed(Withheld):
    """A job was not prepared, in a way that is not foreseen."""


def prepare(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What follows, once a run's job is prepared; why a job refuses stands in the ledger."""
    metrics.add_metric("Prepared", MetricUnit.Count, 1)
    try:
        answer = cloud.prepare(event, context.get_remaining_time_in_millis() / 1000)
    except StoreError:  # the state machine tries again; it names keys only
        raise
    except Exception as err:  # noqa: BLE001 - the handler is a boundary
        failed = PrepareFailed.of(err)
        logger.error("not prepared", run=tell_run(event, "prepare"), error=failed.error, where=failed.where)  # noqa: TRY400 - its text may hold a user's data
        raise failed from None
    logger.info("prepared", run=event["prepare"], next=answer["next"])
    return answer


def work(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """One slice on the task in a message; what is raised has the message delivered again."""
    remaining_s = lambda_context.get_remaining_time_in_millis() / 1000
    shorten_hiding(record.receipt_handle, remaining_s)
    receives = int(record.attributes.approximate_receive_count or 1)
    try:
        worked = cloud.work(record.body, receives, remaining_s)
    except Undecodable:
        logger.warning("a message that is no task was filed under unclaimed/")
        metrics.add_metric("Unclaimed", MetricUnit.Count, 1)
    except Exception as err:
        logger.error("task not worked on", error=type(err).__name__, where=locate(err), receives=receives)  # noqa: TRY400 - its text may hold records
        metrics.add_metric("TasksNotWorkedOn", MetricUnit.Count, 1)
        raise
    else:
        logger.info("slice", answered=worked.n_answered, failed=worked.n_failed, receives=receives)
        metrics.add_metric("RecordsDone", MetricUnit.Count, worked.n_answered - worked.n_failed)
        metrics.add_metric("RecordsFailed", MetricUnit.Count, worked.n_failed)
        metrics.add_metric("HostEnds", MetricUnit.Count, worked.n_host_ends)
        metrics.add_metric("FollowUps", MetricUnit.Count, worked.n_follow_ups)


def shorten_hiding(receipt: str, remaining_s: float) -> None:
    """Have the task delivered again soon after this invocation's end, should nothing come of it."""
    try:
        hide(ReceiptHandle=receipt, VisibilityTimeout=int(remaining_s) + _GRACE_S)
    except (BotoCoreError, ClientError) as err:  # it stays hidden for the queue's own time
        logger.warning("a task's hiding was not shortened", error=type(err).__name__)


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The messages to deliver again; of a run to prepare what follows."""
    if "prepare" in event:
        return prepare(event, context)
    return dict(process_partial_response(event, work, processor, context))
