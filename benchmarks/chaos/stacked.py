"""Runs on one rehearsed stack under faults: the same records, cut anew for each run.

A case is submitted once by the real command's own way. Its chaos runs are copies of that: new ids, chunks of
other sizes, other faults. Most are begun before their chunks are all there, as by a submission that was cut
and taken up; some by a command that is killed. Two runs at a time share the stack. What nothing drives any
more is taken up again, as `resume` does.

Owns these runs. The stack is this process's own, on loopback, and gone when it ends.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aliquot.chunk import Chunk, ChunkReader
from aliquot.keys import ChunkId
from aliquot.ledger import CANCELLED, SETTLED
from aliquot.stages import read_legs
from benchmarks.chaos.cases import ROOT, STACKABLE, TOYS, Answer, Case, Difference, compare, read_answer
from benchmarks.chaos.report import Ran
from orchestrator.aws.fetch import Fetching, fetch
from orchestrator.aws.folder import CloudAddress, read_address
from orchestrator.aws.run import CloudRun, Link
from orchestrator.aws.session import take_up
from orchestrator.rehearsal import Stack
from orchestrator.rehearsal.faults import Faults

ON = "aws:rehearsal"
_LONGEST_RUN_S = 400.0  # a cancelled run drains for a lease, tally by tally
_LOOK_S = 0.5  # the clock skips what is waited for while nobody asks
_COMMAND = [sys.executable, "-m", "orchestrator.cli"]


@dataclass
class Submitted:
    """A case that was run on the stack once, undisturbed."""

    case: Case
    run: CloudRun
    manifest: dict[str, Any]
    objects: dict[str, bytes]
    columns: dict[str, list[Any]]
    kept: dict[str, list[Any]]
    reader: ChunkReader
    answer: Answer
    elapsed_s: float


class Desk:
    """A rehearsed stack, and the cases that were submitted to it.

    Args:
        calm: the local answer of each case.
    """

    def __init__(self, stack: Stack, folder: Path, cases: list[Case], calm: dict[str, Answer]) -> None:
        self.stack, self.folder = stack, folder
        self._cases, self._calm = {case.name: case for case in cases}, calm
        self._submitted: dict[str, Submitted] = {}
        self.link = Link(stack.client("s3"), stack.client("stepfunctions"))

    def submit(self, name: str) -> Submitted:
        """A case as it was submitted, now or before; raises RuntimeError where it is another than locally."""
        if name not in self._submitted:
            self._submitted[name] = _submit(self._cases[name], self._calm[name], self.folder, self.link)
        return self._submitted[name]


@contextmanager
def open_desk(folder: Path, cases: list[Case], calm: dict[str, Answer]) -> Iterator[Desk]:
    """A stack of this process's own, which delivers until the block ends."""
    from orchestrator.aws.rehearsal import Drain
    from orchestrator.installed_layers import assemble_layers, find_cache
    from orchestrator.rehearsal import rehearse

    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOYS, code / "toys.py")
    layers = assemble_layers(ROOT, find_cache())
    parameters = {"AllowCode": "true"}
    with (
        rehearse(ROOT / "template.yaml", parameters=parameters, code=layers, concurrency=2) as stack,
        Drain(stack) as drain,
    ):
        yield Desk(stack, folder, cases, calm)
        drain.check()


def run_stacked(
    folder: Path, seed: int, cases: list[Case], calm: dict[str, Answer], numbers: range
) -> Iterator[Ran]:
    """The runs of these numbers, as they end."""
    with open_desk(folder, cases, calm) as desk:
        for number in numbers:
            yield from run_round(desk, seed, number)


def run_round(desk: Desk, seed: int, number: int) -> Iterator[Ran]:
    """One run, or two at a time, under faults drawn by the campaign's seed and the number."""
    return _Round(desk, seed, number).run()


def _words(case: Case, code: Path, out: Path) -> list[str]:
    job = "crossref" if case.job == "crossref" else "toys:work"
    options = [word for name, value in case.options for word in (f"--{name}", value)]
    travels = [] if job == "crossref" else ["--code", str(code)]
    limits = ["--max-failed", "100%", "--record-timeout", "20"]
    return ["run", job, case.data, "--out", str(out), "--on", ON, "--quiet", *limits, *options, *travels]


def _submit(case: Case, calm: Answer, folder: Path, link: Link) -> Submitted:
    """Run a case once, by the real command; raises RuntimeError where its answer is not the local one."""
    out = folder / "calm" / case.name
    began_s = time.monotonic()
    ended = subprocess.run(
        [*_COMMAND, *_words(case, folder / "code", out)], cwd=folder, capture_output=True, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{case.name} does not run on the stack: {ended.stderr.decode()[-2000:]}")
    elapsed_s = time.monotonic() - began_s
    answer = read_answer(out)
    if difference := _differ(calm, answer):
        raise RuntimeError(f"{case.name} is another on the stack: {difference}")
    run = CloudRun(read_address(out, "watch"), link)
    chunk = run.ledger.list_chunks()[0]
    reader = ChunkReader(run.ledger.store.get(chunk.key), chunk)
    return Submitted(
        case=case,
        run=run,
        manifest=run.ledger.read_manifest() or {},
        objects={key: run.objects.get(key) for key in run.objects.list_keys("prepared/")},
        columns={name: reader.column(name) for name in reader.column_names},
        kept={name: reader.kept(name) for name in reader.kept_kinds},
        reader=reader,
        answer=answer,
        elapsed_s=elapsed_s,
    )


def _differ(before: Answer, now: Answer) -> Difference:
    return compare(_comparable(before), _comparable(now))


def _comparable(answer: Answer) -> Answer:
    """Without what differs by place: paths in tracebacks, and a function's address."""
    rows = [json.loads(row) | {"traceback": None} for row in answer.tables.get("failures", [])]
    tables = {**answer.tables, "failures": [json.dumps(row, sort_keys=True) for row in rows]}
    return replace(answer, tables=tables, figures={**answer.figures, "job": ""})


class _Round:
    """One run, or two at a time, under the same faults."""

    def __init__(self, desk: Desk, seed: int, number: int) -> None:
        self._desk, self._folder, self._number = desk, desk.folder, number
        self._draw = random.Random(f"stack:{seed}:{number}")
        names = [STACKABLE[number % len(STACKABLE)]]
        names += [self._draw.choice(STACKABLE)] if self._draw.random() < 0.2 else []
        self._submitted = [desk.submit(name) for name in names]
        self._counted: Counter[str] = Counter()
        self._faults = self._draw_faults()

    def run(self) -> Iterator[Ran]:
        """The runs, compared."""
        dice = self._desk.stack._dice  # noqa: SLF001 - one stack for many runs, each with faults of its own
        dice.hits.clear()  # its limit is of all that was hit so far
        dice.faults = self._faults
        began_s = time.monotonic()
        is_command = self._draw.random() < 0.08
        try:
            if is_command:
                found = [self._run_command(self._submitted[0])]
            else:
                found = self._run_copies()
        finally:
            dice.faults = Faults()
        elapsed_s = time.monotonic() - began_s
        self._counted.update(dice.hits)
        names = {"kill": "kill of an environment", "fail_s3": "503 from S3", "delay": "delayed message"}
        names |= {"duplicate": "duplicate delivery", "throttle": "throttled invocation"}
        faults = {names.get(kind, kind): count for kind, count in self._counted.items()}
        for place, (submitted, trouble, difference) in enumerate(found):
            yield Ran(
                backend="rehearsal",
                case=submitted.case.name,
                number=self._number,
                faults={} if place else faults,
                lost=difference.lost,
                doubled=difference.doubled,
                trouble=trouble or difference.other,
                elapsed_s=elapsed_s,
                slow_down=elapsed_s / submitted.elapsed_s,
            )

    def _draw_faults(self) -> Faults:
        draw = self._draw
        return Faults(
            seed=draw.randrange(1 << 30),
            duplicate=draw.choice((0.0, 0.05, 0.3)),
            delay=draw.choice((0.0, 0.0, 0.3)),
            delay_s=draw.choice((5.0, 100.0)),
            throttle=draw.choice((0.0, 0.0, 0.2)),
            kill=draw.choice((0.0, 0.1, 0.25)),
            kill_after_s=draw.choice((0.1, 0.5, 1.5)),
            fail_s3=draw.choice((0.0, 0.0, 0.03)),
            limit=12,
        )

    def _run_command(self, submitted: Submitted) -> tuple[Submitted, str, Difference]:
        """By the command, killed at some moment, then the same again or `resume`, until it ends."""
        out = self._folder / f"command-{self._number}"
        words = _words(submitted.case, self._folder / "code", out)
        for left in (self._draw.choice((1, 2)), 0, 0, 0):
            for _ in range(left):
                killed = subprocess.Popen(
                    [*_COMMAND, *words],
                    cwd=self._folder,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                try:
                    killed.wait(self._draw.uniform(0.8, 5.0))
                except subprocess.TimeoutExpired:
                    self._counted["kill of the orchestrator"] += 1
                killed.send_signal(signal.SIGKILL)
                killed.wait()
            is_resumed = (out / "cloud.json").exists() and self._draw.random() < 0.5
            again = ["resume", str(out), "--quiet"] if is_resumed else words
            ended = subprocess.run(
                [*_COMMAND, *again],
                cwd=self._folder,
                capture_output=True,
                check=False,
                timeout=_LONGEST_RUN_S,
            )
            if not ended.returncode:
                return submitted, "", _differ(submitted.answer, read_answer(out))
        return submitted, ended.stderr.decode()[-800:], Difference()

    def _run_copies(self) -> list[tuple[Submitted, str, Difference]]:
        copies = [
            _DisturbedCopy(self._desk, each, f"chaos-{self._number}-{place}", self._draw, self._counted)
            for place, each in enumerate(self._submitted)
        ]
        for copy in copies:
            copy.begin()
        ends_s = time.monotonic() + _LONGEST_RUN_S
        while (open_copies := [copy for copy in copies if not copy.is_over]) and time.monotonic() < ends_s:
            for copy in open_copies:
                copy.look()
            if self._draw.random() < 0.02:
                self._counted["clock step"] += 1
                self._desk.stack.clock.advance(self._draw.choice((20.0, 200.0, 1000.0)))
            time.sleep(_LOOK_S)
        return [copy.end() for copy in copies]


class Copy:
    """One run on the stack, begun as a copy of one that was submitted, and left in peace."""

    def __init__(self, desk: Desk, submitted: Submitted, name: str, window: int, n_records: int) -> None:
        self._submitted, self._window, self._n_records = submitted, window, n_records
        self._folder = desk.folder / name
        address: CloudAddress = replace(submitted.run.address, run=f"{name}-{os.getpid()}")
        self.run = CloudRun(address, desk.link)
        self._waiting: list[tuple[ChunkId, bytes]] = []
        self._told = -1
        self.is_over = False

    def begin(self) -> None:
        """Put what the run needs, and begin it."""
        submitted, run = self._submitted, self.run
        settings = {**submitted.manifest["settings"], "window": self._window}
        for key, body in submitted.objects.items():
            run.objects.put(key, body)
        run.ledger.begin({**submitted.manifest, "settings": settings})
        self._waiting = _cut(submitted, self._n_records)
        self._put_first()
        take_up(run, self._told)

    def look(self) -> None:
        """Notice the end; what nothing drives any more is taken up again."""
        published = self.run.find_published()
        if published is not None and published.epoch > self._told:
            if published.reason == SETTLED:
                self.is_over = True
                return
            self._told = published.epoch
        execution = self.run.executions.find_latest(self.run.ledger.epoch)
        if execution is None or not execution.is_running:
            take_up(self.run, self._told)

    def end(self) -> tuple[Submitted, str, Difference]:
        """What became of it."""
        if not self.is_over:
            stops = [(stop.epoch, stop.reason) for stop in self.run.ledger.list_stops()]
            self.run.ledger.stop(self.run.ledger.epoch, CANCELLED, {})
            coverage = self.run.ledger.measure(read_legs(self._submitted.manifest)[-1].last.name)
            said = (
                f"not over after {_LONGEST_RUN_S} s: {stops}, {coverage.n_answered} of {coverage.n_records}"
            )
            return self._submitted, said, Difference()
        published = self.run.find_published()
        assert published is not None  # noqa: S101 - `look` has seen it
        (self._folder / "ledger").mkdir(parents=True)
        fetch(Fetching(self.run, published, self._folder, "parquet", lambda: None))
        difference = _differ(self._submitted.answer, read_answer(self._folder))
        if not difference:
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._submitted, "", difference

    def _put_first(self) -> None:
        """Put the chunks that are there when the run begins: all."""
        self._put_chunks(len(self._waiting))

    def _put_chunks(self, count: int) -> None:
        put, self._waiting = self._waiting[:count], self._waiting[count:]
        for chunk, body in put:
            self.run.ledger.put_chunk(chunk, body)
        if not self._waiting:
            chunks = self.run.ledger.list_chunks()
            self.run.ledger.seal(len(chunks), sum(chunk.n_records for chunk in chunks))


class _DisturbedCopy(Copy):
    """A copy of which the submission is cut, outcomes are damaged, and which somebody cancels."""

    def __init__(
        self, desk: Desk, submitted: Submitted, name: str, draw: random.Random, counted: Counter[str]
    ) -> None:
        super().__init__(desk, submitted, name, draw.choice((1, 2, 4, 8)), draw.choice((12, 25, 40)))
        self._draw, self._counted = draw, counted
        self._n_damages = draw.choice((0, 0, 1, 2))
        self._n_cancels = draw.choice((0, 0, 0, 1))
        self._half_s = 0.0

    def look(self) -> None:
        """Go on with what is due: the other chunks, damage, a cancel."""
        if self._waiting and time.monotonic() >= self._half_s:
            self._put_chunks(len(self._waiting))
        self._disturb()
        super().look()

    def _put_first(self) -> None:
        self._draw.shuffle(self._waiting)
        if self._draw.random() < 0.4:
            self._counted["submission cut"] += 1
            self._half_s = time.monotonic() + self._draw.uniform(0.2, 2.0)
            self._put_chunks(self._draw.randrange(len(self._waiting)))
        else:
            super()._put_first()

    def _disturb(self) -> None:
        """Damage an outcome, or cancel the run, where the draw says so."""
        ledger = self.run.ledger
        if self._n_damages and self._draw.random() < 0.15:
            outcomes = ledger.list_outcomes(read_legs(self._submitted.manifest)[-1].last.name)
            if outcomes:
                self._n_damages -= 1
                self._counted["half-written put"] += 1
                key = str(self._draw.choice(outcomes))
                body = self.run.objects.get(key)
                self.run.objects.put(key, body[: self._draw.randrange(len(body))])
        if self._n_cancels and self._draw.random() < 0.05:
            self._n_cancels -= 1
            self._counted["cancel"] += 1
            ledger.stop(ledger.epoch, CANCELLED, {})


def _cut(submitted: Submitted, n_records: int) -> list[tuple[ChunkId, bytes]]:
    """The records of a case in chunks of so many."""
    reader, cut = submitted.reader, []
    for seq, first in enumerate(range(0, reader.chunk.n_records, n_records)):
        end = min(first + n_records, reader.chunk.n_records)
        source, line = reader.locate(first)
        chunk = Chunk(
            first=reader.first + first,
            n_records=end - first,
            columns={name: values[first:end] for name, values in submitted.columns.items()},
            kept={name: values[first:end] for name, values in submitted.kept.items()},
            provenance=((0, source, line),),
            bad={at - first: row for at, row in reader.bad().items() if first <= at < end},
        )
        cut.append((ChunkId(seq, end - first), chunk.to_bytes()))
    return cut
