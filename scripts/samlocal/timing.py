"""A cold and some warm invocations of the worker, timed in SAM's containers.

Each task is a few reactions of a small run, so that what is timed is the way to them: a cold one imports,
fetches references and prepared files, and opens the job; a warm one forks. The container's own start is not
in it. When it is wrong, cold starts grow unseen.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from aliquot.message import TaskMessage
from aliquot.spans import SpanSet
from samlocal import report, same
from samlocal.aws import Aws, make_crossref, submit_run, write_reactions
from samlocal.sam import Tools, start_lambda
from samlocal.whole import make_sqs_event

TIMED_RUN = "timed"
N_TASKS, N_EACH = 8, 5


def time_worker(tools: Tools, template: Path, aws: Aws) -> None:
    """Print how long the worker's first invocation takes, and those that find it warm."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_reactions(Path(folder, "reactions.rsmi"), N_TASKS * N_EACH)
        ledger = submit_run(aws, TIMED_RUN, make_crossref(dataset))
    (chunk,) = ledger.list_chunks()
    with start_lambda(tools, template) as served:
        for number in range(N_TASKS):
            spans = SpanSet.range(number * N_EACH, (number + 1) * N_EACH)
            task = TaskMessage(TIMED_RUN, "match", chunk, spans)
            said = served("SmallWorker", make_sqs_event({"Body": task.to_text(), "MessageId": str(number)}))
            same(said, {"batchItemFailures": []})
        cold_ms, *warm_ms = served.list_durations_ms()
    same(len(warm_ms), N_TASKS - 1)
    seen = f"{cold_ms:,.0f} ms cold, INIT included; {statistics.median(warm_ms):,.0f} ms warm"
    report("worker, 5 reactions a task", f"{seen} ({min(warm_ms):,.0f} to {max(warm_ms):,.0f})", begun)
