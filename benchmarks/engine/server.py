"""A local HTTP server that answers each request after a wait; in a process of its own.

    python -m benchmarks.engine.server SECONDS        # prints its port, ends with its standard input

Imports the standard library.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone"


@contextmanager
def serve_waiting(wait_s: float) -> Iterator[str]:
    """The address of a server that runs meanwhile."""
    command = [sys.executable, "-m", "benchmarks.engine.server", str(wait_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.terminate()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_s: float) -> None:
    """Read one request, wait, answer, close."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(wait_s)
        writer.write(_ANSWER)
        await writer.drain()
    finally:
        writer.close()


async def main(wait_s: float) -> None:
    """Serve until standard input ends."""
    server = await asyncio.start_server(lambda r, w: answer(r, w, wait_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
