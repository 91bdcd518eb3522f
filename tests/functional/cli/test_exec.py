"""Programs in other languages, by the record protocol and by lines, isolated as all jobs are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil
import pytest

from aliquot.errors import BadOption
from aliquot.job import Reference
from aliquot_exec.fields import NoField
from aliquot_exec.job import Options, job
from aliquot_exec.lines import Filter, find_form
from tests.functional.desk import wait_for

# Speaks the record protocol without anything of ours, and does to each record what its `id` asks for.
PROGRAM = """
import ctypes, os, struct, sys, time
import msgpack

def send(frame):
    body = msgpack.packb(frame)
    os.write(1, struct.pack(">I", len(body)) + body)

def read():
    head = sys.stdin.buffer.read(4)
    return msgpack.unpackb(sys.stdin.buffer.read(struct.unpack(">I", head)[0])) if head else None

def work(record):
    asked = record["id"].partition(" ")[0]
    if asked == "segv":
        ctypes.string_at(0)
    if asked == "exit":
        os._exit(3)
    if asked == "hang":
        mode == "note" and os.rename("pid.new", "pid")
        time.sleep(1000)
    if asked == "fill":
        held = []
        while True:
            held.append(b"x" * (32 << 20))
    if asked == "garble":
        os.write(1, b"Processing...")
    if asked == "refuse":
        return "not this one"
    if asked == "number":
        return 7
    if asked == "none":
        return None
    return [{"id": record["id"], "nth": nth} for nth in range(2 if asked == "two" else 1)]

print("to standard error", file=sys.stderr)
mode = sys.argv[1] if len(sys.argv) > 1 else ""
if mode == "other":
    send({"op": "hello"})
if mode == "refuse":
    read(); send({"op": "failed", "reason": "no licence"}); sys.exit()
if mode == "note":
    open("pid.new", "w").write(str(os.getpid()))
if mode == "chat":
    print("Welcome!", flush=True)
while (frame := read()) is not None:
    if frame["op"] == "open":
        send({"op": "opened"})
    elif mode == "stray":
        send({"op": "answers", "batch": frame["batch"] - 1, "answers": [None] * len(frame["records"])})
    else:
        send({"op": "answers", "batch": frame["batch"], "answers": [work(each) for each in frame["records"]]})
"""


@pytest.fixture
def talker(desk):
    """A desk with the program, and the command that runs it."""
    desk.write("program.py", PROGRAM)
    desk.talk = f"{sys.executable} ./program.py"
    return desk


def write_ids(desk, ids):
    desk.write("data.csv", "id,smiles\n" + "".join(f"{each},C\n" for each in ids))
    return "data.csv"


def run(desk, command, *words, data="data.csv", out="out"):
    return desk.aliquot("run", "exec", data, "--command", command, "--out", out, "--workers", "1", *words)


def test_a_fault_of_the_program_costs_its_record_alone(talker):
    """Killed, hung, full, off the protocol: one record's failure, of the kind that it is elsewhere."""
    faults = {
        "segv": ("crash", "was killed by SIGSEGV"),
        "exit": ("crash", "exited with status 3"),
        "hang": ("deadline", "took longer than 3 s"),
        "fill": ("memory", "the ceiling is 150 MiB"),
        "garble": ("exception", "the program wrote what is no frame"),
        "refuse": ("parse", "not this one"),
        "number": ("exception", "returned a value of type int"),
    }
    plain = [f"r{at}" for at in range(120)]
    ids = [*plain[:40], "segv", "refuse", *plain[40:60], "hang", "two", "none", *plain[60:80], "fill", "exit"]
    ids += [*plain[80:100], "garble", "number", *plain[100:]]
    write_ids(talker, ids)
    limits = ["--record-timeout", "3", "--memory", "150", "--max-failed", "20"]
    said = run(talker, talker.talk, *limits)
    assert said.code == 0, said.err
    assert [(row["id"], row["nth"]) for row in talker.rows()] == [
        (each, nth)
        for each in ids
        if each not in {*faults, "none"}
        for nth in range(2 if each == "two" else 1)
    ]
    failed = {ids[row["record"]]: (row["kind"], row["message"]) for row in talker.read("failures")}
    assert failed.keys() == faults.keys()
    for name, (kind, message) in faults.items():
        assert failed[name][0] == kind, failed
        assert message in failed[name][1]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program", "there is no program 'no-such-program' on PATH here"),
        ("./program.py", "may not be executed: `chmod +x`"),
        ("./no-file", "there is no file './no-file' here"),
        ("./empty", "cannot be started: Exec format error"),
        ("{talk} refuse", "the program refuses: no licence"),
        ("{talk} chat", "beginning with b'Welcome!"),
        ("{talk} other", "with a frame 'hello'; a program that reads lines takes --lines"),
        ("cat", "with a frame 'open'; a program that reads lines takes --lines"),
        ("jq -c .", "before it answered `open`; a program that reads lines takes --lines json"),
        ("sort", "with a frame 'open'; a program that reads lines takes --lines"),
        ("cat | rev", "holds '|', and no shell runs"),
        ("grep '|' \\| \"| >\" > found", "holds '>', and no shell runs"),
        ("./no-file '|' \\; \"a && b\" x|y", "there is no file './no-file' here"),
        ("false", "exited with status 1 before it answered `open`; a program that reads lines takes --lines"),
        ("'unclosed", "cannot be split into words: No closing quotation"),
        (" ", "is empty: give a program"),
        ("{program}/x", "names {program}, and there is none: give --program FILE"),
    ],
)
def test_a_command_that_cannot_work_says_why(talker, monkeypatch, command, said):
    monkeypatch.chdir(talker.folder)
    talker.write("empty", "").chmod(0o755)
    options = Options(command.replace("{talk}", talker.talk))
    with pytest.raises(BadOption) as raised:  # noqa: PT012 - it is refused where it can be told
        job.prepare(options, talker.folder)
        job.list_stages(options)[0].open(options, talker.folder)
    assert said in str(raised.value)


def test_the_command_ends_in_two_lines(talker):
    write_ids(talker, ["r0"])
    ended = run(talker, "false")
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert "aliquot: option --command: the program exited with status 1" in ended.err


def test_answers_of_another_batch_are_nobodys(talker):
    """They would stand at other records than their own."""
    write_ids(talker, ["r0", "r1"])
    assert run(talker, f"{talker.talk} stray", "--max-failed", "2").code == 0
    assert {row["kind"] for row in talker.read("failures")} == {"exception"}
    assert "answers batch 0, and 1 is due" in talker.read("failures")[0]["message"]


@pytest.mark.long
def test_another_program_in_the_same_place_is_no_resume(talker):
    write_ids(talker, ["r0", "hang"])
    words = ["--record-timeout", "1", "--max-failed", "1"]
    assert run(talker, talker.talk, *words).code == 0
    talker.write("program.py", PROGRAM + "\n")
    ended = talker.aliquot("resume", "out", "--retry", "failed")
    assert ended.code == 2
    assert "program.py: has changed since the run began: restore it" in ended.err


def test_a_program_does_not_outlive_a_run_that_was_killed(talker):
    """Its host ends by its timer, inside a record, and it with its host."""
    write_ids(talker, ["hang"])
    words = ["--record-timeout", "1", "--out", "out", "--workers", "1"]
    begun = talker.begin("run", "exec", "data.csv", "--command", f"{talker.talk} note", *words)
    pid = wait_for(lambda: (talker.folder / "pid").exists() and (talker.folder / "pid").read_text(), 30)
    program = psutil.Process(int(pid))
    begun.kill()
    begun.wait()
    assert wait_for(lambda: not program.is_running(), 20)


FILTER = """
import json, os, sys
for line in sys.stdin.buffer:
    record = json.loads(line)
    asked, out = record["id"].partition(" ")[0], {"id": record["id"]}
    if asked == "exit":
        sys.exit(3)
    if asked == "abort":
        os.abort()
    said = {"two": [out, out], "none": None, "refuse": "not this one", "number": 7}.get(asked, out)
    said = {"bytes": b'{"id": "\\xff"}', "text": b"hello"}.get(asked, json.dumps(said).encode())
    sys.stdout.buffer.write(b"" if asked == "silent" else said + b"\\n" * (2 if asked == "twice" else 1))
"""


def test_a_filter_of_json_lines_and_its_faults(desk):
    """A line for a line; where that does not hold, the record at fault fails alone."""
    faults = {
        "exit": "the program exited with status 3",
        "abort": "the program was killed by SIGABRT",
        "refuse": "not this one",
        "number": "returned a value of type int",
        "bytes": "wrote a line that is not UTF-8",
        "text": "wrote a line that is not JSON: 'hello'",
        "silent": "the program wrote 0 lines for 1",
        "twice": "the program wrote more than 1 lines for 1",
    }
    plain = [f"r{at}" for at in range(300)]
    ids = [*plain[:100], "refuse", "two", "bytes", *plain[100:200], "none", "number", "text", *plain[200:]]
    ids = [*ids[:50], "silent", *ids[50:250], "abort", "exit", "twice", *ids[250:]]
    desk.write("filter.py", FILTER)
    write_ids(desk, ids)
    said = run(desk, f"{sys.executable} ./filter.py", "--lines", "json", "--max-failed", "20")
    assert said.code == 0, said.err
    assert [row["id"] for row in desk.rows()] == [
        each for each in ids if each not in {*faults, "none"} for _ in range(2 if each == "two" else 1)
    ]
    failed = {ids[row["record"]]: row["message"] for row in desk.read("failures")}
    assert failed.keys() == faults.keys()
    assert {name for name, message in faults.items() if message not in failed[name]} == set()


def test_unix_tools_take_tsv_as_they_are(desk):
    """`awk` keeps its output until its input ends: what it wrote is whole all the same."""
    desk.write("data.tsv", "id\tsmiles\nr0\tCCO\nr1\t\nr2\tN\n")
    desk.write("tabs.jsonl", '{"id": "a", "smiles": "C\\tC"}\n{"id": "b", "smiles": "CC"}\n')
    said = run(desk, "tr C S", "--lines", "tsv", "--fields", "smiles", data="data.tsv", out="tr")
    assert said.code == 0, said.err
    assert [row["smiles"] for row in desk.rows("tr")] == ["SSO", "N"]  # an empty line is no row
    script = "awk -F '\\t' -v OFS='\\t' '{ print length($2), $1 }'"
    said = run(desk, script, "--lines", "tsv", "--columns", "n,id", data="data.tsv", out="awk")
    assert said.code == 0, said.err
    assert [(row["n"], row["id"]) for row in desk.rows("awk")] == [("3", "r0"), ("0", "r1"), ("1", "r2")]
    assert run(desk, "cat", "--lines", "tsv", "--max-failed", "1", data="tabs.jsonl", out="tabs").code == 0
    assert [row["id"] for row in desk.rows("tabs")] == ["b"]
    assert "has a tab or a line's end in a value" in desk.read("failures", "tabs")[0]["message"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options("cat", columns="a"), "--columns: names the columns of --lines tsv"),
        (Options("cat", lines="tsv", columns="a,,b"), "'a,,b' has a name that is empty or stands twice"),
        (Options("cat", fields="id,id"), "'id,id' has a name that is empty or stands twice"),
        (Options("cat", program=Reference(Path("x"), "")), "is in no word of the command: write {program}"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, options, said):
    with pytest.raises(BadOption, match=re.escape(said)):
        job.prepare(options, tmp_path)


def test_a_column_that_is_not_there_is_named_before_the_run(desk):
    """Of a pipe, which cannot be read twice, by each record."""
    write_ids(desk, ["r0"])
    said = desk.aliquot("run", "exec", "data.csv", "--command", "cat", "--fields", "id,mass", "--out", "out")
    assert said.code == 2
    assert "data.csv: has no column 'mass' for --fields in its first records; its columns are id," in said.err
    assert not (desk.folder / "out").exists()
    program = Filter(["cat"], find_form("json", ()), ["mass"])
    with pytest.raises(NoField, match="there is no column 'mass'; the record has id"):
        list(program([{"id": 1}]))


@pytest.mark.long
def test_a_sort_is_told_from_a_filter(desk):
    """As many lines, in another order: the plan's sample gives it away."""
    write_ids(desk, [f"r{at}" for at in range(50)])
    said = desk.aliquot("plan", "exec", "data.csv", "--command", "sort -r", "--lines", "tsv")
    assert said.code == 2
    assert "neighbours" in said.err
