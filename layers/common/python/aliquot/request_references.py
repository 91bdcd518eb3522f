"""The references that a dropped request names: found in the inbox or the bucket, and with room in workers.

    a key of the inbox -> its digest, taken once -> copied under it, unless it is there
    {"sha256": ...}, for a folder with "is_folder" -> it is there, and for a folder it is the list of one

Owns which of them are admitted. Imports `inbox` and `folders`. When it is wrong, a run computes with another
file than the one that was named, or none of its workers can open the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aliquot.aws import S3Store
from aliquot.cache import SPARED_BYTES
from aliquot.carried import REFERENCES
from aliquot.errors import DatasetError, Undecodable
from aliquot.folders import MOST_BYTES, is_digest, read_listing
from aliquot.inbox import Inbox
from aliquot.readers.objects import SCHEME, is_object
from aliquot.references import walk_references
from aliquot.request_file import RequestRefused


class RequestReferences:
    """The references of requests to one stack.

    Args:
        bucket: of the stack; there: its references, by digest.
        tmp_mib: of its workers' `/tmp`.
    """

    def __init__(self, bucket: str, there: S3Store, inbox: Inbox, tmp_mib: int) -> None:
        self._bucket, self._there, self._inbox, self._tmp_mib = bucket, there, inbox, tmp_mib

    def find(self, said: str, value: Any) -> dict[str, Any]:
        """A reference as a manifest has it, copied under its digest unless it is there.

        Args:
            said: the option as the request spells it.
            value: as the request has it.
        Raises:
            RequestRefused: it is not there, or was changed meanwhile.
            StoreError: S3 could not be asked.
        """
        if isinstance(value, Mapping):
            return self._find_there(said, value)
        if not isinstance(value, str) or not value:
            raise RequestRefused(said, 'takes a key of the inbox, or {"sha256": ...}')
        url = spell_url(value, self._inbox.bucket)
        bucket, _, key = url.removeprefix(SCHEME).partition("/")
        if bucket != self._inbox.bucket:
            raise RequestRefused(
                said, f"{value!r} is not in the inbox: drop the file there, or give its SHA-256"
            )
        try:
            found = self._inbox.find(key)
            sha256 = self._inbox.digest(found)
            if not self._there.has(sha256):
                self._inbox.copy(found, self._bucket, f"{REFERENCES}{sha256}")
        except DatasetError as err:
            raise RequestRefused(said, str(err)) from err
        return {"path": found.path, "sha256": sha256}

    def check_room(self, options: Mapping[str, Any]) -> None:
        """Raise RequestRefused where workers have no room for all references of a run at a time."""
        sizes = {name: self._measure(spell_option(name), value) for name, value in walk_references(options)}
        room_bytes = (self._tmp_mib << 20) - SPARED_BYTES
        if sum(sizes.values()) > room_bytes:
            largest = max(sizes, key=lambda name: sizes[name])
            raise RequestRefused(
                spell_option(largest),
                f"needs {sizes[largest] >> 20:,} MiB of the {sum(sizes.values()) >> 20:,} that a run of it "
                f"carries, and workers have room for {room_bytes >> 20:,} MiB in /tmp: deploy with a larger "
                "TmpMiB",
            )

    def _find_there(self, said: str, value: Mapping[str, Any]) -> dict[str, Any]:
        sha256 = value.get("sha256")
        is_known = set(value) <= {"sha256", "is_folder"} and value.get("is_folder", True) is True
        if not is_digest(sha256) or not is_known:
            raise RequestRefused(said, 'takes a key of the inbox, or {"sha256": 64 hexadecimal digits}')
        if not self._there.has(str(sha256)):
            raise RequestRefused(said, f"{REFERENCES}{sha256} is not in this stack's bucket")
        return {**value, "path": f"{SCHEME}{self._bucket}/{REFERENCES}{sha256}"}

    def _measure(self, said: str, value: Mapping[str, Any]) -> int:
        """The room that a reference needs, bytes; raises RequestRefused where a folder is none."""
        n_bytes = self._there.measure(value["sha256"]) or 0
        if not value.get("is_folder"):
            return n_bytes
        if n_bytes > MOST_BYTES:
            raise RequestRefused(said, "is no folder: too large for the list of one")
        try:
            return read_listing(value["sha256"], self._there.get(value["sha256"])).room_bytes
        except Undecodable as err:
            raise RequestRefused(said, f"is no folder: {err}") from err


def spell_url(item: str, inbox: str) -> str:
    """A key of the inbox as a URL; one that is a URL stays."""
    return item if is_object(item) else f"{SCHEME}{inbox}/{item}"


def spell_option(name: str) -> str:
    """An option as requests spell it."""
    return f"options.{name}"
