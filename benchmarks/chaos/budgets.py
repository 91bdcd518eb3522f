"""Budgets from 10 to 90% of a run's cost, with kills on, on a simulated stack.

Owns these runs and what is wrong with one. Imports `benchmarks.simulated`; nothing here waits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from aliquot.ledger import BUDGET_REACHED, SETTLED
from aliquot.spans import SpanSet
from aliquot.spending import afford_window, estimate_least_usd
from benchmarks.chaos.report import Ran
from benchmarks.simulated.place import Weather, make_tariff
from benchmarks.simulated.stack import SimulatedStack

_SHARES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)


def run_budgets(seed: int, numbers: range) -> Iterator[Ran]:
    """Simulated runs, each under a budget of a share of what it costs."""
    for number in numbers:
        yield run_budget(f"{seed}:{number}", number)


def run_budget(seed: str, number: int) -> Ran:
    """One run under kills and a budget, held against its bill and its own roster."""
    draw = random.Random(f"budget:{seed}")
    scale_s = draw.choice((0.2, 1.0, 5.0))
    n_chunks, n_records = draw.choice(((40, 60), (12, 200), (4, 500)))
    times = [[draw.lognormvariate(0, 0.8) * scale_s for _ in range(n_records)] for _ in range(n_chunks)]
    window = draw.choice((4, 16, 64))
    calm = SimulatedStack(times, Weather(), random.Random(seed), None, window)
    calm.run()
    share = draw.choice(_SHARES)
    budget_usd = share * calm.total_usd
    weather = Weather(
        kill=draw.choice((0.0, 0.05, 0.2)),
        hang=draw.choice((0.0, 0.02)),
        duplicate=draw.choice((0.0, 0.05, 0.3)),
        late=draw.choice((0.0, 0.1)),
    )
    tariff = make_tariff()
    case = f"{share:.0%} of ${calm.total_usd:.2f}"
    if budget_usd <= estimate_least_usd(tariff):
        return Ran("budget", case, number, {"refused budget": 1})
    window = afford_window(tariff, budget_usd, window)
    run = SimulatedStack(times, weather, draw, budget_usd, window)
    run.run()
    over_usd = max(0.0, run.total_usd - budget_usd)
    trouble, lost, doubled = _judge(run, n_chunks * n_records)
    counted = {"budget": 1, **{kind: count for kind, count in run.counted.items() if count}}
    slow_down = run.now_s / calm.now_s
    return Ran("budget", case, number, counted, lost, doubled, over_usd, trouble, run.now_s, slow_down)


def _judge(run: SimulatedStack, n_records: int) -> tuple[str, int, int]:
    """What is wrong with the roster: in words, records lost, records there twice."""
    if not run.rosters:
        return "never settled", n_records, 0
    roster = run.rosters[-1]
    n_answered = n_doubled = 0
    for shares in roster.shares.values():
        spans = [span for share in shares for span in share.spans.spans]
        n_answered += len(SpanSet.of(spans))
        n_doubled += sum(end - first for first, end in spans) - len(SpanSet.of(spans))
    n_open = sum(map(len, roster.not_tried.values()))
    reasons = {stop.reason for stop in run.ledger.list_stops()}
    trouble = "" if reasons <= {BUDGET_REACHED, SETTLED} else f"ended as {reasons}"
    return trouble, n_records - n_answered - n_open, n_doubled
