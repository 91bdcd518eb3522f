"""What docs/events.md shows is what is read and told."""

import json
import re
from dataclasses import fields
from pathlib import Path

from aliquot.announcement import COUNTS, FORMAT
from aliquot.request_file import RunRequest

DOCS = Path(__file__).parents[3] / "docs"


def list_blocks(name):
    return [
        json.loads(each) for each in re.findall(r"```json\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    ]


def test_shown_request_is_one():
    request, *_ = list_blocks("events.md")
    found = RunRequest.from_bytes(json.dumps(request).encode())
    assert (found.job, found.budget_usd) == ("crossref", 5.0)


def test_every_field_of_a_request_is_described():
    page = (DOCS / "events.md").read_text()
    told = set(re.findall(r"^\| `(\w+)` \|", page.partition("## The answer")[0], re.MULTILINE))
    assert told == {"format", *(each.name for each in fields(RunRequest))}


def test_shown_events_are_of_this_version():
    """Their fields are held against real ones in tests/functional/events."""
    _, published, broken = list_blocks("events.md")
    assert published["format"] == broken["format"] == FORMAT
    assert tuple(published["counts"]) == COUNTS
