"""Writes library.fasta and queries.fasta: proteins that never lived, some related, the same bytes every time.

The library is drawn letter by letter, by how often proteins have each; a query is a piece of one of its
entries with residues exchanged, taken out and put in, or a protein of its own that is related to none.
"""

import random
from pathlib import Path

FOLDER = Path(__file__).parent
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
PER_MILLE = (83, 14, 54, 67, 39, 71, 23, 59, 58, 97, 24, 41, 47, 39, 55, 66, 53, 69, 11, 30)


def draw(rng: random.Random, length: int) -> str:
    """A protein of so many residues."""
    return "M" + "".join(rng.choices(RESIDUES, PER_MILLE, k=length - 1))


def mutate(rng: random.Random, sequence: str) -> str:
    """The sequence with one residue in five exchanged, one in fifty gone, and as many put in."""
    made = []
    for residue in sequence:
        fate = rng.random()
        if fate < 0.02:
            continue
        made.append(rng.choice(RESIDUES) if fate < 0.22 else residue)
        made += rng.choices(RESIDUES, k=2) if fate > 0.98 else []
    return "".join(made)


def spell(name: str, sequence: str) -> str:
    """An entry of FASTA, 60 residues a line."""
    lines = [sequence[at : at + 60] for at in range(0, len(sequence), 60)]
    return "\n".join([f">{name}", *lines, ""])


def main() -> None:
    """Write both files."""
    rng = random.Random(8)
    library = [draw(rng, rng.randint(40, 240)) for _ in range(80)]
    library += [library[3], library[7][:60] + "XU*" + library[7][60:]]  # a twin, and letters of no residue
    queries = []
    for entry in rng.sample(range(80), 10):
        begin = rng.randrange(len(library[entry]) // 3)
        queries.append((f"q{len(queries):02} of lib{entry:03}", mutate(rng, library[entry][begin:])))
    queries += [("q10 twin of lib003 and lib080", library[3]), ("q11 related to none", draw(rng, 90))]
    named = [(f"lib{i:03} made up", sequence) for i, sequence in enumerate(library)]
    (FOLDER / "library.fasta").write_text("".join(spell(*entry) for entry in named), encoding="utf-8")
    (FOLDER / "queries.fasta").write_text("".join(spell(*query) for query in queries), encoding="utf-8")


if __name__ == "__main__":
    main()
