"""What a target is, and which there are.

Owns the list. A target's `ask` raises what it documents, or nothing; whatever else comes is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Ask = Callable[[bytes], None]
JSON = ("[", "]", "{", "}", "null", "true", "1e999", "-1", "NaN", '""', "\\ud800")  # words of the format


@dataclass(frozen=True)
class Target:
    """One reader, or handler, that is given bytes.

    Args:
        make: gives what is called with each input; called once in a process.
        seeds: gives inputs that are sound, or nearly: where the fuzzer begins.
        allowed: exceptions that the reader documents.
        words: of the format, which the fuzzer puts in.
        n_items: that an input joins.
    """

    name: str
    make: Callable[[], Ask]
    seeds: Callable[[], Iterable[bytes]]
    allowed: tuple[type[Exception], ...]
    words: tuple[str, ...] = ()
    n_items: int = 1


def as_it_is(ask: Ask) -> Callable[[], Ask]:
    """What makes a target that needs nothing made before it is asked."""
    return lambda: ask


def list_targets() -> dict[str, Target]:
    """All targets by name, in the order in which they run."""
    from benchmarks.fuzz.binaries import BINARIES
    from benchmarks.fuzz.decoding import DECODING
    from benchmarks.fuzz.handlers import HANDLERS
    from benchmarks.fuzz.messages import MESSAGES
    from benchmarks.fuzz.notes import NOTES
    from benchmarks.fuzz.objects import OBJECTS

    return {target.name: target for target in (*OBJECTS, *BINARIES, *MESSAGES, *NOTES, *DECODING, *HANDLERS)}
