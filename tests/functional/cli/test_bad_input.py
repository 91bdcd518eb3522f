"""What cannot be run: one clear message that says what was found and what to do, and exit code 2."""

from __future__ import annotations

import gzip
import os
import subprocess

import pytest


def assert_refused(said, *phrases):
    """Hold that a command was refused in one clear message with these phrases in it."""
    assert said.code == 2, said.err
    assert "Traceback" not in said.err, said.err
    lines = said.err.splitlines()
    assert sum(line.startswith("aliquot: ") for line in lines) == 1, said.err
    for phrase in phrases:
        assert phrase in said.err, said.err


def test_unknown_jobs_say_which_there_are(desk):
    data = desk.write_records(2)
    assert_refused(
        desk.aliquot("run", "crosref", data, "--out", "o"), "did you mean 'crossref'?", "MODULE:FUNCTION"
    )
    assert_refused(desk.aliquot("plan", "nothing", data), "jobs here are crossref")
    assert not (desk.folder / "o").exists()


@pytest.mark.parametrize(
    ("address", "phrases"),
    [
        ("absent:f", ["there is no module 'absent'"]),
        ("absent.py:f", ["there is no file"]),
        ("jobs:absent", ["has no 'absent'; it has", "one"]),
        ("raising:f", ["importing 'raising' raised RuntimeError: not today"]),
        ("needing:f", ["needs 'nothing_of_this_name', which is not installed"]),
        ("broken:f", ["SyntaxError"]),
        ("leaving:f", ["importing 'leaving' raised SystemExit: 0"]),
        ("jobs:Path.home.nope", ["has no"]),
        ("constants:value", ["is a int, neither a function nor a Job"]),
    ],
)
def test_functions_that_cannot_be_imported_say_why(desk, address, phrases):
    data = desk.write_records(2)
    desk.write("raising.py", "raise RuntimeError('not today')\n")
    desk.write("needing.py", "import nothing_of_this_name\n")
    desk.write("broken.py", "def f(record:\n")
    desk.write("leaving.py", "import sys\nsys.exit(0)\n")
    desk.write("constants.py", "value = 3\n")
    assert_refused(desk.aliquot("run", address, data, "--out", "o"), *phrases)


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["--no-such-option", "3"], ["--no-such-option"]),
        (["--max-failed", "many"], ["--max-failed", "neither a percentage (5%) nor a count (12)"]),
        (["--workers", "0"], ["--workers"]),
        (["--workers", "100000"], ["--workers", "at most 512"]),
        (["--record-timeout", "-1"], ["--record-timeout"]),
        (["--record-timeout", "nan"], ["--record-timeout", "nan is not within a year"]),
        (["--record-timeout", "inf"], ["--record-timeout", "inf is not within a year"]),
        (["--column", "smiles"], ["--column", "FIELD=NAME"]),
        (["--column", "smiles=x"], ["--column", "no field 'smiles'"]),
        (["--keep", "record"], ["--keep", "'record' is a column of the result already"]),
        (["--keep", "absent"], ["'absent'", "its columns are id, smiles"]),
        (["absent.csv"], ["absent.csv: there is no such file or folder"]),
        (["*.parquet"], ["matches no file"]),
        (["notes.txt"], ["notes.txt", "known are .csv"]),
        (["empty.csv"], ["empty.csv: holds no records"]),
        (["header.csv"], ["header.csv: holds no records"]),
    ],
)
def test_bad_options_and_inputs_say_what_was_found(desk, words, phrases):
    desk.write_records(2)
    for name, text in {"notes.txt": "x", "empty.csv": "", "header.csv": "id,smiles\n"}.items():
        desk.write(name, text)
    data = [] if words[0].split(".")[0] in ("empty", "header") else ["data.csv"]
    assert_refused(desk.aliquot("run", "jobs:one", *data, *words, "--out", "o"), *phrases)


def test_missing_words_are_asked_for(desk):
    assert_refused(desk.aliquot("run", "jobs:one", desk.write_records(1)), "--out")
    assert_refused(desk.aliquot("run", "jobs:one", "--out", "o"), "DATA")
    assert_refused(desk.aliquot("run", "crossref", "data.csv", "--out", "o"), "--templates")
    assert_refused(
        desk.aliquot("run", "crossref", "data.csv", "--templates", "absent.csv", "--out", "o"),
        "absent.csv: No such",
    )
    assert_refused(desk.aliquot("resume", "o"), "o: holds no run")
    assert_refused(desk.aliquot("show", "o"), "o: holds no run")


def test_manifest_that_is_damaged_is_named_by_every_command(desk):
    words = ("run", "jobs:one", desk.write_records(2), "--out", "o")
    assert desk.aliquot(*words).code == 0
    desk.write("o/ledger/manifest.json", '{"format": "aliquot/run/1"}')
    for again in (words, ("resume", "o"), ("show", "o")):
        assert_refused(desk.aliquot(*again), "manifest.json cannot be read")


def test_templates_that_do_not_parse_are_listed_by_line(desk, project_root):
    sample = project_root / "examples" / "crossref"
    good = (sample / "templates.csv").read_text().splitlines()[:3]
    lines = [*good, "bad1,C>C", *[f"bad{i},[C" for i in range(2, 9)]]
    desk.write("templates.csv", "\n".join(lines) + "\n")
    desk.write("data.rsmi", (sample / "reactions.rsmi").read_text().splitlines()[0] + "\n")
    words = ("run", "crossref", "data.rsmi", "--templates", "templates.csv", "--out", "o")
    said = desk.aliquot(*words)
    assert_refused(said, "line 4: ", "line 5: ", "more", "--skip-bad-templates")
    accepted = desk.aliquot(*words, "--skip-bad-templates")
    assert accepted.code == 0, accepted.err
    assert len(desk.read("templates", "o")) == 2


def test_open_that_fails_twice_ends_the_run(desk):
    desk.write(
        "mine.py",
        "import dataclasses, os\nfrom aliquot import Job, Stage\n"
        "@dataclasses.dataclass(frozen=True)\nclass Options:\n    pass\n"
        "def open_it(options, prepared):\n"
        "    open('tries', 'a').write('x')\n"
        "    if os.path.exists('once') and len(open('tries').read()) > 1:\n"
        "        return lambda records: ([] for record in records)\n"
        "    raise RuntimeError('no licence')\n"
        "job = Job('mine', version=1, options=Options, stages=(Stage('go', open_it),))\n",
    )
    data = desk.write_records(2)
    said = desk.aliquot("run", "mine:job", data, "--out", "o")
    assert said.code == 2
    assert "job 'mine" in said.err
    assert "no licence" in said.err
    assert (desk.folder / "tries").read_text() == "xx"
    (desk.folder / "tries").unlink()
    desk.write("once", "")
    assert desk.aliquot("run", "mine:job", data, "--out", "o").code == 0


def test_rows_that_do_not_parse_are_failures_not_the_end(desk):
    desk.write("data.jsonl", '{"id": "r1"}\nnonsense\n[1]\n{"id": "r2"}\n')
    said = desk.aliquot("run", "jobs:counted", "data.jsonl", "--out", "o", "--max-failed", "50%")
    assert said.code == 0, said.err
    assert [row["line"] for row in desk.read("failures", "o")] == [2, 3]


def test_gzip_damaged_in_the_middle_is_an_error_not_an_end(desk):
    """A file cut short must not pass for a shorter dataset."""
    text = "id,smiles\n" + "".join(f"r{i},{i * 7919 % 104729}\n" for i in range(30_000))
    whole = gzip.compress(text.encode())
    (desk.folder / "data.csv.gz").write_bytes(whole[: len(whole) // 2])
    said = desk.aliquot("run", "jobs:one", "data.csv.gz", "--out", "o", "--quiet")
    assert_refused(said, "data.csv.gz: after ", "the gzip stream is cut short")
    assert not (desk.folder / "o" / "summary.json").exists()
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 40] = bytes(40)
    (desk.folder / "data.csv.gz").write_bytes(broken)
    assert_refused(
        desk.aliquot("run", "jobs:one", "data.csv.gz", "--out", "p", "--quiet"), "data.csv.gz: after "
    )


def test_folder_that_cannot_be_made_is_refused(desk):
    """A file in the way stands for a folder without permission too: root may write everywhere."""
    data = desk.write_records(2)
    desk.write("file", "")
    assert_refused(desk.aliquot("run", "jobs:one", data, "--out", "file/out"), "file", "choose a folder")
    if os.geteuid():
        (desk.folder / "locked").mkdir(mode=0o500)
        assert_refused(
            desk.aliquot("run", "jobs:one", data, "--out", "locked/out"), "permission denied: choose a folder"
        )


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB; skips where it may not be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


FAT = """
import random
def f(record):
    draw = random.Random(record["id"])
    return {"text": draw.randbytes(3000).hex()}
"""


def test_full_disk_says_so_and_the_run_goes_on_with_room(desk, small_disk):
    desk.write("fat.py", FAT)
    data = desk.write_records(400)
    words = ("run", "fat:f", data, "--out", str(small_disk / "out"), "--quiet")
    assert_refused(desk.aliquot(*words), "the disk is full: free some space")
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    said = desk.aliquot(*words)
    assert said.code == 0, said.err
    assert desk.summary(str(small_disk / "out"))["rows"] == 400


def test_delivery_that_does_not_fit_says_so(desk):
    """The result is larger than what the system lets a file grow to, while all else fits."""
    desk.write("fat.py", FAT)
    data = desk.write_records(300)
    words = ("run", "fat:f", data, "--out", "out", "--quiet", "--workers", "2")
    limited = subprocess.run(
        ["prlimit", "--fsize=700000", *desk.command, *words],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 2, limited.stderr
    assert "Traceback" not in limited.stderr
    assert "file too large" in limited.stderr
    assert desk.aliquot(*words).code == 0
    assert len(desk.rows()) == 300
