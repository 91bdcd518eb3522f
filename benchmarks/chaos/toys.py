"""Functions of one record that do to their process what real ones may: the column `do` says what.

Imported by hosts from this file's folder, which travels to a stack as it is: the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

MARKS = "CHAOS_MARKS"


def _crash():
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def _fail_once(record):
    """Lose the connection the first time; where no folder for marks is named, never."""
    folder = os.environ.get(MARKS)
    mark = Path(folder or "/", f"tried-{record['id']}")
    if folder and not mark.exists():
        mark.touch()
        raise ConnectionResetError("on purpose")


def _raise(_record):
    raise ValueError("on purpose")


_DEEDS = {
    "exit": lambda _: os._exit(7),
    "segv": lambda _: _crash(),
    "abort": lambda _: os.abort(),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda _: time.sleep(1000),
    "raise": _raise,
    "throttle": _fail_once,
}


def work(record):
    """None, one row or several, by the record's number; or whatever the record asks for."""
    do = record["do"] or ""
    if do in _DEEDS:
        _DEEDS[do](record)
    elif do:
        time.sleep(float(do))
    number = int(record["id"][1:])
    rows = [{"id": record["id"], "k": k, "text": record["text"][: 3 + number % 7]} for k in range(number % 3)]
    return rows or None
