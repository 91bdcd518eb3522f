"""The zygote: a single-threaded process that has opened the job and forks hosts on request.

A forked host starts in milliseconds and shares the pages that `open` filled; the collector is frozen first,
so that they stay shared. The zygote keeps no host's pipe open and reaps a host only when asked, so a host's
pid stays its own until the supervisor has heard of its end.

`python -m aliquot.zygote CONTROL_FD PAGE_FD PARENT_PID` takes messages on a SOCK_SEQPACKET socket: `prepare`,
`open`, `fork` (with the host's two pipe ends), `reap`. Linux only (see `processes.can_fork`).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from aliquot.codec import pack, unpack
from aliquot.frames import Frame
from aliquot.host import HostLimits, OpenJob, open_job, prepare_job, serve
from aliquot.loading import JobSpec
from aliquot.page import Page
from aliquot.processes import choose_reader, end_with_parent, name_end

LARGEST_MESSAGE = 1 << 17


def main(arguments: list[str]) -> None:
    """Serve the control socket until the supervisor closes it."""
    control_fd, page_fd, parent = (int(argument) for argument in arguments)
    end_with_parent(parent)
    control = socket.socket(fileno=control_fd)
    page = Page(page_fd)
    opened: OpenJob | None = None
    while True:
        message, fds, _, _ = socket.recv_fds(control, LARGEST_MESSAGE, 2)
        if not message:
            return
        frame: Frame = unpack(message, "message")
        if frame["op"] == "prepare":
            reply = _prepare_aside(JobSpec.from_plain(frame["spec"]))
        elif frame["op"] == "open":
            opened, reply = open_job(JobSpec.from_plain(frame["spec"]))
            reply["running"] = choose_reader().count_threads(os.getpid())
            gc.collect()
            gc.freeze()
        elif frame["op"] == "fork":
            reply = {"op": "forked", "pid": _fork_host(opened, frame, fds, page, control)}
        else:
            reply = _reap(frame["pid"])
        control.send(pack(reply))


def _fork_host(
    opened: OpenJob | None, frame: Frame, fds: list[int], page: Page, control: socket.socket
) -> int:
    if opened is None:
        raise RuntimeError("the job has not been opened")
    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        return pid
    code = 1
    try:
        control.close()
        os.setpgid(0, 0)
        serve(opened, HostLimits(**frame["limits"]), page, frame["slot"], fds[0], fds[1])
        code = 0
    finally:
        os._exit(code)  # no exit handlers: they belong to the zygote


def _prepare_aside(spec: JobSpec) -> Frame:
    """Run `prepare` in a child, so that the zygote stays small and survives what it does."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            end_with_parent(os.getppid())
            os.close(read_end)
            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(pack(prepare_job(spec)))
            code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read()
    ended = _reap(pid)
    if not said:
        return {"op": "failed", "error": "", "args": [f"`prepare` {name_end(ended['status'])}", ""]}
    return unpack(said, "message")  # type: ignore[no-any-return]


def _reap(pid: int) -> Frame:
    try:
        _, status, usage = os.wait4(pid, 0)
    except ChildProcessError:  # forked by a zygote before this one: how it ended nobody knows
        return {"op": "reaped", "status": int(signal.SIGKILL), "peak_kib": 0}
    return {"op": "reaped", "status": status, "peak_kib": usage.ru_maxrss}


if __name__ == "__main__":
    main(sys.argv[1:])
