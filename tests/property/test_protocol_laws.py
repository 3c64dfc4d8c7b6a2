# SPDX-License-Identifier: Apache-2.0
"""Laws of the pure half: cuts, encodings, round trips."""

from __future__ import annotations

from urllib.parse import unquote, parse_qsl

import pytest
from hypothesis import HealthCheck, given, assume, settings
from hypothesis import strategies as st

from tests.fake_s3 import ACCESS_KEY, SECRET_KEY, FakeS3, Request
from tests.fake_s3 import checksums as reference
from tests.property import strategies
from tests.fake_s3.messages import text_of, parse_xml, local_name
from libcloud_s3mpu.protocol import xml, wire, headers, checksums
from libcloud_s3mpu.protocol.errors import S3MultipartError, InvalidRequestError
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.signing import Signer, Credentials
from libcloud_s3mpu.protocol.endpoint import Endpoint, check_key, encode_key, encode_query
from libcloud_s3mpu.protocol.messages import S3Request, S3Response, service_error
from libcloud_s3mpu.protocol.partsize import part_schedule
from libcloud_s3mpu.protocol.integrity import BodyCheck

pytestmark = pytest.mark.property
NOTHING = BodyCheck(algorithm=None, is_signed=False)
TARGET = wire.Target(bucket="b", key="k", headers={})


# -- cuts ------------------------------------------------------------------------------------------


@given(strategies.limits(), st.data())
def test_any_known_length_within_the_limits_is_covered(limits: Limits, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, limits.max_object_size))
    base = data.draw(st.none() | st.integers(limits.min_part_size, limits.max_part_size))
    how = data.draw(st.sampled_from(["size", "size_hint"]))
    schedule = part_schedule(limits, part_size=base, **{how: size})
    assert schedule.reach >= size


@given(strategies.limits(), st.data())
def test_no_part_is_smaller_than_the_least_or_larger_than_the_most(
    limits: Limits, data: st.DataObject
) -> None:
    size = data.draw(st.none() | st.integers(0, limits.max_object_size))
    base = data.draw(st.none() | st.integers(limits.min_part_size, limits.max_part_size))
    schedule = part_schedule(limits, part_size=base, size=size)
    sizes = [schedule.size_of(n) for n in range(1, limits.max_parts + 1)]
    assert limits.min_part_size <= min(sizes) <= max(sizes) <= limits.max_part_size
    assert sizes == sorted(sizes)
    if base is not None and size is None:
        assert sizes[0] == base
    if limits.uniform_parts:
        assert len(set(sizes)) == 1


@given(strategies.limits(), st.data())
def test_offsets_are_the_sums_of_the_sizes(limits: Limits, data: st.DataObject) -> None:
    size = data.draw(st.none() | st.integers(0, limits.max_object_size))
    schedule = part_schedule(limits, size=size)
    offset = 0
    for number in range(1, limits.max_parts + 1):
        assert schedule.offset_of(number) == offset
        offset += schedule.size_of(number)
    assert schedule.reach == offset


@given(strategies.limits(), st.data())
def test_the_same_numbers_give_the_same_cuts(limits: Limits, data: st.DataObject) -> None:
    size = data.draw(st.none() | st.integers(0, limits.max_object_size))
    assert part_schedule(limits, size=size) == part_schedule(limits, size=size)


@given(strategies.limits(), st.integers(1, 10_000))
def test_what_is_larger_than_the_largest_object_is_refused(limits: Limits, more: int) -> None:
    with pytest.raises(ValueError, match="more than the largest object"):
        part_schedule(limits, size=limits.max_object_size + more)


# -- names and headers -----------------------------------------------------------------------------


@given(strategies.keys)
def test_a_key_comes_back_from_its_path_and_the_path_is_plain(key: str) -> None:
    path = encode_key(key)
    assert unquote(path) == key
    assert path.isascii() and not set(path) & set(" ?#\\\"<>+'&;:")
    assert path.count("/") == key.count("/")


@given(st.text(max_size=300))
def test_a_key_is_taken_or_refused_and_what_is_taken_can_be_listed(key: str) -> None:
    try:
        check_key(key, container="b")
    except InvalidRequestError:
        return
    assert 1 <= len(key.encode()) <= 1024
    body = xml.build("L", [("C", [("Key", key)])])
    (item,) = xml.children(xml.parse(body), "C")
    assert (xml.text_of(item, "Key") or "").replace("\r\n", "\n") == key.replace("\r\n", "\n")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20)), max_size=5))
def test_a_query_comes_back(pairs: list[tuple[str, str]]) -> None:
    query = encode_query(tuple(pairs))
    assert query.isascii() and " " not in query and "+" not in query
    assert sorted(parse_qsl(query, keep_blank_values=True)) == sorted(pairs)


@given(strategies.metadata)
def test_any_text_in_metadata_comes_back(value: str) -> None:
    sent = headers.encode_metadata_value("x-amz-meta-a", value)
    assert sent.isascii()
    assert sent == sent.strip()
    assert headers.decode_metadata_value(sent) == value


@given(st.text(max_size=80))
def test_metadata_is_refused_or_arrives_and_never_breaks_a_line(value: str) -> None:
    try:
        sent = headers.metadata_headers({"a": value}, prefix="x-amz")["x-amz-meta-a"]
    except InvalidRequestError:
        assert any(ord(c) < 32 or ord(c) == 127 for c in value)
        return
    assert "\r" not in sent and "\n" not in sent
    assert headers.decode_metadata_value(sent) == value


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_headers_are_refused_or_clean_and_the_callers_dict_stays(given_: dict[str, str]) -> None:
    before = dict(given_)
    try:
        result = headers.checked_headers(given_)
    except InvalidRequestError:
        result = {}
    assert given_ == before
    for name, value in result.items():
        assert name == name.lower()
        assert not any(ord(c) < 32 and c != "\t" for c in name + value)


@given(st.text(max_size=200))
def test_what_decodes_nothing_never_raises(value: str) -> None:
    headers.decode_metadata_value(value)


# -- requests and answers --------------------------------------------------------------------------


@given(strategies.uploaded_parts())
def test_complete_says_exactly_the_parts(parts: list) -> None:  # type: ignore[type-arg]
    request = wire.complete_request(TARGET, upload_id="u", parts=parts, check=NOTHING)
    assert request.body is not None
    root = parse_xml(b"".join(request.body.buffers()), "CompleteMultipartUpload")
    rows = [{local_name(e): e.text or "" for e in part} for part in root]
    assert rows == [
        {"PartNumber": str(part.part_number), "ETag": f'"{part.etag}"'} for part in parts
    ]
    assert text_of(root) == ""


@given(strategies.etags)
def test_an_etag_comes_back_from_its_quotes(etag: str) -> None:
    assert wire.unquoted(f'"{etag}"') == wire.unquoted(etag) == etag


@given(strategies.uploaded_parts())
def test_a_page_of_parts_comes_back(parts: list) -> None:  # type: ignore[type-arg]
    rows = [
        ("Part", [("PartNumber", str(p.part_number)), ("Size", str(p.size)), ("ETag", p.etag)])
        for p in parts
    ]
    body = xml.build("ListPartsResult", rows)
    request = wire.list_parts_request(TARGET, upload_id="u")
    page = wire.list_parts_result(request, S3Response(status=200, headers={}, body=body))
    assert list(page.parts) == parts


@given(st.binary(max_size=300))
def test_any_bytes_as_an_answer_are_read_or_refused_by_our_errors(body: bytes) -> None:
    answer = S3Response(status=200, headers={"etag": '"e"'}, body=body)
    initiate = wire.initiate_request(TARGET, NOTHING)
    complete = wire.complete_request(TARGET, upload_id="u", parts=[], check=NOTHING)
    for read in (
        lambda: wire.initiate_result(initiate, answer),
        lambda: wire.complete_result(complete, answer, NOTHING),
        lambda: wire.list_parts_result(wire.list_parts_request(TARGET, upload_id="u"), answer),
    ):
        with pytest.raises(S3MultipartError):
            read()


@given(st.integers(300, 599), st.binary(max_size=200), st.text(max_size=30))
def test_any_refusal_becomes_one_error_of_one_line(status: int, body: bytes, said: str) -> None:
    request = S3Request(operation="UploadPart", method="PUT", bucket="b", key="k")
    answer = S3Response(status=status, headers={"retry-after": said}, body=body)
    error = service_error(request, answer)
    assert error.http_status == status
    assert "\n" not in str(error)
    assert str(status) in str(error)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(strategies.keys, strategies.upload_ids, strategies.metadata)
def test_what_is_signed_is_what_the_service_verifies(key: str, upload_id: str, value: str) -> None:
    assume(len(key.encode()) <= 1024)
    fake = FakeS3(buckets=("bucket",))
    endpoint = Endpoint("http", "fake", 80)
    now = fake.clock()
    path = endpoint.path("bucket", key)
    query = encode_query((("uploadId", upload_id), ("partNumber", "1")))
    given_ = {
        "host": "fake",
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-content-sha256": checksums.EMPTY_SHA256,
        "content-length": "0",
        **headers.metadata_headers({"m": value}, prefix="x-amz"),
    }
    signer = Signer(Credentials(ACCESS_KEY, SECRET_KEY), region="us-east-1")
    given_["authorization"] = signer.authorization(
        method="PUT", path=path, query=query, headers=given_, amz_date=given_["x-amz-date"]
    )
    answer = fake.handle(Request.of("PUT", f"{path}?{query}", given_))
    assert answer.code == "NoSuchUpload"  # Understood and verified; there is no such upload.
    record = fake.requests[-1]
    assert (record.key, record.upload_id) == (key, upload_id)


# -- checksums of a whole --------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
@given(parts=st.lists(st.binary(max_size=40), max_size=12))
def test_the_crc_of_a_whole_is_that_of_its_parts_combined(
    algorithm: str, parts: list[bytes]
) -> None:
    digest = reference.ALGORITHMS[algorithm.upper()]
    combined = checksums.combined_crc(algorithm, [(digest(part), len(part)) for part in parts])
    assert combined == digest(b"".join(parts))
