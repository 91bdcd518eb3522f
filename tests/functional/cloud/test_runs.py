"""Runs on a stack through the real command: the same rows as here, whatever happens on the way."""

from __future__ import annotations

import json
import re
from itertools import islice

import pytest

pytestmark = pytest.mark.usefixtures("cloud")

ON = "aws:rehearsal"


def test_crossref_gives_the_rows_of_a_local_run(desk, project_root):
    """The promise that the whole cloud half is about: same rows, same order, same tables beside them."""
    sample = project_root / "examples" / "crossref"
    lines = (sample / "reactions.rsmi").read_text().splitlines(keepends=True)[:300]
    desk.write("data.rsmi", "".join(lines))
    templates = str(sample / "templates.csv")
    words = ["run", "crossref", "data.rsmi", "--templates", templates, "--max-failed", "9%"]
    assert desk.aliquot(*words, "--out", "here").code == 0
    said = desk.aliquot(*words, "--out", "there", "--on", ON)
    assert said.code == 0, said.err
    assert desk.table("there").equals(desk.table("here"))
    for name in ("failures", "unexplained", "templates"):
        assert desk.read(name, "there").equals(desk.read(name, "here")), name
    differing = {
        name for name, value in desk.summary("here").items() if desk.summary("there").get(name) != value
    }
    assert differing <= {"elapsed_s", "cpu_s"}
    assert "result: there/result" in said.err


def test_own_code_travels_with_its_run(desk):
    data = desk.write_records(200)
    said = desk.aliquot("run", "jobs:one", data, "--out", "out", "--on", ON, "--code", ".", "--format", "csv")
    assert said.code == 0, said.err
    rows = (desk.folder / "out" / "result" / "part-00000.csv").read_text().splitlines()
    assert rows[1:] == [f'{i},"r{i}",{i % 7 + 1}' for i in range(200)]


def test_too_many_failed_is_told_as_of_a_local_run(desk):
    data = desk.write_records(60)
    said = desk.aliquot("run", "jobs:every_third", data, "--out", "out", "--on", ON, "--code", ".")
    assert said.code == 3, said.err
    assert "20 of 60 records failed (limit 5%); the first: ValueError: no 0" in said.err
    assert desk.read("failures").num_rows == 20


def test_scripts_and_people_read_a_run_of_a_stack(desk, cloud):
    """Its end, its list, its explanation: the same fields as of a run here, and its cost."""
    words = ("run", "jobs:every_third", desk.write_records(60), "--out", "out", "--on", ON, "--code", ".")
    said = desk.aliquot(*words, "--max-failed", "50%", "--json")
    assert said.code == 0, said.err
    end = json.loads(said.out)
    assert (end["state"], end["summary"]["failed"]) == ("finished", 20)
    assert end["invoice"] == desk.invoice()
    listed = json.loads(desk.aliquot("runs", "--on", ON, "--json").out)["runs"]
    address = f"s3://{cloud.bucket}/runs/{desk.address()['run']}"
    (run,) = (each for each in listed if each["run"] == address)
    assert (run["state"], run["job"], run["records"], run["failed"]) == (
        "finished",
        "jobs:every_third",
        60,
        20,
    )
    assert run["cost_usd"] == end["invoice"]["total"]
    newest = desk.aliquot("runs", "--on", ON, "--most", "1")
    assert len(newest.out.splitlines()) == 2
    assert "aliquot attach RUN DIR fetches one" in newest.err
    shown = json.loads(desk.aliquot("show", "out", "--json").out)
    assert (shown["state"], shown["place"], shown["remote"]) == ("finished", ON, address)
    (stage,) = shown["stages"]
    assert stage["n_records"] >= 60
    assert [each["kind"] for each in shown["failures"]] == ["exception"] * 3
    here = json.loads(desk.aliquot("runs", "--json").out)["runs"]
    assert [(each["run"], each["place"], each["state"]) for each in here] == [("out", ON, "finished")]
    watched = json.loads(desk.aliquot("watch", "out", "--json").out)
    assert watched == end


@pytest.mark.long
def test_progress_on_a_stack_says_what_was_spent_of_what(desk):
    """Lines every few seconds where there is no terminal."""
    desk.write(
        "slow.py", "import time\ndef f(record):\n    time.sleep(0.1)\n    assert record['id'] != 'r3'\n"
    )
    words = ("run", "slow:f", desk.write_records(70), "--out", "out", "--on", ON, "--code", ".")
    said = desk.aliquot(*words, "--budget-usd", "5", "--anyway")
    assert said.code == 0, said.err
    lines = [line for line in said.err.splitlines() if " records (" in line]
    assert any(re.search(r", \$0\.\d+ of \$5\.00$", line) for line in lines), said.err


@pytest.mark.long
def test_real_reactions_give_the_rows_of_a_local_run(desk, shared_data):
    """Hundreds of reactions as they come, against thousands of extracted templates."""
    with (shared_data / "uspto/uspto50k-eval.csv").open() as file:
        desk.write("data.csv", "".join(islice(file, 301)))
    templates = str(shared_data / "uspto/templates.tsv")
    words = ["run", "crossref", "data.csv", "--templates", templates, "--max-failed", "50%"]
    said = desk.aliquot(*words, "--out", "here")
    assert said.code == 0, said.err
    said = desk.aliquot(*words, "--out", "there", "--on", ON)
    assert said.code == 0, said.err
    assert desk.table("here").num_rows
    assert desk.table("there").equals(desk.table("here"))
    for name in ("failures", "unexplained", "templates"):
        assert desk.read(name, "there").equals(desk.read(name, "here")), name
    here, there = desk.summary("here"), desk.summary("there")
    assert here["records"] == 300
    assert {name for name in here | there if here.get(name) != there.get(name)} <= {"elapsed_s", "cpu_s"}


def test_run_from_python_is_the_same(desk):
    """The same plan object, with `on`: records need not be a file."""
    said = desk.python(
        """
        import aliquot, jobs

        if __name__ == "__main__":
            records = [{"id": f"r{i}", "smiles": "C" * i} for i in range(40)]
            plan = aliquot.plan(jobs.one, records, on="aws:rehearsal", code=".")
            run = plan.start(out="out").wait(quiet=True)
            print(run.result.to_table().column("n").to_pylist() == list(range(40)), run.summary["done"])
            print(aliquot.cancel("out"))
            print(aliquot.watch("out").wait(quiet=True).failures.num_rows)
            try:
                aliquot.plan(jobs.one, records, on="aws:none", code=".").start(out="other").wait(quiet=True)
            except aliquot.UsageError as err:
                print(type(err).__name__)
        """
    )
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "True 40"
    assert "is over already" in lines[1]
    assert lines[2:] == ["0", "NoSuchStack"]


def test_pipe_is_submitted_and_compared(desk):
    data = desk.write_records(30)
    words = ["run", "jobs:one", "-", "--out", "out", "--on", ON, "--code", "."]
    for _ in range(2):
        said = desk.aliquot(*words, stdin=(desk.folder / data).read_bytes())
        assert said.code == 0, said.err
    said = desk.aliquot(*words, stdin=b"id,smiles\nother,C\n")
    assert (said.code, "gives other records than before" in said.err) == (2, True), said.err
    assert desk.table().num_rows == 30


def test_dataset_in_s3_is_cut_where_it_lies(desk, module_cloud):
    """Nothing of it passes through the user's machine, and the rows are those of the file."""
    data = desk.write_records(200)
    s3 = module_cloud.stack.client("s3")
    s3.create_bucket(Bucket="datasets")
    s3.upload_file(str(desk.folder / data), "datasets", "june/data.csv")
    words = ["--out", "out", "--on", ON, "--code", "."]
    said = desk.aliquot("run", "jobs:one", "s3://datasets/june/*.csv", *words)
    assert said.code == 0, said.err
    assert desk.aliquot("run", "jobs:one", data, "--out", "here").code == 0
    assert desk.table().equals(desk.table("here"))
    assert desk.aliquot("run", "jobs:one", "s3://datasets/june/*.csv", *words).code == 0
    s3.upload_file(str(desk.write("other.csv", "id,smiles\nr9,C\n")), "datasets", "june/data.csv")
    said = desk.aliquot("run", "jobs:one", "s3://datasets/june/*.csv", *words)
    assert (said.code, "holds another run" in said.err) == (2, True), said.err
    said = desk.aliquot("run", "jobs:one", "s3://datasets/july/", *words)
    assert said.code == 2
    assert "s3://datasets/july/" in said.err
