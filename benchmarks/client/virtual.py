# SPDX-License-Identifier: Apache-2.0
"""What is read: objects that nobody stored and keys that nobody made, the same in every process.

Must not live here: who serves or reads them. `sink/virtual.c` reckons the same in C. An object
named `virtual/N` has N bytes, the first `PERIOD` bytes of the base buffer over and over.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.client.job import MIB

#: A prime below 8 MiB: ranges that are swapped or come twice change the bytes of the whole.
PERIOD = 8_388_593
FOLDER = "virtual/"
WARM_UP_SIZE = 1000


def key_of(size: int) -> str:
    return f"{FOLDER}{size}"


def size_of(key: str) -> int | None:
    """Give the size of a virtual object; None where the key names none."""
    text = key.removeprefix(FOLDER)
    return int(text) if text != key and text.isdecimal() else None


def name_of(number: int) -> str:
    """Give a key of the listing; its space makes percent-encoded listings differ from plain."""
    return f"folder/sub folder/object-{number:07d}.dat"


def pieces(start: int, end: int, base: bytes, most: int = MIB) -> Iterator[memoryview]:
    """Yield the bytes from `start` to `end` of any virtual object, at most `most` at once."""
    view = memoryview(base)[:PERIOD]
    while start < end:
        at = start % PERIOD
        piece = view[at : at + min(most, end - start)]
        yield piece
        start += len(piece)
