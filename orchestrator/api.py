"""What Python users call: `plan`, `resume`, `watch`, `attach`, `cancel`.

Each gives a plan, or a `Run` under way. Owns the public names' behaviour, and which backend is meant. Imports
the local backend; the cloud's when a run is on a stack, and `estimate` when a plan is estimated. When it is
wrong, a run is another than was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aliquot.errors import BadOption, FolderInUse, JobError, OverBudget
from aliquot.job import read_fields
from aliquot.launch import IN_HOST
from aliquot.manifest import list_choices
from orchestrator.aws.folder import find_address, read_address, refuse_place
from orchestrator.aws.settings import CloudSettings
from orchestrator.aws.target import LOCAL, Target
from orchestrator.budget import parse_duration
from orchestrator.catalog import find_job, list_jobs
from orchestrator.limits import check_rate, check_threads
from orchestrator.local.folder import LEDGER, open_folder
from orchestrator.local.session import Resume, Session
from orchestrator.local.settings import Settings
from orchestrator.progress import describe_range, describe_usd
from orchestrator.request import Dataset, Request, make_request, restore_request
from orchestrator.run import Followed, Run
from orchestrator.stack.aws import INSTALL
from orchestrator.stack.errors import MissingTool

if TYPE_CHECKING:
    from orchestrator.aws.estimate import StackEstimate
    from orchestrator.estimate import Estimate
    from orchestrator.listing import Listed
    from orchestrator.whatif import Considered

_HERE = Target()


@dataclass(frozen=True)
class RunPlan:
    """A job over a dataset, checked and ready to start; nothing has been run.

    Args:
        request: the job, its options and its dataset.
        settings: workers and limits.
        target: where it is to be done.
    """

    request: Request
    settings: Settings | CloudSettings
    target: Target = _HERE

    @cached_property
    def estimate(self) -> Estimate:
        """Records, chunks, bytes, memory and time, from a probe: the dataset is read and some of it run.

        Raises BatchDependent where rows would depend on how the dataset is cut.
        """
        from orchestrator.estimate import estimate_run

        local = self.settings
        if isinstance(local, CloudSettings):
            kept = local.to_plain()
            local = Settings(
                **{name: kept[name] for name in ("record_timeout_s", "threads", "rate", "retries")}
            )
        opener = None
        if self.request.is_in_s3:
            opener = _load_cloud().open_objects_with(self.target.profile, self.target.region)
        return estimate_run(self.request, local, opener)

    @cached_property
    def stack_estimate(self) -> StackEstimate | None:
        """Time and dollars on the stack that the run is for; None for a run on this machine."""
        return self._estimate_on_stack(self.settings)

    def __str__(self) -> str:
        return str(self.stack_estimate or self.estimate)

    def _repr_html_(self) -> str:
        from orchestrator.notebook import show_plan

        return show_plan(str(self))

    def consider(
        self,
        *,
        budget_usd: float | None = None,
        budget_time: str | float | None = None,
        what_if: Sequence[int] = (),
    ) -> Considered:
        """The plan, whether it fits these budgets (and what would), and alternatives to it; str() says it.

        Args:
            what_if: how many tasks at a time, or workers of this machine, to set side by side.
        """
        from orchestrator.whatif import Budget, consider

        budget = Budget(None if budget_time is None else parse_duration(budget_time), budget_usd)
        settings = replace(self.settings, budget_usd=budget.usd, budget_time_s=budget.time_s)
        on_stack = self._estimate_on_stack(settings)
        return consider(self.estimate, on_stack, budget, what_if)

    def start(
        self,
        out: str | Path,
        *,
        budget_usd: float | None = None,
        budget_time: str | float | None = None,
        anyway: bool = False,
    ) -> Run:
        """Begin the run in the folder `out`, or go on with it where it is this one; returns at once.

        Args:
            budget_usd: dollars that the run may cost; it stops before it would cost more.
            budget_time: wall time that it may take: seconds, or "10m", "2h".
            anyway: begin although the plan exceeds the budget.
        Raises:
            OverBudget: the plan exceeds the budget.
        """
        budget_time_s = None if budget_time is None else parse_duration(budget_time)
        settings = replace(self.settings, budget_usd=budget_usd, budget_time_s=budget_time_s)
        if not anyway and not (Path(out) / LEDGER).exists():
            settings = self._hold_to_budget(settings)
        if "estimate" in self.__dict__ and isinstance(settings, Settings):  # the plan was looked at
            settings = replace(settings, estimated_s=_round(self.estimate.wall_s))
        return Run(out).follow(self._make_session(Path(out), settings))

    def _hold_to_budget(self, settings: Settings | CloudSettings) -> Settings | CloudSettings:
        """The settings with what the plan says; what cannot be read twice is not estimated.

        Raises OverBudget where the plan exceeds the budget.
        """
        if (settings.budget_time_s is None and settings.budget_usd is None) or not self.request.is_repeatable:
            return settings
        on_stack = self._estimate_on_stack(settings)
        wall_s = (on_stack or self.estimate).wall_s
        more = "give more, or add --anyway to get as far as it goes"
        if settings.budget_time_s is not None and wall_s[0] > settings.budget_time_s:
            raise OverBudget("--budget-time", f"the plan takes {describe_range(*wall_s)}: {more}")
        if settings.budget_usd is not None and on_stack is not None and on_stack.usd[0] > settings.budget_usd:
            raise OverBudget("--budget-usd", f"the plan costs about {describe_usd(on_stack.usd[0])}: {more}")
        if isinstance(settings, CloudSettings) and on_stack is not None:
            return replace(settings, estimated_usd=round(on_stack.usd[0], 6), estimated_s=_round(wall_s))
        return settings

    def _estimate_on_stack(self, settings: Settings | CloudSettings) -> StackEstimate | None:
        if not isinstance(settings, CloudSettings):
            return None
        estimated: StackEstimate = _load_cloud().estimate_for(
            self.target, settings, lambda: self.estimate, is_cut=self.request.is_in_s3
        )
        return estimated

    def _make_session(self, out: Path, settings: Settings | CloudSettings) -> Followed:
        if isinstance(settings, CloudSettings):
            session: Followed = _load_cloud().CloudSession(out, self.request, self.target, settings)
            return session
        address = find_address(out)
        if address is not None:
            raise FolderInUse(str(out), f"{address.said}: choose another --out, or remove it")
        return Session(self.request, out, settings)


def _round(wall_s: tuple[float, float, float]) -> tuple[float, float, float]:
    mean_s, low_s, high_s = (round(seconds, 3) for seconds in wall_s)
    return mean_s, low_s, high_s


def plan(
    job: str | Callable[[Any], Any],
    dataset: Dataset,
    *,
    column: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    workers: int | None = None,
    record_timeout: float = 60.0,
    memory: int | None = None,
    max_failed: str = "5%",
    format: str = "parquet",  # noqa: A002 - the command's word
    threads: int | None = None,
    rate: str | None = None,
    retries: int | None = None,
    on: str = LOCAL,
    code: str | Path | None = None,
    profile: str | None = None,
    region: str | None = None,
    **options: Any,
) -> RunPlan:
    """The plan of running `job` over `dataset`: print it to be told what it takes, start it to run it.

    Args:
        job: a job's name, `MODULE:FUNCTION`, or a function of one record at the top level of a file.
        dataset: a file, glob or folder, a list of these, or an iterable of records.
        column: input column by field, where names do not tell.
        keep: input columns to carry to the result.
        workers: processes, by default the physical cores; on a stack tasks at a time, by default all it has.
        record_timeout: seconds that one record may take.
        memory: MiB of private memory a worker; by default 80% of what is free, divided by the workers.
        max_failed: how many records may fail: "5%" or "12".
        format: "parquet" or "csv", or one that the job has besides, as Parquet.
        threads: of each worker, for records that wait (HTTP, databases); by default as many as the job
            declares, for a plain function 1 (`async`: 16).
        rate: records that the whole run begins in a time, "50/s", "600/min" or "2000/h"; by default what the
            job's stage declares.
        retries: how often a record is tried again whose failure may pass; by default what the job's stage
            says, 3.
        on: "local", "aws:STACK", or "rehearsal", the stack on this machine.
        code: the folder with the job's module, which goes to the stack with the run.
        profile, region: of AWS, where boto3 would choose others.
        options: the job's own options.
    Raises:
        UsageError: what was asked cannot be run; the message says why and what to do.
    """
    if os.environ.get(IN_HOST):
        guard = 'put it under `if __name__ == "__main__":`'
        raise JobError(str(job), f"a script made a plan while a host imported it: {guard}")
    target = Target(on, profile, region)
    if _has_format(job, format):
        options, format = {**options, "format": format}, "parquet"  # noqa: A001 - as above
    settings: Settings | CloudSettings
    if target.is_local:
        settings = Settings(workers, record_timeout, memory, str(max_failed), format)
        settings = replace(settings, threads=threads, rate=rate, retries=retries)
    else:
        _refuse_memory(memory)
        settings = CloudSettings(workers, record_timeout, str(max_failed), format, threads, rate, retries)
    list_objects = _load_cloud().list_objects_with(profile, region) if target.stack else None
    request = make_request(job, dataset, options, column or {}, keep, code, list_objects)
    check_threads(request.known.job, request.stages, threads)
    check_rate(request.known.job, request.stages, rate, is_on_stack=not target.is_local)
    if not target.is_local and code is None and request.known.job.name not in list_jobs():
        address = request.known.address
        raise BadOption(
            "--code", f"a stack does not have {address}: add `--code .` to send this folder along"
        )
    return RunPlan(request, settings, target)


def _has_format(job: str | Callable[[Any], Any], name: str) -> bool:
    """Whether it is a format that the job itself knows, by its option `format`."""
    if not isinstance(job, str) or ":" in job:
        return False
    options = read_fields(find_job(job).job.options)
    return any(option.name == "format" and name in list_choices(option) for option in options)


def resume(
    out: str | Path,
    *,
    retry_failed: bool = False,
    new_code: bool = False,
    workers: int | None = None,
    record_timeout: float | None = None,
    memory: int | None = None,
    max_failed: str | None = None,
    format: str | None = None,  # noqa: A002 - the command's word
    budget_usd: float | None = None,
    budget_time: str | float | None = None,
    profile: str | None = None,
    region: str | None = None,
) -> Run:
    """Go on with the run in the folder `out`; returns at once.

    Args:
        retry_failed: try the records that failed once more.
        new_code: go on although the job's code has changed; what is done stays as it is.
        workers, record_timeout, memory, max_failed, format: as of `plan`; as before where None.
        budget_usd, budget_time: new totals, what was spent before included.
        profile, region: of AWS, for a run on a stack; it is refused where the run is in another region.
    """
    budgets = {
        "budget_usd": budget_usd,
        "budget_time_s": None if budget_time is None else parse_duration(budget_time),
    }
    if find_address(Path(out)) is not None:
        if retry_failed or new_code:
            flag = "--retry" if retry_failed else "--new-code"
            raise BadOption(flag, "is for local runs; on a stack a new --out begins afresh")
        _refuse_memory(memory)
        chosen = {"window": workers, "record_timeout_s": record_timeout, "max_failed": max_failed}
        return _resume_cloud(Path(out), {**chosen, **budgets, "ending": format}, profile, region)
    refuse_place(profile, region)
    folder = open_folder(Path(out))
    manifest = folder.ledger.read_manifest() or {}
    request = restore_request(manifest, folder.path)
    settings = Settings.from_plain(
        manifest["settings"],
        workers=workers,
        record_timeout_s=record_timeout,
        memory_mib=memory,
        max_failed=None if max_failed is None else str(max_failed),
        ending=format,
        **budgets,
    )
    session = Session(request, folder.path, settings, Resume(retry_failed, new_code))
    return Run(folder.path).follow(session)


def watch(
    out: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - the command's word
    html: bool = False,
    profile: str | None = None,
    region: str | None = None,
) -> Run:
    """Wait for the run on a stack whose folder `out` is, and fetch its result; returns at once.

    Args:
        format: "parquet" or "csv"; as it was asked for where None.
        html: write `out/report.html` again and again meanwhile. Of a run on this machine, which another
            process is at, that is all that is done, until it ends.
        profile: of AWS, where another one is to be used than before.
        region: of AWS; the run's own, else it is refused.
    """
    if html and find_address(Path(out)) is None:
        from orchestrator.local.watching import LocalWatch

        refuse_place(profile, region)
        return Run(out).follow(LocalWatch(open_folder(Path(out))))
    read_address(Path(out), "watch", region)
    return Run(out).follow(_load_cloud().WatchSession(Path(out), format, profile, is_reporting=html))


def attach(
    address: str,
    out: str | Path,
    *,
    on: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    format: str | None = None,  # noqa: A002 - the command's word
) -> Run:
    """Make `out` the folder of a run that was begun elsewhere, then as `watch`.

    Args:
        address: `s3://BUCKET/runs/RUN`.
        on: "aws:STACK", where the run itself does not say it.
    """
    _load_cloud().attach(address, Path(out), on, profile, region)
    return watch(out, format=format)


def cancel(out: str | Path, *, profile: str | None = None, region: str | None = None) -> str:
    """Stop the run on a stack whose folder `out` is: what finished is kept; gives what is true then."""
    read_address(Path(out), "cancel", region)
    said: str = _load_cloud().cancel(Path(out), profile)
    return said


def list_stack_runs(
    on: str, most: int, profile: str | None = None, region: str | None = None
) -> tuple[list[Listed], int]:
    """The newest runs of the stack that `on` names, and how many older ones it holds."""
    found: tuple[list[Listed], int] = _load_cloud().list_runs_on(on, most, profile, region)
    return found


def _resume_cloud(folder: Path, chosen: Mapping[str, Any], profile: str | None, region: str | None) -> Run:
    target = Target(read_address(folder, "resume", region).on, profile)
    return Run(folder).follow(_load_cloud().CloudSession(folder, None, target, CloudSettings(), chosen))


def _refuse_memory(memory: int | None) -> None:
    if memory is not None:
        raise BadOption("--memory", "is for local runs: on a stack its rungs decide")


def _load_cloud() -> Any:
    """The cloud's sessions and commands; raises MissingTool where boto3 is not installed."""
    try:
        from orchestrator.aws import entrance
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] not in ("boto3", "botocore"):
            raise
        raise MissingTool("boto3", "is not installed, and AWS is reached through it", INSTALL) from err
    return entrance
