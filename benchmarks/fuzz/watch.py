"""One target under atheris, in this process: bounded memory, each finding told once with its input.

    python -m benchmarks.fuzz.watch TARGET CORPUS SECONDS MIB

Says a line of JSON for each finding and one of figures at the end, on standard output; what libFuzzer says
goes to standard error. A finding does not end the target, unless it takes more than LONGEST_S or the process
with it: then libFuzzer leaves the input in CORPUS as an artifact.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
import traceback
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

LONGEST_S = 5.0  # of processor time, of one input
MOST_GROWN_MIB = 300
MOST_BYTES = 16 << 10
_AFRESH = 0.2  # share of mutations that begin with a seed
_READABLE = 0.5  # share of mutations that leave the input readable
_INSTRUMENTED = ["aliquot", "orchestrator.aws.folder", "orchestrator.budget", "orchestrator.placing"]


class Watch:
    """Asks a target, and notes what it finds."""

    def __init__(self, target: Any) -> None:
        self._allowed, self._ask = target.allowed, target.make()
        self.n_asked, self.n_allowed = 0, 0
        self.found: Counter[str] = Counter()
        self._peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def ask(self, body: bytes) -> None:
        """One input."""
        self.n_asked += 1
        began_s = time.process_time()
        try:
            self._ask(body)
        except self._allowed as err:
            self.n_allowed += 1
            self._check_memory_error(err, body)
        except Exception as err:  # noqa: BLE001 - what this looks for
            self._note(*_describe(err), body)
        taken_s = time.process_time() - began_s
        if taken_s > LONGEST_S:
            self._note("slow", f"took {taken_s:.1f} s", body)
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if peak_kib - self._peak_kib > MOST_GROWN_MIB << 10:
            self._note("memory", f"took {(peak_kib - self._peak_kib) >> 10} MiB", body)
        self._peak_kib = peak_kib

    def _check_memory_error(self, err: BaseException, body: bytes) -> None:
        """A reader that says MemoryError in its own words has asked for too much all the same."""
        at: BaseException | None = err
        while at is not None:
            if isinstance(at, MemoryError):
                self._note("memory", f"MemoryError within {type(err).__name__}", body)
                return
            at = at.__cause__ or at.__context__

    def _note(self, what: str, said: str, body: bytes) -> None:
        self.found[what] += 1
        if self.found[what] == 1:
            tell(finding=what, said=said[:300], input=b64encode(body).decode())


def tell(**said: Any) -> None:
    """A line for the command that started this process."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def limit_memory(mib: int) -> None:
    """Hold this process to so much address space more than it has."""
    held_kib = next(
        int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmSize")
    )
    limit = (held_kib << 10) + (mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _describe(err: BaseException) -> tuple[str, str]:
    """What tells one finding from another, and its text."""
    frames = traceback.extract_tb(err.__traceback__)
    ours = [frame for frame in frames if "benchmarks" not in frame.filename and _is_ours(frame.filename)]
    at = (ours or frames)[-1]
    return f"{type(err).__name__} at {Path(at.filename).name}:{at.lineno}", str(err)


def _is_ours(path: str) -> bool:
    return "/aliquot/" in path or "/orchestrator/" in path


def main(name: str, corpus: str, seconds: str, mib: str) -> None:
    """Fuzz; does not return."""
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        from benchmarks.fuzz.mutate import mutate
        from benchmarks.fuzz.targets import list_targets

        target = list_targets()[name]
    folder = Path(corpus)
    (folder / "seeds").mkdir(parents=True, exist_ok=True)
    seeds = list(target.seeds())
    for number, seed in enumerate(seeds):
        (folder / "seeds" / f"{number:04d}").write_bytes(seed)
    (folder / "words").write_text("".join(f'"{_spell(word)}"\n' for word in (*target.words, "\\x00\\x01")))
    watch = Watch(target)
    began_s, until_s = time.monotonic(), time.monotonic() + float(seconds)

    def ask(body: bytes) -> None:
        watch.ask(body)
        if time.monotonic() >= until_s:
            took_s = time.monotonic() - began_s
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            tell(asked=watch.n_asked, refused=watch.n_allowed, seconds=took_s, peak_mib=peak_mib)
            os._exit(0)  # libFuzzer would count an exit of Python's as a crash

    words = [
        sys.argv[0],
        str(folder / "seeds"),
        f"-dict={folder / 'words'}",
        f"-artifact_prefix={folder}/",
        f"-max_len={MOST_BYTES}",
        f"-timeout={int(LONGEST_S * 4)}",
        "-rss_limit_mb=0",
        "-len_control=0",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    limit_memory(int(mib))

    def change(body: bytes, most_bytes: int, seed: int) -> bytes:
        chance = random.Random(seed)
        # libFuzzer drops what shows it nothing new: a sound object like another
        body = chance.choice(seeds) if chance.random() < _AFRESH else body
        changed = mutate(body, target.n_items, chance) if chance.random() < _READABLE else None
        return atheris.Mutate(body, most_bytes) if changed is None else changed[:most_bytes]  # type: ignore[no-any-return]

    atheris.Setup(words, ask, custom_mutator=change)
    atheris.Fuzz()


def _spell(word: str) -> str:
    return word if "\\x" in word else word.replace("\\", "\\\\").replace('"', '\\"')


if __name__ == "__main__":
    main(*sys.argv[1:])
