"""A run's references into the stack's bucket: each once, under the digest of its content.

    there already, of this size? -> nothing;  else in parts, four on their way, each tried again by itself
      -> all read, and is it still what was named? -> put, unless another submission was first

A folder is its files, each under its own digest, and their list. A digest is taken once more while a file is
sent: what has changed since it was told is never stored under it. Owns that check. Imports the core's errors.
When it is wrong, workers compute with another file than the one that was named.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from aliquot.carried import REFERENCES
from aliquot.errors import AlreadyPut, BadReference, StoreError
from aliquot.folders import list_folder
from aliquot.references import walk_references
from orchestrator.aws.run import CloudRun
from orchestrator.local.folder import explained as explained_disk
from orchestrator.stack.aws import explained

PART_BYTES = 8 << 20  # S3 takes parts from 5 MiB on
_MOST_PARTS = 10_000
_PARTS = 4  # on their way, and so many in memory
_FIRST = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})  # another was, or is about to be


def list_references(options: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The path and the digest of each reference among a request's options."""
    for _, value in walk_references(options):
        yield Path(value["path"]), value["sha256"]


def upload_any(run: CloudRun, path: Path, sha256: str, check: Callable[[], None]) -> None:
    """Put a reference, file or folder, unless it is there; of a folder each file, and its listing last.

    Raises as `upload_reference`.
    """
    if not path.is_dir():
        upload_reference(run, path, sha256, check)
        return
    if run.references.has(sha256):
        return
    with explained_disk(path):
        listing = list_folder(path)
    if listing.sha256 != sha256:
        raise BadReference(str(path), "changed while it was read: run the same command again")
    for name, member in listing.members.items():
        upload_reference(run, path / name, member.sha256, check)
    with suppress(AlreadyPut):
        run.references.put_once(sha256, listing.to_bytes())


def upload_reference(
    run: CloudRun, path: Path, sha256: str, check: Callable[[], None] = lambda: None
) -> None:
    """Put a file under its digest, unless it is there; of any size, in bounded memory.

    Args:
        check: called before each part; what it raises ends the upload.
    Raises:
        BadReference: the file's content is not that of the digest any more.
        AwsRefused, StoreError: it could not be read, or sent.
    """
    with explained_disk(path), path.open("rb") as file, explained(f"uploading {path}"):
        n_bytes = os.fstat(file.fileno()).st_size
        there_bytes = run.references.measure(sha256)
        if there_bytes == n_bytes:
            return
        part_bytes = max(PART_BYTES, -(-n_bytes // _MOST_PARTS))
        pieces = read_verified(file, path, sha256, part_bytes, check)
        if n_bytes > part_bytes:
            # of another size is of another content: it is replaced, where else the first to be there stays
            _send_parts(run, sha256, pieces, {} if there_bytes is not None else {"IfNoneMatch": "*"})
            if run.references.measure(sha256) != n_bytes:
                raise StoreError(
                    f"{REFERENCES}{sha256}",
                    "another submission was first and ended: run the same command again",
                )
        elif there_bytes is None:
            with suppress(AlreadyPut):
                run.references.put_once(sha256, b"".join(pieces))
        else:
            run.references.put(sha256, b"".join(pieces))


def read_verified(
    file: BinaryIO, path: Path, sha256: str, part_bytes: int, check: Callable[[], None] = lambda: None
) -> Iterator[bytes]:
    """A file in parts; raises BadReference at its end where all of it is not of this digest."""
    digest = hashlib.sha256()
    while piece := file.read(part_bytes):
        check()
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise BadReference(str(path), "changed while it was read: run the same command again")


def _send_parts(run: CloudRun, sha256: str, pieces: Iterator[bytes], condition: Mapping[str, str]) -> None:
    client = run.link.s3
    place = {"Bucket": run.address.bucket, "Key": f"{REFERENCES}{sha256}"}
    place["UploadId"] = client.create_multipart_upload(**place, **run.address.encryption)["UploadId"]
    try:
        parts = _put_parts(client, place, pieces)
        client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}, **condition)
    except BaseException as err:
        with suppress(client.exceptions.ClientError):  # the bucket's rule removes it after some days
            client.abort_multipart_upload(**place)
        if not (isinstance(err, client.exceptions.ClientError) and err.response["Error"]["Code"] in _FIRST):
            raise


def _put_parts(client: Any, place: Mapping[str, str], pieces: Iterator[bytes]) -> list[dict[str, Any]]:
    """What S3 said of each part, in order; a part that is refused is tried again by the client."""

    def put(number: int, piece: bytes) -> dict[str, Any]:
        said = client.upload_part(**place, PartNumber=number, Body=piece)
        return {"PartNumber": number, "ETag": said["ETag"]}

    parts: list[dict[str, Any]] = []
    with ThreadPoolExecutor(_PARTS) as pool:
        waiting: deque[Future[dict[str, Any]]] = deque()
        for number, piece in enumerate(pieces, 1):
            waiting.append(pool.submit(put, number, piece))
            if len(waiting) == _PARTS:
                parts.append(waiting.popleft().result())
        parts += [each.result() for each in waiting]
    return parts
