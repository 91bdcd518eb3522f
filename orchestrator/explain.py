"""What a run's folder tells of it: what ran, how it stands, where time went, what failed, what comes next.

    DIR/ledger/, or DIR/cloud.json and its stack --explain_run--> Explained --to_document--> docs/json.md

Owns what state a run is in and the command that follows from it. Imports the ledger, `times` and `results`,
and of the cloud what a look at it takes. When it is wrong, people resume what is done, or wait for what
broke.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from aliquot.crossing import find_reached
from aliquot.errors import AliquotError
from aliquot.ledger import BUDGET_REACHED, SETTLED, TIME_REACHED, TOO_MANY_FAILED, Ledger
from aliquot.stages import read_legs
from orchestrator.aws.folder import CloudAddress, check_region, find_address, refuse_place
from orchestrator.limits import list_chosen
from orchestrator.local.folder import find_worker, open_folder
from orchestrator.request import check_frozen
from orchestrator.results import find_kind, list_failures, pick_few, read_invoice, read_summary
from orchestrator.times import StageTimes, list_sessions_s, measure_stages

if TYPE_CHECKING:
    from orchestrator.aws.commands import Standing

FORMAT = "aliquot/show/1"
_MOST_READ, _EXAMPLES = 100_000, 3  # rows of failures that are looked through; shown of each kind
_STATES = {
    SETTLED: "finished",
    TOO_MANY_FAILED: "stopped: too many failed",
    TIME_REACHED: "stopped: its time was up",
}


@dataclass(frozen=True)
class State:
    """How a run stands.

    Args:
        word: finished, stopped, running, unfinished, broken or unknown.
        said: the same for people, with how far it came.
        next: the command to type now; None where there is nothing to do.
    """

    word: str
    said: str
    next: str | None = None
    n_answered: int | None = None
    n_records: int | None = None


@dataclass(frozen=True)
class Explained:
    """All that a folder tells of its run.

    Args:
        address: where it is on a stack, None for a run on this machine.
        summary, invoice: of what was delivered; the summary None where nothing is.
        failures: rows of the table, some of each kind.
        stages: where hosts' time went; empty where the ledger cannot be read (any more).
        sessions_s: wall seconds of the sessions on this machine.
    """

    folder: Path
    manifest: Mapping[str, Any]
    state: State
    address: CloudAddress | None = None
    summary: Mapping[str, Any] | None = None
    invoice: Mapping[str, Any] = field(default_factory=dict)
    failures: Sequence[Mapping[str, Any]] = ()
    stages: Sequence[StageTimes] = ()
    sessions_s: Sequence[float] = ()

    @property
    def is_over(self) -> bool:
        """Whether its summary is of its end, and not of an earlier one that it has gone on from."""
        return self.summary is not None and self.state.word not in ("running", "unfinished")

    @property
    def place(self) -> str:
        """Where it runs, as `--on` names it."""
        return "local" if self.address is None else self.address.on

    @property
    def remote(self) -> str | None:
        """Its address in a bucket, as `attach` takes it."""
        is_there = self.address is not None and not self.address.is_rehearsal
        return f"s3://{self.address.bucket}/runs/{self.address.run}" if self.address and is_there else None

    def to_document(self) -> dict[str, Any]:
        """Plain values, for scripts."""
        manifest, state = self.manifest, self.state
        return {
            "format": FORMAT,
            "folder": str(self.folder),
            "place": self.place,
            "remote": self.remote,
            "job": manifest["job"],
            "version": manifest["identity"]["version"],
            "aliquot": manifest["aliquot"],
            "begun": manifest["created"],
            "sources": manifest["source_names"],
            "options": manifest["options"],
            "settings": list_chosen(manifest["settings"]),
            "state": state.word,
            "said": state.said,
            "answered": state.n_answered,
            "records": state.n_records,
            "summary": self.summary,
            "invoice": self.invoice if self.summary else None,
            "failures": self.failures,
            "sessions_s": self.sessions_s,
            "stages": [{**asdict(each), "record_ms": each.record_ms} for each in self.stages],
            "next": state.next,
        }


def explain_run(folder: Path, profile: str | None = None, region: str | None = None) -> Explained:
    """What a run's folder tells; one on a stack is asked how it stands.

    Args:
        profile, region: of AWS, for a run on a stack; raises BadOption where the run is elsewhere.
    Raises:
        FolderInUse: there is no run.
        StoreError: what was delivered is damaged.
    """
    address = find_address(folder)
    if address is not None:
        check_region(address, folder, region)
        check_frozen(address.manifest, folder)
        return _explain_cloud(folder, address, profile)
    refuse_place(profile, region)
    run = open_folder(folder)
    return replace(explain_local(folder, run.ledger, find_worker(folder)), stages=measure_stages(run.ledger))


def explain_local(folder: Path, ledger: Ledger, worker: int | None) -> Explained:
    """What the folder of a run on this machine tells, but where hosts' time went.

    Args:
        worker: the process that works in it.
    """
    manifest = ledger.read_manifest() or {}
    check_frozen(manifest, folder)
    state = find_local_state(folder, ledger, manifest, worker)
    return Explained(folder, manifest, state, sessions_s=list_sessions_s(ledger), **_read_delivered(folder))


def explain_fetched(
    folder: Path, address: CloudAddress, manifest: Mapping[str, Any], reason: str
) -> Explained:
    """What the folder of a run on a stack tells whose result was just fetched.

    Args:
        reason: why its epoch ended.
    """
    word = "finished" if reason == SETTLED else "stopped"
    delivered = _read_delivered(folder)
    is_open = reason != SETTLED and not address.is_rehearsal
    following = _spell_resume(folder, manifest["settings"], reason, delivered["summary"]) if is_open else None
    state = State(word, word if reason == SETTLED else f"stopped ({reason})", following)
    return Explained(folder, manifest, state, address, **delivered)


def _explain_cloud(folder: Path, address: CloudAddress, profile: str | None) -> Explained:
    delivered = _read_delivered(folder)
    stages: list[StageTimes] = []
    if address.is_rehearsal:
        is_over = delivered["summary"] is not None
        said = "a rehearsal, which is over" if is_over else "a rehearsal that was interrupted"
        state = State("finished" if is_over else "unfinished", said)
    else:
        try:
            from orchestrator.aws.commands import look

            standing = look(folder, profile)
            state = _find_cloud_state(folder, standing, delivered["summary"])
            stages = measure_stages(standing.ledger)
        except (AliquotError, ModuleNotFoundError) as err:
            state = State("unknown", f"not known: {err}")
    return Explained(folder, address.manifest, state, address, stages=stages, **delivered)


def find_local_state(folder: Path, ledger: Ledger, manifest: Mapping[str, Any], worker: int | None) -> State:
    """How a run on this machine stands, in which a process works, or none."""
    summary, stops = read_summary(folder), ledger.list_stops()
    said = _STATES.get(stops[-1].reason, "") if stops else ""
    if worker is not None or summary is None or not said:
        return _find_open_state(folder, ledger, manifest, worker)
    word = "finished" if stops[-1].reason == SETTLED else "stopped"
    n_answered = summary["done"] + summary["failed"]
    following = _advise_after(folder, summary, manifest["settings"], stops[-1].reason)
    return State(word, said, following, n_answered, summary["records"])


def _find_open_state(folder: Path, ledger: Ledger, manifest: Mapping[str, Any], worker: int | None) -> State:
    """How far a run is that is not at its end."""
    is_begun = bool(manifest["code"])
    said, n_answered, n_records = "its job was not opened yet", 0, None
    if is_begun:
        leg, ledger = find_reached(ledger, read_legs(manifest))
        coverage = ledger.measure(leg.last.name)
        n_answered, n_records = coverage.n_answered, coverage.n_records
        known = "" if ledger.is_sealed else " submitted so far"
        units = f"groups of stage {leg.last.name}" if leg.number else "records"
        said = f"{n_answered:,} of {n_records:,} {units}{known} are answered"
    if worker is not None:
        return State("running", f"process {worker} works in it: {said}", None, n_answered, n_records)
    words = "not finished" if is_begun else "not begun"
    return State(
        "unfinished", f"{words}: {said}", f"aliquot resume {quote(str(folder))}", n_answered, n_records
    )


def _find_cloud_state(folder: Path, standing: Standing, summary: Mapping[str, Any] | None) -> State:
    """How a run on a stack stands, of which the folder may hold what was fetched before."""
    coverage, execution = standing.coverage, standing.execution
    known = "" if standing.is_sealed else " submitted so far"
    far = coverage.n_answered, coverage.n_records
    answered = f"{far[0]:,} of {far[1]:,} records{known} are answered"
    resume, watch = (f"aliquot {verb} {quote(str(folder))}" for verb in ("resume", "watch"))
    if standing.published is not None:
        reason = standing.published.reason
        if reason != SETTLED:
            following = _spell_resume(folder, standing.manifest["settings"], reason, summary)
            return State("stopped", f"stopped ({reason}): {answered}", following, *far)
        return State("finished", "finished", None if read_summary(folder) else watch, *far)
    if execution is None or not standing.is_sealed:
        return State("unfinished", f"its submission is not complete: {answered}", resume, *far)
    if execution.is_running:
        return State("running", f"running: {answered}", watch, *far)
    return State("broken", f"broken ({execution.cause}): {answered}", resume, *far)


def _advise_after(
    folder: Path, summary: Mapping[str, Any], settings: Mapping[str, Any], reason: str
) -> str | None:
    """The command that does what a run on this machine left, whose last session ended for a reason."""
    if summary["not_tried"]:
        return _spell_resume(folder, settings, reason, summary)
    if not summary["failed"]:
        return None
    more = ""
    if "deadline" in summary["failures"]:
        more = f" --record-timeout {2 * settings.get('record_timeout_s', 60.0):g}"
    return f"aliquot resume {quote(str(folder))} --retry failed{more}"


def _spell_resume(
    folder: Path, settings: Mapping[str, Any], reason: str, summary: Mapping[str, Any] | None
) -> str:
    """The command that goes on with a run: with twice the budget that stopped it."""
    budget_s, budget_usd, more = settings.get("budget_time_s"), settings.get("budget_usd"), ""
    if reason == TIME_REACHED and budget_s is not None:  # which is a total: less than was taken stops at once
        elapsed_s = summary["elapsed_s"] if summary is not None else 0
        more = f" --budget-time {2 * max(budget_s, elapsed_s // 1):g}s"
    if reason == BUDGET_REACHED and budget_usd is not None:
        more = f" --budget-usd {2 * budget_usd:g}"
    return f"aliquot resume {quote(str(folder))}{more}"


def _read_delivered(folder: Path) -> dict[str, Any]:
    """What lies in the folder for people."""
    summary = read_summary(folder)
    failures = _pick_failures(folder) if summary and summary["failed"] else []
    return {"summary": summary, "invoice": read_invoice(folder), "failures": failures}


def _pick_failures(folder: Path) -> list[dict[str, Any]]:
    """Some rows of each kind of failure, the most frequent kind first."""
    rows = list_failures(folder, _MOST_READ)
    counts = Counter(map(find_kind, rows))
    picked = pick_few(rows, find_kind, _EXAMPLES, len(rows))
    names = ("record", "id", "source", "line", "stage", "kind", "message")
    ordered = sorted(picked, key=lambda row: -counts[find_kind(row)])
    return [{name: row.get(name) for name in names} for row in ordered]
