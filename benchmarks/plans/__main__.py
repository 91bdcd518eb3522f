"""Plans held to reality: see the package."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.plans.cases import Held, run_here, run_simulated
from benchmarks.plans.report import describe

TABLE = Path(__file__).parents[1] / "plan.md"


def main() -> int:
    """Run the cases; with --write the table goes to benchmarks/plan.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans", description=__doc__)
    parser.add_argument("--seed", type=int, default=2, help="1 is what the model was made with")
    parser.add_argument("--here", type=int, default=30, help="cases that run here")
    parser.add_argument("--simulated", type=int, default=70, help="cases on simulated stacks")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    first = asked.seed * 1000
    held = [_tell(run_simulated(seed)) for seed in range(first, first + asked.simulated)]
    with tempfile.TemporaryDirectory(prefix="aliquot-plans-") as folder:
        held += [_tell(run_here(seed, Path(folder))) for seed in range(first, first + asked.here)]
    said = describe(held, asked.seed)
    print(said)
    if asked.write:
        TABLE.write_text(said, encoding="utf-8")
    return 0


def _tell(each: Held) -> Held:
    mark = "" if each.is_held else "  missed"
    low, high = each.wall_s[1:]
    measured = f"{low:.1f} to {high:.1f}, {each.measured_s:.1f} s, given the times {each.error:+.0%}"
    print(f"{each.where} {each.times} {each.order}: {measured}{mark}", file=sys.stderr, flush=True)
    return each


if __name__ == "__main__":
    sys.exit(main())
