# SPDX-License-Identifier: Apache-2.0
"""The multipart verbs but the listing ones: initiate, upload part, copy a part, complete, abort.

The order of the checks is the order in which AWS was seen to make them. The reader goes next to
``listing.py``.
"""

from __future__ import annotations

import re
import hashlib
from typing import NoReturn
from itertools import pairwise
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree.ElementTree import Element

from tests.fake_s3 import checksums
from tests.fake_s3.store import (
    Store,
    Upload,
    StoredPart,
    StoredObject,
    damaged,
    etag_of,
    iso_date,
    attributes_of,
    body_checksum,
    named_checksum,
    customer_key_md5,
    check_content_md5,
    encryption_headers,
    check_write_conditions,
)
from tests.fake_s3.objects import copy_source
from tests.fake_s3.routing import Call
from tests.fake_s3.messages import S3Error, Children, Response, text_of, parse_xml, local_name

_COPY_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """One ``<Part>`` of a complete request."""

    part_number: int
    etag: str
    checksums: dict[str, str]


def initiate(store: Store, call: Call) -> Response:
    store.bucket(call)
    store.check_key(call.key)
    attributes = attributes_of(call, store)
    algorithm, kind = _declared_checksum(store, call)
    store.initiated_count += 1
    upload = Upload(
        upload_id=store.name_upload(store.initiated_count),
        bucket=call.bucket,
        key=call.key,
        attributes=attributes,
        initiated=store.now(),
        checksum_algorithm=algorithm,
        checksum_type=kind,
    )
    store.uploads[upload.upload_id] = upload
    headers = encryption_headers(attributes)
    if algorithm is not None and kind is not None:
        declared = ("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)
        headers = (*headers, *declared)
    children = [("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload.upload_id)]
    return store.xml("InitiateMultipartUploadResult", children, headers)


def _declared_checksum(store: Store, call: Call) -> tuple[str | None, str | None]:
    algorithm = call.header("x-amz-checksum-algorithm")
    kind = call.header("x-amz-checksum-type")
    if not store.quirks.verifies_checksums:
        return None, None
    if algorithm is None:
        if kind is not None:
            text = "The x-amz-checksum-type header can only be used with x-amz-checksum-algorithm."
            raise S3Error("InvalidRequest", text)
        return None, None
    algorithm = algorithm.upper()
    if algorithm not in checksums.TYPES:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
    kind = kind or checksums.TYPES[algorithm][0]
    if kind not in checksums.TYPES[algorithm]:
        text = f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm."
        raise S3Error("InvalidRequest", text)
    return algorithm, kind


def find_upload(store: Store, call: Call) -> Upload:
    upload = store.uploads.get(call.upload_id or "")
    if upload is None or (upload.bucket, upload.key) != (call.bucket, call.key):
        raise S3Error("NoSuchUpload", UploadId=call.upload_id or "")
    return upload


def _part_number(store: Store, call: Call) -> int:
    number = call.part_number
    if number is None or not 1 <= number <= store.limits.max_parts:
        text = f"Part number must be an integer between 1 and {store.limits.max_parts}, inclusive"
        raise S3Error("InvalidArgument", text, ArgumentName="partNumber")
    return number


def _check_part_key(upload: Upload, call: Call, store: Store) -> None:
    """SSE-C is all or nothing: the key of initiate goes with every part."""
    given = customer_key_md5(call, store)
    wanted = upload.attributes.customer_key_md5
    if given == wanted:
        return
    if given is None:
        text = "The multipart upload initiate requested encryption. Subsequent part requests"
        raise S3Error("InvalidRequest", f"{text} must include the appropriate parameters.")
    if wanted is None:
        text = "The multipart upload initiate did not request encryption. Please resend the"
        raise S3Error("InvalidRequest", f"{text} request without sending encryption parameters.")
    text = "The provided encryption parameters did not match the ones used originally."
    raise S3Error("InvalidRequest", text)


def _check_part_size(store: Store, size: int) -> None:
    if size > store.limits.max_part_size:
        maximum = store.limits.max_part_size
        raise S3Error("EntityTooLarge", ProposedSize=size, MaxSizeAllowed=maximum)


def upload_part(store: Store, call: Call) -> Response:
    number = _part_number(store, call)
    store.bucket(call)
    upload = find_upload(store, call)
    _check_part_key(upload, call, store)
    _check_part_size(store, len(call.body))
    check_content_md5(call)
    carried = body_checksum(call, store)
    declared = upload.checksum_algorithm
    if declared is not None and (carried is None or carried[0] != declared):
        actual = carried[0].lower() if carried else "null"
        text = f"expected checksum Type: {declared.lower()}, actual checksum Type: {actual}"
        raise S3Error("InvalidRequest", f"Checksum Type mismatch occurred, {text}")
    kept, answered = damaged(call, call.body)
    values = {carried[0]: checksums.checksum(carried[0], answered)} if carried else {}
    part = StoredPart(
        part_number=number,
        body=kept,
        etag=etag_of(answered, upload.attributes),
        checksums=values,
        last_modified=store.now(),
    )
    upload.parts[number] = part
    headers = [("etag", store.quoted(part.etag))]
    headers += [(checksums.header_name(name), value) for name, value in values.items()]
    headers += encryption_headers(upload.attributes)
    return Response(status=200, headers=tuple(headers))


def upload_part_copy(store: Store, call: Call) -> Response:
    number = _part_number(store, call)
    store.bucket(call)
    upload = find_upload(store, call)
    _check_part_key(upload, call, store)
    source = copy_source(store, call)
    start, end = _copy_range(store, call, source)
    _check_part_size(store, end - start)
    kept, answered = damaged(call, source.body[start:end])
    declared = upload.checksum_algorithm
    values = {declared: checksums.checksum(declared, answered)} if declared else {}
    part = StoredPart(
        part_number=number,
        body=kept,
        etag=etag_of(answered, upload.attributes),
        checksums=values,
        last_modified=store.now(),
    )
    upload.parts[number] = part
    children: list[tuple[str, str | int | Children]] = [
        ("LastModified", iso_date(part.last_modified)),
        ("ETag", store.quoted(part.etag)),
    ]
    children += [(checksums.element_name(name), value) for name, value in values.items()]
    return store.xml("CopyPartResult", children, encryption_headers(upload.attributes))


def _copy_range(store: Store, call: Call, source: StoredObject) -> tuple[int, int]:
    given = call.header("x-amz-copy-source-range")
    if given is None:
        return 0, source.size
    if source.size <= store.limits.min_part_size:
        # "You can copy a range only if the source object is greater than 5 MB" (UploadPartCopy,
        # Amazon S3 API Reference, read 2026-11).
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is not supported as a byte-range copy source",
        )
    match = _COPY_RANGE.fullmatch(given)
    if match is None or int(match.group(1)) > int(match.group(2)):
        text = "The x-amz-copy-source-range value must be of the form bytes=first-last"
        raise S3Error("InvalidArgument", text, ArgumentName="x-amz-copy-source-range")
    start, end = int(match.group(1)), int(match.group(2)) + 1
    if end > source.size:
        text = f"Range specified is not valid for source object of size: {source.size}"
        raise S3Error("InvalidArgument", text, ArgumentName="x-amz-copy-source-range")
    return start, end


def abort(store: Store, call: Call) -> Response:
    store.bucket(call)
    del store.uploads[find_upload(store, call).upload_id]
    return Response(status=204)


def complete(store: Store, call: Call) -> Response:
    bucket = store.bucket(call)
    if store.quirks.complete_repeats and call.upload_id in store.completed:
        return store.completed[call.upload_id]
    try:
        upload = find_upload(store, call)
    except S3Error as error:
        raise S3Error(store.quirks.complete_unknown) from error
    listed = _parse_parts(store, call.body)
    parts = _match_parts(store, upload, listed)
    _check_sizes(store, parts)
    carried = named_checksum(call, store)
    stored = _joined(store, upload, parts)
    _check_whole(call, stored, carried)
    if store.quirks.conditional_complete:
        check_write_conditions(call, bucket.objects.get(call.key))
    bucket.objects[call.key] = stored
    del store.uploads[upload.upload_id]
    response = _completed(store, call, stored)
    store.completed[upload.upload_id] = response
    return response


def _completed(store: Store, call: Call, stored: StoredObject) -> Response:
    host = call.header("host") or "fake"
    children: list[tuple[str, str | int | Children]] = [
        ("Location", f"http://{host}/{call.bucket}/{quote(call.key, safe='')}"),
        ("Bucket", call.bucket),
        ("Key", call.key),
        ("ETag", store.quoted(stored.etag) if store.quirks.complete_etag else ""),
    ]
    if stored.checksum_algorithm is not None and stored.checksum is not None:
        children.append((checksums.element_name(stored.checksum_algorithm), stored.checksum))
        children.append(("ChecksumType", stored.checksum_type or ""))
    headers = encryption_headers(stored.attributes)
    return store.xml("CompleteMultipartUploadResult", children, headers)


def _parse_parts(store: Store, body: bytes) -> list[_Listed]:
    if not body:
        raise S3Error("InvalidRequest", "You must specify at least one part")
    root = parse_xml(body, "CompleteMultipartUpload")
    listed = [_parse_part(element) for element in root]
    if not 1 <= len(listed) <= store.limits.max_parts:
        raise S3Error("MalformedXML")
    numbers = [part.part_number for part in listed]
    if any(second <= first for first, second in pairwise(numbers)):
        raise S3Error("InvalidPartOrder")
    return listed


def _parse_part(element: Element) -> _Listed:
    values = {local_name(child): text_of(child) for child in element}
    number = values.pop("PartNumber", "")
    etag = values.pop("ETag", None)
    known = {checksums.element_name(name): name for name in checksums.ALGORITHMS}
    strange = values.keys() - known.keys()
    if local_name(element) != "Part" or not number.isdigit() or etag is None or strange:
        raise S3Error("MalformedXML")
    carried = {known[name]: value for name, value in values.items()}
    return _Listed(part_number=int(number), etag=etag.strip('"'), checksums=carried)


def _match_parts(store: Store, upload: Upload, listed: list[_Listed]) -> list[StoredPart]:
    def refuse(asked: _Listed) -> NoReturn:
        number, etag = asked.part_number, asked.etag
        raise S3Error("InvalidPart", UploadId=upload.upload_id, PartNumber=number, ETag=etag)

    algorithm, parts = upload.checksum_algorithm, []
    for asked in listed:
        part = upload.parts.get(asked.part_number)
        if part is None or part.etag != asked.etag:
            refuse(asked)
        if upload.checksum_type == "COMPOSITE" and algorithm not in asked.checksums:
            text = f"The upload was created using a {(algorithm or '').lower()} checksum. The"
            text += " complete request must include the checksum for each part. It was missing"
            raise S3Error("InvalidRequest", f"{text} for part {asked.part_number} in the request.")
        carried = asked.checksums if store.quirks.verifies_checksums else {}
        if any(part.checksums.get(name) != value for name, value in carried.items()):
            refuse(asked)
        parts.append(part)
    return parts


def _check_sizes(store: Store, parts: list[StoredPart]) -> None:
    limits = store.limits
    for part in parts[:-1]:
        if part.size < limits.min_part_size:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=part.size,
                MinSizeAllowed=limits.min_part_size,
                PartNumber=part.part_number,
                ETag=part.etag,
            )
    if limits.uniform_parts:
        size = parts[0].size
        if any(part.size != size for part in parts[:-1]) or parts[-1].size > size:
            # R2's own words (seen in tusd issue 1137).
            raise S3Error("InvalidPart", "All non-trailing parts must have the same length.")
    total = sum(part.size for part in parts)
    if total > limits.max_object_size:
        raise S3Error("EntityTooLarge", ProposedSize=total, MaxSizeAllowed=limits.max_object_size)


def _joined(store: Store, upload: Upload, parts: list[StoredPart]) -> StoredObject:
    body = b"".join(part.body for part in parts)
    etag = checksums.composite_etag(part.etag for part in parts)
    if upload.attributes.has_opaque_etag:
        etag = f"{hashlib.md5(b'opaque:' + etag.encode()).hexdigest()}-{len(parts)}"
    algorithm, kind = upload.checksum_algorithm, upload.checksum_type
    if algorithm is None and store.quirks.adds_checksum:
        algorithm, kind = "CRC64NVME", "FULL_OBJECT"
    value = None
    if algorithm is not None and kind == "COMPOSITE":
        carried = [part.checksums[algorithm] for part in parts]
        value = checksums.composite_checksum(algorithm, carried)
    elif algorithm is not None:
        value = checksums.checksum(algorithm, body)
    return StoredObject(
        key=upload.key,
        body=body,
        etag=etag,
        attributes=upload.attributes,
        last_modified=store.now(),
        checksum_algorithm=algorithm,
        checksum_type=kind,
        checksum=value,
        part_sizes=tuple(part.size for part in parts),
    )


def _check_whole(call: Call, stored: StoredObject, carried: tuple[str, str] | None) -> None:
    """What the complete request claims about the whole object, in headers."""
    size = call.header("x-amz-mp-object-size")
    if size is not None and size != str(stored.size):
        text = f"The provided 'x-amz-mp-object-size' header value {size} does not match what was"
        raise S3Error("InvalidRequest", f"{text} computed: {stored.size}")
    kind = call.header("x-amz-checksum-type")
    if kind is not None and kind != stored.checksum_type:
        raise S3Error("InvalidRequest", "The checksum type does not match the upload's.")
    if carried is None:
        return
    algorithm, value = carried
    if algorithm != stored.checksum_algorithm:
        raise S3Error("InvalidRequest", "The checksum algorithm does not match the upload's.")
    if value not in (stored.checksum, (stored.checksum or "").partition("-")[0]):
        text = f"The {algorithm} you specified did not match the calculated checksum."
        raise S3Error("BadDigest", text)
