"""Files that were written aside take the places of those that were delivered before, and a note says so.

    DIR/ledger/delivered.json    what lies in the folder; its epoch is None while files change places

Readers never see parts of two deliveries mixed unawares. Owns the note and the renames. When it is wrong,
an interrupted delivery counts as whole, or leaves tables of two runs side by side.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aliquot.envelope import is_texts
from aliquot.errors import Undecodable
from aliquot.notes import check_fields, decoding, is_epoch, is_text, read_note
from aliquot.store import FolderStore
from orchestrator.local.folder import LEDGER

_NOTE = "delivered.json"
_LONGEST_NAME = 255  # bytes, of every file system in use


@dataclass(frozen=True)
class Delivered:
    """What lies in a run's folder.

    Args:
        epoch: whose result it is; None where nothing is whole.
        ending: "parquet" or "csv".
        names: files and folders.
    """

    epoch: int | None = None
    ending: str = ""
    names: Sequence[str] = ()

    def is_whole(self, folder: Path, epoch: int, ending: str) -> bool:
        """Whether everything of that epoch is there, in that format."""
        is_same = self.epoch == epoch and self.ending == ending
        return is_same and all((folder / name).exists() for name in self.names)


def read_delivered(folder: Path) -> Delivered:
    """What was delivered into a run's folder; nothing where a damaged note says what."""
    store = FolderStore(folder / LEDGER)
    if not store.has(_NOTE):
        return Delivered()
    try:
        note = read_note(_NOTE, store.get(_NOTE))
        check_fields(_NOTE, note, epoch=_is_epoch_or_none, ending=is_text, names=_are_plain)
        with decoding(_NOTE):
            return Delivered(note["epoch"], note["ending"], note["names"])
    except Undecodable:
        return Delivered()


def place_delivery(aside: Path, folder: Path, epoch: int, ending: str) -> None:
    """Put what was written `aside` in the place of what was delivered before; raises StoreError.

    `aside` must lie on the folder's file system. It is removed.
    """
    before = read_delivered(folder).names
    coming = {path.name for path in aside.iterdir()}
    note = Delivered(None, ending, sorted({*before, *coming}))
    _write_note(folder, note)  # until all is in place, nothing counts as delivered
    _write_note(folder, replace(note, epoch=epoch, names=place_files(aside, folder, before)))


def place_files(aside: Path, folder: Path, before: Collection[str]) -> list[str]:
    """Move everything in `aside` into `folder` and remove what else was delivered `before`; gives the names.

    `aside` must lie on the folder's file system. It is removed.
    """
    names = sorted(path.name for path in aside.iterdir())
    old_result = aside.parent / "old-result"
    shutil.rmtree(old_result, ignore_errors=True)
    if (folder / "result").exists():
        (folder / "result").rename(old_result)
    for name in names:
        (aside / name).replace(folder / name)
    for name in set(before) - set(names):
        # a note that somebody else wrote may name anything
        if _is_plain(name) and not (folder / name).is_dir():
            (folder / name).unlink(missing_ok=True)
    shutil.rmtree(old_result, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    return names


def _is_epoch_or_none(value: Any) -> bool:
    return value is None or is_epoch(value)


def _are_plain(value: Any) -> bool:
    return is_texts(value) and all(map(_is_plain, value))


def _is_plain(name: str) -> bool:
    """Whether a name can be one of something in the folder itself."""
    try:
        n_bytes = len(os.fsencode(name))
    except UnicodeEncodeError:
        return False
    return Path(name).name == name and name != ".." and 0 < n_bytes <= _LONGEST_NAME and "\0" not in name


def _write_note(folder: Path, note: Delivered) -> None:
    FolderStore(folder / LEDGER).put(_NOTE, json.dumps(asdict(note)).encode())
