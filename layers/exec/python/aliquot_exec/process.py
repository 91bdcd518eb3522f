"""Programs as processes: started, spoken to without a deadlock, and their end taken over.

A program runs in its host's process group and ends with it. One that dies ends its host in the same way, so
that the engine judges it as any crash: records at hand run again alone, in a fresh host. Owns starting and
ending. Imports the core's `errors` and `processes`. When it is wrong, programs outlive their run, or their
crashes count as mere exceptions.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from aliquot.errors import BadOption
from aliquot.processes import end_with_parent, name_end

_READ_BYTES = 1 << 20


class ProgramFault(Exception):
    """The program did not do what it has to do."""


def start(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """A program with pipes for input and output; raises BadOption where the system refuses it."""
    try:
        return subprocess.Popen(  # a host has one thread, which lives as long as it does
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=partial(end_with_parent, os.getpid()),  # noqa: PLW1509
        )
    except OSError as err:
        hint = " (is it for this processor, or a script without `#!`?)" if err.errno == 8 else ""  # ENOEXEC
        raise BadOption("--command", f"{words[0]} cannot be started: {err.strerror}{hint}") from err


def end_as(returncode: int) -> NoReturn:
    """End this process as the program ended.

    Args:
        returncode: as `subprocess` gives it: a status, or a signal's number below 0.
    """
    if returncode < 0:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))  # the program's is enough
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-returncode, signal.SIG_DFL)
        os.kill(os.getpid(), -returncode)
    os._exit(abs(returncode))


def say_end(returncode: int) -> str:
    """How a program ended: `was killed by SIGSEGV`, `exited with status 3`.

    Args:
        returncode: as `subprocess` gives it.
    """
    return name_end(-returncode if returncode < 0 else returncode << 8)


def filter_bytes(process: subprocess.Popen[bytes], data: bytes, most_lines: int) -> bytes:
    """What a program writes that is given `data` and then the end of its input.

    Reads while it writes, since a program does so too. Raises ProgramFault, with the program ended, once it
    has written more lines than it may.
    """
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101 - as above
    to, out = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(to, False)
    poll = select.poll()
    poll.register(out, select.POLLIN)
    poll.register(to, select.POLLOUT)
    rest, got, n_lines = memoryview(data), bytearray(), 0
    with process:
        while True:
            for fd, _ in poll.poll():
                if fd == to:
                    rest = _write_some(to, rest)
                    if not rest:
                        poll.unregister(to)
                        process.stdin.close()
                    continue
                more = os.read(out, _READ_BYTES)
                if not more:
                    return bytes(got)
                got += more
                n_lines += more.count(b"\n")
                if n_lines > most_lines:
                    process.kill()
                    raise ProgramFault(f"the program wrote more than {most_lines} lines for {most_lines}")


def _write_some(to: int, data: memoryview) -> memoryview:
    """Write what the pipe takes now; what is left, nothing where nobody reads any more."""
    if not data:
        return data
    try:
        return data[os.write(to, data) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return data[:0]
