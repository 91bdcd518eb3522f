"""What an exception makes of its record: a kind, a line that says why, the traceback of the job's own code.

Owns these words. Imports `causes`, and the errors that say by themselves what they are. When it is wrong, a
failure does not tell its author what to mend.
"""

from __future__ import annotations

import traceback as tracebacks
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from aliquot.causes import miss_deadline
from aliquot.errors import ParseFailure, Unencodable, Unopened
from aliquot.looping import RecordLate
from aliquot.outcome import LONGEST_TEXT, Failure
from aliquot.rows import NotRows

_OWN_FOLDER = Path(__file__).parent


def describe_failure(index: int, err: BaseException, n_tries: int = 1, cut: str = "") -> Failure:
    """The failure that an exception makes of a record, in the last of so many tries.

    Args:
        cut: why there was no further one.
    """
    if isinstance(err, RecordLate):
        return replace(miss_deadline(err.timeout_s), index=index)
    if isinstance(err, ParseFailure):
        return Failure(index, "parse", _one_line(_say(err)))
    if isinstance(err, NotRows | Unencodable):
        return Failure(index, "exception", _one_line(_say(err)))
    if isinstance(err, Unopened):
        reader = err.__cause__ or err
        kind = "memory" if isinstance(reader, MemoryError) else "exception"
        return Failure(index, kind, _one_line(_say(err)), describe_traceback(reader))
    said = _say(err)
    message = _one_line(f"{type(err).__name__}: {said}" if said else type(err).__name__)
    tries = "1 try" if n_tries == 1 else f"{n_tries} tries"
    message += f" ({tries}{cut})" if n_tries > 1 or cut else ""
    kind = "memory" if isinstance(err, MemoryError) else "exception"
    return Failure(index, kind, message, describe_traceback(err))


def describe_traceback(err: BaseException) -> str:
    """The traceback's text, from the job's own frames on; the end of it where it is long."""
    text = "".join(tracebacks.format_exception(type(err), err, _skip_own_frames(err.__traceback__)))
    return _encodable(text[-LONGEST_TEXT:])


def _skip_own_frames(trace: TracebackType | None) -> TracebackType | None:
    at = trace
    while at is not None and Path(at.tb_frame.f_code.co_filename).parent == _OWN_FOLDER:
        at = at.tb_next
    return at or trace


def _say(err: BaseException) -> str:
    try:
        return str(err)
    except Exception:  # noqa: BLE001 - an exception whose own __str__ raises
        return "its message cannot be shown"


def _one_line(text: str) -> str:
    return _encodable(" ".join(text.split())[:1000])


def _encodable(text: str) -> str:
    """Text without lone surrogates, which UTF-8 lacks."""
    return text.encode(errors="replace").decode()
