"""What a run would take on a stack: the probe's times spread over Lambda functions, and priced.

A Lambda vCPU is taken for a core of this machine. Tasks begin as chunks and grow to the window; each slice,
cold start, tally and merge is counted as `aliquot.spending` bills it. Owns this model. Imports the core's
`spending` and the estimate of a local run. When it is wrong, people pay more than they were told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from aliquot.keys import ChunkId, OutcomeKey, PaidKey
from aliquot.ranges import PART_BYTES
from aliquot.spans import SpanSet
from aliquot.spending import MOST_CUTTERS, Tariff, estimate_settling, measure_preparing, measure_spend
from orchestrator.aws.settings import CloudSettings, make_tariff
from orchestrator.aws.target import Target
from orchestrator.budget import read_prices
from orchestrator.estimate import Estimate
from orchestrator.progress import describe_count, describe_range, describe_usd
from orchestrator.stack.aws import make_session
from orchestrator.stack.outputs import find_stack

SLICE_S = 30.0
_ARCHITECTURE, _TIMEOUT_S, _CONCURRENCY = "arm64", 150.0, 500  # the template's defaults, for a rehearsal
_INIT_S = 2.0  # of a cold environment, before the job is opened
_TASK_S = 0.4  # of an invocation besides its records: fetching, putting, sending
_RAMP_PER_S = 5.0  # environments that standard pollers add a second
_TICK_S, _SETTLE_S = 15.0, 20.0
_UPLOAD_BYTES_PER_S = 10e6
# of one function: a table was counted at 60 MB/s here and cut at 38, which makes 23; the rest is for S3
_CUT_BYTES_PER_S = 15e6
_CUT_STEPS_S = 30.0  # of four steps, two of them maps
_CUT_STEP_MS = 3000  # of one that hands out, or seals


@dataclass(frozen=True)
class StackEstimate:
    """What a run would take on a stack.

    Args:
        local: the dataset, and a record's time.
        window: tasks at a time.
        wall_s, usd: mean, and the 90% interval that the spread of records gives.
    """

    local: Estimate
    window: int
    wall_s: tuple[float, float, float]
    usd: tuple[float, float, float]

    def __str__(self) -> str:
        mean, low, high = self.usd
        cost = describe_usd(mean)
        if describe_usd(low) != describe_usd(high):
            cost += f" ({describe_usd(low)} to {describe_usd(high)})"
        return (
            f"{self.local.describe_dataset()}\n"
            f"time     {describe_range(*self.wall_s)} with at most "
            f"{describe_count(self.window, 'task')} at a time\n"
            f"cost     {cost}\n"
            f"{self.local.describe_probe('here')}"
        )


def estimate_for(
    target: Target, settings: CloudSettings, estimate_here: Callable[[], Estimate], *, is_cut: bool = False
) -> StackEstimate:
    """The estimate of a run on the stack that `target` names, from that of this machine.

    Args:
        estimate_here: asked last: it takes seconds, and what is wrong with the rest is told before.
        is_cut: the dataset lies in S3, where the stack cuts it.
    Raises:
        MissingTool, BadOption, AwsRefused, NoSuchStack: the stack was not found, or cannot do it.
    """
    if target.is_rehearsal:
        tariff, window = Tariff(read_prices(), _ARCHITECTURE, _TIMEOUT_S), settings.window
    else:
        stack = find_stack(target.stack, make_session(target.profile, target.region))
        tariff, window = make_tariff(stack), settings.fit(stack, is_cut=is_cut).window
    return estimate_on_stack(estimate_here(), tariff, window or _CONCURRENCY)


def estimate_on_stack(local: Estimate, tariff: Tariff, window: int) -> StackEstimate:
    """The same for a tariff and so many tasks at a time."""
    models = [_model(local, record_ms / 1e3, tariff, window) for record_ms in local.record_ms]
    wall_s, work_usd = zip(*models, strict=True)
    cut_usd = _cut_usd(local, tariff)
    usd = tuple(each + cut_usd for each in work_usd)
    return StackEstimate(local, window, _triple(wall_s), _triple(usd))


def _model(local: Estimate, record_s: float, tariff: Tariff, window: int) -> tuple[float, float]:
    """Seconds, and dollars but for cutting, were every record as long as this."""
    work_s = local.n_records * record_s
    n_slices = max(local.n_chunks, min(local.n_records, ceil(work_s / SLICE_S)))
    n_workers = max(1, min(window, n_slices))
    cold_s = _INIT_S + local.start_s
    ramp_s = n_workers / _RAMP_PER_S / 2  # on average an environment comes half way through it
    cut_s = local.n_bytes / _CUT_BYTES_PER_S if local.is_in_s3 else 0.0
    wall_s = _submit_s(local, cut_s) + cold_s + ramp_s + _TICK_S + _SETTLE_S
    wall_s += (work_s + n_slices * _TASK_S) / n_workers
    billed_ms = int(1000 * (work_s / n_slices + _TASK_S + cold_s * n_workers / n_slices))
    slice_key = OutcomeKey("s", ChunkId(0, 1), SpanSet.range(0, 1), "0", "small", billed_ms, 0, 1)
    n_ticks = 3 + int(wall_s / _TICK_S)
    spent = measure_spend(tariff, [slice_key] * n_slices, {}, local.n_chunks, n_ticks, n_ticks * 500)
    return wall_s, spent.total + estimate_settling(tariff, n_slices).total


def _cut_usd(local: Estimate, tariff: Tariff) -> float:
    """Dollars of a dataset's cutting in the stack: two maps over its parts, and three steps around them."""
    if not local.is_in_s3:
        return 0.0
    n_items = 1 + local.n_bytes // PART_BYTES
    item_ms = ceil(1000 * local.n_bytes / _CUT_BYTES_PER_S / n_items / 2)
    items = [PaidKey("cut", str(number), item_ms, 0, 1) for number in range(2 * n_items)]
    steps = [
        PaidKey("cut", f"step-{place}", _CUT_STEP_MS, n, 2) for place, n in enumerate((n_items, n_items, 0))
    ]
    return measure_preparing(tariff, [*items, *steps]).total


def _submit_s(local: Estimate, cut_s: float) -> float:
    """Until the last chunk is there: uploaded from here, or cut in the stack, its parts side by side."""
    if not local.is_in_s3:
        return local.n_bytes / _UPLOAD_BYTES_PER_S
    return _CUT_STEPS_S + cut_s / min(MOST_CUTTERS, 1 + local.n_bytes // PART_BYTES)


def _triple(values: tuple[float, ...]) -> tuple[float, float, float]:
    mean, low, high = values
    return mean, min(low, mean), max(high, mean)
