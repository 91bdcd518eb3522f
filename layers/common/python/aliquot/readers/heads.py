"""What the beginning of a text decides for the rest of it.

Owns the shape in which one reading hands it to another that begins further on. Imports its neighbours and
the standard library. When it is wrong, a header is counted as a record, or columns are filled from others.
"""

from __future__ import annotations

from dataclasses import dataclass

from aliquot.readers.batch import Place


@dataclass(frozen=True, slots=True)
class Header:
    """The names in a header line; `is_tabbed` says of a line format that its fields stand between tabs."""

    names: tuple[str, ...]
    is_tabbed: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a text: its header, None where it has none, and where its records begin."""

    header: Header | None
    end: Place
