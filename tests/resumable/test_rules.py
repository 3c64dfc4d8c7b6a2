# SPDX-License-Identifier: Apache-2.0
"""The eleven rules that a store of uploads keeps, by number."""

from __future__ import annotations

import io
import hashlib
import threading
from typing import Any

import pytest

from tests.fake_s3 import faults
from tests.resumable.store import Broken, data, bench
from libcloud_s3mpu.resumable import (
    FencedError,
    UploadGoneError,
    OffsetMismatchError,
    UploadNotFoundError,
)
from libcloud_s3mpu.protocol.errors import (
    S3MultipartError,
    AccessDeniedError,
    InvalidRequestError,
)
from libcloud_s3mpu.resumable.sizes import Sizes
from libcloud_s3mpu.resumable.headers import MARK, disposition, object_headers

MIB = 1024 * 1024
GIB = 1024 * MIB
TIB = 1024 * GIB
REAL = Sizes(
    minimum=5 * MIB,
    preferred=8 * MIB,
    maximum=5 * GIB,
    max_parts=10_000,
    max_object_size=5 * TIB,
)


# -- 1: only a gapless prefix of parts counts ----------------------------------------------------


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_1_parts_behind_a_gap_are_forgotten_and_their_numbers_used_again(failing: int) -> None:
    body, other = data(40), data(40, seed=9)
    with bench() as found:
        store = found.store()
        upload = store.create(length=40)
        found.fake.script("UploadPart", faults.error("AccessDenied"), part_number=failing)
        with pytest.raises(S3MultipartError):
            store.write(upload.id, 0, body)
        offset = store.get(upload.id).offset
        assert offset <= 8 * (failing - 1) and offset % 8 == 0
        info = store.write(upload.id, offset, other[offset:])
        assert info.complete
        assert found.body(info) == body[:offset] + other[offset:]


def test_1_what_arrived_before_a_failing_part_is_kept() -> None:
    with bench() as found:
        store = found.store(workers=1)
        upload = store.create(length=40)
        found.fake.script("UploadPart", faults.error("AccessDenied"), part_number=3)
        with pytest.raises(S3MultipartError):
            store.write(upload.id, 0, data(40))
        assert store.get(upload.id).offset == 16


# -- 2: a part is tried again under its number ---------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        faults.error("SlowDown"),
        faults.error("InternalError"),
        faults.reset(),
        faults.close(applied=True),
    ],
    ids=lambda fault: fault.name,
)
def test_2_a_part_whose_answer_is_lost_is_overwritten(fault: Any) -> None:
    body = data(40)
    with bench() as found:
        store = found.store()
        upload = store.create(length=40)
        found.fake.script("UploadPart", fault, part_number=2)
        info = store.write(upload.id, 0, body)
        assert found.body(info) == body
        numbers = [r.part_number for r in found.fake.requests_of("UploadPart")]
        assert sorted(numbers) == [1, 2, 2, 3, 4, 5]


# -- 3: the tail ---------------------------------------------------------------------------------


def tails(found: Any) -> list[str]:
    return [key for key in found.objects if key.endswith(".part")]


def test_3_a_tail_is_kept_until_its_bytes_are_in_a_part() -> None:
    body = data(30)
    with bench() as found:
        store = found.store()
        upload = store.create(length=30)
        assert store.write(upload.id, 0, body[:3]).offset == 3
        (tail,) = tails(found)
        found.fake.script("UploadPart", faults.error("AccessDenied"), part_number=1)
        with pytest.raises(S3MultipartError):
            store.write(upload.id, 3, body[3:])
        assert store.get(upload.id).offset == 3
        assert found.objects[tail].body == body[:3]
        assert found.body(store.write(upload.id, 3, body[3:])) == body
        assert found.sides() == ["info"]


def test_3_a_tail_that_is_left_over_is_not_counted_twice() -> None:
    body = data(30)
    with bench() as found:
        store = found.store()
        upload = store.create(length=30)
        store.write(upload.id, 0, body[:3])
        found.fake.script("DeleteObject", faults.error("AccessDenied"))
        store.write(upload.id, 3, body[3:16])  # Two whole parts: the tail's object is left over.
        assert len(tails(found)) == 1
        assert store.get(upload.id).offset == 16
        assert found.body(store.write(upload.id, 16, body[16:])) == body


def test_3_a_tail_that_somebody_removed_is_not_made_up() -> None:
    body = data(30)
    with bench() as found:
        store = found.store()
        upload = store.create(length=30)
        store.write(upload.id, 0, body[:11])
        del found.objects[tails(found)[0]]
        with pytest.raises(OffsetMismatchError) as caught:
            store.write(upload.id, 11, body[11:])
        assert caught.value.offset == store.get(upload.id).offset == 8
        assert found.body(store.write(upload.id, 8, body[8:])) == body


def test_3_a_tail_that_may_not_be_read_for_a_while_is_not_given_up() -> None:
    body = data(30)
    with bench() as found:
        store = found.store()
        upload = store.create(length=30)
        store.write(upload.id, 0, body[:11])
        found.fake.script("GetObject", faults.error("AccessDenied"), key=tails(found)[0])
        with pytest.raises(AccessDeniedError):
            store.write(upload.id, 11, body[11:])
        assert store.get(upload.id).offset == 11
        assert found.body(store.write(upload.id, 11, body[11:])) == body


def test_3_a_tail_that_somebody_replaced_is_not_believed() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=30)
        store.write(upload.id, 0, data(11))
        found.service.driver.upload_object_via_stream(
            iter([b"xyz"]), found.service.container, tails(found)[0]
        )
        with pytest.raises(OffsetMismatchError):
            store.write(upload.id, 11, b"more")


# -- 4: completion -------------------------------------------------------------------------------


def test_4_an_empty_upload_is_an_object_at_once() -> None:
    with bench() as found:
        info = found.store().create(length=0)
        assert info.complete and found.body(info) == b""


@pytest.mark.parametrize(
    "fault",
    [
        faults.error_in_200(),
        faults.error_in_200(applied=True),
        faults.close(applied=True),
        faults.reset(applied=True),
        faults.empty_body(applied=True),
        faults.error("SlowDown"),
        faults.white_space(40),
    ],
    ids=lambda fault: fault.name,
)
def test_4_a_doubtful_completion_ends_with_the_right_object(fault: Any) -> None:
    body = data(20)
    with bench() as found:
        store = found.store()
        upload = store.create(length=20)
        found.fake.script("CompleteMultipartUpload", fault)
        assert store.write(upload.id, 0, body).complete
        assert found.body(upload) == body
        assert found.fake.uploads == {}


@pytest.mark.parametrize("again", ["get", "write", "finish"])
def test_4_a_completion_that_failed_is_tried_again_by(again: str) -> None:
    body = data(20)
    with bench() as found:
        store = found.store()
        upload = store.create(length=20)
        found.fake.script("CompleteMultipartUpload", faults.error("AccessDenied"), forever=True)
        with pytest.raises(S3MultipartError):
            store.write(upload.id, 0, body)
        with pytest.raises(S3MultipartError):
            store.get(upload.id)  # Never an offset at the end before the object is there.
        found.fake.clear_scripts()
        if again == "get":
            assert store.get(upload.id).complete
        elif again == "write":
            assert store.write(upload.id, 20, b"").complete
        else:
            assert store.finish(upload.id).size == 20
        assert found.body(upload) == body


def test_4_an_upload_that_was_aborted_behind_our_back_is_gone_not_finished() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20)
        store.write(upload.id, 0, data(8))
        found.fake.uploads.clear()
        with pytest.raises(UploadGoneError):
            store.get(upload.id)
        with pytest.raises(UploadGoneError):
            store.write(upload.id, 8, data(12))


def test_4_a_foreign_object_of_the_same_name_and_size_proves_nothing() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20, key="named")
        store.write(upload.id, 0, data(8))
        found.fake.uploads.clear()
        found.service.driver.upload_object_via_stream(
            iter([bytes(20)]), found.service.container, "uploads/named"
        )
        with pytest.raises(UploadGoneError):
            store.get(upload.id)


def test_4_parts_that_somebody_replaced_are_not_joined() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20)
        store.write(upload.id, 0, data(16))
        upload_id = next(iter(found.fake.uploads))
        found.service.driver.ex_upload_part(
            found.service.container, upload.key, upload_id, 1, b"x" * 8
        )
        with pytest.raises(OffsetMismatchError):
            store.write(upload.id, 16, data(4))
        assert upload.key not in found.objects


# -- 5: create -----------------------------------------------------------------------------------


def test_5_a_create_whose_record_cannot_be_kept_aborts_its_upload() -> None:
    with bench() as found:
        found.fake.script("PutObject", faults.error("AccessDenied"))
        with pytest.raises(S3MultipartError):
            found.store().create(length=20)
        assert found.fake.uploads == {} and found.objects == {}


def test_5_a_key_that_cannot_be_is_refused_before_anything_is_sent() -> None:
    with bench() as found:
        with pytest.raises(InvalidRequestError):
            found.store().create(length=1, key="a\x00b")
        with pytest.raises(InvalidRequestError):
            found.store().create(length=1, extra={"sse": 1})
        assert found.asked() == []


# -- 6: terminate --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 11, 20])
def test_6_nothing_is_left_of_a_terminated_upload(size: int) -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20)
        if size:
            store.write(upload.id, 0, data(size))
        assert store.terminate(upload.id) is True
        assert store.terminate(upload.id) is False
        assert found.objects == {} and found.fake.uploads == {}
        with pytest.raises(UploadNotFoundError):
            store.get(upload.id)


def test_6_a_terminate_that_failed_goes_on() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=20)
        store.write(upload.id, 0, data(11))
        found.fake.script("AbortMultipartUpload", faults.error("AccessDenied"))
        with pytest.raises(S3MultipartError):
            store.terminate(upload.id)
        with pytest.raises(UploadGoneError):
            store.get(upload.id)
        assert store.terminate(upload.id) is True
        assert found.objects == {} and found.fake.uploads == {}


def test_6_a_write_under_way_acknowledges_nothing_after_a_terminate() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=40)

        class Stream(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() == 20:
                    store.terminate(upload.id)
                return super().read(4)

        with pytest.raises(S3MultipartError):
            store.write(upload.id, 0, Stream(data(40)))
        assert upload.key not in found.objects and found.fake.uploads == {}


# -- 8: part sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "expected"),
    [(1, 8 * MIB), (78 * GIB, 8 * MIB), (80_000 * MIB + 1, 9 * MIB), (5 * TIB, 525 * MIB)],
)
def test_8_parts_of_a_known_length_are_as_large_as_they_must_be(length: int, expected: int) -> None:
    assert REAL.full(1, 0, length) == expected


@pytest.mark.parametrize("length", [1, 80 * GIB, 80_000 * MIB + 1, 333 * GIB, 5 * TIB])
def test_8_every_length_fits_into_the_numbers(length: int) -> None:
    offset = number = 0
    while offset < length:
        number += 1
        offset += REAL.full(number, offset, length)
    assert number <= 10_000


def test_8_parts_of_an_unknown_length_double_and_reach_the_largest_object() -> None:
    sizes = [REAL.full(number, 0, None) for number in range(1, 10_001)]
    assert sizes[0] == sizes[999] == 8 * MIB and sizes[1000] == 16 * MIB
    assert sum(sizes) >= 5 * TIB and max(sizes) <= 5 * GIB


def test_8_short_parts_are_taken_only_while_the_numbers_suffice() -> None:
    """A client that sends 5 MiB at a time still reaches 5 TiB."""
    offset, number = 0, 1
    while REAL.takes_short(number, 5 * MIB, offset, None):
        offset += 5 * MIB
        number += 1
    rest = sum(REAL.full(n, 0, None) for n in range(number, 10_001))
    assert number > 100 and offset + rest >= 5 * TIB


def test_8_equal_parts_leave_everything_else_to_the_tail() -> None:
    body = data(60)
    with bench() as found:
        store = found.store(equal_parts=True)
        upload = store.create(length=60)
        offset = 0
        for size in (7, 13, 9, 1, 30):
            offset = store.write(upload.id, offset, body[offset : offset + size]).offset
        assert found.body(upload) == body
        assert set(found.objects[upload.key].part_sizes[:-1]) == {8}


# -- 9: metadata ---------------------------------------------------------------------------------


def test_9_metadata_is_kept_byte_for_byte_and_the_object_has_what_fits() -> None:
    metadata = {
        "filename": 'Menü "x".txt'.encode(),
        "filetype": b"text/plain",
        "raw": bytes(range(256)),
        "empty": b"",
        "large": b"x" * 10_000,
        "not a token": b"1",
        "s3mpu-upload": b"forged",
    }
    with bench() as found:
        store = found.store()
        upload = store.create(length=3, metadata=metadata)
        assert dict(store.get(upload.id).metadata) == metadata
        info = store.write(upload.id, 0, b"abc")
        assert dict(store.get(info.id).metadata) == metadata
        attributes = found.objects[info.key].attributes
        assert attributes.headers["content-type"] == "text/plain"
        assert "filename*=UTF-8''Men%C3%BC" in attributes.headers["content-disposition"]
        assert attributes.metadata["s3mpu-upload"] != "forged"
        assert "large" not in attributes.metadata


def test_9_headers_are_never_injected() -> None:
    name = "a\r\nx-amz-acl: public-read"
    made = object_headers({"filename": name.encode(), "x": b"1\r\n2", "filetype": b"a\r\nb"}, {})
    assert not any("\r" in value or "\n" in value for value in made.values())
    assert "content-type" not in made
    assert disposition('a"b\\c') == 'attachment; filename="a\\"b\\\\c"'
    assert MARK not in made


def test_9_extra_reaches_the_object() -> None:
    extra = {"storage_class": "standard_ia", "tags": {"a": "b c"}, "content_type": "image/png"}
    with bench() as found:
        store = found.store()
        info = store.write(store.create(length=1, extra=extra).id, 0, b"x")
        attributes = found.objects[info.key].attributes
        assert attributes.storage_class == "STANDARD_IA"
        assert attributes.tagging == "a=b%20c"
        assert attributes.headers["content-type"] == "image/png"


# -- 11: memory, and temporary files -------------------------------------------------------------


def test_11_no_more_than_the_budget_is_read_ahead_of_what_is_sent() -> None:
    with bench() as found:
        store = found.store(workers=3)
        upload = store.create(length=200)
        taken = threading.Event()
        read = [0]

        class Counting(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                piece = super().read(size)
                read[0] += len(piece)
                if read[0] >= 24:
                    taken.set()
                return piece

        with found.service.server.hold_parts() as gate:
            thread = threading.Thread(
                target=store.write, args=(upload.id, 0, Counting(data(200))), daemon=True
            )
            thread.start()
            assert taken.wait(30) and gate.wait_held(3)
            assert read[0] <= store.options.budget_bytes == 24
        thread.join(10)
        assert store.get(upload.id).complete


def test_11_no_temporary_file_unless_asked(tmp_path: Any, monkeypatch: Any) -> None:
    import tempfile

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file")

    body = data(60)
    with bench() as found:
        store = found.store(temporary_directory=str(tmp_path))
        upload = store.create(length=60)
        store.write(upload.id, 0, body[:21])
        assert found.body(store.write(upload.id, 21, body[21:])) == body
        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
        store = found.store()
        upload = store.create(length=60)
        assert found.body(store.write(upload.id, 0, body)) == body


# -- streams that break, and checksums -----------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 8, 12, 39])
def test_what_came_before_a_break_is_stored(size: int) -> None:
    body = data(40)
    with bench() as found:
        store = found.store()
        upload = store.create(length=40)
        with pytest.raises(ConnectionResetError):
            store.write(upload.id, 0, Broken(body[:size]))
        assert store.get(upload.id).offset == size
        assert found.body(store.write(upload.id, size, body[size:])) == body


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
@pytest.mark.parametrize("size", [3, 30])
def test_a_chunk_with_a_wrong_checksum_is_thrown_away_whole(algorithm: str, size: int) -> None:
    from libcloud_s3mpu.resumable import UploadChecksumError

    body = data(30)
    with bench() as found:
        store = found.store()
        upload = store.create(length=30)
        right = hashlib.new(algorithm, body[:size]).digest()
        wrong = hashlib.new(algorithm, b"other").digest()
        with pytest.raises(UploadChecksumError):
            store.write(upload.id, 0, body[:size], checksum=(algorithm, wrong))
        assert store.get(upload.id).offset == 0
        assert found.fake.requests_of("UploadPart") == []
        info = store.write(upload.id, 0, body[:size], checksum=(algorithm, lambda: right))
        assert info.offset == size


def test_a_writer_that_was_overtaken_acknowledges_nothing() -> None:
    with bench() as found:
        first, second = found.store(), found.store()  # Their lockers do not know each other.
        upload = first.create(length=40)

        class Stream(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() == 0:
                    second.write(upload.id, 0, b"abc")
                return super().read(3)

        with pytest.raises(FencedError):
            first.write(upload.id, 0, Stream(b"xyz"))
        assert first.get(upload.id).offset == 3
        assert found.body(second.write(upload.id, 3, data(37)))[:3] == b"abc"


def test_an_offset_is_asked_for_with_two_requests_at_most() -> None:
    with bench() as found:
        store = found.store()
        upload = store.create(length=40)
        for size in (0, 3, 20):
            store.write(upload.id, 0 if size < 20 else 3, data(size)[: size or 0])
            found.asked()
            store.get(upload.id)
            assert found.asked() == ["GetObject", "ListParts"]
        store.write(upload.id, store.get(upload.id).offset, data(17))
        found.asked()
        assert store.get(upload.id).complete
        assert found.asked() == ["GetObject"]
