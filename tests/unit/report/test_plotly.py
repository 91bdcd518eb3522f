"""Plotly's script is packed once on a machine; whatever happens to what was kept, pages have the script."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

from orchestrator.report.plotly import Packed, digest_script, read_packed


def unpack(packed: Packed) -> bytes:
    body = zlib.decompress(base64.b64decode(packed.body))
    assert digest_script(body) == packed.digest
    return body


def test_a_script_is_packed_once_and_anew_when_it_or_what_was_kept_is_another(tmp_path: Path):
    script, folder = tmp_path / "plotly.min.js", tmp_path / "cache"
    script.write_bytes(b"var Plotly={};" * 100)
    packed = read_packed(script, folder)
    assert unpack(packed) == script.read_bytes()
    (kept,) = folder.iterdir()
    written = kept.stat().st_mtime_ns
    assert read_packed(script, folder) == packed
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(kept.read_bytes()[:-9] + b"123456789")
    assert read_packed(script, folder) == packed == read_packed(script, folder)
    script.write_bytes(b"var Plotly=1;")
    assert unpack(read_packed(script, folder)) == b"var Plotly=1;"


def test_a_folder_that_cannot_be_written_costs_the_packing_alone(tmp_path: Path):
    script, folder = tmp_path / "plotly.min.js", tmp_path / "cache"
    script.write_bytes(b"var Plotly={};")
    folder.write_bytes(b"a file")
    assert unpack(read_packed(script, folder)) == script.read_bytes()
