"""What a dataset says never moves a cursor, changes a colour or turns text around."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.terminal import escape


def test_what_terminals_obey_is_spelt_out() -> None:
    said = escape("r1\x1b[2J\x1b]0;title\x07 \r over\x9b31m \u202egnp.exe \u2028 tab\there\nnext")
    assert said == ("r1\\x1b[2J\\x1b]0;title\\x07 \\x0d over\\x9b31m \\u202egnp.exe \\u2028 tab\there\nnext")


@given(st.text(st.characters()))
def test_nothing_but_line_ends_and_tabs_controls_anything(text: str) -> None:
    said = escape(text)
    assert not [c for c in said if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} and c not in "\n\t"]
    said.encode()


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S"])))
def test_text_of_any_language_is_left_as_it_is(text: str) -> None:
    assert escape(text) == text
