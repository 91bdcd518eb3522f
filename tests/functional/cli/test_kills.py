"""Runs that are interrupted or killed at any moment: what is done is kept, and nothing is left running."""

from __future__ import annotations

import os
import pty
import random
import signal
import time

import pytest

SLOW_PARTS = """
import dataclasses, time
from pathlib import Path
from aliquot import Job, Stage

@dataclasses.dataclass(frozen=True)
class Options:
    prepare_s: float = 0.0
    open_s: float = 0.0

def wait(seconds):
    if not Path("quick").exists():
        time.sleep(seconds)

def prepare(options, into):
    Path("preparing").touch()
    wait(options.prepare_s)
    (into / "table").write_text("whole")

def open_it(options, prepared):
    Path("opening").touch()
    wait(options.open_s)
    table = (prepared / "table").read_text()
    return lambda records: ([{"id": record["id"], "table": table}] for record in records)

job = Job("slow-parts", version=1, options=Options, prepare=prepare, stages=(Stage("go", open_it),))
"""


def end(process, timeout_s=20):
    _, err = process.communicate(timeout=timeout_s)
    return process.returncode, (err or b"").decode()


def is_gone(processes):
    return not any(each.is_running() and each.status() != "zombie" for each in processes)


def test_interrupt_leaves_a_folder_that_resumes_only_what_is_missing(desk):
    """Ctrl-C on a terminal: SIGINT to the whole process group, hosts included."""
    data = desk.write_records(300)
    words = ("run", "jobs:slow", data, "--out", "out", "--workers", "2")
    ours, theirs = pty.openpty()
    process = desk.begin(*words, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    desk.wait_for(lambda: len(desk.calls()) > 40)
    family = desk.family(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) == 130
    desk.wait_for(lambda: is_gone(family), 1)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "interrupted; what is done is kept: aliquot resume out" in shown
    n_before = len(desk.calls())
    assert n_before < 300
    assert "not finished" in desk.aliquot("show", "out").out
    said = desk.aliquot("resume", "out")
    assert said.code == 0, said.err
    assert [row["id"] for row in desk.rows()] == [f"r{i}" for i in range(300)]
    # what each host had answered of its last 0.1 s was not stored yet
    assert len(desk.calls()) <= 300 + 2 * 7
    assert desk.summary()["elapsed_s"] > 3


@pytest.mark.parametrize(("option", "mark"), [("--prepare-s", "preparing"), ("--open-s", "opening")])
def test_interrupt_while_a_job_opens_leaves_a_folder_that_resumes(desk, option, mark):
    desk.write("parts.py", SLOW_PARTS)
    data = desk.write_records(5)
    words = ("run", "parts:job", data, "--out", "out")
    process = desk.begin(*words, option, "30")
    desk.wait_for((desk.folder / mark).exists)
    family = desk.family(process.pid)
    process.send_signal(signal.SIGINT)
    code, err = end(process, 5)
    assert code == 130, err
    assert "Traceback" not in err
    desk.wait_for(lambda: is_gone(family), 1)
    assert "not begun" in desk.aliquot("show", "out").out
    desk.write("quick", "")
    said = desk.aliquot("resume", "out")
    assert said.code == 0, said.err
    assert [row["table"] for row in desk.rows()] == ["whole"] * 5


def test_interrupt_while_a_pipe_gives_nothing_ends_at_once(desk):
    process = desk.begin("run", "jobs:one", "-", "--out", "out", stdin=-1)
    desk.wait_for((desk.folder / "out" / "ledger" / "manifest.json").exists)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    err = process.stderr.read().decode()
    assert "Traceback" not in err
    assert "Fatal" not in err
    process.stdin.close()


def test_interrupted_plan_leaves_nothing_running(desk):
    desk.write("parts.py", SLOW_PARTS)
    data = desk.write_records(5)
    for words, mark in (
        (("parts:job", data, "--prepare-s", "30"), "preparing"),
        (("jobs:sleepy", data), "asleep"),
    ):
        process = desk.begin("plan", *words)
        desk.wait_for((desk.folder / mark).exists)
        family = desk.family(process.pid)
        process.send_signal(signal.SIGINT)
        code, err = end(process, 5)
        assert code == 130, err
        assert "Traceback" not in err
        desk.wait_for(lambda seen=family: is_gone(seen), 1)


def test_interrupt_while_it_delivers_stops_the_delivery(desk):
    """Merging ten million records takes a minute; it is begun again by `resume`."""
    desk.write(
        "pausing.py",
        """
import os, signal, time
import aliquot.delivery as deliver
import orchestrator.cli
count = deliver._count
def pause(figures, piece):
    count(figures, piece)
    if not figures.failed:
        figures.failed = 1  # once is enough
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
deliver._count = pause
orchestrator.cli.main()
""",
    )
    data = desk.write_records(600)
    said = desk.script("pausing.py", "run", "jobs:counted", data, "--out", "out", "--workers", "2")
    assert said.code == 130, said.err
    assert not (desk.folder / "out" / "summary.json").exists()
    assert desk.aliquot("resume", "out").code == 0
    assert [row["id"] for row in desk.rows()] == [f"r{i}" for i in range(600)]
    assert len(desk.calls()) == 600


def test_killed_at_any_moment_it_resumes_to_the_same_rows(desk):
    """SIGKILL at moments drawn by seed, over and over: while reading, opening, working, delivering."""
    data = desk.write_records(400)
    desk.write(
        "mine.py",
        "import time\n"
        "def f(record):\n"
        "    time.sleep(0.003)\n"
        "    return [{'id': record['id'], 'k': k} for k in range(int(record['id'][1:]) % 3)]\n",
    )
    words = ("run", "mine:f", data, "--workers", "2", "--quiet")
    assert desk.aliquot(*words, "--out", "calm").code == 0
    draw = random.Random(4)
    n_kills = 0
    for _ in range(8):
        process = desk.begin(*words, "--out", "out")
        time.sleep(draw.uniform(0.2, 1.1))
        family = desk.family(process.pid)
        process.kill()
        process.wait(5)
        desk.wait_for(lambda seen=family: is_gone(seen), 1)
        n_kills += process.returncode == -signal.SIGKILL
    assert n_kills >= 4
    said = desk.aliquot(*words, "--out", "out")
    assert said.code == 0, said.err
    paths = [desk.folder / out / "result" / "part-00000.parquet" for out in ("calm", "out")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    summaries = [desk.summary(out) for out in ("calm", "out")]
    assert [summary["rows"] for summary in summaries] == [len(desk.rows())] * 2


def test_killed_while_it_submits_it_reads_on_where_it_was(desk):
    """A dataset of several chunks: those that were stored stay, the rest is cut as it would have been."""
    n_records = 60_000
    desk.write(
        "mine.py",
        "def f(record):\n    return {'n': len(record['id'])} if record['id'].endswith('7') else None\n",
    )
    desk.write("data.csv", "id,text\n" + "".join(f"r{i},{'x' * 60}\n" for i in range(n_records)))
    words = ("run", "mine:f", "data.csv", "--workers", "1", "--quiet")
    chunks = desk.folder / "out" / "ledger" / "chunks"
    process = desk.begin(*words, "--out", "out")
    desk.wait_for(lambda: chunks.is_dir() and any(path for path in chunks.iterdir() if path.name[0] != "."))
    process.kill()
    process.wait(5)
    assert not (chunks.parent / "sealed").exists()
    before = {path.name: path.stat().st_mtime_ns for path in chunks.iterdir() if path.name[0] != "."}
    said = desk.aliquot("resume", "out")
    assert said.code == 0, said.err
    after = {path.name: path.stat().st_mtime_ns for path in chunks.iterdir()}
    assert len(after) > 3
    assert before.items() <= after.items()
    assert desk.summary()["records"] == n_records
    assert [row["record"] for row in desk.rows()] == list(range(7, n_records, 10))


def test_changed_input_is_not_read_on(desk):
    """Half of one file and half of another would be nobody's dataset."""
    desk.write("data.csv", "id,text\n" + "".join(f"r{i},{'x' * 60}\n" for i in range(60_000)))
    chunks = desk.folder / "out" / "ledger" / "chunks"
    process = desk.begin("run", "jobs:counted", "data.csv", "--out", "out")
    desk.wait_for(lambda: chunks.is_dir() and any(path for path in chunks.iterdir() if path.name[0] != "."))
    process.kill()
    process.wait(5)
    assert not (chunks.parent / "sealed").exists()
    desk.write_records(10)
    said = desk.aliquot("resume", "out")
    assert said.code == 2
    assert "data.csv: has changed since the run began" in said.err


@pytest.mark.parametrize("n_renames", [0, 1, 3])
def test_killed_while_it_delivers_it_delivers_whole(desk, n_renames):
    """Between two renames of a delivery: afterwards every file is of one and the same decision."""
    desk.write(
        "dying.py",
        f"""
import os, signal, sys
import orchestrator.cli
left = [{n_renames}]
def die(event, args):
    if event == "os.rename" and ("delivery" in str(args[0]) or str(args[0]).endswith("result")):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
orchestrator.cli.main()
""",
    )
    data = desk.write_records(10)
    assert desk.aliquot("run", "jobs:fail_once", data, "--out", "out", "--max-failed", "3").code == 0
    desk.write("mended", "")
    killed = desk.script("dying.py", "resume", "out", "--retry", "failed")
    assert killed.code == -signal.SIGKILL, killed.err
    assert desk.aliquot("resume", "out").code == 0
    assert [row["id"] for row in desk.rows()] == [f"r{i}" for i in range(10)]
    assert desk.read("failures") == []
    assert desk.summary()["rows"] == 10
    assert len(desk.calls()) == 10


def test_host_inside_a_record_outlives_its_orchestrator_by_the_deadline_at_most(desk):
    data = desk.write_records(4)
    process = desk.begin(
        "run", "jobs:sleepy", data, "--out", "out", "--workers", "2", "--record-timeout", "2"
    )
    family = desk.wait_for(lambda: len(desk.family(process.pid)) >= 3 and desk.family(process.pid))
    time.sleep(0.3)
    process.kill()
    process.wait(5)
    assert desk.wait_for(lambda: is_gone(family), 3.5)
