# SPDX-License-Identifier: Apache-2.0
"""The drop-in contract: an app written for libcloud's S3 driver cannot tell the difference."""

from __future__ import annotations

import io
import re
import string
import hashlib
import inspect
from types import SimpleNamespace
from typing import Any
from pathlib import Path
from unittest import mock as unittest_mock
from collections.abc import Callable, Iterator

import pytest
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Object, Container
from libcloud.storage.types import Provider
from libcloud.storage.providers import DRIVERS, get_driver
from libcloud.storage.drivers.s3 import S3StorageDriver

import libcloud_s3mpu
from tests.driver.s3_mock import DATA, ETAG, UPLOAD_ID, PART_ETAGS, S3MockHttp, refused
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from tests.driver.conftest import OPTIONS, SmallDriver

Mock = type[S3MockHttp]
STORAGE_CLASSES = [
    "standard",
    "reduced_redundancy",
    "standard_ia",
    "onezone_ia",
    "intelligent_tiering",
    "glacier",
    "deep_archive",
    "glacier_ir",
]


# -- the call --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["upload_object_via_stream", "upload_object"])
def test_upstreams_arguments_come_first_and_in_its_order(name: str) -> None:
    theirs = list(inspect.signature(getattr(S3StorageDriver, name)).parameters.values())
    ours = list(inspect.signature(getattr(AmazonS3MultipartDriver, name)).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [
        (p.name, p.default) for p in theirs
    ]
    for added in ours[len(theirs) :]:
        assert added.name.startswith("ex_") and added.default is None


def test_the_constructor_takes_upstreams_arguments_in_its_order() -> None:
    theirs = list(inspect.signature(S3StorageDriver.__init__).parameters)
    ours = list(inspect.signature(AmazonS3MultipartDriver.__init__).parameters)
    assert ours[: theirs.index("kwargs")] == theirs[: theirs.index("kwargs")]


def test_it_can_be_called_by_position(driver: Any, container: Container, mock: Mock) -> None:
    found = driver.upload_object_via_stream(
        iter([b"x"]),
        container,
        "object",
        {"acl": "private"},
        {"cache-control": "no-store"},
        "glacier",
    )
    assert found.size == 1
    (sent,) = mock.requests
    assert sent.headers["x-amz-acl"] == "private"
    assert sent.headers["cache-control"] == "no-store"
    assert sent.headers["x-amz-storage-class"] == "GLACIER"


def test_it_can_be_called_by_keyword(driver: Any, container: Container, mock: Mock) -> None:
    driver.upload_object_via_stream(
        iterator=iter([b"x"]),
        container=container,
        object_name="object",
        extra={"acl": "private"},
        headers={"cache-control": "no-store"},
        ex_storage_class="glacier",
    )
    assert mock.requests[0].headers["x-amz-storage-class"] == "GLACIER"


def test_the_containers_method_reaches_the_driver(container: Container, mock: Mock) -> None:
    found = container.upload_object_via_stream(
        iter([DATA]), "object", extra={"content_type": "a/b"}, headers={"cache-control": "no-store"}
    )
    assert found.size == len(DATA)
    assert mock.sent("CreateMultipartUpload").headers["content-type"] == "a/b"
    assert mock.sent("CreateMultipartUpload").headers["cache-control"] == "no-store"


def test_of_a_container_only_its_name_is_read(driver: Any) -> None:
    found = driver.upload_object_via_stream(iter([DATA]), SimpleNamespace(name="bucket"), "object")
    assert found.hash == ETAG


# -- the result ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"small", DATA])
def test_the_fields_of_the_result(driver: Any, container: Container, data: bytes) -> None:
    meta_data = {"rabbits": "monkeys", "number": 7}
    found = driver.upload_object_via_stream(
        iter([data]), container, "object", extra={"meta_data": meta_data, "acl": "public-read"}
    )
    assert type(found) is Object
    assert (found.name, found.size) == ("object", len(data))
    assert found.container is container and found.driver is driver
    assert found.extra["acl"] == "public-read"
    assert found.meta_data == meta_data
    assert isinstance(found.hash, str) and '"' not in found.hash


def test_without_metadata_and_acl(driver: Any, container: Container) -> None:
    found = driver.upload_object_via_stream(iter([DATA]), container, "object")
    assert found.meta_data == {}
    assert found.extra["acl"] is None


def test_extra_says_how_it_was_done(driver: Any, container: Container) -> None:
    extra = driver.upload_object_via_stream(iter([DATA]), container, "object").extra
    assert extra["upload_id"] == UPLOAD_ID
    assert (extra["parts"], extra["part_size_bytes"], extra["etag"]) == (3, 10, ETAG)
    assert extra["seconds"] >= 0
    extra = driver.upload_object_via_stream(iter([b"x"]), container, "object").extra
    assert (extra["upload_id"], extra["parts"]) == (None, 1)


# -- extra, headers, content type, storage class ---------------------------------------------------


def test_numbers_in_metadata_and_headers_become_text(
    driver: Any, container: Container, mock: Mock
) -> None:
    extra = {"meta_data": {"int": 7, "float": 1.5}}
    driver.upload_object_via_stream(
        iter([DATA]), container, "object", extra=extra, headers={"x-amz-meta-own": 3}
    )
    headers = mock.sent("CreateMultipartUpload").headers
    values = [headers[f"x-amz-meta-{name}"] for name in ("int", "float", "own")]
    assert values == ["7", "1.5", "3"]


def test_other_keys_of_extra_are_ignored(driver: Any, container: Container) -> None:
    extra = {"content_length": 3, "bucket": "x", "meta_data": None, "acl": None}
    assert driver.upload_object_via_stream(iter([b"x"]), container, "object", extra=extra).size == 1


def test_a_content_length_that_apps_pass_along_does_no_harm(
    driver: Any, container: Container, mock: Mock
) -> None:
    driver.upload_object_via_stream(
        iter([DATA]), container, "object", headers={"Content-Length": "999"}
    )
    assert len(mock.requests) == 5


@pytest.mark.parametrize("data", [b"small", DATA])
@pytest.mark.parametrize(
    ("name", "extra", "expected"),
    [
        ("object", None, "application/octet-stream"),
        ("object", {"content_type": "text/x-own"}, "text/x-own"),
        ("a/b-c.txt", None, "text/plain"),
    ],
)
def test_the_content_type(
    driver: Any, container: Container, mock: Mock, data: bytes, name: str, extra: Any, expected: str
) -> None:
    driver.upload_object_via_stream(iter([data]), container, name, extra=extra)
    assert mock.requests[0].headers["content-type"] == expected


def test_the_content_type_is_guessed_by_the_name_that_upstreams_tests_patch(
    driver: Any, container: Container, mock: Mock
) -> None:
    with unittest_mock.patch("libcloud.utils.files.guess_file_mime_type") as guess:
        guess.return_value = ("application/zip", None)
        driver.upload_object_via_stream(iter([b"x"]), container, "object")
    guess.assert_called_with("object")
    assert mock.requests[0].headers["content-type"] == "application/zip"


def test_strict_mode_refuses_a_name_without_a_type(
    driver: Any, container: Container, mock: Mock
) -> None:
    driver.strict_mode = True
    with pytest.raises(AttributeError):
        driver.upload_object_via_stream(iter([b"x"]), container, "object")
    assert not mock.requests


@pytest.mark.parametrize("storage_class", STORAGE_CLASSES)
def test_each_storage_class(
    driver: Any, container: Container, mock: Mock, storage_class: str
) -> None:
    driver.upload_object_via_stream(
        iter([DATA]), container, "object", ex_storage_class=storage_class
    )
    sent = mock.sent("CreateMultipartUpload")
    assert sent.headers["x-amz-storage-class"] == storage_class.upper()


@pytest.mark.parametrize("storage_class", ["invalid-class", "STANDARD", " "])
def test_another_storage_class_is_a_value_error_before_any_request(
    driver: Any, container: Container, mock: Mock, storage_class: str, tmp_path: Path
) -> None:
    pulled: list[int] = []
    source = (pulled.append(1) or b"x" for _ in range(3))  # type: ignore[func-returns-value]
    with pytest.raises(ValueError, match=r"(?i)invalid storage class"):
        driver.upload_object_via_stream(source, container, "object", ex_storage_class=storage_class)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"(?i)invalid storage class"):
        driver.upload_object(
            str(tmp_path / "file"), container, "object", ex_storage_class=storage_class
        )
    assert not mock.requests and not pulled


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"object_name": ""}, "empty"),
        ({"object_name": "x" * 1025}, "1025 bytes"),
        ({"object_name": "é" * 513}, "1026 bytes"),
        ({"object_name": "a\x01b"}, r"U\+0001"),
        ({"headers": {"x-own": "a\r\nb"}}, "control character"),
        ({"headers": {"bad name": "a"}}, "header name"),
        ({"extra": {"meta_data": {"a b": "c"}}}, "metadata name"),
        ({"extra": {"meta_data": {"a": "b\nc"}}}, "control character"),
    ],
)
def test_what_cannot_be_sent_is_a_value_error_before_any_request(
    driver: Any, container: Container, mock: Mock, kwargs: dict[str, Any], text: str
) -> None:
    kwargs = {"object_name": "object", **kwargs}
    with pytest.raises(ValueError, match=text) as caught:
        driver.upload_object_via_stream(iter([b"x"]), container, **kwargs)
    assert isinstance(caught.value, LibcloudError)
    assert not mock.requests


# -- sources ---------------------------------------------------------------------------------------


def _generator() -> Iterator[bytes]:
    for at in range(0, len(DATA), 4):
        yield DATA[at : at + 4]


class _ShortReader:
    def __init__(self) -> None:
        self._inner = io.BytesIO(DATA)

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 3) if size > 0 else 3)


class _OldIterator:
    def __init__(self) -> None:
        self._chunks = _generator()

    def __next__(self) -> bytes:
        return next(self._chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self


class _ReadWins:
    def read(self, size: int = -1) -> bytes:
        data, self._data = getattr(self, "_data", DATA), b""
        return data

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("read wins over iteration")


SOURCES: dict[str, Callable[[], Any]] = {
    "generator": _generator,
    "iterator": lambda: iter([DATA[:7], DATA[7:]]),
    "old iterator": _OldIterator,
    "BytesIO": lambda: io.BytesIO(DATA),
    "BytesIO from its current position": lambda: _sought(io.BytesIO(b"skip" + DATA), 4),
    "short reader": _ShortReader,
    "read wins": _ReadWins,
    "text pieces": lambda: iter([DATA[:9].decode(), DATA[9:].decode()]),
    "StringIO": lambda: io.StringIO(DATA.decode()),
    "integers": lambda: iter(DATA),
    "list": lambda: [DATA[:11], DATA[11:]],
    "bytes": lambda: DATA,
    "bytearray": lambda: bytearray(DATA),
    "memoryview": lambda: memoryview(DATA),
    "bytearray pieces": lambda: iter([bytearray(DATA[:3]), memoryview(DATA)[3:]]),
}


def _sought(source: Any, offset: int) -> Any:
    source.seek(offset)
    return source


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_each_kind_of_source_arrives_whole(
    driver: Any, container: Container, mock: Mock, make: Callable[[], Any]
) -> None:
    found = driver.upload_object_via_stream(make(), container, "object")
    assert b"".join(sent.body for sent in mock.requests if "Part" in sent.verb) == DATA
    assert (found.size, found.hash) == (len(DATA), ETAG)


def test_a_file_is_read_from_its_position_and_left_open(
    driver: Any, container: Container, mock: Mock, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"skip" + DATA)
    with open(path, "rb") as file:
        file.seek(4)
        driver.upload_object_via_stream(file, container, "object")
        assert not file.closed
        assert file.tell() == 4 + len(DATA)
    assert b"".join(sent.body for sent in mock.requests if "Part" in sent.verb) == DATA


@pytest.mark.parametrize("source", [None, 5, object(), {"a": 1}, 1.5])
def test_what_is_no_source_is_a_type_error_before_any_request(
    driver: Any, container: Container, mock: Mock, source: Any
) -> None:
    with pytest.raises((TypeError, AttributeError)):
        driver.upload_object_via_stream(source, container, "object")
    assert not mock.requests


def test_a_chunk_of_a_wrong_kind_is_a_type_error(
    driver: Any, container: Container, mock: Mock
) -> None:
    with pytest.raises(TypeError):
        driver.upload_object_via_stream(iter([DATA, 1.5]), container, "object")
    assert "AbortMultipartUpload" in mock.verbs()


class _OwnError(Exception):
    pass


@pytest.mark.parametrize("sent_before", [b"", b"12345", DATA])
def test_the_sources_own_exception_comes_out_unchanged(
    driver: Any, container: Container, mock: Mock, sent_before: bytes
) -> None:
    error = _OwnError("mine")

    def source() -> Iterator[bytes]:
        yield sent_before
        raise error

    with pytest.raises(_OwnError) as caught:
        driver.upload_object_via_stream(source(), container, "object")
    assert caught.value is error
    initiated = "CreateMultipartUpload" in mock.verbs()
    assert ("AbortMultipartUpload" in mock.verbs()) == initiated
    assert "PutObject" not in mock.verbs() and "CompleteMultipartUpload" not in mock.verbs()


def test_a_generator_is_closed_when_the_upload_fails(
    driver: Any, container: Container, mock: Mock
) -> None:
    closed: list[bool] = []

    def source() -> Iterator[bytes]:
        try:
            while True:
                yield DATA
        finally:
            closed.append(True)

    mock.fails = {"UploadPart 2": [refused("access_denied", 403)]}
    with pytest.raises(LibcloudError):
        driver.upload_object_via_stream(source(), container, "object")
    assert closed == [True]


# -- helpers and flags that others use -------------------------------------------------------------


def test_all_uploads_of_streams_go_through_put_object_multipart(
    driver: Any, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(
        driver, "_put_object_multipart", lambda *args, **kwargs: seen.append(kwargs) or "result"
    )
    source = iter([b"x"])
    found = driver.upload_object_via_stream(source, container, "object", ex_storage_class="glacier")
    assert found == "result"
    assert seen[0]["stream"] is source
    assert seen[0]["storage_class"] == "glacier"


def test_upstreams_four_verbs_still_work_by_hand(
    driver: Any, container: Container, mock: Mock
) -> None:
    upload_id = driver._initiate_multipart(container, "object", headers={"x-amz-acl": "private"})
    assert upload_id == UPLOAD_ID
    chunks, _, size = driver._upload_multipart_chunks(
        container, "object", upload_id, iter([DATA[:10]]), calculate_hash=False
    )
    assert (chunks, size) == ([(1, PART_ETAGS[0])], 10)
    assert driver._commit_multipart(container, "object", upload_id, chunks).strip('"') == ETAG
    driver._abort_multipart(container, "object", upload_id)
    assert mock.verbs() == [
        "CreateMultipartUpload",
        "UploadPart 1",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
    ]


def test_upload_object_calls_upload_object_helper_with_upstreams_keywords(
    driver: Any, container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    seen: list[dict[str, Any]] = []

    def helper(**kwargs: Any) -> dict[str, Any]:
        seen.append(kwargs)
        response = SimpleNamespace(status=200, headers={"etag": '"abc"'})
        return {"response": response, "bytes_transferred": 1, "data_hash": "abc"}

    monkeypatch.setattr(driver, "_upload_object", helper)
    found = driver.upload_object(str(path), container, "object", extra={"acl": "private"})
    assert set(seen[0]) == {
        "object_name",
        "content_type",
        "request_path",
        "request_method",
        "headers",
        "file_path",
        "stream",
    }
    assert (found.hash, found.size, found.extra["acl"]) == ("abc", 1, "private")


HELPER_SOURCES: dict[str, Callable[[Path], Any]] = {
    **{name: lambda path, make=make: make() for name, make in SOURCES.items()},
    "plain file": lambda path: path.open("rb"),
    "unbuffered file": lambda path: path.open("rb", 0),
    "file from its position": lambda path: _sought(path.open("rb"), 4),
}


@pytest.mark.parametrize("kind", HELPER_SOURCES)
def test_the_upload_object_helper_takes_any_stream(
    driver: Any, container: Container, mock: Mock, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes((b"skip" if "position" in kind else b"") + DATA)
    source = HELPER_SOURCES[kind](path)
    sent = driver._upload_object(
        object_name="object",
        content_type=None,
        request_path="/bucket/object",
        request_method="PUT",
        headers={},
        file_path=None,
        stream=source,
    )
    if kind.endswith("file") or kind.startswith("file"):
        assert (source.closed, source.tell()) == (False, path.stat().st_size)
        source.close()
    assert mock.sent("PutObject").body == DATA
    assert sent["bytes_transferred"] == len(DATA)
    assert sent["data_hash"] == hashlib.md5(DATA).hexdigest()
    assert sent["response"].status == 200


def test_the_upload_object_helper_cuts_nothing_off(
    driver: Any, container: Container, mock: Mock
) -> None:
    with pytest.raises(ValueError, match="longer than one PUT"):
        driver._upload_object("object", None, "/bucket/object", stream=iter([b"x" * 101]))
    assert not mock.requests


def test_the_upload_object_helper_sends_nothing_but_a_plain_put(driver: Any, mock: Mock) -> None:
    for path, method in (("/bucket/object?acl", "PUT"), ("/bucket/object", "POST")):
        with pytest.raises(ValueError, match="plain PUT"):
            driver._upload_object("object", None, path, request_method=method, stream=b"x")
    assert not mock.requests


@pytest.mark.parametrize("source", ["file_path", "stream"])
def test_the_put_object_helper_leaves_the_callers_headers_alone(
    driver: Any, container: Container, mock: Mock, tmp_path: Path, source: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    headers = {"cache-control": "no-store"}
    extra = {"meta_data": {"name": "café  x.txt"}, "acl": "private"}
    given: Any = {source: str(path) if source == "file_path" else iter([b"", b"x"])}
    found = driver._put_object(container, "object", extra=extra, headers=headers, **given)
    assert (found.size, found.extra["acl"], found.meta_data) == (1, "private", extra["meta_data"])
    assert headers == {"cache-control": "no-store"}
    assert mock.sent("PutObject").headers["x-amz-acl"] == "private"


#: Each defect of upstream's driver by its letter (the list that this package began with), and the
#: beginnings of the tests, anywhere below tests/, that show that it is none of ours.
DEFECTS = {
    "A an empty chunk truncates": ["test_a_", "test_an_empty_chunk_is_not_the_end_by_hand"],
    "B keys are sanitised": ["test_b_", "test_the_object_of_exactly_this_name_is_deleted"],
    "C nothing is tried again": ["test_c_", "test_each_verb_by_hand_is_tried_again"],
    "D 48.8 GiB at most": ["test_d_"],
    "E one part at a time": ["test_e_"],
    "F small pieces cost quadratically": ["test_f_"],
    "G one thread only": ["test_g_"],
    "H aborts hide and miss": ["test_h_"],
    "I an error in a 200": ["test_i_", "test_an_error_in_the_200_of_complete_by_hand"],
    "J errors say nothing": ["test_each_error_is_libclouds_and_names_status_and_code",
                             "test_a_missing_bucket_is_the_containers_error"],
    "K the hash has quotes, or is none": ["test_k_"],
    "L metadata and signing": ["test_l_"],
    "M the caller's headers are changed": ["test_m_", "test_the_put_object_helper_leaves"],
    "N headers reach initiate only": ["test_n_"],
    "O a namespace is needed": ["test_o_", "test_a_listing_of_containers_needs_no_namespace"],
    "P SigV2": ["test_sigv2_is_refused_in_words", "test_every_provider_uploads_in_parts"],
    "Q a closed map of regions": ["test_q_"],
    "R endpoints": ["test_r_"],
    "S presigned URLs": ["test_a_url_is_what_the_drivers_endpoint_makes",
                         "test_keys_that_change_are_those_that_sign"],
    "T no time-out": ["test_t_", "test_a_stalled_answer_is_given_up_after_the_time_out"],
    "U netrc": ["test_u_"],
    "V the debug log": ["test_v_"],
    "W small objects": ["test_w_"],
    "X reading": ["test_x_", "test_chunks_have_exactly_the_size_asked_for",
                  "test_a_range_of_an_empty_object_is_empty",
                  "test_looking_up_an_object_is_one_request"],
    "Y drivers change one another": ["test_y_"],
    "Z the rest": ["test_z_"],
}  # fmt: skip


def test_each_defect_of_upstreams_driver_has_its_tests() -> None:
    known = {
        match[1]
        for path in Path(__file__).parents[1].rglob("test_*.py")
        for match in re.finditer(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert [name[0] for name in DEFECTS] == list(string.ascii_uppercase)
    for name, wanted in DEFECTS.items():
        for begin in wanted:
            assert any(each.startswith(begin) for each in known), f"{name}: no {begin}"


def test_the_flags_of_the_class() -> None:
    for name in (
        "supports_s3_multipart_upload",
        "http_vendor_prefix",
        "namespace",
        "hash_type",
        "ex_location_name",
        "website",
        "supports_chunked_encoding",
    ):
        assert getattr(AmazonS3MultipartDriver, name) == getattr(S3StorageDriver, name)
    assert issubclass(AmazonS3MultipartDriver, S3StorageDriver)


def test_attributes_that_apps_read(driver: Any) -> None:
    assert (driver.key, driver.secret, driver.secure) == ("key", "secret", True)
    assert (driver.region, driver.region_name, driver.token) == ("us-east-1", "us-east-1", None)
    assert driver.connection.host == "s3.amazonaws.com"
    assert "s3" in driver.name.lower()
    assert driver.connectionCls is AmazonS3MultipartDriver.connectionCls


# -- getting the class -----------------------------------------------------------------------------


def test_the_driver_has_a_name() -> None:
    assert get_driver("s3_multipart") is AmazonS3MultipartDriver
    assert get_driver(Provider.S3_MULTIPART) is AmazonS3MultipartDriver  # type: ignore[attr-defined]
    assert get_driver("S3_MULTIPART") is AmazonS3MultipartDriver


def test_registering_again_is_no_error() -> None:
    libcloud_s3mpu.register()
    libcloud_s3mpu.register()
    assert get_driver(Provider.S3) is S3StorageDriver


@pytest.fixture
def replaced() -> Iterator[None]:
    before = dict(DRIVERS)
    libcloud_s3mpu.register(replace=True)
    libcloud_s3mpu.register(replace=True)
    yield
    libcloud_s3mpu.unregister()
    assert dict(DRIVERS) == before


@pytest.mark.usefixtures("replaced")
def test_replacing_reaches_every_s3_name_and_nothing_else() -> None:
    assert issubclass(get_driver(Provider.S3), AmazonS3MultipartDriver)
    for name, (_, class_name) in DRIVERS.items():
        if name == "s3" or (name.startswith("s3_") and not name.startswith("s3_rgw")):
            cls = get_driver(name)
            assert issubclass(cls, AmazonS3MultipartDriver), name
            assert name == "s3_multipart" or cls.__name__ == class_name
    assert not issubclass(get_driver(Provider.AZURE_BLOBS), AmazonS3MultipartDriver)


@pytest.mark.usefixtures("replaced")
def test_a_replaced_region_uploads_to_its_region(mock: Mock) -> None:
    driver = get_driver(Provider.S3_EU_WEST)("key", "secret", ex_options=None)
    container = Container(name="bucket", extra={}, driver=driver)
    driver.upload_object_via_stream(iter([b"x"]), container, "object")
    assert mock.requests[0].host == "https://s3-eu-west-1.amazonaws.com"
    assert "/eu-west-1/s3/aws4_request" in mock.requests[0].headers["authorization"]


def test_ex_options_must_be_upload_options(driver: Any, container: Container) -> None:
    with pytest.raises(TypeError, match="UploadOptions"):
        driver.upload_object_via_stream(iter([b"x"]), container, "object", ex_options={"a": 1})
    with pytest.raises(TypeError, match="UploadOptions"):
        SmallDriver("key", "secret", ex_options={"part_size_bytes": 5})  # type: ignore[arg-type]


def test_ex_options_of_a_call_replace_the_drivers(
    driver: Any, container: Container, mock: Mock
) -> None:
    mock.type = "EMPTY_ETAG"
    from dataclasses import replace

    options = replace(OPTIONS, part_size_bytes=20)
    found = driver.upload_object_via_stream(iter([DATA]), container, "object", ex_options=options)
    assert found.extra["parts"] == 2
