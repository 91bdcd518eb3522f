"""HTML out of plain values: text, tables, lists of facts, charts with their words.

Whatever comes from outside (rows, messages, names) goes through `text` or `dump`, so that none of it is
markup. Owns what is escaped, and how a table says what its columns are. Imports `terminal` for characters
that are not to be shown. When it is wrong, a record's text runs as a script in the reader's browser.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.terminal import escape

MOST_ROWS = 300  # of a table on the page
_LONG = 28  # characters of a cell that is to be no narrower than that
_LONGEST = 600  # characters of a cell
_IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True)
class Cell:
    """What a table shows, and by what it sorts where that is another value.

    Args:
        is_code: shown as it would be typed.
    """

    said: str
    order: float | str | None = None
    is_code: bool = False


@dataclass(frozen=True)
class Table:
    """A table that people sort and filter.

    Args:
        numeric: which columns hold numbers.
        n_more: rows that were left out, and `where` they are.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    n_more: int = 0
    where: str = ""


def text(value: Any) -> str:
    """A value as HTML text, cut where it is long; usable in attributes too."""
    said = str(value)
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    return html.escape(escape(said), quote=True)


def dump(value: Any) -> str:
    """A value as JSON that may stand in a script element, whatever its texts hold."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).translate(_IN_SCRIPT)


def show_table(table: Table) -> str:
    """The table with its filter, if it has rows enough to need one."""
    head = "".join(_show_head(table, place) for place in range(len(table.columns)))
    body = "".join(_show_row(row, table.numeric) for row in table.rows[:MOST_ROWS])
    n_more = table.n_more + max(0, len(table.rows) - MOST_ROWS)
    more = f'<p class="note">{n_more:,} more {text(table.where)}</p>' if n_more else ""
    name, caption = text(table.name), text(table.caption)
    region = f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}-caption">'
    return (
        f'<div class="sortable" id="{name}">{_show_filter(table)}{region}<table>'
        f'<caption id="{name}-caption">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}</div>"
    )


def _show_filter(table: Table) -> str:
    if len(table.rows) < 4:
        return ""
    name, n_rows = text(table.name), min(len(table.rows), MOST_ROWS)
    return (
        f'<p class="filter"><label for="{name}-filter">Filter {text(table.caption.lower())}</label> '
        f'<input id="{name}-filter" type="search" autocomplete="off" spellcheck="false"> '
        f'<output aria-live="polite" for="{name}-filter">{n_rows} rows</output></p>'
    )


def _show_head(table: Table, place: int) -> str:
    kind = ' class="number"' if place in table.numeric else ""
    button = f'<button type="button">{text(table.columns[place])}</button>'
    return f'<th scope="col"{kind} aria-sort="none">{button}</th>'


def _show_row(row: Sequence[Cell], numeric: frozenset[int]) -> str:
    cells = []
    for place, cell in enumerate(row):
        order = f' data-order="{text(cell.order)}"' if cell.order is not None else ""
        is_long = len(cell.said) > _LONG
        kind = ' class="number"' if place in numeric else ' class="long"' if is_long else ""
        said = f"<code>{text(cell.said)}</code>" if cell.is_code else text(cell.said)
        cells.append(f"<td{kind}{order}>{said}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def show_facts(facts: Iterable[tuple[str, str]], kind: str = "") -> str:
    """Names and values; nothing where there are none."""
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(said)}</dd></div>" for name, said in facts)
    return f'<dl class="{kind}">{rows}</dl>' if rows else ""


def show_section(name: str, title: str, parts: Iterable[str]) -> str:
    """A section of the page, of what of it there is."""
    body = "".join(parts)
    head = f'<h2 id="{name}-title">{text(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{head}{body}</section>'


def show_chart(name: str, title: str, figure: dict[str, Any] | None, said: str, table: str = "") -> str:
    """A chart with its title and words, and its figures as a table for who cannot see it.

    Args:
        figure: as Plotly reads it; None where there is nothing to draw, and `said` says why.
    """
    if figure is None:
        return f'<figure><h3>{text(title)}</h3><p class="note">{text(said)}</p></figure>'
    height = int(figure["layout"].get("height", 280))
    figures = f"<details><summary>{text(title)}: the figures</summary>{table}</details>" if table else ""
    return (
        f'<figure><h3 id="{name}-title">{text(title)}</h3>'
        f'<div class="chart" role="img" aria-labelledby="{name}-title" aria-describedby="{name}-said" '
        f'data-figure="{name}-figure" style="min-height:{height}px"></div>'
        f'<figcaption id="{name}-said">{text(said)}</figcaption>'
        f'<script type="application/json" id="{name}-figure">{dump(figure)}</script>{figures}</figure>'
    )


def show_note(said: str) -> str:
    """A sentence beside the matter."""
    return f'<p class="note">{text(said)}</p>'


def show_command(label: str, command: str) -> str:
    """A command to type, with a button that copies it."""
    return (
        f'<div class="command"><span>{text(label)}</span><pre tabindex="0" aria-label="{text(label)}">'
        f"<code>{html.escape(escape(command))}</code></pre>"
        f'<button type="button" class="copy">Copy</button></div>'
    )
