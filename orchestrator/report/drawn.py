"""Pictures that a run's job has drawn, as the page shows them.

    pictures that `pictures` let through --show_pictures--> boxes under their headings

Apart from `pictures`, which most runs do not need. Imports `markup`. When it is wrong, a picture is cut off,
or a screen reader does not say what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestrator.report.markup import text

_WIDTH = re.compile(r'<svg[^>]*?\swidth="([0-9.]{1,6})(?:px)?"')
_BOXES = {"": 205.0, "wide": 415.0, "wider": 640.0}  # by how wide a picture may be in them, in pixels


@dataclass(frozen=True)
class Drawn:
    """Pictures as (heading, title, caption, SVG), or in `why` a sentence that says why there are none."""

    pictures: Sequence[tuple[str, str, str, str]] = ()
    why: str = ""


def show_pictures(drawn: Drawn) -> Iterator[str]:
    """The pictures under their headings."""
    if drawn.why:
        yield f'<p class="note">{text(drawn.why)}</p>'
    for heading, found in groupby(drawn.pictures, key=lambda each: each[0]):
        shown = "".join(_show_picture(*each[1:]) for each in found)
        yield f'<h3>{text(heading)}</h3><ul class="pictures">{shown}</ul>'


def _show_picture(title: str, caption: str, svg: str) -> str:
    """A picture, in a box as wide as it needs; one wider than a phone scrolls, by keys too."""
    match = _WIDTH.search(svg)
    width = float(match[1]) if match else 0.0
    kind = next((name for name, most in _BOXES.items() if width <= most), "whole")
    named = text(f"{title}: {caption}")
    scrolls = f' tabindex="0" role="group" aria-label="{named}"' if kind else ""
    return (
        f'<li class="{kind}"><figure><div class="canvas"{scrolls}>'
        f'<div role="img" aria-label="{named}">{svg}</div></div>'
        f"<figcaption><strong>{text(title)}</strong> {text(caption)}</figcaption></figure></li>"
    )
