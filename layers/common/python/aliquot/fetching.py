"""A host asks its supervisor for a file that its references name, and has it on disk when it is told so.

    a job: reference.file("shard-07") -> {"reference", "name"} over the loopback, a line
      supervisor's thread: in its cache, or fetched -> {"error": "", "final": ...} -> the host maps the file

Hosts have no way to S3 of their own, and one file is fetched once for all of them. One question at a time.
Whoever asks over the loopback can name nothing but files of the references of the run that is open.

Owns both ends. Imports `errors` alone. When it is wrong, a host waits for its record's deadline.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aliquot.errors import BadReference, OpenFailed, StoreError

_LOCAL = "127.0.0.1"
_LONGEST_LINE = 1 << 16
Fetch = Callable[[str, str], None]  # a reference's digest, and a file's name


class FileServer:
    """Answers hosts in a thread of its own, until it is closed.

    Args:
        fetch: has the file on disk when it returns; raises OpenFailed where it never will be, StoreError.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._listener = socket.create_server((_LOCAL, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="aliquot-files", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more; what is being fetched is waited for."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes `accept`, where closing does not
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            with asking, suppress(OSError):  # a host that was killed meanwhile
                asking.sendall(self._answer(_read_line(asking)))

    def _answer(self, line: bytes) -> bytes:
        try:
            asked = json.loads(line)
            self._fetch(asked["reference"], asked["name"])
        except OpenFailed as err:
            said = {"error": err.reason, "final": True}
        except StoreError as err:
            said = {"error": str(err), "final": False}
        except (ValueError, LookupError, TypeError) as err:
            said = {"error": f"a question that cannot be: {type(err).__name__}", "final": True}
        else:
            said = {"error": ""}
        return json.dumps(said).encode() + b"\n"


def ask_for_file(port: int, reference: str, folder: Path, name: str) -> None:
    """Have one file of a folder on disk.

    Raises:
        BadReference: it never will be.
        ConnectionError: it may be a moment later; the engine tries the record again.
    """
    with socket.create_connection((_LOCAL, port)) as asking:
        asking.sendall(json.dumps({"reference": reference, "name": name}).encode() + b"\n")
        line = _read_line(asking)
    if not line:
        raise ConnectionError(f"{folder / name}: whoever fetches files is gone")
    said = json.loads(line)
    if said["error"] and said["final"]:
        raise BadReference(str(folder / name), said["error"])
    if said["error"]:
        raise ConnectionError(said["error"])


def _read_line(link: socket.socket) -> bytes:
    with link.makefile("rb") as lines:
        return lines.readline(_LONGEST_LINE)
