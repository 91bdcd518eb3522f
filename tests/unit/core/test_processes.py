"""What the system says of processes, by /proc and by its twin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from aliquot.processes import (
    ProcessReader,
    ProcReader,
    PsutilReader,
    can_fork,
    choose_reader,
    count_cores,
    has_gil,
    name_end,
    read_free_mib,
)

_needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc here")  # noqa: PTH110

_HOLD = "import sys; held = b'x' * (100 << 20); print('ready', flush=True); sys.stdin.read()"


@pytest.fixture(scope="module")
def holder() -> Iterator[int]:
    """A process that holds 100 MiB of its own, beside a bare one."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


READERS = [
    pytest.param(ProcReader(), marks=_needs_proc, id="proc"),
    pytest.param(PsutilReader(), id="psutil"),
]


@pytest.mark.parametrize("reader", READERS)
def test_private_memory_is_what_a_process_holds_itself(reader: ProcessReader, holder: int) -> None:
    assert 100 <= reader.read_private_mib(holder) < 125
    assert 1 < reader.read_file_mib(holder) < 60
    assert reader.count_threads(holder) == 1


@pytest.mark.parametrize("reader", READERS)
def test_memory_of_a_tree_is_that_of_all_beneath(reader: ProcessReader) -> None:
    """A program that a host starts, and what that starts, is held to the host's ceiling."""
    begin = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    command = [sys.executable, "-c", begin, sys.executable, "-c", begin, sys.executable, "-c", _HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        own = reader.read_private_mib(process.pid)
        assert own < 25
        assert 100 + own < reader.read_tree_mib(process.pid) < 160
    assert reader.read_tree_mib(process.pid) == 0


@_needs_proc
def test_both_readers_agree(holder: int) -> None:
    """A run on macOS has to judge memory as one on Linux does."""
    ours, twin = ProcReader().read_private_mib(holder), PsutilReader().read_private_mib(holder)
    assert ours == pytest.approx(twin, abs=10)


@pytest.mark.parametrize("reader", READERS)
def test_a_process_that_is_gone_has_nothing(reader: ProcessReader) -> None:
    """The supervisor reads while hosts die; that must not be an error."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert reader.read_private_mib(process.pid) == 0
    assert reader.read_file_mib(process.pid) == 0
    assert reader.count_threads(process.pid) == 0


def test_the_reader_fits_the_system() -> None:
    assert choose_reader().read_private_mib(os.getpid()) > 1


def _end(code: str) -> int:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "exited with status 0"),
        ("import os; os._exit(3)", "exited with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        (
            "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), 11)",
            "was killed by SIGSEGV",
        ),
    ],
)
def test_ends_are_told_in_words(code: str, words: str) -> None:
    assert name_end(_end(code)) == words


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no real-time signals here")
def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert name_end(int(signal.SIGRTMIN) + 3) == f"was killed by signal {int(signal.SIGRTMIN) + 3}"


@_needs_proc
def test_a_fast_filler_meets_the_limit_before_it_fills_the_machine() -> None:
    """Memory is read every 20 ms; what fills faster is stopped by the system, and then by Python."""
    code = """
from aliquot.processes import choose_reader, limit_own_memory
import os
reader = choose_reader()
limit_own_memory(200, reader)
held = []
try:
    while len(held) < 1000:
        held.append(b"x" * (1 << 20))
except MemoryError:
    reached = len(held)
    held.clear()
    print(reached)
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_path()
    )
    assert 200 < int(said.stdout) + 10 < 300


@_needs_proc
def test_what_is_mapped_and_never_touched_counts_against_no_limit() -> None:
    """Libraries map far more than they use; a limit on that would end jobs that do nothing wrong."""
    code = """
import mmap
held = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
from aliquot.processes import choose_reader, limit_own_memory
limit_own_memory(200, choose_reader())
more = b"x" * (150 << 20)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=_path())


def _path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_figures_of_this_machine_make_sense() -> None:
    assert 1 <= count_cores() <= (os.cpu_count() or 1)
    assert read_free_mib() > 1
    assert can_fork("linux")
    assert not can_fork("darwin")


def test_age_of_this_process_grows_with_time():
    """It is what a cold start's INIT is billed by."""
    script = (
        "import time; time.sleep(0.3); from aliquot.processes import read_own_age_s; print(read_own_age_s())"
    )
    began = time.monotonic()
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0.3 <= float(said.stdout) <= time.monotonic() - began + 0.02


@pytest.mark.parametrize(
    ("interpreter", "has_one"),
    [
        (SimpleNamespace(), True),  # before 3.13
        (SimpleNamespace(_is_gil_enabled=lambda: True), True),  # a module that needs the lock was imported
        (SimpleNamespace(_is_gil_enabled=lambda: False), False),
    ],
)
def test_a_free_threaded_interpreter_is_known(interpreter: SimpleNamespace, has_one: bool) -> None:
    assert has_gil(interpreter) == has_one
