"""What `aliquot show`, `aliquot jobs` and the end of a run say.

Owns these texts. Imports the ledger and `results`; nothing is computed here that is not read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aliquot.crossing import find_reached
from aliquot.errors import AliquotError
from aliquot.job import FieldSpec, Job, Reference, read_fields
from aliquot.ledger import SETTLED, TIME_REACHED, TOO_MANY_FAILED, Ledger
from aliquot.manifest import bare_type, list_choices
from aliquot.stages import read_legs
from orchestrator.aws.folder import CloudAddress, check_region, find_address, refuse_place
from orchestrator.catalog import find_job, list_jobs
from orchestrator.local.folder import open_folder
from orchestrator.options import name_flag
from orchestrator.progress import describe_seconds, describe_usd
from orchestrator.request import check_frozen
from orchestrator.results import ENDINGS, list_failures, read_invoice, read_object, read_summary

if TYPE_CHECKING:
    from orchestrator.aws.commands import Standing

_N_FAILURES = 5
_WIDTH = 100
_STATES = {
    SETTLED: "finished",
    TOO_MANY_FAILED: "stopped: too many failed",
    TIME_REACHED: "stopped: its time was up",
}
_FUNCTION = (
    "any plain function of one record (a dict of its columns) that returns None, one row (a dict) or several"
)


def describe_jobs() -> str:
    """The installed jobs with their options and help."""
    blocks = [_describe_job(name, find_job(name).job) for name in list_jobs()]
    return "\n\n".join([*blocks, "\n".join(["MODULE:FUNCTION", *_wrap(_FUNCTION, 2)])])


def describe_run(folder: Path, profile: str | None = None, region: str | None = None) -> str:
    """What the run in a folder is, how far it came, what failed, and the command to type next.

    Args:
        profile, region: of AWS, for a run on a stack; raises BadOption where the run is elsewhere.
    """
    address = find_address(folder)
    if address is not None:
        check_region(address, folder, region)
        return _describe_cloud(folder, address, profile)
    refuse_place(profile, region)
    run = open_folder(folder)
    manifest = run.ledger.read_manifest() or {}
    check_frozen(manifest, folder)
    return "\n".join([*_describe_request(manifest), *_describe_state(folder, run.ledger, manifest)])


def describe_end(folder: Path) -> str:
    """The lines that end a run: what was done, how many failed and were not tried, where the result is."""
    summary = read_object(folder / "summary.json")
    seconds = describe_seconds(summary["elapsed_s"])
    lines = [
        f"{summary['done']:,} of {summary['records']:,} records done in {seconds}: {summary['rows']:,} rows"
    ]
    if summary["failed"]:
        lines.append(
            f"{summary['failed']:,} failed ({_describe_kinds(summary)}): {_find_file(folder, 'failures')}"
        )
    if summary["not_tried"]:
        lines.append(f"{summary['not_tried']:,} not tried: {_find_file(folder, 'not_tried')}")
    lines += summary.get("remarks") or []
    invoice = read_invoice(folder)
    if invoice["total"]:
        planned = f", planned {describe_usd(invoice['estimated'])}" if invoice.get("estimated") else ""
        lines.append(f"cost: {describe_usd(invoice['total'])}{planned} ({folder / 'invoice.json'})")
    lines.append(f"result: {folder / 'result'}")
    return "\n".join(lines)


def _describe_request(manifest: Mapping[str, Any]) -> list[str]:
    identity = manifest["identity"]
    return [
        f"job       {manifest['job']} (version {identity['version']}, aliquot {manifest['aliquot']})",
        f"begun     {manifest['created']}",
        f"dataset   {_list_some(manifest['source_names'])}",
        f"options   {_describe_options(manifest['options'])}",
    ]


def _describe_cloud(folder: Path, address: CloudAddress, profile: str | None) -> str:
    """The same of a run on a stack, which is asked how it stands."""
    check_frozen(address.manifest, folder)
    lines = _describe_request(address.manifest)
    if address.is_rehearsal:
        state = "a rehearsal, which is over" if read_summary(folder) else "a rehearsal that was interrupted"
        return "\n".join([*lines, f"state     {state}", *_describe_result(folder)])
    place = f"s3://{address.bucket}/runs/{address.run}"
    lines += [f"stack     {address.stack} in {address.region}", f"run       {place}"]
    try:
        from orchestrator.aws.commands import look

        standing = look(folder, profile)
    except (AliquotError, ModuleNotFoundError) as err:
        return "\n".join([*lines, f"state     not known: {err}", *_describe_result(folder)])
    return "\n".join([*lines, *_describe_standing(folder, standing), *_describe_result(folder)])


def _describe_standing(folder: Path, standing: Standing) -> list[str]:
    """The state of a run on a stack, and the command to type next."""
    coverage, execution = standing.coverage, standing.execution
    known = "" if standing.is_sealed else " submitted so far"
    answered = f"{coverage.n_answered:,} of {coverage.n_records:,} records{known} are answered"
    if standing.published is not None:
        reason = standing.published.reason
        if reason != SETTLED:
            return [f"state     stopped ({reason}): {answered}", f"next      aliquot resume {folder}"]
        following = [] if read_summary(folder) else [f"next      aliquot watch {folder}"]
        return ["state     finished", *following]
    if execution is None or not standing.is_sealed:
        return [f"state     its submission is not complete: {answered}", f"next      aliquot resume {folder}"]
    if execution.is_running:
        return [f"state     running: {answered}", f"next      aliquot watch {folder}"]
    return [f"state     broken ({execution.cause}): {answered}", f"next      aliquot resume {folder}"]


def _describe_result(folder: Path) -> list[str]:
    """The figures of what lies in the folder; nothing where nothing does."""
    summary = read_summary(folder)
    if summary is None:
        return []
    lines = [
        f"records   {summary['records']:,}: {_describe_counts(summary)}",
        f"rows      {summary['rows']:,} in {folder / 'result'}",
        f"time      {describe_seconds(summary['elapsed_s'])}, {summary['cpu_s']:,.1f} s of CPU",
    ]
    invoice = read_invoice(folder)
    if invoice["total"]:
        wasted = sum(invoice["wasted"].values())
        of_it = f", {describe_usd(wasted)} of it wasted on duplicates and crashes" if wasted else ""
        lines.append(f"cost      {describe_usd(invoice['total'])}{of_it}")
    if summary["failed"]:
        lines += [f"failures  {_describe_kinds(summary)}", *_show_failures(folder)]
    return lines


def _describe_state(folder: Path, ledger: Ledger, manifest: Mapping[str, Any]) -> list[str]:
    summary = read_summary(folder)
    stops = ledger.list_stops()
    state = _STATES.get(stops[-1].reason, "") if stops else ""
    if summary is None or not state:
        return [f"state     {_describe_open(ledger, manifest)}", f"next      aliquot resume {folder}"]
    lines = [f"state     {state}", *_describe_result(folder)]
    if summary["not_tried"]:
        lines.append(f"next      aliquot resume {folder}")
    elif summary["failed"]:
        lines.append(f"next      aliquot resume {folder} --retry failed")
    return lines


def _describe_open(ledger: Ledger, manifest: Mapping[str, Any]) -> str:
    """How far a run is that is not at its end."""
    if not manifest["code"]:
        return "not begun: its job was not opened yet"
    leg, ledger = find_reached(ledger, read_legs(manifest))
    coverage = ledger.measure(leg.last.name)
    known = "" if ledger.is_sealed else " submitted so far"
    units = f"groups of stage {leg.last.name}" if leg.number else "records"
    return f"not finished: {coverage.n_answered:,} of {coverage.n_records:,} {units}{known} are answered"


def _show_failures(folder: Path) -> list[str]:
    rows = list_failures(folder, _N_FAILURES)
    said = ([row.get(name) for name in ("source", "line", "kind", "message")] for row in rows)
    return [f"          {source}:{line} {kind}: {message}" for source, line, kind, message in said]


def _describe_job(name: str, job: Job) -> str:
    fields = ", ".join(spec.name for spec in read_fields(job.reads)) if job.reads else "any columns"
    rows = ", ".join(spec.name for spec in read_fields(job.writes)) if job.writes else "any columns"
    options = [(_name_option(option), _describe_option(option)) for option in read_fields(job.options)]
    indent = max((len(flag) for flag, _ in options), default=0) + 4
    lines = [name, *_wrap(f"reads {fields}; writes record, {rows}", 2)]
    for flag, said in options:
        first, *rest = _wrap(said, indent)
        lines += [f"  {flag}".ljust(indent) + first.lstrip(), *rest]
    return "\n".join(lines)


def _name_option(option: FieldSpec) -> str:
    kind = bare_type(option)
    if kind is bool:
        return name_flag(option.name)
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


def _describe_options(options: Mapping[str, Any]) -> str:
    shown = {name: value["path"] if isinstance(value, dict) else value for name, value in options.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items()) or "none"


def _list_some(names: list[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more:,} more" if more > 0 else "")


def _describe_counts(summary: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{summary[name]:,} {name.replace('_', ' ')}" for name in ("done", "failed", "not_tried")
    )


def _describe_kinds(summary: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in summary["failures"].items())


def _find_file(folder: Path, name: str) -> Path:
    return next((path for ending in ENDINGS if (path := folder / f"{name}.{ending}").is_file()), folder)
