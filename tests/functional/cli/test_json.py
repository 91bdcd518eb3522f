"""`--json`: one document on standard output and nothing else, of what is well and of what is not."""

from __future__ import annotations

import json

import pytest

from orchestrator.cli import cli

READ_BY_SCRIPTS = ("plan", "run", "resume", "watch", "attach", "runs", "show", "decode", "doctor", "jobs")


@pytest.mark.parametrize("name", READ_BY_SCRIPTS)
def test_every_command_that_scripts_read_takes_json(name):
    assert any("--json" in parameter.opts for parameter in cli.commands[name].params)


def read(said, code=0):
    assert said.code == code, said.err
    return json.loads(said.out)


def test_the_end_of_a_run_is_a_document_and_progress_stays_on_stderr(desk):
    said = desk.aliquot("run", "jobs:one", desk.write_records(30), "--out", "out", "--json")
    document = read(said)
    assert (document["format"], document["state"], document["error"]) == ("aliquot/end/1", "finished", None)
    assert (document["exit_code"], document["folder"], document["result"]) == (0, "out", "out/result")
    assert document["summary"] == desk.summary()
    assert document["invoice"] == {"currency": "USD", "total": 0.0}
    assert "30 of 30 records done" in said.err
    assert read(desk.aliquot("resume", "out", "--quiet", "--json")) == document


def test_the_end_beyond_a_limit_says_why_and_where_the_rest_is(desk):
    said = desk.aliquot("run", "jobs:every_third", desk.write_records(30), "--out", "out", "--json")
    document = read(said, 3)
    assert (document["state"], document["exit_code"]) == ("too many failed", 3)
    assert document["error"]["type"] == "TooManyFailed"
    assert document["error"]["next"] == "aliquot show out"
    assert (document["failures"], document["not_tried"]) == ("out/failures.parquet", None)
    assert said.err.endswith("next: aliquot show out\n")


def test_figures_that_json_lacks_are_told_as_text(desk):
    """A job's own figures may be anything that Python counts."""
    assert desk.aliquot("run", "jobs:one", desk.write_records(3), "--out", "out").code == 0
    summary = {**desk.summary(), "mean": float("nan")}
    desk.write("out/summary.json", json.dumps(summary))
    for command in ("resume", "show"):
        document = read(desk.aliquot(command, "out", "--json"))
        assert document["summary"]["mean"] == "nan"


def test_an_error_is_a_document_with_the_command_to_type_next(desk):
    for words, kind, following in (
        (("run", "crosref", "x", "--out", "o"), "UnknownJob", "aliquot jobs"),
        (("show", "nowhere"), "FolderInUse", "aliquot runs"),
        (("plan", "crossref"), "MissingParameter", "aliquot plan crossref --help"),
    ):
        document = read(desk.aliquot(*words, "--json"), 2)
        assert (document["format"], document["exit_code"]) == ("aliquot/error/1", 2)
        assert (document["error"]["type"], document["error"]["next"]) == (kind, following)


def test_a_plan_is_a_document_with_its_budget_and_alternatives(desk):
    words = ("--what-if", "concurrency=1,4", "--budget-time", "1h", "--workers", "2")
    document = read(desk.aliquot("plan", "jobs:one", desk.write_records(300), *words, "--json"))
    assert (document["format"], document["n_records"], document["concurrency"]) == ("aliquot/plan/1", 300, 2)
    assert document["wall_s"]["low"] <= document["wall_s"]["median"] <= document["wall_s"]["high"]
    assert document["cost_usd"] is None
    assert document["budget"] == {
        "time_s": 3600.0, "time": "fits", "cost_usd": None, "cost": None, "fits": True
    }  # fmt: skip
    assert [each["concurrency"] for each in document["alternatives"]] == [1, 4]


def test_the_doctor_and_the_jobs_are_documents(desk):
    said = desk.aliquot("doctor", "--json")
    document = json.loads(said.out)
    assert document["is_well"] is (said.code == 0)
    assert {"level", "subject", "said", "remedy"} == set(document["checks"][0])
    (job,) = (each for each in read(desk.aliquot("jobs", "--json"))["jobs"] if each["name"] == "crossref")
    (mode,) = (each for each in job["options"] if each["name"] == "mode")
    assert (mode["flag"], mode["choices"], mode["default"]) == ("--mode", ["exact", "substructure"], "exact")
    assert job["reads"] == ["id", "reaction"]


def test_decode_reads_a_run_and_a_pipe(desk):
    assert desk.aliquot("run", "jobs:one", desk.write_records(30), "--out", "out").code == 0
    (chunk,) = (desk.folder / "out" / "ledger" / "chunks").iterdir()
    document = read(desk.aliquot("decode", str(chunk), "--json"))
    assert (document["type"], document["content"]["n_records"]) == ("chunk", 30)
    piped = desk.aliquot("decode", "-", stdin=chunk.read_bytes())
    assert "records    30" in piped.out
    assert "id r0, smiles C" in piped.out
    refused = desk.aliquot("decode", "-", stdin=b"hello, you")
    assert refused.code == 2
    assert "standard input cannot be read: object: it begins with b'hello, y'" in refused.err
    assert refused.err.endswith("next: aliquot decode --help\n")
    assert "is a folder; `aliquot show`" in desk.aliquot("decode", "out").err
