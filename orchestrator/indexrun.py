"""Indexes that a run makes: `aliquot index fingerprints LIBRARY... --out LIB`.

    LIBRARY --run of the index's job in LIB.building/--> rows, failures --write--> LIB

So a record that crashes or hangs costs itself alone, all cores work, and the same command goes on where it
was interrupted. An index is known by a key, a digest of its library's content and its options: what is
there already is not made again. Owns this, and the folder. Imports `indexing`, the local backend behind
`api`; knows no chemistry. When it is wrong, an index is taken for that of another library.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from aliquot.errors import DatasetError, FolderInUse, StoreError
from aliquot.readers import find_sources
from aliquot.readers.sources import STDIN
from orchestrator.indexing import find_index
from orchestrator.run import Run

_ROWS = 4096  # of the result at a time


class RunIndex(Protocol):
    """What the entry point of an index gives that a run makes."""

    ADDRESS: str

    def check_settings(self, **options: Any) -> None:
        """Raise BadOption where nothing is made with these options."""

    def derive_key(self, library: Sequence[str], options: Mapping[str, Any]) -> str:
        """What the index of a library is known by, given the SHA-256 of each of its files."""

    def read_key(self, path: Path) -> str:
        """The key of the index at `path`; raises BadReference."""

    def write(
        self,
        path: Path,
        rows: Iterable[Mapping[str, Any]],
        failures: Iterable[Mapping[str, Any]],
        key: str,
        options: Mapping[str, Any],
    ) -> None:
        """Write the index of a run's rows, each with its `record`, and of its failures."""

    def describe(self, path: Path) -> dict[str, Any]:
        """Figures of the index at `path`."""


def make_index_by_run(
    kind: str,
    data: Sequence[str],
    out: Path,
    column: Mapping[str, str],
    options: Mapping[str, Any],
    *,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Make the index of the files that `data` names, or find it there; its figures.

    Args:
        kind: which index.
        out: the file that is to be the index.
        column: input column by field, where names do not tell.
        options: of the index.
        settings: of the run, as `api.plan` takes them; those that are None are left out.

    Raises:
        UsageError: nothing was made. TooManyFailed, Interrupted: the same command goes on.
    """
    index = cast("RunIndex", find_index(kind))
    index.check_settings(**options)
    key = index.derive_key([_digest(path) for path in _list_files(data)], options)
    if out.exists():
        _check_same(index, out, key)
    else:
        folder = out.with_name(f"{out.name}.building")
        run = _run(index, data, folder, column, options, settings)
        run.wait(quiet=quiet)
        failures = run.failures
        rejected = failures.to_pylist() if failures is not None else []
        try:
            index.write(out, _read_rows(run), rejected, key, options)
        except OSError as err:
            raise StoreError(
                str(out), f"cannot be written ({err}); what is computed lies in {folder}"
            ) from err
        shutil.rmtree(folder)
    return index.describe(out)


def _run(
    index: RunIndex,
    data: Sequence[str],
    folder: Path,
    column: Mapping[str, str],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Run:
    from orchestrator import api

    chosen = {name: value for name, value in settings.items() if value is not None}
    return api.plan(index.ADDRESS, list(data), column=column, **chosen, **options).start(folder)


def _list_files(data: Sequence[str]) -> list[str]:
    """The files of the library; raises DatasetError where one is a pipe, whose content nobody can name."""
    paths = [source.path for source in find_sources(data)]
    if STDIN in paths:
        raise DatasetError(STDIN, "has no content that an index could be known by: give files")
    return paths


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_same(index: RunIndex, out: Path, key: str) -> None:
    if out.is_dir() or index.read_key(out) != key:
        reason = (
            "is there, and no index of this library with these options: choose another --out, or remove it"
        )
        raise FolderInUse(str(out), reason)


def _read_rows(run: Run) -> Iterator[Mapping[str, Any]]:
    for batch in run.result.dataset().to_batches(batch_size=_ROWS):
        yield from batch.to_pylist()
