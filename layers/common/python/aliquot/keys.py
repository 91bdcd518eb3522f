"""The names of a run's objects, and what they say: chunks, outcomes, rosters, markers.

Keys are relative to the run's prefix (`runs/<run>/` in a bucket, `DIR/ledger/` in a folder). A chunk's key
says how many records it has, an outcome's key which of them it answers, how many of those failed and what
it cost, so that progress, spend and completion need listings only. Chunk ids sort in dataset order.

Owns the text of keys, both ways, and which words may stand in a run's id. Imports the standard library and
`spans`. When it is wrong, a run cannot find what it did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aliquot.spans import SpanSet

MANIFEST = "manifest.json"
SEALED = "sealed"
CHUNKS = "chunks/"
OUTCOMES = "outcomes/"
VOIDS = "voids/"
STOPS = "stop/"
REDELIVERED = "redelivered/"
OPEN_FAILURES = "open_failed/"
PAID = "paid/"
LEGS = "legs/"

TOMBSTONE = "tombstone"  # the rung of an outcome that says that no attempt ever came back
LONGEST_WORD = 32  # of a run's id: an execution's name has 80 characters at most, and more comes behind
LONGEST_SPANS = 120  # bytes of span text in a key: more holes end an outcome early and start another

# ASCII digits, no more of them than any dataset needs, and none that could be left out: a key is what anybody
# may have put there, and one that reads as another's would have its object counted as that one
_COUNT = r"(?:0|[1-9][0-9]{0,11})"
_CHUNK = rf"[0-9]{{8}}\.{_COUNT}"
_CHUNK_ID = re.compile(rf"([0-9]{{8}})\.({_COUNT})")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NO_WORD = re.compile(r"[^A-Za-z0-9_-]+")
_LEG = re.compile(r"legs/(?:[1-9]|1[0-5])/[0-9a-f]{16}/")
_STOP = re.compile(r"stop/([0-9]{4}|[1-9][0-9]{4,8})\.json")
_OUTCOME = re.compile(
    rf"outcomes/(?P<stage>[a-z0-9_-]+)/(?P<chunk>{_CHUNK})/"
    r"(?P<spans>[0-9+-]*)~(?P<attempt>[0-9a-z]+)\.(?P<rung>[a-z]+)\."
    rf"(?P<ms>{_COUNT})\.(?P<failed>{_COUNT})\.(?P<receives>{_COUNT})"
)
_PAID = re.compile(
    r"paid/(?P<kind>cut|intake|prepare)-(?P<invocation>[0-9a-f]{32})"
    rf"(?:\.(?P<ms>{_COUNT})\.(?P<items>{_COUNT})\.(?P<puts>{_COUNT}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class ChunkId:
    """One chunk: its place in the dataset and how many records it holds."""

    seq: int
    n_records: int

    def __str__(self) -> str:
        return f"{self.seq:08d}.{self.n_records}"

    @property
    def key(self) -> str:
        """The chunk's object."""
        return f"{CHUNKS}{self}"

    @property
    def all_records(self) -> SpanSet:
        """Every record of the chunk."""
        return SpanSet.range(0, self.n_records)

    @classmethod
    def parse(cls, text: str) -> ChunkId:
        """Read an id, or a chunk's key; raises ValueError."""
        match = _CHUNK_ID.fullmatch(text.removeprefix(CHUNKS))
        if not match:
            raise ValueError(f"not a chunk: {text[:80]!r}")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class OutcomeKey:
    """What the key of one outcome says.

    Args:
        stage: name of the stage.
        chunk: the chunk that was worked on.
        spans: records of the chunk that this outcome answers for, done or failed.
        attempt: unique among all outcomes, so that every one that was paid for is counted.
        rung: memory rung of the worker; `local` on the user's machine.
        billed_ms: wall time of the attempt.
        n_failed: how many of `spans` failed.
        receives: how often the task had been received.
    """

    stage: str
    chunk: ChunkId
    spans: SpanSet
    attempt: str
    rung: str
    billed_ms: int
    n_failed: int
    receives: int

    def __str__(self) -> str:
        return (
            f"{OUTCOMES}{self.stage}/{self.chunk}/{self.spans}~{self.attempt}."
            f"{self.rung}.{self.billed_ms}.{self.n_failed}.{self.receives}"
        )

    @classmethod
    def parse(cls, text: str) -> OutcomeKey:
        """Read a key; raises ValueError where it is not an outcome's."""
        match = _OUTCOME.fullmatch(text)
        if not match:
            raise ValueError(f"not an outcome: {text[:200]!r}")
        return cls(
            stage=match["stage"],
            chunk=ChunkId.parse(match["chunk"]),
            spans=SpanSet.parse(match["spans"]),
            attempt=match["attempt"],
            rung=match["rung"],
            billed_ms=int(match["ms"]),
            n_failed=int(match["failed"]),
            receives=int(match["receives"]),
        )


@dataclass(frozen=True, slots=True)
class PaidKey:
    """What the key of a note says of an invocation before the first tally: that it has begun, or its bill.

    Args:
        kind: "intake", "prepare" or "cut".
        invocation: 32 hexadecimal digits, the same in both of an invocation's notes.
        billed_ms: wall time, INIT included; None while it has only begun.
        n_items: that it handed out, each to a child of the state machine.
        n_puts: objects that it put, chunks included, and its notes not.
    """

    kind: str
    invocation: str
    billed_ms: int | None = None
    n_items: int = 0
    n_puts: int = 0

    def __str__(self) -> str:
        begun = f"{PAID}{self.kind}-{self.invocation}"
        return begun if self.billed_ms is None else f"{begun}.{self.billed_ms}.{self.n_items}.{self.n_puts}"

    @classmethod
    def parse(cls, text: str) -> PaidKey:
        """Read a key; raises ValueError where it is no such note's."""
        match = _PAID.fullmatch(text)
        if not match:
            raise ValueError(f"not the note of an invocation: {text[:80]!r}")
        if match["ms"] is None:
            return cls(match["kind"], match["invocation"])
        figures = (int(match[name]) for name in ("ms", "items", "puts"))
        return cls(match["kind"], match["invocation"], *figures)


def name_bill(epoch: int) -> str:
    """The key of what driving and merging an epoch has taken."""
    return f"merge/{epoch:04d}/bill.json"


def is_name(text: object) -> bool:
    """Whether this may name a run, a stage or a rung: nothing that leads out of a prefix or a folder."""
    return isinstance(text, str) and bool(_NAME.fullmatch(text))


def spell_word(text: str) -> str:
    """The word in a run's id that tells people of which job or request it is; at most LONGEST_WORD long.

    Whatever may not stand in a name becomes a hyphen; `run` where nothing is left.
    """
    return _NO_WORD.sub("-", text)[:LONGEST_WORD].strip("-") or "run"


def fits_in_key(spans: SpanSet) -> bool:
    """Whether the text of `spans` is short enough for an outcome's key."""
    return len(str(spans)) <= LONGEST_SPANS


def name_leg(number: int, digest: str) -> str:
    """The prefix of a leg behind an exchange.

    Under it lie the same names as under a run's, of chunks, outcomes, voids and rosters.

    Args:
        digest: of what was exchanged, in hexadecimal: another leg lies elsewhere.
    """
    return f"{LEGS}{number}/{digest[:16]}/"


def name_entered(epoch: int, leg: int) -> str:
    """The note of an epoch where a leg behind an exchange lies."""
    return f"entered/{epoch:04d}/{leg}.json"


def is_leg(text: object) -> bool:
    """Whether this is the prefix of a leg, or nothing, as the first has it."""
    return isinstance(text, str) and (not text or bool(_LEG.fullmatch(text)))


def name_outcomes(stage: str, chunk: ChunkId | None = None) -> str:
    """The prefix under which a stage's outcomes lie, or those of one chunk."""
    return f"{OUTCOMES}{stage}/" + (f"{chunk}/" if chunk else "")


def name_roster(stage: str, epoch: int) -> str:
    """The frozen decision which outcomes count, of one stage in one epoch."""
    return f"roster/{stage}/{epoch:04d}.json"


def name_stop(epoch: int) -> str:
    """The marker that ends an epoch: settled, cancelled, too many failures."""
    return f"{STOPS}{epoch:04d}.json"


def parse_stop(key: str) -> int:
    """The epoch that a marker ends; raises ValueError where it is none."""
    match = _STOP.fullmatch(key)
    if not match:
        raise ValueError(f"not the end of an epoch: {key[:80]!r}")
    return int(match[1])


def name_void(outcome: OutcomeKey) -> str:
    """The marker that an outcome turned out unreadable."""
    return f"{VOIDS}{outcome}"
