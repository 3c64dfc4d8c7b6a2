# SPDX-License-Identifier: Apache-2.0
"""Everything that comes in pages: buckets, objects (both versions), parts, uploads.

One idea serves all: names in the order of their UTF-8 bytes, rolled up at the delimiter, cut at the
page's size. The reader goes next to ``state.py``.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar
from urllib.parse import quote_plus
from collections.abc import Iterable, Iterator

from tests.fake_s3 import checksums
from tests.fake_s3.store import Store, Upload, StoredPart, StoredObject, iso_date
from tests.fake_s3.routing import Call
from tests.fake_s3.messages import S3Error, Children, Response
from tests.fake_s3.multipart import find_upload

_Item = TypeVar("_Item")
_Rows = list[tuple[str, "str | int | Children"]]
_OWNER: Children = [("ID", "fake-owner"), ("DisplayName", "fake")]


def list_buckets(store: Store, call: Call) -> Response:
    rows = [
        ("Bucket", [("Name", bucket.name), ("CreationDate", iso_date(bucket.created))])
        for bucket in sorted(store.buckets.values(), key=lambda bucket: bucket.name)
    ]
    return store.xml("ListAllMyBucketsResult", [("Owner", _OWNER), ("Buckets", rows)])


def _page_size(store: Store, call: Call, name: str) -> int:
    text = call.query.get(name, "") or str(store.limits.max_page)
    if not (text.isascii() and text.isdigit()):
        raise S3Error("InvalidArgument", f"Provided {name} not an integer or within range")
    return min(int(text), store.limits.max_page)


def _written(call: Call, name: str) -> str:
    """A name as the answer holds it: ``encoding-type=url`` writes a blank as ``+``, as AWS does."""
    asked = call.query.get("encoding-type")
    if asked not in (None, "", "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
    return quote_plus(name, safe="/*~") if asked else name


def _rolled(
    named: Iterable[tuple[str, _Item]], prefix: str, delimiter: str, after: str
) -> Iterator[tuple[str, _Item | None]]:
    """
    Items under the prefix, in order; those that share a group up to the delimiter come once, as
    (group, None). The group ``after`` was on the page before.
    """
    previous = None
    for name, item in named:
        if not name.startswith(prefix):
            continue
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            yield name, item
            continue
        group = name[: end + len(delimiter)]
        if group not in (previous, after):
            previous = group
            yield group, None


def _object_row(store: Store, call: Call, stored: StoredObject, with_owner: bool) -> Children:
    row: _Rows = [
        ("Key", _written(call, stored.key)),
        ("LastModified", iso_date(stored.last_modified)),
        ("ETag", store.quoted(stored.etag)),
        ("Size", stored.size),
        ("StorageClass", stored.attributes.storage_class),
    ]
    if stored.checksum_algorithm is not None:
        row.append(("ChecksumAlgorithm", stored.checksum_algorithm))
        row.append(("ChecksumType", stored.checksum_type or ""))
    if with_owner:
        row.append(("Owner", _OWNER))
    return row


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from error


def list_objects(store: Store, call: Call) -> Response:
    """Versions 1 and 2: they differ in how the next page is named."""
    bucket = store.bucket(call)
    second = call.operation == "ListObjectsV2" and store.quirks.lists_v2
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    size = _page_size(store, call, "max-keys")
    if second:
        token = call.query.get("continuation-token")
        start_after = call.query.get("start-after", "")
        after = start_after if token is None else _name_of_token(token)
    else:
        after = call.query.get("marker", "")
    named = [(key, bucket.objects[key]) for key in sorted(bucket.objects) if key > after]
    entries = list(_rolled(named, prefix, delimiter, after))
    page, truncated = entries[:size], len(entries) > size > 0
    children: _Rows = [("Name", call.bucket), ("Prefix", _written(call, prefix))]
    if second:
        children.append(("KeyCount", len(page)))
        if token is not None:
            children.append(("ContinuationToken", token))
        if start_after:
            children.append(("StartAfter", _written(call, start_after)))
        if truncated:
            children.append(("NextContinuationToken", _token(page[-1][0])))
    else:
        children.append(("Marker", _written(call, after)))
        if truncated and delimiter:
            # Without a delimiter AWS leaves it out: the last key is the marker.
            children.append(("NextMarker", _written(call, page[-1][0])))
    children += _page_rows(call, delimiter, "MaxKeys", size, truncated)
    with_owner = not second or call.query.get("fetch-owner") == "true"
    for name, stored in page:
        if stored is None:
            children.append(("CommonPrefixes", [("Prefix", _written(call, name))]))
        else:
            children.append(("Contents", _object_row(store, call, stored, with_owner)))
    return store.xml("ListBucketResult", children)


def _page_rows(call: Call, delimiter: str, maximum: str, size: int, truncated: bool) -> _Rows:
    rows: _Rows = [(maximum, size), ("IsTruncated", "true" if truncated else "false")]
    if delimiter:
        rows.append(("Delimiter", _written(call, delimiter)))
    if call.query.get("encoding-type"):
        rows.append(("EncodingType", "url"))
    return rows


def _part_row(store: Store, part: StoredPart) -> Children:
    row: _Rows = [
        ("PartNumber", part.part_number),
        ("LastModified", iso_date(part.last_modified)),
        ("ETag", store.quoted(part.etag)),
        ("Size", part.size),
    ]
    row += [(checksums.element_name(name), value) for name, value in part.checksums.items()]
    return row


def list_parts(store: Store, call: Call) -> Response:
    store.bucket(call)
    try:
        upload = find_upload(store, call)
    except S3Error as error:
        raise S3Error(store.quirks.list_parts_unknown) from error
    size = _page_size(store, call, "max-parts")
    marker = call.query.get("part-number-marker", "") or "0"
    if not (marker.isascii() and marker.isdigit()):
        raise S3Error("InvalidArgument", "Provided part-number-marker not an integer")
    numbers = sorted(upload.parts)
    if store.quirks.list_parts_paginates:
        numbers = [number for number in numbers if number > int(marker)]
        page = numbers[:size]
    else:
        page = numbers
    truncated = len(numbers) > len(page) > 0
    children: _Rows = [
        ("Bucket", call.bucket),
        ("Key", _written(call, call.key)),
        ("UploadId", upload.upload_id),
        ("Initiator", _OWNER),
        ("Owner", _OWNER),
        ("StorageClass", upload.attributes.storage_class),
        ("PartNumberMarker", int(marker)),
        ("NextPartNumberMarker", page[-1] if page else 0),
        *_page_rows(call, "", "MaxParts", size, truncated),
    ]
    if upload.checksum_algorithm is not None:
        children.append(("ChecksumAlgorithm", upload.checksum_algorithm))
        children.append(("ChecksumType", upload.checksum_type or ""))
    children += [("Part", _part_row(store, upload.parts[number])) for number in page]
    return store.xml("ListPartsResult", children)


def _upload_row(call: Call, upload: Upload) -> Children:
    row: _Rows = [
        ("Key", _written(call, upload.key)),
        ("UploadId", upload.upload_id),
        ("Initiator", _OWNER),
        ("Owner", _OWNER),
        ("StorageClass", upload.attributes.storage_class),
        ("Initiated", iso_date(upload.initiated)),
    ]
    if upload.checksum_algorithm is not None:
        row.append(("ChecksumAlgorithm", upload.checksum_algorithm))
        row.append(("ChecksumType", upload.checksum_type or ""))
    return row


def list_uploads(store: Store, call: Call) -> Response:
    store.bucket(call)
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    key_marker = call.query.get("key-marker", "")
    # An upload-id-marker without a key-marker is ignored (ListMultipartUploads, read 2026-09).
    id_marker = call.query.get("upload-id-marker", "") if key_marker else ""
    size = _page_size(store, call, "max-uploads")
    mine = [upload for upload in store.uploads.values() if upload.bucket == call.bucket]
    named = [
        (upload.key, upload)
        for upload in sorted(mine, key=lambda upload: (upload.key, upload.upload_id))
        if upload.key > key_marker
        or (upload.key == key_marker and id_marker and upload.upload_id > id_marker)
    ]
    entries = list(_rolled(named, prefix, delimiter, key_marker))
    page, truncated = entries[:size], len(entries) > size > 0
    children: _Rows = [
        ("Bucket", call.bucket),
        ("KeyMarker", _written(call, key_marker)),
        ("UploadIdMarker", id_marker),
        ("Prefix", _written(call, prefix)),
    ]
    if truncated:
        name, upload = page[-1]
        shown = store.quirks.list_uploads_markers
        next_id = upload.upload_id if upload is not None and shown else ""
        children.append(("NextKeyMarker", _written(call, name) if shown else ""))
        children.append(("NextUploadIdMarker", next_id))
    children += _page_rows(call, delimiter, "MaxUploads", size, truncated)
    for name, entry in page:
        if entry is None:
            children.append(("CommonPrefixes", [("Prefix", _written(call, name))]))
        else:
            children.append(("Upload", _upload_row(call, entry)))
    return store.xml("ListMultipartUploadsResult", children)
