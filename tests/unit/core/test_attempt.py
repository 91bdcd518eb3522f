"""A step: each record's failure to itself, for jobs that read one record and for jobs that read ahead."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from itertools import islice
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.attempt import JobBroken, Step
from aliquot.errors import ParseFailure, TryAgain
from aliquot.failing import describe_failure
from aliquot.job import Answer
from aliquot.outcome import Failure
from aliquot.page import ANSWERED, READ
from aliquot.retries import choose_pause_s, is_retryable, read_wait_s
from aliquot.rows import Block

Call = Callable[[Iterable[Any]], Iterator[Any]]


class Hit(NamedTuple):
    n: int
    word: str


class Odd(Exception):
    pass


def one_by_one(function: Callable[[int], Any]) -> Call:
    return lambda records: map(function, records)


def ahead(count: int | None) -> Callable[[Callable[[int], Any]], Call]:
    """Read `count` records (all where None) before the first of them is answered."""

    def make(function: Callable[[int], Any]) -> Call:
        def run(records: Iterable[int]) -> Iterator[Any]:
            source = iter(records)
            while batch := list(islice(source, count)):
                yield from [function(record) for record in batch]

        return run

    return make


SHAPES = pytest.mark.parametrize(
    "shape", [one_by_one, ahead(8), ahead(None)], ids=["one", "ahead-8", "ahead-all"]
)


class Run:
    """One step over records 0..n (each its own number) of a toy job."""

    def __init__(
        self,
        call: Call,
        n: int = 20,
        *,
        first: int = 0,
        bad: Iterable[int] = (),
        columns: tuple[str, ...] = (),
        budget_s: float = 60.0,
        retry: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.n_armed = 0
        self.slot = memoryview(bytearray(64)).cast("q")
        self.step = Step(
            call=call,
            records=lambda a, b: iter(range(a, b)),
            bad={index: Failure(index, "parse", f"line {index} does not parse") for index in bad},
            columns=columns,
            slot=self.slot,
            stop_ns=time.monotonic_ns() + int(budget_s * 1e9),
            arm=self._arm,
            retry=retry,
        )
        self.block: Block = self.step.run(first, n)

    def _arm(self, _wait_s: float) -> None:
        self.n_armed += 1

    @property
    def rows(self) -> list[Any]:
        """The column `n`, and how many rows each record gave."""
        return [list(self.block.columns.get("n", [])), list(self.block.counts)]

    @property
    def failed(self) -> dict[int, str]:
        return {
            failure.index: failure.message for failure in sorted(self.step.failures, key=lambda f: f.index)
        }


def _fail_on(*culprits: int, err: Callable[[], BaseException] = lambda: Odd("odd")) -> Callable[[int], Any]:
    def work(record: int) -> Any:
        if record in culprits:
            raise err()
        return {"n": record}

    return work


@SHAPES
def test_rows_stand_at_their_records(shape: Any) -> None:
    run = Run(shape(lambda n: [{"n": n}] * (n % 3)), 20)
    assert run.rows == [[n for n in range(20) for _ in range(n % 3)], [n % 3 for n in range(20)]]
    assert run.step.at == 20
    assert not run.failed
    assert (run.slot[READ], run.slot[ANSWERED]) == (20, 20)
    assert run.n_armed


def test_records_have_their_whole_deadline_after_long_ones() -> None:
    """The timer is armed for one record's deadline; not at each record, which costs short ones a call."""
    run = Run(one_by_one(lambda n: time.sleep(0.3 * (n < 3)) or {"n": n}), 1000)
    assert 4 <= run.n_armed < 1000


@SHAPES
def test_an_exception_costs_its_record_alone(shape: Any) -> None:
    run = Run(shape(_fail_on(0, 7, 8, 19)))
    assert list(run.failed) == [0, 7, 8, 19]
    assert run.failed[7] == "Odd: odd"
    assert run.rows == [
        [n for n in range(20) if n not in (0, 7, 8, 19)],
        [int(n not in (0, 7, 8, 19)) for n in range(20)],
    ]
    assert (run.slot[READ], run.slot[ANSWERED]) == (20, 20)


@given(st.sets(st.integers(0, 14)), st.sets(st.integers(0, 14)), st.sampled_from([1, 2, 5, None]))
def test_failures_do_not_depend_on_how_far_a_job_reads_ahead(
    failing: set[int], bad: set[int], count: int | None
) -> None:
    run = Run(ahead(count)(_fail_on(*failing)), 15, bad=bad)
    assert set(run.failed) == failing | bad
    assert run.rows[0] == [n for n in range(15) if n not in failing | bad]
    assert {failure.index for failure in run.step.failures if failure.kind == "parse"} == bad


@SHAPES
@pytest.mark.parametrize(
    ("err", "kind", "message"),
    [
        (lambda: SystemExit(3), "exception", "SystemExit: 3"),
        (KeyboardInterrupt, "exception", "KeyboardInterrupt"),
        (lambda: MemoryError("no room"), "memory", "MemoryError: no room"),
        (lambda: ParseFailure("no arrow"), "parse", "no arrow"),
        (lambda: ValueError("two\n  lines\t"), "exception", "ValueError: two lines"),
        (lambda: OSError("\udcff"), "exception", "OSError: ?"),
        (StopIteration, "exception", "StopIteration"),
    ],
)
def test_failures_are_told_by_kind_and_one_line(
    shape: Any, err: Callable[[], BaseException], kind: str, message: str
) -> None:
    run = Run(shape(_fail_on(5, err=err)), 9)
    if message == "StopIteration":
        assert list(run.failed) == [5] or 5 in run.failed
        return
    assert [(f.index, f.kind, f.message) for f in run.step.failures] == [(5, kind, message)]


def test_an_exception_that_cannot_be_shown_is_still_filed() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise Odd

    assert describe_failure(3, Mute()).message == "Mute: its message cannot be shown"


def test_a_traceback_begins_in_the_job_s_own_code() -> None:
    """Who reads failures.parquet looks for a line of their own."""

    def rows(record: int) -> Iterator[Any]:
        yield {"n": record}
        raise Odd

    for job in (one_by_one(_fail_on(1)), one_by_one(rows), ahead(3)(_fail_on(1))):
        said = Run(job, 3).step.failures[0].traceback
        assert 'test_attempt.py"' in said.splitlines()[1]
        assert said.rstrip().splitlines()[-1].split(".")[-1].startswith("Odd")


@SHAPES
def test_generator_functions_give_rows_and_fail_alone(shape: Any) -> None:
    def rows(record: int) -> Iterator[dict[str, int]]:
        yield {"n": record}
        if record == 4:
            raise SystemExit(1)
        yield {"n": -record}

    run = Run(shape(rows), 9)
    assert list(run.failed) == [4]
    assert run.rows[0] == [n for record in range(9) if record != 4 for n in (record, -record)]


@SHAPES
@pytest.mark.parametrize("answer", [5, "text", [5], [{1: 2}], [{"n": 1}, None]])
def test_bad_rows_among_good_cost_their_record_alone(shape: Any, answer: Any) -> None:
    run = Run(shape(lambda n: answer if n == 3 else {"n": n}), 7)
    assert list(run.failed) == [3]
    assert run.rows[0] == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize("answer", [[5], ["ab"], [("a",)], [{"n": 1, "word": "x"}], [[1, "x"]], 7])
def test_bad_declared_rows_among_good_cost_their_record_alone(answer: Any) -> None:
    run = Run(one_by_one(lambda n: answer if n == 3 else [Hit(n, "x")]), 7, columns=Hit._fields)
    assert list(run.failed) == [3]
    assert run.rows[0] == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize("columns", [(), Hit._fields])
def test_values_that_cannot_be_stored_cost_their_record_alone(columns: tuple[str, ...]) -> None:
    def work(n: int) -> Any:
        word = object() if n == 3 else "x"
        return [(n, word)] if columns else {"n": n, "word": word}

    run = Run(one_by_one(work), 7, columns=columns)
    block = run.step.fail_unencodable()
    assert list(run.failed) == [3]
    assert 'row["word"] cannot be stored' in run.failed[3]
    assert Block.unpack(block.pack()).columns["n"] == [0, 1, 2, 4, 5, 6]


def test_notes_travel_with_their_records() -> None:
    run = Run(one_by_one(lambda n: Answer([{"n": n}], f"note {n}") if n % 2 else {"n": n}), 4)
    assert run.block.notes == [None, "note 1", None, "note 3"]


def test_a_note_that_is_no_text_costs_its_record_alone() -> None:
    run = Run(one_by_one(lambda n: Answer([{"n": n}], {1}) if n == 2 else Answer([{"n": n}], "x")), 5)
    assert list(run.failed) == [2]
    Block.unpack(run.block.pack())


def test_answers_left_out_are_found_and_filed() -> None:
    """A job that drops a record would shift every row after it to another record."""

    def skip(records: Iterable[int]) -> Iterator[Any]:
        return ({"n": record} for record in list(records) if record != 3)

    run = Run(skip, 6)
    assert run.step.at == 6
    assert run.failed == {3: "WrongCount: the job gave 0 answers for one record"}
    assert run.rows == [[0, 1, 2, 4, 5], [1, 1, 1, 0, 1, 1]]


@pytest.mark.parametrize("is_lazy", [True, False])
def test_answers_left_out_before_an_exception_shift_nothing(is_lazy: bool) -> None:
    def skip_and_trip(records: Iterable[int]) -> Iterator[Any]:
        for record in records if is_lazy else list(records):
            if record == 6:
                raise Odd
            if record != 3:
                yield {"n": record}

    run = Run(skip_and_trip, 9)
    assert list(run.failed) == [3, 6]
    assert run.rows == [[0, 1, 2, 4, 5, 7, 8], [1, 1, 1, 0, 1, 1, 0, 1, 1]]


def test_answers_too_many_are_found_and_filed() -> None:
    def double(records: Iterable[int]) -> Iterator[Any]:
        for record in records:
            yield {"n": record}
            if record == 3:
                yield {"n": record}

    run = Run(double, 6)
    assert list(run.failed) == [3]
    assert run.rows[0] == [0, 1, 2, 4, 5]


def test_answers_too_many_of_a_job_that_reads_ahead_shift_nothing() -> None:
    """The second answer of a record is not the first of the next."""

    def double(records: Iterable[int]) -> Iterator[Any]:
        for record in list(records):
            yield from [{"n": record}] * (2 if record == 3 else 1)

    run = Run(double, 6)
    assert list(run.failed) == [3]
    assert run.rows[0] == [0, 1, 2, 4, 5]


def test_an_exception_after_an_answer_belongs_to_the_record_that_was_answered() -> None:
    """It is found by giving each record that was answered in this call to the job alone."""

    def trip(records: Iterable[int]) -> Iterator[Any]:
        for record in records:
            yield {"n": record}
            if record == 3:
                raise Odd

    run = Run(trip, 6)
    assert list(run.failed) == [3]
    assert run.rows[0] == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(
    "call",
    [lambda _: None, lambda _: iter(()), lambda _: 1 / 0, lambda _: iter([{"n": 1}])],
    ids=["none", "reads-nothing", "raises", "answers-unread"],
)
def test_a_job_that_fails_before_it_reads_is_broken(call: Call) -> None:
    """No record is to blame, so none is filed; the alternative is a loop, or a host that dies in silence."""
    with pytest.raises(JobBroken) as caught:
        Run(call, 5)
    assert caught.value.__cause__ is not None


def test_memory_that_runs_out_before_a_record_is_not_the_job_s_fault() -> None:
    def exhausted(_records: Iterable[int]) -> Iterator[Any]:
        raise MemoryError

    with pytest.raises(MemoryError):
        Run(exhausted, 5)


@SHAPES
def test_time_that_is_up_ends_the_step_after_what_was_read(shape: Any) -> None:
    def slow(n: int) -> Any:
        time.sleep(0.01)
        return {"n": n}

    run = Run(shape(slow), 60, budget_s=0.05)
    assert 1 <= run.step.at <= 60
    assert run.rows[0] == list(range(run.step.at))
    if shape is one_by_one:
        assert run.step.at <= 6


def test_a_step_answers_one_record_however_late_it_is() -> None:
    assert Run(one_by_one(lambda n: {"n": n}), 10, budget_s=-1).rows == [[0], [1]]
    late = Run(one_by_one(lambda n: {"n": n}), 10, first=4, bad=[4], budget_s=-1)
    assert (late.step.at, late.failed) == (5, {4: "line 4 does not parse"})


def test_a_step_leaves_nothing_behind() -> None:
    """A host does thousands of steps; what one of them keeps is a leak."""
    job = one_by_one(_fail_on(3))
    Run(job)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        Run(job)
    gc.collect()
    assert len(gc.get_objects()) - before < 100


class Flaky:
    """Raises `err` the first `n_times` that record 3 is asked for, in the call or in its rows."""

    def __init__(self, err: BaseException, n_times: int, *, is_lazy: bool = False) -> None:
        self.err, self.n_times, self.is_lazy = err, n_times, is_lazy
        self.tries: dict[int, int] = {}

    def __call__(self, n: int) -> Any:
        if self.is_lazy:
            return (self._answer(n) for _ in range(1))
        return [self._answer(n)]

    def _answer(self, n: int) -> dict[str, int]:
        self.tries[n] = self.tries.get(n, 0) + 1
        if n == 3 and self.tries[n] <= self.n_times:
            raise self.err
        return {"n": n}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("aliquot.attempt.time.sleep", waited.append)
    return waited


@pytest.mark.parametrize("is_lazy", [False, True])
@SHAPES
def test_what_passes_by_itself_is_tried_again(shape: Any, is_lazy: bool, pauses: list[float]) -> None:
    flaky = Flaky(ConnectionResetError("gone"), 2, is_lazy=is_lazy)
    run = Run(shape(flaky), 6)
    assert run.block.columns["n"] == list(range(6))
    assert run.step.failures == []
    assert run.step.n_retries == len(pauses)
    assert len(pauses) in (1, 2)  # a job that read ahead was asked once before it was alone


@SHAPES
def test_what_does_not_pass_is_filed_with_the_number_of_tries(shape: Any, pauses: list[float]) -> None:
    run = Run(shape(Flaky(TimeoutError("slow"), 99)), 6)
    (failure,) = run.step.failures
    assert (failure.index, failure.message) == (3, "TimeoutError: slow (4 tries)")
    assert [most / 2 <= pause <= most for pause, most in zip(pauses, (0.2, 0.8, 3.2), strict=True)]
    assert run.block.columns["n"] == [0, 1, 2, 4, 5]


def test_what_a_stage_names_is_tried_again_and_a_bug_is_not(pauses: list[float]) -> None:
    """A bug that is tried four times costs four times as much."""
    assert Run(one_by_one(Flaky(Odd(), 1)), 6, retry=(Odd,)).step.failures == []
    pauses.clear()
    assert len(Run(one_by_one(Flaky(ValueError(), 1)), 6, retry=(Odd,)).step.failures) == 1
    assert pauses == []


class Throttled(Exception):
    def __init__(self, response: Any) -> None:
        super().__init__("busy")
        self.response = response


class Status:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("err", "is_wanted"),
    [
        (Throttled({"Error": {"Code": "SlowDown"}}), True),
        (Throttled({"Error": {"Code": "AccessDenied"}}), False),
        (Throttled(Status(429)), True),
        (Throttled(Status(404)), False),
        (Throttled(None), False),
        (SystemExit(503), False),
        (ValueError("429"), False),
    ],
)
def test_services_are_known_by_how_their_errors_look(err: BaseException, is_wanted: bool) -> None:
    assert is_retryable(err, ()) == is_wanted


def _make_error(package: str, *names: str, **has: Any) -> Exception:
    """An error as a package's look, of classes named from the innermost out; the package is not needed."""
    kind: type[Exception] = Exception
    for name in reversed(names):
        kind = type(name, (kind,), {"__module__": f"{package}.exceptions"})
    err = kind("as it is")
    for name, value in has.items():
        setattr(err, name, value)
    return err


@pytest.mark.parametrize(
    ("err", "is_wanted"),
    [
        (_make_error("requests", "ReadTimeout", "Timeout"), True),
        (_make_error("requests", "SSLError", "ConnectionError"), False),
        (_make_error("requests", "InvalidURL"), False),
        (_make_error("httpx", "ConnectError", "NetworkError"), True),
        (_make_error("aiohttp", "ServerDisconnectedError", "ClientConnectionError"), True),
        (_make_error("aiohttp", "ClientResponseError", status=429), True),
        (_make_error("aiohttp", "ClientResponseError", status=404), False),
        (_make_error("my_service", "ConnectionError"), False),
        (URLError(ConnectionRefusedError()), True),
        (URLError("unknown url type"), False),
        (HTTPError("http://x", 503, "busy", Message(), None), True),
        (HTTPError("http://x", 500, "broken", Message(), None), False),
        (TryAgain(), True),
    ],
)
def test_clients_are_known_by_how_their_errors_look(err: BaseException, is_wanted: bool) -> None:
    assert is_retryable(err, ()) == is_wanted


class Answered:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


@pytest.mark.parametrize(
    ("err", "wait_s"),
    [
        (TryAgain("closed", after_s=2.5), 2.5),
        (_make_error("requests", "HTTPError", response=Answered({"Retry-After": "7"})), 7.0),
        (_make_error("aiohttp", "ClientResponseError", headers={"retry-after": "0.5"}), 0.5),
        (Throttled({"ResponseMetadata": {"HTTPHeaders": {"retry-after": "3"}}}), 3.0),
        (Throttled(Answered({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"})), 60.0),
        (Throttled(Answered({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"})), 0.0),
        (Throttled(Answered({"Retry-After": "soon"})), 0.0),
        (Throttled(Answered({"Retry-After": "inf"})), 0.0),
        (ValueError("nothing said"), 0.0),
    ],
)
def test_what_a_service_says_of_when_to_come_back_is_heard(err: BaseException, wait_s: float) -> None:
    assert read_wait_s(err, now_s=lambda: 40.0) == wait_s


def test_pauses_grow_and_differ() -> None:
    """Records that failed together would else come back together."""
    assert [choose_pause_s(ValueError(), n, lambda _, high: high) for n in range(5)] == [
        0.2,
        0.8,
        3.2,
        12.8,
        30,
    ]
    assert choose_pause_s(TryAgain(after_s=5), 0, lambda low, _: low) == 5.1
    assert len({choose_pause_s(ValueError(), 2) for _ in range(10)}) > 1


@SHAPES
def test_records_are_timed_each_or_with_those_that_were_held_with_them(shape):
    """The report names slow records: all of a step's time has to be somewhere, failed records' too."""

    def work(n: int) -> dict[str, int]:
        time.sleep(0.001 if n != 7 else 0.3)
        if n == 7:
            raise ParseFailure("no")
        return {"n": n}

    run = Run(shape(work))
    took_s = time.monotonic()
    run.step.run(0, 20)
    took_s = time.monotonic() - took_s
    spread = run.step.spread
    assert sum(spread.bins.values()) >= 20 - 1
    assert 0.3 <= spread.slow[0][0] / 1e9 <= took_s
    assert spread.slow[0][1] == 7
