"""Keeps pandas out of a command's process: where it is installed, pyarrow imports it for its first array.

That is a third of what a small run takes. pyarrow looks for pandas once, and where it finds none it does
without until something asks for pandas by name (`to_pandas`, `from_pandas`), which imports it then. Only
arrays made of a user's own frames would tell the difference, so this is for commands: the process of a
notebook or of a user's program is left as it is.
"""

from __future__ import annotations

import sys
from typing import Any

PANDAS = "pandas"


class _Absent:
    """Finds no pandas."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        if name == PANDAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def leave_pandas_out() -> None:
    """Have pyarrow look for pandas now, and find none; nothing where pandas is there already."""
    if PANDAS in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _Absent)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(_Absent)
