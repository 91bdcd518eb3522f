"""The folder store keeps a bucket's promises: whole or not at all, one winner, and words where it refuses."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.errors import AlreadyPut, StoreError
from aliquot.store import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_what_is_viewed_is_what_was_put_mapped_or_not(store: FolderStore) -> None:
    """Large objects are read as they are looked at; one that is put anew leaves such a view as it was."""
    for body in (b"", b"small", os.urandom(1 << 20)):
        store.put("a", body)
        view = store.view("a")
        store.put("a", b"anew")
        assert view == body
    with pytest.raises(StoreError, match="no such object"):
        store.view("b")


def _try_to_win(root: str, body: bytes, start: Callable[[], object]) -> bool:
    start()
    try:
        FolderStore(Path(root)).put_once("decision/0000.json", body)
    except AlreadyPut:
        return False
    return True


def test_put_is_read_back_and_put_again_replaces(store: FolderStore) -> None:
    store.put("a/b/c", b"1")
    store.put("a/b/c", b"2")
    assert store.get("a/b/c") == b"2"
    assert store.has("a/b/c")
    assert not store.has("a/b")
    assert not store.has("x")


def test_put_once_keeps_the_first(store: FolderStore) -> None:
    store.put_once("a", b"1")
    with pytest.raises(AlreadyPut) as caught:
        store.put_once("a", b"2")
    assert caught.value.key == "a"
    assert store.get("a") == b"1"


def test_of_threads_that_decide_at_once_one_wins(tmp_path: Path) -> None:
    for attempt in range(20):
        barrier = threading.Barrier(4)
        won: list[int] = []

        def decide(
            number: int, root: str = str(tmp_path / str(attempt)), barrier: threading.Barrier = barrier
        ) -> None:
            if _try_to_win(root, b"%d" % number, barrier.wait):
                won.append(number)  # noqa: B023 - joined below, in this turn of the loop

        threads = [threading.Thread(target=decide, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert FolderStore(tmp_path / str(attempt)).get("decision/0000.json") == b"%d" % won[0]


def _decide_in_process(root: str, number: int, barrier: object, said: object) -> None:
    if _try_to_win(root, b"%d" % number, barrier.wait):  # type: ignore[attr-defined]
        said.put(number)  # type: ignore[attr-defined]


def test_of_processes_that_decide_at_once_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, said = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_decide_in_process, args=(str(tmp_path), number, barrier, said))
        for number in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert FolderStore(tmp_path).get("decision/0000.json") == b"%d" % said.get()
    assert said.empty()


@given(
    keys=st.sets(
        st.lists(
            st.text("ab0.-~+", min_size=1, max_size=4).filter(lambda part: part[0] != "."),
            min_size=2,
            max_size=2,
        ).map("/".join),
        max_size=8,
    )
)
def test_a_listing_is_sorted_and_whole(tmp_path_factory: pytest.TempPathFactory, keys: set[str]) -> None:
    store = FolderStore(tmp_path_factory.mktemp("store"))
    for key in keys:
        store.put_once(f"outcomes/{key}", b"x")
    store.put("chunks/00000000.1", b"x")
    assert store.list_keys("outcomes/") == sorted(f"outcomes/{key}" for key in keys)


def test_a_listing_of_what_is_not_there_is_empty(store: FolderStore) -> None:
    assert store.list_keys("outcomes/") == []


def test_half_written_and_foreign_hidden_files_are_no_objects(store: FolderStore) -> None:
    """A killed writer leaves the first, a file manager the second; either would break the reading of keys."""
    store.put("chunks/00000000.1", b"x")
    (store.root / "chunks/.put-0123").write_bytes(b"half")
    (store.root / "chunks/.DS_Store").write_bytes(b"theirs")
    assert store.list_keys("chunks/") == ["chunks/00000000.1"]


def test_sweep_removes_what_is_half_written_and_nothing_else(store: FolderStore) -> None:
    store.put("a/b", b"x")
    (store.root / "a/.put-0123").write_bytes(b"half")
    (store.root / "a/.keep").write_bytes(b"theirs")
    store.sweep()
    assert sorted(path.name for path in (store.root / "a").iterdir()) == [".keep", "b"]


def test_nothing_is_left_beside_the_objects(store: FolderStore) -> None:
    store.put("a/1", b"x")
    store.put("a/1", b"y")
    store.put_once("a/2", b"x")
    with pytest.raises(AlreadyPut):
        store.put_once("a/2", b"y")
    assert sorted(path.name for path in (store.root / "a").iterdir()) == ["1", "2"]


def test_an_object_that_is_not_there_is_told(store: FolderStore) -> None:
    with pytest.raises(StoreError, match="no such object"):
        store.get("a/b")


class _FailingStore(FolderStore):
    """Writes half of a body, then the system refuses."""

    def __init__(self, root: Path, number: int) -> None:
        super().__init__(root)
        self._number = number
        self.n_refused = 0

    def _write_aside(self, key: str, body: bytes) -> Path:
        super()._write_aside(key, body[: len(body) // 2])
        self.n_refused += 1
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full.*free some space.*same command"),
        (errno.EDQUOT, "quota.*same command"),
        (errno.EROFS, "read-only: choose"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_refusal_says_what_to_do_and_shows_no_object(tmp_path: Path, number: int, words: str) -> None:
    store = _FailingStore(tmp_path, number)
    for put in (store.put, store.put_once):
        with pytest.raises(StoreError, match=words):
            put("outcomes/a", b"0123456789")
    assert store.n_refused == 2
    assert store.list_keys("outcomes/") == []


def _run_child(body: Callable[[], None]) -> str:
    """What a forked child writes about `body`: its error, or nothing."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            body()
        except BaseException as err:  # noqa: BLE001 - it is written to the parent
            os.write(write_end, f"{type(err).__name__}: {err}".encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def test_a_write_that_the_system_cuts_short_leaves_nothing(store: FolderStore) -> None:
    """The file size limit stops a write in its middle, as a full disk does."""

    def write_past_the_limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        store.put_once("outcomes/a", bytes(100_000))

    said = _run_child(write_past_the_limit)
    assert said.startswith("StoreError: ")
    assert store.list_keys("outcomes/") == []
    assert list((store.root / "outcomes").iterdir()) == []


def test_a_folder_without_permission_is_told(store: FolderStore) -> None:
    store.put("outcomes/a", b"x")
    (store.root / "outcomes").chmod(0o500)

    def write_without_permission() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)  # nothing is forbidden to root
        store.put("outcomes/b", b"x")

    try:
        assert "permission denied: choose a folder" in _run_child(write_without_permission)
    finally:
        (store.root / "outcomes").chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_told_and_not_taken_for_empty(store: FolderStore) -> None:
    """An empty listing would have a run do all its work again."""
    store.put("outcomes/a", b"x")
    (store.root / "outcomes").rename(store.root / "elsewhere")
    (store.root / "outcomes").write_bytes(b"a file")
    with pytest.raises(StoreError):
        store.list_keys("outcomes/")
