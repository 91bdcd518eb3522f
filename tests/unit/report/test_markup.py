"""What comes out of records is text on the page, whatever it holds; SVG is what draws, and no more."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.markup import Cell, Table, dump, show_chart, show_facts, show_table, text
from orchestrator.report.pictures import clean

HOSTILE = "</script></td><img src=x onerror=alert(1)>\"'&\u202e\x1b[2J"


class Tags(HTMLParser):
    """The elements and attributes of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_hostile_text_is_text_wherever_it_stands():
    table = Table(
        HOSTILE, HOSTILE, [HOSTILE], [[Cell(HOSTILE, HOSTILE, is_code=True)]] * 5, where=HOSTILE, n_more=1
    )
    figure = {"data": [{"name": HOSTILE}], "layout": {"height": 200}}
    for html in (
        show_table(table),
        show_facts([(HOSTILE, HOSTILE)]),
        show_chart("a", HOSTILE, figure, HOSTILE),
    ):
        tags = Tags(html)
        assert "img" not in tags.names
        assert "onerror" not in tags.attributes
        assert html.count("</script>") == html.count("<script")
        assert "\u202e" not in html
        assert "\x1b" not in html


@given(st.text())
def test_json_in_a_script_reads_back_and_ends_no_script(said):
    found = dump({"said": said})
    assert json.loads(found) == {"said": said}
    assert not {"<", ">", "&", "\u2028"} & {*found}


@given(st.text())
def test_text_leaves_no_markup(said):
    assert not {"<", ">", '"', "'"} & {*text(said)}


def test_of_svg_what_draws_stays_and_nothing_else():
    def wrap(body: str) -> str:
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{body}</svg>'

    kept = clean(wrap('<path d="M 0 0" style="stroke:#0000FF;fill-rule:evenodd" onclick="x()"/>'))
    assert "var(--m0000ff,#0000FF)" in kept
    assert "onclick" not in kept
    for body in (
        "<script>alert(1)</script>",
        '<foreignObject><p xmlns="http://www.w3.org/1999/xhtml">x</p></foreignObject>',
        '<a href="javascript:alert(1)"><path d="M 0 0"/></a>',
        '<image href="http://example.org/x.png"/>',
        "<style>* { background: url(http://example.org) }</style>",
        '<rect width="1" height="1" style="fill:url(http://example.org/x)"/>',
    ):
        found = clean(wrap(body))
        assert not any(word in found for word in ("script", "href", "foreign", "example", "style>", "<a"))
    assert clean("<p>no drawing</p>") == clean("<svg>") == ""
    assert clean('<!DOCTYPE svg [<!ENTITY a "b">]>' + wrap("&a;")) == ""
