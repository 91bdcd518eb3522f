"""What the report says, section by section, as HTML.

    Explained, Findings, failures, pictures --list_sections--> (name, title, HTML)

Owns which section has what, and its words. Imports `charts`, `markup`, `promises` and the words of
`progress`. When it is wrong, the page lacks what its reader came for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aliquot.references import walk_references
from orchestrator.explain import Explained
from orchestrator.progress import (
    describe_count,
    describe_exchange,
    describe_ms,
    describe_seconds,
    describe_usd,
    list_some,
)
from orchestrator.report.charts import (
    list_bins,
    make_bars,
    make_memory,
    make_spread,
    make_stack,
    make_throughput,
    make_timeline,
)
from orchestrator.report.commands import spell_command
from orchestrator.report.drawn import Drawn, show_pictures
from orchestrator.report.gather import Findings
from orchestrator.report.markup import (
    Cell,
    Table,
    show_chart,
    show_command,
    show_facts,
    show_note,
    show_section,
    show_table,
    text,
)
from orchestrator.report.promises import judge_promises

_MARKS = {"kept": "kept", "broken": "not kept", "open": "still open", "none": "not asked"}
_PARTS = ("compute", "requests", "s3", "sqs", "step_functions")
_NAMES = {
    "step_functions": "Step Functions",
    "s3": "S3",
    "sqs": "SQS",
    "compute": "Lambda",
    "requests": "Requests",
}


@dataclass(frozen=True)
class Reported:
    """All that a report is made of.

    Args:
        failures: rows of the table, some of each kind.
        drawn: pictures of the job's, or why there are none.
    """

    told: Explained
    found: Findings
    failures: Sequence[Mapping[str, Any]] = ()
    drawn: Drawn = field(default_factory=Drawn)


def list_sections(reported: Reported) -> Iterator[tuple[str, str, str]]:
    """The sections that this run has something for: name, title, HTML."""
    made = {
        "contract": ("Contract", _show_contract),
        "pictures": ("Pictures", _show_drawn),
        "time": ("Time", _show_time),
        "records": ("Record times", _show_records),
        "failures": ("Failures", _show_failures),
        "repairs": ("Repairs and waste", _show_repairs),
        "cost": ("Cost", _show_cost),
        "reproduce": ("Reproduce", _show_reproduction),
    }
    for name, (title, show) in made.items():
        parts = list(show(reported))
        if parts:
            yield name, title, show_section(name, title, parts)


def _show_contract(reported: Reported) -> Iterator[str]:
    told = reported.told
    promises = "".join(
        f'<li class="{each.state}"><strong>{text(each.title)}</strong> '
        f'<span class="mark">{_MARKS[each.state]}</span><span class="said">{text(each.said)}</span></li>'
        for each in judge_promises(told)
    )
    yield f'<ul class="promises">{promises}</ul>'
    if told.state.next:
        yield show_command("To type next", told.state.next)
    yield show_facts(_list_request(told))
    yield show_facts(_list_figures(told.summary or {}), "figures")


def _list_request(told: Explained) -> Iterator[tuple[str, str]]:
    manifest, summary = told.manifest, told.summary
    yield "Job", f"{manifest['job']}, version {manifest['identity']['version']}"
    yield "Begun", manifest["created"]
    yield "Where", "this machine" if told.place == "local" else told.place
    if told.remote:
        yield "Run", told.remote
    yield "Dataset", list_some(manifest["source_names"])
    if summary is None:
        return
    yield "Rows", f"{summary['rows']:,}"
    yield "Time", f"{describe_seconds(summary['elapsed_s'])}, {summary['cpu_s']:,.1f} s of processors"
    for each in summary.get("exchanges") or ():
        yield f"Exchanged before {each['stage']}", describe_exchange(each)
    for remark in summary.get("remarks") or ():
        yield "Remark", remark


def _list_figures(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The job's own figures."""
    known = {"records", "rows", "done", "failed", "not_tried", "elapsed_s", "cpu_s", "failures"}
    for name, value in summary.items():
        if name not in known and isinstance(value, int | float) and not isinstance(value, bool):
            yield name.replace("_", " "), f"{value:,}"


def _show_drawn(reported: Reported) -> Iterator[str]:
    yield from show_pictures(reported.drawn)


def _show_time(reported: Reported) -> Iterator[str]:
    found, told = reported.found, reported.told
    if not found.stages:
        yield show_note("Nothing was answered yet, or the run's objects are not here (any more).")
        return
    yield show_chart("timeline", "Workers over time", *make_timeline(found.makings, found.share))
    yield show_chart("throughput", "Throughput", *make_throughput(found.makings, found.share))
    ceiling = told.manifest["settings"].get("memory_mib")
    yield show_chart("memory", "Memory", *make_memory(found.makings, ceiling))
    rows = [
        [
            Cell(each.stage),
            Cell(f"{each.n_outcomes:,}", each.n_outcomes),
            Cell(f"{each.n_records:,}", each.n_records),
            Cell(describe_seconds(each.host_s), each.host_s),
            Cell(describe_ms(each.record_ms), each.record_ms),
        ]
        for each in found.stages
    ]
    columns = ("Stage", "Outcomes", "Answers", "Workers' time", "A record")
    yield show_table(Table("stages", "Stages", columns, rows, frozenset(range(1, 5))))
    if len(told.sessions_s) > 1:
        yield show_note(
            f"In {len(told.sessions_s)} sessions of {', '.join(map(describe_seconds, told.sessions_s))}."
        )


def _show_records(reported: Reported) -> Iterator[str]:
    found = reported.found
    if not found.stages:
        return
    bins = [
        [Cell(stage), Cell(f"{describe_ms(start)} to {describe_ms(end)}", start), Cell(f"{count:,}", count)]
        for stage, (spread, n_records) in found.spreads.items()
        for start, end, count in list_bins(spread, n_records)
        if count
    ]
    table = show_table(
        Table("bins", "Records by time", ("Stage", "A record took", "Records"), bins, frozenset((1, 2)))
    )
    yield show_chart("spread", "Spread of record times", *make_spread(found.spreads), table if bins else "")
    rows = [
        [
            Cell(
                "in a group" if each.record is None else f"{each.record:,}",
                -1 if each.record is None else each.record,
            ),
            Cell(each.stage),
            Cell(describe_ms(each.took_s * 1000), each.took_s),
            Cell(_shorten_place(each.source, each.line)),
        ]
        for each in found.slow
    ]
    if rows:
        yield "<h3>Slow records</h3>"
        columns = ("Record", "Stage", "Took", "In the input")
        yield show_table(Table("slow", "The slowest records", columns, rows, frozenset((0, 2))))
    n_late = (reported.told.summary or {}).get("failures", {}).get("deadline", 0)
    if n_late:
        late_s = reported.told.manifest["settings"].get("record_timeout_s", 60.0)
        yield show_note(
            f"{describe_count(n_late, 'record')} had not ended after {describe_seconds(late_s)}, and failed."
        )


def _shorten_place(source: str, line: int | None) -> str:
    """A place in the input by its file's name; where the dataset lies is told above."""
    name = source.rpartition("/")[2]
    return name if line is None else f"{name}:{line}"


def _show_failures(reported: Reported) -> Iterator[str]:
    summary = reported.told.summary
    if summary is None or not summary["failed"]:
        if summary is not None:
            yield show_note("No record failed.")
        return
    kinds = list(summary["failures"].items())
    said = f"{describe_count(summary['failed'], 'record')} failed: "
    said += ", ".join(f"{count:,} {kind}" for kind, count in kinds)
    yield show_chart("kinds", "By kind", make_bars(kinds, "records", "$bad"), f"{said}.")
    has_ids = any(row.get("id") for row in reported.failures)
    rows = [
        [
            Cell(f"{row.get('record')}", row.get("record")),
            *([Cell(str(row.get("id") or ""))] if has_ids else []),
            Cell(_shorten_place(str(row.get("source") or ""), row.get("line"))),
            Cell(str(row.get("kind"))),
            Cell(str(row.get("message"))),
            Cell(str(row.get("input") or ""), is_code=True),
        ]
        for row in reported.failures
    ]
    shown = Counter(row.get("kind") for row in reported.failures)
    more = max(0, summary["failed"] - sum(shown.values()))
    columns = ("Record", *(["Id"] if has_ids else []), "In the input", "Kind", "Why", "Its text")
    where = "are in the table failures beside this page"
    yield "<h3>Examples</h3>"
    yield show_table(Table("examples", "Failed records", columns, rows, frozenset((0,)), more, where))


def _show_repairs(reported: Reported) -> Iterator[str]:
    found = reported.found
    if not found.n_outcomes:
        return
    fixed, invoice = found.repairs, reported.told.invoice
    wasted = invoice.get("wasted") or {}
    rows = [
        (
            "Records answered more than once",
            fixed.n_doubled,
            fixed.doubled_s,
            "one answer counts, by the roster",
        ),
        (
            "Outcomes that turned out damaged",
            fixed.n_voided,
            fixed.voided_s,
            "given up, and their records done again",
        ),
        (
            "Deliveries that came again",
            sum(fixed.redelivered.values()),
            None,
            "whoever had the task left nothing",
        ),
        (
            "Outcomes of tasks delivered before",
            fixed.n_received_again,
            None,
            "what was open of them was done",
        ),
        ("Outcomes on a larger rung", fixed.n_climbed, None, "their records ran out of memory below it"),
        ("Records that ended their environment", fixed.n_buried, None, "filed as failed after the last try"),
    ]
    shown = [
        [
            Cell(what),
            Cell(f"{count:,}", count),
            Cell("" if took_s is None or not count else describe_seconds(took_s), took_s or 0.0),
            Cell(then),
        ]
        for what, count, took_s, then in rows
    ]
    columns = ("What", "Times", "Workers' time", "What was done")
    yield show_table(Table("ledger", "Duplicates, repairs and waste", columns, shown, frozenset((1, 2))))
    if any(wasted.values()):
        said = ", ".join(f"{describe_usd(usd)} on {name}" for name, usd in wasted.items() if usd)
        yield show_note(f"Of the cost was wasted: {said}.")
    ends = [
        [
            Cell(str(stop.epoch), stop.epoch),
            Cell(stop.reason),
            Cell(_tell_seconds(stop.facts.get("elapsed_s"))),
        ]
        for stop in found.stops
    ]
    if len(ends) > 1:
        yield "<h3>Sessions and epochs</h3>"
        yield show_table(
            Table("epochs", "How epochs ended", ("Epoch", "Ended", "After"), ends, frozenset((0,)))
        )


def _tell_seconds(seconds: Any) -> str:
    return describe_seconds(float(seconds)) if isinstance(seconds, int | float) else ""


def _show_cost(reported: Reported) -> Iterator[str]:
    invoice, summary = reported.told.invoice, reported.told.summary
    if summary is None:
        return
    if not invoice["total"]:
        yield show_note("Nothing was paid: the run was done on this machine.")
        return
    spends: dict[str, Mapping[str, Any]] = {}
    for name in ("preparing", "settling"):
        if isinstance(invoice.get(name), Mapping) and invoice[name].get("total"):
            spends[name] = invoice[name]
    spends = {**dict(list((invoice.get("stages") or {}).items())), **spends}
    total, planned = describe_usd(invoice["total"]), invoice.get("estimated")
    said = f"{total} in all" + (f", planned {describe_usd(planned)}" if planned else "")
    parts = {_NAMES[part]: [float(spend.get(part, 0.0)) for spend in spends.values()] for part in _PARTS}
    figure = make_stack(
        {name: values for name, values in parts.items() if any(values)}, list(spends), "dollars"
    )
    rows = [
        [
            Cell(name),
            *(Cell(describe_usd(spend.get(part, 0.0)), spend.get(part, 0.0)) for part in _PARTS),
            Cell(describe_usd(spend["total"]), spend["total"]),
        ]
        for name, spend in spends.items()
    ]
    columns = ("Part", *(_NAMES[part] for part in _PARTS), "Total")
    table = show_table(Table("spends", "Dollars by part", columns, rows, frozenset(range(1, 7))))
    yield show_chart(
        "spent", "Cost by stage", figure, f"{said}, by prices as of {invoice.get('prices_as_of', '?')}."
    )
    yield table


def _show_reproduction(reported: Reported) -> Iterator[str]:
    told, manifest = reported.told, reported.told.manifest
    yield show_command("The command", spell_command(told))
    identity = manifest["identity"]
    rows = [[Cell("aliquot"), Cell(manifest["aliquot"], is_code=True)]]
    rows += [[Cell(name), Cell(version, is_code=True)] for name, version in manifest["versions"].items()]
    rows += [[Cell("machine"), Cell(manifest["architecture"], is_code=True)]]
    rows += [[Cell("code of the job (SHA-256)"), Cell(manifest["code"] or "not opened yet", is_code=True)]]
    if manifest.get("package"):
        rows.append([Cell("package that travelled (SHA-256)"), Cell(manifest["package"], is_code=True)])
    rows += [
        [Cell(f"{name}: {reference['path']}"), Cell(reference["sha256"], is_code=True)]
        for name, reference in walk_references(manifest["options"])
    ]
    for source in identity.get("sources", ())[:50]:
        size = source.get("size_bytes")
        said = f"{size:,} bytes" if isinstance(size, int) else "a pipe"
        digest = source.get("etag") or f"ends {source.get('ends_sha256') or 'unknown'}"
        rows.append([Cell(str(source.get("path"))), Cell(f"{said} {digest}".strip(), is_code=True)])
    yield show_table(Table("versions", "Versions and digests", ("What", "Version or digest"), rows))
