# SPDX-License-Identifier: Apache-2.0
"""Objects of every size arrive whole, by every road; what fails leaves nothing behind."""

from __future__ import annotations

import io
from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest
from libcloud.common.types import LibcloudError, InvalidCredsError
from libcloud.storage.base import Container
from libcloud.storage.types import ObjectDoesNotExistError, ContainerDoesNotExistError

import libcloud_s3mpu as ours
from tests.servers.base import Endpoint
from tests.contract.conftest import MIB, read, chunks, connect, pattern
from libcloud_s3mpu.protocol.checksums import ALGORITHMS, is_available

pytestmark = pytest.mark.contract

PART = 5 * MIB
SIZES = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 7]
LARGE = 12 * MIB + 345


def at_rest(driver: Any, container: Any, name: str, data: bytes, uploaded: Any) -> None:
    """Check an object from every side that libcloud has."""
    found = driver.get_object(container.name, name)
    assert found.size == uploaded.size == len(data)
    assert found.hash == uploaded.hash
    assert uploaded.hash and '"' not in uploaded.hash
    (listed,) = driver.list_container_objects(container)
    assert (listed.name, listed.size, listed.hash) == (name, len(data), uploaded.hash)
    assert b"".join(driver.download_object_as_stream(found)) == data


@pytest.mark.on_real(size=[0, PART, PART + 1], road=["lean"])
@pytest.mark.parametrize("size", SIZES)
def test_an_object_of_each_size_arrives_whole(container: Any, road: Any, size: int) -> None:
    driver, data = road(), pattern(size)
    uploaded = driver.upload_object_via_stream(chunks(data), container, "object")
    at_rest(driver, container, "object", data, uploaded)
    assert ("-" in uploaded.hash) == (size > PART)


@pytest.mark.on_real(concurrency=[None])
@pytest.mark.parametrize("concurrency", [1, 4, None])
def test_a_large_object_arrives_whole(container: Any, road: Any, concurrency: int | None) -> None:
    driver, data = road(), pattern(LARGE, seed=1)
    options = ours.UploadOptions(concurrency=concurrency)
    uploaded = driver.upload_object_via_stream(
        chunks(data), container, "object", ex_options=options
    )
    at_rest(driver, container, "object", data, uploaded)
    assert uploaded.extra["parts"] == 3


def test_many_parts_at_once(container: Any, driver: Any) -> None:
    data = pattern(40 * MIB + 1)
    options = ours.UploadOptions(concurrency=8)
    uploaded = driver.upload_object_via_stream(
        chunks(data), container, "object", ex_options=options
    )
    assert uploaded.extra["parts"] == 9
    at_rest(driver, container, "object", data, uploaded)


def test_lines(container: Any, driver: Any) -> None:
    line = b"x" * 47 + b"\n"
    count = 11 * MIB // len(line)
    uploaded = driver.upload_object_via_stream((line for _ in range(count)), container, "object")
    at_rest(driver, container, "object", line * count, uploaded)


def test_a_file_like_of_text(container: Any, driver: Any) -> None:
    text = "é文🎉" * 1000
    uploaded = driver.upload_object_via_stream(io.StringIO(text), container, "object")
    at_rest(driver, container, "object", text.encode(), uploaded)


def test_an_object_is_replaced(container: Any, driver: Any) -> None:
    driver.upload_object_via_stream(chunks(pattern(PART + 1)), container, "object")
    uploaded = driver.upload_object_via_stream(iter([b"new"]), container, "object")
    at_rest(driver, container, "object", b"new", uploaded)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.on_real(size=[0, 12 * MIB], verify_hash=[True], road=["lean", "plain"])
@pytest.mark.parametrize("size", [0, 1000, 12 * MIB])
@pytest.mark.parametrize("verify_hash", [True, False])
def test_a_file(container: Any, road: Any, tmp_path: Path, size: int, verify_hash: bool) -> None:
    driver, data, path = road(), pattern(size, seed=2), tmp_path / "file"
    path.write_bytes(data)
    uploaded = driver.upload_object(str(path), container, "object", verify_hash=verify_hash)
    at_rest(driver, container, "object", data, uploaded)
    back = tmp_path / "back"
    assert driver.download_object(driver.get_object(container.name, "object"), str(back)) is True
    assert back.read_bytes() == data


@pytest.mark.on_real(start=[PART - 1, PART])
@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, PART), (PART - 1, PART + 1), (PART, None), (6 * MIB, 6 * MIB + 9)],
)
def test_a_range(container: Any, driver: Any, tmp_path: Path, start: int, end: int | None) -> None:
    data = pattern(PART + MIB + 9)
    driver.upload_object_via_stream(chunks(data), container, "object")
    found = driver.get_object(container.name, "object")
    back = tmp_path / "back"
    assert driver.download_object_range(found, str(back), start, end) is True
    assert back.read_bytes() == data[start:end]
    streamed = driver.download_object_range_as_stream(found, start, end)
    assert b"".join(streamed) == data[start:end]


# -- failures --------------------------------------------------------------------------------------


class OwnError(Exception):
    pass


@pytest.mark.on_real(error=[KeyboardInterrupt], after=[1000, 3 * PART], concurrency=[None])
@pytest.mark.parametrize("error", [OwnError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("after", [0, 1000, PART + 1, 3 * PART])
@pytest.mark.parametrize("concurrency", [1, None])
def test_a_source_that_fails_leaves_nothing(
    container: Any, driver: Any, error: type[BaseException], after: int, concurrency: int | None
) -> None:
    def source() -> Iterator[bytes]:
        yield from chunks(pattern(after))
        raise error

    options = ours.UploadOptions(concurrency=concurrency)
    with pytest.raises(error):
        driver.upload_object_via_stream(source(), container, "object", ex_options=options)
    assert driver.list_container_objects(container) == []
    assert list(driver.ex_iterate_multipart_uploads(container)) == []


def test_a_failed_replacement_leaves_the_old_object(container: Any, driver: Any) -> None:
    def source() -> Iterator[bytes]:
        yield pattern(PART + 1)
        raise OwnError

    uploaded = driver.upload_object_via_stream(iter([b"old"]), container, "object")
    with pytest.raises(OwnError):
        driver.upload_object_via_stream(source(), container, "object")
    at_rest(driver, container, "object", b"old", uploaded)


@pytest.mark.on_real(road=["lean"])
@pytest.mark.parametrize("size", [10, PART + 1])
def test_a_missing_bucket(road: Any, tmp_path: Path, size: int) -> None:
    driver = road()
    nowhere = Container(name="there-is-no-such-bucket", extra={}, driver=driver)
    (tmp_path / "file").write_bytes(pattern(size))
    with pytest.raises(ContainerDoesNotExistError, match="404"):
        driver.upload_object_via_stream(chunks(pattern(size)), nowhere, "object")
    with pytest.raises(ContainerDoesNotExistError, match="404"):
        driver.upload_object(str(tmp_path / "file"), nowhere, "object")
    with pytest.raises(ContainerDoesNotExistError):
        driver.get_container(nowhere.name)


def test_a_missing_object(container: Any, driver: Any) -> None:
    with pytest.raises(ObjectDoesNotExistError):
        driver.get_object(container.name, "object")


@pytest.mark.parametrize("size", [10, PART + 1])
def test_a_wrong_secret(endpoint: Endpoint, container: Any, size: int) -> None:
    if "no-signatures" in endpoint.quirks:
        pytest.skip("this server checks no signature")
    driver = connect(endpoint)
    driver.connection.key = "wrong"
    with pytest.raises(InvalidCredsError, match="403"):
        driver.upload_object_via_stream(chunks(pattern(size)), container, "object")


def test_an_unknown_access_key(endpoint: Endpoint, container: Any) -> None:
    if "no-signatures" in endpoint.quirks:
        pytest.skip("this server checks no signature")
    driver = connect(endpoint)
    driver.connection.user_id = "nobody:known"
    with pytest.raises(InvalidCredsError, match="403"):
        driver.upload_object_via_stream(iter([b"x"]), container, "object")


# -- checks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
@pytest.mark.parametrize("checksum", [*ALGORITHMS, None])
def test_each_checksum(container: Any, driver: Any, checksum: str | None, size: int) -> None:
    if checksum is not None and not is_available(checksum):
        pytest.skip(f"{checksum} needs a wheel that is not installed")
    data = pattern(size)
    options = ours.UploadOptions(checksum=checksum, sign_payload=False)
    uploaded = driver.upload_object_via_stream(
        chunks(data), container, "object", ex_options=options
    )
    at_rest(driver, container, "object", data, uploaded)


@pytest.mark.on_real(size=[10, PART + 1], road=["lean"])
@pytest.mark.parametrize("size", [0, 10, PART + 1])
@pytest.mark.parametrize("sign_payload", [True, False])
def test_signed_and_unsigned_payloads(
    container: Any, road: Any, sign_payload: bool, size: int
) -> None:
    driver, data = road(), pattern(size)
    options = ours.UploadOptions(sign_payload=sign_payload)
    uploaded = driver.upload_object_via_stream(
        chunks(data), container, "object", ex_options=options
    )
    at_rest(driver, container, "object", data, uploaded)


@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
def test_if_none_match(container: Any, driver: Any, size: int) -> None:
    options = ours.UploadOptions(if_none_match="*")
    old, new = pattern(size), pattern(size, seed=1)
    uploaded = driver.upload_object_via_stream(chunks(old), container, "object", ex_options=options)
    with pytest.raises(ours.PreconditionFailedError, match=r"412|exists already"):
        driver.upload_object_via_stream(chunks(new), container, "object", ex_options=options)
    at_rest(driver, container, "object", old, uploaded)


def test_if_none_match_of_what_is_made_meanwhile(
    endpoint: Endpoint, container: Any, driver: Any
) -> None:
    if "complete-ignores-conditions" in endpoint.quirks:
        pytest.skip("this server ignores conditions on complete")
    made: list[Any] = []

    def source() -> Iterator[bytes]:
        yield pattern(PART)
        yield pattern(PART)  # It is begun once there is more than one part.
        made.append(driver.upload_object_via_stream(chunks(b"other"), container, "object"))
        yield b"end"

    options = ours.UploadOptions(if_none_match="*", concurrency=1)
    with pytest.raises(ours.PreconditionFailedError, match="412"):
        driver.upload_object_via_stream(source(), container, "object", ex_options=options)
    at_rest(driver, container, "object", b"other", made[0])


# -- parts by hand ---------------------------------------------------------------------------------


def test_parts_are_listed_and_aborted(container: Any, driver: Any) -> None:
    upload_id = driver._initiate_multipart(container, "a/object")
    sent = [
        driver.ex_upload_part(container, "a/object", upload_id, number, pattern(size, seed=number))
        for number, size in ((1, PART), (2, PART), (7, 11))
    ]
    listed = driver.ex_list_parts(container, "a/object", upload_id)
    assert [(p.part_number, p.size, p.etag) for p in listed] == [
        (p.part_number, p.size, p.etag) for p in sent
    ]
    (under_way,) = driver.ex_iterate_multipart_uploads(container)
    assert (under_way.key, under_way.id) == ("a/object", upload_id)
    assert driver.ex_abort_upload(container, "a/object", upload_id) is True
    assert list(driver.ex_iterate_multipart_uploads(container)) == []
    assert driver.ex_abort_upload(container, "a/object", upload_id) is True
    with pytest.raises(ours.UploadMissingError):
        driver.ex_list_parts(container, "a/object", upload_id)


def test_uploads_under_way_are_cleaned_up_by_prefix(container: Any, driver: Any) -> None:
    names = ["a/1", "a/2", "b/1"]
    for name in names:
        driver._initiate_multipart(container, name)
    found = [each.key for each in driver.ex_iterate_multipart_uploads(container)]
    assert sorted(found) == names
    driver.ex_cleanup_all_multipart_uploads(container, prefix="a/")
    assert [each.key for each in driver.ex_iterate_multipart_uploads(container)] == ["b/1"]
    driver.ex_cleanup_all_multipart_uploads(container)
    assert list(driver.ex_iterate_multipart_uploads(container)) == []


def test_a_kept_upload_names_its_id_and_holds_its_parts(container: Any, driver: Any) -> None:
    def source() -> Iterator[bytes]:
        yield pattern(2 * PART)
        raise ours.InvalidRequestError("the source's own")

    options = ours.UploadOptions(on_failure="keep", concurrency=1)
    with pytest.raises(ours.S3MultipartError) as caught:
        driver.upload_object_via_stream(source(), container, "object", ex_options=options)
    upload_id = caught.value.upload_id
    assert upload_id and caught.value.resumable
    assert driver.ex_list_parts(container, "object", upload_id)
    driver.ex_abort_upload(container, "object", upload_id)


# -- connections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, PART + 1], ids=["put", "multipart"])
def test_connections_are_used_again(
    endpoint: Endpoint, container: Any, driver: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    if "closes-connections" in endpoint.quirks:
        pytest.skip("this server closes every connection")
    import urllib3.util.connection as dialler

    made: list[Any] = []
    create = dialler.create_connection

    def counting(address: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(address)
        return create(address, *args, **kwargs)

    monkeypatch.setattr(dialler, "create_connection", counting)
    options = ours.UploadOptions(concurrency=1)
    for turn in range(5):
        driver.upload_object_via_stream(
            chunks(pattern(size)), container, f"object-{turn}", ex_options=options
        )
    assert len(made) <= 1  # None, where the container was made over one that is kept.
    for turn in range(5):
        assert read(driver, container, f"object-{turn}") == pattern(size)
    assert len(made) <= 1


@pytest.mark.on_real(road=["lean", "plain"])
def test_an_error_does_not_spoil_the_connection(container: Any, road: Any) -> None:
    driver = road()
    nowhere = Container(name="there-is-no-such-bucket", extra={}, driver=driver)
    for turn in range(3):
        with pytest.raises(LibcloudError):
            driver.upload_object_via_stream(iter([b"x" * 100_000]), nowhere, "object")
        data = pattern(1000, seed=turn)
        driver.upload_object_via_stream(iter([data]), container, "object")
        assert read(driver, container, "object") == data
