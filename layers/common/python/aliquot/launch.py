"""Starting hosts and hearing of their end: through a zygote where a fork is safe, else one by one.

Owns the two ways in which a host comes to be, behind one interface; the supervisor does not know which.
Imports `frames`, `page`, `processes`. When it is wrong, processes or descriptors leak.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from aliquot import errors
from aliquot.codec import pack, unpack
from aliquot.errors import AliquotError, OpenFailed
from aliquot.frames import Channel, Frame, pack_frame, read_frame
from aliquot.host import HostLimits
from aliquot.job import MOST_THREADS, STEP_S
from aliquot.loading import JobSpec
from aliquot.page import Page
from aliquot.zygote import LARGEST_MESSAGE

IN_HOST = "ALIQUOT_HOST"  # set in the environment of hosts: a script that they import must not start a run
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# A batch of records takes and frees thousands of blocks of one size, and glibc keeps 7 of each at hand; with
# more the main job takes 9% fewer instructions. Large blocks it gives back to the system until one of 32 MiB
# was freed; as it is from then on, steps of 64 arrays of 100 kB take a third of the system's time (of 3,000
# arrays 0.35 s, and were 1.1). Elsewhere the variable says nothing.
_MALLOC = (
    "glibc.malloc.tcache_count=2000:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864"
)


@dataclass(frozen=True)
class Opened:
    """What a job said when it was opened.

    Args:
        code: its digest.
        versions: those that may change rows.
        threads: in how many its stage asks to be called.
        step_s: how long a step of it is to be.
        has_gil: whether these take turns at computing.
    """

    code: str
    versions: Mapping[str, str]
    cpu_s: float
    threads: int = 1
    step_s: float = STEP_S
    has_gil: bool = True


@dataclass(frozen=True)
class Ended:
    """How a host ended: its wait status and the most memory that it ever had resident."""

    status: int
    peak_mib: float


@dataclass
class HostProcess:
    """A running host: its pid, its pipes, the words of its threads, and whether it has opened the job."""

    pid: int
    channel: Channel
    slots: tuple[memoryview, ...]
    is_open: bool

    def kill(self) -> None:
        """End the host and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # should it die before it leads a group of its own


class Launcher(Protocol):
    """Starts hosts of one job."""

    @property
    def job(self) -> str:
        """The job's address, for messages."""

    @property
    def step_s(self) -> float:
        """How long a step of the job's stage is to be, once it was opened."""

    def prepare(self) -> float:
        """Run the job's `prepare` in a process of its own; gives its CPU seconds.

        Raises what the job raised, or OpenFailed.
        """

    def open(self) -> Opened:
        """Make ready to start hosts; raises what the job's `open` raised, or OpenFailed."""

    def limit(self, limits: HostLimits) -> None:
        """Hold the hosts that are started from now on to other limits."""

    def launch(self, number: int) -> HostProcess:
        """Start a host in the place `number` of the page; raises OpenFailed where it cannot be done."""

    def reap(self, host: HostProcess) -> Ended:
        """Wait for a host that has closed its pipe or was killed, and release what it held."""

    def abort(self) -> None:
        """End a `prepare` or `open` that is under way in another thread, which then raises OpenFailed."""

    def close(self) -> None:
        """End what was started besides hosts."""


class ZygoteLauncher:
    """Forks hosts from a process that has opened the job: 3-13 ms a host.

    Args:
        is_silent: what the job and its libraries print goes nowhere: where it would end in a log, it may hold
            records.
    """

    def __init__(self, spec: JobSpec, limits: HostLimits, page: Page, *, is_silent: bool = False) -> None:
        self._spec, self._limits, self._page = spec, limits, page
        self._streams = (
            {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if is_silent else {"stdout": 2}
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.n_threads = 1
        self.step_s = STEP_S

    @property
    def job(self) -> str:
        """The job's address."""
        return self._spec.address

    def prepare(self) -> float:
        """Run `prepare` in a child of the zygote."""
        reply = _check_reply(self._spec, self._ask({"op": "prepare", "spec": self._spec.to_plain()}))
        return float(reply["cpu_ns"]) / 1e9

    def open(self) -> Opened:
        """Open the job in the zygote."""
        reply = _check_reply(self._spec, self._ask({"op": "open", "spec": self._spec.to_plain()}))
        self.n_threads = reply["running"]
        opened = _read_opened(reply)
        self.step_s = opened.step_s
        return opened

    @property
    def pid(self) -> int:
        """The zygote's; 0 where there is none."""
        return self._process.pid if self._process is not None else 0

    def limit(self, limits: HostLimits) -> None:
        """Hold the hosts that are forked from now on to other limits."""
        self._limits = limits

    def launch(self, number: int) -> HostProcess:
        """Fork a host; a zygote that was killed is made anew, once."""
        try:
            return self._fork(number)
        except OpenFailed:
            self.close()
            self.open()
            return self._fork(number)

    def reap(self, host: HostProcess) -> Ended:
        """Ask the zygote, the host's parent."""
        host.channel.close()
        if self._control is None:
            return Ended(signal.SIGKILL, 0.0)
        try:
            reply = self._ask({"op": "reap", "pid": host.pid})
        except OpenFailed:
            return Ended(signal.SIGKILL, 0.0)  # the zygote is gone, and its hosts are nobody's
        return Ended(reply["status"], reply["peak_kib"] / 1024)

    def abort(self) -> None:
        """Kill the zygote."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the zygote."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    def _fork(self, number: int) -> HostProcess:
        host_reads, we_write = os.pipe()
        we_read, host_writes = os.pipe()
        try:
            wanted = {"op": "fork", "slot": number * MOST_THREADS, "limits": asdict(self._limits)}
            reply = self._ask(wanted, [host_reads, host_writes])
        except OpenFailed:
            os.close(we_write)
            os.close(we_read)
            raise
        finally:
            os.close(host_reads)
            os.close(host_writes)
        slots = self._page.slots(number * MOST_THREADS, self._limits.threads)
        return HostProcess(reply["pid"], Channel(we_write, we_read), slots, is_open=True)

    def _ask(self, message: Frame, fds: list[int] | None = None) -> Frame:
        control = self._start()
        try:
            socket.send_fds(control, [pack(message)], fds or [])
            body = control.recv(LARGEST_MESSAGE)
        except OSError as err:
            raise OpenFailed(self._spec.address, f"its first process is gone ({err.strerror})") from err
        except BaseException:  # an interrupt: the reply would answer the next question
            self.close()
            raise
        if not body:
            raise OpenFailed(
                self._spec.address, "its first process ended, killed or crashed while it opened the job"
            )
        return unpack(body, "message")  # type: ignore[no-any-return]

    def _start(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                fds = (theirs.fileno(), self._page.fd)
                self._process = _start_python(
                    "aliquot.zygote", [*fds, os.getpid()], fds, stdin=subprocess.DEVNULL, **self._streams
                )
        return self._control


class SpawnLauncher:
    """Starts each host as a process of its own that opens the job itself: macOS, and `fork_safe=False`."""

    def __init__(self, spec: JobSpec, limits: HostLimits, page: Page) -> None:
        self._spec, self._limits, self._page = spec, limits, page
        self._processes: dict[int, tuple[subprocess.Popen[bytes], int]] = {}
        self._aside: subprocess.Popen[bytes] | None = None
        self.step_s = STEP_S

    @property
    def job(self) -> str:
        """The job's address."""
        return self._spec.address

    def prepare(self) -> float:
        """Run `prepare` in a host of its own."""
        reply = self._ask_aside({"op": "prepare", "spec": self._spec.to_plain()})
        return float(reply["cpu_ns"]) / 1e9

    def open(self) -> Opened:
        """Open the job in a host of its own, to see that it can be done and by which code."""
        opened = _read_opened(self._ask_aside(self._open_frame()))
        self.step_s = opened.step_s
        return opened

    def limit(self, limits: HostLimits) -> None:
        """Hold the hosts that are started from now on to other limits."""
        self._limits = limits

    def launch(self, number: int) -> HostProcess:
        """Start a process; it opens the job before it takes its first chunk."""
        process = self._start(number)
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101 - for the type checker
        channel = Channel(os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno()))
        process.stdin.close()
        process.stdout.close()
        channel.send(self._open_frame())
        self._processes[process.pid] = process, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        slots = self._page.slots(number * MOST_THREADS, self._limits.threads)
        return HostProcess(process.pid, channel, slots, is_open=False)

    def reap(self, host: HostProcess) -> Ended:
        """Wait for our child."""
        host.channel.close()
        _, status, usage = os.wait4(host.pid, 0)
        process, our_peak = self._processes.pop(host.pid)
        process.returncode = os.waitstatus_to_exitcode(status)
        # Linux counts what a process had resident before its exec, and there it was a copy of us; below that
        # the figure says nothing. test_large_supervisor_makes_no_crash_a_memory_failure holds it.
        peak = usage.ru_maxrss if usage.ru_maxrss > our_peak else 0
        unit = 1024 if sys.platform != "darwin" else 1024 * 1024  # macOS counts bytes
        return Ended(status, peak / unit)

    def abort(self) -> None:
        """Kill the host that prepares or opens."""
        if self._aside is not None:
            self._aside.kill()

    def close(self) -> None:
        """Nothing is left but hosts."""

    def _open_frame(self) -> Frame:
        return {"op": "open", "spec": self._spec.to_plain(), "limits": asdict(self._limits)}

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        fd, slot = self._page.fd, number * MOST_THREADS
        return _start_python("aliquot.host", [fd, slot], (fd,), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _ask_aside(self, frame: Frame) -> Frame:
        with self._start(0) as process:
            self._aside = process
            assert process.stdin is not None  # noqa: S101 - for the type checker
            assert process.stdout is not None  # noqa: S101 - for the type checker
            process.stdin.write(pack_frame(frame))
            process.stdin.flush()
            reply = read_frame(process.stdout.fileno())
        if reply is None:
            raise OpenFailed(self._spec.address, "its process ended, killed or crashed, before it answered")
        return _check_reply(self._spec, reply)


def _read_opened(reply: Frame) -> Opened:
    cpu_s, step_s = reply["cpu_ns"] / 1e9, reply["step_ms"] / 1000
    has_gil = reply.get("gil", True)
    return Opened(reply["code"], reply["versions"], cpu_s, reply["threads"], step_s, has_gil)


def raise_refusal(address: str, reply: Frame) -> None:
    """Raise the error that a `failed` frame carries."""
    known = getattr(errors, reply["error"], None) if reply["error"] else None
    if isinstance(known, type) and issubclass(known, AliquotError):
        raise known(*(tuple(map(tuple, arg)) if isinstance(arg, list) else arg for arg in reply["args"]))
    raise OpenFailed(address, *reply["args"])


def _check_reply(spec: JobSpec, reply: Frame) -> Frame:
    if reply["op"] == "failed":
        raise_refusal(spec.address, reply)
    return reply


def _start_python(
    module: str, arguments: list[int], fds: tuple[int, ...], **streams: Any
) -> subprocess.Popen[bytes]:
    """A Python process, one thread per numeric library, in a process group that Ctrl-C does not reach."""
    tunables = ":".join(filter(None, (_MALLOC, os.environ.get("GLIBC_TUNABLES"))))  # the last word counts
    environment = {**_ONE_THREAD, **os.environ, "GLIBC_TUNABLES": tunables, IN_HOST: "1"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, pass_fds=fds, env=environment, process_group=0, **streams)
