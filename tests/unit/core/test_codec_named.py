"""Users' types: stored under a registered name, read as that type and no other, else refused."""

from __future__ import annotations

import base64
import enum
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import msgpack
import pytest
import zstandard

import aliquot
from aliquot.codec import Stored, decode, pack, unpack, unpack_late
from aliquot.codec_forms import EXT_COLUMN, EXT_NAMED, VERSION
from aliquot.errors import Undecodable, Unencodable
from aliquot.job import Job, Stage
from aliquot.registry import register


class Shape(NamedTuple):
    kind: str
    inner: Any = None


made: list[str] = []


@dataclass
class Pose:
    score: float
    tags: set[str]
    shape: Any = None

    def __post_init__(self) -> None:
        made.append("Pose")

    @cached_property
    def twice(self) -> float:
        return self.score * 2


@dataclass(frozen=True, slots=True)
class Key:
    text: str
    more: list[int] = field(default_factory=list)


class Phase(enum.Enum):
    SOLID = 1
    LIQUID = 2


class Grid:
    """As a wrapper of a C++ object: nothing of it is seen but what its own functions give."""

    def __init__(self, cells: bytes) -> None:
        self.cells = cells

    def dump(self) -> bytes:
        if not self.cells:
            raise RuntimeError("no cells")
        if self.cells == b"lost":
            raise Unencodable(".cells", "lost")
        return self.cells


OLDER = {2: lambda body: Grid(body[::-1])}
register(Shape, "test.Shape")
register(Pose, "test.Pose")
register(Key, "test.Key")
register(Phase, "test.Phase")
register(Grid, "test.Grid", version=3, to_bytes=Grid.dump, from_bytes=Grid, older=OLDER)

POSES = [
    Pose(1.5, {"a"}, Shape("box", Phase.SOLID)),
    None,
    Pose(2.5, set(), [Key("k"), {"n": Grid(b"cells")}]),
]
VALUES = [
    POSES,
    POSES[0],
    {"x": [POSES, Shape("s")]},
    [Shape("s", 1), Shape("t", Shape("u"))],
    [Key("k"), Key("l")],
    [Phase.SOLID, Phase.LIQUID, None],
    [Grid(b"a"), None, Grid(b"bc")],
    [Grid(b"cells" * 4000)] * 3,
]


def _spell(value: Any) -> Any:
    """A value with its types, and grids as what they hold."""
    if isinstance(value, Grid):
        return ("Grid", value.cells)
    if isinstance(value, dict):
        return {key: _spell(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spell(item) for item in value]
    if isinstance(value, Pose):
        return ("Pose", value.score, value.tags, _spell(value.shape))
    return (type(value).__name__, value)


@pytest.mark.parametrize("value", VALUES)
def test_registered_values_read_back_as_what_they_were(value: Any) -> None:
    n_made = len(made)
    assert _spell(unpack(pack(value), opens=True)) == _spell(value)
    if type(value) is list:
        assert _spell(list(unpack_late(pack(value), "x"))) == _spell(value)
    assert len(made) == n_made, "reading runs nothing of a class"


@pytest.mark.parametrize("value", VALUES)
def test_who_passes_rows_on_needs_no_types(value: Any) -> None:
    """A reducer has no chemistry: what it reads and writes again is the value that it was."""
    kept = unpack(pack(value))
    assert {type(each) for each in (kept if type(kept) is list else [kept])} <= {Stored, dict, type(None)}
    assert _spell(unpack(pack(kept), opens=True)) == _spell(value)


def test_a_stored_value_says_what_it_is_and_opens() -> None:
    (kept,) = unpack(pack([Grid(b"abc")]))
    assert repr(kept) == f"<stored test.Grid, {len(kept.payload)} B>"
    assert kept.open().cells == b"abc"


def test_what_a_table_holds_is_decoded_by_value_and_by_column() -> None:
    body = pack(Key("k"))
    assert decode(body) == decode(base64.b64encode(body).decode()) == Key("k")
    assert aliquot.decode([body, None]) == [Key("k"), None]
    with pytest.raises(Undecodable):
        decode("not base64")


class _Unknown(NamedTuple):
    x: int


@dataclass
class _Plain:
    x: int


@pytest.mark.parametrize(
    ("value", "path", "said"),
    [
        ({"m": [Pose(1, set(), Shape("s", object()))]}, 'row["m"][0].shape.inner', "object"),
        ([_Unknown(1)], "row[0]", "not registered"),
        ({"p": {"q": _Plain(1)}}, 'row["p"]["q"]', "not registered"),
        ([Grid(b"x"), Grid(b"")], "row[1]", "no cells"),
        ({"g": Grid(b"lost")}, 'row["g"].cells', "lost"),
    ],
)
def test_the_path_goes_through_fields(value: Any, path: str, said: str) -> None:
    with pytest.raises(Unencodable) as caught:
        pack(value, "row")
    assert caught.value.path == path
    assert said in caught.value.type_name


def test_attributes_beside_the_fields_are_not_lost_silently() -> None:
    pose = Pose(1.0, set())
    assert pose.twice == 2.0
    assert unpack(pack([pose, pose]), opens=True)[1] == pose
    pose.extra = 1  # type: ignore[attr-defined]
    for value in (pose, [pose, pose]):
        with pytest.raises(Unencodable, match="extra"):
            pack(value)


def _named(name: Any, version: Any, body: bytes) -> bytes:
    head = msgpack.packb([name, version])
    return msgpack.packb(msgpack.ExtType(EXT_NAMED, VERSION + bytes((len(head),)) + head + body))


def _column(form: bytes, name: str, body: bytes) -> bytes:
    head = msgpack.packb([name, 3 if name == "test.Grid" else 1])
    return msgpack.packb(msgpack.ExtType(EXT_COLUMN, VERSION + form + bytes((len(head),)) + head + body))


_FIELDS = {"score": 1.0, "tags": [], "shape": None}
_BOMB = zstandard.compress(bytes(1 << 26))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (_named("os.system", 1, b"ls"), "'os.system', which is not registered"),
        (_named("test.Grid", 9, b"x"), "version 9; this release reads 2, 3"),
        (_named("test.Grid", "3", b"x"), "without the name"),
        (_named(["test.Grid"], 3, b"x"), "without the name"),
        (_named("test.Phase", 1, b"__class__"), "__class__"),
        (_named("test.Pose", 1, msgpack.packb(_FIELDS | {"__class__": 1})), "other fields"),
        (_named("test.Pose", 1, msgpack.packb({"score": 1.0})), "other fields"),
        (_named("test.Pose", 1, msgpack.packb([1])), "other fields"),
        (_column(b"f", "test.Key", msgpack.packb([b"\1\1", {"text": msgpack.packb(["a"])}])), "not as long"),
        (_column(b"b", "test.Grid", struct.pack("<III", 1, 0, 5) + b"x"), "not as long"),
        (_column(b"b", "test.Grid", struct.pack("<II", 1 << 31, 0)), "lengths of 0"),
        (_column(b"b", "test.Grid", struct.pack("<III", 1, 1 << 26, 1 << 26) + _BOMB), "squeezed"),
        (_column(b"b", "test.Grid", struct.pack("<III", 1, 100, 100) + _BOMB), "another size"),
        (_column(b"z", "test.Grid", b""), "form"),
    ],
)
def test_forged_values_are_refused(body: bytes, said: str) -> None:
    with pytest.raises(Undecodable, match=said):
        unpack(body, opens=True)
    with pytest.raises(Undecodable, match=said):
        list(unpack_late(b"\x91" + body, "x") if body[5:6] != b"\x09" else unpack_late(body, "x"))


def test_extensions_in_each_other_without_end_are_refused() -> None:
    """Each takes 40 KB of a stack: a few hundred would end the process, not the value."""
    body = msgpack.packb(None)
    for _ in range(2000):
        body = msgpack.packb(msgpack.ExtType(6, VERSION + b"s" + b"\x91" + body))
    with pytest.raises(Undecodable):
        unpack(body)
    value: Any = None
    for _ in range(40):
        value = Shape("deep", value)
    with pytest.raises(Unencodable, match="others"):
        pack(value)


def test_what_an_earlier_version_wrote_is_read() -> None:
    assert unpack(_named("test.Grid", 2, b"abc"), opens=True).cells == b"cba"


@pytest.mark.parametrize(
    ("kind", "name", "words", "said"),
    [
        (object, "test.Other", {}, "give to_bytes"),
        (Grid, "test.Other", {"to_bytes": Grid.dump}, "both"),
        (Grid, "test.Other", {"to_bytes": Grid.dump, "from_bytes": Grid}, "is as 'test.Grid'"),
        (_Plain, "test.Grid", {}, "is as 'test.Grid'"),
        (_Plain, "", {}, "cannot name"),
        (_Plain, "x", {"version": 0}, "from 1 to 255"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(kind: type, name: str, words: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        register(kind, name, **words)


class Held(NamedTuple):
    n: int


class Found(NamedTuple):
    place: Key
    best: list[Held]


def test_types_that_a_jobs_rows_name_are_registered_with_it() -> None:
    Job("found", 1, _Plain, (Stage("find", lambda _, __: map),), writes=Found)  # type: ignore[arg-type, return-value]
    read = unpack(pack([Held(1)]), opens=True)
    assert (type(read[0]), read) == (Held, [Held(1)])
    assert unpack(pack(Held(1))).name == f"{__name__}.Held"
