"""Which molecules of a library are looked at: SMARTS, catalogs of alerts, property windows.

Owns the order of the filters and the file of SMARTS. Imports RDKit and the core's `errors`. When it is wrong,
other molecules pass.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem, rdBase
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from aliquot.errors import BadOption, BadReference
from aliquot_chem.properties import Bound, parse_properties

CATALOG_FLAG = "--catalog"
_GZIP_MAGIC = b"\x1f\x8b"
_SHOWN_ROWS = 5


@dataclass(frozen=True)
class Pattern:
    """SMARTS that a molecule has to match, or must not."""

    name: str
    query: Chem.Mol
    is_wanted: bool

    def is_kept_by(self, mol: Chem.Mol) -> bool:
        """Whether the molecule does as it should."""
        return bool(mol.HasSubstructMatch(self.query)) == self.is_wanted


@dataclass(frozen=True)
class Catalog:
    """One of RDKit's catalogs of alerts, none of which a molecule may have."""

    name: str
    alerts: FilterCatalog

    def is_kept_by(self, mol: Chem.Mol) -> bool:
        """Whether the molecule has no alert."""
        return not self.alerts.HasMatch(mol)


class Filters:
    """Filters that a molecule has to pass, all of them.

    Args:
        smarts: a file of SMARTS, see `read_patterns`.
        catalogs: names of RDKit's catalogs between commas.
        properties: see `properties`.

    Raises:
        BadOption: an unknown catalog or property.
        BadReference: SMARTS that do not parse; carries them with their lines.
    """

    def __init__(self, smarts: Path | None, catalogs: str | None, properties: str | None) -> None:
        self._all: list[Bound | Pattern | Catalog] = [
            *(parse_properties(properties) if properties else ()),
            *(read_patterns(smarts) if smarts else ()),
            *(_open_catalogs(catalogs) if catalogs else ()),
        ]

    def __bool__(self) -> bool:
        return bool(self._all)

    def find_fault(self, mol: Chem.Mol) -> str:
        """The name of the first filter that the molecule does not pass; empty where it passes all."""
        return next((each.name for each in self._all if not each.is_kept_by(mol)), "")


def read_patterns(path: Path) -> list[Pattern]:
    """The patterns of a file: on each line SMARTS and, if wanted, a name.

    A molecule has to match each of them; with `!` before it, it must not. Lines that begin with `#` and blank
    ones are passed over.

    Raises:
        BadReference: it cannot be read, holds no SMARTS, or some that do not parse.
    """
    patterns: list[Pattern] = []
    bad: list[tuple[int, str]] = []
    with rdBase.BlockLogs():
        for number, line in _list_lines(path):
            smarts, _, name = line.removeprefix("!").strip().partition(" ")
            query = Chem.MolFromSmarts(smarts)
            if query is None or not query.GetNumAtoms():
                bad.append((number, f"{smarts!r} is no SMARTS"))
            else:
                patterns.append(Pattern(name.strip() or smarts, query, not line.startswith("!")))
    if bad:
        reason = f"{len(bad)} line(s) do not parse as SMARTS"
        raise BadReference(str(path), reason, tuple(bad[:_SHOWN_ROWS]), len(bad))
    if not patterns:
        raise BadReference(str(path), "holds no SMARTS: it takes one a line, with a name behind it")
    return patterns


def _list_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        body = path.read_bytes()
        text = (gzip.decompress(body) if body.startswith(_GZIP_MAGIC) else body).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as err:
        raise BadReference(str(path), f"the SMARTS cannot be read: {err}") from err
    for number, line in enumerate(text.splitlines(), 1):
        plain = " ".join(line.split())
        if plain and not plain.startswith("#"):
            yield number, plain


def _open_catalogs(names: str) -> list[Catalog]:
    known = {name.casefold(): each for name, each in FilterCatalogParams.FilterCatalogs.names.items()}
    opened: list[Catalog] = []
    for name in map(str.strip, names.casefold().split(",")):
        if name not in known:
            raise BadOption(CATALOG_FLAG, f"{name!r} is not one of {', '.join(sorted(known))}")
        opened.append(Catalog(name, FilterCatalog(FilterCatalogParams(known[name]))))
    return opened
