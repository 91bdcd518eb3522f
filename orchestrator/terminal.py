"""Text from elsewhere made fit for a terminal: what would move the cursor, recolour or reorder is spelt out.

A dataset's ids and file names, a job's messages and a stack's names are whatever somebody wrote. Whoever
prints passes them through `escape`. Owns this one function. Imports the standard library. When it is wrong, a
record can rewrite what its reader sees.
"""

from __future__ import annotations

import re

# C0 but newline and tab, DEL, C1; line and paragraph separators; marks, embeddings, overrides and isolates
# that reorder text (Unicode annex 9, and https://trojansource.codes); invisible format characters; halves of
# characters, which no terminal can be sent
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def escape(text: str) -> str:
    r"""The text with what is not to be shown as `\x1b` or `\u202e`; line ends and tabs stay."""
    return _UNSAFE.sub(_spell, text)


def _spell(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
