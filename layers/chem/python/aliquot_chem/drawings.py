"""Molecules as SVG, and molecules beside each other: reactions, trees.

    molecule, lit atoms --draw--> Panel --put_beside, put_tree--> SVG text

Colours are RDKit's own for a light page; whoever shows a drawing on a dark one exchanges them. Owns sizes and
lines. Imports RDKit's two-dimensional drawing, and nothing that has matplotlib or PIL. When it is wrong,
pictures are cut off or overlap.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

LIT, LIT_BAD = (0.97, 0.82, 0.49), (0.95, 0.72, 0.71)
_INK, _SOFT, _GREEN = "#1c2127", "#515a66", "#2f855a"
_MARGIN, _GAP = 8, 26
_SCALE = 17.0  # pixels for a length of 1
Colour = tuple[float, float, float]
_BONDS = (
    Chem.BondType.SINGLE,
    Chem.BondType.DOUBLE,
    Chem.BondType.TRIPLE,
    Chem.BondType.AROMATIC,
)
_LARGEST_ATOMS = 150  # of a molecule; a protein is no picture


@dataclass(frozen=True)
class Panel:
    """A drawing of some width and height in pixels, to be put into another."""

    svg: str
    width: int
    height: int


@dataclass
class Branch:
    """A molecule of a tree, and those that it is made of."""

    panel: Panel
    note: str = ""
    is_leaf: bool = False
    children: list[Branch] = field(default_factory=list)


def draw(
    mol: Chem.Mol, lit: Collection[int] = (), *, size: tuple[int, int] = (200, 150), colour: Colour = LIT
) -> Panel:
    """A molecule, some of its atoms lit, and the bonds between them.

    Args:
        size: the most that it may take, in pixels; a small molecule takes less.
    Raises:
        ValueError: it has too many atoms to be seen.
    """
    if mol.GetNumAtoms() > _LARGEST_ATOMS:
        raise ValueError(f"{mol.GetNumAtoms()} atoms are too many for a picture")
    kekulize = not Chem.DetectChemistryProblems(mol)
    return _draw_within(rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=kekulize), lit, size, colour)


def draw_pattern(pattern: Chem.Mol, *, size: tuple[int, int] = (200, 130)) -> Panel:
    """A pattern of a template: elements and bonds as it is written, without what else it asks of them."""
    plain = Chem.RWMol()
    for atom in pattern.GetAtoms():
        shown = Chem.Atom(atom.GetAtomicNum())
        shown.SetNoImplicit(True)
        shown.SetFormalCharge(atom.GetFormalCharge())
        plain.AddAtom(shown)
    for bond in pattern.GetBonds():
        kind = bond.GetBondType()
        plain.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), kind if kind in _BONDS else _BONDS[0])
    plain.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(plain)
    prepared = rdMolDraw2D.PrepareMolForDrawing(plain, kekulize=False, addChiralHs=False)
    return _draw_within(prepared, (), size, LIT)


def _draw_within(mol: Chem.Mol, lit: Collection[int], size: tuple[int, int], colour: Colour) -> Panel:
    """The drawing as large as it comes, and fitted into `size` where that is too large."""
    panel = _draw_as(mol, lit, _SCALE, colour)
    share = min(size[0] / panel.width, size[1] / panel.height)
    return panel if share >= 1 else _draw_as(mol, lit, share * _SCALE, colour)


def _draw_as(mol: Chem.Mol, lit: Collection[int], scale: float, colour: Colour) -> Panel:
    bonds = [b.GetIdx() for b in mol.GetBonds() if b.GetBeginAtomIdx() in lit and b.GetEndAtomIdx() in lit]
    drawer = rdMolDraw2D.MolDraw2DSVG(-1, -1)  # as large as the molecule
    options: Any = drawer.drawOptions()  # RDKit's stubs take its fields for methods
    options.clearBackground = False
    options.scalingFactor = scale
    options.maxFontSize, options.minFontSize = 15, 9
    options.padding = 0.06
    drawer.DrawMolecule(
        mol,
        highlightAtoms=sorted(lit),
        highlightBonds=bonds,
        highlightAtomColors=dict.fromkeys(lit, colour),
        highlightBondColors=dict.fromkeys(bonds, colour),
    )
    drawer.FinishDrawing()
    body = drawer.GetDrawingText()
    return Panel(body[body.index("<svg") :], drawer.Width(), drawer.Height())


def put_beside(groups: Sequence[Sequence[Panel]]) -> Panel:
    """Groups of drawings from left to right, an arrow between groups and a plus within them."""
    x, parts = _MARGIN, []
    height = max(panel.height for group in groups for panel in group) + 2 * _MARGIN
    for place, group in enumerate(groups):
        if place:
            parts.append(_arrow(x, height / 2))
            x += _GAP + 24
        for number, panel in enumerate(group):
            if number:
                parts.append(_say("+", x + 12, height / 2 + 6, 20))
                x += 24
            parts.append(_place(panel, x, (height - panel.height) / 2))
            x += panel.width
    return _frame("".join(parts), x + _MARGIN, height)


def put_tree(root: Branch) -> Panel:
    """A tree, its root on the left and what it is made of to the right; leaves are framed."""
    depth, n_leaves = _measure(root)
    width, height = (max(sizes) for sizes in zip(*_list_sizes(root), strict=True))
    height += 22
    parts: list[str] = []
    _put_branch(root, 0, 0.0, (width, height), parts)
    return _frame("".join(parts), depth * (width + 70) - 70 + 2 * _MARGIN, n_leaves * height + 2 * _MARGIN)


def _put_branch(
    branch: Branch, level: int, top: float, room: tuple[int, int], parts: list[str]
) -> tuple[float, int]:
    """Draw a branch below `top`, each molecule in its `room`; gives its middle and how many leaves it has."""
    width, height = room
    x, middles, n_leaves = _MARGIN + level * (width + 70), [], 0
    for child in branch.children:
        middle, n_more = _put_branch(child, level + 1, top + n_leaves * height, room, parts)
        middles.append(middle)
        n_leaves += n_more
    n_leaves = max(1, n_leaves)
    middle = _MARGIN + top + n_leaves * height / 2
    for end in middles:
        path = f"M {x + width + 4} {middle} H {x + width + 34} V {end} H {x + width + 62}"
        parts.append(f'<path d="{path}" style="fill:none;stroke:{_SOFT};stroke-width:1.5px"/>')
    y = middle - height / 2
    if branch.is_leaf:
        box = f'x="{x}" y="{y + 2}" width="{width}" height="{height - 4}" rx="6"'
        parts.append(f'<rect {box} style="fill:none;stroke:{_GREEN};stroke-width:1.5px"/>')
    room_y = y + (height - 20 - branch.panel.height) / 2
    parts.append(_place(branch.panel, x + (width - branch.panel.width) / 2, room_y))
    parts.append(_say(branch.note, x + width / 2, y + height - 8, 11))
    return middle, n_leaves


def _list_sizes(branch: Branch) -> list[tuple[int, int]]:
    below = [size for child in branch.children for size in _list_sizes(child)]
    return [(branch.panel.width, branch.panel.height), *below]


def _measure(branch: Branch) -> tuple[int, int]:
    """How deep a tree is, and how many leaves it has."""
    found = [_measure(child) for child in branch.children]
    return 1 + max((depth for depth, _ in found), default=0), max(1, sum(n for _, n in found))


def _place(panel: Panel, x: float, y: float) -> str:
    """A drawing inside another, at a place."""
    return f'<g transform="translate({x:.0f},{y:.0f})">{panel.svg}</g>'


def _say(said: str, x: float, y: float, size: int) -> str:
    style = f"fill:{_SOFT};font-size:{size}px;font-family:sans-serif;text-anchor:middle"
    return f'<text x="{x:.0f}" y="{y:.0f}" style="{style}">{escape(said[:60])}</text>' if said else ""


def _arrow(x: float, y: float) -> str:
    path = f"M {x + 4} {y} H {x + _GAP + 18} m -8 -5 l 8 5 l -8 5"
    return f'<path d="{path}" style="fill:none;stroke:{_INK};stroke-width:1.5px"/>'


def _frame(body: str, width: float, height: float) -> Panel:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return Panel(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{body}</svg>', round(width), round(height))
