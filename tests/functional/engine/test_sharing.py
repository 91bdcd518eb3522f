"""Hosts that map a reference have one copy of it among them, however many they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import aliquot
from aliquot.processes import can_fork

MIB = 1 << 20
N_HOSTS, REFERENCE_MIB = 3, 96
BESIDE_MIB = 80  # less than a second copy; three hosts of this job have 16 besides

JOB = """
import mmap, time
from dataclasses import dataclass
from pathlib import Path
from aliquot import Job, Reference, Stage

@dataclass(frozen=True)
class Options:
    stock: Reference
    folder: str
    how: str = "mapped"

def open_stock(options, prepared):
    folder, opened = Path(options.folder), options.stock.path.open("rb")
    stock = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    own = []

    def meet(word, n):
        (folder / f"{word}-{n}").touch()
        while len(list(folder.glob(f"{word}-*"))) < 3:
            time.sleep(0.005)

    def look_up(record):
        n = record["n"]
        if options.how == "copied" and not own:
            own.append(stock[:])
        assert sum((own or [stock])[0][::4096]) == 0  # every page of it
        meet("touched", n)
        said = Path("/proc/self/smaps_rollup").read_text().splitlines()
        pss_kib = next(int(line.split()[1]) for line in said if line.startswith("Pss:"))
        meet("measured", n)
        return [{"n": n, "pss_mib": pss_kib / 1024}]

    return lambda records: map(look_up, records)

job = Job("share", 1, Options, (Stage("look", open_stock),))
"""


def measure(folder: Path, how: str) -> float:
    """PSS of all hosts together, in MiB, while each has read all of the reference."""
    (folder / f"sharing_{how}.py").write_text(JOB)
    (folder / "stock").write_bytes(bytes(REFERENCE_MIB * MIB))
    met = folder / "met"
    met.mkdir()
    options = {"stock": str(folder / "stock"), "folder": str(met), "how": how}
    job = f"{folder / f'sharing_{how}.py'}:job"
    records = [{"n": str(number)} for number in range(N_HOSTS)]
    run = aliquot.plan(job, records, workers=N_HOSTS, memory=1000, **options).start(folder / "out")
    run.wait()
    rows = run.result.to_table().to_pylist()
    assert len(rows) == N_HOSTS
    return sum(row["pss_mib"] for row in rows)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="nothing here tells shared pages")
@pytest.mark.skipif(not can_fork(), reason="hosts of their own process share no interpreter")
@pytest.mark.parametrize("how", ["mapped", "copied"])
def test_hosts_share_what_they_map(tmp_path, how):
    """A stock of 3 GB on six vCPUs is 3 GB, not 18; copied, the measure shows it."""
    pss_mib = measure(tmp_path, how)
    if how == "mapped":
        assert REFERENCE_MIB < pss_mib < REFERENCE_MIB + BESIDE_MIB
    else:
        assert pss_mib > N_HOSTS * REFERENCE_MIB
