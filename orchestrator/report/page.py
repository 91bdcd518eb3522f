"""The page: sections in a frame of HTML, with styles and scripts in it, and nothing fetched from anywhere.

    head, sections | Plotly's script, ours --make_page--> the bytes of report.html

The browser is told the digests of the two scripts, so that no other runs. Owns the frame. Imports `plotly`
for the script. When it is wrong, the page does not open, or runs what it should not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.explain import Explained
from orchestrator.progress import describe_count, describe_seconds, describe_usd
from orchestrator.report.markup import text
from orchestrator.report.plotly import digest_script, read_plotly

_HERE = Path(__file__).parent
AGAIN_S = 10


def make_page(
    told: Explained, sections: Sequence[tuple[str, str, str]], made: str, *, is_live: bool
) -> Iterator[bytes]:
    """The whole page, in pieces.

    Args:
        sections: name, title and HTML of each.
        made: when it was written, for people.
        is_live: it will be written again while the run goes.
    """
    style, state = (_HERE / "style.css").read_text(encoding="utf-8"), text(told.state.word)
    plotly, script = read_plotly(), (_HERE / "page.js").read_bytes()
    digests = [digest_script(script), *([plotly.digest] if plotly is not None else ())]
    allowed = " ".join(f"'sha256-{each.decode()}'" for each in digests)
    links = "".join(f'<li><a href="#{name}">{text(title)}</a></li>' for name, title, _ in sections)
    again = (
        f'<p><label><input type="checkbox" id="again" data-seconds="{AGAIN_S}" checked> '
        f"read again every {AGAIN_S} s</label></p>"
        if is_live
        else ""
    )
    title = f"{told.manifest['job']}: {told.folder.resolve().name}"
    no_charts = (
        '<p class="note">Plotly is not installed, so there are no charts.</p>' if plotly is None else ""
    )
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; script-src {allowed}; '
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{style}</style></head>"
        '<body><a class="skip" href="#main">To the report</a>'
        f'<header><h1>{text(title)} <span class="state {state}">{state}</span></h1>'
        f'<p class="lead">{text(_sum_up(told))}</p>{again}</header>'
        f'<nav aria-label="Sections"><ul tabindex="-1">{links}</ul></nav><main id="main">{no_charts}'
    )
    tail = f"</main><footer><p>Written {text(made)} by Aliquot {text(told.manifest['aliquot'])}.</p></footer>"
    yield "".join([head, *(html for _, _, html in sections), tail]).encode(errors="replace")
    if plotly is not None:  # text until ours unpacks and runs it
        yield b'<script type="text/plain" id="plotly">'
        yield plotly.body
        yield b"</script>"
    yield b"<script>" + script + b"</script></body></html>\n"


def _sum_up(told: Explained) -> str:
    """How the run stands, in a sentence."""
    summary = told.summary
    if summary is None or not told.is_over:
        return told.state.said
    done = f"{summary['done']:,} of {describe_count(summary['records'], 'record')} done"
    cost = f", {describe_usd(told.invoice['total'])}" if told.invoice["total"] else ""
    rows = describe_count(summary["rows"], "row")
    return f"{told.state.said}: {done}, {rows} in {describe_seconds(summary['elapsed_s'])}{cost}"
