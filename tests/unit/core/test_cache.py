"""What a function keeps in its /tmp: no more than fits, all that is open, and no content but what it had."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from aliquot.cache import Cache, Kept, choose_evicted
from aliquot.errors import NoRoom

MIB = 1 << 20
SPARED = 32 * MIB  # for what jobs write beside


def name_of(body: bytes) -> str:
    return f"references/{hashlib.sha256(body).hexdigest()}"


def nothing_held(_name: str) -> bool:
    return False


class Shelf:
    """A cache of so many MiB besides what is spared, on a disk that has more.

    Where `is_mapped`, a host maps all that was put, and removing it frees nothing.
    """

    def __init__(self, folder: Path, room_mib: int, disk_mib: int = 1 << 20) -> None:
        self.is_mapped, self._disk_mib, self._put_mib = False, disk_mib, 0
        self.cache = Cache(folder, room_mib * MIB + SPARED, self._read_free)
        self.cache.hold([])

    def _read_free(self, folder: Path) -> int:
        kept_bytes = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
        return self._disk_mib * MIB + SPARED - (self._put_mib * MIB if self.is_mapped else kept_bytes)

    def put(self, body: bytes, n_mib: int) -> str:
        """A file that is `body` and then zeros; its name."""
        body = body.ljust(n_mib * MIB, b"\0")
        name = name_of(body)
        self.cache.make_room(name, len(body))
        path = self.cache.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        self.cache.keep(name)
        self._put_mib += n_mib
        return name

    def is_there(self, name: str) -> bool:
        found = self.cache.find(name, name.rpartition("/")[2])
        assert (self.cache.folder / name).exists() == (found is not None), "what is not found is removed"
        return found is not None


# ---- deciding


def test_the_least_recently_used_go_first_and_no_more_than_is_needed():
    kept = [Kept("old", 10), Kept("middle", 10), Kept("new", 10)]
    assert choose_evicted(kept, nothing_held, 1) == ["old"]
    assert choose_evicted(kept, nothing_held, 11) == ["old", "middle"]
    assert choose_evicted(kept, nothing_held, 0) == []
    assert choose_evicted(kept, nothing_held, -5) == []


def test_what_is_held_stays_and_what_then_cannot_fit_is_said():
    kept = [Kept("held", 10), Kept("free", 10)]
    assert choose_evicted(kept, "held".__eq__, 10) == ["free"]
    assert choose_evicted(kept, "held".__eq__, 11) is None
    assert choose_evicted([], nothing_held, 1) is None


# ---- room


def test_runs_with_different_references_do_not_fill_tmp(tmp_path):
    """An environment that lives for hours serves many runs, each with a stock of its own."""
    shelf = Shelf(tmp_path, room_mib=3)
    for number in range(8):
        shelf.cache.hold([])
        shelf.put(bytes([number]), 1)
        assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) <= 3 * MIB


def test_use_keeps_a_file_and_the_one_that_nobody_used_goes(tmp_path):
    shelf = Shelf(tmp_path, room_mib=2)
    first, second = shelf.put(b"1", 1), shelf.put(b"2", 1)
    assert shelf.is_there(first)  # which is a use
    third = shelf.put(b"3", 1)
    assert [shelf.is_there(each) for each in (first, second, third)] == [True, False, True]


def test_what_the_open_job_maps_is_never_removed(tmp_path):
    """A mapped file that is truncated or gone is a SIGBUS in every host."""
    shelf = Shelf(tmp_path, room_mib=2)
    held, free = shelf.put(b"held", 1), shelf.put(b"free", 1)
    shelf.cache.hold([held])
    shelf.put(b"new", 1)
    assert (shelf.is_there(held), shelf.is_there(free)) == (True, False)
    with pytest.raises(NoRoom):
        shelf.put(b"large", 2)
    assert shelf.is_there(held)


def test_files_of_a_folder_that_is_held_are_held(tmp_path):
    shelf = Shelf(tmp_path, room_mib=1)
    (tmp_path / "prepared" / "run").mkdir(parents=True)
    (tmp_path / "prepared" / "run" / "table").write_bytes(bytes(MIB))
    shelf.cache.keep("prepared/run/table")
    shelf.cache.hold(["prepared/run"])
    with pytest.raises(NoRoom):
        shelf.put(b"x", 1)
    shelf.cache.hold(["prepared/run-2"])
    shelf.put(b"x", 1)
    assert not (tmp_path / "prepared" / "run" / "table").exists()


def test_what_does_not_fit_at_all_says_sizes_and_what_to_do_and_costs_nothing(tmp_path):
    shelf = Shelf(tmp_path, room_mib=4)
    here = shelf.put(b"here", 1)
    with pytest.raises(NoRoom, match=r"has 5 MiB, and of 36 MiB in /tmp there are 4.*TmpMiB") as caught:
        shelf.put(b"large", 5)
    assert caught.value.args[1:] == (5 * MIB, 4 * MIB, 36 * MIB)
    assert shelf.is_there(here), "nothing is removed for what cannot fit anyway"


def test_room_of_what_a_host_still_maps_is_none(tmp_path):
    """A file that was removed lies on the disk until whoever maps it lets go."""
    shelf = Shelf(tmp_path, room_mib=4, disk_mib=4)
    shelf.put(b"mapped", 3)
    shelf.is_mapped = True
    with pytest.raises(NoRoom, match="there are 1"):
        shelf.put(b"next", 2)


def test_what_jobs_left_in_tmp_takes_its_room(tmp_path):
    """The disk itself counts, not only what the cache knows of."""
    shelf = Shelf(tmp_path, room_mib=100, disk_mib=2)
    first = shelf.put(b"1", 1)
    shelf.put(b"2", 2)  # a MiB is free, and one is made so
    assert not shelf.is_there(first)
    with pytest.raises(NoRoom):
        shelf.put(b"3", 5)


# ---- what is damaged


def test_file_that_was_written_to_between_uses_is_noticed_and_removed(tmp_path):
    """A host of the run before may write where it likes in /tmp, and its size and its time may stay."""
    shelf = Shelf(tmp_path, room_mib=4)
    name = shelf.put(b"content", 1)
    path = tmp_path / name
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"C")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert shelf.cache.find(name, name.rpartition("/")[2]) is None
    assert not path.exists()


@pytest.mark.parametrize("how", ["truncated", "gone"])
def test_file_that_is_cut_or_gone_is_noticed(tmp_path, how):
    shelf = Shelf(tmp_path, room_mib=4)
    name = shelf.put(b"content", 1)
    (tmp_path / name).unlink() if how == "gone" else os.truncate(tmp_path / name, 10)
    assert shelf.cache.find(name, name.rpartition("/")[2]) is None


def test_file_that_was_only_touched_is_still_itself(tmp_path):
    shelf = Shelf(tmp_path, room_mib=4)
    name = shelf.put(b"content", 1)
    (tmp_path / name).touch()
    assert shelf.cache.find(name, name.rpartition("/")[2]) == tmp_path / name


def test_folder_of_which_a_file_changed_is_not_found(tmp_path):
    """Code has no digest of its own once it is unpacked; what Python compiles beside it does not count."""
    shelf = Shelf(tmp_path, room_mib=4)
    folder = tmp_path / "packages" / "code"
    folder.mkdir(parents=True)
    (folder / "job.py").write_text("rows = 1")
    shelf.cache.keep("packages/code")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "job.pyc").write_bytes(b"compiled")
    assert shelf.cache.find("packages/code") == folder
    (folder / "job.py").write_text("rows = 2")
    assert shelf.cache.find("packages/code") is None
    assert not folder.exists()


def test_what_an_earlier_process_left_is_believed_by_its_digest_alone(tmp_path):
    """A function that timed out begins anew in the same environment, with all that lies in /tmp."""
    good, bad = Shelf(tmp_path, 4).put(b"good", 1), Shelf(tmp_path, 4).put(b"bad", 1)
    with (tmp_path / bad).open("r+b") as file:
        file.write(b"B")
    half = tmp_path / f"{good}.{'0' * 32}"
    half.write_bytes(b"half of a fetch")
    (tmp_path / "prepared" / "run").mkdir(parents=True)
    (tmp_path / "prepared" / "run" / "table").write_bytes(b"of whom?")
    shelf = Shelf(tmp_path, 4)
    assert [shelf.is_there(each) for each in (good, bad)] == [True, False]
    assert not half.exists()
    assert not (tmp_path / "prepared" / "run" / "table").exists()
