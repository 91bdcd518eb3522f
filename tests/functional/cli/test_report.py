"""The report that a run leaves: written at every end, whole, and anew when it is asked for."""

from __future__ import annotations

import pytest

PAGE_BYTES = 8_000_000
JOB = """
import os
from dataclasses import dataclass
from aliquot import Job, Picture, Stage

@dataclass(frozen=True)
class Options:
    pass

def draw(glimpse):
    assert glimpse.records[0]["id"] == "r0"
    if os.path.exists("broken"):
        raise RuntimeError("no pencil </script>")
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    svg = head + '<script>x()</script><path d="M 0 0"/></svg>'
    return [Picture("Lengths", row["id"], f"{row['n']} letters", svg) for row in glimpse.rows]

def open_it(options, prepared):
    return lambda records: ({"id": r["id"], "n": len(r["smiles"])} for r in records)

job = Job("lengths", 1, Options, (Stage("count", open_it),), pictures=draw)
"""


def read(desk, out: str = "out") -> str:
    """What a report says before its scripts."""
    page = (desk.folder / out / "report.html").read_text()
    assert len(page) < PAGE_BYTES
    assert page.endswith("</html>\n")
    return page.partition('<script type="text/plain"')[0]


def test_every_end_of_a_run_leaves_a_report_and_show_writes_it_anew(desk):
    words = ("run", "jobs:every_third", desk.write_records(30), "--out", "out", "--max-failed", "10%")
    assert desk.aliquot(*words).code == 3
    said = read(desk)
    assert said.count("ValueError: no ") == 10
    assert 'not kept</span><span class="said">10 of 30 tried failed' in said
    assert "src=" not in said
    assert "http://" not in said.replace("http://www.w3.org/", "")
    (desk.folder / "out" / "report.html").unlink()
    again = desk.aliquot("show", "out", "--html")
    assert (again.code, again.out) == (0, "out/report.html\n")
    assert read(desk).count("ValueError: no ") == 10
    (desk.folder / "out" / "report.html").unlink()
    (desk.folder / "out" / "report.html").mkdir()
    for command in ("show", "watch"):
        failed = desk.aliquot(command, "out", "--html")
        assert failed.code == 2
        assert failed.err.startswith("aliquot: out/report.html: cannot be written: Is a directory\n")
    refused = desk.aliquot("show", "out", "--open")
    assert refused.code == 2
    assert "--html" in refused.err


def test_a_job_draws_and_what_it_breaks_costs_the_pictures_alone(desk):
    desk.write("lengths.py", JOB)
    words = ("run", "lengths:job", desk.write_records(5), "--out")
    assert desk.aliquot(*words, "out").code == 0
    said = read(desk)
    assert said.count("<svg") == 5
    assert "x()" not in said
    assert "7 letters" not in said
    assert "5 letters" in said
    desk.write("broken", "")
    assert desk.aliquot(*words, "other").code == 0
    assert "could not draw its pictures: RuntimeError: no pencil &lt;/script&gt;" in read(desk, "other")


@pytest.mark.long
def test_watching_a_run_here_rewrites_its_report_until_it_ends(desk):
    run = desk.begin("run", "jobs:slow", desk.write_records(400), "--out", "out", "--workers", "1")
    desk.wait_for(desk.outcomes)
    watching = desk.begin("watch", "out", "--html")
    desk.wait_for((desk.folder / "out" / "report.html").exists)
    assert 'class="state running"' in read(desk)
    assert 'id="again"' in read(desk)
    assert desk.end(watching).code == 0
    assert desk.end(run).code == 0
    assert 'class="state finished"' in read(desk)
    assert 'id="again"' not in read(desk)
    assert desk.aliquot("watch", "nowhere", "--html").code == 2
