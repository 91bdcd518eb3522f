"""One suite for both backends: whatever a job does to its host, a laptop and a stack say the same of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("cloud")

ON = ("--on", "aws:rehearsal", "--code", ".")
MARKER = "N#Cc1ccc(cc1)C(=O)OMARKER"
TOY_JOBS = """
import ctypes, os, resource, time
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from aliquot import Answer, Job, ParseFailure, Stage


class Row(NamedTuple):
    id: str
    square: int


@dataclass(frozen=True)
class Options:
    pass


def crash():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def overeat():
    held = []
    while True:
        held.append(b"x" * (16 << 20))


def refuse():
    raise ValueError("on purpose")


def misread():
    raise ParseFailure("no number")


WAYS = {
    "crash": crash,
    "exit": lambda: os._exit(7),
    "hang": lambda: time.sleep(1000),
    "overeat": overeat,
    "raise": refuse,
    "misread": misread,
}


def work(record):
    WAYS.get(record["way"], lambda: None)()
    number = int(record["number"])
    return [] if number % 5 == 0 else [Row(record["id"], number * number)] * (1 + number % 2)


def one(record):
    return [row._asdict() for row in work(record)]


def loose(record):
    number = int(record["number"])
    if number % 7 == 0:
        return None
    late = {"late": number} if number > 200 else {}
    return {"id": record["id"], **late, "half": number / 2 if number % 2 else number}


def open_ahead(options, prepared):
    def read_ahead(records):
        source = iter(records)
        while batch := list(islice(source, 16)):
            yield from [Answer(work(record), "seen") for record in batch]

    return read_ahead


class Notes:
    def __init__(self, options, prepared):
        self.n_seen = 0

    def add(self, record, rows, note):
        self.n_seen += note == "seen"

    def partial(self):
        return self.n_seen

    def merge(self, partial):
        self.n_seen += partial

    def figures(self):
        return {"seen": self.n_seen}

    def tables(self):
        return {}


ahead = Job(
    "ahead", 1, Options, (Stage("work", open_ahead),), writes=Row, summary=Notes, without_rows="empty"
)
"""


def write_data(desk: Any, ways: dict[int, str], n_records: int = 300) -> str:
    rows = [f"r{number},{number},{ways.get(number, 'fine')}\n" for number in range(n_records)]
    desk.write("contract.py", TOY_JOBS)
    desk.write("data.csv", "id,number,way\n" + "".join(rows))
    return "data.csv"


def run_both(desk: Any, *words: str) -> None:
    """The same command here and on the stack, into `here` and `there`; both end well."""
    for out, on in (("here", ()), ("there", ON)):
        said = desk.aliquot("run", *words, "--out", out, *on)
        assert said.code == 0, said.err


def describe_failures(desk: Any, out: str) -> list[dict[str, Any]]:
    """The failures, without what differs by machine: where code lies, and how much memory it was given."""
    rows = desk.read("failures", out).to_pylist()
    for row in rows:
        row["traceback"] = re.sub(r'File "[^"]*/', 'File "', row["traceback"] or "")
        row["message"] = re.sub(r"[\d,]+ MiB", "N MiB", row["message"])
    return rows


def assert_same(desk: Any, *tables: str) -> None:
    assert desk.table("there").schema.equals(desk.table("here").schema, check_metadata=True)
    assert desk.table("there").equals(desk.table("here"))
    assert describe_failures(desk, "there") == describe_failures(desk, "here")
    for name in tables:
        assert desk.read(name, "there").equals(desk.read(name, "here")), name
    here, there = desk.summary("here"), desk.summary("there")
    assert {name for name in here | there if here.get(name) != there.get(name)} <= {"elapsed_s", "cpu_s"}


def test_poison_of_every_kind_is_filed_alike(desk):
    ways = {11: "crash", 50: "raise", 51: "raise", 120: "exit", 200: "misread", 250: "hang"}
    data = write_data(desk, ways)
    run_both(desk, "contract:one", data, "--record-timeout", "2")
    assert_same(desk)
    kinds = {row["record"]: row["kind"] for row in desk.read("failures", "there").to_pylist()}
    assert kinds == {
        11: "crash",
        50: "exception",
        51: "exception",
        120: "crash",
        200: "parse",
        250: "deadline",
    }


def test_job_that_reads_ahead_is_served_alike(desk):
    data = write_data(desk, {30: "raise", 77: "crash", 160: "misread"})
    run_both(desk, "contract:ahead", data)
    assert_same(desk, "empty")
    assert desk.summary("there")["seen"] == 297


@pytest.mark.long
def test_record_that_overeats_costs_itself_alone(desk):
    """Here it has what `--memory` gives, there what the top rung has: the figures differ, the rest not."""
    data = write_data(desk, {5: "overeat"}, 12)
    for out, more in (("here", ("--memory", "300")), ("there", ON)):
        said = desk.aliquot("run", "contract:one", data, "--out", out, "--max-failed", "2", *more)
        assert said.code == 0, said.err
    assert_same(desk)
    (failure,) = describe_failures(desk, "there")
    assert (failure["record"], failure["kind"]) == (5, "memory")


def test_columns_that_come_late_and_kinds_that_disagree_are_typed_alike(desk):
    run_both(desk, "contract:loose", write_data(desk, {}), "--keep", "number")
    assert_same(desk)
    assert desk.table("there").column_names == ["record", "id", "half", "late", "number"]


def test_no_log_metric_or_history_holds_a_record(desk, cloud):
    """Logs are read by more people than data, and kept elsewhere."""
    desk.write(
        "leaky.py",
        "import os\n"
        "def tell(record):\n"
        "    os.write(2, record['smiles'].encode())\n"
        "    print(record, flush=True)\n"
        "    if record['id'].endswith('3'):\n"
        "        raise ValueError(f'cannot do {record}')\n"
        "    return record\n",
    )
    desk.write("marked.csv", "id,smiles\n" + "".join(f"{MARKER}{i},{MARKER}\n" for i in range(40)))
    seen = len(cloud.stack.invocations())
    said = desk.aliquot("run", "leaky:tell", "marked.csv", "--out", "out", "--max-failed", "50%", *ON)
    assert said.code == 0, said.err
    cloud.hold()
    assert desk.read("failures").num_rows == 4
    invocations = cloud.stack.invocations()[seen:]
    assert {each.function for each in invocations} >= {"SmallWorker", "Tally", "Reduce"}
    handlers_said = "".join(f"{each.log}{each.response}{each.error}" for each in invocations)
    assert '"message":"slice"' in handlers_said
    assert MARKER not in handlers_said
    client = cloud.stack.client("stepfunctions")
    machine = cloud.stack.outputs["StateMachineArn"]
    for execution in client.list_executions(stateMachineArn=machine)["executions"]:
        history = client.get_execution_history(executionArn=execution["executionArn"])
        assert MARKER not in json.dumps(history, default=str)
