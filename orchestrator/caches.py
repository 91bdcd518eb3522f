"""Where this machine keeps what was made once and can be made again: nothing that a run needs.

Owns that place. Imports nothing of Aliquot. When it is wrong, each command makes anew what it had made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def find_caches(environ: Mapping[str, str] = os.environ) -> Path:
    """`aliquot` beneath XDG_CACHE_HOME, else beneath ~/.cache.

    Raises:
        RuntimeError: this user has no home.
    """
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aliquot"
