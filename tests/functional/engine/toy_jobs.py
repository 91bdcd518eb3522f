"""Toy jobs that do to their host what real ones may: each record says what it wants done.

A record is {"n": its number, "do": a word}. `work` is the function; the jobs give it to the engine record by
record, or read ahead of what they answer.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import stat
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from aliquot.errors import BadReference, TryAgain
from aliquot.job import Job, Stage

_leaked: list[bytes] = []


class Row(NamedTuple):
    n: int
    pid: int
    at_s: float


@dataclass(frozen=True)
class Options:
    """What tests tell a job."""

    folder: str = ""


def _crash() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def _fill() -> None:
    held = []
    while True:
        held.append(b"x" * (8 << 20))


def _leak() -> None:
    _leaked.append(b"x" * (30 << 20))


def _garble() -> None:
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, b"\xff" * 64)
        except OSError:
            continue
    time.sleep(60)


def _raise() -> None:
    raise ValueError("on purpose")


def _hold(mib: int) -> None:
    """As much memory for long enough to be seen, on a busy machine too."""
    held = b"x" * (mib << 20)
    time.sleep(0.5)
    del held


def _hang() -> None:
    time.sleep(1000)


def _hang_in_a_pool() -> None:
    ThreadPoolExecutor(1).submit(_hang).result()  # Python's own exit waits for it


_meeting = threading.Barrier(8)
_done: list[int] = []


def _wait_for_others() -> None:
    """Until 50 others are done in this process; for ever where they wait for this one."""
    while len(_done) < 50:
        time.sleep(0.005)


def _meet_and_ask_for_too_much() -> None:
    with suppress(threading.BrokenBarrierError):  # alone it meets nobody
        _meeting.wait(1)
    bytes(1 << 40)


_FAULTS: dict[str, Callable[[], object]] = {
    "segv": _crash,
    "exit": lambda: os._exit(7),
    "abort": os.abort,
    "hang": _hang,
    "hang in a pool": _hang_in_a_pool,
    "keep the interpreter": lambda: ctypes.PyDLL(None).sleep(1000),  # which `time.sleep` lets go
    "meet 7 others": lambda: _meeting.wait(60),
    "wait for others": _wait_for_others,
    "meet and ask for too much": _meet_and_ask_for_too_much,
    "fill": _fill,
    "raise": _raise,
    "leak": _leak,
    "leak slowly": lambda: (_leak(), time.sleep(0.12)),
    "leak untouched": lambda: _leaked.append(bytes(30 << 20)),
    "ask for too much": lambda: bytes(1 << 40),
    "garble": _garble,
    "print": lambda: print("printed by the job", flush=True),  # noqa: T201 - that is what is tested
    "alarm": lambda: signal.raise_signal(signal.SIGALRM),
}


def work(record: dict[str, Any]) -> Row | tuple[Any, ...]:
    do = record["do"]
    if do.startswith("sleep "):
        time.sleep(float(do.removeprefix("sleep ")))
    elif do.startswith("hold "):
        _hold(int(do.removeprefix("hold ")))
    elif do in _FAULTS:
        _FAULTS[do]()
    _done.append(record["n"])
    return Row(record["n"], object() if do == "unencodable" else os.getpid(), time.monotonic())  # type: ignore[arg-type]


def work_as_dict(record: dict[str, Any]) -> dict[str, Any]:
    row = work(record)
    return {"n": row[0], "pid": row[1], "at_s": row[2]}


def _one_by_one(records: Iterable[Any]) -> Iterator[Any]:
    return ([work(record)] for record in records)


def _ahead(records: Iterable[Any], count: int | None) -> Iterator[Any]:
    source = iter(records)
    while batch := list(islice(source, count)):
        yield from [[work(record)] for record in batch]


def _make(name: str, open_stage: Callable[[Any, Path], Any], **more: Any) -> Job:
    return Job(name, 1, Options, (Stage("work", open_stage),), writes=Row, **more)


def _skip(records: Iterable[Any]) -> Iterator[Any]:
    return ([work(record)] for record in records if record["do"] != "skip")


one = _make("one", lambda *_: _one_by_one)
ahead_8 = _make("ahead-8", lambda *_: lambda records: _ahead(records, 8))
threaded = Job("threaded", 1, Options, (Stage("work", lambda *_: _one_by_one, threads=8),), writes=Row)
skips = _make("skips", lambda *_: _skip)
ahead_all = _make("ahead-all", lambda *_: lambda records: _ahead(records, None))


def _answer_loosely(record: dict[str, Any]) -> dict[str, Any]:
    """Rows of which the columns and types differ from record to record."""
    values: dict[str, Any] = {"1": {"value": 1}, "1.5": {"value": 1.5}, "more": {"more": "x"}}
    return {"n": record["n"], **values.get(record["do"], {"value": None})}


loose = Job("loose", 1, Options, (Stage("work", lambda *_: lambda records: map(_answer_loosely, records)),))


def _exit_before_a_record(_records: Iterable[Any]) -> Iterator[Any]:
    os._exit(5)


def _exhaust(_records: Iterable[Any]) -> Iterator[Any]:
    raise MemoryError


def _open_by_crash(_options: Options, _prepared: Path) -> Any:
    os._exit(6)


def _open_by_refusal(_options: Options, _prepared: Path) -> Any:
    raise BadReference(Path("templates.csv"), "rows do not parse", ((2, "no arrow"),), 3)  # type: ignore[arg-type]


def _open_by_error(_options: Options, _prepared: Path) -> Any:
    raise RuntimeError("no model here")


def _open_slowly(_options: Options, _prepared: Path) -> Any:
    print("opening", flush=True)  # noqa: T201 - what a job prints goes to its supervisor's stderr
    time.sleep(30)


def _open_much(_options: Options, _prepared: Path) -> Any:
    held = []
    for _ in range(25):
        held.append(b"x" * (10 << 20))  # beneath the limit at a quarter above the ceiling, for a while
        time.sleep(0.01)
    return lambda records: ([Row(len(held), 0, 0.0)] for _ in records)


def _prepare(_options: Options, prepared: Path) -> None:
    (prepared / "made").write_text(str(os.getpid()))


is_exhausted = _make("is-exhausted", lambda *_: _exhaust)
dies_unread = _make("dies-unread", lambda *_: _exit_before_a_record)
is_no_iterator = _make("is-no-iterator", lambda *_: lambda *_: None)
opens_slowly = _make("opens-slowly", _open_slowly)
is_large = _make("is-large", _open_much)
dies_in_open = _make("dies-in-open", _open_by_crash)
refuses = _make("refuses", _open_by_refusal)
breaks = _make("breaks", _open_by_error)
prepares = _make("prepares", lambda *_: _one_by_one, prepare=_prepare)
dies_in_prepare = _make("dies-in-prepare", lambda *_: _one_by_one, prepare=_open_by_crash)


_met: list[asyncio.Event] = []
_tried: dict[int, int] = {}


async def _meet() -> None:
    """Until eight are here."""
    _met.append(mine := asyncio.Event())
    if len(_met) == 8:
        for each in _met:
            each.set()
    await mine.wait()


async def _refuse_to_end() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


async def _block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - that is what is tested


async def _end() -> None:
    raise SystemExit(3)


_AWAITED: dict[str, Callable[[float], Awaitable[None]]] = {
    "sleep": asyncio.sleep,
    "block": _block,
    "hang": lambda _: asyncio.sleep(1000),
    "meet": lambda _: _meet(),
    "refuse": lambda _: _refuse_to_end(),
    "end": lambda _: _end(),
}


async def _answer(record: dict[str, Any]) -> list[Row]:
    """`work` on an event loop: what waits lets others go on, what blocks keeps them."""
    word, _, value = record["do"].partition(" ")
    if word not in _AWAITED:
        return [work(record)]  # type: ignore[list-item]
    await _AWAITED[word](float(value or 0))
    return [Row(record["n"], os.getpid(), time.monotonic())]


async def _yield(record: dict[str, Any]) -> AsyncIterator[Row]:
    for row in await _answer(record):
        yield row


def _try(record: dict[str, Any]) -> list[Row]:
    """As often as it says a record is to be tried again, after the seconds that it says."""
    n_wanted, _, after = record["do"].partition(" after ")
    n = _tried[record["n"]] = _tried.get(record["n"], 0) + 1
    if n <= int(n_wanted or 0):
        raise TryAgain("busy", float(after or 0))
    return [Row(record["n"], os.getpid(), time.monotonic())]


in_flight = _make("in-flight", lambda *_: _answer)
yields = _make("yields", lambda *_: _yield)
tries = _make("tries", lambda *_: lambda records: map(_try, records))


async def _open_async(_options: Options, _prepared: Path) -> Any:
    return _answer


opens_async = _make("opens-async", _open_async)
whole_async = Job("whole-async", 1, Options, (Stage("work", lambda *_: _answer, whole=True),), writes=Row)
