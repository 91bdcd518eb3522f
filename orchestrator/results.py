"""What a run delivered, read back: the result, its failures, its tables and its summary.

Owns reading of a run's folder for people and programs. Imports pyarrow only when a table is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aliquot.envelope import is_count, is_texts
from aliquot.errors import FolderInUse, StoreError, Undecodable
from aliquot.notes import check_fields, is_figure, read_note

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset

ENDINGS: tuple[Literal["parquet"], Literal["csv"]] = ("parquet", "csv")


class Result:
    """The rows of a run and the tables beside them; every table is an Arrow table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def dataset(self) -> pyarrow.dataset.Dataset:
        """The result as an Arrow dataset, of any size; rows are ordered by record."""
        import pyarrow.dataset

        for ending in ENDINGS:
            files = [str(path) for path in sorted((self.folder / "result").glob(f"part-*.{ending}"))]
            if files:
                found: pyarrow.dataset.Dataset = pyarrow.dataset.dataset(files, format=ending)
                return found
        raise FolderInUse(str(self.folder), "has no result yet: `aliquot resume` finishes the run")

    def to_table(self) -> pa.Table:
        """All rows of the result in memory."""
        return self.dataset().to_table()

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a pandas frame (`pip install 'aliquot[notebook]'`)."""
        return self.to_table().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """All rows as a polars frame; polars has to be installed."""
        import polars as pl

        return pl.DataFrame(self.to_table())

    def __repr__(self) -> str:
        return f"Result({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        from orchestrator.notebook import show_rows

        return show_rows(self.dataset)

    def __getitem__(self, name: str) -> pa.Table:
        """A table that was delivered beside the result: `failures`, `templates`, `unexplained`, ..."""
        table = read_table(self.folder, name)
        if table is None:
            there = sorted(path.stem for ending in ENDINGS for path in self.folder.glob(f"*.{ending}"))
            raise KeyError(f"{name!r}; tables here are {', '.join(there) or 'none'}")
        return table


def find_table(folder: Path, name: str) -> Path | None:
    """The file of a table of a run's folder, None where it was not written."""
    return next((path for ending in ENDINGS if (path := folder / f"{name}.{ending}").is_file()), None)


def read_table(folder: Path, name: str) -> pa.Table | None:
    """A table of a run's folder, None where it was not written; raises StoreError where it is damaged."""
    path = find_table(folder, name)
    if path is None:
        return None
    import pyarrow.csv
    import pyarrow.parquet

    read = pyarrow.parquet.read_table if path.suffix == ".parquet" else pyarrow.csv.read_csv
    try:
        return read(path)
    except (pyarrow.ArrowException, OSError) as err:
        raise StoreError(str(path), f"is damaged ({err}): {_advise(path)}") from err


def list_failures(folder: Path, most: int) -> list[dict[str, Any]]:
    """The first records that failed, at most so many, as rows of their table; raises StoreError."""
    table = read_table(folder, "failures")
    return [] if table is None else table.slice(0, most).to_pylist()


def pick_few(
    rows: Iterable[dict[str, Any]], find: Callable[[Mapping[str, Any]], Any], of_each: int, most: int
) -> list[dict[str, Any]]:
    """The first rows, at most `most`, and no more than `of_each` for which `find` gives the same."""
    counts: Counter[Any] = Counter()
    picked: list[dict[str, Any]] = []
    for row in rows:
        found = find(row)
        counts[found] += 1
        if counts[found] <= of_each:
            picked.append(row)
            if len(picked) == most:
                break
    return picked


def find_kind(row: Mapping[str, Any]) -> Any:
    """Of what kind a failure is."""
    return row.get("kind")


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The run's summary, None while it is not settled; raises StoreError where it is damaged."""
    path = folder / "summary.json"
    return read_object(path) if path.is_file() else None


def read_invoice(folder: Path) -> dict[str, Any]:
    """What the run cost, in dollars; a run on this machine costs none. Raises StoreError."""
    path = folder / "invoice.json"
    return read_object(path) if path.is_file() else {"currency": "USD", "total": 0.0}


def read_object(path: Path) -> dict[str, Any]:
    """What a summary or an invoice says; raises StoreError where it is damaged, or gone."""
    try:
        found = read_note(path.name, path.read_bytes())
        check_object(path.name, found)
        return found
    except Undecodable as err:
        raise StoreError(str(path), f"is damaged ({err.reason}): {_advise(path)}") from err
    except OSError as err:
        reason = f"cannot be read ({err.strerror}): `aliquot resume {path.parent}` writes it again"
        raise StoreError(str(path), reason) from err


def check_object(name: str, found: Mapping[str, Any]) -> None:
    """Raise Undecodable where a summary or an invoice lacks what commands show of it."""
    check_fields(name, found, **_WANTED[name])


def _advise(path: Path) -> str:
    return f"remove it, and `aliquot resume {path.parent}` writes it again"


def _is_number(value: Any) -> bool:
    """Whether it is a number; one of seconds may be below 0 where clocks differ."""
    return isinstance(value, int | float) and is_figure(abs(value))


def _is_spend(value: Any) -> bool:
    return isinstance(value, dict) and is_figure(value.get("total"))


def _is_map_of(is_sound: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_sound, value.values()))


# what commands show of them
_WANTED: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "summary.json": {
        **dict.fromkeys(("records", "done", "failed", "not_tried", "rows"), is_count),
        **dict.fromkeys(("elapsed_s", "cpu_s"), _is_number),
        "failures": _is_map_of(is_count),
        "retries": lambda value: value is None or is_count(value),
        "remarks": lambda value: value is None or is_texts(value),
    },
    "invoice.json": {
        "total": is_figure,
        "estimated": lambda value: value is None or is_figure(value),
        "wasted": _is_map_of(is_figure),
        "stages": lambda value: value is None or _is_map_of(_is_spend)(value),
    },
}
