"""A rehearsal is quick enough to stand in anybody's tests: it starts in 4 s, and passes 50 messages a second.

Both are counted in seconds of CPU, which whatever else the machine does lengthens little: a start is
on one core, and two cores give 2 s of it in a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).parent / "templates" / "orders" / "template.yaml"
N_MESSAGES, A_SECOND, CORES, START_S = 300, 50, 2, 4.0

# imports are most of a start: a process of its own has them all before it
MEASURE = """
import json, os, sys

def count_cpu_s():
    user, system, of_children, system_of_children, _ = os.times()
    return user + system + of_children + system_of_children

template, n_messages = sys.argv[1], int(sys.argv[2])
import boto3
from orchestrator.rehearsal import rehearse

with rehearse(template) as stack:
    start_s = count_cpu_s()
    sqs = boto3.client("sqs")
    for first in range(0, n_messages, 10):
        ids = [str(first + place) for place in range(10)]
        entries = [{"Id": each, "MessageBody": json.dumps({"id": each})} for each in ids]
        sqs.send_message_batch(QueueUrl=stack.outputs["OrdersUrl"], Entries=entries)
    stack.drain()
    found = boto3.client("s3").list_objects_v2(Bucket=stack.outputs["ResultsBucket"])
# the functions' processes have ended: what they took is known
print(json.dumps({"start_s": start_s, "n_passed": found["KeyCount"], "pass_s": count_cpu_s() - start_s}))
"""


def test_rehearsal_starts_and_passes_messages_in_time():
    command = [sys.executable, "-c", MEASURE, str(TEMPLATE), str(N_MESSAGES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert found["n_passed"] == N_MESSAGES
    assert found["start_s"] < START_S
    assert found["pass_s"] < CORES * N_MESSAGES / A_SECOND
