"""What passes by itself is tried again, also through the command: a stage's own types reach its hosts."""

JOBS = """
from dataclasses import dataclass
from pathlib import Path

from aliquot import Job, Stage


class Passing(Exception):
    pass


RAISES = {"passing": Passing, "bug": ValueError, "lost": ConnectionError}


@dataclass(frozen=True)
class Options:
    pass


def open_flaky(options, prepared):
    def work(records):
        for record in records:
            tried = Path(record["id"])
            if not tried.exists():
                tried.touch()
                raise RAISES[record["raises"]]("once")
            yield {"id": record["id"]}

    return work


named = Job("named", version=1, options=Options, stages=(Stage("work", open_flaky, retry=(Passing,)),))
plain = Job("plain", version=1, options=Options, stages=(Stage("work", open_flaky),))
"""


def test_types_that_a_stage_names_are_tried_again_and_others_are_not(desk):
    desk.write("mine.py", JOBS)
    for name, failed in (("named", ["bug-named"]), ("plain", ["bug-plain", "passing-plain"])):
        kinds = ("passing", "bug", "lost")
        desk.write("data.csv", "id,raises\n" + "".join(f"{kind}-{name},{kind}\n" for kind in kinds))
        said = desk.aliquot("run", f"mine:{name}", "data.csv", "--out", name, "--max-failed", "3")
        assert said.code == 0, said.err
        assert sorted(row["id"] for row in desk.read("failures", name)) == failed
        assert len(desk.rows(name)) == 3 - len(failed)
