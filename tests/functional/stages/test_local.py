"""Chains of one to four stages on this machine: rows, failures and lineage as a plain program gives them."""

from __future__ import annotations

import json
import os
import signal

import pyarrow.parquet
import pytest

from aliquot.outcome import OutcomeReader
from tests.functional.stages.chains import Options

MORE = pytest.mark.long
SHAPES = ["", "ff", "r", "fxr", "sxr", "xfr"]
MORE_SHAPES = [pytest.param(shape, marks=MORE) for shape in ("f", "x", "fx", "xf", "xr", "fff")]


def run(desk, options, *words, out="out"):
    asked = [
        f"--{name}={value}" for name, value in (("shape", options.shape), ("fault", options.fault)) if value
    ]
    return desk.aliquot(
        *(
            "run",
            "chains:chain",
            "data.csv",
            "--out",
            out,
            "--workers",
            "2",
            "--quiet",
            "--max-failed",
            "90%",
        ),
        *asked,
        *(f"--at={options.at}", f"--pause-s={options.pause_s}"),
        *words,
    )


@pytest.mark.parametrize("shape", SHAPES + MORE_SHAPES)
def test_a_chain_gives_what_a_plain_program_gives(desk, shape):
    texts = desk.write_texts(400)
    said = run(desk, Options(shape))
    assert said.code == 0, said.err
    desk.check(texts, Options(shape))


@pytest.mark.parametrize(
    ("shape", "fault", "at"),
    [
        pytest.param("ff", "raise", 0, marks=MORE),
        ("ff", "raise", 1),
        ("fff", "crash", 2),
        pytest.param("f", "hang", 1, marks=MORE),
        pytest.param("fx", "raise", 2, marks=MORE),
        ("xr", "crash", 1),
        pytest.param("xfr", "raise", 2, marks=MORE),
        ("sxr", "raise", 2),
        ("fxr", "hang", 2),
        ("xr", "raise", 2),
    ],
)
def test_a_record_is_done_only_when_all_its_descendants_are(desk, shape, fault, at):
    """Its failure names the stage; no row of it is in a result whose rows belong to records."""
    texts = desk.write_texts(200, n_odd=3)
    options = Options(shape, fault, at)
    said = run(desk, options, "--record-timeout=1")
    assert said.code == 0, said.err
    desk.check(texts, options)


def test_outcomes_go_on_at_once(desk):
    """No barrier lies before a stage without an exchange: it begins while the one before is at work."""
    desk.write_texts(600, n_odd=0)
    process = desk.begin(
        *("run", "chains:chain", "data.csv", "--out", "out", "--workers", "1"),
        *("--shape=f", "--pause-s=0.02"),
    )
    seen = [desk.folder / f"seen-{place}" for place in range(2)]
    desk.wait_for(seen[1].exists)
    n_before = seen[0].read_text().count("\n")
    assert desk.wait_for(lambda: seen[0].read_text().count("\n") > n_before)
    process.kill()


@pytest.mark.parametrize(
    ("shape", "at"),
    [("fxr", 2), *(pytest.param(*each, marks=MORE) for each in (("f", 1), ("x", 1), ("xr", 2)))],
)
def test_a_killed_chain_goes_on_from_where_it_was(desk, shape, at):
    """Whichever stage it was in: what is done is not done again but for what was in flight."""
    texts = desk.write_texts(500, n_odd=0)
    words = ("run", "chains:chain", "data.csv", "--out", "out", "--workers", "2", f"--shape={shape}")
    process = desk.begin(*words, "--pause-s=0.004")
    seen = desk.folder / f"seen-{at}"
    desk.wait_for(lambda: seen.exists() and seen.read_text().count("\n") > 2)
    os.killpg(process.pid, signal.SIGKILL)
    desk.end(process)
    first = desk.folder / "seen-0"
    n_first = first.read_text().count("\n")
    said = desk.aliquot("resume", "out", "--quiet")
    assert said.code == 0, said.err
    desk.check(texts, Options(shape))
    if at > 1 or shape[0] in "xr":  # the first stage was settled
        assert first.read_text().count("\n") == n_first


@pytest.mark.parametrize(
    ("shape", "at"),
    [("f", 1), ("xr", 1), *(pytest.param(*each, marks=MORE) for each in (("f", 0), ("xr", 0), ("xr", 2)))],
)
def test_what_failed_in_any_stage_is_retried_and_all_behind_it_follows(desk, shape, at):
    texts = desk.write_texts(200, n_odd=2)
    options = Options(shape, "raise", at)
    assert run(desk, options).code == 0
    desk.check(texts, options)
    desk.write("mended", "")
    said = desk.aliquot("resume", "out", "--retry", "failed", "--quiet")
    assert said.code == 0, said.err
    desk.check(texts, Options(shape))


@pytest.mark.long
def test_a_damaged_outcome_between_two_stages_is_done_again(desk):
    texts = desk.write_texts(300, n_odd=0)
    process = desk.begin(
        *("run", "chains:chain", "data.csv", "--out", "out", "--workers", "1"),
        *("--shape=fx", "--pause-s=0.004"),
    )
    outcomes = desk.folder / "out/ledger/outcomes/stage0"
    desk.wait_for(lambda: outcomes.exists() and [*outcomes.rglob("*~*")])
    os.killpg(process.pid, signal.SIGKILL)
    desk.end(process)
    for path in outcomes.rglob("*~*"):
        path.write_bytes(path.read_bytes()[:-3])
    said = desk.aliquot("resume", "out", "--quiet")
    assert said.code == 0, said.err
    desk.check(texts, Options("fx"))
    assert [*(desk.folder / "out/ledger/voids").rglob("*~*")]


def test_too_many_failures_in_a_later_leg_stop_the_run(desk):
    desk.write_texts(300, n_odd=0)
    desk.write("data.csv", "id,text\n" + "".join(f"r{at},odd{at} a\n" for at in range(300)))
    said = desk.aliquot(
        *(
            "run",
            "chains:chain",
            "data.csv",
            "--out",
            "out",
            "--quiet",
            "--shape=xr",
            "--fault=raise",
            "--at=1",
        )
    )
    assert said.code == 3
    assert "stopped" in said.err
    summary = json.loads((desk.folder / "out" / "summary.json").read_text())
    assert summary["failed"] > 100
    assert summary["done"] == 0
    assert summary["failed"] + summary["not_tried"] == 300


def test_columns_cannot_be_kept_across_an_exchange(desk):
    desk.write_texts(3)
    said = run(desk, Options("x"), "--keep", "id")
    assert said.code == 2
    assert "rows behind an exchange" in said.err


APPETITE = """
import time
from dataclasses import dataclass
from aliquot import Job, Stage

@dataclass(frozen=True)
class Options:
    expand: int = 1

def open_expand(options, prepared):
    return lambda records: ([{"n": int(r["id"][1:]), "of": k} for k in range(3)] for r in records)

def open_stock(options, prepared):
    stock = bytearray(60 << 20)
    stock[::4096] = b"x" * len(stock[::4096])
    def look(rows):
        for row in rows:
            time.sleep(0.001)  # its memory is looked at 50 times a second
            stock[row["n"]] = row["of"]
            yield [{"n": row["n"], "of": row["of"]}]
    return look

def stages(options):
    return (
        Stage("expand", open_expand, concurrency=options.expand),
        Stage("stock", open_stock, concurrency=1, memory_mib=200, fork_safe=False),
    )

job = Job("appetite", 1, Options, stages)
"""


@pytest.mark.long
def test_more_hosts_of_one_stage_leave_the_memory_of_another_as_it_is(desk):
    """Stages of opposite appetite scale apart: the second's peak stays within 5%."""
    desk.write("appetite.py", APPETITE)
    desk.write_texts(400, n_odd=0)
    peaks = []
    for n_hosts in (1, 2):
        out = f"out-{n_hosts}"
        said = desk.aliquot(
            *("run", "appetite:job", "data.csv", "--out", out, "--workers", "2", "--quiet"),
            f"--expand={n_hosts}",
        )
        assert said.code == 0, said.err
        outcomes = [*(desk.folder / out / "ledger/outcomes/stock").rglob("*~*")]
        peaks.append(max(OutcomeReader(path.read_bytes()).peak_mib for path in outcomes))
    assert peaks[0] > 55
    assert abs(peaks[1] / peaks[0] - 1) < 0.05


ORIGINS = """
from dataclasses import dataclass
from aliquot import Job, Stage

@dataclass(frozen=True)
class Options:
    stage: str = "sum"

def open_split(options, prepared):
    return lambda records: ([{"word": each} for each in r["text"].split()] for r in records)

def open_sum(options, prepared):
    wrong = options.stage == "sum"
    return lambda groups: (
        [{"of": 999 if wrong and g.key == "twice" else g.records[0], "word": g.key}] for g in groups
    )

def open_mark(options, prepared):
    wrong = options.stage == "mark"
    return lambda rows: ([row | ({"of": 999} if wrong and row["word"] == "twice" else {})] for row in rows)

job = Job("origins", 1, Options, (
    Stage("split", open_split),
    Stage("sum", open_sum, exchange="word", origin="of"),
    Stage("mark", open_mark, origin="of"),
    Stage("list", lambda options, prepared: lambda groups: ([*g.rows] for g in groups), exchange="of"),
))
"""


@pytest.mark.parametrize("stage", ["sum", pytest.param("mark", marks=pytest.mark.long)])
def test_a_row_of_a_record_that_is_not_of_its_group_fails_that_group(desk, stage):
    """In the stage that says so, wherever it runs; the other groups go on."""
    desk.write("origins.py", ORIGINS)
    texts = desk.write_texts(30, n_odd=0)
    words = ("run", "origins:job", "data.csv", "--out", "out", "--stage", stage, "--max-failed", "99%")
    said = desk.aliquot(*words, "--quiet")
    assert said.code == 0, said.err
    failures = pyarrow.parquet.read_table(desk.folder / "out/failures.parquet").to_pylist()
    assert {each["record"] for each in failures} == {
        at for at, text in enumerate(texts) if "twice" in text.split()
    }
    assert {(each["stage"], each["kind"]) for each in failures} == {(stage, "exception")}
    assert "which has none in its group" in failures[0]["message"]
