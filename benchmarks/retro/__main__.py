"""The job `retro` on real data, beside a plain program and AiZynthFinder; large stocks, and their memory.

    make bench-retro                           # all of it, about an hour on 2 cores, into benchmarks/retro.md
    .venv/bin/python -m benchmarks.retro --only recovery --naive 100
    .venv/bin/python -m benchmarks.retro --only stocks --keys 1e6,1e7

Targets are the products of uspto50k-test, the stock is what stands left of the arrow in uspto480k-valid, and
counts are those of a crossref run over uspto50k-eval. The data is read from ALIQUOT_TEST_DATA, else from
../shared/data beside the project. Prints Markdown; exits 1 where an answer is wrong, never for a time.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from rdkit import rdBase

from benchmarks.retro.beside import measure_aizynth
from benchmarks.retro.given import SAID
from benchmarks.retro.memory import measure_memory
from benchmarks.retro.recovery import measure_recovery
from benchmarks.retro.stocks import measure_stocks

PAGE = Path(__file__).parents[1] / "retro.md"
_SECTION = re.compile(r"\n## ")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="recovery,aizynth,stocks,memory")
    parser.add_argument(
        "--naive", type=int, default=10_000, help="targets that the plain program answers too"
    )
    parser.add_argument("--aizynth", type=int, default=200, help="targets for AiZynthFinder")
    parser.add_argument("--keys", default="5e7,4e8", help="sizes of generated stocks")
    parser.add_argument("--write", action="store_true", help="what was measured goes to benchmarks/retro.md")
    asked = parser.parse_args()
    rdBase.DisableLog("rdApp.*")
    is_right = True
    with tempfile.TemporaryDirectory() as name:
        folder, only = Path(name), asked.only.split(",")
        sizes = [int(float(size)) for size in asked.keys.split(",")]
        if "recovery" in only:
            is_right &= measure_recovery(folder, asked.naive)
        if "aizynth" in only:
            is_right &= measure_aizynth(folder, asked.aizynth)
        if "stocks" in only:
            is_right &= measure_stocks(folder, sizes)
        if "memory" in only:
            is_right &= measure_memory(folder, sizes)
    if asked.write:
        write_sections("\n".join(SAID))
    sys.exit(not is_right)


def write_sections(said: str) -> None:
    """Put the sections that were measured in the place of those of the same heading."""
    head, *sections = _SECTION.split(PAGE.read_text(encoding="utf-8"))
    by_heading = {each.partition("\n")[0]: each for each in sections}
    by_heading |= {each.partition("\n")[0]: each for each in _SECTION.split(f"\n{said}\n")[1:]}
    text = "\n\n## ".join(each.strip() for each in [head, *by_heading.values()])
    PAGE.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
