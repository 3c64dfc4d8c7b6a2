# SPDX-License-Identifier: Apache-2.0
"""Upstream's defects A to Z: each letter's tests fail with the driver of libcloud 3.9.1.

Those that an upload meets. J, the error texts, has ``test_errors.py`` to itself; P (SigV2) and S
(presigned URLs) are other rooms', X (reading) is here only for what was uploaded compressed.
"""

from __future__ import annotations

import io
import gzip
import time
import logging
import threading
from typing import Any
from pathlib import Path
from dataclasses import replace
from urllib.parse import quote
from collections.abc import Iterator

import pytest
import requests
import libcloud.common.base
from libcloud.http import LibcloudConnection
from libcloud.common.types import LibcloudError, InvalidCredsError
from libcloud.storage.base import Container
from libcloud.utils.loggingconnection import LoggingConnection

from tests.fake_s3 import faults
from tests.driver.s3_mock import DATA, ETAG, UPLOAD_ID, S3MockHttp, refused, answered
from tests.fake_s3.config import ACCESS_KEY, SECRET_KEY
from tests.fake_s3.server import FakeServer
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from tests.driver.conftest import AT_ONCE, OPTIONS, SmallDriver

Mock = type[S3MockHttp]

#: Both roads of a request: the lean one, and libcloud's own way.
ROADS = pytest.mark.parametrize("road", ["lean", "plain"])


def upload(container: Container, source: Any = None, name: str = "object", **kwargs: Any) -> Any:
    if source is None:
        source = iter([DATA])
    return container.driver.upload_object_via_stream(source, container, name, **kwargs)


def connected(server: FakeServer, road: str = "lean", **kwargs: Any) -> Container:
    """Give the fake's bucket by a new driver; ``plain`` forces libcloud's own way."""
    where = {"secure": False, "host": "127.0.0.1", "port": server.port}
    driver = SmallDriver(ACCESS_KEY, SECRET_KEY, **{**where, "ex_options": OPTIONS, **kwargs})
    if road == "plain":
        # A hook on the session is a setting that only libcloud's way honours.
        driver.connection.connection.session.hooks["response"].append(lambda r, **_: r)
    assert driver.ex_transport == road
    return Container(name="bucket", extra={}, driver=driver)


# -- A: an empty chunk is not the end --------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_empty_chunks_do_not_truncate(container: Container, mock: Mock, at: int) -> None:
    chunks = [DATA[:10], DATA[10:20], DATA[20:]]
    chunks[at:at] = [b"", b"", b""]
    found = upload(container, iter(chunks))
    assert (found.size, found.hash) == (len(DATA), ETAG)


def test_a_a_source_of_nothing_but_empty_chunks_is_an_empty_object(
    container: Container, mock: Mock
) -> None:
    assert upload(container, iter([b"", b"", ""])).size == 0
    assert mock.verbs() == ["PutObject"]


def test_a_a_short_read_is_not_the_end(container: Container) -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(1)

    assert upload(container, Dribble(DATA)).hash == ETAG


# -- B: the key that was asked for -----------------------------------------------------------------

KEYS = [
    "/lead",
    "//lead",
    "a//b",
    "a/../b",
    "a/./b",
    "../other-bucket/x",
    "../../x",
    "./x",
    "trailing/",
    "trailing/..",
    "a b+c%2F%d?e#f&g;h=i",
    "~-._",
]


@ROADS
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("data", [b"small", DATA], ids=["put", "multipart"])
def test_b_a_key_is_stored_as_asked(
    fake_server: FakeServer, road: str, key: str, data: bytes
) -> None:
    container = connected(fake_server, road)
    upload(container, iter([data]), key)
    assert {name: o.body for name, o in fake_server.fake.objects["bucket"].items()} == {key: data}
    assert not fake_server.fake.objects["other-bucket"]
    found = container.driver.get_object("bucket", key)
    assert b"".join(container.driver.download_object_as_stream(found)) == data
    assert container.driver.delete_object(found) is True
    assert not fake_server.fake.objects["bucket"]


@pytest.mark.parametrize("key", ["/lead", "a//b", "a/../b", "../other-bucket/x", "./x"])
def test_b_a_connection_class_that_would_rewrite_the_key_is_not_used(
    container: Container, mock: Mock, key: str
) -> None:
    with pytest.raises(ValueError, match="rewrite"):
        upload(container, name=key)
    assert not mock.requests


# -- C: trying again -------------------------------------------------------------------------------

PASSING: list[Any] = [
    refused("internal_error", 500),
    refused("slow_down", 503),
    refused("slow_down", 429),
    refused("request_timeout", 400),
    (502, "<html>bad gateway</html>", {}, ""),
    (504, "", {}, ""),
    requests.exceptions.ConnectionError("reset"),
    requests.exceptions.Timeout("slow"),
]


@pytest.mark.parametrize("failure", PASSING, ids=range(len(PASSING)))
@pytest.mark.parametrize(
    "verb", ["CreateMultipartUpload", "UploadPart 1", "UploadPart 3", "CompleteMultipartUpload"]
)
def test_c_a_passing_failure_is_tried_again(
    container: Container, mock: Mock, verb: str, failure: Any
) -> None:
    mock.fails = {verb: [failure, failure]}
    found = upload(container)
    assert (found.size, found.hash) == (len(DATA), ETAG)
    assert "AbortMultipartUpload" not in mock.verbs()


@pytest.mark.parametrize("failure", PASSING, ids=range(len(PASSING)))
def test_c_a_small_object_is_tried_again_too(
    container: Container, mock: Mock, failure: Any, tmp_path: Path
) -> None:
    mock.fails = {"PutObject": [failure, failure]}
    assert upload(container, iter([b"x"])).size == 1
    mock.fails = {"PutObject": [failure, failure]}
    (tmp_path / "file").write_bytes(b"x")
    path = str(tmp_path / "file")
    assert container.driver.upload_object(path, container, "object").size == 1


def test_c_each_attempt_is_signed_anew(container: Container, mock: Mock) -> None:
    status, body, _, reason = refused("slow_down", 503)
    mock.fails = {"UploadPart 1": [(status, body, {"Retry-After": "1.1"}, reason)]}
    upload(container)
    first, second = (sent for sent in mock.requests if sent.verb == "UploadPart 1")
    assert first.body == second.body == DATA[:10]
    assert first.headers["x-amz-date"] < second.headers["x-amz-date"]
    assert first.headers["authorization"] != second.headers["authorization"]


@ROADS
def test_c_a_reset_connection_is_tried_again(fake_server: FakeServer, road: str) -> None:
    fake_server.fake.script("UploadPart", faults.reset("body", after_bytes=3), part_number=2)
    assert upload(connected(fake_server, road)).size == len(DATA)
    assert fake_server.fake.objects["bucket"]["object"].body == DATA
    assert not fake_server.fake.unspent


# -- D: no ceiling at 10,000 parts of one size -----------------------------------------------------


def test_d_parts_grow_so_that_their_number_suffices(container: Container, mock: Mock) -> None:
    mock.type = "EMPTY_ETAG"
    options = replace(OPTIONS, part_size_bytes=5)
    # 100 parts of 5 bytes are 500; the source does not say how long it is.
    found = upload(container, (b"123" for _ in range(300)), ex_options=options)
    assert found.size == 900
    sizes = [len(sent.body) for sent in mock.requests if "Part " in sent.verb]
    assert sizes[0] == 5 and len(sizes) <= 100 and sum(sizes) == 900
    assert sizes[:-1] == sorted(sizes[:-1])


def test_d_too_long_a_source_is_refused_before_it_is_sent_where_its_length_is_known(
    container: Container, mock: Mock
) -> None:
    with pytest.raises(ValueError, match="1001"):
        upload(container, b"x" * 1001)
    assert not mock.requests


# -- E: parallel -----------------------------------------------------------------------------------


@pytest.mark.lean
def test_e_parts_go_up_at_the_same_time(fake_server: FakeServer) -> None:
    container = connected(fake_server, ex_options=replace(OPTIONS, concurrency=3))
    with fake_server.hold_parts(until=3) as gate:
        upload(container)
    assert not gate.timed_out
    assert fake_server.max_parts_in_flight == 3


# -- F: many small pieces --------------------------------------------------------------------------


def test_f_lines_cost_little(mock: Mock) -> None:
    """10 MiB of 48-byte lines took upstream 13 s of CPU and more; 5 s is a slow machine's."""
    mock.type = "EMPTY_ETAG"
    driver = AmazonS3MultipartDriver(
        "key", "secret", ex_options=replace(OPTIONS, part_size_bytes=None)
    )
    container = Container(name="bucket", extra={}, driver=driver)
    line = b"x" * 47 + b"\n"
    count = 10 * 1024 * 1024 // len(line)
    began = time.process_time()
    found = upload(container, (line for _ in range(count)))
    assert time.process_time() - began < 5
    assert found.size == count * len(line)


# -- G: one driver, many threads -------------------------------------------------------------------


@ROADS
def test_g_threads_may_share_a_driver(fake_server: FakeServer, road: str) -> None:
    container = connected(fake_server, road)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                data = (b"%d-%d " % (number, turn)) * (1 + turn)
                name = f"{number}/{turn}"
                found = upload(container, iter([data]), name)
                assert found.size == len(data)
                back = container.driver.get_object("bucket", name)
                assert back.hash == found.hash
                assert b"".join(container.driver.download_object_as_stream(back)) == data
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert len(fake_server.fake.objects["bucket"]) == 160
    assert not fake_server.fake.uploads


# -- H: abort --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "abort", [refused("access_denied", 403), refused("internal_error", 500), (404, "", {}, "")]
)
def test_h_an_error_of_the_abort_does_not_replace_the_cause(
    container: Container, mock: Mock, abort: Any
) -> None:
    def source() -> Iterator[bytes]:
        yield DATA
        raise ZeroDivisionError("the user's own")

    mock.fails = {"AbortMultipartUpload": [abort] * 9}
    with pytest.raises(ZeroDivisionError, match="the user's own") as caught:
        upload(container, source())
    assert (getattr(caught.value, "cleanup_error", None) is None) == (abort[0] == 404)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
@pytest.mark.parametrize("where", ["source", "wire"])
def test_h_whatever_ends_the_upload_leaves_nothing_behind(
    container: Container, mock: Mock, error: type[BaseException], where: str
) -> None:
    def source() -> Iterator[bytes]:
        yield DATA
        if where == "source":
            raise error

    if where == "wire":
        mock.fails = {"UploadPart 2": [error()]}
    with pytest.raises(error):
        upload(container, source())
    assert "AbortMultipartUpload" in mock.verbs()
    assert mock.sent("AbortMultipartUpload").query["uploadId"] == UPLOAD_ID


def test_h_an_interrupt_during_initiate_is_not_swallowed(container: Container, mock: Mock) -> None:
    mock.fails = {"CreateMultipartUpload": [KeyboardInterrupt()]}
    with pytest.raises(KeyboardInterrupt):
        upload(container)
    assert mock.verbs() == ["CreateMultipartUpload"]


def test_h_an_abort_that_fails_in_passing_is_tried_again(container: Container, mock: Mock) -> None:
    mock.fails = {
        "UploadPart 2": [refused("access_denied", 403)],
        "AbortMultipartUpload": [refused("internal_error", 500)],
    }
    with pytest.raises(InvalidCredsError):
        upload(container)
    assert mock.verbs().count("AbortMultipartUpload") == 2


# -- I: complete's 200 with an error inside --------------------------------------------------------


def test_i_an_error_in_the_200_of_complete_is_tried_again(container: Container, mock: Mock) -> None:
    mock.fails = {"CompleteMultipartUpload": [answered("complete_multipart_error_200.xml")]}
    assert upload(container).hash == ETAG
    assert mock.verbs().count("CompleteMultipartUpload") == 2
    assert "AbortMultipartUpload" not in mock.verbs()


def test_i_an_error_in_the_200_of_complete_that_stays_is_named(
    container: Container, mock: Mock
) -> None:
    mock.fails = {
        "CompleteMultipartUpload": [answered("complete_multipart_error_200.xml")] * 9,
        "HeadObject": [(404, "", {}, "")] * 9,
    }
    with pytest.raises(LibcloudError, match="InternalError"):
        upload(container)


def test_i_white_space_before_completes_answer_does_no_harm(
    container: Container, mock: Mock
) -> None:
    mock.fails = {"CompleteMultipartUpload": [answered("complete_multipart_white_space.xml")]}
    assert upload(container).hash == ETAG


def test_i_a_lost_answer_to_complete_is_cleared_up_by_asking(
    container: Container, mock: Mock
) -> None:
    mock.fails = {
        "CompleteMultipartUpload": [
            requests.exceptions.ConnectionError("reset"),
            refused("no_such_upload", 404),
        ]
    }
    found = upload(container)
    assert (found.size, found.hash) == (len(DATA), ETAG)
    assert "AbortMultipartUpload" not in mock.verbs()


# -- K: the hash -----------------------------------------------------------------------------------


def test_k_the_hash_has_no_quotes(container: Container) -> None:
    assert upload(container).hash == ETAG
    assert '"' not in upload(container, iter([b"x"])).hash


def test_k_an_empty_etag_of_complete_is_made_up_from_the_parts(
    container: Container, mock: Mock
) -> None:
    mock.type = "EMPTY_ETAG"
    assert upload(container).hash == ETAG


def test_k_a_put_without_an_etag_is_asked_for_it(container: Container, mock: Mock) -> None:
    mock.fails = {"PutObject": [(200, "", {}, "OK")]}
    assert upload(container, iter([b"x"])).hash == ETAG  # The mock's HEAD says so.


# -- L: metadata and signing -----------------------------------------------------------------------

METADATA = {
    "spaces": "a  b   c",
    "name": "café.txt",
    "chinese": "文件.txt",
    "emoji": "🎉" * 30,
    "blanks": "  both ends ",
    "lookalike": "=?UTF-8?B?eA==?=",
    "empty": "",
    "tab": "a\tb",
}


@ROADS
@pytest.mark.parametrize("data", [b"small", DATA], ids=["put", "multipart"])
def test_l_metadata_of_any_text_is_signed_and_comes_back(
    fake_server: FakeServer, road: str, data: bytes
) -> None:
    container = connected(fake_server, road)
    upload(container, iter([data]), extra={"meta_data": METADATA})
    assert container.driver.get_object("bucket", "object").meta_data == METADATA


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_l_a_content_type_among_the_headers_counts_whatever_its_case(
    container: Container, mock: Mock, name: str
) -> None:
    upload(container, headers={name: "a/b"})
    sent = mock.sent("CreateMultipartUpload")
    assert sent.headers["content-type"] == "a/b"
    assert sent.headers["authorization"].count("content-type") == 1


def test_l_headers_that_proxies_rewrite_are_not_signed(container: Container, mock: Mock) -> None:
    upload(container)
    for sent in mock.requests:
        signed = sent.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        assert not {"user-agent", "accept-encoding", "connection"} & set(signed.split(";"))


# -- M: the caller's own dictionaries --------------------------------------------------------------


@pytest.mark.parametrize("data", [b"small", DATA], ids=["put", "multipart"])
def test_m_the_callers_dictionaries_stay_as_they_were(
    container: Container, data: bytes, tmp_path: Path
) -> None:
    headers = {"Cache-Control": "no-store"}
    extra = {"meta_data": {"a": "b"}, "acl": "public-read", "content_type": "a/b"}
    upload(container, iter([data]), headers=headers, extra=extra)
    (tmp_path / "file").write_bytes(data)
    path = str(tmp_path / "file")
    container.driver.upload_object(path, container, "object", headers=headers, extra=extra)
    assert headers == {"Cache-Control": "no-store"}
    assert extra == {"meta_data": {"a": "b"}, "acl": "public-read", "content_type": "a/b"}


# -- N: which headers go where ---------------------------------------------------------------------

SSE_C = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": "a2V5",
    "x-amz-server-side-encryption-customer-key-MD5": "bWQ1",
}
ON_ALL = {"x-amz-request-payer": "requester", "x-amz-expected-bucket-owner": "111122223333"}


def test_n_the_customers_key_is_on_every_part(container: Container, mock: Mock) -> None:
    upload(container, headers=SSE_C)
    for sent in mock.requests:
        for name, value in SSE_C.items():
            assert sent.headers[name.lower()] == value, sent.verb


def test_n_who_pays_and_whose_bucket_is_on_every_request(container: Container, mock: Mock) -> None:
    mock.fails = {"CompleteMultipartUpload": [refused("invalid_part", 400)]}
    with pytest.raises(LibcloudError):
        upload(container, headers=ON_ALL)
    assert "AbortMultipartUpload" in mock.verbs()
    for sent in mock.requests:
        for name, value in ON_ALL.items():
            assert sent.headers[name] == value, sent.verb


@pytest.mark.parametrize(
    "kwargs",
    [{"headers": {"If-None-Match": "*"}}, {"ex_options": replace(OPTIONS, if_none_match="*")}],
    ids=["headers", "options"],
)
def test_n_a_condition_is_on_complete_only(
    container: Container, mock: Mock, kwargs: dict[str, Any]
) -> None:
    upload(container, **kwargs)
    carrying = [sent.verb for sent in mock.requests if "if-none-match" in sent.headers]
    assert carrying == ["CompleteMultipartUpload"]


def test_n_a_condition_is_on_the_single_put(container: Container, mock: Mock) -> None:
    upload(container, iter([b"x"]), ex_options=replace(OPTIONS, if_match="abc"))
    assert mock.sent("PutObject").headers["if-match"] == '"abc"'


# -- O: XML without the namespace, or with another -------------------------------------------------


@pytest.mark.parametrize("kind", ["NO_NAMESPACE", "OTHER_NAMESPACE"])
def test_o_the_namespace_does_not_matter(container: Container, mock: Mock, kind: str) -> None:
    mock.type = kind
    assert upload(container).hash == ETAG


def test_o_listed_parts_need_no_namespace(container: Container, mock: Mock) -> None:
    mock.type = "NO_NAMESPACE"
    (part,) = container.driver.ex_list_parts(container, "object", UPLOAD_ID)
    assert (part.part_number, part.size) == (1, 10)


def test_o_listed_uploads_need_no_namespace(container: Container, mock: Mock) -> None:
    mock.type = "NO_NAMESPACE"
    (found,) = container.driver.ex_iterate_multipart_uploads(container)
    assert (found.key, found.id) == ("my-divisor", "id-1")


# -- Q: regions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "region", ["eu-south-2", "il-central-1", "mx-central-1", "ap-southeast-7", "us-northeast-9"]
)
def test_q_any_region_of_awss_shape(mock: Mock, region: str) -> None:
    driver = SmallDriver("key", "secret", region=region, ex_options=OPTIONS)
    upload(Container(name="bucket", extra={}, driver=driver), iter([b"x"]))
    (sent,) = mock.requests
    assert sent.host == f"https://s3.{region}.amazonaws.com"
    assert f"/{region}/s3/aws4_request" in sent.headers["authorization"]
    assert driver.region == driver.region_name == region


@pytest.mark.parametrize("region", ["auto", "garage", "fr-par", "us-west-004", "anything at all"])
def test_q_any_region_at_all_with_a_host(mock: Mock, region: str) -> None:
    driver = SmallDriver("key", "secret", region=region, host="s3.example", ex_options=OPTIONS)
    upload(Container(name="bucket", extra={}, driver=driver), iter([b"x"]))
    assert mock.requests[0].host == "https://s3.example"
    assert f"/{region}/s3/aws4_request" in mock.requests[0].headers["authorization"]


def test_q_a_region_of_no_known_shape_without_a_host_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Invalid or unsupported region: foo"):
        AmazonS3MultipartDriver("key", "secret", region="foo")


# -- R: endpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"host": "s3.example"}, "https://s3.example"),
        ({"host": "s3.example", "secure": False}, "http://s3.example"),
        ({"host": "s3.example", "port": 80}, "https://s3.example:80"),
        ({"host": "s3.example", "port": 443, "secure": False}, "http://s3.example:443"),
        ({"host": "s3.example", "port": 9000, "secure": False}, "http://s3.example:9000"),
        ({"ex_endpoint_url": "http://[::1]:9000"}, "http://[::1]:9000"),
        ({"ex_endpoint_url": "https://s3.example/"}, "https://s3.example"),
        ({"ex_endpoint_url": "http://s3.example:80"}, "http://s3.example"),
        ({"host": "::1", "port": 9000, "secure": False}, "http://[::1]:9000"),
    ],
)
def test_r_the_endpoint_is_the_one_that_was_given(
    mock: Mock, where: dict[str, Any], expected: str
) -> None:
    driver = SmallDriver("key", "secret", ex_options=OPTIONS, **where)
    upload(Container(name="bucket", extra={}, driver=driver), iter([b"x"]))
    assert mock.requests[0].host == expected
    assert mock.requests[0].url == "/bucket/object"


def test_r_an_endpoint_may_have_a_base_path(mock: Mock) -> None:
    mock._base_bucket_object = mock._bucket_object  # type: ignore[attr-defined]
    driver = SmallDriver(
        "key", "secret", ex_endpoint_url="https://s3.example/base", ex_options=OPTIONS
    )
    upload(Container(name="bucket", extra={}, driver=driver), iter([b"x"]))
    assert mock.requests[0].url == "/base/bucket/object"


# -- T: nothing hangs for ever ---------------------------------------------------------------------


@ROADS
@pytest.mark.parametrize("how", ["upload_object", "stream"])
def test_t_a_service_that_says_nothing_ends_in_an_error(
    fake_server: FakeServer, road: str, how: str, tmp_path: Path
) -> None:
    stall = faults.stall("answer")
    fake_server.fake.script("PutObject", stall, forever=True)
    options = replace(OPTIONS, retry=replace(AT_ONCE, max_attempts=1))
    container = connected(fake_server, road, timeout=0.5, ex_options=options)
    (tmp_path / "file").write_bytes(b"x")
    began = time.monotonic()
    with pytest.raises(requests.exceptions.Timeout) as caught:
        if how == "stream":
            upload(container, iter([b"x"]))
        else:
            container.driver.upload_object(str(tmp_path / "file"), container, "object")
    assert isinstance(caught.value, LibcloudError)
    assert time.monotonic() - began < 20


# -- U: ~/.netrc -----------------------------------------------------------------------------------


@ROADS
def test_u_netrc_does_not_replace_the_signature(
    fake_server: FakeServer, road: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert upload(connected(fake_server, road)).size == len(DATA)


def test_u_netrc_does_not_reach_a_replaced_connection_class(
    fake_server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(LibcloudConnection):  # type: ignore[misc]
        pass

    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setattr(AmazonS3MultipartDriver.connectionCls, "conn_class", Own)
    assert upload(connected(fake_server, "plain")).size == len(DATA)


# -- V: libcloud's debug log -----------------------------------------------------------------------


def test_v_the_debug_log_takes_binary_parts(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Logging(LoggingConnection):  # type: ignore[misc]
        log = io.StringIO()

    monkeypatch.setattr(AmazonS3MultipartDriver.connectionCls, "conn_class", Logging)
    data = bytes(range(166, 256))  # No UTF-8.
    container = connected(fake_server, "plain")
    assert upload(container, iter([data])).size == 90
    assert fake_server.fake.objects["bucket"]["object"].body == data


def test_v_our_own_log_holds_no_secrets(
    container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        upload(container)
    assert "Signature" not in caplog.text and "secret" not in caplog.text
    assert DATA[:10].decode() not in caplog.text


# -- W: small objects ------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"0123456789"])
def test_w_a_small_object_is_one_request(container: Container, mock: Mock, data: bytes) -> None:
    found = upload(container, iter([data]))
    assert mock.verbs() == ["PutObject"]
    assert "-" not in found.hash


@ROADS
@pytest.mark.parametrize("how", ["stream", "upload_object"])
def test_w_an_empty_object_is_sent_with_a_length(
    fake_server: FakeServer, road: str, how: str, tmp_path: Path
) -> None:
    """The fake answers ``Transfer-Encoding: chunked`` with 501, as S3 does."""
    container = connected(fake_server, road)
    (tmp_path / "empty").touch()
    if how == "stream":
        found = upload(container, iter([]))
    else:
        found = container.driver.upload_object(str(tmp_path / "empty"), container, "object")
    assert found.size == 0
    assert fake_server.fake.objects["bucket"]["object"].body == b""


# -- X: reading, as far as an upload's answer depends on it ----------------------------------------


@ROADS
def test_x_what_was_uploaded_compressed_is_read_as_it_was_sent(
    fake_server: FakeServer, road: str, tmp_path: Path
) -> None:
    container = connected(fake_server, road)
    data = gzip.compress(b"text" * 3)
    upload(container, iter([data]), headers={"content-encoding": "gzip"})
    found = container.driver.get_object("bucket", "object")
    assert found.extra["content_encoding"] == "gzip"
    target = tmp_path / "back"
    assert container.driver.download_object(found, str(target)) is True
    assert target.read_bytes() == data


# -- Y: nothing is shared between drivers ----------------------------------------------------------


def test_y_a_driver_does_not_change_another_ones_host_or_region(mock: Mock) -> None:
    before = dict(vars(AmazonS3MultipartDriver.connectionCls))
    first = SmallDriver("key", "secret", host="one.example", region="one", ex_options=OPTIONS)
    second = SmallDriver("key", "secret", host="two.example", region="two", ex_options=OPTIONS)
    third = SmallDriver("key", "secret", ex_options=OPTIONS)
    for driver in (first, second, third, first):
        upload(Container(name="bucket", extra={}, driver=driver), iter([b"x"]))
    assert [sent.host for sent in mock.requests] == [
        "https://one.example",
        "https://two.example",
        "https://s3.amazonaws.com",
        "https://one.example",
    ]
    for sent, region in zip(mock.requests, ("one", "two", "us-east-1", "one"), strict=True):
        assert f"/{region}/s3/" in sent.headers["authorization"]
    assert dict(vars(AmazonS3MultipartDriver.connectionCls)) == before
    assert SmallDriver.name == AmazonS3MultipartDriver.name == "Amazon S3"


# -- Z: the rest -----------------------------------------------------------------------------------


def test_z_an_expired_token_is_a_matter_of_credentials(container: Container, mock: Mock) -> None:
    mock.fails = {"UploadPart 2": [refused("expired_token", 400)]}
    with pytest.raises(InvalidCredsError, match="ExpiredToken"):
        upload(container)


def test_z_new_credentials_hold_from_the_next_request_on(container: Container, mock: Mock) -> None:
    upload(container, iter([b"x"]))
    connection = container.driver.connection
    connection.user_id, connection.key, connection.token = "other", "other secret", "session"
    upload(container, iter([b"x"]))
    assert "Credential=other/" in mock.requests[1].headers["authorization"]
    assert mock.requests[1].headers["x-amz-security-token"] == "session"


def test_z_a_storage_class_that_upstream_does_not_know_goes_by_headers(
    container: Container, mock: Mock
) -> None:
    upload(container, headers={"x-amz-storage-class": "EXPRESS_ONEZONE"})
    sent = mock.sent("CreateMultipartUpload")
    assert sent.headers["x-amz-storage-class"] == "EXPRESS_ONEZONE"


def test_z_a_space_in_a_query_is_not_a_plus(container: Container, mock: Mock) -> None:
    list(container.driver.ex_iterate_multipart_uploads(container, prefix="a b+c/ü"))
    assert f"prefix={quote('a b+c/ü', safe='')}" in mock.requests[0].url


def test_z_libclouds_own_retry_switch_does_no_harm(
    container: Container, mock: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libcloud.common.base, "RETRY_FAILED_HTTP_REQUESTS", True)
    mock.fails = {"UploadPart 2": [refused("internal_error", 500)]}
    assert upload(container).hash == ETAG
