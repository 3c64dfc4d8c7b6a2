# SPDX-License-Identifier: Apache-2.0
"""The verbs of buckets and of whole objects: put, get, head, delete, copy.

Nothing of multipart uploads is here but the reading of a finished one's parts. The reader goes
next to ``multipart.py``.
"""

from __future__ import annotations

import re
import base64
from dataclasses import replace
from urllib.parse import parse_qsl

from tests.fake_s3 import checksums
from tests.fake_s3.store import (
    Store,
    Bucket,
    Attributes,
    StoredObject,
    damaged,
    etag_of,
    iso_date,
    http_date,
    attributes_of,
    body_checksum,
    check_content_md5,
    check_customer_key,
    encryption_headers,
    check_write_conditions,
)
from tests.fake_s3.routing import Call, decode
from tests.fake_s3.messages import (
    Pairs,
    S3Error,
    Children,
    Response,
    text_of,
    parse_xml,
    local_name,
)

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def create_bucket(store: Store, call: Call) -> Response:
    if not _BUCKET_NAME.fullmatch(call.bucket) or ".." in call.bucket:
        raise S3Error("InvalidBucketName", BucketName=call.bucket)
    if call.body:
        root = parse_xml(call.body, "CreateBucketConfiguration")
        wanted = [text_of(item) for item in root if local_name(item) == "LocationConstraint"]
        if wanted and wanted[0] not in ("", store.region):
            raise S3Error("IllegalLocationConstraintException")
    if call.bucket in store.buckets:
        # AWS answers 200 in us-east-1 and 409 elsewhere (CreateBucket, read 2026-09).
        raise S3Error("BucketAlreadyOwnedByYou", BucketName=call.bucket)
    store.buckets[call.bucket] = Bucket(name=call.bucket, created=store.now())
    return Response(status=200, headers=(("location", f"/{call.bucket}"),))


def head_bucket(store: Store, call: Call) -> Response:
    store.bucket(call)
    return Response(status=200, headers=(("x-amz-bucket-region", store.region),))


def delete_bucket(store: Store, call: Call) -> Response:
    if store.bucket(call).objects:
        raise S3Error("BucketNotEmpty", BucketName=call.bucket)
    del store.buckets[call.bucket]
    for upload_id in [u.upload_id for u in store.uploads.values() if u.bucket == call.bucket]:
        del store.uploads[upload_id]
    return Response(status=204)


def bucket_location(store: Store, call: Call) -> Response:
    store.bucket(call)
    # us-east-1 answers an empty element (GetBucketLocation, read 2026-09).
    region = "" if store.region == "us-east-1" else store.region
    return store.xml("LocationConstraint", region)


def put_object(store: Store, call: Call) -> Response:
    bucket = store.bucket(call)
    store.check_key(call.key)
    attributes = attributes_of(call, store)
    if len(call.body) > store.limits.max_single_put:
        maximum = store.limits.max_single_put
        raise S3Error("EntityTooLarge", ProposedSize=len(call.body), MaxSizeAllowed=maximum)
    check_content_md5(call)
    carried = body_checksum(call, store)
    check_write_conditions(call, bucket.objects.get(call.key))
    kept, answered = damaged(call, call.body)
    if carried is None and store.quirks.adds_checksum:
        carried = "CRC64NVME", ""
    stored = StoredObject(
        key=call.key,
        body=kept,
        etag=etag_of(answered, attributes),
        attributes=attributes,
        last_modified=store.now(),
        checksum_algorithm=carried[0] if carried else None,
        checksum_type="FULL_OBJECT" if carried else None,
        checksum=checksums.checksum(carried[0], answered) if carried else None,
    )
    bucket.objects[call.key] = stored
    headers = (("etag", store.quoted(stored.etag)), *_checksum_headers(stored))
    return Response(status=200, headers=(*headers, *encryption_headers(attributes)))


def _checksum_headers(stored: StoredObject) -> Pairs:
    if stored.checksum_algorithm is None or stored.checksum is None:
        return ()
    return (
        (checksums.header_name(stored.checksum_algorithm), stored.checksum),
        ("x-amz-checksum-type", stored.checksum_type or ""),
    )


def _metadata_value(value: str) -> str:
    """Non-ASCII comes back as RFC 2047 (S3 user guide, "Working with object metadata")."""
    raw = value.encode("latin-1")
    return value if raw.isascii() else f"=?UTF-8?B?{base64.b64encode(raw).decode()}?="


def _object_headers(store: Store, call: Call, stored: StoredObject, whole: bool) -> Pairs:
    attributes = stored.attributes
    headers = dict(attributes.headers)
    headers["etag"] = store.quoted(stored.etag)
    headers["last-modified"] = http_date(stored.last_modified)
    headers["accept-ranges"] = "bytes"
    for name, value in attributes.metadata.items():
        headers[f"x-amz-meta-{name}"] = _metadata_value(value)
    if attributes.storage_class != "STANDARD":
        headers["x-amz-storage-class"] = attributes.storage_class
    if attributes.tagging:
        headers["x-amz-tagging-count"] = str(attributes.tagging.count("&") + 1)
    headers.update(encryption_headers(attributes))
    if whole and (call.header("x-amz-checksum-mode") or "").upper() == "ENABLED":
        headers.update(_checksum_headers(stored))
    for name, value in call.query.items():
        if name.startswith("response-"):
            headers[name[len("response-") :]] = value
    return tuple(headers.items())


def _asked_range(store: Store, call: Call, stored: StoredObject) -> tuple[int, int] | None:
    """First offset and the one behind the last, or None for the whole object."""
    if "partNumber" in call.query:
        number, sizes = call.part_number, stored.part_sizes or (stored.size,)
        if number is None or not 1 <= number <= store.limits.max_parts:
            raise S3Error("InvalidArgument", ArgumentName="partNumber")
        if number > len(sizes):
            raise S3Error("InvalidRange", "The requested partnumber is not satisfiable")
        start = sum(sizes[: number - 1])
        return start, start + sizes[number - 1]
    given = call.header("range") if store.quirks.knows_ranges else None
    match = _RANGE.fullmatch(given.strip()) if given else None
    if given is None or match is None or match.groups() == ("", ""):
        # RFC 9110, 14.2: what cannot be read is ignored; S3 also ignores several ranges.
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, stored.size - int(last))
    end = min(stored.size, int(last) + 1) if first and last else stored.size
    if start >= stored.size:
        raise S3Error("InvalidRange", RangeRequested=given, ActualObjectSize=stored.size)
    return start, end


def get_object(store: Store, call: Call) -> Response:
    """Answers HEAD too: the same headers, no body."""
    bucket = store.bucket(call)
    store.check_key(call.key)
    stored = bucket.objects.get(call.key)
    if stored is None:
        raise S3Error("NoSuchKey", Key=call.key)
    check_customer_key(stored.attributes, call, store)
    if_match, if_none_match = call.header("if-match"), call.header("if-none-match")
    if if_match is not None and if_match.strip('"') not in ("*", stored.etag):
        raise S3Error("PreconditionFailed", Condition="If-Match")
    if if_none_match is not None and if_none_match.strip('"') in ("*", stored.etag):
        return Response(status=304, headers=(("etag", store.quoted(stored.etag)),))
    asked = _asked_range(store, call, stored)
    start, end = asked or (0, stored.size)
    headers = _object_headers(store, call, stored, asked is None)
    if asked is not None and stored.size:
        headers = (*headers, ("content-range", f"bytes {start}-{end - 1}/{stored.size}"))
    if "partNumber" in call.query and stored.part_sizes:
        headers = (*headers, ("x-amz-mp-parts-count", str(len(stored.part_sizes))))
    headers = (*headers, ("content-length", str(end - start)))
    body = b"" if call.request.method == "HEAD" else stored.body[start:end]
    return Response(status=200 if asked is None else 206, headers=headers, body=body)


def object_tagging(store: Store, call: Call) -> Response:
    stored = store.bucket(call).objects.get(call.key)
    if stored is None:
        raise S3Error("NoSuchKey", Key=call.key)
    pairs = parse_qsl(stored.attributes.tagging or "", keep_blank_values=True)
    tags: Children = [("Tag", [("Key", name), ("Value", value)]) for name, value in pairs]
    return store.xml("Tagging", [("TagSet", tags)])


def delete_object(store: Store, call: Call) -> Response:
    store.bucket(call).objects.pop(call.key, None)
    return Response(status=204)


def delete_objects(store: Store, call: Call) -> Response:
    bucket = store.bucket(call)
    has_md5 = check_content_md5(call)
    if body_checksum(call, store) is None and not has_md5:
        missing = "Missing required header for this request: Content-MD5"
        raise S3Error("InvalidRequest", missing)
    root = parse_xml(call.body, "Delete")
    keys, quiet = [], False
    for element in root:
        if local_name(element) == "Quiet":
            quiet = text_of(element) == "true"
        elif local_name(element) == "Object":
            keys += [item.text or "" for item in element if local_name(item) == "Key"]
    if not 1 <= len(keys) <= 1000 or "" in keys:
        raise S3Error("MalformedXML")
    for key in keys:
        bucket.objects.pop(key, None)
    return store.xml("DeleteResult", [] if quiet else [("Deleted", [("Key", k)]) for k in keys])


def copy_source(store: Store, call: Call) -> StoredObject:
    """The object that ``x-amz-copy-source`` names, its conditions and its SSE-C key checked."""
    raw = (call.header("x-amz-copy-source") or "").removeprefix("/")
    path, _, query = raw.partition("?")
    bucket_name, _, key = decode(path).partition("/")
    if query or not bucket_name or not key:
        text = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise S3Error("InvalidArgument", text, ArgumentName="x-amz-copy-source")
    bucket = store.buckets.get(bucket_name)
    if bucket is None:
        raise S3Error("NoSuchBucket", BucketName=bucket_name)
    stored = bucket.objects.get(key)
    if stored is None:
        raise S3Error("NoSuchKey", Key=key)
    check_customer_key(stored.attributes, call, store, prefix="x-amz-copy-source-")
    if_match = call.header("x-amz-copy-source-if-match")
    if_none_match = call.header("x-amz-copy-source-if-none-match")
    if if_match is not None and if_match.strip('"') != stored.etag:
        raise S3Error("PreconditionFailed", Condition="x-amz-copy-source-If-Match")
    if if_none_match is not None and if_none_match.strip('"') == stored.etag:
        raise S3Error("PreconditionFailed", Condition="x-amz-copy-source-If-None-Match")
    return stored


def _copied_attributes(store: Store, call: Call, source: StoredObject) -> Attributes:
    directive = call.header("x-amz-metadata-directive") or "COPY"
    given = attributes_of(call, store)
    if (call.header("x-amz-tagging-directive") or "COPY") == "COPY":
        if given.tagging is not None:
            text = "The tags may only be given with x-amz-tagging-directive: REPLACE."
            raise S3Error("InvalidArgument", text, ArgumentName="x-amz-tagging-directive")
        given = replace(given, tagging=source.attributes.tagging)
    if directive == "REPLACE":
        return given
    if directive != "COPY":
        raise S3Error("InvalidArgument", "Unknown metadata directive.")
    return replace(given, headers=source.attributes.headers, metadata=source.attributes.metadata)


def copy_object(store: Store, call: Call) -> Response:
    bucket = store.bucket(call)
    store.check_key(call.key)
    source = copy_source(store, call)
    attributes = _copied_attributes(store, call, source)
    if source.size > store.limits.max_single_put:
        text = "The specified copy source is larger than the maximum allowable size for a copy"
        raise S3Error("InvalidRequest", f"{text} source: {store.limits.max_single_put}")
    # AWS allows a copy onto itself when something changes.
    changes = call.header("x-amz-metadata-directive") == "REPLACE" or (
        (attributes.storage_class, attributes.customer_key_md5)
        != (source.attributes.storage_class, source.attributes.customer_key_md5)
    )
    if bucket.objects.get(call.key) is source and not changes:
        text = "This copy request is illegal because it is trying to copy an object to itself."
        raise S3Error("InvalidRequest", text)
    algorithm = (call.header("x-amz-checksum-algorithm") or "").upper() or source.checksum_algorithm
    if algorithm is not None and algorithm not in checksums.ALGORITHMS:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
    kept, answered = damaged(call, source.body)
    stored = StoredObject(
        key=call.key,
        body=kept,
        etag=etag_of(answered, attributes),
        attributes=attributes,
        last_modified=store.now(),
        checksum_algorithm=algorithm,
        checksum_type="FULL_OBJECT" if algorithm else None,
        checksum=checksums.checksum(algorithm, answered) if algorithm else None,
    )
    bucket.objects[call.key] = stored
    children: Children = [
        ("LastModified", iso_date(stored.last_modified)),
        ("ETag", store.quoted(stored.etag)),
    ]
    if algorithm is not None:
        children = [*children, (checksums.element_name(algorithm), stored.checksum or "")]
    return store.xml("CopyObjectResult", children, encryption_headers(attributes))
