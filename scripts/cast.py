#!/usr/bin/env python3
"""Play a run that is killed and resumed in a real terminal, and write that as an animated picture.

    python scripts/cast.py [--molecules 250] [--quick] [--out docs/cast]

A shell on a pseudo-terminal gets the commands below, typed as a person would; what the screen shows goes into
`session.cast` (asciinema's format, version 2) and `session.svg`. Ends with status 1 where the rows of the run
that was killed are not those of the one that was not.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 92, 14
PROMPT = "\x1b[1;32m$\x1b[0m "
RUN = "aliquot run shapes.py:describe molecules.smi --workers 2"
SESSION = (
    f"{RUN} --out runs/whole",
    "clear  # the same once more; now a worker is killed with signal 9, then the run itself",
    f"{RUN} --out runs/killed --quiet & sleep 3",
    'kill -9 $(pgrep -nf "zygote.* $!$"); sleep 3  # one of its workers: the run goes on',
    "kill -9 $!; wait $! 2>/dev/null; aliquot show runs/killed | grep -E 'state|next'",
    "aliquot resume runs/killed",
    "cmp runs/*/result/part-00000.parquet && echo identical rows",
)
LAST = "identical rows"
_TYPING_S, _READING_S, _PATIENCE_S = 0.03, 1.2, 180.0
_FRAME_S = 0.3  # as long as a frame is seen at least
_CELL = 8.43  # width of a letter of 14 pixels, in most fonts of one width
_COLOURS = {
    "default": "#d4d4d4",
    "black": "#6b7280",
    "red": "#f87171",
    "green": "#4ade80",
    "brown": "#facc15",
    "blue": "#60a5fa",
    "magenta": "#e879f9",
    "cyan": "#22d3ee",
    "white": "#f5f5f5",
}


def main() -> int:
    """Read the command line, play the session, write both files; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", type=int, default=250)
    parser.add_argument("--quick", action="store_true", help="without pauses for readers")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "cast")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        desk = Path(folder)
        shutil.copy(ROOT / "docs" / "cast" / "shapes.py", desk)
        lines = (ROOT / "examples" / "crossref" / "molecules.smi").read_text().splitlines(keepends=True)
        (desk / "molecules.smi").write_text("".join(lines[: given.molecules]))
        played = play(desk, is_quick=given.quick)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "session.cast").write_text(write_cast(played), encoding="utf-8")
    (given.out / "session.svg").write_text(draw(played), encoding="utf-8")
    shown = list(played.frames())[-1][1]
    if not any(line.startswith(LAST) for line in shown.display):
        sys.stderr.write("\n".join(shown.display).rstrip() + "\n")
        return 1
    return 0


# ------------------------------------------------------------------------------------------ playing


@dataclass
class Played:
    """What a terminal was told, and when, in seconds from the beginning."""

    events: list[tuple[float, str]] = field(default_factory=list)

    def frames(self) -> Iterator[tuple[float, pyte.Screen]]:
        """The screen after each event; one object, which goes on changing."""
        screen = pyte.Screen(COLUMNS, ROWS)
        stream = pyte.Stream(screen)
        for at_s, text in self.events:
            stream.feed(text)
            yield at_s, screen


def play(desk: Path, *, is_quick: bool) -> Played:
    """Type the session into a shell in a folder."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PS1": PROMPT,
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
    }
    environment.pop("NO_COLOR", None)
    leader, follower = pty.openpty()
    subprocess.run(["stty", "cols", str(COLUMNS), "rows", str(ROWS)], stdin=follower, check=True)
    shell = subprocess.Popen(
        ["bash", "--norc", "--noediting", "+m"],
        cwd=desk,
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    played, begun_s = Played(), time.monotonic()
    try:
        _listen(leader, played, begun_s)
        for command in SESSION:
            for letter in command:
                os.write(leader, letter.encode())
                _hear(leader, played, begun_s, 0.0)
                time.sleep(0.0 if is_quick else _TYPING_S)
            os.write(leader, b"\n")
            _listen(leader, played, begun_s)
            time.sleep(0.0 if is_quick else _READING_S)
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)
    return played


def _listen(leader: int, played: Played, begun_s: float) -> None:
    """Note what comes until the prompt is there again."""
    end_s, tail = time.monotonic() + _PATIENCE_S, ""
    while not tail.endswith(PROMPT):
        if time.monotonic() > end_s:
            raise SystemExit(f"no prompt within {_PATIENCE_S:.0f} s; the terminal ends with {tail!r}")
        tail = (tail + _hear(leader, played, begun_s, 0.05))[-len(PROMPT) :]


def _hear(leader: int, played: Played, begun_s: float, within_s: float) -> str:
    """What comes next, noted; empty where nothing comes within that time."""
    if not select.select([leader], [], [], within_s)[0]:
        return ""
    text = os.read(leader, 1 << 16).decode(errors="replace")
    played.events.append((round(time.monotonic() - begun_s, 2), text))
    return text


# ------------------------------------------------------------------------------------------ writing


def write_cast(played: Played) -> str:
    """The session as asciinema reads it."""
    head = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "Aliquot: killed, resumed, identical"}
    lines = [json.dumps(head), *(json.dumps([at_s, "o", text]) for at_s, text in played.events)]
    return "\n".join(lines) + "\n"


def draw(played: Played) -> str:
    """The session as an animated SVG: frames side by side, of which one is seen at a time.

    Who wants no motion, and what plays none, has the last.
    """
    frames: list[tuple[float, str]] = []
    for at_s, screen in played.frames():
        drawn = _draw_screen(screen)
        if frames and at_s - frames[-1][0] < _FRAME_S:
            frames[-1] = (frames[-1][0], drawn)
        elif not frames or drawn != frames[-1][1]:
            frames.append((at_s, drawn))
    lasts_s = frames[-1][0] + 4.0
    width, height = COLUMNS * _CELL + 24, ROWS * 18 + 24
    frames[0] = (0.0, frames[0][1])
    steps = "".join(
        f"{100 * at_s / lasts_s:.2f}%{{transform:translateX({-number * width:.0f}px)}}"
        for number, (at_s, _) in enumerate(frames)
    )
    last = f"translate({-(len(frames) - 1) * width:.0f} 0)"
    shown = "".join(
        f'<g transform="translate({number * width:.0f} 0)">{drawn}</g>'
        for number, (_, drawn) in enumerate(frames)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'aria-label="A run is killed, resumed, and gives identical rows">'
        f"<style>@keyframes play{{{steps}}}#play{{animation:play {lasts_s:.1f}s step-end infinite}}"
        "@media (prefers-reduced-motion:reduce){#play{animation:none}}</style>"
        f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#18181b"/>'
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14" '
        f'style="white-space:pre" xml:space="preserve"><g id="play" transform="{last}">'
        f"{shown}</g></g></svg>\n"
    )


def _draw_screen(screen: pyte.Screen) -> str:
    """A screen's lines as text, a piece at its column for each run of one colour."""
    lines = []
    for row in range(ROWS):
        column, pieces = 0, ""
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        for (colour, is_bold), run in groupby(cells, key=lambda cell: (cell.fg, cell.bold)):
            said = "".join(cell.data for cell in run)
            if said.strip():
                weight = ' font-weight="bold"' if is_bold else ""
                x, fill = 12 + column * _CELL, _name_colour(colour)
                pieces += f'<tspan x="{x:.0f}" fill="{fill}"{weight}>{escape(said.rstrip())}</tspan>'
            column += len(said)
        if pieces:
            lines.append(f'<text y="{row * 18 + 26}">{pieces}</text>')
    return "".join(lines)


def _name_colour(name: str) -> str:
    """pyte gives a name, or six hexadecimal digits."""
    return _COLOURS.get(name.removeprefix("bright")) or f"#{name}"


if __name__ == "__main__":
    sys.exit(main())
