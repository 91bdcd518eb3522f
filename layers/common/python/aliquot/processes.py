"""What the operating system says of processes: memory, cores, threads; and how it ends them.

Everything that reads /proc or calls prctl stands here, each with a twin that needs neither (psutil), so that
macOS runs the same engine; tests run both. Nothing else in the core imports psutil.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

MIB = 1 << 20
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LIST_S = 0.5  # at most between two lists of a process' children
# Times what a list took: of 64 threads a ms, and psutil looks at all processes. With a hundred times the
# lists of two hosts took 2% of a core from the records.
_REST = 1000
_READ_BYTES = 1 << 14
_START_TIME = 19  # field 22 of `stat`, counted after the command's name


def has_gil(interpreter: object = sys) -> bool:
    """Whether threads of this Python take turns at computing; those of a free-threaded one need not.

    In a free-threaded build too the lock may be on, since a module that is not made for it was imported.
    """
    read = getattr(interpreter, "_is_gil_enabled", None)  # CPython has it from 3.13 on
    return read is None or bool(read())


class ProcessReader(Protocol):
    """Reads figures of running processes."""

    def read_private_mib(self, pid: int) -> float:
        """Private memory of a process in MiB (anonymous and shared-anonymous pages); 0 when it is gone."""

    def read_tree_mib(self, pid: int) -> float:
        """Private memory of a process and of all that it started, and those started in turn, in MiB."""

    def read_file_mib(self, pid: int) -> float:
        """Resident pages of mapped files (libraries, mostly) in MiB; 0 when the process is gone."""

    def count_threads(self, pid: int) -> int:
        """Threads of a process as the kernel counts them; 0 when it is gone."""


class _Children:
    """What processes have started, listed anew from time to time: that takes a small part of the time."""

    def __init__(self, list_them: Callable[[int], Sequence[int]]) -> None:
        self._list = list_them
        self._known: dict[
            int, tuple[float, Sequence[int]]
        ] = {}  # when they are to be listed again, and which

    def of(self, pid: int) -> Sequence[int]:
        """Those of a process."""
        began_s = time.monotonic()
        due_s, children = self._known.get(pid, (began_s, ()))
        if began_s >= due_s:
            children, ended_s = self._list(pid), time.monotonic()
            self._known[pid] = ended_s + min(_LIST_S, _REST * (ended_s - began_s)), children
        return children


class ProcReader:
    """Reads /proc."""

    def __init__(self) -> None:
        self._children = _Children(_list_children)

    def read_private_mib(self, pid: int) -> float:
        """RssAnon + RssShmem of `status`."""
        status = _read_status(pid)
        return (_status_kib(status, b"RssAnon:") + _status_kib(status, b"RssShmem:")) / 1024

    def read_tree_mib(self, pid: int) -> float:
        """That of each process beneath, as `children` lists them."""
        return self.read_private_mib(pid) + sum(map(self.read_tree_mib, self._children.of(pid)))

    def read_file_mib(self, pid: int) -> float:
        """RssFile of `status`."""
        return _status_kib(_read_status(pid), b"RssFile:") / 1024

    def count_threads(self, pid: int) -> int:
        """Entries of `task`."""
        try:
            return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            return 0


class PsutilReader:
    """Reads through psutil, where there is no /proc."""

    def __init__(self) -> None:
        self._children = _Children(_list_beneath)

    def read_private_mib(self, pid: int) -> float:
        """The unique set size."""
        import psutil

        try:
            return float(psutil.Process(pid).memory_full_info().uss) / MIB
        except (psutil.Error, OSError):
            return 0.0

    def read_tree_mib(self, pid: int) -> float:
        """With psutil's list of what is beneath."""
        return sum(map(self.read_private_mib, (pid, *self._children.of(pid))))

    def read_file_mib(self, pid: int) -> float:
        """What is resident beyond the unique set."""
        import psutil

        try:
            memory = psutil.Process(pid).memory_full_info()
        except (psutil.Error, OSError):
            return 0.0
        return float(memory.rss - memory.uss) / MIB

    def count_threads(self, pid: int) -> int:
        """psutil's count of threads."""
        import psutil

        try:
            return int(psutil.Process(pid).num_threads())
        except (psutil.Error, OSError):
            return 0


def choose_reader() -> ProcessReader:
    """The reader for this system."""
    return ProcReader() if Path("/proc/self/status").exists() else PsutilReader()


def can_fork(platform: str = sys.platform) -> bool:
    """Whether a process may be forked and go on without exec: on Linux; macOS's own libraries forbid it."""
    return platform == "linux"


def count_cores() -> int:
    """Physical cores that this process may run on, at least 1."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def read_free_mib() -> int:
    """Memory that can be had without swapping, in MiB."""
    import psutil

    return int(psutil.virtual_memory().available // MIB)


def read_own_age_s() -> float:
    """Seconds since this process began, to a hundredth; 0 where there is no /proc to tell."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    return max(0.0, uptime_s - int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK"))


def limit_own_memory(ceiling_mib: float, reader: ProcessReader) -> None:
    """Make allocations fail in this process a quarter beyond `ceiling_mib` of private memory.

    A backstop for what fills memory faster than it is read. RLIMIT_DATA counts what is mapped, not what is
    resident, so the room is counted from what is mapped now. (Not RLIMIT_AS: pyarrow maps 1.4 GB at 110 MB
    resident.) Does nothing where the system has no such limit.
    """
    mapped_mib = _read_mapped_mib()
    if mapped_mib is None:
        return
    room_mib = max(ceiling_mib - reader.read_private_mib(os.getpid()), 0.0) + 0.25 * ceiling_mib
    limit = int((mapped_mib + room_mib) * MIB)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def return_freed_memory() -> None:
    """Have malloc give freed memory back to the system; where there is no glibc, do nothing.

    glibc raises its own thresholds to the largest block freed so far: a run of 1,000,000 records then peaked
    15% above one of 100,000, with fixed thresholds 1%. At 128 KiB every chunk and frame was mapped, faulted
    in page by page and unmapped: 6.4 s of CPU for a million records, 5.5 at 4 MiB, which holds 3 MiB more.
    """
    import ctypes

    with suppress(AttributeError):
        for threshold in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(threshold, 4 << 20)


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent ends; where it cannot, do nothing.

    It fires when the *thread* that started this process ends: use it only where that thread waits for us.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def name_end(status: int) -> str:
    """How a process ended, from its wait status: `was killed by SIGSEGV`, `exited with status 3`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        is_named = number in set(signal.Signals)  # most real-time signals have a number only
        return f"was killed by {signal.Signals(number).name if is_named else f'signal {number}'}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def _read_status(pid: int) -> bytes:
    return _read_proc(f"/proc/{pid}/status")


def _read_proc(path: str) -> bytes:
    """A file of /proc, empty where its process is gone; by half of the calls that a `Path` makes for it."""
    body = b""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            while more := os.read(handle, _READ_BYTES):
                body += more
        finally:
            os.close(handle)
    except OSError:
        return b""
    return body


def _list_children(pid: int) -> list[int]:
    """What the threads of a process have started and not waited for; none where the kernel does not tell."""
    try:
        with os.scandir(f"/proc/{pid}/task") as found:
            threads = [thread.name for thread in found]
    except OSError:
        return []
    listed = (_read_proc(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for line in listed for child in line.split()]


def _list_beneath(pid: int) -> list[int]:
    """All that is beneath a process, as psutil knows it."""
    import psutil

    try:
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    except (psutil.Error, OSError):
        return []


def _status_kib(status: bytes, name: bytes) -> int:
    at = status.find(name)
    return int(status[at + len(name) :].split(maxsplit=1)[0]) if at >= 0 else 0


def _read_mapped_mib() -> float | None:
    status = _read_status(os.getpid())
    return _status_kib(status, b"VmData:") / 1024 if status else None


def was_alive_at(pid: int, time_s: float) -> bool:
    """Whether the process that has this number now had it then already, seconds since 1970."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time()) <= time_s + 1  # it is told to a hundredth of a second
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False
