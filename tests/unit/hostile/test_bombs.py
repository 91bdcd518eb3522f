"""Few bytes that claim to be many: refused before they are allocated, in a process of little memory."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aliquot.carried import unpack_package
from aliquot.errors import StoreError

ROOM_MIB = 600  # of address space: Python and what it imports take some 200 of it

BOMBS = {
    "lists that each claim to be as long as the body": "unpack(b'\\xdd\\x00\\x0f\\xff\\xff' * 200_000)",
    "maps that each claim so": "unpack(b'\\xdf\\x00\\x03\\xff\\xff' * 200_000)",
    "a list in a list in a list": "unpack(b'\\x91' * 5_000_000)",
    "bytes that are not there": "unpack(b'\\xc6\\x3f\\xff\\xff\\xff')",
    "an array that is not there": "unpack(array([1 << 20, 1 << 20]))",
    "an integer of a million digits": "unpack(extension(4, b'9' * 1_000_000))",
    "a frame of 4 GB of zeros": "Part(zeros(32), zlib.crc32(zeros(32)), 1 << 30).open('part')",
    "a frame that says less than it holds": "Part(zeros(1), zlib.crc32(zeros(1)), 100).open('part')",
    "a part that says a gigabyte, whose frame tells no size": "unsized(1 << 30).open('part')",
    "a frame of 20 bytes that says a gigabyte": "claiming(1 << 30).open('part')",
    "an object whose part says a gigabyte": "Envelope.from_bytes(large_part(), 'chunk').open('a')",
    "a roster of brackets": "Roster.from_json(b'[' * 5_000_000)",
    "a message of brackets": "TaskMessage.from_text(base64.b64encode(b'\\x91' * 190_000).decode())",
    "a message that is too long": "TaskMessage.from_text('A' * (64 << 20))",
    "a frame that says that it is 4 GB long": "read_frame_of(b'\\xff\\xff\\xff\\xff')",
}
SCRIPT = """
import base64, os, resource, struct, sys, zlib
import msgpack, numpy, zstandard
from aliquot.chunk import ChunkReader
from aliquot.codec import pack, unpack
from aliquot.codec_forms import VERSION
from aliquot.envelope import Envelope, Part
from aliquot.errors import Undecodable
from aliquot.frames import read_frame
from aliquot.message import TaskMessage
from aliquot.roster import Roster

def extension(code, payload):
    return msgpack.packb(msgpack.ExtType(code, VERSION + payload))

def array(shape):
    head = msgpack.packb(["<f8", shape])
    return extension(1, bytes((len(head), 0)) + head)

def zeros(n_mib):
    squeeze = zstandard.ZstdCompressor(level=1).compressobj(size=n_mib << 27)
    return b"".join([*(squeeze.compress(bytes(1 << 27)) for _ in range(n_mib)), squeeze.flush()])

def unsized(n_bytes):
    stored = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    return Part(stored, zlib.crc32(stored), n_bytes)

def claiming(n_bytes):
    stored = b"\\x28\\xb5\\x2f\\xfd\\xe0" + n_bytes.to_bytes(8, "little") + b"\\x01\\0\\0"
    assert zstandard.frame_content_size(stored) == n_bytes
    return Part(stored, zlib.crc32(stored), n_bytes)

def large_part():
    stored = zstandard.ZstdCompressor().compress(bytes(1000))
    header = pack({"type": "chunk", "parts": [["a", len(stored), zlib.crc32(stored), 1 << 30]]})
    body = struct.pack("<4sBII", b"ALQT", 2, len(header), zlib.crc32(header)) + header
    return body + bytes(-len(body) % 16) + stored

def read_frame_of(body):
    ends = os.pipe()
    os.write(ends[1], body)
    return read_frame(ends[0])

resource.setrlimit(resource.RLIMIT_AS, (ROOM << 20, ROOM << 20))
for bomb in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        eval(bomb)
    except Undecodable as err:
        assert "MemoryError" not in str(err), f"{bomb}: {err}"
    else:
        raise SystemExit(f"{bomb} was read")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300 << 10, f"{bomb} took {grown >> 10} MiB"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its address space")
def test_bombs_are_refused_in_little_memory() -> None:
    """A handler that is sent one must live: it would be sent again."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("ROOM", str(ROOM_MIB)), *BOMBS.values()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr[-1000:] + ended.stdout


def _zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def test_package_that_unpacks_to_too_much_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """50 MB of zeros are 50 kB of zip; the disk of a function is all that it has."""
    package = _zip(tmp_path / "bomb", {f"{number}.py": bytes(64 << 20) for number in range(5)})
    with pytest.raises(StoreError, match=r"unpacks to 335,544,320 bytes"):
        unpack_package(package, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_package_of_too_many_files_is_refused(tmp_path: Path) -> None:
    package = _zip(tmp_path / "many", {f"{number}": b"" for number in range(20_001)})
    with pytest.raises(StoreError, match="20,001 files"):
        unpack_package(package, tmp_path / "into")


def test_package_that_lies_about_its_sizes_writes_no_more_than_it_says(tmp_path: Path) -> None:
    package = _zip(tmp_path / "liar", {"a.py": bytes(1 << 20)})
    body = package.read_bytes().replace((1 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    package.write_bytes(body)
    with pytest.raises(StoreError, match="cannot be unpacked"):
        unpack_package(package, tmp_path / "into")
    assert sum(path.stat().st_size for path in (tmp_path / "into").rglob("*")) <= 10


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04" + bytes(40), b"no zip at all" * 100])
def test_package_that_is_no_zip_is_told(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "package").write_bytes(body)
    with pytest.raises(StoreError, match="cannot be unpacked"):
        unpack_package(tmp_path / "package", tmp_path / "into")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_package_is_stored_or_deflated(tmp_path: Path, method: int) -> None:
    """LZMA asks for as much memory as the package says, whatever its files unpack to."""
    with zipfile.ZipFile(tmp_path / "package", "w", method) as archive:
        archive.writestr("job.py", "x")
    with pytest.raises(StoreError, match="neither stored nor deflated"):
        unpack_package(tmp_path / "package", tmp_path / "into")


def test_package_with_a_file_without_a_name_is_refused(tmp_path: Path) -> None:
    _zip(tmp_path / "package", {"ajob.py": b"x"})
    body = (tmp_path / "package").read_bytes()
    (tmp_path / "package").write_bytes(body.replace(b"ajob.py", b"\0job.py"))
    with pytest.raises(StoreError, match="cannot be unpacked"):
        unpack_package(tmp_path / "package", tmp_path / "into")
