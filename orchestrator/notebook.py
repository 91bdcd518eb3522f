"""What Jupyter shows of a plan, a run and a result, and its progress in place.

    RunPlan, Run, Result --_repr_html_--> here;  Run.wait --show_in_place--> a bar that moves

Owns this HTML. Imports the report's markup and pictures, and IPython, which is at work where it is called.
When it is wrong, a notebook shows less than `print` does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aliquot.errors import AliquotError
from orchestrator.explain import explain_run
from orchestrator.progress import (
    RUNNING,
    Progress,
    Watched,
    count_answered,
    describe_count,
    describe_progress,
)
from orchestrator.report.asking import find_ledger
from orchestrator.report.drawn import show_pictures
from orchestrator.report.markup import text
from orchestrator.report.writing import draw
from orchestrator.show import describe_run

if TYPE_CHECKING:
    import pyarrow.dataset

_LABELLED = re.compile(r"(\S+) {2,}(.+)")  # a line of what `print` shows
_HEAD = 10  # rows of a result
_LOOK_S = 0.5
_STYLE = (
    "<style>.aliquot{max-width:60rem}.aliquot th,.aliquot td{text-align:left!important;vertical-align:top;"
    "white-space:pre-wrap}.aliquot .pictures{list-style:none;padding:0;display:grid;gap:.75rem;"
    "grid-template-columns:repeat(auto-fill,minmax(20rem,1fr))}"
    ".aliquot figure{margin:0}.aliquot svg{max-width:100%;height:auto}"
    ".aliquot .canvas{overflow-x:auto;background:#fff}.aliquot progress{width:24rem}</style>"
)


def show_in_place(session: Watched, is_over: threading.Event) -> None:
    """Wait until the session is over; one bar moves in the cell's output."""
    from IPython.display import HTML, display

    handle = display(HTML(show_progress(session.progress)), display_id=True)
    while not is_over.wait(_LOOK_S):
        handle.update(HTML(show_progress(session.progress)))
    handle.update(HTML(show_progress(replace(session.progress, phase=RUNNING))))  # how far it came


def show_progress(progress: Progress) -> str:
    """A bar with the line that is said elsewhere."""
    answered, n_total = count_answered(progress)
    known = f' value="{answered}" max="{n_total}"' if n_total and progress.phase == RUNNING else ""
    said = text(describe_progress(progress))
    return _wrap([f'<progress{known} aria-label="progress"></progress> {said}'])


def show_plan(said: str) -> str:
    """A plan's lines as a table."""
    return _wrap([_tabulate(said)])


def show_run(folder: Path) -> str:
    """What `aliquot show` says of a run, and what its job draws of it."""
    try:
        told = explain_run(folder)
    except AliquotError as err:
        return _wrap([f"<p>{text(err)}</p>"])
    drawn = show_pictures(draw(told, find_ledger(told, None))) if told.summary is not None else ()
    return _wrap([_tabulate(describe_run(told)), *drawn])


def show_rows(read: Callable[[], pyarrow.dataset.Dataset]) -> str:
    """How many rows a result has, and the first; or why it has none yet."""
    try:
        dataset = read()
    except AliquotError as err:
        return _wrap([f"<p>{text(err)}</p>"])
    head = dataset.head(_HEAD)
    columns = "".join(f"<th>{text(name)}</th>" for name in head.column_names)
    rows = "".join(
        f"<tr>{''.join(f'<td>{text(value)}</td>' for value in row.values())}</tr>" for row in head.to_pylist()
    )
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"
    return _wrap([f"<p>{describe_count(dataset.count_rows(), 'row')}; the first {head.num_rows}:</p>{table}"])


def _wrap(parts: Iterable[str]) -> str:
    """Parts of a cell's output, in which two dollar signs are no formula."""
    return f'{_STYLE}<div class="aliquot tex2jax_ignore mathjax_ignore">{"".join(parts)}</div>'


def _tabulate(said: str) -> str:
    rows = "".join(f"<tr><th>{text(label)}</th><td>{text(what)}</td></tr>" for label, what in _split(said))
    return f"<table><tbody>{rows}</tbody></table>"


def _split(said: str) -> Iterator[tuple[str, str]]:
    """Label and text of each line; what has no label goes on with the one before."""
    for line in said.splitlines():
        labelled = _LABELLED.fullmatch(line)
        yield (labelled[1], labelled[2]) if labelled else ("", line.strip())
