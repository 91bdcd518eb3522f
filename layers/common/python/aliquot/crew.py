"""The threads of a host: each takes steps of its own, so that records which wait do so side by side.

    main thread --steps--> a queue for each thread --> steps as in a host of one thread --> answers
         |
         +--> the shared page: when Python was last awake

Threads live as long as their host. The main thread calls no job: it hears the end of its pipe at once, and
notes on the page that it runs, so that whoever finds a record past its deadline knows whether that record
is late by itself, or because another one holds the interpreter.

Owns the threads. Imports `frames` and `page`. When it is wrong, a host hangs, or outlives its supervisor.
"""

from __future__ import annotations

import os
import select
import threading
import time
import traceback
from collections.abc import Callable
from queue import SimpleQueue

from aliquot.frames import Frame, read_frame
from aliquot.page import AWAKE_NS

_AWAKE_MS = 100


class Crew:
    """So many threads that answer frames, each those that are meant for it.

    Args:
        answer: does what a frame asks; called from all of the threads.
    """

    def __init__(self, answer: Callable[[Frame], None], n_threads: int) -> None:
        self._answer = answer
        self._queues: list[SimpleQueue[Frame]] = [SimpleQueue() for _ in range(n_threads)]
        for queue in self._queues:
            threading.Thread(target=self._serve, args=(queue,), daemon=True).start()

    def take(self, frame: Frame) -> None:
        """Have a step done by its thread; anything else is done here, before what comes after it."""
        if frame["op"] == "step":
            self._queues[frame["thread"]].put(frame)
        else:
            self._answer(frame)

    def _serve(self, queue: SimpleQueue[Frame]) -> None:
        try:
            while True:
                self._answer(queue.get())
        except BrokenPipeError:  # the supervisor is gone, and with it whoever would read
            os._exit(0)
        except BaseException:  # noqa: BLE001 - as in a host of one thread: what nobody catches ends the process
            traceback.print_exc()
            os._exit(1)


def note_awake(slot: memoryview) -> None:
    """Say in a slot that Python is awake."""
    slot[AWAKE_NS] = time.monotonic_ns()


def read_awake(fd: int, note: Callable[[], None] | None) -> Frame | None:
    """The next frame, as `read_frame`; until it comes, `note` is called some ten times a second."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    while True:
        if note is not None:
            note()
        if waiting.poll(_AWAKE_MS):
            return read_frame(fd)
