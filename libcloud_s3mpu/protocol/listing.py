# SPDX-License-Identifier: Apache-2.0
"""The listing of multipart uploads under way, as a pair: a request value, and the reader of a page.

Neighbour of :mod:`.wire`, which has the verbs of one upload. Walking the pages is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus

from . import xml
from .messages import MAX_XML_BYTES, S3Request, S3Response, malformed, parse_body, raise_for_status

#: Uploads asked for in one page: S3's own maximum.
PAGE = 1000
#: The most that one upload takes in an answer, in bytes: a key of 1,024, each of them escaped by
#: six, besides ids and names.
ENTRY_BYTES = 8 * 1024
ENCODED = ("encoding-type", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpload:
    """An upload that was neither completed nor aborted; ``initiated`` as the service writes it."""

    key: str
    upload_id: str
    initiated: str | None
    initiator: str | None
    owner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPage:
    """One page; ``next_marker`` is (key, upload id), None on the last."""

    uploads: tuple[PendingUpload, ...]
    next_marker: tuple[str, str] | None


def list_uploads_request(
    bucket: str,
    *,
    prefix: str | None = None,
    delimiter: str | None = None,
    marker: tuple[str, str] | None = None,
    is_encoded: bool = False,
    most: int = PAGE,
) -> S3Request:
    """Make the ``GET ?uploads`` of the page after ``marker``.

    :param most: uploads in one page.
    :param is_encoded: ask for percent-encoded keys, for a page that XML cannot carry otherwise
        (another client used a control character). Not always: Ceph 16 encodes without saying so in
        its answer, and others ignore it, so only a page that was unreadable plainly tells.
    """
    query = [("uploads", ""), ("max-uploads", str(most))]
    if is_encoded:
        query.append(ENCODED)
    if prefix:
        query.append(("prefix", prefix))
    if delimiter:
        query.append(("delimiter", delimiter))
    if marker is not None:
        query += [("key-marker", marker[0]), ("upload-id-marker", marker[1])]
    return S3Request(
        operation="ListMultipartUploads",
        method="GET",
        bucket=bucket,
        query=tuple(query),
        answer_limit=min(MAX_XML_BYTES, most * ENTRY_BYTES),
    )


def list_uploads_result(request: S3Request, response: S3Response) -> UploadPage:
    """Read one page; owner and initiator are missing on some services."""
    raise_for_status(request, response, 200)
    root = parse_body(request, response, root="ListMultipartUploadsResult")
    # Services encode a plus as %2B, and a space as %20 or (MinIO, Java) as a plus.
    decoded = unquote_plus if ENCODED in request.query else str
    uploads = []
    for element in xml.children(root, "Upload"):
        key, upload_id = xml.text_of(element, "Key"), xml.text_of(element, "UploadId")
        if not key or not upload_id:
            raise malformed(request, response, "an upload in it lacks its Key or UploadId")
        uploads.append(
            PendingUpload(
                key=decoded(key),
                upload_id=upload_id,
                initiated=xml.text_of(element, "Initiated"),
                initiator=_name_of(element, "Initiator"),
                owner=_name_of(element, "Owner"),
            )
        )
    truncated = (xml.text_of(root, "IsTruncated") or "").strip().lower() == "true"
    marker = (
        decoded(xml.text_of(root, "NextKeyMarker") or ""),
        xml.text_of(root, "NextUploadIdMarker") or "",
    )
    # Swift says "truncated" with empty markers for ever: a page that leads nowhere is the last.
    return UploadPage(
        uploads=tuple(uploads), next_marker=marker if truncated and marker[0] else None
    )


def _name_of(element: xml.Element, role: str) -> str | None:
    for child in xml.children(element, role):
        return xml.text_of(child, "DisplayName") or xml.text_of(child, "ID")
    return None
