"""AiZynthFinder's single-step expansion with the templates that match, beside the expansion here.

Owns how both are asked for the same. Imports the job's kernel. When it is wrong, unlike things are compared.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import numpy as np

from aliquot_chem.expansion import Expander, FixedRanking
from aliquot_chem.prepared import load_prepared
from aliquot_chem.preparing import prepare_templates
from benchmarks import naive_retro
from benchmarks.retro.given import DATA, ROOT, SEED, SETS, read_targets, say

AIZYNTH = ROOT / "build/aizynth-venv/bin/python"


def measure_aizynth(folder: Path, n_targets: int) -> bool:
    """AiZynthFinder's single-step expansion with the templates that match, beside the expansion here."""
    say("## AiZynthFinder's single-step expansion\n")
    if not AIZYNTH.exists():
        say(f"Not measured: {AIZYNTH.relative_to(ROOT)} is not there (`make bench-retro` installs it).\n")
        return True
    prepared = folder / "prepared"
    prepared.mkdir()
    prepare_templates(DATA / "templates.tsv", prepared, "substructure", "retro", False)
    templates = load_prepared(prepared)
    expander = Expander(templates, FixedRanking(templates.ids, np.zeros(len(templates.ids))), SETS)
    picked = random.Random(SEED).sample(read_targets(), n_targets)
    began_s = time.process_time()
    own = [expander.expand(target.smiles) for target in picked]
    own_ms = (time.process_time() - began_s) / n_targets * 1e3
    smarts = dict(zip(templates.ids, templates.smarts, strict=True))
    asked = [
        {
            "smiles": t.smiles,
            "templates": [[i, smarts[i]] for i in dict.fromkeys(s.template_id for s in sets)],
        }
        for t, sets in zip(picked, own, strict=True)
    ]
    (folder / "asked.json").write_text(json.dumps(asked))
    script = ROOT / "benchmarks/retro/aizynth_step.py"
    command = [str(AIZYNTH), str(script), str(folder / "asked.json"), str(folder / "answered.json")]
    subprocess.run(command, check=True, capture_output=True)
    answered = json.loads((folder / "answered.json").read_text())
    ours = [{each.leaves for each in sets} for sets in own]
    theirs = [set(map(read_leaves, sets)) for sets in answered["sets"]]
    n_ours, n_theirs = sum(map(len, ours)), sum(map(len, theirs))
    n_both = sum(len(a & b) for a, b in zip(ours, theirs, strict=True))
    n_given = answered["templates"] / n_targets
    versions = f"AiZynthFinder {answered['version']}, RDKit {answered['rdkit']}, rdchiral"
    say(f"{versions}; {n_targets} targets. No trained policy is here: it gets the templates that give a")
    say("target's first 50 sets here, and takes the first outcome of each.\n")
    say("| | ms of CPU a target | sets |\n|---|---|---|")
    say(f"| here: the first 50 sets of {len(templates.ids):,} templates | {own_ms:.0f} | {n_ours:,} |")
    said = f"AiZynthFinder: {n_given:.0f} templates a target"
    say(f"| {said} | {answered['cpu_ms']:.0f} | {n_theirs:,} |")
    say(f"\n{n_both:,} sets are in both.\n")
    return True


def read_leaves(leaves: list[str]) -> tuple[str, ...]:
    """A set in the form of the RDKit here: AiZynthFinder brings an older one."""
    return tuple(sorted({naive_retro.canonicalise(leaf) or leaf for leaf in leaves}))
