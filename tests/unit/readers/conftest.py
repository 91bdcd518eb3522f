"""What the readers' tests share: a source of any bytes, a whole reading of it, the fixtures' folder."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aliquot.job import Column
from aliquot.readers import Batch, Limits, find_sources, read_batches


@dataclass
class Reading:
    """All batches of a reading, joined."""

    rows: list[dict[str, Any]]
    kept: list[dict[str, Any]]
    lines: list[int]
    bad: dict[int, tuple[str, str]]
    sizes: list[int]

    @property
    def reasons(self) -> dict[int, str]:
        return {index: reason for index, (reason, _) in self.bad.items()}


def join_batches(batches: Iterable[Batch]) -> Reading:
    reading = Reading([], [], [], {}, [])
    for batch in batches:
        n_records = batch.n_records
        assert len(batch.sizes) == n_records > 0
        for columns in (batch.columns, batch.kept):
            assert all(len(values) == n_records for values in columns.values())
            assert all(values[index] is None for values in columns.values() for index in batch.bad)
        reading.bad |= {len(reading.lines) + index: why for index, why in batch.bad.items()}
        reading.lines += batch.lines
        reading.sizes += batch.sizes
        reading.rows += [{name: batch.columns[name][i] for name in batch.columns} for i in range(n_records)]
        reading.kept += [{name: batch.kept[name][i] for name in batch.kept} for i in range(n_records)]
    return reading


@pytest.fixture(scope="session")
def join() -> Callable[[Iterable[Batch]], Reading]:
    """Join all batches of a reading, held to their contract."""
    return join_batches


@pytest.fixture(scope="session")
def reaction() -> dict[str, Column]:
    """The fields of a job over reactions."""
    return {
        "reaction": Column(("reaction", "rxn_smiles", "ReactionSmiles"), "line"),
        "id": Column(("id", "PatentNumber"), "id"),
    }


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Reading]:
    """Write bytes under a name and read them."""

    def read_bytes(
        name: str, content: bytes | str, fields: Mapping[str, Column] | None = None, *args: Any, **others: Any
    ) -> Reading:
        path = tmp_path / name
        body = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(body) if name.endswith(".gz") else body)
        return join_batches(read_batches(find_sources([path]), fields, *args, **others))

    return read_bytes


@pytest.fixture
def fixtures() -> Path:
    return Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def tiny() -> Limits:
    """Blocks that end inside every line."""
    return Limits(block_bytes=7, records=2)
