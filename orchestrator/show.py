"""What `aliquot show`, `aliquot jobs` and the end of a run say.

Owns these texts. Imports `explain` and `results`; nothing is computed here that is not read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from aliquot.job import FieldSpec, Job, Reference, read_fields
from aliquot.manifest import bare_type, is_table_of_references, list_choices
from aliquot.references import map_references
from orchestrator.catalog import find_job, find_told, list_jobs
from orchestrator.explain import Explained
from orchestrator.limits import spell_chosen
from orchestrator.options import list_told, name_flag
from orchestrator.progress import (
    describe_count,
    describe_exchange,
    describe_ms,
    describe_seconds,
    describe_usd,
    list_some,
)
from orchestrator.results import find_table, read_invoice, read_object
from orchestrator.times import StageTimes

_WIDTH = 100
_FUNCTION = (
    "any plain function of one record (a dict of its columns) that returns None, one row (a dict) or several"
)


def describe_jobs() -> str:
    """The installed jobs with their options and help."""
    blocks = [_describe_job(name, find_job(name).job) for name in list_jobs()]
    return "\n\n".join([*blocks, "\n".join(["MODULE:FUNCTION", *_wrap(_FUNCTION, 2)])])


def document_jobs() -> dict[str, Any]:
    """The same for scripts (docs/json.md)."""
    found = [(name, find_job(name).job) for name in list_jobs()]
    return {"format": "aliquot/jobs/1", "jobs": [{"name": name, **_tell_job(job)} for name, job in found]}


def describe_run(told: Explained) -> str:
    """What a run is, how far it came, where time went, what failed, and the command to type next."""
    lines = [*_describe_request(told), f"state     {told.state.said}", *_describe_result(told)]
    lines += [*_describe_times(told), *_describe_failures(told)]
    return "\n".join([*lines, f"next      {told.state.next}"] if told.state.next else lines)


def describe_end(folder: Path) -> str:
    """The lines that end a run: what was done, how many failed and were not tried, where the result is."""
    summary = read_object(folder / "summary.json")
    seconds = describe_seconds(summary["elapsed_s"])
    rows = describe_count(summary["rows"], "row")
    lines = [
        f"{summary['done']:,} of {describe_count(summary['records'], 'record')} done in {seconds}: {rows}"
    ]
    if summary["failed"]:
        lines.append(
            f"{summary['failed']:,} failed ({_describe_kinds(summary)}): {find_table(folder, 'failures')}"
        )
    if summary["not_tried"]:
        lines.append(f"{summary['not_tried']:,} not tried: {find_table(folder, 'not_tried')}")
    lines += summary.get("remarks") or []
    invoice = read_invoice(folder)
    if invoice["total"]:
        planned = f", planned {describe_usd(invoice['estimated'])}" if invoice.get("estimated") else ""
        lines.append(f"cost: {describe_usd(invoice['total'])}{planned} ({folder / 'invoice.json'})")
    lines.append(f"result: {folder / 'result'}")
    return "\n".join(lines)


def _describe_request(told: Explained) -> list[str]:
    manifest = told.manifest
    version = f"version {manifest['identity']['version']}, aliquot {manifest['aliquot']}"
    lines = [
        f"job       {manifest['job']} ({version})",
        f"begun     {manifest['created']}",
        f"dataset   {list_some(manifest['source_names'])}",
        f"options   {_describe_options(manifest['job'], manifest['options'])}",
    ]
    chosen = spell_chosen(manifest["settings"])
    if chosen:
        lines.append(f"settings  {' '.join(chosen)}")
    if told.address is None or told.remote is None:
        return lines
    return [*lines, f"stack     {told.address.stack} in {told.address.region}", f"run       {told.remote}"]


def _describe_result(told: Explained) -> list[str]:
    """The figures of what lies in the folder; nothing where nothing does."""
    summary, invoice = told.summary, told.invoice
    if summary is None:
        return []
    lines = [
        f"records   {summary['records']:,}: {_describe_counts(summary)}",
        f"rows      {summary['rows']:,} in {told.folder / 'result'}",
        f"time      {describe_seconds(summary['elapsed_s'])}, {summary['cpu_s']:,.1f} s of CPU",
    ]
    if summary.get("retries"):
        lines.append(f"retries   {summary['retries']:,}: tries beyond each record's first")
    lines += [
        f"exchange  before {each['stage']}: {describe_exchange(each)}"
        for each in summary.get("exchanges", ())
    ]
    if len(told.sessions_s) > 1:
        lines.append(f"sessions  {', '.join(map(describe_seconds, told.sessions_s))}")
    if invoice["total"]:
        wasted = sum(invoice["wasted"].values())
        of_it = f", {describe_usd(wasted)} of it wasted on duplicates and crashes" if wasted else ""
        stages = [
            f"{name} {describe_usd(spend['total'])}" for name, spend in (invoice.get("stages") or {}).items()
        ]
        lines.append(
            f"cost      {describe_usd(invoice['total'])} ({', '.join(stages)}, the rest around them){of_it}"
        )
    return lines


def _describe_times(told: Explained) -> list[str]:
    """Where hosts' time went, by stage, and which records took longest."""
    lines = []
    for each in told.stages:
        hosts = describe_seconds(each.host_s)
        lines.append(
            f"stage     {each.stage}: {hosts} of hosts for {describe_count(each.n_records, 'record')}, "
            f"{describe_ms(each.record_ms)} each{_describe_crew(told, each)}"
        )
        for slow in each.slow:
            times = slow.record_ms / each.record_ms
            records = (
                f"{slow.first:,} to {slow.end - 1:,}" if slow.end - slow.first > 1 else f"{slow.first:,}"
            )
            lines.append(
                f"          records {records}: {describe_ms(slow.record_ms)} each, {times:.1f} times that"
            )
    n_late = told.summary["failures"].get("deadline", 0) if told.summary else 0
    if n_late:
        late_s = n_late * told.manifest["settings"].get("record_timeout_s", 60.0)
        late = f"{describe_count(n_late, 'record')} at {'its' if n_late == 1 else 'their'} deadline"
        lines.append(f"          {late}: {describe_seconds(late_s)} of a host beside that")
    return lines


def _describe_crew(told: Explained, stage: StageTimes) -> str:
    """How many hosts were at work on average, of a run whose wall time is known."""
    elapsed_s = told.summary["elapsed_s"] if told.summary else sum(told.sessions_s)
    if elapsed_s <= 0 or len(told.stages) > 1:
        return ""
    return f"; {stage.host_s / elapsed_s:.1f} hosts at work on average"


def _describe_failures(told: Explained) -> list[str]:
    """How many failed of each kind, and some of each."""
    if not (told.summary and told.summary["failed"]):
        return []
    said = ([row.get(name) for name in ("source", "line", "kind", "message")] for row in told.failures)
    lines = [f"          {source}:{line} {kind}: {message}" for source, line, kind, message in said]
    if told.address is not None:
        lines.append("          a stack does not try them again: a new --out begins afresh")
    return [f"failures  {_describe_kinds(told.summary)}", *lines]


def _describe_job(name: str, job: Job) -> str:
    fields = ", ".join(spec.name for spec in read_fields(job.reads)) if job.reads else "any columns"
    written = [spec.name for spec in read_fields(job.writes) if spec.name != "record"] if job.writes else []
    rows = ", ".join(written) or "any columns"
    options = [(_name_option(option), _describe_option(option)) for option in list_told(job)]
    example = f"  aliquot run {name} {job.example} --out runs/{name}"
    indent = max((len(flag) for flag, _ in options), default=0) + 4
    lines = [name, *_wrap(f"reads {fields}; writes record, {rows}", 2)]
    for flag, said in options:
        first, *rest = _wrap(said, indent)
        lines += [f"  {flag}".ljust(indent) + first.lstrip(), *rest]
    return "\n".join([*lines, example] if job.example else lines)


def _tell_job(job: Job) -> dict[str, Any]:
    return {
        "version": job.version,
        "reads": [spec.name for spec in read_fields(job.reads)] if job.reads else None,
        "writes": [spec.name for spec in read_fields(job.writes)] if job.writes else None,
        "example": job.example or None,
        "options": [
            {
                "name": option.name,
                "flag": name_flag(option.name),
                "type": _name_type(option),
                "choices": list(list_choices(option)) or None,
                "is_required": option.is_required,
                "default": None if option.is_required else option.default,
                "help": option.help,
            }
            for option in list_told(job)
        ],
    }


def _name_type(option: FieldSpec) -> str:
    """What an option takes: a path, a choice, or the name of a type."""
    if list_choices(option):
        return "choice"
    kind = bare_type(option)
    if is_table_of_references(kind):
        return "name=path"
    return "path" if kind is Reference else getattr(kind, "__name__", "str")


def _name_option(option: FieldSpec) -> str:
    kind = bare_type(option)
    if kind is bool:
        return name_flag(option.name)
    if is_table_of_references(kind):
        return f"{name_flag(option.name)} NAME=PATH"
    takes = {Reference: "PATH", str: "TEXT"}.get(kind, getattr(kind, "__name__", "").upper())
    return f"{name_flag(option.name)} {'CHOICE' if list_choices(option) else takes}".rstrip()


def _describe_option(option: FieldSpec) -> str:
    choices = "|".join(map(str, list_choices(option)))
    default = "required" if option.is_required else f"default {option.default}"
    if bare_type(option) is bool:
        default = f"default {'on' if option.default else 'off'}"
    return f"{choices + '; ' if choices else ''}{option.help} ({default})"


def _wrap(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _describe_options(job: str, options: Mapping[str, Any]) -> str:
    """Those that a user gives; of a job at an address, whose module is not imported to look, all."""
    told = None if ":" in job else find_told(job)
    shown = {
        name: map_references(value, itemgetter("path"))
        for name, value in options.items()
        if value is not None and value is not False and (told is None or name in told)
    }
    return ", ".join(f"{name}={value}" for name, value in shown.items()) or "none"


def _describe_counts(summary: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{summary[name]:,} {name.replace('_', ' ')}" for name in ("done", "failed", "not_tried")
    )


def _describe_kinds(summary: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in summary["failures"].items())
