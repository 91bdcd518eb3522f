"""The page: sections in a frame of HTML, with styles and scripts in it, and nothing fetched from anywhere.

    head, sections | Plotly's script, ours --make_page--> the bytes of report.html

Plotly's script is read from where its package is installed, which is not imported. The browser is told the
digests of the two scripts, so that no other runs. Owns the frame. When it is wrong, the page does not open,
or runs what it should not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from orchestrator.explain import Explained
from orchestrator.progress import describe_count, describe_seconds, describe_usd
from orchestrator.report.markup import text

_HERE = Path(__file__).parent
AGAIN_S = 10


@cache
def read_plotly() -> bytes:
    """Plotly's script; nothing where its package is not installed, or has it elsewhere."""
    found = find_spec("plotly")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder, "package_data", "plotly.min.js")
        if path.is_file():
            return path.read_bytes().replace(b"</script", b"<\\/script")
    return b""


def make_page(
    told: Explained, sections: Sequence[tuple[str, str, str]], made: str, *, is_live: bool
) -> bytes:
    """The whole page.

    Args:
        sections: name, title and HTML of each.
        made: when it was written, for people.
        is_live: it will be written again while the run goes.
    """
    style, state = (_HERE / "style.css").read_text(encoding="utf-8"), text(told.state.word)
    plotly, script = read_plotly(), (_HERE / "page.js").read_bytes()
    allowed = " ".join(f"'sha256-{_digest(each)}'" for each in (plotly, script) if each)
    links = "".join(f'<li><a href="#{name}">{text(title)}</a></li>' for name, title, _ in sections)
    again = (
        f'<p><label><input type="checkbox" id="again" data-seconds="{AGAIN_S}" checked> '
        f"read again every {AGAIN_S} s</label></p>"
        if is_live
        else ""
    )
    title = f"{told.manifest['job']}: {told.folder.resolve().name}"
    no_charts = '<p class="note">Plotly is not installed, so there are no charts.</p>' if not plotly else ""
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
    scripts = b"<script>" + script + b"</script>"
    if plotly:  # text until ours runs it
        scripts = b'<script type="text/plain" id="plotly">' + plotly + b"</script>" + scripts
    body = head + "".join(html for _, _, html in sections) + tail
    return body.encode(errors="replace") + scripts + b"</body></html>\n"


def _sum_up(told: Explained) -> str:
    """How the run stands, in a sentence."""
    summary = told.summary
    if summary is None or told.state.word in ("running", "unfinished"):
        return told.state.said
    done = f"{summary['done']:,} of {describe_count(summary['records'], 'record')} done"
    cost = f", {describe_usd(told.invoice['total'])}" if told.invoice["total"] else ""
    rows = describe_count(summary["rows"], "row")
    return f"{told.state.said}: {done}, {rows} in {describe_seconds(summary['elapsed_s'])}{cost}"


def _digest(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()
