"""The faults of one local run, drawn by its seed: what is done to each of its sessions, and to its store.

Owns the draw. The moments of kills are seconds, so a run that is repeated meets the same faults, though not
at the very same line.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aliquot.errors import StoreError
from aliquot.store import FolderStore

FULL_DISK = "the disk is full: free some space, then the same command goes on from here"


@dataclass(frozen=True)
class SessionFaults:
    """What happens in one session.

    Args:
        kill_s: when the orchestrator is killed, after its start.
        interrupt_s: when it is interrupted as by Ctrl-C.
        kill_hosts_s, kill_zygote_s: when a host, or what forks hosts, is killed.
        intrude_s: when a second process tries to resume the same run.
        kill_at_put: the number of the put at which the orchestrator kills itself, and where in it.
        kill_at_rename: the number of the rename, in a delivery, at which it does.
        put: shares of puts that go wrong, by kind.
        full_after: puts after which the disk is full.
        clock_step_s: how far the clock is set forth or back, at every look at it.
    """

    kill_s: float | None = None
    interrupt_s: float | None = None
    kill_hosts_s: tuple[float, ...] = ()
    kill_zygote_s: float | None = None
    intrude_s: float | None = None
    kill_at_put: tuple[int, str] | None = None
    kill_at_rename: int | None = None
    put: dict[str, float] = field(default_factory=dict)
    full_after: int | None = None
    clock_step_s: float = 0.0


@dataclass(frozen=True)
class RunFaults:
    """What happens in the sessions of one run; the ones after these are left in peace.

    Args:
        has_small_disk: the run's folder lies on a disk that is full at first, where this user may mount one.
        resumes: whether a session goes on by `resume` or by the same command.
    """

    sessions: tuple[SessionFaults, ...]
    has_small_disk: bool
    resumes: tuple[bool, ...]


def draw_faults(draw: random.Random, calm_s: float, apart_s: float) -> RunFaults:
    """The faults of a run.

    Args:
        calm_s: seconds that its undisturbed session takes.
        apart_s: at least so long lies between two kills of hosts. One that is killed at a record, and again
            when the record is tried alone, tells nobody that it was not the record.
    """
    n_sessions = draw.choice((1, 1, 2, 3))
    sessions = tuple(_draw_session(draw, calm_s, apart_s) for _ in range(n_sessions))
    has_small_disk = draw.random() < 0.06
    return RunFaults(sessions, has_small_disk, tuple(draw.random() < 0.5 for _ in range(20)))


def _draw_session(draw: random.Random, calm_s: float, apart_s: float) -> SessionFaults:
    def moment() -> float:
        return draw.uniform(0.05, 1.2 * calm_s)

    ends: list[Callable[[], dict[str, object]]] = [
        dict,
        lambda: {"kill_s": moment()},
        lambda: {"interrupt_s": moment()},
        lambda: {"kill_at_put": (draw.randrange(12), draw.choice(("before", "inside", "after")))},
        lambda: {"kill_at_rename": draw.randrange(4)},
        lambda: {"full_after": draw.randrange(1, 10)},
    ]
    given = draw.choices(ends, (2, 3, 1, 2, 1, 1))[0]()
    kinds = [kind for kind in PUT_KINDS if draw.random() < 0.3]
    return SessionFaults(
        **given,  # type: ignore[arg-type]
        kill_hosts_s=_space_out([moment() for _ in range(draw.choice((0, 0, 1, 2, 4)))], apart_s),
        kill_zygote_s=moment() if draw.random() < 0.2 else None,
        intrude_s=moment() if draw.random() < 0.1 else None,
        put={kind: draw.choice((0.02, 0.1, 0.3)) for kind in kinds},
        clock_step_s=draw.choice((0.0, 0.0, 3600.0, 1e6)),
    )


def _space_out(moments: list[float], apart_s: float) -> tuple[float, ...]:
    kept: list[float] = []
    for moment in sorted(moments):
        if not kept or moment - kept[-1] >= apart_s:
            kept.append(moment)
    return tuple(kept)


PUT_KINDS = ("refused put", "put that failed after all", "repeated put", "half-written put", "delayed put")


class FaultyStore(FolderStore):
    """A folder in which puts go wrong.

    Args:
        draw: decides.
        note: told of each fault by its kind, before it happens.
        die: ends the process as SIGKILL does.
        sleep: waits.
    """

    faults = SessionFaults()
    draw = random.Random(0)
    note: Callable[[str], None]
    die: Callable[[], None]
    sleep: Callable[[float], None]
    n_puts = 0

    def put(self, key: str, body: bytes) -> None:
        """Put, if nothing goes wrong."""
        self._put(key, body, super().put)

    def put_once(self, key: str, body: bytes) -> None:
        """Put once, if nothing goes wrong."""
        self._put(key, body, super().put_once)

    def _put(self, key: str, body: bytes, put: Callable[[str, bytes], None]) -> None:
        cls, faults = type(self), self.faults
        cls.n_puts += 1
        if faults.full_after is not None and cls.n_puts > faults.full_after:
            cls.note("full disk")
            raise StoreError(key, FULL_DISK)
        place = faults.kill_at_put[1] if faults.kill_at_put and faults.kill_at_put[0] == cls.n_puts else ""
        if place in ("before", "inside"):
            cls.note(f"kill {place} a put")
            if place == "inside":
                self._leave_half(key, body)
            cls.die()
        self._put_badly(key, body, put)
        if place == "after":
            cls.note("kill after a put")
            cls.die()

    def _put_badly(self, key: str, body: bytes, put: Callable[[str, bytes], None]) -> None:
        cls = type(self)
        hit = {kind for kind, share in self.faults.put.items() if cls.draw.random() < share}
        if "delayed put" in hit:
            cls.note("delayed put")
            cls.sleep(cls.draw.uniform(0.005, 0.08))
        if "refused put" in hit:
            cls.note("refused put")
            raise StoreError(key, "refused on purpose")
        if "half-written put" in hit and key.startswith("outcomes/"):
            cls.note("half-written put")
            body = body[: cls.draw.randrange(len(body))]
        put(key, body)
        if "repeated put" in hit:
            cls.note("repeated put")
            put(key, body)  # of put_once: it meets its own success
        if "put that failed after all" in hit:
            cls.note("put that failed after all")
            raise StoreError(key, "failed on purpose, after it was done")

    def _leave_half(self, key: str, body: bytes) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(target.parent, ".put-half").write_bytes(body[: len(body) // 2])
