"""A run's references into the stack's bucket: each once, under the digest of its content.

A file is read once more while it is sent, and its digest taken then: what has changed since the digest was
told is never stored under it, because the upload ends before its last part. Owns that check. Imports the
core's job and errors. When it is wrong, workers compute with another file than the one that was named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from aliquot.carried import REFERENCES
from aliquot.errors import BadReference
from orchestrator.aws.run import CloudRun
from orchestrator.local.folder import explained as explained_disk
from orchestrator.stack.aws import explained


def list_references(options: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The path and the digest of each reference among a request's options."""
    for value in options.values():
        if isinstance(value, Mapping) and "sha256" in value:
            yield Path(value["path"]), value["sha256"]


def upload_reference(run: CloudRun, path: Path, sha256: str) -> None:
    """Put a file under its digest, unless it is there; of any size, in parts where it is large.

    Raises:
        BadReference: the file's content is not that of the digest any more.
        AwsRefused, StoreError: it could not be read, or sent.
    """
    if run.references.has(sha256):
        return
    from boto3.s3.transfer import TransferConfig

    with explained_disk(path), path.open("rb") as file, explained(f"uploading {path}"):
        run.link.s3.upload_fileobj(
            DigestingReader(file, path, sha256),
            run.address.bucket,
            f"{REFERENCES}{sha256}",
            ExtraArgs=run.address.encryption,
            Config=TransferConfig(max_concurrency=4),  # parts of 8 MiB: what is read ahead is in memory
        )


class DigestingReader:
    """A file whose last bytes are given only if all of it has the digest that it should have.

    It cannot be sought, so that boto3 reads it once, in order.
    """

    def __init__(self, file: BinaryIO, path: Path, sha256: str) -> None:
        self._file, self._path, self._sha256 = file, path, sha256
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises BadReference at the file's end where its content is another."""
        piece = self._file.read(size)
        self._digest.update(piece)
        if (size < 0 or len(piece) < size) and self._digest.hexdigest() != self._sha256:
            raise BadReference(str(self._path), "changed while it was read: run the same command again")
        return piece
