"""A run on the local backend under faults: sessions, each in a process of its own, until it ends.

A session is forked from here, where everything is imported, so that it costs no start; this process itself
reads no Parquet and starts no thread. Hosts, what forks them and sessions are killed by their ids, which come
from the session's own children. Owns these processes. When it is wrong, something outlives the campaign.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos.cases import Answer, Case, compare, read_answer
from benchmarks.chaos.faults import FaultyStore, RunFaults, SessionFaults, draw_faults
from benchmarks.chaos.report import Ran
from benchmarks.chaos.toys import MARKS

DONE, REFUSED, INTERRUPTED, IN_USE, STOPPED, BUG = range(6)
_MOST_SESSIONS = 14
_LONGEST_SESSION_S = 60.0
_LOOK_S = 0.004
_LEAVE_S = 4.0  # after which nothing of a killed session may live
_SMALL_DISK, _LARGE_DISK = "size=96k", "size=64m"


def import_everything() -> None:
    """What sessions need, before the first fork."""
    import orchestrator.api
    import orchestrator.local.deliver
    import orchestrator.request  # noqa: F401

    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def run_calmly(case: Case, folder: Path) -> Answer:
    """The undisturbed answer; raises RuntimeError where there is none."""
    (folder / "marks").mkdir(parents=True)
    code = _Session(case, folder / "run", SessionFaults(), folder, 0, is_resumed=False).finish()
    if code != DONE:
        raise RuntimeError(f"{case.name} does not run undisturbed: see {folder}")
    return _in_child(partial(read_answer, folder / "run"), folder / "answer.json")


def run_disturbed(case: Case, calm: Answer, seed: int, number: int, folder: Path) -> Ran:
    """One run under the faults of a seed.

    Args:
        number: of the run in its campaign.
    """
    draw = random.Random(f"local:{seed}")
    apart_s = 0.5 + (3 * case.record_timeout_s if case.name == "hang" else 0.0)
    faults = draw_faults(draw, calm.elapsed_s + 0.4, apart_s)
    began_s = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "marks").mkdir(parents=True)
    with _disk(folder / "run", faults) as grow:
        trouble, left = _run_sessions(case, seed, folder, faults, grow)
        elapsed_s = time.monotonic() - began_s
        difference = None
        if not trouble:
            now = _in_child(partial(read_answer, folder / "run"), folder / "answer.json")
            difference = compare(calm, now)
    noted = folder / "faults.txt"
    counted = Counter(noted.read_text().splitlines() if noted.exists() else ())
    if left:
        trouble = trouble or f"{left} processes outlived their session"
    ran = Ran(
        backend="local",
        case=case.name,
        number=number,
        faults=dict(counted),
        lost=difference.lost if difference else 0,
        doubled=difference.doubled if difference else 0,
        trouble=trouble or (difference.other if difference else ""),
        elapsed_s=elapsed_s,
        slow_down=elapsed_s / max(calm.elapsed_s, 0.1),
    )
    if ran.is_good:
        shutil.rmtree(folder, ignore_errors=True)
    return ran


def _run_sessions(
    case: Case, seed: int, folder: Path, faults: RunFaults, grow: Callable[[], None]
) -> tuple[str, int]:
    """Sessions until one comes to its end: what went wrong, and how many processes were left."""
    n_left = 0
    for number in range(_MOST_SESSIONS):
        is_calm = number >= len(faults.sessions)
        if is_calm:
            grow()
        given = SessionFaults() if is_calm else faults.sessions[number]
        is_resumed = faults.resumes[number] and _has_run(folder / "run")
        session = _Session(case, folder / "run", given, folder, seed * 100 + number, is_resumed=is_resumed)
        code = session.finish()
        n_left += session.n_left
        if code in (BUG, IN_USE, None):
            return f"session {number} ended with {code}: see {folder / 'log.txt'}", n_left
        if is_calm and code == DONE:
            return "", n_left
        if is_calm and number - len(faults.sessions) >= 2:
            return f"an undisturbed session ended with {code}: see {folder / 'log.txt'}", n_left
    return f"not over after {_MOST_SESSIONS} sessions", n_left


def _has_run(folder: Path) -> bool:
    return (folder / "ledger" / "manifest.json").exists()


class _Session:
    """A session in a process of its own, and what is done to it."""

    def __init__(
        self, case: Case, run: Path, faults: SessionFaults, folder: Path, seed: int, *, is_resumed: bool
    ) -> None:
        self._faults, self._folder = faults, folder
        self.n_left = 0
        self._work = partial(_work, case, run, faults, folder, seed, is_resumed=is_resumed)
        self._intrude = partial(_work, case, run, SessionFaults(), folder, seed, is_resumed=True)
        self._draw = random.Random(seed)
        self._began_s = time.monotonic()
        self._pid = _fork(self._work, folder / "log.txt")
        self._intruder: int | None = None
        self._family: dict[int, psutil.Process] = {}

    def finish(self) -> int | None:
        """How it ended: a code, or STOPPED where it was killed; None where it had to be ended."""
        plans = self._plan()
        code: int | None = None
        while code is None and time.monotonic() - self._began_s < _LONGEST_SESSION_S:
            self._look()
            while plans and time.monotonic() - self._began_s >= plans[0][0]:
                plans.pop(0)[1]()
            code = _poll(self._pid)
            time.sleep(_LOOK_S)
        if code is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._end_intruder()
        self._wait_for_family()
        return code

    def _plan(self) -> list[tuple[float, Callable[[], None]]]:
        faults = self._faults
        plans = [(at_s, self._kill_host) for at_s in faults.kill_hosts_s]
        for at_s, do in (
            (faults.kill_zygote_s, self._kill_zygote),
            (faults.intrude_s, self._begin_intruder),
            (faults.kill_s, self._kill),
        ):
            if at_s is not None:
                plans.append((at_s, do))
        return sorted(plans, key=lambda plan: plan[0])

    def _note(self, kind: str) -> None:
        note(self._folder, kind)

    def _look(self) -> None:
        with suppress(psutil.Error):
            self._family |= {each.pid: each for each in psutil.Process(self._pid).children(recursive=True)}

    def _kill(self) -> None:
        self._note("kill of the orchestrator")
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def _kill_host(self) -> None:
        with suppress(psutil.Error):
            zygotes = psutil.Process(self._pid).children()
            hosts = [host for zygote in zygotes for host in zygote.children()]
            if hosts:
                self._draw.choice(hosts).kill()
                self._note("kill of a host")

    def _kill_zygote(self) -> None:
        with suppress(psutil.Error):
            for each in psutil.Process(self._pid).children():
                if "aliquot.zygote" in each.cmdline():
                    each.kill()
                    self._note("kill of the zygote")

    def _begin_intruder(self) -> None:
        if self._intruder is None and _has_run(self._folder / "run"):
            self._note("second process")
            self._intruder = _fork(self._intrude, self._folder / "intruder.txt")

    def _end_intruder(self) -> None:
        if self._intruder is None:
            return
        ends_s = time.monotonic() + _LONGEST_SESSION_S
        while _poll(self._intruder) is None:
            if time.monotonic() > ends_s:
                os.kill(self._intruder, signal.SIGKILL)
                os.waitpid(self._intruder, 0)
                self.n_left += 1
                return
            time.sleep(_LOOK_S)

    def _wait_for_family(self) -> None:
        """Processes of this session that do not end by themselves are counted, and ended."""
        _, alive = psutil.wait_procs([*self._family.values()], timeout=_LEAVE_S)
        for each in alive:
            with suppress(psutil.Error):
                if each.status() != psutil.STATUS_ZOMBIE:
                    self.n_left += 1
                    each.kill()


def note(folder: Path, kind: str) -> None:
    """Write down a fault so that the end of its process leaves it written."""
    with (folder / "faults.txt").open("a") as file:
        file.write(f"{kind}\n")


def _work(case: Case, run: Path, faults: SessionFaults, folder: Path, seed: int, *, is_resumed: bool) -> int:
    """A session, in its own process; gives how it ended."""
    from aliquot.errors import AliquotError, FolderInUse, Interrupted, OpenFailed, StoreError
    from orchestrator import api

    os.environ[MARKS] = str(folder / "marks")
    _disturb(faults, folder, seed)
    try:
        if is_resumed:
            begun = api.resume(run)
        else:
            plan = api.plan(
                case.job,
                case.data,
                workers=2,
                record_timeout=case.record_timeout_s,
                max_failed="100%",
                **dict(case.options),
            )
            begun = plan.start(run)
        if faults.interrupt_s is not None:
            _interrupt_after(begun, faults.interrupt_s, folder)
        begun.wait(quiet=True)
    except Interrupted:
        return INTERRUPTED
    except FolderInUse:
        return IN_USE
    except (StoreError, OpenFailed):  # a full disk meets `prepare` in the job's own words
        traceback.print_exc()
        return REFUSED
    except AliquotError:
        traceback.print_exc()
        return BUG
    return DONE


def _interrupt_after(begun: Any, seconds: float, folder: Path) -> None:
    def interrupt() -> None:
        time.sleep(seconds)
        note(folder, "interrupt")
        begun._session.interrupt()  # noqa: SLF001 - as Ctrl-C, without a terminal

    threading.Thread(target=interrupt, daemon=True).start()


def _disturb(faults: SessionFaults, folder: Path, seed: int) -> None:
    """Put the faults of a session in place, in its own process."""
    import orchestrator.local.folder

    FaultyStore.faults, FaultyStore.draw, FaultyStore.n_puts = faults, random.Random(seed), 0
    FaultyStore.note = staticmethod(partial(note, folder))
    FaultyStore.die = staticmethod(_die)
    FaultyStore.sleep = staticmethod(time.sleep)
    if faults.put or faults.full_after is not None or faults.kill_at_put:
        orchestrator.local.folder.FolderStore = FaultyStore  # type: ignore[misc]
    if faults.kill_at_rename is not None:
        _kill_at_rename(faults.kill_at_rename, folder)
    if faults.clock_step_s:
        note(folder, "clock step")
        _step_clock(faults.clock_step_s, random.Random(seed))


def _kill_at_rename(number: int, folder: Path) -> None:
    left = [number]

    def look(event: str, args: tuple[Any, ...]) -> None:
        if event == "os.rename" and ("delivery" in str(args[0]) or str(args[0]).endswith("result")):
            left[0] -= 1
            if left[0] < 0:
                note(folder, "kill in a delivery")
                _die()

    sys.addaudithook(look)


def _step_clock(step_s: float, draw: random.Random) -> None:
    real = time.time
    time.time = lambda: real() + draw.uniform(-step_s, step_s)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fork(work: Callable[[], int], log: Path) -> int:
    """Begin `work` in a process of its own; gives its id. What it prints goes to `log`."""
    pid = os.fork()
    if pid:
        return pid
    code = BUG
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(handle, stream)
        os.setpgid(0, 0)
        code = work()
    except BaseException:  # noqa: BLE001 - the end of a process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _poll(pid: int) -> int | None:
    """How a process ended, None while it runs; STOPPED where a signal ended it."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else STOPPED


def _in_child(read: Callable[[], Answer], path: Path) -> Answer:
    """What `read` gives in a process of its own, which may start threads."""

    def write() -> int:
        path.write_text(read().to_json())
        return DONE

    pid = _fork(write, path.with_suffix(".log"))
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"an answer could not be read: see {path.with_suffix('.log')}")
    return Answer.from_json(path.read_text())


@contextmanager
def _disk(run: Path, faults: RunFaults) -> Iterator[Callable[[], None]]:
    """The place of a run; where it is a small disk of its own, what is given makes it larger."""
    if not faults.has_small_disk or not _mount(run, _SMALL_DISK):
        yield lambda: None
        return
    try:
        note(run.parent, "small disk")
        yield lambda: _call("mount", "-o", f"remount,{_LARGE_DISK}", str(run))
    finally:
        _call("umount", "-l", str(run))


def _mount(place: Path, size: str) -> bool:
    if os.geteuid() or sys.platform != "linux":
        return False
    place.mkdir(parents=True, exist_ok=True)
    with suppress(subprocess.CalledProcessError, FileNotFoundError):
        _call("mount", "-t", "tmpfs", "-o", size, "none", str(place))
        return True
    return False


def _call(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
