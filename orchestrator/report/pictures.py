"""Pictures of a run: what its job may see, the process that draws, and SVG made fit for the page.

    result, tables, failures, chunks --see--> a few rows and records --draw--> SVG --clean--> page

Whatever goes wrong leaves a report without pictures that says why. Owns how much a job sees and how long it
may take, and which elements of SVG are let through. Imports the core's `drawing` by name, pyarrow where
rows are read. When it is wrong, a run's end waits for a drawing, or a drawing holds a script.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aliquot.chunk import ChunkReader
from aliquot.errors import CodecError, StoreError
from aliquot.job import RECORD, Job, read_fields
from aliquot.keys import ChunkId
from aliquot.launch import IN_HOST
from aliquot.ledger import Ledger
from aliquot.loading import JobSpec
from orchestrator.report.drawn import Drawn
from orchestrator.results import find_kind, find_table, pick_few
from orchestrator.times import find_firsts

_TIMEOUT_S = 10.0
_MOST_ROWS, _ROWS_OF_EACH, _MOST_READ = 36, 6, 2000
_MOST_CHUNKS = 24
_MOST_FAILURES = 12
_SVG = "http://www.w3.org/2000/svg"
_ELEMENTS = frozenset(
    [
        "svg",
        "g",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "title",
        "desc",
        "defs",
        "linearGradient",
        "stop",
    ]
)
# fmt: off
_ATTRIBUTES = frozenset((
    "clip-rule", "cx", "cy", "d", "dominant-baseline", "dx", "dy", "fill", "fill-opacity",
    "fill-rule", "font-family", "font-size", "font-style", "font-weight", "height", "id", "offset",
    "opacity", "points", "r", "rx", "ry", "stroke", "stroke-dasharray", "stroke-linecap",
    "stroke-linejoin", "stroke-opacity", "stroke-width", "style", "text-anchor", "transform", "viewBox",
    "width", "x", "x1", "x2", "y", "y1", "y2", "preserveAspectRatio", "stop-color", "gradientUnits",
    "version",
))
# fmt: on
_COLOUR = re.compile(r"#([0-9A-Fa-f]{6})\b")
_PLAIN = re.compile(  # what is so anyway, and a third of what RDKit writes
    r"(?:fill-rule:evenodd|stroke-linecap:butt|stroke-linejoin:miter|stroke-opacity:1)(?:;|$)"
)
_DANGEROUS = re.compile(r"url\s*\(|expression|@import|javascript:|\\", re.IGNORECASE)


def draw_pictures(folder: Path, job: Job, spec: JobSpec, ledger: Ledger | None) -> Drawn:
    """What a job that draws does draw of what lies in a run's folder.

    Args:
        ledger: where its chunks are; None where they are not at hand.
    """
    try:
        seen = _see(folder, job, ledger)
        answer = _ask(spec, seen)
    except subprocess.TimeoutExpired:
        return Drawn(why=f"The job had not drawn its pictures after {_TIMEOUT_S:.0f} s.")
    except (OSError, ValueError, StoreError, CodecError) as err:
        return Drawn(why=f"There are no pictures: {err}")
    if "error" in answer:
        return Drawn(why=f"The job could not draw its pictures: {answer['error']}")
    cleaned = ((heading, title, caption, clean(svg)) for heading, title, caption, svg in answer["pictures"])
    return Drawn([each for each in cleaned if each[3]])


def clean(svg: str) -> str:
    """A drawing's own elements, its colours as variables that a dark page sets; empty where it is none."""
    if "<!" in svg and re.search(r"<!(?!--)", svg):  # a document type may define anything
        return ""
    try:
        root = ET.fromstring(svg)  # noqa: S314 - no document type, so no entities
    except ET.ParseError:
        return ""
    if root.tag != f"{{{_SVG}}}svg" or not _clean_element(root):
        return ""
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _clean_element(element: ET.Element) -> bool:
    """Leave of an element what draws; gives whether it may stay."""
    name = str(element.tag).removeprefix(f"{{{_SVG}}}")
    if name not in _ELEMENTS:
        return False
    for attribute, value in list(element.attrib.items()):
        if attribute not in _ATTRIBUTES or _DANGEROUS.search(value):
            del element.attrib[attribute]
    paints = {each: element.attrib.pop(each) for each in ("fill", "stroke") if each in element.attrib}
    style = ";".join(
        [*(f"{each}:{value}" for each, value in paints.items()), element.attrib.pop("style", "")]
    )
    style = _PLAIN.sub("", style)
    if style.strip(";"):
        element.set("style", _COLOUR.sub(lambda found: f"var(--m{found[1].lower()},#{found[1]})", style))
    for child in list(element):
        if not _clean_element(child):
            element.remove(child)
    return True


def _ask(spec: JobSpec, seen: Mapping[str, Any]) -> dict[str, Any]:
    asked = json.dumps({"spec": spec.to_plain(), "seen": seen}, default=str)
    done = subprocess.run(
        [sys.executable, "-m", "aliquot.drawing"],
        input=asked.encode(errors="replace"),
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={**os.environ, IN_HOST: "1"},
        process_group=0,  # Ctrl-C is for the run
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"error": f"its process ended with {done.returncode}"}
    return answer


def _see(folder: Path, job: Job, ledger: Ledger | None) -> dict[str, Any]:
    by = next(iter(_list_columns(job)), RECORD)
    rows = pick_few(_read_rows(folder), lambda row: row.get(by) or row.get(RECORD), _ROWS_OF_EACH, _MOST_ROWS)
    failures = pick_few(_read_table(folder, "failures"), find_kind, _MOST_FAILURES, 2 * _MOST_FAILURES)
    numbers = [row[RECORD] for row in (*failures, *rows) if isinstance(row.get(RECORD), int)]
    delivered = {"failures", "not_tried", job.without_rows}
    names = {path.stem for path in folder.glob("*.parquet")} | {path.stem for path in folder.glob("*.csv")}
    return {
        "rows": rows,
        "records": dict(_read_records(ledger, job, numbers)) if ledger is not None else {},
        "tables": {name: _read_table(folder, name) for name in sorted(names - delivered)},
        "failures": failures,
    }


def _list_columns(job: Job) -> list[str]:
    return [spec.name for spec in read_fields(job.writes)] if job.writes is not None else []


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "result").glob("part-*"))
    return _read_head(files[0]) if files else []


def _read_table(folder: Path, name: str) -> list[dict[str, Any]]:
    path = find_table(folder, name)
    return [] if path is None else _read_head(path)


def _read_head(path: Path) -> list[dict[str, Any]]:
    """The first rows of a delivered file; raises ValueError where it is none."""
    import pyarrow.csv
    import pyarrow.parquet

    if path.suffix == ".parquet":
        with pyarrow.parquet.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=_MOST_READ), None)
    else:
        with pyarrow.csv.open_csv(path) as reader:
            batch = next(iter(reader), None)
    return [] if batch is None else batch.slice(0, _MOST_READ).to_pylist()


def _read_records(ledger: Ledger, job: Job, numbers: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Records by number, as far as their chunks are few."""
    firsts = find_firsts(ledger.list_chunks())
    readers: dict[ChunkId, tuple[ChunkReader, frozenset[int]] | None] = {}
    for number in dict.fromkeys(numbers):
        chunk = next(
            (each for each, first in firsts.items() if first <= number < first + each.n_records), None
        )
        if chunk is None or (chunk not in readers and len(readers) >= _MOST_CHUNKS):
            continue
        if chunk not in readers:
            readers[chunk] = _open_chunk(ledger, chunk)
        found = readers[chunk]
        place = number - firsts[chunk]
        if found is None or place in found[1]:
            continue
        reader = found[0]
        names = [spec.name for spec in read_fields(job.reads)] if job.reads else reader.column_names
        columns = set(reader.column_names)
        yield number, {name: reader.column(name)[place] if name in columns else None for name in names}


def _open_chunk(ledger: Ledger, chunk: ChunkId) -> tuple[ChunkReader, frozenset[int]] | None:
    try:
        reader = ledger.read_chunk(chunk)
        return reader, frozenset(reader.bad())
    except (StoreError, CodecError):
        return None
