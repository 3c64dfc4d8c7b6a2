# SPDX-License-Identifier: Apache-2.0
"""What every verb puts on the wire: method, path, query, headers and body."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from datetime import datetime, timezone
from dataclasses import replace

import pytest
from lxml import etree
from libcloud.storage.base import Container

from tests.fake_s3.sigv4 import Keyring, verify
from tests.driver.s3_mock import DATA, ETAG, UPLOAD_ID, PART_ETAGS, S3MockHttp
from tests.driver.conftest import OPTIONS, SmallDriver
from tests.driver.mock_http import Sent
from tests.fake_s3.messages import Request
from libcloud_s3mpu.protocol.checksums import encoded, digest_of

ENCODED_UPLOAD_ID = "VXBsb2FkIElE~1%2F2%2B3%3D%3D"
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

Mock = type[S3MockHttp]


def upload(container: Container, data: bytes = DATA, **kwargs: Any) -> Any:
    return container.driver.upload_object_via_stream(iter([data]), container, "object", **kwargs)


def verified(sent: Sent, *, token: str | None = None) -> None:
    """Check a request's signature as the service would."""
    request = Request(
        method=sent.method,
        target=sent.url,
        headers=(("host", sent.host.partition("://")[2]), *sent.headers.items()),
        body=sent.body,
    )
    if "host" in sent.headers:
        request = replace(request, headers=tuple(sent.headers.items()))
    known = {"key": ("secret", token) if token else "secret"}
    keyring = Keyring(credentials=known, region="us-east-1")
    verify(request, keyring, datetime.now(timezone.utc))


def test_a_large_object_is_initiate_parts_complete(container: Container, mock: Mock) -> None:
    upload(container)
    assert mock.verbs() == [
        "CreateMultipartUpload",
        "UploadPart 1",
        "UploadPart 2",
        "UploadPart 3",
        "CompleteMultipartUpload",
    ]


def test_the_wire_of_initiate(container: Container, mock: Mock) -> None:
    upload(
        container, extra={"content_type": "text/plain", "meta_data": {"a": "b"}, "acl": "private"}
    )
    sent = mock.sent("CreateMultipartUpload")
    assert (sent.method, sent.url, sent.body) == ("POST", "/bucket/object?uploads=", b"")
    assert sent.host == "https://s3.amazonaws.com"
    assert sent.headers["content-type"] == "text/plain"
    assert sent.headers["x-amz-meta-a"] == "b"
    assert sent.headers["x-amz-acl"] == "private"
    assert sent.headers["x-amz-storage-class"] == "STANDARD"
    assert sent.headers["x-amz-checksum-algorithm"] == "CRC32C"


def test_the_wire_of_upload_part(container: Container, mock: Mock) -> None:
    upload(container)
    for number, body in enumerate((DATA[:10], DATA[10:20], DATA[20:]), start=1):
        sent = mock.sent(f"UploadPart {number}")
        assert sent.method == "PUT"
        assert sent.url == f"/bucket/object?partNumber={number}&uploadId={ENCODED_UPLOAD_ID}"
        assert sent.body == body
        assert sent.headers["x-amz-checksum-crc32c"] == encoded(digest_of("crc32c", [body]))
        assert sent.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert not any(name.startswith("x-amz-meta-") for name in sent.headers)
        assert "x-amz-storage-class" not in sent.headers


def test_the_wire_of_complete(container: Container, mock: Mock) -> None:
    upload(container)
    sent = mock.sent("CompleteMultipartUpload")
    assert (sent.method, sent.url) == ("POST", f"/bucket/object?uploadId={ENCODED_UPLOAD_ID}")
    root = etree.fromstring(sent.body)
    assert root.tag == f"{NAMESPACE}CompleteMultipartUpload"
    listed = [
        (part.findtext(f"{NAMESPACE}PartNumber"), part.findtext(f"{NAMESPACE}ETag"))
        for part in root
    ]
    assert listed == [(str(n), f'"{etag}"') for n, etag in enumerate(PART_ETAGS, start=1)]
    assert sent.headers["x-amz-content-sha256"] in (
        "UNSIGNED-PAYLOAD",
        hashlib.sha256(sent.body).hexdigest(),
    )


def test_the_parts_checksums_are_in_complete(container: Container, mock: Mock) -> None:
    upload(container)
    root = etree.fromstring(mock.sent("CompleteMultipartUpload").body)
    expected = [encoded(digest_of("crc32c", [DATA[at : at + 10]])) for at in (0, 10, 20)]
    assert [part.findtext(f"{NAMESPACE}ChecksumCRC32C") for part in root] == expected


def test_the_wire_of_abort(container: Container, driver: Any, mock: Mock) -> None:
    assert driver.ex_abort_upload(container, "object", UPLOAD_ID) is True
    sent = mock.sent("AbortMultipartUpload")
    assert (sent.method, sent.url, sent.body) == (
        "DELETE",
        f"/bucket/object?uploadId={ENCODED_UPLOAD_ID}",
        b"",
    )


def test_the_wire_of_list_parts(container: Container, driver: Any, mock: Mock) -> None:
    driver.ex_list_parts(container, "object", UPLOAD_ID)
    first, second = mock.requests
    assert first.url == f"/bucket/object?max-parts=1000&uploadId={ENCODED_UPLOAD_ID}"
    assert second.url == (
        f"/bucket/object?max-parts=1000&part-number-marker=2&uploadId={ENCODED_UPLOAD_ID}"
    )


def test_the_wire_of_a_small_object_is_one_put(container: Container, mock: Mock) -> None:
    upload(container, b"small", extra={"content_type": "text/plain", "meta_data": {"a": "b"}})
    (sent,) = mock.requests
    assert (sent.method, sent.url, sent.body) == ("PUT", "/bucket/object", b"small")
    assert sent.headers["content-type"] == "text/plain"
    assert sent.headers["x-amz-meta-a"] == "b"
    assert sent.headers["x-amz-storage-class"] == "STANDARD"
    assert sent.headers["x-amz-checksum-crc32c"] == encoded(digest_of("crc32c", [b"small"]))


def test_an_object_of_exactly_one_part_is_one_put(container: Container, mock: Mock) -> None:
    upload(container, DATA[:10])
    assert mock.verbs() == ["PutObject"]


def test_one_byte_more_than_a_part_is_two_parts(container: Container, mock: Mock) -> None:
    mock.type = "EMPTY_ETAG"  # The fixture's own ETag is that of three parts.
    assert upload(container, DATA[:11]).size == 11
    assert [len(sent.body) for sent in mock.requests[1:3]] == [10, 1]


def test_an_exact_multiple_of_the_part_size_has_no_empty_part(
    container: Container, mock: Mock
) -> None:
    mock.type = "EMPTY_ETAG"
    assert upload(container, DATA[:20]).size == 20
    assert mock.verbs()[1:-1] == ["UploadPart 1", "UploadPart 2"]


@pytest.mark.parametrize("checksum", ["crc32", "crc32c", "sha1", "sha256"])
def test_a_chosen_checksum_is_on_every_part(
    container: Container, mock: Mock, checksum: str
) -> None:
    upload(container, ex_options=replace(OPTIONS, checksum=checksum))
    wanted = checksum.upper()
    assert mock.sent("CreateMultipartUpload").headers["x-amz-checksum-algorithm"] == wanted
    sent = mock.sent("UploadPart 1")
    value = encoded(digest_of(checksum, [DATA[:10]]))
    assert sent.headers[f"x-amz-checksum-{checksum}"] == value


def test_md5_goes_as_content_md5(container: Container, mock: Mock) -> None:
    upload(container, ex_options=replace(OPTIONS, checksum="md5"))
    assert "x-amz-checksum-algorithm" not in mock.sent("CreateMultipartUpload").headers
    expected = base64.b64encode(hashlib.md5(DATA[:10]).digest()).decode()
    assert mock.sent("UploadPart 1").headers["content-md5"] == expected


def test_no_checksum_means_none(container: Container, mock: Mock) -> None:
    upload(container, ex_options=replace(OPTIONS, checksum=None))
    for sent in mock.requests:
        assert not any("checksum" in name or name == "content-md5" for name in sent.headers)


def test_plain_http_signs_the_payload(container: Container, mock: Mock) -> None:
    driver = SmallDriver("key", "secret", secure=False, ex_options=OPTIONS)
    driver.upload_object_via_stream(iter([DATA]), container, "object")
    sent = mock.sent("UploadPart 1")
    assert sent.headers["x-amz-content-sha256"] == hashlib.sha256(DATA[:10]).hexdigest()
    assert not any("checksum" in name for name in sent.headers)


def test_every_request_has_a_valid_signature(container: Container, driver: Any, mock: Mock) -> None:
    upload(container, extra={"meta_data": {"two": "a  b", "name": "café.txt"}})
    driver.ex_list_parts(container, "object", UPLOAD_ID)
    driver.ex_abort_upload(container, "object", UPLOAD_ID)
    list(driver.ex_iterate_multipart_uploads(container, prefix="a b/+", delimiter="/"))
    for sent in mock.requests:
        verified(sent)


def test_a_session_token_is_on_every_request(mock: Mock, container: Container) -> None:
    driver = SmallDriver("key", "secret", token="token/+=", ex_options=OPTIONS)
    driver.upload_object_via_stream(iter([DATA]), container, "object")
    assert len(mock.requests) == 5
    for sent in mock.requests:
        assert sent.headers["x-amz-security-token"] == "token/+="
        verified(sent, token="token/+=")


def test_no_request_carries_upstreams_version_parameter(
    container: Container, driver: Any, mock: Mock
) -> None:
    driver.ex_list_parts(container, "object", UPLOAD_ID)
    list(driver.ex_iterate_multipart_uploads(container))
    assert not any("Version" in sent.query for sent in mock.requests)


def test_a_bodys_length_is_said(container: Container, mock: Mock) -> None:
    """PlainBody is a body of known length: requests must not chunk it, S3 answers that with 501."""
    upload(container)
    assert not any("transfer-encoding" in sent.headers for sent in mock.requests)


def test_an_object_key_is_percent_encoded_once(
    container: Container, driver: Any, mock: Mock
) -> None:
    mock._bucket_a_20b_2B_25_3F_C3_A9 = mock._bucket_object  # type: ignore[attr-defined]
    driver.upload_object_via_stream(iter([b"x"]), container, "a b+%?é")
    assert mock.requests[0].url == "/bucket/a%20b%2B%25%3F%C3%A9"
    verified(mock.requests[0])


def test_virtual_host_addressing_puts_the_bucket_into_the_host(mock: Mock) -> None:
    driver = SmallDriver("key", "secret", ex_addressing="virtual", ex_options=OPTIONS)
    container = Container(name="bucket", extra={}, driver=driver)
    driver.upload_object_via_stream(iter([b"x"]), container, "object")
    (sent,) = mock.requests
    assert (sent.host, sent.path) == ("https://bucket.s3.amazonaws.com", "/object")


def test_the_object_is_what_was_sent(container: Container) -> None:
    found = upload(container)
    assert (found.size, found.hash) == (len(DATA), ETAG)
