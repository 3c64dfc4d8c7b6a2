# SPDX-License-Identifier: Apache-2.0
"""What a service accepts: sizes and counts, each with the page and the day it was read.

Only values live here; no behaviour of a service may be a branch elsewhere when it can be a field of
:class:`Limits`. The rule that cuts a source within these limits is in :mod:`.partsize`.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

#: Checksums S3 takes in ``x-amz-checksum-*``, in the spelling of ``x-amz-checksum-algorithm``.
S3_CHECKSUMS = frozenset({"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one service accepts; all sizes in bytes.

    The defaults are Amazon S3's: "Amazon S3 multipart upload limits", Amazon S3 User Guide, read
    2026-11 (parts of 5 MiB to 5 GiB, 10,000 parts, objects of 48.8 TiB, one PUT of 5 GiB, keys of
    1,024 bytes of UTF-8).

    :param min_part_size: smallest part but for the last.
    :param max_part_size: largest part.
    :param max_parts: how many parts one upload may have; part numbers run from 1 to this.
    :param max_object_size: largest object, however it is uploaded.
    :param uniform_parts: every part but the last must have one size (Cloudflare R2).
    :param max_single_put: largest body of a single ``PUT``.
    :param max_key_bytes: longest key in bytes of UTF-8.
    :param lists_v2: it knows ListObjectsV2; False asks for the first version's pages.
    :param checksums: the ``x-amz-checksum-*`` algorithms that the service verifies.
    :param source: the page these were read on, and the day.
    """

    min_part_size: int = 5 * MIB
    max_part_size: int = 5 * GIB
    max_parts: int = 10_000
    max_object_size: int = 10_000 * 5 * GIB
    uniform_parts: bool = False
    max_single_put: int = 5 * GIB
    max_key_bytes: int = 1024
    lists_v2: bool = True
    checksums: frozenset[str] = S3_CHECKSUMS
    source: str = "Amazon S3 User Guide, multipart upload limits (read 2026-11)"

    def __post_init__(self) -> None:
        if not 1 <= self.min_part_size <= self.max_part_size:
            raise ValueError(
                f"min_part_size ({self.min_part_size} bytes) must be at least 1 and at most "
                f"max_part_size ({self.max_part_size} bytes)"
            )
        if self.max_parts < 1 or self.max_object_size < 0 or self.max_single_put < 1:
            raise ValueError("max_parts and max_single_put must be positive, max_object_size >= 0")


#: Amazon S3, and every service that keeps its limits.
S3_LIMITS = Limits()

#: Cloudflare R2: "all parts except the last must be the same size"; objects up to 4.995 TiB.
#: developers.cloudflare.com/r2, "Upload objects" and "Limits" (read 2026-11).
R2_LIMITS = Limits(
    max_object_size=5 * TIB - 5 * GIB,
    uniform_parts=True,
    source="Cloudflare R2 docs, limits and multipart upload (read 2026-11)",
)

#: Scaleway: at most 1,000 parts (scaleway.com/docs, "Object Storage limits", read 2026-11).
SCALEWAY_LIMITS = Limits(
    max_parts=1_000,
    max_object_size=1_000 * 5 * GIB,
    source="Scaleway docs, Object Storage limits (read 2026-11)",
)
