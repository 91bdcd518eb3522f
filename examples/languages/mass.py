"""Molecular masses of formulas, in any Python, PyPy for one: in the frames of docs/record-protocol.md.

    aliquot run exec formulas.csv --program mass.py --command "pypy3 {program}" --out runs/mass

Nothing of Aliquot is imported, and no package: the first half reads and writes the msgpack that the protocol
needs, and may be copied.
"""

import re
import struct
import sys

SIZES = {1: ">B", 2: ">H", 4: ">I"}
NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
NUMBERS.update({0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"})
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def unpack(body, at):  # noqa: PLR0911 - one for each kind of value
    """The value that begins at a place of a frame, and the place behind it."""
    kind = body[at]
    at += 1
    if kind < 0x80 or kind >= 0xE0:
        return (kind if kind < 0x80 else kind - 256), at
    if kind < 0x90:
        return unpack_map(body, at, kind & 15)
    if kind < 0xA0:
        return unpack_list(body, at, kind & 15)
    if kind < 0xC0:
        return body[at : at + (kind & 31)].decode(), at + (kind & 31)
    if kind in CONSTANTS:
        return CONSTANTS[kind], at
    if kind in NUMBERS:
        form = NUMBERS[kind]
        return struct.unpack_from(form, body, at)[0], at + struct.calcsize(form)
    if 0xD4 <= kind <= 0xD8:  # extensions, as bytes
        return body[at : at + 1 + (1 << kind - 0xD4)], at + 1 + (1 << kind - 0xD4)
    width = next((1 << kind - low for low in (0xC4, 0xC7, 0xD9) if low <= kind < low + 3), 2 << (kind & 1))
    length = struct.unpack_from(SIZES[width], body, at)[0]
    at += width
    if kind >= 0xDC:
        return (unpack_list if kind < 0xDE else unpack_map)(body, at, length)
    end = at + length + (0xC7 <= kind <= 0xC9)
    return (body[at:end].decode() if kind >= 0xD9 else body[at:end]), end


def unpack_list(body, at, length):
    """So many values."""
    values = []
    for _ in range(length):
        value, at = unpack(body, at)
        values.append(value)
    return values, at


def unpack_map(body, at, length):
    """So many keys, each with its value."""
    values, at = unpack_list(body, at, 2 * length)
    return {values[n]: values[n + 1] for n in range(0, 2 * length, 2)}, at


def pack(value):
    """A value's bytes: None, whole numbers, floats, text, lists and maps."""
    if value is None:
        return b"\xc0"
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        text = value.encode()
        return struct.pack(">BI", 0xDB, len(text)) + text
    if isinstance(value, list):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))
    pairs = b"".join(pack(key) + pack(each) for key, each in value.items())
    return struct.pack(">BI", 0xDF, len(value)) + pairs


# ---- the work

MASSES = {"H": 1.008, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998}
MASSES.update({"P": 30.974, "S": 32.06, "Cl": 35.45, "Br": 79.904, "I": 126.90})


def answer(record):
    """A row, or a text: why the record failed."""
    mass = 0.0
    for element, times in re.findall("([A-Z][a-z]*)([0-9]*)", record["formula"]):
        if element not in MASSES:
            return f"no element {element}"
        mass += MASSES[element] * int(times or 1)
    return {"id": record["id"], "mass": mass}


def main():
    """Answer frames until there are no more."""
    frames, out = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = frames.read(4)
        if not head:
            return
        frame, _ = unpack(frames.read(struct.unpack(">I", head)[0]), 0)
        if frame["op"] == "open":
            said = {"op": "opened"}
        else:
            answers = [answer(record) for record in frame["records"]]
            said = {"op": "answers", "batch": frame["batch"], "answers": answers}
        body = pack(said)
        out.write(struct.pack(">I", len(body)) + body)
        out.flush()  # the frame has to go: nothing more comes before it is answered


if __name__ == "__main__":
    main()
