"""Which column of an input fills which field.

Owns the lookup by name and what is said when a column is missing. Imports `aliquot.job`, `aliquot.errors`
and the standard library. When it is wrong, a field is filled from another column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aliquot.errors import BadOption, DatasetError
from aliquot.job import Column

MAX_SHOWN = 40

# What the line formats call their two columns where no header and no field does.
LINE = Column(
    (
        *("smiles", "canonical_smiles", "isomeric_smiles", "cxsmiles", "smi", "structure", "molecule", "mol"),
        *("reaction", "ReactionSmiles", "reaction_smiles", "rxn_smiles", "rxn", "mapped_rxn"),
        "reactants>reagents>production",
    ),
    "line",
)
ID = Column(("id", "name", "PatentNumber"), "id")


@dataclass(frozen=True)
class Wanted:
    """What is to be read.

    Args:
        fields: where each field is looked up; None for all columns under their own names.
        keep: columns carried along under their own names.
        chosen: column by field, as `--column FIELD=NAME` tells it.
        optional: fields that may lack a column, besides those of kind "id"; they hold None then.
        is_table: columns that are Arrow's in the input stay so; of all columns alone.
    """

    fields: Mapping[str, Column] | None
    keep: Sequence[str] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    is_table: bool = False

    def __post_init__(self) -> None:
        known = list(self.fields or ())
        for name in self.chosen:
            if name not in known:
                names = (
                    f"its fields are {', '.join(known)}" if known else "it takes every column as it is named"
                )
                raise BadOption("--column", f"the job reads no field {name!r}; {names}")

    @property
    def line_field(self) -> str | None:
        """The field that line formats fill, if there is one."""
        return next((name for name, column in (self.fields or {}).items() if column.kind == "line"), None)

    def is_required(self, name: str) -> bool:
        """Whether an input without a column for the field is refused."""
        column = (self.fields or {}).get(name)
        return column is not None and column.kind != "id" and name not in self.optional

    def get_names(self, name: str) -> tuple[str, ...]:
        """The names under which the field is looked up, in order."""
        if self.fields is None:
            return (name,)
        return (self.chosen[name],) if name in self.chosen else self.fields[name].names

    def find(self, name: str, header: Sequence[str]) -> int | None:
        """Where in `header` the field's column stands."""
        return find_column(self.get_names(name), header)


@dataclass(frozen=True)
class Layout:
    """Where in a row each value stands: index by field (None: there is no such column), by kept column."""

    fields: dict[str, int | None]
    keep: dict[str, int]
    line_field: str | None = None


def find_column(names: Iterable[str], header: Sequence[str]) -> int | None:
    """The index of the first of `names` that is in `header`: exactly, else in other letter case."""
    names = tuple(names)
    for name in names:
        if name in header:
            return header.index(name)
    folded = [column.casefold() for column in header]
    return next((folded.index(name.casefold()) for name in names if name.casefold() in folded), None)


def lay_out(path: str, header: Sequence[str], wanted: Wanted) -> Layout:
    """Where the wanted values stand under `header`.

    Raises:
        DatasetError: two columns of one name, or one that is missing.
    """
    refuse_twins(path, header)
    if wanted.fields is None:
        fields: dict[str, int | None] = {name: index for index, name in enumerate(header)}
        return Layout(fields, _find_kept(path, header, wanted.keep))
    fields = {name: wanted.find(name, header) for name in wanted.fields}
    refuse_missing(path, header, wanted, fields)
    return Layout(fields, _find_kept(path, header, wanted.keep), wanted.line_field)


def lay_out_line(path: str, header: Sequence[str], wanted: Wanted, line_name: str) -> Layout:
    """Where the wanted values stand in a line format, whose first two columns need no telling name.

    `header` is the names in its header line, or (`line_name`, "id") where it has none; `line_name`, "smiles"
    or "reaction", is what its first field is called where all columns are taken.
    """
    refuse_twins(path, header)
    if wanted.fields is None:
        own = _fill_by_place(header, Wanted({line_name: LINE, "id": ID}))
        others = {name: i for i, name in enumerate(header) if i not in own.values() and name not in own}
        fields: dict[str, int | None] = {**own, **others}
    else:
        fields = _fill_by_place(header, wanted)
        refuse_missing(path, header, wanted, fields)
    return Layout(fields, _find_kept(path, header, wanted.keep), wanted.line_field)


def _fill_by_place(header: Sequence[str], wanted: Wanted) -> dict[str, int | None]:
    found = {name: wanted.find(name, header) for name in wanted.fields or ()}
    free = [index for index in range(len(header)) if index not in found.values()]
    by_kind = sorted((wanted.fields or {}).items(), key=lambda item: item[1].kind != "line")
    for name, column in by_kind:
        if column.kind in ("line", "id") and found[name] is None and name not in wanted.chosen and free:
            found[name] = free.pop(0)
    return found


def _find_kept(path: str, header: Sequence[str], keep: Sequence[str]) -> dict[str, int]:
    for name in keep:
        if name not in header:
            raise DatasetError(path, f"has no column {name!r} to keep; {list_columns(header)}")
    return {name: header.index(name) for name in keep}


def refuse_missing(path: str, header: Sequence[str], wanted: Wanted, found: Mapping[str, int | None]) -> None:
    """Raise `DatasetError` where a required or a chosen column was not found; says the way out."""
    for name, index in found.items():
        if index is not None:
            continue
        if name in wanted.chosen:
            chosen = f"--column {name}={wanted.chosen[name]}"
            raise DatasetError(path, f"has no column for {chosen}; {list_columns(header)}")
        if wanted.is_required(name):
            looked_for = ", ".join(wanted.get_names(name))
            raise DatasetError(
                path,
                f"has no column for {name} (looked for {looked_for}); {list_columns(header)}: "
                f"tell which it is with --column {name}=NAME",
            )


def refuse_twins(path: str, header: Sequence[str]) -> None:
    """Raise `DatasetError` where two columns have one name."""
    for name, count in Counter(header).items():
        if count > 1:
            called = f"are called {name!r}" if name else "have no name"
            raise DatasetError(path, f"{count} columns {called}; {list_columns(header)}: rename them")


def list_columns(header: Sequence[str]) -> str:
    """The columns found, for a message."""
    return f"its columns are {', '.join(_shorten(header))}" if header else "it has no columns"


def _shorten(header: Sequence[str]) -> Iterator[str]:
    for name in header[:MAX_SHOWN]:
        yield (name if len(name) <= 80 else f"{name[:80]}...") or "''"
    if len(header) > MAX_SHOWN:
        yield f"and {len(header) - MAX_SHOWN} more"
