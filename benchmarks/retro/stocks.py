"""Large stocks: what writing one takes, and what workers that look up in one hold in memory.

Owns the measuring, in processes of their own. Imports the job's kernel and `generated`.
"""

from __future__ import annotations

import json
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aliquot.job import Reference
from aliquot_chem.stockfile import Stock
from aliquot_chem.stockwriting import StockWriter
from benchmarks.retro.chains import WORKER_MIB, run_over
from benchmarks.retro.generated import mix_keys, spread_hashes, write_generated, write_keys
from benchmarks.retro.given import ROOT, say

_N_WRITTEN = 10_000_000
_N_LOOKED_UP, _BATCH = 200_000, 1000
_MEMORY = ("RssAnon", "Pss", "RssFile")


def measure_stocks(folder: Path, sizes: Sequence[int]) -> bool:
    """Writing, and looking up in generated stocks of these sizes."""
    say("## Large stocks\n")
    wrote = run_child("write", str(folder / "written"))
    cpu_s, peak_mib = wrote["cpu_s"], wrote["peak_mib"]
    say(f"Writing {_N_WRITTEN:,} keys, hashed and sorted, takes {cpu_s:.0f} s of CPU, {peak_mib:.0f} MiB.")
    say(f"Below, each of two processes at once looks up {_N_LOOKED_UP:,} keys, half of them held, in a")
    say("divided stock part by part: memory of its own (RssAnon), its share of all (PSS), what it has")
    say(f"mapped (RssFile). Then the job runs over the stock, with two workers of {WORKER_MIB:,} MiB: the")
    say("most that one of its processes had of its own, and its PSS.\n")
    say("| keys | file | hashes | us a look-up | RssAnon | PSS | RssFile | the job's chain | own | PSS |")
    say("|---|---|---|---|---|---|---|---|---|---|")
    is_right = [measure_size(folder / "generated", n_keys) for n_keys in sizes]
    return all(is_right)


def measure_size(path: Path, n_keys: int) -> bool:
    """A line of the table; whether all answers are right."""
    write_generated(path, n_keys)
    workers = [start_child("look", str(path), str(n_keys), str(seed)) for seed in (1, 2)]
    looked = [json.loads(worker.communicate()[0]) for worker in workers]
    worst = max(looked, key=lambda each: int(each["RssAnon"]))
    memory = " | ".join(f"{worst[name] / 1024:.0f} MiB" for name in _MEMORY)
    n_bytes = sum(each.stat().st_size for each in path.iterdir())
    size = f"{n_bytes / 1e9:.1f} GB | {8 * n_keys / 1e9:.1f} GB"
    chain, own_mib, pss_mib = run_over(path, path.with_name(f"over-{n_keys}"), 2)
    over = f"{chain} | {own_mib:,} MiB | {pss_mib:,} MiB"
    say(f"| {n_keys:,} | {size} | {worst['each_us']:.1f} | {memory} | {over} |")
    shutil.rmtree(path)
    return all(each["wrong"] == 0 for each in looked)


def start_child(*words: str) -> subprocess.Popen[bytes]:
    """A process of this module that answers with a line of JSON."""
    command = [sys.executable, "-m", "benchmarks.retro.stocks", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)


def run_child(*words: str) -> dict[str, Any]:
    """What such a process answers."""
    answer: dict[str, Any] = json.loads(start_child(*words).communicate()[0])
    return answer


def write_stock(path: str) -> dict[str, Any]:
    """Write a stock as the index does."""
    began_s, step = time.process_time(), 1 << 20
    with StockWriter(Path(path), "generated") as writer:
        for first in range(0, _N_WRITTEN, step):
            writer.add([b"G%d" % number for number in range(first, min(_N_WRITTEN, first + step))])
        writer.finish()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_s": time.process_time() - began_s, "peak_mib": peak_mib}


def look_up_generated(path: str, n_keys: str, seed: str) -> dict[str, Any]:
    """Look keys up as the job does: at random where the stock is whole, else shard by shard."""
    stock = Stock(Reference(Path(path), ""), mix_keys)
    wrong, took_s = 0, 0.0
    for keys, is_held in draw_batches(stock, random.Random(int(seed)), int(n_keys)):
        began_s = time.process_time()
        answers = stock.find(keys)
        took_s += time.process_time() - began_s
        wrong += int((answers != is_held).sum())
        memory = read_memory()
        if stock.header.n_shards > 1:
            stock.release()
    return {"wrong": wrong, "each_us": took_s / _N_LOOKED_UP * 1e6, **memory}


def draw_batches(stock: Stock, rng: random.Random, n_keys: int) -> Iterator[tuple[list[str], Any]]:
    """Keys in batches and whether each is held; of a divided stock those of one shard come together."""
    places = np.array([rng.randrange(n_keys) for _ in range(_N_LOOKED_UP)], np.uint64)
    if stock.header.n_shards > 1:
        places.sort()
    for first in range(0, _N_LOOKED_UP, _BATCH):
        own = spread_hashes(places[first : first + _BATCH], n_keys)
        is_held = np.arange(len(own)) % 2 == 0
        own[~is_held] ^= np.uint64(1)  # one in 10^10 of these is another's
        yield write_keys(own).tobytes().decode().split(), is_held


def read_memory() -> dict[str, int]:
    """This process's memory, KiB."""
    text = Path("/proc/self/status").read_text() + Path("/proc/self/smaps_rollup").read_text()
    return {name: int(re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[0]) for name in _MEMORY}


CHILDREN: dict[str, Callable[..., dict[str, Any]]] = {"write": write_stock, "look": look_up_generated}


if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](*sys.argv[2:])))
