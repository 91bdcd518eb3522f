"""docs/jobs.md, block by block as it is printed: its files are written, its commands typed, its rows held."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.functional.desk import Desk, Said


def find_blocks(page: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks: their language and text."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


class Reader(Desk):
    """Somebody who follows the page from its beginning."""

    patience_s = 120

    def __init__(self, folder: Path, page: str) -> None:
        super().__init__(folder)
        self.ends: dict[str, Said] = {}  # how each command of the page ended
        for language, text in find_blocks(page):
            if language == "python":
                name = re.match(r"# (\w+\.py)\n", text)
                assert name, f"a block that names no file:\n{text[:80]}"
                self.write(name[1], text)
            for line in text.splitlines() if language == "sh" else ():
                self.ends[line] = self.aliquot(*shlex.split(line.removeprefix("aliquot ")))


class Service(BaseHTTPRequestHandler):
    """What the page looks proteins up in; busy when it is first asked for some of them."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.asked[name] += 1
        is_busy = name.endswith("7") and self.asked[name] % 2 == 1
        self.send_response(503 if is_busy else 200)
        if is_busy:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(json.dumps({"characters": len(name)}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: Any, project_root: Path) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(project_root / "examples" / "align", folder / "examples" / "align")
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        patch.setenv("LOOKUP_URL", f"http://127.0.0.1:{server.server_port}/")
        yield Reader(folder, (project_root / "docs" / "jobs.md").read_text())
        server.shutdown()


def read_proteins(reader: Reader, name: str) -> dict[str, str]:
    """Sequences by id of one of the sample's files."""
    text = (reader.folder / "examples" / "align" / name).read_text()
    entries = [entry.partition("\n") for entry in text.split(">")[1:]]
    return {header.split()[0]: "".join(lines.split()) for header, _, lines in entries}


def count_shared(reader: Reader, size: int = 3) -> list[tuple[str, str, int]]:
    """Queries, entries and the k-mers that they share, by a double loop."""
    queries, library = read_proteins(reader, "queries.fasta"), read_proteins(reader, "library.fasta")
    cut = {
        name: {text[at : at + size] for at in range(len(text) - size + 1)}
        for name, text in (queries | library).items()
    }
    return [(query, entry, len(cut[query] & cut[entry])) for query in queries for entry in library]


def test_every_command_of_the_page_runs(reader: Reader) -> None:
    assert len(reader.ends) == 9
    assert {line: said.err for line, said in reader.ends.items() if said.code != 0} == {}


def test_a_function_describes_all_proteins(reader: Reader) -> None:
    rows = reader.table("runs/described").to_pylist()
    library = read_proteins(reader, "library.fasta")
    assert [(row["id"], row["length"]) for row in rows] == [
        (name, len(text)) for name, text in library.items()
    ]
    assert rows[0]["charge"] == sum(library["lib000"].count(each) for each in "KR") - sum(
        library["lib000"].count(each) for each in "DE"
    )


def test_flags_are_the_options_with_their_help(reader: Reader) -> None:
    said = reader.ends["aliquot run kmers:job --help"].out
    assert re.search(r"--size INTEGER\s+residues of a k-mer", said)


def test_kmers_are_those_of_a_plain_loop(reader: Reader) -> None:
    expected = []
    for name, text in read_proteins(reader, "library.fasta").items():
        times = Counter(text[at : at + 2] for at in range(len(text) - 1))
        expected += [(name, kmer, n) for kmer, n in sorted(times.items()) if n >= 3]
    rows = reader.table("runs/kmers").to_pylist()
    assert [(row["id"], row["kmer"], row["times"]) for row in rows] == expected


def test_what_is_prepared_finds_what_a_double_loop_finds(reader: Reader) -> None:
    rows = reader.table("runs/related").to_pylist()
    expected = [each for each in count_shared(reader) if each[2] >= 5]
    assert len(expected) > 10
    assert [(row["query"], row["entry"], row["shared"]) for row in rows] == expected


def test_two_stages_give_what_one_program_gives(reader: Reader) -> None:
    families: dict[str, list[tuple[str, int]]] = {}
    for query, entry, shared in count_shared(reader):
        if shared >= 5:
            families.setdefault(entry, []).append((query, shared))
    expected = []
    for entry, hits in sorted(families.items()):
        closest, shared = max(hits, key=lambda hit: hit[1])
        expected.append((entry, len(hits), closest, shared))
    rows = reader.table("runs/families").to_pylist()
    assert [(row["entry"], row["queries"], row["closest"], row["shared"]) for row in rows] == expected


def test_a_wrapped_object_goes_through_stages_and_is_read_from_the_result(reader: Reader) -> None:
    said = reader.python((reader.folder / "read_windows.py").read_text())
    queries = read_proteins(reader, "queries.fasta")
    first = next(iter(queries.values()))
    n_windows = len(range(0, max(1, len(first) - 19), 20))
    assert said.out == f"{len(queries)} databases, the first of {n_windows} sequences\n", said.err
    assert (
        reader.table("runs/windows").schema.field("windows").metadata[b"aliquot.types"] == b"example.database"
    )


def test_what_is_looked_up_is_asked_again_where_the_service_was_busy(reader: Reader) -> None:
    names = list(read_proteins(reader, "library.fasta"))
    n_busy = sum(name.endswith("7") for name in names)
    assert n_busy
    for run in ("runs/looked-up", "runs/asked"):
        assert [(row["id"], row["characters"]) for row in reader.table(run).to_pylist()] == [
            (name, len(name)) for name in names
        ]
        assert json.loads((reader.folder / run / "summary.json").read_text())["retries"] == n_busy
