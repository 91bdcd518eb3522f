"""Keys read back as they were written, and nothing else reads as a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliquot.keys import (
    LONGEST_WORD,
    ChunkId,
    OutcomeKey,
    PaidKey,
    fits_in_key,
    is_name,
    name_outcomes,
    name_roster,
    name_stop,
    name_void,
    spell_word,
)
from aliquot.spans import SpanSet

_NUMBERS = st.integers(0, 10**9)
_CHUNKS = st.builds(ChunkId, st.integers(0, 10**8 - 1), st.integers(1, 10**7))
_OUTCOMES = st.builds(
    OutcomeKey,
    stage=st.text("abcz09_-", min_size=1, max_size=8),
    chunk=_CHUNKS,
    spans=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=6).map(SpanSet.of),
    attempt=st.text("0123456789abcdef", min_size=12, max_size=12),
    rung=st.sampled_from(["local", "small", "medium", "large"]),
    billed_ms=_NUMBERS,
    n_failed=_NUMBERS,
    receives=_NUMBERS,
)
_PAID = st.builds(
    PaidKey,
    st.sampled_from(["cut", "intake", "prepare"]),
    st.text("0123456789abcdef", min_size=32, max_size=32),
)
KEY = OutcomeKey("match", ChunkId(3, 100), SpanSet.of([(0, 57), (58, 100)]), "0a1b2c", "local", 1200, 2, 1)


@given(_CHUNKS)
def test_chunk_reads_back_from_its_id_and_its_key(chunk: ChunkId) -> None:
    assert ChunkId.parse(str(chunk)) == chunk
    assert ChunkId.parse(chunk.key) == chunk


@given(_OUTCOMES)
def test_outcome_reads_back_from_its_key(outcome: OutcomeKey) -> None:
    assert OutcomeKey.parse(str(outcome)) == outcome
    assert str(outcome).startswith(name_outcomes(outcome.stage, outcome.chunk))
    assert name_void(outcome).endswith(str(outcome))


@given(_PAID, st.none() | st.tuples(_NUMBERS, _NUMBERS, _NUMBERS))
def test_note_of_an_invocation_reads_back_from_its_key(
    begun: PaidKey, bill: tuple[int, int, int] | None
) -> None:
    note = PaidKey(begun.kind, begun.invocation, *(bill or ()))
    assert PaidKey.parse(str(note)) == note
    assert str(note).startswith(str(begun))


@pytest.mark.parametrize(
    "text",
    [
        "paid/",
        f"cut-{'0' * 32}",
        f"paid/rent-{'0' * 32}",
        f"paid/cut-{'0' * 31}",
        f"paid/cut-{'A' * 32}",
        f"paid/cut-{'0' * 32}.5",
        f"paid/cut-{'0' * 32}.05.0.0",
        f"paid/cut-{'0' * 32}.5.0.-1",
        f"paid/cut-{'0' * 32}.5.0.0\n",
        f"paid/cut-{'0' * 32}.5.0.\u0663",
    ],
)
def test_junk_is_not_the_note_of_an_invocation(text: str) -> None:
    with pytest.raises(ValueError, match="not the note"):
        PaidKey.parse(text)


@given(st.lists(_CHUNKS, max_size=20))
def test_chunks_sort_as_their_keys_do(chunks: list[ChunkId]) -> None:
    """A listing is sorted by text, a dataset by number: they have to agree where numbers differ."""
    by_key = sorted(chunks, key=lambda chunk: chunk.key)
    assert [chunk.seq for chunk in by_key] == [chunk.seq for chunk in sorted(chunks)]


def test_key_says_what_progress_needs() -> None:
    assert str(KEY) == "outcomes/match/00000003.100/0-57+58-100~0a1b2c.local.1200.2.1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chunks/",
        "00000001",
        "1.5",
        "00000001.x",
        "00000001.5/..",
        "../00000001.5",
        "00000001.5\n",
        "chunks/.DS_Store",
        "chunks/chunks/00000001.5",
    ],
)
def test_junk_is_not_a_chunk(text: str) -> None:
    with pytest.raises(ValueError, match="not a chunk"):
        ChunkId.parse(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("match", ".."),
        ("match", "a/b"),
        ("match/", "match/../"),
        ("00000003.100", "3.100"),
        ("0-57+58-100", "58-100+0-57"),
        ("0-57+58-100", "0-57+57-100"),
        ("0a1b2c", "../x"),
        ("local", "LOCAL"),
        (".2.1", ".2"),
        (".2.1", ".2.1\n"),
        ("outcomes/", "/outcomes/"),
        ("~", "/"),
    ],
)
def test_junk_and_path_tricks_are_no_outcome(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=r"not an? "):
        OutcomeKey.parse(str(KEY).replace(old, new, 1))


@given(st.text(max_size=80))
def test_word_of_any_text_is_a_short_name(text: str) -> None:
    """It stands in prefixes of a bucket and in names of executions, whatever a user called a function."""
    word = spell_word(text)
    assert is_name(word)
    assert len(word) <= LONGEST_WORD
    assert not word.startswith("-")
    assert not word.endswith("-")
    assert spell_word(word) == word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("crossref", "crossref"),
        ("my_job-2", "my_job-2"),
        ("june 1", "june-1"),
        ("<locals>.é", "locals"),
        ("../../etc", "etc"),
        ("--", "run"),
        ("", "run"),
        ("x" * 31 + " y", "x" * 31),
    ],
)
def test_word_keeps_what_may_stand_in_a_name(text: str, word: str) -> None:
    assert spell_word(text) == word


def test_names_of_decisions_sort_by_epoch() -> None:
    names = [name_stop(epoch) for epoch in (0, 2, 10, 100)]
    assert names == sorted(names)
    assert name_roster("match", 2) < name_roster("match", 10)


def test_a_key_takes_120_bytes_of_spans() -> None:
    """A folder's names end at 255 bytes; spans with more holes have to wait for the next outcome."""
    assert fits_in_key(SpanSet.of([(2 * n, 2 * n + 1) for n in range(20)]))
    assert not fits_in_key(SpanSet.of([(2 * n, 2 * n + 1) for n in range(40)]))
