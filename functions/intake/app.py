"""Takes in a request that was dropped into the inbox: the run that it asks for, or the reason why not.

    an event of EventBridge, "Object Created" of `<name>.run.json`
      -> {"run": its id, empty where nothing was begun}

The answer for people lies in the inbox. A request's text is logged nowhere: it is a user's. What is not
foreseen is raised as an `IntakeFailed`, which names the type and the line; Lambda tries twice more, and an
alarm hears of it.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from aliquot.errors import StoreError
from aliquot.intake import Intake
from aliquot.withheld import Withheld

logger = Logger()
metrics = Metrics()
tracer = Tracer(patch_modules=("botocore",))
intake = Intake.from_environment(os.environ, boto3.client)


class IntakeFailed(Withheld):
    """A request was not taken in, in a way that is not foreseen."""


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """The run."""
    try:
        taken = intake.take(event)
    except StoreError:  # Lambda tries again; it names keys only
        metrics.add_metric("RequestsFailed", MetricUnit.Count, 1)
        raise
    except Exception as err:  # noqa: BLE001 - the handler is a boundary
        failed = IntakeFailed.of(err)
        metrics.add_metric("RequestsFailed", MetricUnit.Count, 1)
        logger.error("not taken in", error=failed.error, where=failed.where)  # noqa: TRY400 - its text may hold a request's
        raise failed from None
    if taken.run:
        metrics.add_metric("RequestsAccepted", MetricUnit.Count, 1)
        logger.info("begun", run=taken.run)
    elif taken.field:
        metrics.add_metric("RequestsRejected", MetricUnit.Count, 1)
        logger.info("refused", field=taken.field)
    else:
        metrics.add_metric("RequestsReplaced", MetricUnit.Count, 1)
        logger.info("replaced, or taken away, before it was read")
    return {"run": taken.run}
