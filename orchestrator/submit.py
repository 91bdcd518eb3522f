"""Submission: chunks put into the ledger, then `sealed`.

A submission that was killed is taken up again by cutting the same input once more and passing over the chunks
that are there; a pipe gives other batches every time. Imports the core's `cutting` and `ledger`. When it is
wrong, a resumed run works on other records than before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aliquot.cutting import Cut, encode_chunk
from aliquot.errors import DatasetError
from aliquot.ledger import Ledger


def submit_chunks(ledger: Ledger, cuts: Iterable[Cut], *, is_repeatable: bool) -> Iterator[Cut]:
    """Put chunks that are not there yet and seal; yields each chunk once it is there.

    Args:
        is_repeatable: the input is known to be the same as before, so that chunks that are there need not
            be compared. A pipe or an iterable is not.
    Raises:
        DatasetError: the input gives other records than those submitted before.
    """
    there = {chunk.seq: chunk for chunk in ledger.list_chunks()}
    n_chunks = n_records = 0
    for cut in cuts:
        before = there.pop(cut.id.seq, None)
        if before is None and ledger.is_sealed:
            raise DatasetError("input", f"goes on after {n_records:,} records, and {_SAME}")
        if before is None:
            ledger.put_chunk(cut.id, encode_chunk(cut.chunk))
        elif before != cut.id or not (
            is_repeatable or ledger.store.get(before.key) == encode_chunk(cut.chunk)
        ):
            raise DatasetError(
                "input", f"gives other records than before from record {cut.chunk.first:,} on, and {_SAME}"
            )
        n_chunks, n_records = n_chunks + 1, n_records + cut.id.n_records
        yield cut
    if there:
        raise DatasetError(
            "input", f"ends after {n_records:,} records where more were submitted before, and {_SAME}"
        )
    ledger.seal(n_chunks, n_records)


_SAME = "the run in this folder was begun with other input: give it that again, or choose a new folder"
