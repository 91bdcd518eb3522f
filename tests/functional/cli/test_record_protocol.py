"""docs/record-protocol.md is true: its frames are what a program gets, and what it may answer."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from aliquot.errors import ParseFailure
from aliquot.frames import pack_frame
from aliquot_exec.records import PROTOCOL, RecordProgram

DOCUMENT = (Path(__file__).parents[3] / "docs/record-protocol.md").read_text()
FRAMES = [
    (json.loads(shown), bytes.fromhex(written))
    for shown, written in re.findall(r"```json\n(.+?)\n```\n\n```hex\n(.+?)\n```", DOCUMENT, re.DOTALL)
]

# It knows no msgpack: it compares what it is given with the page, and answers with the page.
REPLAY = """
import json, sys
for way, text in json.loads(sys.argv[1]):
    data = bytes.fromhex(text)
    if way == "in":
        assert sys.stdin.buffer.read(len(data)) == data
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
sys.stdin.read()
"""


def find_frames(op: str) -> list[tuple[dict[str, Any], bytes]]:
    return [(shown, written) for shown, written in FRAMES if shown["op"] == op]


@pytest.mark.parametrize(("shown", "written"), FRAMES, ids=[frame["op"] for frame, _ in FRAMES])
def test_frames_are_written_as_shown(shown: dict[str, Any], written: bytes) -> None:
    assert pack_frame(shown) == written


def test_the_page_says_what_is_spoken(tmp_path: Path) -> None:
    """A program that has nothing but the page, byte by byte, is understood."""
    (opening,), (opened,), (asked,) = map(find_frames, ("open", "opened", "records"))
    assert opening[0]["protocol"] == PROTOCOL
    said = [("in", opening[1]), ("out", opened[1]), ("in", asked[1])]
    said += [("out", written) for _, written in find_frames("answers")]
    (tmp_path / "replay.py").write_text(REPLAY)
    plan = json.dumps([(way, written.hex()) for way, written in said])
    program = RecordProgram([sys.executable, str(tmp_path / "replay.py"), plan], ())
    program._batch = len(asked[0]["records"])
    answers = list(program(asked[0]["records"]))
    assert answers[:2] == find_frames("answers")[0][0]["answers"]
    with pytest.raises(ParseFailure, match="no element Xx"):
        list(answers[2])
    assert answers[3] is None
    assert program._program is not None
    program._program.end()
