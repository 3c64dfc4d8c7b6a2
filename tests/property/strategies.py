# SPDX-License-Identifier: Apache-2.0
"""Generated input for the laws: limits, chunkings, keys, headers. Nothing is asserted here."""

from __future__ import annotations

import array
from typing import Any

from hypothesis import strategies as st

from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.session import UploadedPart

#: Sizes around which the splitter changes its mind: nothing, lines, a small chunk, a block.
TURNING_POINTS = [0, 1, 2, 5, 48, 16_383, 16_384, 16_385, 65_536, 131_071, 131_072, 131_073]


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    """Any service's limits, small enough that every part can be looked at."""
    least = draw(st.integers(1, 50))
    most = draw(st.integers(least, 5000))
    parts = draw(st.integers(1, 400))
    return Limits(
        min_part_size=least,
        max_part_size=most,
        max_parts=parts,
        max_object_size=draw(st.integers(0, most * parts)),
        uniform_parts=draw(st.booleans()),
    )


def _as_kind(data: bytes, kind: str) -> Any:
    if kind == "bytearray":
        return bytearray(data)
    if kind == "memoryview":
        return memoryview(data)
    if kind == "mutable view":
        return memoryview(bytearray(data))
    if kind == "words" and len(data) % 2 == 0:
        return array.array("H", data)
    return data


@st.composite
def chunkings(draw: st.DrawFn) -> tuple[bytes, list[Any]]:
    """Bytes, and chunks of any kind and size that make them up; empty ones among them."""
    small = st.integers(0, 60)
    sizes = draw(st.lists(st.one_of(small, st.sampled_from(TURNING_POINTS)), max_size=12))
    seed = draw(st.integers(0, 250))
    kinds = st.sampled_from(["bytes", "bytes", "bytearray", "memoryview", "mutable view", "words"])
    chunks: list[Any] = []
    data = b""
    for size in sizes:
        piece = bytes((seed + len(data) + i) % 251 for i in range(min(size, 251)))
        piece = (piece * (size // 251 + 1))[:size] if size else b""
        data += piece
        chunks.append(_as_kind(piece, draw(kinds)))
    return data, chunks


part_sizes = st.one_of(st.integers(1, 200), st.sampled_from([1000, 16_384, 131_072, 200_000]))

#: Keys that XML can carry, up to 1,024 bytes of UTF-8.
keys = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=250,
)

#: Any text at all that a caller may put into metadata, line ends and control characters left out.
metadata = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=120)

#: ETags and upload ids as services make them: opaque, printable.
etags = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"'),
    min_size=1,
    max_size=60,
)
upload_ids = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=200)


@st.composite
def uploaded_parts(draw: st.DrawFn) -> list[UploadedPart]:
    """Parts 1 to n with any ETag."""
    tags = draw(st.lists(etags, min_size=1, max_size=30))
    return [
        UploadedPart(part_number=number, size=draw(st.integers(0, 2**40)), etag=tag)
        for number, tag in enumerate(tags, 1)
    ]
