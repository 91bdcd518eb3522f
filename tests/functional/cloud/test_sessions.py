"""A run goes on without its session: commands killed, repeated, interrupted, and others that take over."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading

import pytest

ON = "aws:rehearsal"
PATIENCE_S = 60
N_LARGE = 15_000  # records of 4 kB: 58 chunks


def begin_words(data: str, out: str = "out") -> list[str]:
    return ["run", "jobs:one", data, "--out", out, "--on", ON, "--code", "."]


def count_chunks(desk, cloud) -> int:
    run = desk.address().get("run")
    return len(cloud.list_keys(f"runs/{run}/chunks/")) if run else 0


@pytest.fixture
def large(desk) -> str:
    row = "C" * 4000
    desk.write("large.csv", "id,smiles\n" + "".join(f"r{i},{row}\n" for i in range(N_LARGE)))
    return "large.csv"


def hold_chunks(cloud, monkeypatch, most: int) -> threading.Event:
    """Let so many chunks be put, and no more until the event is set."""
    gateway, released, puts = cloud.stack._gateway, threading.Event(), itertools.count(1)
    answer = gateway.answer

    def hold(request):
        if request.method == "PUT" and "/chunks/" in request.path and next(puts) > most:
            released.wait(PATIENCE_S)
        return answer(request)

    monkeypatch.setattr(gateway, "answer", hold)
    return released


@pytest.mark.long
def test_submission_that_was_killed_is_completed_by_resume(desk, cloud, large, monkeypatch):
    """The chunks that are there are passed over, the run is the same, and every record is there once."""
    released = hold_chunks(cloud, monkeypatch, 5)
    process = desk.begin(*begin_words(large))
    desk.wait_for(lambda: count_chunks(desk, cloud) >= 5)
    process.send_signal(signal.SIGKILL)
    desk.end(process)
    released.set()  # what was on its way arrives
    address = desk.address()
    assert 5 <= count_chunks(desk, cloud) < 58
    shown = desk.aliquot("show", "out").out
    assert "its submission is not complete" in shown
    assert "aliquot resume out" in shown
    said = desk.aliquot("resume", "out")
    assert said.code == 0, said.err
    assert desk.address() == address
    assert desk.table().column("id").to_pylist() == [f"r{i}" for i in range(N_LARGE)]
    assert cloud.list_executions(address["run"]) == [f"{address['run']}-0"]


def test_interrupted_submission_says_that_it_is_not_complete(desk, cloud):
    """Ctrl-C while a pipe is read: what is there is kept, and given the same pipe it goes on."""
    rows = "".join(f"r{i},{'C' * 4000}\n" for i in range(1000)).encode()
    process = desk.begin(*begin_words("-"), stdin=subprocess.PIPE)
    process.stdin.write(b"id,smiles\n" + rows)
    process.stdin.flush()
    desk.wait_for(lambda: count_chunks(desk, cloud) > 1)
    desk.wait_for(lambda: cloud.list_executions(desk.address()["run"]))
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)  # `end` closes the pipe, and its end would make the submission complete
    said = desk.end(process)
    assert said.code == 130, said.err
    assert "the submission is not complete" in said.err
    assert "aliquot resume out" in said.err
    address = desk.address()
    said = desk.aliquot("resume", "out", stdin=b"id,smiles\n" + rows)
    assert said.code == 0, said.err
    assert desk.address() == address
    assert desk.table().num_rows == 1000


def test_repeated_command_goes_on_with_its_run(desk, cloud):
    """The same command again must neither pay twice nor give anything else."""
    data = desk.write_records(50)
    assert desk.aliquot(*begin_words(data)).code == 0
    address = desk.address()
    said = desk.aliquot(*begin_words(data))
    assert said.code == 0, said.err
    assert desk.address() == address
    assert cloud.list_executions(address["run"]) == [f"{address['run']}-0"]
    other = desk.aliquot("run", "jobs:every_third", data, "--out", "out", "--on", ON, "--code", ".")
    assert (other.code, "holds another run" in other.err) == (2, True)
    local = desk.aliquot("run", "jobs:one", data, "--out", "out")
    assert (local.code, "holds a run on aws:rehearsal" in local.err) == (2, True)


def test_interrupted_watcher_leaves_the_run_going_on(desk, still):
    """Ctrl-C on a terminal must not stop what a stack does, and has to say how to come back."""
    data = desk.write_records(50)
    process = desk.begin(*begin_words(data))
    desk.wait_for(lambda: desk.address() and still.list_executions(desk.address()["run"]))
    desk.wait_for(lambda: f"runs/{desk.address()['run']}/sealed" in still.list_keys("runs/"))
    process.send_signal(signal.SIGINT)
    said = desk.end(process)
    assert said.code == 130
    assert "aliquot watch out" in said.err
    assert "aliquot cancel out" in said.err
    shown = desk.aliquot("show", "out").out
    assert "running: 0 of 50 records are answered" in shown
    report = desk.folder / "out" / "report.html"
    assert desk.aliquot("show", "out", "--html").code == 0
    assert 'class="state running"' in report.read_text()
    still.go()
    assert desk.aliquot("watch", "out", "--html").code == 0
    still.hold()
    assert 'class="state finished"' in report.read_text()
    assert "Workers over time" in report.read_text()
    assert desk.table().num_rows == 50
    assert f"results/{desk.address()['run']}/fetched" in still.list_keys("results/")
    assert "state     finished" in desk.aliquot("show", "out").out


def test_cancelled_run_gives_what_finished_and_resumes(desk, still):
    data = desk.write_records(50)
    process = desk.begin(*begin_words(data))
    run = desk.wait_for(lambda: desk.address().get("run"))
    desk.wait_for(lambda: f"runs/{run}/sealed" in still.list_keys("runs/"))
    desk.wait_for(lambda: any(call.event["run"] == run for call in still.stack.invocations("Tally")))
    said = desk.aliquot("cancel", "out", "--json")
    told = json.loads(said.out)
    assert (said.code, told["format"], told["folder"]) == (0, "aliquot/cancel/1", "out")
    assert "is being stopped" in told["said"]
    still.go()
    said = desk.end(process)
    assert said.code == 4, said.err
    assert "stopped: cancelled" in said.err
    assert "50 not tried" in said.err
    assert desk.summary()["not_tried"] == 50
    assert "stopped (cancelled)" in desk.aliquot("show", "out").out
    said = desk.aliquot("resume", "out")
    still.hold()
    assert said.code == 0, said.err
    assert desk.table().num_rows == 50
    assert not (desk.folder / "out" / "not_tried.parquet").exists()
    assert still.list_executions(run) == [f"{run}-0", f"{run}-1"]


@pytest.mark.parametrize("is_cancelled", [pytest.param(False, marks=pytest.mark.long), True])
def test_run_whose_execution_broke_says_so_and_resumes(desk, still, is_cancelled):
    """Somebody may stop an execution in the console; its run must not be lost with it."""
    data = desk.write_records(50)
    process = desk.begin(*begin_words(data))
    run = desk.wait_for(lambda: desk.address().get("run"))
    desk.wait_for(lambda: f"runs/{run}/sealed" in still.list_keys("runs/"))
    # moto loses a stop that comes while an execution starts
    desk.wait_for(lambda: any(call.event["run"] == run for call in still.stack.invocations("Tally")))
    if is_cancelled:  # it was coming to a stop then, and never came
        assert desk.aliquot("cancel", "out").code == 0
    arn = still.stack.outputs["StateMachineArn"].replace(":stateMachine:", ":execution:")
    still.stack.client("stepfunctions").stop_execution(executionArn=f"{arn}:{run}-0", cause="by hand")
    said = desk.end(process)
    assert said.code == 2
    assert f"run {run} ended without a result: its execution is ABORTED" in said.err
    assert "aliquot resume out" in said.err
    assert "broken (its execution is ABORTED)" in desk.aliquot("show", "out").out
    still.go()
    assert desk.aliquot("resume", "out").code == 0
    still.hold()
    assert desk.table().num_rows == 50


def test_run_of_a_damaged_chunk_says_which_one(desk, still):
    """What cannot be read is named, rather than a step that failed for it."""
    process = desk.begin(*begin_words(desk.write_records(50)))
    run = desk.wait_for(lambda: desk.address().get("run"))
    desk.wait_for(lambda: f"runs/{run}/sealed" in still.list_keys("runs/"))
    (key,) = still.list_keys(f"runs/{run}/chunks/")
    still.stack.client("s3").put_object(Bucket=still.bucket, Key=key, Body=b"garbage")
    still.go()
    said = desk.end(process)
    still.hold()
    assert said.code == 2
    assert "chunks/00000000.50: chunk cannot be read" in said.err


@pytest.mark.usefixtures("cloud")
def test_run_begun_elsewhere_is_attached(desk):
    """A colleague has the address of the run, and nothing else."""
    data = desk.write_records(50)
    assert desk.aliquot(*begin_words(data)).code == 0
    address = desk.address()
    place = f"s3://{address['bucket']}/runs/{address['run']}"
    said = desk.aliquot("attach", place, "other", "--format", "csv")
    assert said.code == 0, said.err
    assert len((desk.folder / "other/result/part-00000.csv").read_text().splitlines()) == 51
    assert desk.aliquot("watch", "other").code == 0
    assert desk.table("other").equals(desk.table())
    for words, phrase in [
        (["s3://nowhere"], "is not of the form s3://BUCKET/runs/RUN"),
        ([f"s3://{address['bucket']}/runs/20200101-other-000000"], "there is no run"),
    ]:
        said = desk.aliquot("attach", *words, "third")
        assert (said.code, phrase in said.err) == (2, True), said.err
    assert not (desk.folder / "third").exists()
