"""What a run would take on a stack: the probe's draws of the work through the model of the engine, priced.

A Lambda vCPU is taken for a core of this machine. Owns which stack is meant, what submitting takes, and how
figures read. Imports `forecast` and the estimate of a local run. When it is wrong, people pay more than they
were told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from aliquot.aws import S3Store
from aliquot.carried import REFERENCES
from aliquot.keys import PaidKey
from aliquot.ranges import PART_BYTES
from aliquot.spending import MOST_CUTTERS, Tariff, measure_preparing
from aliquot.stages import count_shares
from aliquot.ticks import may_wait
from orchestrator.aws.room import Carry, check_room, name_sizes
from orchestrator.aws.settings import CloudSettings, make_tariff
from orchestrator.aws.site import make_link
from orchestrator.aws.target import Target
from orchestrator.budget import read_prices
from orchestrator.estimate import Estimate, describe_bytes, hold_to_rate
from orchestrator.forecast.draws import STACK_ERROR, USD_ERROR, Interval, find_interval, forecast_all
from orchestrator.forecast.exchanges import ExchangeForecast, forecast_exchange
from orchestrator.forecast.limits import Strain, find_limit, list_strained
from orchestrator.forecast.place import Load, Place, find_rung
from orchestrator.progress import describe_count, describe_range, describe_seconds, describe_usd
from orchestrator.quotas import PROVISIONED, STANDARD
from orchestrator.stack.aws import make_session
from orchestrator.stack.outputs import find_stack

_ARCHITECTURE, _TIMEOUT_S, _CONCURRENCY = "arm64", 150.0, 500  # the template's defaults, for a rehearsal
_TMP_MIB = 2048
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
        place: the stack.
        wall_s, usd: median, and the 90% interval.
        limit: what decides how long it takes, and what lifts it.
        strained: the quota of which it uses most.
        exchanges: between the legs of a chain.
        carry: what each worker fetches first, and loading_usd: the part of `usd` that this is.
    """

    local: Estimate
    place: Place
    wall_s: Interval
    usd: Interval
    limit: str
    strained: Strain
    carry: Carry = field(default_factory=lambda: Carry({}))
    loading_usd: float = 0.0
    exchanges: Sequence[ExchangeForecast] = ()

    def __str__(self) -> str:
        mean, low, high = self.usd
        cost = describe_usd(mean)
        if describe_usd(low) != describe_usd(high):
            cost += f" ({describe_usd(low)} to {describe_usd(high)})"
        return (
            f"{self.local.describe_dataset()}\n"
            f"time     {describe_range(*self.wall_s)} with at most "
            f"{describe_count(self.place.window, 'task')} at a time\n"
            f"{self.local.describe_waiting()}"
            f"cost     {cost}\n"
            f"{self.describe_loading()}"
            f"{''.join(map(describe_exchange, self.exchanges))}"
            f"memory   {describe_rung(self.local.memory_mib // self.local.workers)}\n"
            f"limit    {self.limit}\n"
            f"{self.local.describe_probe('here')}"
        )

    def describe_loading(self) -> str:
        """What workers fetch before they can begin, as a line; empty where it takes hardly any time."""
        if not self.carry.is_told:
            return ""
        taken = f"{describe_seconds(self.carry.fetch_s)}, {describe_usd(self.loading_usd)} of the cost"
        fetches = "fetches up to" if self.carry.has_folders else "first fetches"
        said = f"loading  each worker {fetches} {describe_bytes(self.carry.n_bytes)}: {taken}"
        if self.carry.unsent_bytes:
            sent_s = self.carry.unsent_bytes / _UPLOAD_BYTES_PER_S
            sent = describe_bytes(self.carry.unsent_bytes)
            said += f"; uploaded once: {sent}, {describe_seconds(sent_s)}"
        return f"{said}\n"

    def describe_strain(self) -> str:
        """The quota that it meets first, and what lifts it; else what decides how long it takes."""
        if self.strained.share <= 1:
            return self.limit
        quota = self.strained.quota
        return f"{quota.limit:,.0f} {quota.name}: {quota.lifted_by}"

    def at(self, window: int) -> StackEstimate:
        """The same with so many tasks at a time, wherever they come from."""
        return estimate_at(self.local, replace(self.place, window=window, may_wait=True))


def describe_exchange(found: ExchangeForecast) -> str:
    """What goes through an exchange, as a line."""
    moved = f"{describe_count(found.n_rows, 'row')} in {describe_count(found.n_partitions, 'partition')}"
    asked = f"{describe_count(found.n_reads + found.n_puts, 'request')}"
    taken = f"{describe_seconds(found.wall_s)}, {describe_usd(found.usd)} of the cost"
    return f"exchange {moved} before stage {found.stage}: {asked}, {taken}\n"


def describe_rung(need_mib: int) -> str:
    """Where records of such memory run."""
    rung = find_rung(need_mib)
    if rung == "small":
        return f"{need_mib:,} MiB a worker: rung small"
    if not rung:
        return f"{need_mib:,} MiB a worker: more than any rung has, such records fail"
    return f"{need_mib:,} MiB a worker: such records climb to rung {rung}, where the stack has it"


def estimate_for(
    target: Target, settings: CloudSettings, estimate_here: Callable[[], Estimate], *, is_cut: bool = False
) -> StackEstimate:
    """The estimate of a run on the stack that `target` names, from that of this machine.

    Args:
        estimate_here: asked last: it takes seconds, and what is wrong with the rest is told before.
        is_cut: the dataset lies in S3, where the stack cuts it.
    Raises:
        MissingTool, BadOption, AwsRefused, NoSuchStack: the stack was not found, or cannot do it.
        BadReference: its workers have no room for what the run carries.
    """
    if target.is_rehearsal:
        name, tmp_mib = "rehearsal", _TMP_MIB
        has: Callable[[str], bool] = frozenset[str]().__contains__
        window = settings.window or _CONCURRENCY
        facts: dict[str, Any] = {
            "window": window,
            "concurrency": _CONCURRENCY,
            "budget_usd": settings.budget_usd,
        }
        tariff, ramp = Tariff(read_prices(), _ARCHITECTURE, _TIMEOUT_S), STANDARD
    else:
        session = make_session(target.profile, target.region)
        stack = find_stack(target.stack, session)
        name, tmp_mib = stack.name, stack.tmp_mib
        has = S3Store(make_link(session).s3, stack.bucket, REFERENCES).has
        facts, tariff = settings.fit(stack, is_cut=is_cut).freeze(stack), make_tariff(stack)
        ramp = replace(PROVISIONED, most=stack.concurrency) if stack.is_provisioned else STANDARD
    local = estimate_here()
    check_room(name, tmp_mib, local.references, local.prepared_bytes)
    local = replace(local, sent=frozenset(each.sha256 for each in local.references if has(each.sha256)))
    return estimate_at(local, Place(tariff, facts["window"], may_wait(facts), ramp))


def estimate_at(local: Estimate, place: Place) -> StackEstimate:
    """The same in a known place."""
    load, carry, draws = make_load(local), _carry(local), local.draws
    if local.per_s:
        window = count_shares(local.per_s, local.threads, place.window)
        place = replace(place, window=window, may_wait=False)
        draws = [work.stretch(window, local.per_s) for work in draws]
    found = forecast_all(draws, load, place)
    cut_usd = price_cutting(local.n_bytes, place.tariff) if local.is_in_s3 else 0.0
    begin_s = local.start_s - local.open_s + carry.unsent_bytes / _UPLOAD_BYTES_PER_S
    fetch_usd = carry.n_requests * place.tariff.prices.s3_get
    n_outcomes = round(sum(each.n_tasks for each in found) / len(found))
    exchanges = [forecast_exchange(each, n_outcomes, place) for each in local.exchanges]
    begin_s += sum(each.wall_s for each in exchanges)
    besides_usd = cut_usd + sum(each.usd for each in exchanges)
    wall_s = find_interval([begin_s + each.wall_s for each in found], STACK_ERROR)
    wall_s = hold_to_rate(wall_s, local.n_records, local.per_s)
    usd = find_interval([each.usd + besides_usd + fetch_usd * each.n_workers for each in found], USD_ERROR)
    typical = min(zip(found, draws, strict=True), key=lambda pair: abs(pair[0].wall_s - wall_s[0]))
    strained = list_strained(typical[0], place, load)[0]
    loading_usd = typical[0].n_workers * (fetch_usd + carry.fetch_s * place.tariff.worker_s("small"))
    limit = find_limit(typical[1], typical[0], load, place)
    if local.per_s and typical[1].total_s > local.draws[found.index(typical[0])].total_s:
        limit = f"the rate, {local.per_s:,.4g} records a second"
    return StackEstimate(local, place, wall_s, usd, limit, strained, carry, loading_usd, exchanges)


def make_load(local: Estimate) -> Load:
    """What is submitted: uploaded from here, or cut in the stack."""
    open_s = local.open_s + _carry(local).fetch_s
    return Load(local.n_records, local.n_chunks, _submit_s(local), open_s)


def _carry(local: Estimate) -> Carry:
    """What is prepared is sent by each run anew."""
    sizes = name_sizes([(each.path, each.size_bytes) for each in local.references], local.prepared_bytes)
    unsent = [each.size_bytes for each in local.references if each.sha256 not in local.sent]
    has_folders = any(each.is_folder for each in local.references)
    return Carry(sizes, sum(unsent) + local.prepared_bytes, has_folders)


def price_cutting(n_bytes: int, tariff: Tariff) -> float:
    """Dollars of a dataset's cutting in the stack: two maps over its parts, and three steps around them."""
    n_items = 1 + n_bytes // PART_BYTES
    item_ms = ceil(1000 * n_bytes / _CUT_BYTES_PER_S / n_items / 2)
    items = [PaidKey("cut", str(number), item_ms, 0, 1) for number in range(2 * n_items)]
    steps = [
        PaidKey("cut", f"step-{place}", _CUT_STEP_MS, n, 2) for place, n in enumerate((n_items, n_items, 0))
    ]
    return measure_preparing(tariff, [*items, *steps]).total


def _submit_s(local: Estimate) -> float:
    """Until the last chunk is there: uploaded from here, or cut in the stack, its parts side by side."""
    if not local.is_in_s3:
        return local.n_bytes / _UPLOAD_BYTES_PER_S
    n_cutters = min(MOST_CUTTERS, 1 + local.n_bytes // PART_BYTES)
    return _CUT_STEPS_S + local.n_bytes / _CUT_BYTES_PER_S / n_cutters
