"""Aliquot from Python: what a user's script gets, from the plan to the tables."""

from __future__ import annotations

START = """
import aliquot
def f(record):
    if record["n"] == 3:
        raise ValueError("three")
    return {"double": record["n"] * 2}
"""


def test_records_of_any_iterable_run_guarded_or_not(desk):
    """A list, a generator, NamedTuples; values keep their types. The function stands in the script itself."""
    said = desk.python(
        START
        + """
from typing import NamedTuple
class R(NamedTuple):
    n: int
if __name__ == "__main__":
    for name, data in {
        "list": [{"n": n} for n in range(5)],
        "generator": ({"n": n} for n in range(5)),
        "tuples": [R(n) for n in range(5)],
    }.items():
        plan = aliquot.plan(f, data, max_failed=1)
        run = plan.start(out=name)
        run.wait(quiet=True)
        print([row["double"] for row in run.result.dataset().to_table().to_pylist()])
        failure, = run.failures.to_pylist()
        print(failure["record"], failure["source"], failure["line"], failure["message"], run.summary["done"])
    print(run.not_tried, run.result["failures"].num_rows)
    try:
        run.result["templates"]
    except KeyError as err:
        print(err)
"""
    )
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[:6] == ["[0, 2, 4, 8]", "3 records 4 ValueError: three 4"] * 3
    assert lines[6] == "None 1"
    assert "tables here are failures" in lines[7]


def test_script_without_a_guard_is_told_about_it_and_starts_nothing_twice(desk):
    said = desk.python(
        START
        + """
open("starts.txt", "a").write("x")
run = aliquot.plan(f, [{"n": 1}]).start(out="out")
try:
    run.wait(quiet=True)
except aliquot.AliquotError as err:
    print(type(err).__name__, err)
"""
    )
    assert said.code == 0, said.err
    assert said.out.startswith("UnknownJob ")
    assert 'put it under `if __name__ == "__main__":`' in said.out
    # once as a script, and once where its function is opened
    assert (desk.folder / "starts.txt").read_text() == "xx"
    assert not (desk.folder / "out" / "result").exists()


def test_functions_without_a_name_of_their_own_are_refused_at_once(desk):
    desk.write("helper.py", "def make():\n    def inner(record):\n        return None\n    return inner\n")
    said = desk.python(
        """
import functools, aliquot, helper
def f(record): ...
g, f = f, None
for wrong in (lambda record: None, helper.make(), functools.partial(print), g, 3, print):
    try:
        aliquot.plan(wrong, [{"n": 1}])
    except aliquot.AliquotError as err:
        print(type(err).__name__, err)
"""
    )
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("UnknownJob ") for line in lines)
    assert "at the top level of a file" in lines[0]
    assert "at the top level of a file" in lines[1]


def test_other_records_into_a_used_folder_are_refused(desk):
    """Records from Python have no file to tell them by: they are compared."""
    said = desk.python(
        START
        + """
def go(records):
    try:
        aliquot.plan(f, records).start(out="out").wait(quiet=True)
        print("done")
    except aliquot.AliquotError as err:
        print(err)
if __name__ == "__main__":
    go([{"n": 1}, {"n": 2}])
    go([{"n": 1}, {"n": 2}])
    go([{"n": 1}, {"n": 5}])
    print(aliquot.resume("out").wait(quiet=True).summary["rows"])
"""
    )
    assert said.code == 0, said.err
    first, second, third, rows = said.out.splitlines()
    assert (first, second, rows) == ("done", "done", "2")
    assert "gives other records than before from record 0 on" in third


def test_errors_leave_the_result_usable(desk):
    said = desk.python(
        START
        + """
if __name__ == "__main__":
    run = aliquot.plan(f, [{"n": 3}, {"n": 4}]).start(out="out")
    try:
        run.wait(quiet=True)
    except aliquot.AliquotError as err:
        print(type(err).__name__, err.failed, err.tried)
    print(run.result.to_table().to_pylist())
    def broken():
        yield {"n": 1}
        raise FileNotFoundError("of the user's own")
    run = aliquot.plan(f, broken()).start(out="other")
    try:
        run.wait(quiet=True)
    except FileNotFoundError as err:
        print(err)
    for wrong in (dict(workers=0), dict(format="xml"), dict(max_failed="x"), dict(mode="exact")):
        try:
            aliquot.plan(f, [{"n": 1}], **wrong)
        except aliquot.AliquotError as err:
            print(type(err).__name__)
    print(aliquot.Run("out").summary["failed"], aliquot.Run("nowhere").failures)
"""
    )
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "TooManyFailed 1 2",
        "[{'record': 1, 'double': 8}]",
        "of the user's own",
        *["BadOption"] * 4,
        "1 None",
    ]


def test_plan_and_job_by_name_from_python(desk, project_root):
    sample = project_root / "examples" / "crossref"
    lines = (sample / "reactions.rsmi").read_text().splitlines(keepends=True)
    desk.write("data.rsmi", "".join(lines[:20]))
    said = desk.python(
        f"""
import aliquot
if __name__ == "__main__":
    templates = {str(sample / "templates.csv")!r}
    plan = aliquot.plan("crossref", "data.rsmi", templates=templates, max_failed="50%")
    print(plan)
    print(plan.estimate.n_records)
    run = plan.start("out").wait(quiet=True)
    print(run.result["templates"].column_names, run.result["unexplained"].num_rows)
"""
    )
    assert said.code == 0, said.err
    assert said.out.startswith("dataset  20 records in 1 chunk, ")
    assert "\n20\n" in said.out
    assert "['template_id', 'smarts', 'reactions', 'first_record']" in said.out
