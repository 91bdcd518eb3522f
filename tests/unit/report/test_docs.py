"""The example of docs/report.md draws what it says."""

from __future__ import annotations

import re

from aliquot import Glimpse
from orchestrator.report.pictures import clean


def test_the_example_of_a_job_that_draws(project_root):
    page = (project_root / "docs" / "report.md").read_text()
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)  # noqa: S102 - our own page
    rows = [{"record": number, "n": number + 1} for number in range(10)]
    drawn = names["draw"](Glimpse(None, rows, {}, {}, []))
    assert [picture.title for picture in drawn] == [str(number) for number in range(8)]
    assert all("<rect" in clean(picture.svg) for picture in drawn)
