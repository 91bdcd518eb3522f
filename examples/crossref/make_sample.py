"""The sample's reactions and templates, written again from named reactions and molecules.

    python examples/crossref/make_sample.py

Reads `named_reactions.tsv` (forward SMARTS, retro template where the sample has one, agents) and
`molecules.smi`; writes `reactions.rsmi` and `templates.csv` beside them, the same bytes every time, and
prints how many reactions the templates explain by a naive double loop. Imports RDKit and `naive`. When it is
wrong, the demonstration shows chemistry that is not there.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product
from pathlib import Path

from naive import judge, write_plain
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem

HERE = Path(__file__).parent
SEED = 20
N_EXPLAINED, N_HELD_OUT, N_UNCHANGED, N_FAULTY = 1588, 378, 6, 28
MAX_ATOMS, MAX_ATOMS_SECOND = 42, 24  # heavy atoms of a product, and of one that is used once more

MACROS = {
    "{amine}": "NX3;H1,H2;+0;!$(N[C,S]=[O,S,N]);!$(N[#7,O])",
    "{alcohol}": "OX2;H1;$(O[CX4])",
    "{phenol}": "OX2;H1;$(Oc)",
    "{act}": "c;$(c:c[N+](=O)[O-]),$(c1ccc([N+](=O)[O-])cc1),$(c:n),$(c1ccncc1),$(c1ccc([$(C#N),$(C=O)])cc1)",
}
GROUPS = {
    "acid": "[CX3](=O)[OX2H1]",
    "alcohol": "[CX4][OX2H1]",
    "aldehyde": "[CX3H1]=O",
    "alkene": "[CX3]=[CX3]",
    "alkyl-halide": "[CX4][Cl,Br,I]",
    "alkyne": "C#C",
    "amide": "C(=O)N",
    "amine": "[{amine}]",
    "aryl-bromide": "cBr",
    "aryl-halide": "c[Cl,Br,I]",
    "aryl-iodide": "cI",
    "azide": "N=[N+]=[N-]",
    "azole": "[nH]",
    "benzyl-ether": "[#6]OCc1ccccc1",
    "boc": "NC(=O)OC(C)(C)C",
    "cbz": "NC(=O)OCc1ccccc1",
    "ester": "[#6]C(=O)O[#6]",
    "ketone": "[#6]C(=O)[#6]",
    "nitrile": "C#N",
    "nitro": "[N+](=O)[O-]",
    "phenol": "c[OX2H1]",
    "tbu-ester": "[#6]C(=O)OC(C)(C)C",
    "thiol": "[SX2H1]",
    "ylide": "C=P",
}
# A molecule that carries one of these reacts there or not at all.
REACTIVE = (
    "C(=O)[Cl,Br]", "S(=O)(=O)Cl", "N=C=O", "C(=O)OC=O", "[Mg]", "C=P", "[Si]Cl", "[NX3;H1,H2][NX3,OX2]",
    "P=O", "[Sn]", "B", "[CX4][Cl,Br,I]", "C1OC1", "N=[N+]=[N-]", "[CH2](C#N)[C](=O)", "[CH2](C#N)C#N",
)  # fmt: skip


def expand(smarts: str) -> str:
    """The SMARTS with its macros written out."""
    for macro, text in MACROS.items():
        smarts = smarts.replace(macro, text)
    return smarts


REACTIVE_PATTERNS = [Chem.MolFromSmarts(smarts) for smarts in REACTIVE]
GROUP_PATTERNS = {name: Chem.MolFromSmarts(expand(smarts)) for name, smarts in GROUPS.items()}


@dataclass(frozen=True)
class NamedReaction:
    """One named reaction: how it runs forward, the template that undoes it, what it takes along."""

    name: str
    forward: AllChem.ChemicalReaction
    retro: str
    agents: str
    avoid: tuple[str, ...]

    @property
    def slots(self) -> list[Chem.Mol]:
        """The patterns of its reactants."""
        return [self.forward.GetReactantTemplate(i) for i in range(self.forward.GetNumReactantTemplates())]


@dataclass(frozen=True)
class Example:
    """A named reaction applied to molecules: both sides atom-mapped, and the product without maps."""

    name: str
    left: str
    right: str
    product: str


def read_named_reactions(path: Path) -> list[NamedReaction]:
    """The named reactions of a tab-separated file, in its order."""
    with path.open(newline="") as lines:
        return [
            NamedReaction(
                row["id"],
                AllChem.ReactionFromSmarts(expand(row["forward"])),
                row["retro"],
                row["agents"],
                tuple(row["avoid"].split()),
            )
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def read_molecules(path: Path) -> list[Chem.Mol]:
    """The molecules of a SMILES file."""
    return [Chem.MolFromSmiles(line.split("\t")[0]) for line in path.read_text().splitlines()]


def is_eligible(molecule: Chem.Mol, slot: int, slots: Sequence[Chem.Mol], avoid: Iterable[str]) -> bool:
    """Whether the molecule would react at this slot, there alone, and in one place."""
    places = molecule.GetSubstructMatches(slots[slot])
    if len(places) != 1:
        return False
    if any(molecule.HasSubstructMatch(other) for i, other in enumerate(slots) if i != slot):
        return False
    if any(
        not set(match) & set(places[0])
        for pattern in chain(REACTIVE_PATTERNS, (GROUP_PATTERNS[name] for name in avoid))
        for match in molecule.GetSubstructMatches(pattern)
    ):
        return False
    return molecule.GetNumAtoms() <= MAX_ATOMS


def apply_forward(reaction: NamedReaction, reactants: Sequence[Chem.Mol]) -> Example | None:
    """The example that these reactants make; None where they make nothing, or several things."""
    numbered = [Chem.Mol(molecule) for molecule in reactants]
    numbers = iter(range(1, 1000))
    for atom in (atom for molecule in numbered for atom in molecule.GetAtoms()):
        atom.SetAtomMapNum(next(numbers))
    outcomes: dict[str, Chem.Mol] = {}
    for (outcome,) in reaction.forward.RunReactants(tuple(reactants)):
        try:
            Chem.SanitizeMol(outcome)
        except Chem.MolSanitizeException:
            continue
        outcomes.setdefault(Chem.MolToSmiles(outcome), outcome)
    if len(outcomes) != 1:
        return None
    ((smiles, outcome),) = outcomes.items()
    if outcome.GetNumAtoms() > MAX_ATOMS or "." in smiles:
        return None
    for atom in outcome.GetAtoms():
        if atom.HasProp("react_atom_idx"):
            origin = numbered[atom.GetIntProp("react_idx")].GetAtomWithIdx(atom.GetIntProp("react_atom_idx"))
            atom.SetAtomMapNum(origin.GetAtomMapNum())
    left = ".".join(Chem.MolToSmiles(molecule) for molecule in numbered)
    return Example(reaction.name, left, Chem.MolToSmiles(outcome), smiles)


def make_examples(
    reaction: NamedReaction, pool: Sequence[Chem.Mol], draw: random.Random, limit: int
) -> list[Example]:
    """At most `limit` examples of the reaction from the pool, in an order that `draw` decides."""
    slots = reaction.slots
    eligible = [[m for m in pool if is_eligible(m, i, slots, reaction.avoid)] for i in range(len(slots))]
    choices = list(product(*eligible))
    draw.shuffle(choices)
    made = (apply_forward(reaction, choice) for choice in choices)
    return list(islice((example for example in made if example), limit))


def make_two_generations(reactions: Sequence[NamedReaction], draw: random.Random) -> dict[str, list[Example]]:
    """Examples by reaction: from the written molecules first, then with small products among them."""
    pool = read_molecules(HERE / "molecules.smi")
    first = {reaction.name: make_examples(reaction, pool, draw, 24) for reaction in reactions}
    known = {Chem.MolToSmiles(molecule) for molecule in pool}
    for examples in first.values():
        for example in examples[:8]:
            molecule = Chem.MolFromSmiles(example.product)
            if example.product not in known and molecule.GetNumAtoms() <= MAX_ATOMS_SECOND:
                known.add(example.product)
                pool.append(molecule)
    second = {reaction.name: make_examples(reaction, pool, draw, 48) for reaction in reactions}
    return {name: list(dict.fromkeys(first[name] + second[name])) for name in first}


def take_evenly(examples: Iterable[Sequence[Example]], n: int) -> list[Example]:
    """The first `n` of the sequences, one of each in turn."""
    queues = [iter(sequence) for sequence in examples]
    taken: list[Example] = []
    while queues and len(taken) < n:
        turn = [(queue, next(queue, None)) for queue in queues]
        queues = [queue for queue, example in turn if example]
        taken += [example for _, example in turn if example][: n - len(taken)]
    return taken


def strip_maps(side: str) -> str:
    """The SMILES of a side without its map numbers, molecule by molecule in its order."""
    return ".".join(write_plain(Chem.MolFromSmiles(smiles)) for smiles in side.split("."))


def count_fragments(side: str) -> int:
    """How many fragments a side of a reaction SMILES has."""
    return side.count(".") + 1 if side else 0


def count_salt(agents: str) -> int:
    """How many of the first fragments of the agents are one salt; 0 where they begin with none."""
    if agents.startswith(("[K+].[K+].", "[Cs+].[Cs+].")):
        return 3
    return 2 if agents.startswith(("[Na+].", "[Li+].", "[Cu+2].[O-]S")) else 0


def write_reaction(example: Example, agents: str, draw: random.Random) -> str:
    """The reaction SMILES in one of the layouts that reactions are found in."""
    left, right = example.left, example.right
    layout = draw.choices(("plain", "agents", "among", "cx", "stripped"), (25, 40, 10, 3, 22))[0]
    if layout == "stripped":
        left, right = strip_maps(left), strip_maps(right)
        layout = draw.choice(("plain", "agents", "among"))
    if layout == "plain" or not agents:
        return f"{left}>>{right}"
    if layout == "among":
        return f"{left}.{agents}>>{right}" if draw.random() < 0.5 else f"{agents}.{left}>>{right}"
    tail = ""
    if layout == "cx" and (n_salt := count_salt(agents)):
        first = count_fragments(left)
        tail = f" |f:{'.'.join(str(first + i) for i in range(n_salt))}|"
    return f"{left}>{agents}>{right}{tail}"


def unclose(reaction: str) -> str:
    """The reaction with a ring that opens and never closes."""
    left, _, right = reaction.partition(">>")
    return f"{left}>>{right}C%42"


def overload(reaction: str) -> str:
    """The reaction with a carbon of five bonds."""
    left, _, right = reaction.partition(">>")
    return f"{left}>>{right}C(F)(F)(F)F"


# What is wrong with rows of real tables. Each takes a stripped reaction.
FAULTS = (
    ("truncated", lambda text: text[: text.index(">>") + 2 + len(text.partition(">>")[2]) // 2] + "("),
    ("no-arrow", lambda text: text.replace(">>", ".")),
    ("open-ring", unclose),
    ("valence", overload),
    ("no-product", lambda text: text.partition(">>")[0] + ">>"),
    ("bad-element", lambda text: text.replace(">>", ".[Xx]>>")),
    ("open-bracket", lambda text: text.replace(">>", ".[Na+>>")),
)


def write_faulty(examples: Sequence[Example], n: int) -> Iterator[tuple[str, str]]:
    """(id, text) of `n` rows that do not parse."""
    for i, example in enumerate(examples[:n]):
        name, spoil = FAULTS[i % len(FAULTS)]
        yield f"fault-{name}", spoil(f"{strip_maps(example.left)}>>{strip_maps(example.right)}")


def make_rows(reactions: Sequence[NamedReaction], draw: random.Random) -> list[tuple[str, str]]:
    """(id, text) of every row of the sample, in its order."""
    examples = make_two_generations(reactions, draw)
    agents = {reaction.name: reaction.agents for reaction in reactions}
    kept = take_evenly((examples[r.name] for r in reactions if r.retro), N_EXPLAINED + N_FAULTY)
    held_out = take_evenly((examples[r.name] for r in reactions if not r.retro), N_HELD_OUT)
    rows = [(e.name, write_reaction(e, agents[e.name], draw)) for e in kept[:N_EXPLAINED] + held_out]
    rows += [("unchanged", f"{e.product}>>{e.product}") for e in draw.sample(kept, N_UNCHANGED)]
    rows += write_faulty(kept[N_EXPLAINED:], N_FAULTY)
    draw.shuffle(rows)
    seen: Counter[str] = Counter()
    numbered = []
    for name, text in rows:
        seen[name] += 1
        numbered.append((f"{name}-{seen[name]:04d}", text))
    return numbered


def count_outcomes(rows: Iterable[tuple[str, str]], templates: Iterable[str]) -> Counter[tuple[str, str]]:
    """How many rows of each reaction are explained, unexplained or failed, by the naive double loop."""
    compiled = [AllChem.ReactionFromSmarts(smarts) for smarts in templates]
    return Counter((name[:-5], judge(text, compiled)) for name, text in rows)


def main() -> None:
    """Write both files and print the counts."""
    RDLogger.DisableLog("rdApp.*")
    reactions = read_named_reactions(HERE / "named_reactions.tsv")
    rows = make_rows(reactions, random.Random(SEED))
    (HERE / "reactions.rsmi").write_text("".join(f"{text}\t{name}\n" for name, text in rows))
    with (HERE / "templates.csv").open("w", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("id", "smarts"))
        writer.writerows((r.name, r.retro) for r in reactions if r.retro)
    counts = count_outcomes(rows, [r.retro for r in reactions if r.retro])
    totals: Counter[str] = Counter()
    for (name, kind), n in sorted(counts.items()):
        print(f"{n:5d}  {kind:12s} {name}")
        totals[kind] += n
    print(f"{len(rows)} reactions: " + ", ".join(f"{n} {kind}" for kind, n in sorted(totals.items())))


if __name__ == "__main__":
    main()
