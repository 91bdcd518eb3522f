"""Requests of runs on the rehearsed stack, by what they were for: a delivery, a tick, a merge.

The real template but for its slices, which are a second long instead of 30, so that tasks are handed back;
some messages are delivered twice. Each invocation's calls are counted by kind and by the object's place in
the run. Transitions are states entered, as Step Functions bills them.

Owns these counts; tests/functional/cloud/test_requests.py holds them. When it is wrong, bills are counted by
figures that are not so.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from aliquot.message import TaskMessage
from orchestrator.aws.rehearsal import Drain
from orchestrator.installed_layers import assemble_layers, find_cache
from orchestrator.rehearsal import Call, Faults, Invocation, Stack, rehearse

ROOT = Path(__file__).resolve().parents[2]
CROSSREF = ROOT / "examples" / "crossref"
SLICE_S, SHIPPED_SLICE = 1, 'ALIQUOT_SLICE_S: "30"'
RECORD_S = 0.02
N_RECORDS, N_CHUNKS = 600, 3
CHUNK_BYTES = 1 << 20
N_ENVIRONMENTS = 2
# hosts are forked by the process that opened the job
JOB = f"""
import os
import time

def rest(record):
    time.sleep({RECORD_S})
    return {{"id": record["id"], "opened_by": os.getppid()}}
"""
_COPIES = 6  # of the example's reactions: three chunks
_DUPLICATES = 0.3
_PATIENCE_S = 300
_TICK, _LAST_TICK = ("Tick", "WhichPhase", "Count", "Wait"), ("Tick", "WhichPhase")


@dataclass(frozen=True)
class Slice:
    """An invocation of a worker, and its requests by kind.

    Args:
        is_first: whether it was its environment's first of its run.
        receives: which delivery of its message it was.
        requests: by what was asked for: "get chunks", "get stop", "put outcomes", "list", "send", "hide".
    """

    run: str
    is_first: bool
    receives: int
    requests: Counter[str]

    @property
    def kind(self) -> str:
        """What it is a case of."""
        if self.is_first:
            return "an environment's first"
        if "put outcomes" not in self.requests:
            return "nothing left to do"
        if self.receives > 1:
            return "delivered again"
        return "handed back" if "send" in self.requests else "done in one slice"


@dataclass(frozen=True)
class Counted:
    """What runs asked of AWS.

    Args:
        ticks, merges: requests of each tally, of each reduce.
        per_message: requests of the mapping, for a delivery.
        transitions: states entered for each tick that goes on, and in an execution besides.
    """

    slices: list[Slice]
    ticks: list[Counter[str]]
    merges: list[Counter[str]]
    per_message: dict[str, float]
    transitions: dict[str, float]


@contextmanager
def rehearse_short_slices(folder: Path) -> Iterator[Stack]:
    """The stack with slices of SLICE_S and messages that come twice, delivering until the block ends."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    if SHIPPED_SLICE not in text:
        raise RuntimeError(f"template.yaml has no {SHIPPED_SLICE} to be shortened")
    template = folder / "template.yaml"
    template.write_text(text.replace(SHIPPED_SLICE, f'ALIQUOT_SLICE_S: "{SLICE_S}"'), encoding="utf-8")
    for name in ("functions", "layers", "statemachine"):
        (folder / name).symlink_to(ROOT / name)
    with (
        rehearse(
            template,
            parameters={"AllowCode": "true"},
            code=assemble_layers(ROOT, find_cache()),
            concurrency=N_ENVIRONMENTS,
            faults=Faults(seed=1, duplicate=_DUPLICATES),
        ) as stack,
        Drain(stack) as drain,
    ):
        yield stack
        drain.check()


def run_resting(folder: Path) -> int:
    """Run JOB over a few chunks: how many processes opened it."""
    (folder / "resting.py").write_text(JOB, encoding="utf-8")
    padding = "x" * (CHUNK_BYTES * N_CHUNKS // N_RECORDS)
    rows = "".join(f"r{number},{padding}\n" for number in range(N_RECORDS))
    (folder / "data.csv").write_text(f"id,padding\n{rows}", encoding="utf-8")
    _run_command(folder, "resting:rest", "data.csv", "--out", "resting", "--code", ".")
    return len(set(pq.read_table(folder / "resting" / "result")["opened_by"].to_pylist()))


def run_crossref(folder: Path) -> None:
    """Cross-reference the example, whose templates are prepared: more chunks than there are environments."""
    data, templates = folder / "reactions.rsmi", str(CROSSREF / "templates.csv")
    data.write_text((CROSSREF / "reactions.rsmi").read_text(encoding="utf-8") * _COPIES, encoding="utf-8")
    _run_command(folder, "crossref", data.name, "--templates", templates, "--out", "crossref")


def _run_command(folder: Path, *words: str) -> None:
    """Run it to its end; raises RuntimeError with what it said."""
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "run", *words, "--on", "aws:rehearsal", "--quiet"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    if ended.returncode:
        raise RuntimeError(f"{words[0]} ended with status {ended.returncode}: {ended.stderr[-2000:]}")


def count_runs(stack: Stack) -> Counted:
    """The requests of all that a stack has done so far."""
    calls = stack.calls
    slices = describe_slices(stack.invocations("SmallWorker"), calls)
    return Counted(
        slices,
        _count_each(stack.invocations("Tally"), calls),
        _count_each(stack.invocations("Reduce"), calls),
        _count_per_message(calls, len(slices)),
        _count_transitions(stack),
    )


def describe_slices(invocations: Sequence[Invocation], calls: Sequence[Call]) -> list[Slice]:
    """Each invocation of a worker, in the order in which they began."""
    slices: list[Slice] = []
    seen: set[tuple[str, str]] = set()
    began = {call.request_id: -place for place, call in enumerate(reversed(calls))}
    ordered = sorted(invocations, key=lambda each: began[each.request_id])
    for invocation, requests in zip(ordered, _count_each(ordered, calls), strict=True):
        (record,) = invocation.event["Records"]
        run = TaskMessage.from_text(record["body"]).run
        is_first = (invocation.environment, run) not in seen
        seen.add((invocation.environment, run))
        receives = int(record["attributes"]["ApproximateReceiveCount"])
        slices.append(Slice(run, is_first, receives, requests))
    return slices


def _count_each(invocations: Sequence[Invocation], calls: Sequence[Call]) -> list[Counter[str]]:
    by_request: dict[str, list[Call]] = {}
    for call in calls:
        by_request.setdefault(call.request_id, []).append(call)
    return [Counter(map(_name, by_request.get(each.request_id, []))) for each in invocations]


def _name(call: Call) -> str:
    """What a call asked for: `get chunks`, `get stop`, `put outcomes`, `list`, `send`, `hide`."""
    verbs = {"s3:GetObject": "get", "s3:PutObject": "put"}  # a HEAD is billed as a GET, and needs its right
    if call.action in verbs:
        return f"{verbs[call.action]} {_find_place(call.resource)}"
    others = {
        "s3:ListBucket": "list",
        "sqs:SendMessage": "send",
        "sqs:ChangeMessageVisibility": "hide",
        "sqs:GetQueueAttributes": "measure",
    }
    return others.get(call.action, call.action)


def _find_place(resource: str) -> str:
    """Where in a run an object lies: `chunks`, `stop`, `manifest.json`; or `references`, `results`."""
    parts = resource.partition(":::")[2].split("/")[1:]
    return parts[2] if parts[0] == "runs" else parts[0]


def _count_per_message(calls: Sequence[Call], n_deliveries: int) -> dict[str, float]:
    """What the mapping asks for a delivery: it receives, and deletes; empty receives are not counted here."""
    own = Counter(call.action for call in calls if call.caller == "SmallWorker" and not call.request_id)
    return {name: own[f"sqs:{name}"] / n_deliveries for name in ("ReceiveMessage", "DeleteMessage")}


def _count_transitions(stack: Stack) -> dict[str, float]:
    executions = list(_list_states(stack))
    entered = Counter(name for execution in executions for name in execution)
    n_waits = entered["Wait"]  # so often a run went on after a tick
    n_last = entered["Tick"] - n_waits
    in_ticks = sum(entered[name] for name in _TICK) - n_last * len(_LAST_TICK)
    rest = (sum(entered.values()) - in_ticks) / len(executions)
    return {"a tick": in_ticks / n_waits, "the rest of a run": rest}


def _list_states(stack: Stack) -> Iterator[list[str]]:
    states, arn = stack.client("stepfunctions"), stack.outputs["StateMachineArn"]
    for execution in states.list_executions(stateMachineArn=arn)["executions"]:
        pages = states.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
        events = [event for page in pages for event in page["events"]]
        yield [
            each["stateEnteredEventDetails"]["name"] for each in events if "stateEnteredEventDetails" in each
        ]
