# SPDX-License-Identifier: Apache-2.0
"""``upload_object``: files, which have a size, may change, and are compared with what arrived."""

from __future__ import annotations

import os
import base64
import hashlib
import threading
from typing import Any
from pathlib import Path
from dataclasses import replace

import pytest
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container
from libcloud.storage.types import ObjectHashMismatchError

import libcloud_s3mpu as ours
from tests.driver.s3_mock import DATA, ETAG, S3MockHttp
from tests.driver.conftest import OPTIONS

Mock = type[S3MockHttp]
WRONG = (200, "", {"etag": f'"{"0" * 32}"'}, "OK")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.write_bytes(b"small")
    return path


def content_md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_a_path_of_any_kind(container: Container, small: Path, kind: Any) -> None:
    assert container.driver.upload_object(kind(small), container, "object").size == 5


@pytest.mark.parametrize("verify_hash", [True, False])
def test_a_small_file_is_one_put(
    container: Container, mock: Mock, small: Path, verify_hash: bool
) -> None:
    found = container.driver.upload_object(
        str(small), container, "object", verify_hash=verify_hash, extra={"meta_data": {"a": "b"}}
    )
    (sent,) = mock.requests
    assert (sent.verb, sent.body) == ("PutObject", b"small")
    assert sent.headers["x-amz-meta-a"] == "b"
    assert (found.size, found.hash) == (5, hashlib.md5(b"small").hexdigest())
    assert found.meta_data == {"a": "b"}


def test_a_small_file_is_one_put_with_the_calls_own_options_too(
    container: Container, mock: Mock, small: Path
) -> None:
    container.driver.upload_object(str(small), container, "object", ex_options=OPTIONS)
    assert mock.verbs() == ["PutObject"]


def test_a_larger_file_goes_up_in_parts(container: Container, mock: Mock, path: Path) -> None:
    found = container.driver.upload_object(str(path), container, "object", extra={"acl": "private"})
    assert [sent.body for sent in mock.requests[1:-1]] == [DATA[:10], DATA[10:20], DATA[20:]]
    assert (found.size, found.hash, found.extra["acl"]) == (len(DATA), ETAG, "private")


def test_verify_hash_has_the_service_check_the_md5_of_every_part(
    container: Container, mock: Mock, path: Path
) -> None:
    container.driver.upload_object(str(path), container, "object", verify_hash=True)
    assert [sent.headers["content-md5"] for sent in mock.requests[1:-1]] == [
        content_md5(DATA[:10]),
        content_md5(DATA[10:20]),
        content_md5(DATA[20:]),
    ]


def test_without_verify_hash_no_md5_is_computed(
    container: Container, mock: Mock, path: Path
) -> None:
    container.driver.upload_object(str(path), container, "object", verify_hash=False)
    assert not any("content-md5" in sent.headers for sent in mock.requests)
    assert "x-amz-checksum-crc32c" in mock.sent("UploadPart 1").headers


def test_verify_hash_finds_a_wrong_etag_of_a_small_file(
    container: Container, mock: Mock, small: Path
) -> None:
    mock.fails = {"PutObject": [WRONG] * 9}
    with pytest.raises(ObjectHashMismatchError) as caught:
        container.driver.upload_object(str(small), container, "object")
    assert hashlib.md5(b"small").hexdigest() in str(caught.value)
    assert "0" * 32 in str(caught.value)


def test_verify_hash_finds_a_wrong_etag_of_a_part(
    container: Container, mock: Mock, path: Path
) -> None:
    mock.fails = {"UploadPart 2": [WRONG] * 9}
    with pytest.raises(ObjectHashMismatchError):
        container.driver.upload_object(str(path), container, "object")
    assert "AbortMultipartUpload" in mock.verbs()


def test_without_verify_hash_the_etag_is_taken_as_it_is(
    container: Container, mock: Mock, small: Path
) -> None:
    mock.fails = {"PutObject": [WRONG]}
    found = container.driver.upload_object(str(small), container, "object", verify_hash=False)
    assert found.hash == "0" * 32


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-server-side-encryption": "aws:kms"},
        {"x-amz-server-side-encryption": "aws:kms:dsse"},
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ],
)
def test_an_etag_that_is_no_md5_is_not_compared(
    container: Container, mock: Mock, small: Path, headers: dict[str, str]
) -> None:
    mock.fails = {"PutObject": [(200, "", {"etag": '"opaque"', **headers}, "OK")]}
    assert container.driver.upload_object(str(small), container, "object").hash == "opaque"


def test_the_storage_class_and_headers_of_a_file(
    container: Container, mock: Mock, path: Path
) -> None:
    container.driver.upload_object(
        str(path),
        container,
        "object",
        headers={"cache-control": "no-store"},
        ex_storage_class="glacier",
        extra={"content_type": "a/b"},
    )
    headers = mock.sent("CreateMultipartUpload").headers
    assert headers["x-amz-storage-class"] == "GLACIER"
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "a/b"


def test_an_empty_file_is_one_put_with_a_length(
    container: Container, mock: Mock, tmp_path: Path
) -> None:
    path = tmp_path / "empty"
    path.touch()
    found = container.driver.upload_object(str(path), container, "object")
    (sent,) = mock.requests
    assert (sent.verb, sent.body, found.size) == ("PutObject", b"", 0)
    assert sent.headers.get("content-length", "0") == "0"
    assert "transfer-encoding" not in sent.headers


def test_a_file_that_is_not_there_is_an_os_error_before_any_request(
    container: Container, mock: Mock, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="gone"):
        container.driver.upload_object(str(tmp_path / "gone"), container, "object")
    assert not mock.requests


def test_a_folder_is_an_os_error_before_any_request(
    container: Container, mock: Mock, tmp_path: Path
) -> None:
    with pytest.raises(OSError):
        container.driver.upload_object(str(tmp_path), container, "object")
    assert not mock.requests


def _when(mock: Mock, verb: str, action: Any) -> None:
    """Have ``action`` run when the request with this verb arrives."""
    answer = mock._answer

    def changed(self: Any, body: bytes, suffix: str = "") -> Any:
        if self.requests[-1].verb == verb:
            action()
        return answer(self, body, suffix)

    mock._answer = changed  # type: ignore[method-assign]


def _grow(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def _shrink(path: Path) -> None:
    os.truncate(path, 12)


def _rewrite(path: Path) -> None:
    before = path.stat()
    path.write_bytes(DATA.swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [_grow, _shrink, _rewrite])
@pytest.mark.parametrize("verb", ["CreateMultipartUpload", "UploadPart 1", "UploadPart 2"])
def test_a_file_that_changes_meanwhile_is_refused_and_nothing_is_left(
    container: Container, mock: Mock, path: Path, change: Any, verb: str
) -> None:
    _when(mock, verb, lambda: change(path))
    with pytest.raises(LibcloudError) as caught:
        container.driver.upload_object(str(path), container, "object")
    assert isinstance(caught.value, (ours.SourceChangedError, ours.SourceSizeError))
    assert "CompleteMultipartUpload" not in mock.verbs()
    assert "AbortMultipartUpload" in mock.verbs()


def test_a_file_that_vanishes_meanwhile_is_uploaded_whole(
    container: Container, mock: Mock, path: Path
) -> None:
    """An open file outlives its name; what was asked for is what arrives."""
    _when(mock, "UploadPart 1", path.unlink)
    found = container.driver.upload_object(str(path), container, "object")
    assert found.hash == ETAG


def test_a_file_that_grows_as_a_stream_is_taken_along(
    container: Container, mock: Mock, path: Path
) -> None:
    """``read`` would see it too: only ``upload_object`` promises the file as it was."""
    mock.type = "EMPTY_ETAG"
    answer = mock._bucket_object_EMPTY_ETAG

    def growing(self: Any, method: str, url: str, body: bytes, headers: Any) -> Any:
        if self.requests[-1].verb == "UploadPart 1":
            _grow(path)
        return answer(self, method, url, body, headers)

    mock._bucket_object_EMPTY_ETAG = growing  # type: ignore[method-assign]
    with open(path, "rb") as file:
        found = container.driver.upload_object_via_stream(file, container, "object")
    assert found.size == len(DATA) + 4
    assert b"".join(s.body for s in mock.requests if "Part" in s.verb) == DATA + b"more"


def test_a_file_of_exactly_one_part_is_one_put(
    container: Container, mock: Mock, tmp_path: Path
) -> None:
    path = tmp_path / "exact"
    path.write_bytes(DATA[:10])
    container.driver.upload_object(str(path), container, "object")
    assert mock.verbs() == ["PutObject"]


def test_a_file_larger_than_the_largest_object_is_refused_before_any_request(
    container: Container, mock: Mock, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 1001)
    with pytest.raises(ValueError, match="1001"):
        container.driver.upload_object(str(path), container, "object")
    assert not mock.requests


def test_a_pipe_that_has_no_size_is_uploaded_whole(
    container: Container, mock: Mock, tmp_path: Path
) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, DATA)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        found = container.driver.upload_object_via_stream(file, container, "object")
    assert found.hash == ETAG


def test_the_calls_own_options_win(container: Container, mock: Mock, path: Path) -> None:
    mock.type = "EMPTY_ETAG"
    options = replace(OPTIONS, part_size_bytes=20)
    found = container.driver.upload_object(str(path), container, "object", ex_options=options)
    assert found.extra["parts"] == 2


def test_conditions_in_the_options_hold_for_a_small_file_too(
    container: Container, mock: Mock, small: Path
) -> None:
    options = replace(OPTIONS, if_none_match="*")
    container.driver.upload_object(str(small), container, "object", ex_options=options)
    assert mock.sent("PutObject").headers["if-none-match"] == "*"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_streamed(container: Container, mock: Mock, tmp_path: Path) -> None:
    """It has no size, and what comes may be more than memory holds."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(DATA,), daemon=True)
    writer.start()
    found = container.driver.upload_object(str(pipe), container, "object")
    writer.join(10)
    assert found.size == len(DATA) and found.extra["parts"] > 1


@pytest.mark.parametrize("data", [b"small", DATA])
@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        ("a.html", {}, "text/html"),
        ("a", {}, "application/octet-stream"),
        ("a.html", {"extra": {"content_type": "a/b"}}, "a/b"),
        ("a.html", {"headers": {"content-Type": "a/b"}}, "a/b"),
    ],
)
def test_the_content_type_is_that_of_the_files_own_name(
    container: Container, mock: Mock, tmp_path: Path, data: bytes, name: str, given: Any, sent: str
) -> None:
    """As upstream has it."""
    path = tmp_path / name
    path.write_bytes(data)
    container.driver.upload_object(path, container, "object", **given)
    assert mock.requests[0].headers["content-type"] == sent
