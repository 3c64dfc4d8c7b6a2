# SPDX-License-Identifier: Apache-2.0
"""What a service accepts: sizes, counts and verbs, each with the page and the day it was read.

Only values live here; no behaviour of a service may be a branch elsewhere when it can be a field of
:class:`Limits`. The rule that cuts a source within these limits is in :mod:`.partsize`; which
driver has which limits is in :mod:`libcloud_s3mpu.services`.
"""

from __future__ import annotations

from dataclasses import replace, dataclass
from collections.abc import Mapping

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

#: Checksums S3 takes in ``x-amz-checksum-*``, in the spelling of ``x-amz-checksum-algorithm``.
S3_CHECKSUMS = frozenset({"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"})
#: Conditions on a write that S3 takes, on ``PutObject`` and on complete alike.
S3_CONDITIONS = frozenset({"if-match", "if-none-match"})
_NONE: frozenset[str] = frozenset()

#: What a service does that S3 does not, and what becomes of it. Nobody asks for these by name in
#: the code: it bears each of them on every service. They are for people (``s3mpu doctor``, docs).
QUIRKS: Mapping[str, str] = {
    "complete-is-repeatable": "a second complete of the same upload is 200; nothing depends on it",
    "decodes-copy-source-twice": "a copy source named with % or ? is misread; it is streamed",
    "empty-complete-etag": "complete names no ETag; the one that the parts make is given instead",
    "error-in-200": "a complete may fail behind a 200; its body is read before it is believed",
    "lists-one-key": "only the uploads of one exact name are listed; a lifecycle rule cleans up",
    "no-namespace": "XML has no namespace; elements are matched by their local names",
    "pages-lead-nowhere": "a page says that another follows and names none; it is the last",
    "unknown-upload-is-500": "complete of an unknown upload is 500; the object is asked for",
    "unknown-upload-is-no-such-key": "an unknown upload is NoSuchKey; read as NoSuchUpload",
}


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
    :param checksums: the ``x-amz-checksum-*`` algorithms that the service verifies. Others are
        never sent: some services ignore them, others (Backblaze) refuse the request.
    :param conditions: the headers that a write may depend on, honoured by ``PutObject`` *and* by
        complete, since a source's length may decide which it is.
    :param checks_object_size: complete may say how many bytes the parts make.
    :param has_md5_etags: an object's ETag is the MD5 of its bytes, or of its parts' MD5s; where it
        is not, no ETag is compared with what was sent.
    :param has_standard_class: objects have the storage class STANDARD, which upstream's driver
        names where the caller named none.
    :param takes_content_md5: a body may carry Content-MD5.
    :param has_list_v2: ListObjectsV2 is there.
    :param lists_any_prefix: a listing's prefix may end anywhere; else behind a slash only.
    :param has_part_copy: UploadPartCopy is there.
    :param max_single_copy: largest object that one CopyObject copies.
    :param quirks: names out of :data:`QUIRKS`.
    :param source: the page these were read on, and the day.
    """

    min_part_size: int = 5 * MIB
    max_part_size: int = 5 * GIB
    max_parts: int = 10_000
    max_object_size: int = 10_000 * 5 * GIB
    uniform_parts: bool = False
    max_single_put: int = 5 * GIB
    max_key_bytes: int = 1024
    checksums: frozenset[str] = S3_CHECKSUMS
    conditions: frozenset[str] = S3_CONDITIONS
    checks_object_size: bool = True
    has_md5_etags: bool = True
    has_standard_class: bool = True
    takes_content_md5: bool = True
    has_list_v2: bool = True
    lists_any_prefix: bool = True
    has_part_copy: bool = True
    max_single_copy: int = 5 * GIB
    quirks: frozenset[str] = frozenset({"error-in-200"})
    source: str = "Amazon S3 User Guide, multipart upload limits (read 2026-11)"

    def __post_init__(self) -> None:
        if not 1 <= self.min_part_size <= self.max_part_size:
            raise ValueError(
                f"min_part_size ({self.min_part_size} bytes) must be at least 1 and at most "
                f"max_part_size ({self.max_part_size} bytes)"
            )
        if self.max_parts < 1 or self.max_object_size < 0 or self.max_single_put < 1:
            raise ValueError("max_parts and max_single_put must be positive, max_object_size >= 0")
        for name, known in (
            ("checksums", S3_CHECKSUMS),
            ("conditions", S3_CONDITIONS),
            ("quirks", QUIRKS.keys()),
        ):
            if unknown := getattr(self, name) - known:
                raise ValueError(f"unknown {name}: {', '.join(sorted(unknown))}")


#: Amazon S3, and every service that keeps its limits.
S3_LIMITS = Limits()

#: S3 Express One Zone: "random alphanumeric strings unique to the object and not MD5 checksums",
#: MD5 among what is not supported, EXPRESS_ONEZONE the one class of a zone ("Differences for
#: directory buckets", Amazon S3 User Guide, and PutObject, API Reference; both read 2026-11);
#: prefixes "must end in a delimiter".
EXPRESS_LIMITS = replace(
    S3_LIMITS,
    has_md5_etags=False,
    has_standard_class=False,
    takes_content_md5=False,
    lists_any_prefix=False,
    source="Amazon S3 User Guide, differences for directory buckets (read 2026-11)",
)

#: Services of which nobody has said more than that they are like S3: what all of them have.
#: A checksum that is ignored would leave bodies unchecked, so none is sent (bodies are signed).
COMPATIBLE_LIMITS = Limits(
    max_object_size=5 * TIB,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    quirks=_NONE,
    source="S3's limits of 2010-2025, which the compatible services copied (read 2026-11)",
)

#: Cloudflare R2: "all parts except the last must be the same size"; objects up to 4.995 TiB.
#: developers.cloudflare.com/r2, "Upload objects", "Limits" and "S3 API compatibility" (all five
#: checksums, CRC64NVME for whole objects; nothing on conditions of a complete; read 2026-11).
R2_LIMITS = Limits(
    max_object_size=5 * TIB - 5 * GIB,
    uniform_parts=True,
    conditions=_NONE,
    checks_object_size=False,
    has_md5_etags=False,
    quirks=_NONE,
    source="Cloudflare R2 docs, limits and multipart upload (read 2026-11)",
)

#: Scaleway: at most 1,000 parts (scaleway.com/docs, "Object Storage limits", read 2026-11).
SCALEWAY_LIMITS = Limits(
    max_parts=1_000,
    max_object_size=1_000 * 5 * GIB,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    quirks=_NONE,
    source="Scaleway docs, Object Storage limits (read 2026-11)",
)

#: MinIO: one PUT may have 5 TiB, but no more than a part's size is sent by one here. Conditions by
#: its source (``checkPreconditionsPUT``, called by PutObject and CompleteMultipartUpload).
#: CRC64NVME came in 2025 only, so it is not assumed.
MINIO_LIMITS = Limits(
    max_object_size=10_000 * 5 * GIB,
    checksums=frozenset({"CRC32", "CRC32C", "SHA1", "SHA256"}),
    checks_object_size=False,
    quirks=frozenset({"lists-one-key"}),
    source="MinIO docs, Thresholds and limits (read 2026-11)",
)

#: Ceph RGW, seen on the wire of 16.2.15 (2026-11): checksums are ignored, If-None-Match is
#: honoured on PUT and ignored on complete.
CEPH_LIMITS = Limits(
    max_object_size=5 * TIB,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    quirks=frozenset(
        {
            "complete-is-repeatable",
            "decodes-copy-source-twice",
            "empty-complete-etag",
            "unknown-upload-is-500",
            "unknown-upload-is-no-such-key",
        }
    ),
    source="Ceph RGW 16.2.15 on the wire (seen 2026-11; its largest object is S3's of then)",
)

#: OpenStack Swift's s3api, seen on the wire of 2.38.3 (2026-11): If-Match is 501. The other CRCs
#: are there only where its machine has the libraries.
SWIFT_LIMITS = Limits(
    max_object_size=5 * TIB,
    checksums=frozenset({"CRC32", "SHA1", "SHA256"}),
    conditions=frozenset({"if-none-match"}),
    checks_object_size=False,
    quirks=frozenset({"complete-is-repeatable", "pages-lead-nowhere"}),
    source="OpenStack Swift 2.38.3 s3api on the wire (seen 2026-11)",
)

#: Google Cloud Storage, XML API with HMAC keys: "Preconditions are not supported in the requests",
#: "MD5 hashes don't exist for objects uploaded using this method" (cloud.google.com/storage/docs/
#: multipart-uploads, read 2026-11). No UploadPartCopy (issuetracker.google.com/323465186).
GCS_LIMITS = Limits(
    max_object_size=5 * TIB,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    has_part_copy=False,
    has_md5_etags=False,
    quirks=_NONE,
    source="Google Cloud Storage docs, XML API multipart uploads (read 2026-11)",
)

#: Backblaze B2: refuses every header that it does not know, the x-amz-checksum-* among them
#: ("Unsupported header ... received for this API call"; backblaze.com/docs, S3-compatible API).
#: "The maximum part size is 5 GB, and the minimum part size is 5 MB except for the last part"
#: (Create Large Files), part numbers 1 to 10,000 (S3 Upload Part); 10 TB in all. Decimal.
B2_LIMITS = Limits(
    min_part_size=5_000_000,
    max_object_size=10_000 * 1_000_000_000,
    max_part_size=5_000_000_000,
    max_single_put=5_000_000_000,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    quirks=_NONE,
    source="Backblaze docs, S3 Upload Part and Create Large Files (read 2026-11)",
)

#: Alibaba OSS: parts of 100 KB to 5 GB, 10,000 of them, 48.8 TB; ETags of its own making.
OSS_LIMITS = Limits(
    min_part_size=100 * KIB,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    has_md5_etags=False,
    quirks=_NONE,
    source="Alibaba Cloud docs, OSS UploadPart and resumable upload (read 2026-11)",
)

#: OVHcloud: parts of 5 MiB to 5 GiB, 10,000 of them, 48 TiB.
OVH_LIMITS = Limits(
    max_object_size=48 * TIB,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    quirks=_NONE,
    source="OVHcloud docs, Object Storage technical limitations (read 2026-11)",
)

#: Oracle: "The maximum size for an uploaded object is 10 TiB. Object parts must be no larger than
#: 50 GiB", numbers 1 to 10,000 (Multipart Uploads); "or as small as 10 MiB" but for the last as
#: others quote that page; its page on the S3 API lists ListObjects and no second version. One PUT
#: is S3's here.
ORACLE_LIMITS = Limits(
    min_part_size=10 * MIB,
    max_part_size=50 * GIB,
    max_object_size=10 * TIB,
    checksums=_NONE,
    conditions=_NONE,
    checks_object_size=False,
    has_list_v2=False,
    quirks=_NONE,
    source="Oracle docs, S3 Compatibility API support and multipart uploads (read 2026-11)",
)
