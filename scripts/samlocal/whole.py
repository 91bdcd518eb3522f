"""A run through all functions, called as queue and state machine would, against a local run of the same.

When it is wrong, functions that each pass their event do not fit together.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import aliquot
from aliquot.ledger import SETTLED
from aliquot.reducer import read_published
from samlocal import CheckFailed, report, same
from samlocal.aws import EXAMPLES, Aws, list_names, make_crossref, submit_run, write_reactions
from samlocal.sam import Call, Tools, read_event, start_lambda

WHOLE_RUN = "whole"


def check_whole_run(tools: Tools, template: Path, aws: Aws, n_reactions: int) -> None:
    """Run a dataset through all functions, as queue and state machine would, and compare with a local run."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_reactions(Path(folder, "reactions.rsmi"), n_reactions)
        ledger = submit_run(aws, WHOLE_RUN, make_crossref(dataset))
        begun = time.monotonic()
        with start_lambda(tools, template) as call:
            calls = drive_run(call, aws)
        same([stop.reason for stop in ledger.list_stops()], [SETTLED])
        n_chunks = len(ledger.list_chunks())
        report("whole run", f"{n_reactions} reactions, {n_chunks} chunks, calls {calls}", begun)
        local = Path(folder, "local")
        begun = time.monotonic()
        templates = str(EXAMPLES / "templates.csv")
        aliquot.plan("crossref", str(dataset), templates=templates).start(local).wait(quiet=True)
        seen = compare_tables(aws, Path(folder, "cloud"), local)
        report("same as a local run", seen, begun)


def drive_run(call: Call, aws: Aws) -> dict[str, int]:
    """Tick, work, merge and publish until the run is over; gives how often each function was called."""
    counts: dict[str, int] = {}

    def ask(function: str, event: dict[str, Any]) -> Any:
        counts[function] = counts.get(function, 0) + 1
        return call(function, event)

    answer: dict[str, Any] = {"state": None, "phase": "running"}
    while answer["phase"] == "running":
        answer = ask("Tally", {"run": WHOLE_RUN, "state": answer["state"]})
        for message in aws.receive():
            said = ask("SmallWorker", make_sqs_event(message))
            same(said, {"batchItemFailures": []})
    epoch = answer["epoch"]
    while answer["phase"] in ("settling", "again"):
        for group in json.loads(aws.store("").get(answer["groups_key"])):
            ask("Reduce", group)
        answer = ask("Reduce", {"run": WHOLE_RUN, "epoch": epoch})
    same(answer["phase"], "done")
    return counts


def make_sqs_event(message: dict[str, Any]) -> dict[str, Any]:
    """What a mapping makes of a message."""
    record = read_event("worker.json")["Records"][0]
    return {"Records": [{**record, "body": message["Body"], "messageId": message["MessageId"]}]}


def compare_tables(aws: Aws, cloud: Path, local: Path) -> str:
    """Fetch what was published and hold each table to the local run's; says how many rows they have."""
    results = aws.store(f"results/{WHOLE_RUN}/")
    published = read_published(results)
    if published is None:
        raise CheckFailed("nothing is published")
    for name in list_names(published):
        results.get_file(published["prefix"] + name, cloud / name)
    ours, theirs = list_tables(local), list_tables(cloud)
    same(sorted(theirs), sorted(ours))
    for name, parts in ours.items():
        here, there = pq.read_table(parts), pq.read_table(theirs[name])
        if not here.equals(there):
            raise CheckFailed(f"{name} differs: {here.num_rows} rows locally, {there.num_rows} in the stack")
    return ", ".join(f"{pq.read_table(parts).num_rows} of {name}" for name, parts in ours.items())


def list_tables(folder: Path) -> dict[str, list[Path]]:
    """The parts of each table of a delivery: `failures.parquet`, or what lies in `failures`."""
    tables: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        if "ledger" not in path.parts:
            tables.setdefault(path.relative_to(folder).parts[0].removesuffix(".parquet"), []).append(path)
    return tables
