"""What a text looks like: the format of a pipe by its first line, a header among lines of molecules.

Owns the guesses that are made without a file's ending. Imports the standard library and its neighbours.
When it is wrong, a header is counted as a record or a record is taken for the header.
"""

from __future__ import annotations

import re

from aliquot.readers.columns import LINE
from aliquot.readers.sdf import is_sdf

HEADER_WORDS = frozenset(name.casefold() for name in LINE.names)

# Daylight's organic subset, bracket atoms, bonds, ring numbers and branches, molecules joined by dots.
_SMILES = re.compile(r"(?:Cl|Br|[BCNOPSFI]|[bcnops]|\[[^\]\s]+\]|[-=#$:/\\().%0-9*~])+")


def is_smiles_like(text: str) -> bool:
    """Whether `text` could be a molecule. A word in small letters ("pos", "no") is not taken for one."""
    has_more = not text.islower() or any(letter.isdigit() for letter in text)
    return has_more and _SMILES.fullmatch(text) is not None


def is_reaction_like(text: str) -> bool:
    """Whether `text` has a reaction's two ">"."""
    return text.count(">") >= 2 and text.casefold() not in HEADER_WORDS


def is_header(line: str, line_format: str) -> bool:
    """Whether the first line of a `.smi` or `.rsmi` names columns.

    It does if it begins with a word that such columns are called by; in `.rsmi` also if its first field is
    no part of a reaction: it has no ">" and does not look like a molecule.
    """
    first = cut_first(line)
    if first.casefold() in HEADER_WORDS:
        return True
    return line_format == "rsmi" and ">" not in first and not is_smiles_like(first)


def cut_first(line: str) -> str:
    """The line's first field, up to a tab, else to white space; without a CXSMILES tail."""
    field = line.split("\t", 1)[0] if "\t" in line else line
    return next(iter(field.split(None, 1)), "")


def sniff_format(head: bytes) -> str:
    """The format of a text that begins with `head`, by its first line that is not blank.

    A version of mol files in the fourth line of all: sdf. An object in braces: jsonl. A ">" before what is
    no reaction: fasta. A tab or a comma: rsmi or smi if the first field is a reaction or looks like a
    molecule, else the header of tsv or csv. Of the rest two ">" in the first word: rsmi; else smi.
    """
    text = head.decode("utf-8-sig", "replace")
    has_version = is_sdf(text.split("\n", 4))
    line = text.lstrip().split("\n", 1)[0].rstrip()
    first = cut_first(line)
    if has_version or line.startswith("{"):
        return "sdf" if has_version else "jsonl"
    if line.startswith(">") and not is_reaction_like(first):
        return "fasta"
    if "," in first and "\t" not in line:  # no SMILES has a comma; only its CXSMILES tail has
        return "csv"
    if is_reaction_like(first):
        return "rsmi"
    if "\t" in line:
        return "smi" if is_smiles_like(first) else "tsv"
    return "csv" if "," in line and not is_smiles_like(first) else "smi"
