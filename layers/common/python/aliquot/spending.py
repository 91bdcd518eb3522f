"""What a run in a stack has cost, might still cost, and costs to settle: pure functions of keys and counts.

    keys of outcomes, deliveries after the first, ticks --measure_spend--> dollars by what they were paid for
    notes of invocations before the first tally --measure_preparing--> the same
    a budget, what was spent, tasks in flight --is_beyond--> whether to stop before it is crossed

Every outcome's key says what its invocation was billed up to it; an invocation that left none is told by the
delivery that came after it, and priced at the function's whole timeout. So is one before the first tally that
said that it began, and not that it ended. Owns these sums. Imports `keys`,
`roster` and `prices`. When it is wrong, a budget is crossed, or a run stops long before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aliquot.keys import OutcomeKey, PaidKey
from aliquot.prices import RUNG_MB, Prices
from aliquot.roster import Roster

TALLY_MB, REDUCE_MB, CUT_MB, INTAKE_MB = 1769, 3008, 3008, 1769
CUT_TIMEOUT_S = INTAKE_TIMEOUT_S = 900.0
MOST_CUTTERS = 50  # items of a dataset at a time
MOST_TASKS = 1000  # in flight at a time, whatever was asked for
MOST_EXPOSED = 0.2  # of a budget, by the tasks that may be in flight

# counted in the rehearsal (`make bench-cloud`), a task: gets of chunk and stop marker, and two as a share of
# what its environment got at first; the put of its outcome; receive, hide, delete and send of its message.
# The mapping's empty receives are the idle stack's
GETS_PER_OUTCOME, PUTS_PER_OUTCOME, _SQS_PER_OUTCOME = 4, 1, 4
# one that came again: the note of it, and outcomes and voids listed, before and after
_PUTS_PER_REDELIVERY = 5
# a tick: manifest, stop marker and whether it is sealed; chunks, outcomes, voids, both kinds of jobs that did
# not open, and under a budget deliveries after the first; four states, and one for what is tried again
_GETS_PER_TICK, _LISTINGS_PER_TICK, _TRANSITIONS_PER_TICK = 4, 6, 5
# of a stopped epoch, until nothing in flight can still come in: a lease, and a little, of half a second each
_DRAIN_TICKS, _DRAIN_TICK_MS = 16, 500
KEYS_PER_LISTING = 1000
# as the state machine has them: Prepare and IsPrepared, CutStep and IsCut, CutSome and IsSomeLeft; CutParts;
# the child's start and SomeCut; IsSuccessor, BeginCut and BeginInEpoch
TRANSITIONS_PER_PAID, TRANSITIONS_PER_MAP, TRANSITIONS_PER_ITEM, TRANSITIONS_PER_CUT = 2, 1, 2, 3
# an invocation: two notes and a listing; manifest, markers, a part by windows of 4 MiB, objects looked for
_NOTES_PER_PAID, _GETS_PER_PAID, _GETS_PER_PUT = 3, 30, 2
_MOST_CUT_PUTS = 1100  # by one that is not over: of 500 small parts a chunk and a note each, and more
_REFUSAL_S, _REFUSAL_PUTS = 2.0, 4  # of an item whose epoch was stopped, cold start included
# of the five steps of a dataset of one part four are over when the last begins
_SHORT_STEPS, _SHORT_STEP_MS, _SHORT_STEP_PUTS = 4, 5000, 10
# measured in the rehearsal, with room: reading, merging and writing what one outcome holds, and what all hold
_REDUCE_S_PER_OUTCOME, _REDUCE_S_PER_GROUP, _OUTCOMES_PER_GROUP = 0.25, 5.0, 256


@dataclass(frozen=True)
class Tariff:
    """What decides a run's cost besides its work, frozen with its manifest.

    Args:
        architecture: of the stack's functions.
        timeout_s: of a worker's function.
    """

    prices: Prices
    architecture: str
    timeout_s: float

    def to_plain(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "prices": self.prices.to_plain(),
            "architecture": self.architecture,
            "timeout_s": self.timeout_s,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Tariff:
        """The tariff of plain values."""
        return cls(Prices.from_plain(plain["prices"]), plain["architecture"], plain["timeout_s"])

    def worker_s(self, rung: str) -> float:
        """A second of a rung's worker; of a rung that costs nothing (a tombstone's) nothing."""
        return self.prices.memory_s(self.architecture, RUNG_MB.get(rung, 0))

    @property
    def task_usd(self) -> float:
        """The most that one task in flight on the lowest rung can cost before it is heard of again."""
        return self.worker_s("small") * self.timeout_s + self.prices.lambda_request

    def exposed_usd(self, in_flight: Mapping[str, int]) -> float:
        """The most that tasks in flight can cost, by rung."""
        return sum(
            n_tasks * (self.worker_s(rung) * self.timeout_s + self.prices.lambda_request)
            for rung, n_tasks in in_flight.items()
        )


@dataclass(frozen=True)
class Spend:
    """Dollars by what they were paid for.

    Args:
        crashed: part of `compute`: invocations that left nothing.
    """

    compute: float = 0.0
    requests: float = 0.0
    s3: float = 0.0
    sqs: float = 0.0
    step_functions: float = 0.0
    crashed: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.compute + self.requests + self.s3 + self.sqs + self.step_functions

    def __add__(self, other: Spend) -> Spend:
        return Spend(**{name: usd + getattr(other, name) for name, usd in vars(self).items()})

    def to_plain(self) -> dict[str, float]:
        """Plain values, rounded to a hundredth of a cent's hundredth."""
        return {**{name: round(usd, 6) for name, usd in vars(self).items()}, "total": round(self.total, 6)}


def measure_spend(
    tariff: Tariff,
    outcomes: Iterable[OutcomeKey],
    redelivered: Mapping[str, int],
    n_chunks: int,
    n_ticks: int,
    tally_ms: int,
) -> Spend:
    """What a run's work, submission and tallies have cost so far.

    Args:
        outcomes: every one that was paid for, voided and doubled ones too.
        redelivered: deliveries after the first by rung: each tells of an invocation that ended unheard.
        n_chunks: that were put.
        n_ticks, tally_ms: tallies so far, and the time that they took.
    """
    prices = tariff.prices
    n_outcomes, compute = 0, 0.0
    for outcome in outcomes:
        n_outcomes += 1
        compute += outcome.billed_ms / 1000 * tariff.worker_s(outcome.rung)
    crashed = sum(n * tariff.worker_s(rung) * tariff.timeout_s for rung, n in redelivered.items())
    compute += crashed + tally_ms / 1000 * prices.memory_s(tariff.architecture, TALLY_MB)
    n_redelivered = sum(redelivered.values())
    n_listings = n_ticks * (_LISTINGS_PER_TICK + (n_outcomes + n_chunks) // KEYS_PER_LISTING)
    n_puts = n_chunks + n_outcomes * PUTS_PER_OUTCOME + n_redelivered * _PUTS_PER_REDELIVERY + n_listings
    n_gets = n_outcomes * GETS_PER_OUTCOME + n_ticks * _GETS_PER_TICK
    return Spend(
        compute=compute,
        requests=(n_outcomes + n_redelivered + n_ticks) * prices.lambda_request,
        s3=n_puts * prices.s3_put + n_gets * prices.s3_get,
        sqs=(n_outcomes * _SQS_PER_OUTCOME + n_redelivered + n_ticks) * prices.sqs_request,
        step_functions=n_ticks * _TRANSITIONS_PER_TICK * prices.step_transition,
        crashed=crashed,
    )


def measure_preparing(tariff: Tariff, paid: Iterable[PaidKey], n_chunks: int = 0) -> Spend:
    """What a run has cost before its first tally: taken in, its job prepared, its dataset cut in the stack.

    Args:
        paid: all notes of it, in any order.
        n_chunks: whose puts are counted elsewhere, as `measure_spend` does.
    """
    prices, notes = tariff.prices, _join_notes(paid)
    crashed = compute = 0.0
    n_puts = n_steps = 0
    for note in notes:
        a_second, timeout_s = _price_paid(tariff, note.kind)
        if note.billed_ms is None:
            crashed += timeout_s * a_second
            n_puts += _MOST_CUT_PUTS if note.kind == "cut" else 0
        else:
            compute += note.billed_ms / 1000 * a_second
        n_puts += note.n_puts
        n_steps += TRANSITIONS_PER_PAID * (note.kind != "intake") + TRANSITIONS_PER_MAP * bool(note.n_items)
        n_steps += TRANSITIONS_PER_ITEM * note.n_items
    n_gets = len(notes) * _GETS_PER_PAID + n_puts * _GETS_PER_PUT
    n_puts = max(0, n_puts - n_chunks) + len(notes) * _NOTES_PER_PAID
    return Spend(
        compute=compute + crashed,
        requests=len(notes) * prices.lambda_request,
        s3=n_puts * prices.s3_put + n_gets * prices.s3_get,
        step_functions=(n_steps + TRANSITIONS_PER_CUT * bool(notes)) * prices.step_transition,
        crashed=crashed,
    )


def _join_notes(paid: Iterable[PaidKey]) -> list[PaidKey]:
    """One note of each invocation: its bill where there is one."""
    found: dict[tuple[str, str], PaidKey] = {}
    for note in paid:
        place = note.kind, note.invocation
        if note.billed_ms is not None or place not in found:
            found[place] = note
    return list(found.values())


def _price_paid(tariff: Tariff, kind: str) -> tuple[float, float]:
    """Dollars of a second of such an invocation, and its function's timeout in seconds."""
    prices, architecture = tariff.prices, tariff.architecture
    if kind == "prepare":
        return tariff.worker_s("small"), tariff.timeout_s
    if kind == "intake":
        return prices.memory_s(architecture, INTAKE_MB), INTAKE_TIMEOUT_S
    return prices.memory_s(architecture, CUT_MB), CUT_TIMEOUT_S


def _measure_refusals(tariff: Tariff, paid: Iterable[PaidKey]) -> Spend:
    """What the items that are handed out and have not begun cost even if the epoch is stopped now."""
    notes = [note for note in _join_notes(paid) if note.kind == "cut"]
    n_begun = sum(not note.n_items for note in notes)
    n_left = max(0, sum(note.n_items for note in notes) - n_begun)
    a_second, _ = _price_paid(tariff, "cut")
    return Spend(
        compute=n_left * _REFUSAL_S * a_second,
        requests=n_left * tariff.prices.lambda_request,
        s3=n_left * _REFUSAL_PUTS * tariff.prices.s3_put,
        step_functions=n_left * TRANSITIONS_PER_PAID * tariff.prices.step_transition,
    )


def measure_settling(tariff: Tariff, reduce_ms: int, n_outcomes: int, n_groups: int) -> Spend:
    """What merging the groups of a roster has cost, publishing included.

    Args:
        reduce_ms: the time that all its functions took.
    """
    prices = tariff.prices
    return Spend(
        compute=reduce_ms / 1000 * prices.memory_s(tariff.architecture, REDUCE_MB),
        requests=(n_groups + 1) * prices.lambda_request,
        s3=(n_groups * 8 + 8) * prices.s3_put + n_outcomes * 4 * prices.s3_get,
        step_functions=(n_groups * 3 + 12) * prices.step_transition,
    )


def measure_duplicates(tariff: Tariff, outcomes: Iterable[OutcomeKey], roster: Roster) -> float:
    """Dollars of compute for answers that the roster does not count: somebody else's counts."""
    counted: dict[OutcomeKey, int] = {}
    for shares in roster.shares.values():
        for share in shares:
            counted[share.outcome] = counted.get(share.outcome, 0) + len(share.spans)
    return sum(
        outcome.billed_ms
        / 1000
        * tariff.worker_s(outcome.rung)
        * (1 - counted.get(outcome, 0) / len(outcome.spans))
        for outcome in outcomes
    )


def write_invoice(
    tariff: Tariff,
    stages: Mapping[str, Spend],
    preparing: Spend,
    settling: Spend,
    duplicates_usd: float,
    estimated_usd: float | None,
) -> dict[str, Any]:
    """A run's bill as JSON: by stage and what it was paid for, what of it was wasted, and the total.

    Args:
        stages: what the work of each has cost.
        estimated_usd: what its plan said, None where there was none.
    """
    work = sum(stages.values(), Spend())
    crashed_usd = preparing.crashed + work.crashed
    return {
        "currency": "USD",
        "prices_as_of": tariff.prices.as_of,
        "architecture": tariff.architecture,
        "preparing": preparing.to_plain(),
        "stages": {name: spend.to_plain() for name, spend in stages.items()},
        "settling": settling.to_plain(),
        "wasted": {"duplicates": round(duplicates_usd, 6), "crashes": round(crashed_usd, 6)},
        "total": round((preparing + work + settling).total, 6),
        "estimated": estimated_usd,
    }


def estimate_settling(tariff: Tariff, n_outcomes: int) -> Spend:
    """What merging and publishing so many outcomes will cost."""
    n_groups = 1 + n_outcomes // _OUTCOMES_PER_GROUP
    seconds = n_outcomes * _REDUCE_S_PER_OUTCOME + (n_groups + 1) * _REDUCE_S_PER_GROUP
    return measure_settling(tariff, int(seconds * 1000), n_outcomes, n_groups)


def afford_window(tariff: Tariff, budget_usd: float, window: int) -> int:
    """How many tasks may be in flight so that they put at most MOST_EXPOSED of the budget at stake."""
    return max(1, int(min(window, MOST_EXPOSED * budget_usd / tariff.task_usd)))


def estimate_stake_usd(tariff: Tariff, in_flight: Mapping[str, int], n_outcomes: int) -> float:
    """The most that a run can still cost if it is stopped now: what is in flight, draining and settling."""
    settling = estimate_settling(tariff, n_outcomes + sum(in_flight.values()))
    draining = measure_spend(tariff, (), {}, 0, _DRAIN_TICKS, _DRAIN_TICKS * _DRAIN_TICK_MS)
    return tariff.exposed_usd(in_flight) + draining.total + settling.total


def estimate_least_usd(tariff: Tariff, *, is_cut: bool = False, is_prepared: bool = False) -> float:
    """What a budget has to exceed: one task, draining and settling, before anything was spent.

    Args:
        is_cut: in the stack: besides, one invocation of cut in full, and the steps of a dataset of one part.
        is_prepared: in the stack: besides, one invocation of a worker in full.
    """
    paid = [PaidKey("prepare", "")] if is_prepared else []
    if is_cut:
        steps = range(_SHORT_STEPS)
        paid += [PaidKey("cut", str(step), _SHORT_STEP_MS, 1, _SHORT_STEP_PUTS) for step in steps]
        paid.append(PaidKey("cut", ""))
    return measure_preparing(tariff, paid).total + estimate_stake_usd(tariff, {"small": 1}, 0)


def is_beyond_before_work(
    tariff: Tariff, budget_usd: float, paid: Sequence[PaidKey], n_more: int = 0
) -> bool:
    """Whether what was spent before the first tally, and is needed to stop, might reach the budget.

    Args:
        paid: all notes of it, those of invocations that have begun included.
        n_more: invocations of cut, in full, to be counted besides.
    """
    more = [PaidKey("cut", f"more-{number}") for number in range(n_more)]
    spent = measure_preparing(tariff, [*paid, *more]) + _measure_refusals(tariff, paid)
    return is_beyond(tariff, budget_usd, spent, {"small": 1}, 0)


def is_beyond(
    tariff: Tariff, budget_usd: float, spent: Spend, in_flight: Mapping[str, int], n_outcomes: int
) -> bool:
    """Whether what was spent, is at stake and is needed to settle might together reach the budget."""
    return spent.total + estimate_stake_usd(tariff, in_flight, n_outcomes) >= budget_usd
