# SPDX-License-Identifier: Apache-2.0
"""The cheapest reader one can write in Python: one GET on a bare socket, into one buffer.

Option: `block` in KiB, the size of that buffer (256). The connection is that of `floor.py`.
"""

from __future__ import annotations

import os
from typing import Any
from collections.abc import Iterator

from benchmarks.client.job import KIB, BUCKET, Job


def blocks(client: Any, job: Job, key: str) -> Iterator[memoryview]:
    """Yield the body in the same buffer again and again."""
    sock = client.main
    sock.sendall(f"GET /{BUCKET}/{key} HTTP/1.1\r\nHost: sink\r\n\r\n".encode())
    buffer = memoryview(bytearray(int(job.number("block", 256) * KIB)))
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(4 * KIB)
    head, _, begun = head.partition(b"\r\n\r\n")
    left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) - len(begun)
    yield memoryview(begun)
    while left and (got := sock.recv_into(buffer, min(left, len(buffer)))):
        left -= got
        yield buffer[:got]


def read(client: Any, job: Job, key: str) -> Iterator[memoryview]:
    return blocks(client, job, key)


def download(client: Any, job: Job, key: str, path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for block in blocks(client, job, key):
        while block:
            block = block[os.write(file, block) :]
    os.close(file)
