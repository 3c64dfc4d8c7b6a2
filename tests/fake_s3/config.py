# SPDX-License-Identifier: Apache-2.0
"""What the fake accepts and how it differs from AWS: values, chosen by a test, never changed.

Here live limits and quirks only; no behaviour. The reader goes next to ``state.py``.
"""

from __future__ import annotations

from typing import Final, Literal
from dataclasses import dataclass

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB

ACCESS_KEY: Final = "AKIDFAKE"
SECRET_KEY: Final = "fake/secret+key"
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeLimits:
    """
    Sizes in bytes. The defaults are AWS's, read 2026-09 in "Amazon S3 multipart upload limits",
    except the smallest part: 5 bytes instead of 5 MiB, so that tests stay small.

    ``uniform_parts`` is R2's rule: all parts but the last are of one size, the last no larger.
    """

    min_part_size: int = 5
    max_part_size: int = 5 * GIB
    max_parts: int = 10_000
    max_object_size: int = 10_000 * 5 * GIB
    max_single_put: int = 5 * GIB
    max_key_bytes: int = 1024
    max_metadata_bytes: int = 2048
    max_page: int = 1000
    uniform_parts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """
    Ways in which real services differ; the defaults are AWS. The others were seen on the wire,
    2026-09, on the server named.
    """

    #: False: answers carry no XML namespace.
    namespace: bool = True
    #: False: ``<ETag></ETag>`` at complete (Ceph 16).
    complete_etag: bool = True
    #: True: completing twice is 200 twice (Ceph, Swift). False: the second is NoSuchUpload.
    complete_repeats: bool = False
    #: False: If-None-Match and If-Match are ignored at complete (Ceph 16).
    conditional_complete: bool = True
    #: The code that answers the complete of an unknown upload (Ceph 16: 500 InternalError).
    complete_unknown: Literal["NoSuchUpload", "InternalError"] = "NoSuchUpload"
    #: False: max-parts and part-number-marker are ignored, all parts come at once.
    list_parts_paginates: bool = True
    #: The code that answers ListParts of an unknown upload (Ceph 16: NoSuchKey).
    list_parts_unknown: Literal["NoSuchUpload", "NoSuchKey"] = "NoSuchUpload"
    #: False: a truncated ListMultipartUploads has empty markers (Swift with max-uploads=1).
    list_uploads_markers: bool = True
    #: False: ETags come without quotes, in headers and in XML (Ceph: UploadPartCopy).
    quotes_etags: bool = True
    #: False: x-amz-checksum-* is neither verified nor kept (Ceph 16).
    verifies_checksums: bool = True
    #: True: an object sent without a checksum gets a CRC64NVME (AWS since 2024-12).
    adds_checksum: bool = False
    #: True: SSE-C keys are taken over plain http too (Ceph with rgw_crypt_require_ssl=false).
    customer_keys_over_http: bool = False
    #: False: Range is ignored, the whole object is the answer (gateways, some caches).
    knows_ranges: bool = True
    #: True: no ETag is an MD5 of anything (S3 Express, R2, OSS).
    random_etags: bool = False
    #: False: list-type=2 is ignored, pages are those of the first version (old gateways).
    lists_v2: bool = True
