"""What was measured as JSON, and as Markdown out of the JSON alone.

A case that is measured again takes the place of what was there; the others stay. Owns the two files.
Imports the standard library and its neighbours. When it is wrong, a table says what was not measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engine.measuring import Measured
from benchmarks.engine.once import Sample
from benchmarks.engine.verdicts import FIGURES, Verdict

_INTRODUCTION = """\
# The engine beside its peers

Written by `make bench-engine`, which measures it again; `engine.json` holds every sample.

The same function over the same records (dicts in memory, but where it says otherwise), two worker processes
each, the rows left on disk as Parquet; each measurement in a process of its own, engines taking turns.

- *start-up*: from the birth of that process, imports included, to two records' rows on disk.
- *tiny run*: two records once more: what a run costs however small it is. Aliquot begins its processes anew
  for every run and keeps a ledger on disk; both are in its wall times.
- *part*: an engine that would have taken more than two minutes did so much of the case. Its wall time is that
  of the part, and so are its figures.
- *quiet*: how much of the records' wall time was processor time; below 99% the machine was busy elsewhere.

Medians, the lowest and the highest in brackets."""


def add_case(
    path: Path, name: str, title: str, conditions: Mapping[str, Any], found: Sequence[Measured]
) -> None:
    """Put a case into the JSON."""
    engines = [{**asdict(each), "samples": [asdict(sample) for sample in each.samples]} for each in found]
    _put(path, "cases", name, {"title": title, **conditions, "engines": engines})


def add_alone(path: Path, name: str, conditions: Mapping[str, Any], verdicts: Sequence[Verdict]) -> None:
    """Put what has no peer into the JSON."""
    _put(path, "alone", name, {**conditions, "verdicts": [asdict(each) for each in verdicts]})


def _put(path: Path, kind: str, name: str, value: Mapping[str, Any]) -> None:
    held = read_held(path)
    held[kind] = dict(sorted({**held[kind], name: value}.items()))
    path.write_text(json.dumps(held, indent=1) + "\n")


def read_held(path: Path) -> dict[str, Any]:
    """What the JSON holds; nothing where there is none yet."""
    held: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"cases": {}, "alone": {}}
    return held


def read_cases(held: Mapping[str, Any]) -> dict[str, list[Measured]]:
    """The measured engines of the JSON, by case."""
    return {
        name: [
            Measured(**{**each, "samples": tuple(Sample(**sample) for sample in each["samples"])})
            for each in case["engines"]
        ]
        for name, case in held["cases"].items()
    }


def describe(held: Mapping[str, Any], judge: Any) -> str:
    """The Markdown of the JSON."""
    cases = read_cases(held)
    verdicts = [(name, verdict) for name, found in cases.items() for verdict in judge(name, found)]
    for name, alone in held["alone"].items():
        verdicts.extend((name, Verdict(**each)) for each in alone["verdicts"])
    parts = [_INTRODUCTION, "## Aims\n\n" + describe_verdicts(verdicts)]
    parts.extend(describe_case(name, held["cases"][name], found) for name, found in cases.items())
    return "\n\n".join(parts) + "\n"


def describe_verdicts(verdicts: Sequence[tuple[str, Verdict]]) -> str:
    """The table of aims."""
    rows = [
        f"| {name} | {each.aim} | {each.measured} | {'yes' if each.is_met else '**no**'} |"
        for name, each in verdicts
    ]
    return "\n".join(["| case | aim | measured | met |", "|---|---|---|---|", *rows])


def describe_case(name: str, case: Mapping[str, Any], found: Sequence[Measured]) -> str:
    """A case's table, the best first."""
    figure = FIGURES[name[0]]
    is_timed = any(sample.busy_s for each in found for sample in each.samples)
    heads = [
        "engine",
        "part",
        "start-up s",
        "tiny run s",
        "wall s",
        figure.title,
        *(["quiet"] * is_timed),
        "",
    ]
    ordered = sorted(
        found,
        key=lambda each: figure.median(each) * (-1 if figure.is_more_better else 1) if each.samples else 1e9,
    )
    rows = [_describe_engine(name, each, is_timed=is_timed) for each in ordered]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]
    conditions = f"{case['machine']}; {case['measured']}; load at the start {case['load']}."
    return f"## {name}: {case['title']}\n\n{conditions}\n\n" + "\n".join(lines)


def _describe_engine(name: str, each: Measured, *, is_timed: bool) -> str:
    label = f"{each.engine} {each.samples[0].version}" if each.samples else each.engine
    if not each.samples:
        return f"| {label} | " + "| " * (4 + is_timed) + f"| {each.trouble} |"
    figure, samples = FIGURES[name[0]], each.samples
    part = "all" if each.divisor == 1 else f"1/{each.divisor:,}"
    cells = [
        label,
        part,
        f"{median(s.start_s for s in samples):.2f}",
        f"{median(s.tiny_s for s in samples):.2f}",
        describe_spread([s.wall_s for s in samples], 2),
        describe_spread([figure.of(s) for s in samples], figure.digits),
        *([_describe_quiet(samples)] if is_timed else []),
        _describe_remark(name, each),
    ]
    return f"| {' | '.join(cells)} |"


def _describe_quiet(samples: Sequence[Sample]) -> str:
    return f"{100 * median(sample.cpu_s / sample.busy_s for sample in samples):.0f}%"


def _describe_remark(name: str, each: Measured) -> str:
    rows = f"{min(sample.n_rows for sample in each.samples):,} rows" if name[0] == "f" else ""
    return ", ".join(filter(None, [rows, each.trouble]))


def describe_spread(values: Sequence[float], digits: int) -> str:
    """The median, and the lowest and highest where there are several."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"
