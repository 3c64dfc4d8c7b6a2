# SPDX-License-Identifier: Apache-2.0
"""A bucket that tusd wrote is taken over, and ours can be read by what tusd does.

The objects are written by hand as tusd's s3store lays them out: ``<id>.info`` with its FileInfo,
``<id>.part`` with the bytes too few for a part, and a multipart upload whose id is in the upload's.
"""

from __future__ import annotations

import json
from typing import Any
from itertools import pairwise

import pytest

from tests.resumable.store import Bench, data, bench
from libcloud_s3mpu.resumable import UploadGoneError

NAME = "2aa02c5a4f1b6d7b6f2b0f3a7d8c9e01"


def mpu_id(_: int) -> str:
    return "VXBsb2FkIElE.abc_123-"


def tusd_info(
    id: str, *, size: int, deferred: bool = False, name: str = NAME, **fields: Any
) -> bytes:
    info = {
        "ID": id,
        "Size": 0 if deferred else size,
        "SizeIsDeferred": deferred,
        "Offset": 0,
        "MetaData": {"filename": "Menü.txt", "filetype": "text/plain"},
        "IsPartial": False,
        "IsFinal": False,
        "PartialUploads": None,
        "Storage": {"Bucket": "bucket", "Key": f"uploads/{name}", "Type": "s3store"},
        **fields,
    }
    return json.dumps(info).encode()


def put(found: Bench, key: str, body: bytes) -> None:
    found.store()._store.objects.put(key, body)


def begun(
    found: Bench,
    *,
    parts: list[bytes],
    tail: bytes = b"",
    size: int,
    name: str = NAME,
    **fields: Any,
) -> str:
    """Lay out an upload as tusd does; gives its id."""
    driver, container = found.service.driver, found.service.container
    key = f"uploads/{name}"
    # Only an initiate: the first part of a source that then breaks would abort it.
    from libcloud_s3mpu.protocol import wire
    from libcloud_s3mpu.protocol.integrity import BodyCheck

    target = wire.Target(bucket="bucket", key=key, headers={"content-type": "text/plain"})
    request = wire.initiate_request(target, BodyCheck(algorithm=None, is_signed=True))
    upload_id = wire.initiate_result(request, driver._transport.call(request))
    for number, body in enumerate(parts, 1):
        if body:
            driver.ex_upload_part(container, key, upload_id, number, body)
    id = f"{name}+{upload_id}"
    put(found, f"{key}.info", tusd_info(id, size=size, name=name, **fields))
    if tail:
        put(found, f"{key}.part", tail)
    return id


@pytest.mark.parametrize(
    ("parts", "tail"), [([], 0), ([], 3), ([8], 0), ([8, 8], 4), ([16, 5], 1)], ids=str
)
@pytest.mark.parametrize("deferred", [False, True])
def test_an_upload_that_tusd_began_goes_on(parts: list[int], tail: int, deferred: bool) -> None:
    body = data(40)
    cuts = [sum(parts[:n]) for n in range(len(parts) + 1)]
    with bench(name_upload=mpu_id) as found:
        id = begun(
            found,
            parts=[body[a:b] for a, b in pairwise(cuts)],
            tail=body[cuts[-1] : cuts[-1] + tail],
            size=40,
            deferred=deferred,
        )
        store = found.store()
        info = store.get(id)
        assert info.offset == sum(parts) + tail
        assert info.length == (None if deferred else 40)
        assert info.metadata["filename"] == "Menü.txt".encode()
        assert [each.offset for each in store.list()] == [info.offset]
        middle = info.offset + 2
        store.write(id, info.offset, body[info.offset : middle])
        info = store.write(id, middle, body[middle:])
        if deferred:
            info = store.declare_length(id, 40)
        assert info.complete and found.body(info) == body
        assert found.sides() == ["info"]


def test_a_gap_in_tusds_parts_is_seen() -> None:
    body = data(40)
    with bench(name_upload=mpu_id) as found:
        id = begun(found, parts=[body[:8], b"", body[16:24]], tail=body[24:26], size=40)
        store = found.store()
        assert store.get(id).offset == 8
        assert found.body(store.write(id, 8, body[8:])) == body


def test_an_upload_that_tusd_finished_is_finished() -> None:
    body = data(40)
    with bench(name_upload=mpu_id) as found:
        id = begun(found, parts=[body[:20], body[20:]], size=40)
        upload = next(iter(found.fake.uploads.values()))
        container = found.service.container
        parts = found.service.driver.ex_list_parts(container, upload.key, upload.upload_id)
        from libcloud_s3mpu.protocol import wire
        from libcloud_s3mpu.protocol.integrity import BodyCheck

        target = wire.Target(bucket="bucket", key=upload.key, headers={})
        check = BodyCheck(algorithm=None, is_signed=True)
        found.service.driver._transport.call(
            wire.complete_request(target, upload_id=upload.upload_id, parts=parts, check=check)
        )
        store = found.store()
        assert store.get(id).complete
        assert b"".join(store.read(id)) == body


def test_an_upload_of_tusds_that_was_aborted_is_gone_where_tusd_calls_it_finished() -> None:
    with bench(name_upload=mpu_id) as found:
        id = begun(found, parts=[data(8)], size=40)
        found.fake.uploads.clear()
        with pytest.raises(UploadGoneError):
            found.store().get(id)


def test_an_upload_of_ours_reads_in_tusd() -> None:
    """tusd finds the record, the upload id in the id, and the parts; it counts no tail of ours."""
    with bench(name_upload=mpu_id) as found:
        store = found.store()
        upload = store.create(length=40, metadata={"filename": "Menü".encode()}, partial=True)
        store.write(upload.id, 0, data(19))
        name, _, upload_id = upload.id.rpartition("+")
        fields = json.loads(found.objects[f"uploads/{name}.info"].body)
        assert (fields["ID"], fields["Size"], fields["SizeIsDeferred"]) == (upload.id, 40, False)
        assert (fields["IsPartial"], fields["IsFinal"]) == (True, False)
        assert fields["MetaData"] == {"filename": "Menü"}
        assert fields["Storage"] == {"Type": "s3store", "Bucket": "bucket", "Key": upload.key}
        parts = found.fake.uploads[upload_id].parts
        assert sum(part.size for part in parts.values()) == 16
        assert upload.key == f"uploads/{name}"


def test_side_objects_may_be_elsewhere() -> None:
    with bench() as found:
        store = found.store(object_prefix="files", metadata_object_prefix="meta/")
        upload = store.create(length=9)
        store.write(upload.id, 0, data(3))
        assert {key.partition("/")[0] for key in found.objects} == {"meta"}
        info = store.write(upload.id, 3, data(9)[3:])
        assert info.key.startswith("files/") and found.body(info) == data(9)


def test_a_join_that_tusd_put_as_one_object_is_finished() -> None:
    """It does so where one is small, and aborts the multipart upload later, or never."""
    with bench(name_upload=mpu_id) as found:
        id = begun(found, parts=[], size=11, IsFinal=True, PartialUploads=["a+b", "c+d"])
        store = found.store()
        assert not store.get(id).complete  # It is at it.
        put(found, f"uploads/{NAME}", b"joined here")
        assert store.get(id).complete and b"".join(store.read(id)) == b"joined here"


@pytest.mark.parametrize("name", ["people/7/film", "a+b", "~x'(1)*;@"])
def test_an_id_that_a_hook_of_tusds_chose_is_found(name: str) -> None:
    with bench(name_upload=mpu_id) as found:
        id = begun(found, parts=[data(8)], tail=data(11)[8:], size=20, name=name)
        store = found.store()
        assert store.get(id).offset == 11
        info = store.write(id, 11, data(20)[11:])
        assert info.key == f"uploads/{name}" and found.body(info) == data(20)
        assert [each.id for each in store.list()] == [id]


def test_a_record_of_tusds_first_years_is_read() -> None:
    """No Storage (before 1.0), and nothing for metadata: Go writes null."""
    with bench(name_upload=mpu_id) as found:
        id = begun(found, parts=[data(8)], size=20, MetaData=None, Storage=None)
        store = found.store()
        info = store.get(id)
        assert (info.offset, info.metadata, info.key) == (8, {}, f"uploads/{NAME}")
        assert store.write(id, 8, data(20)[8:]).complete


class Tusd:
    """What tusd does with an upload (s3store.go of v2.9.2: fetchInfo, WriteChunk, FinishUpload)."""

    PREFERRED, MINIMUM = 8, 5

    def __init__(self, found: Bench) -> None:
        self._found = found
        self._driver, self._container = found.service.driver, found.service.container

    def _info(self, id: str) -> dict[str, Any]:
        name = id.rpartition("+")[0]
        info: dict[str, Any] = json.loads(self._found.objects[f"uploads/{name}.info"].body)
        assert info["ID"] == id
        return info

    def _parts(self, id: str) -> list[Any]:
        name, _, multipart = id.rpartition("+")
        return list(self._driver.ex_list_parts(self._container, f"uploads/{name}", multipart))

    def _tail(self, id: str) -> bytes:
        found = self._found.objects.get(f"uploads/{id.rpartition('+')[0]}.part")
        return bytes(found.body) if found is not None else b""

    def offset(self, id: str) -> int:
        return sum(part.size for part in self._parts(id)) + len(self._tail(id))

    def write(self, id: str, data: bytes) -> None:
        name, _, multipart = id.rpartition("+")
        size, at = self._info(id)["Size"], self.offset(id) - len(self._tail(id))
        data = self._tail(id) + data
        self._found.objects.pop(f"uploads/{name}.part", None)
        number = len(self._parts(id)) + 1
        for begin in range(0, len(data), self.PREFERRED):
            piece = data[begin : begin + self.PREFERRED]
            is_final = at + begin + len(piece) == size
            if len(piece) >= self.MINIMUM or is_final:
                key = f"uploads/{name}"
                self._driver.ex_upload_part(self._container, key, multipart, number, piece)
            else:
                put(self._found, f"uploads/{name}.part", piece)
            number += 1

    def finish(self, id: str) -> None:
        from libcloud_s3mpu.protocol import wire
        from libcloud_s3mpu.protocol.integrity import BodyCheck

        name, _, multipart = id.rpartition("+")
        target = wire.Target(bucket="bucket", key=f"uploads/{name}", headers={})
        check = BodyCheck(algorithm=None, is_signed=True)
        answer = self._driver._transport.call(
            wire.complete_request(target, upload_id=multipart, parts=self._parts(id), check=check)
        )
        assert answer.status == 200


@pytest.mark.parametrize("ours", [0, 3, 8, 13, 19, 24], ids=str)
@pytest.mark.parametrize("again", [0, 2, 9], ids=str)
def test_tusd_goes_on_with_an_upload_of_ours(ours: int, again: int) -> None:
    body, other = data(40), bytes(255 - byte for byte in data(40))
    with bench(name_upload=mpu_id) as found:
        store, tusd = found.store(), Tusd(found)
        upload = store.create(length=40)
        store.write(upload.id, 0, body[:ours])
        at = tusd.offset(upload.id)
        assert at <= ours and ours - at < 8  # All but our tail.
        tusd.write(upload.id, other[at : at + again])
        middle = tusd.offset(upload.id)
        assert middle == at + again
        tusd.write(upload.id, other[middle:])
        assert tusd.offset(upload.id) == 40
        tusd.finish(upload.id)
        info = found.store().get(upload.id)  # And here it is seen that it was finished there.
        assert info.complete and info.length == 40
        assert found.body(info) == body[:at] + other[at:]
