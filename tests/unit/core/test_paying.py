"""What is paid before the first tally is noted, and held to the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from aliquot.chunk import Chunk
from aliquot.cutter import Cutter, describe_reads
from aliquot.errors import StoreError, Undecodable
from aliquot.keys import ChunkId, PaidKey
from aliquot.ledger import BUDGET_REACHED, SETTLED, TIME_REACHED, Ledger
from aliquot.outcome import Outcome
from aliquot.paying import Bill, Purse
from aliquot.prices import Prices
from aliquot.queues import TaskQueues
from aliquot.readers import Source
from aliquot.rows import make_block
from aliquot.spending import Tariff, estimate_least_usd, estimate_stake_usd, measure_preparing
from aliquot.stages import StageNote
from aliquot.store import FolderStore
from aliquot.tally import TickState
from aliquot.ticks import Ticker, measure_earlier, read_tariff, write_run_invoice
from benchmarks.fuzz import stacks

TARIFF = Tariff(Prices(), "arm64", 150.0)
RICH, POOR = 100.0, 0.03


class CountedStore(FolderStore):
    """A folder that counts what is asked of it, and refuses keys at will."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listed: list[str] = []
        self.refused = ""

    def list_keys(self, prefix: str) -> list[str]:
        """As a folder's."""
        self.listed.append(prefix)
        return super().list_keys(prefix)

    def put(self, key: str, body: bytes) -> None:
        """As a folder's."""
        if self.refused and self.refused in key:
            raise StoreError(key, "SlowDown")
        super().put(key, body)


class Clock:
    """A monotonic clock."""

    s = 1000.0

    def __call__(self) -> int:
        return int(self.s * 1e9)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(CountedStore(tmp_path))


def list_looks(ledger: Ledger) -> int:
    assert isinstance(ledger.store, CountedStore)
    return ledger.store.listed.count("paid/")


def make_settings(budget_usd: float | None) -> dict[str, Any]:
    return {"budget_usd": budget_usd, "tariff": TARIFF.to_plain(), "window": 4, "max_failed": "5%"}


def pay(
    ledger: Ledger,
    budget_usd: float | None,
    *,
    work: Callable[[Bill], object] = lambda _: None,
    purse: Purse | None = None,
    place: object = None,
) -> list[PaidKey]:
    """One invocation of cut, of 1.5 s; gives its notes."""
    clock = Clock()
    before = set(ledger.list_paid())
    with (purse or Purse(clock)).pay(ledger, make_settings(budget_usd), "cut", 0, clock(), place) as bill:
        clock.s += 1.5
        work(bill)
    return sorted(set(ledger.list_paid()) - before, key=str)


def test_invocation_says_that_it_begins_and_what_it_is_billed(ledger: Ledger) -> None:
    def work(bill: Bill) -> None:
        bill.n_items = 3
        bill.ledger.store.put("cut/a", b"")
        bill.ledger.store.put_once("cut/b", b"")

    begun, ended = pay(ledger, None, work=work)
    assert begun == PaidKey("cut", begun.invocation)
    assert ended == PaidKey("cut", begun.invocation, 1600, 3, 2)


def test_invocation_that_fails_is_billed_too(ledger: Ledger) -> None:
    def fail(_: Bill) -> None:
        raise StoreError("cut/a", "SlowDown")

    with pytest.raises(StoreError, match="SlowDown"):
        pay(ledger, None, work=fail)
    assert [note.billed_ms for note in sorted(ledger.list_paid(), key=str)] == [None, 1600]


def test_bill_that_cannot_be_put_ends_nothing(ledger: Ledger) -> None:
    """What was done is done; it is priced at the whole timeout."""

    def refuse_notes(_: Bill) -> None:
        assert isinstance(ledger.store, CountedStore)
        ledger.store.refused = "paid/"

    (begun,) = pay(ledger, None, work=refuse_notes)
    assert begun.billed_ms is None


def test_note_that_is_spelt_otherwise_is_named(ledger: Ledger) -> None:
    ledger.store.put("paid/cut-1", b"")
    with pytest.raises(Undecodable, match="paid/cut-1"):
        ledger.list_paid()


@pytest.mark.parametrize(("budget_usd", "is_stopped"), [(None, False), (RICH, False), (POOR, True)])
def test_epoch_is_stopped_before_the_budget_is_reached(
    ledger: Ledger, budget_usd: float | None, *, is_stopped: bool
) -> None:
    seen: list[bool] = []
    pay(ledger, budget_usd, work=lambda bill: seen.append(bill.ledger.is_stopped(0)))
    assert seen == [is_stopped]
    assert [stop.reason for stop in ledger.list_stops()] == [BUDGET_REACHED] * is_stopped


def test_invocations_in_flight_are_counted_in_full(ledger: Ledger) -> None:
    """Two do not fit: the second to begin sees the first."""
    budget_usd = 1.2 * estimate_least_usd(TARIFF, is_cut=True)
    pay(ledger, budget_usd, work=lambda _: pay(ledger, budget_usd))
    assert [stop.reason for stop in ledger.list_stops()] == [BUDGET_REACHED]


def test_run_that_is_cut_is_not_stopped_by_a_step_that_finds_it_so(ledger: Ledger) -> None:
    """A resumed run asks for the steps again: there is nothing to be done, and the tallies decide."""
    ledger.seal(0, 0)
    pay(ledger, POOR)
    assert not ledger.list_stops()


def test_budget_that_is_far_is_looked_at_once_a_timeout(ledger: Ledger) -> None:
    """16,000 items of a terabyte would list each other's notes 128 million times."""
    clock, place = Clock(), ("run", "cut", None)
    purse = Purse(clock)
    for _ in range(5):
        purse.hold(ledger, make_settings(RICH), 0, place)
    assert list_looks(ledger) == 1
    for other in (("run", "count", 0), ("other", "cut", None)):  # others may have handed out since
        purse.hold(ledger, make_settings(RICH), 0, other)
    assert list_looks(ledger) == 3
    clock.s += 901
    purse.hold(ledger, make_settings(RICH), 0, ("other", "cut", None))
    assert list_looks(ledger) == 4


def test_budget_that_is_near_is_looked_at_each_time(ledger: Ledger) -> None:
    purse = Purse(Clock())
    for _ in range(3):
        purse.hold(ledger, make_settings(1.0), 0, ("run", "cut", None))
    assert list_looks(ledger) == 3


def make_manifest(path: str, budget_usd: float | None = None) -> dict[str, Any]:
    source = asdict(Source(path, "csv", size_bytes=100, etag="etag"))
    return {
        "stages": [StageNote("work").to_plain()],
        "settings": make_settings(budget_usd),
        "identity": {"sources": [source], "columns": {}, "keep": []},
        "reads": describe_reads(None),
    }


@pytest.mark.parametrize(("path", "n_looks"), [("s3://data/a.csv", 1), ("a.csv", 0)])
def test_only_runs_that_are_cut_in_the_stack_have_notes_looked_for(
    ledger: Ledger, path: str, n_looks: int
) -> None:
    """A tick lists no more for runs that have none."""
    manifest = make_manifest(path)
    ledger.begin(manifest)
    ledger.seal(0, 0)
    ledger.note_paid(PaidKey("cut", "0" * 32, 2000))
    ledger.settle("work", 0)
    ledger.stop(0, SETTLED, {})
    invoice = write_run_invoice(ledger, manifest, 0, TickState(), 0, 0)
    assert list_looks(ledger) == n_looks
    assert (invoice["preparing"]["total"] > 0) == bool(n_looks)
    parts = invoice["preparing"], invoice["stages"]["work"], invoice["settling"]
    assert invoice["total"] == pytest.approx(sum(each["total"] for each in parts), abs=2e-6)


def test_invoice_of_a_resumed_run_has_what_its_earlier_epochs_took(ledger: Ledger) -> None:
    """Outcomes tell of themselves, in whatever epoch; tallies and merges do not."""
    manifest = make_manifest("a.csv")
    ledger.begin(manifest)
    ledger.seal(0, 0)
    totals = []
    for epoch in range(3):
        ledger.settle("work", epoch)
        invoice = write_run_invoice(ledger, manifest, epoch, TickState(n_ticks=10, tally_ms=5000), 1, 2000)
        again = write_run_invoice(ledger, manifest, epoch, TickState(n_ticks=10, tally_ms=5000), 1, 2000)
        assert again == invoice  # whoever publishes once more counts nothing twice
        ledger.stop(epoch, SETTLED, {})
        totals.append((invoice["stages"]["work"]["total"], invoice["settling"]["total"]))
    work, settling = zip(*totals, strict=True)
    assert work == pytest.approx([work[0], 2 * work[0], 3 * work[0]], abs=2e-6)
    assert settling == pytest.approx([settling[0], 2 * settling[0], 3 * settling[0]], abs=2e-6)


def test_tick_of_a_resumed_run_counts_what_its_earlier_epochs_took(ledger: Ledger) -> None:
    """A new total includes what was spent."""
    manifest = make_manifest("a.csv", 0.06)
    ledger.begin(manifest)
    ticker = Ticker("run", ledger, manifest, _NoQueues(), lambda _: None, 180)  # type: ignore[arg-type,return-value]
    ledger.stop(0, TIME_REACHED, {})
    assert ticker.tick(None)["phase"] == "running"
    assert not ledger.is_stopped(1)
    ledger.note_bill(
        0, {"n_ticks": 10, "tally_ms": 5000, "n_groups": 1, "reduce_ms": 2_000_000, "n_outcomes": 3}
    )
    ticker.tick(None)
    assert ledger.is_stopped(1)


@pytest.mark.parametrize("bill", ["{}", '{"n_ticks": "x"}', "[]", "x"])
def test_garbled_bill_is_told_by_its_name(ledger: Ledger, bill: str) -> None:
    manifest = make_manifest("a.csv", 0.06)
    ledger.store.put("merge/0000/bill.json", bill.encode())
    with pytest.raises(Undecodable, match=r"bill\.json"):
        measure_earlier(read_tariff(manifest["settings"]), ledger, 1)


@pytest.mark.parametrize(("billed_ms", "is_stopped"), [(2000, False), (None, True)])
def test_tick_counts_what_was_paid_before_it(
    ledger: Ledger, billed_ms: int | None, *, is_stopped: bool
) -> None:
    manifest = make_manifest("s3://data/a.csv", 0.06)
    ledger.begin(manifest)
    for digit in "01":
        ledger.note_paid(PaidKey("cut", digit * 32, billed_ms))
    ticker = Ticker("run", ledger, manifest, _NoQueues(), lambda _: None, 180)  # type: ignore[arg-type,return-value]
    assert ticker.tick(None)["phase"] == "running"
    assert ledger.is_stopped(0) == is_stopped


@pytest.mark.parametrize(
    ("budget_usd", "phase", "reason"), [(0.06, "exchanging", None), (0.002, "running", BUDGET_REACHED)]
)
def test_an_exchange_that_the_budget_cannot_pay_is_not_begun(
    ledger: Ledger, budget_usd: float, phase: str, reason: str | None
) -> None:
    manifest = make_manifest("a.csv", budget_usd)
    manifest["stages"].append(StageNote("behind", exchange="key").to_plain())
    chunk = ChunkId(0, 1)
    ledger.put_chunk(chunk, Chunk(0, 1, {"id": ["a"]}, provenance=((0, 0, 1),)).to_bytes())
    ledger.seal(1, 1)
    block = make_block(0, [[{"key": "a"}]], [None], ())
    ledger.put_outcome(
        "work", chunk, chunk.all_records, Outcome({0: block.pack()}, {}, 1), 1000, rung="small"
    )
    ticker = Ticker("run", ledger, manifest, _NoQueues(), lambda _: None, 180)  # type: ignore[arg-type,return-value]
    said = ticker.tick(None)
    stop = ledger.read_stop(0)
    assert (said["phase"], stop and stop.reason) == (phase, reason)
    assert bool(said["groups_key"]) == (phase == "exchanging")


class _NoQueues(TaskQueues):
    def __init__(self) -> None:
        pass

    @property
    def rungs(self) -> list[str]:
        return ["small"]

    def measure(self) -> dict[str, int]:
        return {"small": 0}

    def send(self, messages: Any) -> None:
        assert not messages


@pytest.mark.parametrize(("room_usd", "following"), [(2.0, "done"), (100.0, "number")])
def test_items_that_cannot_all_be_refused_are_not_handed_out(room_usd: float, following: str) -> None:
    """A child of the map costs what it costs even where it finds the epoch stopped."""
    dear = Tariff(Prices.from_plain({"step_transition": 1.0}), "arm64", 150.0)
    begun = measure_preparing(dear, [PaidKey("cut", "a")]).total + estimate_stake_usd(dear, {"small": 1}, 0)
    stack = stacks.Stack({key: body for key, body in stacks.half_way().items() if "sealed" not in key[1]})
    ledger = stack.cloud.ledger_of(stacks.RUN)
    manifest = ledger.read_manifest()
    assert manifest is not None
    limits = {"budget_usd": begun + room_usd, "tariff": dear.to_plain()}
    ledger.replace_manifest({**manifest, "settings": {**manifest["settings"], **limits}})
    for event in ({"step": "plan", "epoch": None}, {"step": "count", "epoch": 0, "parts": [0, 1]}):
        said = stack.cloud.cut({"run": stacks.RUN, **event}, 10.0)
        if event["step"] == "plan":
            assert (said["epoch"], said["next"], bool(said["parts_key"])) == (
                0,
                following,
                following != "done",
            )
    assert [stop.reason for stop in ledger.list_stops()] == [BUDGET_REACHED] * (following == "done")
    bills = [note for note in ledger.list_paid() if note.billed_ms is not None]
    assert sorted(note.n_items for note in bills) == [0, 1]
    assert all(100 <= note.billed_ms < 10_000 for note in bills if note.billed_ms is not None)


def refuse_to_open(source: Source) -> BinaryIO:
    raise AssertionError(f"{source} was opened")


def test_cutter_does_nothing_in_an_epoch_whose_budget_is_reached(ledger: Ledger) -> None:
    """The dataset is not even opened."""
    manifest = make_manifest("s3://data/a.csv", POOR)
    ledger.begin(manifest)
    said: list[dict[str, Any]] = []

    def work(bill: Bill) -> None:
        cutter = Cutter(bill.ledger, "run", "runs/run/", refuse_to_open)
        events = {"step": "plan"}, {"step": "count", "parts": [0, 1]}
        said.extend(cutter.take({"run": "run", "epoch": 0, **event}, 900.0) for event in events)

    pay(ledger, POOR, work=work)
    assert said == [{"epoch": 0, "next": "done", "parts_key": ""}, {"again": False}]
