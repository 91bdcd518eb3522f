"""Plotly's script as a page carries it: packed, in letters, with the digest by which a browser lets it run.

    plotly.min.js, 4.9 MB --pack once, 0.15 s--> <cache>/plotly/<version of the file>, 2.0 MB --> page

It is packed once on a machine, not for each run; where there is no cache to write to, for each. The package
is found, never imported. Owns the packed form, which `page.js` unpacks. Imports `caches`. When it is wrong,
pages have no charts.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from orchestrator.caches import find_caches


@dataclass(frozen=True)
class Packed:
    """A script that a page unpacks and runs.

    Args:
        digest: SHA-256 of the script, base64, as a content security policy names it.
        body: the script by zlib, in base64.
    """

    digest: bytes
    body: bytes


@cache
def read_plotly() -> Packed | None:
    """Plotly's script; None where its package is not installed, or has it elsewhere."""
    script = _find_script()
    if script is None:
        return None
    try:
        folder = find_caches() / "plotly"
    except RuntimeError:  # a user without a home
        return _pack(script)
    return read_packed(script, folder)


def read_packed(script: Path, folder: Path) -> Packed:
    """A script as it was packed into a folder, where that can be; it is packed there the first time."""
    kept = folder / _name_version(script)
    return _read_kept(kept) or _keep(_pack(script), kept)


def digest_script(script: bytes) -> bytes:
    """By which a content security policy lets a script run."""
    return base64.b64encode(hashlib.sha256(script).digest())


def _find_script() -> Path | None:
    found = find_spec("plotly")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder, "package_data", "plotly.min.js")
        if path.is_file():
            return path
    return None


def _name_version(script: Path) -> str:
    """Another file has another name: what a new version of Plotly brings, or another environment."""
    found = script.stat()
    return hashlib.sha256(f"{script} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:32]


def _pack(script: Path) -> Packed:
    body = script.read_bytes()
    return Packed(digest_script(body), base64.b64encode(zlib.compress(body)))


def _read_kept(path: Path) -> Packed | None:
    """What was packed before; None where it is not there, or is damaged."""
    try:
        with path.open("rb") as file:
            check, digest, body = file.readline(), file.readline(), file.read()
    except OSError:
        return None
    packed = Packed(digest.rstrip(), body)
    return packed if check.rstrip() == _check(packed) else None


def _keep(packed: Packed, path: Path) -> Packed:
    """Put it where the next run finds it, if that is possible."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(b"\n".join((_check(packed), packed.digest, packed.body)))
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    return packed


def _check(packed: Packed) -> bytes:
    found = hashlib.sha256(packed.digest)
    found.update(packed.body)
    return found.hexdigest().encode()
