"""Files that were written aside take the places of those that were delivered before.

Readers never see parts of two deliveries mixed unawares: the caller's note says what lies in the folder, and
says nothing while files change places. Owns these renames. Imports the standard library. When it is wrong, an
interrupted delivery leaves tables of two runs side by side.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path


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
        if Path(name).name != name or name == "..":  # a note that somebody else wrote may name any file
            continue
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(old_result, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    return names
