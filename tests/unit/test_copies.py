# SPDX-License-Identifier: Apache-2.0
"""Copies, joined objects and appended bytes: what arrives, by which requests, and what is kept."""

from __future__ import annotations

import io
import random
import hashlib
from typing import Any
from pathlib import Path
from dataclasses import replace
from collections.abc import Callable, Iterator

import pytest
from libcloud.storage.base import Object, Container

import libcloud_s3mpu as ours
from tests.fake_s3 import FakeS3, FakeLimits, FakeServer, faults
from tests.unit.small import (
    LIMITS,
    Service,
    SmallDriver,
    service,
    make_driver,
    close_driver,
)
from tests.fake_s3.store import StoredObject

#: One request copies 20 bytes at most; parts are 5 to 50 bytes.
COPY_LIMITS = replace(LIMITS, uniform_parts=False, max_single_copy=20, max_object_size=10_000)
FAKE = FakeLimits(
    min_part_size=5, max_part_size=50, max_parts=20, max_object_size=10_000, max_single_put=20
)


class CopyDriver(SmallDriver):
    ex_limits = COPY_LIMITS


def pattern(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


class Copies(Service):
    """A service, and shorthands for what these tests do."""

    def put(self, key: str, data: bytes, headers: dict[str, str] | None = None, **e: Any) -> Object:
        """Store an object by one request, whatever its size."""
        limits, self.fake.store.limits = self.fake.store.limits, FakeLimits(min_part_size=5)
        options = replace(self.driver.ex_options, part_size_bytes=50)
        made = self.driver.upload_object_via_stream(
            io.BytesIO(data), self.container, key, headers=headers, ex_options=options, extra=e
        )
        self.fake.store.limits = limits
        self.fake.requests.clear()
        return made

    def copy(self, it: Object, key: str = "new", **kwargs: Any) -> Object:
        return self.driver.ex_copy_object(it, self.container, key, **kwargs)

    def join(self, *objects: Object, key: str = "new", **kwargs: Any) -> Object:
        return self.driver.ex_concatenate_objects(list(objects), self.container, key, **kwargs)

    def object(self, key: str) -> Object:
        return Object(key, 0, "", {}, {}, self.container, self.driver)

    def kept(self, key: str = "new") -> StoredObject:
        assert self.fake.uploads == {}
        return self.fake.objects["bucket"][key]

    def options(self, **changes: Any) -> Any:
        return replace(self.driver.ex_options, **changes)


def made(limits: Any = COPY_LIMITS, fake_limits: FakeLimits = FAKE, **how: Any) -> Iterator[Copies]:
    with service(limits=fake_limits, **how) as it:
        it.driver.ex_limits = limits
        yield Copies(it.fake, it.server, it.driver, it.container)


@pytest.fixture
def s3() -> Iterator[Copies]:
    yield from made()


@pytest.fixture
def uniform() -> Iterator[Copies]:
    limits = replace(COPY_LIMITS, uniform_parts=True)
    yield from made(limits, replace(FAKE, uniform_parts=True))


KEPT = {
    "Content-Type": "text/x-own",
    "Cache-Control": "no-store",
    "Content-Disposition": 'attachment; filename="a b"',
    "x-amz-tagging": "a=1&b=%20%26",
}


# -- copy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5, 20])
def test_a_small_object_is_one_copy(s3: Copies, size: int) -> None:
    data = pattern(size)
    found = s3.copy(s3.put("old", data))
    assert s3.kept().body == data
    assert s3.operations() == ["HeadObject", "CopyObject"]
    assert (found.size, found.hash) == (size, hashlib.md5(data).hexdigest())
    assert (found.extra["upload_id"], found.extra["parts"]) == (None, 1)


@pytest.mark.parametrize("size", [21, 24, 50, 99])
def test_a_large_object_is_copied_in_parts(s3: Copies, size: int) -> None:
    data = pattern(size)
    found = s3.copy(s3.put("old", data))
    assert s3.kept().body == data
    assert set(s3.operations()) == {
        "HeadObject",
        "InitiateMultipartUpload",
        "UploadPartCopy",
        "CompleteMultipartUpload",
    }
    assert (found.size, found.hash) == (size, s3.kept().etag)
    assert found.extra["parts"] == len(s3.kept().part_sizes) > 1


def test_every_request_of_a_copy_is_pinned(s3: Copies) -> None:
    it, small = s3.put("old", pattern(60)), s3.put("small", b"x")
    s3.copy(it)
    s3.copy(small, key="other")
    pinned = [r for r in s3.fake.requests if "x-amz-copy-source" in r.headers]
    assert len(pinned) > 3
    etag = s3.fake.objects["bucket"]["small"].etag
    assert pinned[-1].headers["x-amz-copy-source-if-match"] == f'"{etag}"'
    assert all("x-amz-copy-source-if-match" in r.headers for r in pinned)


@pytest.mark.parametrize("size", [7, 60], ids=["one-request", "parts"])
def test_what_goes_with_the_bytes_is_kept(s3: Copies, size: int) -> None:
    it = s3.put("old", pattern(size), KEPT, meta_data={"name": "é文", "odd": " x =?y"})
    found = s3.copy(it)
    old, new = s3.kept("old").attributes, s3.kept().attributes
    assert (new.headers, new.metadata, new.tagging) == (old.headers, old.metadata, old.tagging)
    assert found.meta_data == {"name": "é文", "odd": " x =?y"}
    assert s3.driver.get_object("bucket", "new").meta_data == found.meta_data


@pytest.mark.parametrize("size", [7, 60], ids=["one-request", "parts"])
def test_metadata_is_replaced_and_headers_one_by_one(s3: Copies, size: int) -> None:
    it = s3.put("old", pattern(size), KEPT, meta_data={"name": "é", "gone": "1"})
    s3.copy(it, metadata={"fresh": "文"}, headers={"cache-control": "max-age=1"})
    new = s3.kept().attributes
    assert new.headers == {**s3.kept("old").attributes.headers, "cache-control": "max-age=1"}
    assert s3.driver.get_object("bucket", "new").meta_data == {"fresh": "文"}
    assert new.tagging == KEPT["x-amz-tagging"]
    s3.copy(it, headers={"X-Amz-Tagging": "c=3", "content-type": "text/plain"})
    assert s3.kept().attributes.tagging == "c=3"
    assert s3.kept().attributes.headers["content-type"] == "text/plain"
    assert s3.driver.get_object("bucket", "new").meta_data == {"name": "é", "gone": "1"}


@pytest.mark.parametrize("size", [7, 60], ids=["one-request", "parts"])
def test_a_storage_class_is_the_targets(s3: Copies, size: int) -> None:
    s3.copy(s3.put("old", pattern(size)), ex_storage_class="standard_ia")
    assert s3.kept().attributes.storage_class == "STANDARD_IA"


@pytest.mark.parametrize("key", ["a b+c%20/é文🎉", "%41", "//x//", "a?versionId=1&b#c"])
@pytest.mark.parametrize("size", [7, 60], ids=["one-request", "parts"])
def test_any_key_can_be_copied(s3: Copies, key: str, size: int) -> None:
    data = pattern(size)
    s3.copy(s3.put(key, data), key=key + "~")
    assert s3.kept(key + "~").body == data


@pytest.mark.parametrize("size", [7, 60], ids=["one-request", "parts"])
def test_a_copy_goes_to_another_container(s3: Copies, size: int) -> None:
    other = s3.driver.create_container("other-bucket")
    s3.driver.ex_copy_object(s3.put("old", pattern(size)), other, "new")
    assert s3.fake.objects["other-bucket"]["new"].body == pattern(size)


@pytest.mark.parametrize("size", [7, 60], ids=["one-request", "parts"])
def test_a_copy_onto_itself_replaces_its_metadata(s3: Copies, size: int) -> None:
    it = s3.put("old", pattern(size), meta_data={"a": "1"})
    s3.copy(it, key="old", metadata={"b": "2"})
    assert (s3.kept("old").body, dict(s3.kept("old").metadata)) == (pattern(size), {"b": "2"})


@pytest.mark.parametrize("size", [0, 7, 60])
def test_a_copy_onto_itself_that_changes_nothing_is_made(s3: Copies, size: int) -> None:
    """CopyObject refuses it ("without changing the object's metadata ...")."""
    s3.copy(s3.put("old", pattern(size), KEPT, meta_data={"a": "1"}), key="old")
    assert s3.kept("old").body == pattern(size)
    assert dict(s3.kept("old").metadata) == {"a": "1"}
    kept = s3.kept("old").attributes
    wanted = {name.lower(): value for name, value in KEPT.items()}
    assert kept.tagging == wanted.pop("x-amz-tagging")
    assert wanted.items() <= kept.headers.items()


@pytest.mark.parametrize("key", ["bell\x07", "\x01", "k" * 1024, "a/../b%2F?x#y"])
def test_any_key_that_others_wrote_is_a_source(s3: Copies, key: str) -> None:
    source = s3.put("plain", pattern(60))
    objects = s3.fake.objects["bucket"]
    objects[key] = replace(objects["plain"], key=key)
    source.name = key
    s3.copy(source)
    assert s3.kept().body == pattern(60)


@pytest.mark.parametrize("size", [7, 60], ids=["one-request", "parts"])
def test_a_condition_on_the_source(s3: Copies, size: int) -> None:
    it = s3.put("old", pattern(size))
    s3.copy(it, if_source_etag=f'"{it.hash}"')
    with pytest.raises(ours.SourceChangedError, match="412"):
        s3.copy(it, key="other", if_source_etag="0" * 32)
    assert s3.keys == ["new", "old"]


@pytest.mark.parametrize("size", [0, 7, 60])
def test_a_condition_on_the_target(s3: Copies, size: int) -> None:
    it = s3.put("old", pattern(size))
    options = s3.options(if_none_match="*")
    s3.copy(it, ex_options=options)
    before = s3.kept()
    with pytest.raises(ours.PreconditionFailedError):
        s3.copy(s3.put("other", pattern(size, 1)), ex_options=options)
    assert s3.kept() is before
    s3.copy(s3.object("other"), ex_options=s3.options(if_match=before.etag))
    assert s3.kept().body == pattern(size, 1)


def test_a_version_of_the_source_is_asked_for(s3: Copies) -> None:
    it = s3.put("old", b"x")
    with pytest.raises(ours.ServiceError):  # The fake has no versions: it refuses to guess.
        s3.copy(it, source_version="v 1")
    assert s3.fake.requests[-1].target.endswith("?versionId=v%201")


@pytest.mark.parametrize(
    ("kwargs", "kind"),
    [
        ({"headers": {"x-amz-copy-source-range": "bytes=0-1"}}, ours.InvalidRequestError),
        ({"headers": {"x-amz-copy-source": "a/b"}}, ours.InvalidRequestError),
        ({"headers": {"x": "a\nb"}}, ours.InvalidRequestError),
        ({"metadata": {"a b": "1"}}, ours.InvalidRequestError),
        ({"if_source_etag": ""}, ours.InvalidRequestError),
        ({"source_version": "a\n"}, ours.InvalidRequestError),
        ({"key": ""}, ours.InvalidRequestError),
        ({"ex_options": {"a": 1}}, TypeError),
    ],
)
def test_bad_arguments_are_refused_before_any_request(
    s3: Copies, kwargs: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        s3.copy(s3.object("old"), **kwargs)
    with pytest.raises(TypeError, match="must be an Object"):
        s3.copy("old")  # type: ignore[arg-type]
    assert s3.fake.requests == []


def test_a_source_that_is_not_there(s3: Copies) -> None:
    with pytest.raises(ours.ObjectMissingError) as caught:
        s3.copy(s3.object("old"))
    assert caught.value.driver is s3.driver
    assert s3.keys == []


def test_an_encrypted_source_is_copied_with_its_key() -> None:
    from tests.fake_s3.caller import SSE_C

    for it in made(tls=True):
        old = it.put("old", pattern(60), dict(SSE_C))
        as_source = {n.replace("x-amz-", "x-amz-copy-source-", 1): v for n, v in SSE_C.items()}
        it.copy(old, headers=as_source)
        assert it.kept().body == pattern(60)
        assert it.kept().attributes.customer_key_md5 is None
        it.join(old, old, key="twice", headers={**as_source, **SSE_C})
        assert it.kept("twice").body == pattern(60) * 2
        assert it.kept("twice").attributes.customer_key_md5 is not None
        it.driver.ex_append(it.object("twice"), b"!", headers={**as_source, **SSE_C})
        assert it.kept("twice").body == pattern(60) * 2 + b"!"


def test_a_service_that_copies_nothing_under_a_key_gets_the_bytes() -> None:
    """Ceph 16 takes the key of the new object for that of the source; plain ones it copies."""
    from tests.fake_s3.caller import SSE_C

    for it in made(tls=True):
        old, plain = it.put("old", pattern(60), dict(SSE_C)), it.put("plain", pattern(7))
        it.fake.script("UploadPartCopy", faults.error("InvalidArgument"), forever=True)
        it.fake.script("CopyObject", faults.error("NotImplemented"))
        as_source = {n.replace("x-amz-", "x-amz-copy-source-", 1): v for n, v in SSE_C.items()}
        for key in ("one", "two"):
            it.copy(old, key=key, headers=as_source)
            assert it.kept(key).body == pattern(60)
        it.join(old, old, key="twice", headers={**as_source, **SSE_C})
        assert it.kept("twice").body == pattern(60) * 2
        it.fake.clear_scripts()
        it.fake.requests.clear()
        it.copy(plain)
        assert [each.operation for each in it.fake.requests] == ["HeadObject", "CopyObject"]


# -- services that cannot ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 20, 21, 99])
@pytest.mark.parametrize("verbs", [["UploadPartCopy"], ["UploadPartCopy", "CopyObject"]])
def test_a_service_that_cannot_copy_gets_the_bytes(s3: Copies, size: int, verbs: Any) -> None:
    for verb in verbs:
        s3.fake.script(verb, faults.error("NotImplemented"), forever=True)
    data = pattern(size)
    it = s3.put("old", data, KEPT, meta_data={"a": "1"})
    for key in ("new", "again"):
        found = s3.copy(it, key=key)
        assert s3.kept(key).body == data
        assert s3.kept(key).attributes == s3.kept("old").attributes
        assert found.hash == s3.kept(key).etag
    refused = [r for r in s3.fake.requests if r.code == "NotImplemented"]
    assert len({(r.operation) for r in refused}) == len({r.operation for r in refused}) <= 2
    before = len(refused)
    s3.copy(it, key="third")
    refused = [r for r in s3.fake.requests if r.code == "NotImplemented"]
    assert len(refused) == before


def test_limits_say_that_a_service_copies_no_parts() -> None:
    for it in made(replace(COPY_LIMITS, has_part_copy=False)):
        it.copy(it.put("old", pattern(60)))
        assert it.kept().body == pattern(60)
        assert it.fake.requests_of("UploadPartCopy") == []


def test_a_name_that_a_service_misreads_is_streamed() -> None:
    for it in made(replace(COPY_LIMITS, quirks=frozenset({"decodes-copy-source-twice"}))):
        for key in ("100% sure", "a?b", "plain"):
            it.copy(it.put(key, pattern(60)))
            assert it.kept().body == pattern(60)
            assert (it.fake.requests_of("UploadPartCopy") == []) == (key != "plain")


def test_an_append_goes_without_a_condition_where_there_are_none() -> None:
    for it in made(replace(COPY_LIMITS, conditions=frozenset())):
        it.driver.ex_append(it.put("it", pattern(60)), b"more")
        assert it.kept("it").body == pattern(60) + b"more"
        (complete,) = it.fake.requests_of("CompleteMultipartUpload")
        assert "if-match" not in complete.headers


def test_etags_that_are_no_md5_are_not_compared() -> None:
    for it in made(replace(COPY_LIMITS, has_md5_etags=False)):
        old = it.put("old", b"small")
        it.fake.script("CopyObject", faults.wrong_etag())
        it.copy(old)
        assert it.kept().body == b"small"


def test_a_source_of_another_service_goes_through_this_process(s3: Copies) -> None:
    fake = FakeS3(FAKE, buckets=("bucket",))
    with FakeServer(fake) as server:
        driver = make_driver(server)
        try:
            driver.upload_object_via_stream([pattern(60)], Container("bucket", {}, driver), "far")
            far = Object("far", 0, "", {}, {}, Container("bucket", {}, driver), driver)
            s3.copy(far)
            near = s3.put("near", pattern(30, 1))
            s3.join(near, far, near, key="all")
        finally:
            close_driver(driver)
    assert s3.kept().body == pattern(60)
    assert s3.kept("all").body == pattern(30, 1) + pattern(60) + pattern(30, 1)
    assert len(s3.fake.requests_of("UploadPartCopy")) >= 2


def test_a_part_above_half_of_the_budget_waits_in_a_file(s3: Copies, tmp_path: Path) -> None:
    s3.fake.script("UploadPartCopy", faults.error("NotImplemented"), forever=True)
    options = s3.options(memory_budget_bytes=8, part_size_bytes=25, spool_directory=str(tmp_path))
    s3.copy(s3.put("old", pattern(99)), ex_options=options)
    assert s3.kept().body == pattern(99)
    missing = s3.options(memory_budget_bytes=8, spool_directory=str(tmp_path / "no"))
    with pytest.raises(FileNotFoundError):
        s3.copy(s3.object("old"), key="other", ex_options=replace(missing, part_size_bytes=25))
    assert s3.fake.uploads == {}
    assert list(tmp_path.iterdir()) == []


# -- concatenate ---------------------------------------------------------------------------------

SIZES = [[7], [0], [3], [2, 3], [1, 1, 1], [60, 60], [3, 60], [60, 3], [1, 0, 60, 2, 2, 2, 60, 1],
         [4] * 9, [5] * 9, [6, 4, 6, 4, 6], [99, 1, 99], [0, 0, 0], [9, 9, 9, 1]]  # fmt: skip


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["s3", "uniform"])
@pytest.mark.parametrize("copies", [True, False])
def test_objects_are_joined_in_their_order(
    request: pytest.FixtureRequest, kind: str, sizes: list[int], copies: bool
) -> None:
    it: Copies = request.getfixturevalue(kind)
    if not copies:
        it.fake.script("UploadPartCopy", faults.error("NotImplemented"), forever=True)
    bodies = [pattern(size, seed) for seed, size in enumerate(sizes)]
    objects = [it.put(f"{number}", body) for number, body in enumerate(bodies)]
    it.fake.requests.clear()
    found = it.join(*objects, extra={"meta_data": {"a": "b"}, "content_type": "text/own"})
    assert it.kept().body == b"".join(bodies)
    assert (found.size, found.hash) == (sum(sizes), it.kept().etag)
    assert it.kept().attributes.headers["content-type"] == "text/own"
    assert found.meta_data == dict(it.kept().metadata) == {"a": "b"}


def test_large_objects_do_not_pass_through_this_process(s3: Copies) -> None:
    s3.join(s3.put("a", pattern(60)), s3.put("b", pattern(40, 1)), s3.object("a"))
    assert s3.fake.requests_of("GetObject") == []
    assert s3.fake.requests_of("UploadPart") == []


def test_only_what_is_too_small_for_a_part_passes_through(s3: Copies) -> None:
    s3.join(s3.put("a", pattern(3)), s3.put("b", pattern(49, 1)), s3.put("c", pattern(2, 2)))
    read = [r.headers["range"] for r in s3.fake.requests_of("GetObject")]
    assert sorted(read) == ["bytes=0-1", "bytes=0-2"]
    assert s3.kept().body == pattern(3) + pattern(49, 1) + pattern(2, 2)


def test_an_object_may_be_joined_with_itself_and_is_asked_for_once(s3: Copies) -> None:
    it = s3.put("a", pattern(30))
    s3.join(it, it, it, key="a")
    assert s3.kept("a").body == pattern(30) * 3
    assert len(s3.fake.requests_of("HeadObject")) == 1


def test_more_objects_than_parts_are_packed(s3: Copies) -> None:
    objects = [s3.put(f"{n}", pattern(6, n)) for n in range(50)]
    s3.join(*objects)
    assert s3.kept().body == b"".join(pattern(6, n) for n in range(50))
    assert len(s3.kept().part_sizes) <= 20


def test_what_cannot_be_joined_is_refused_before_it_begins(s3: Copies) -> None:
    it = s3.put("a", pattern(99))
    with pytest.raises(ours.SourceSizeError, match="20 parts"):
        s3.join(*[it] * 11)
    assert "InitiateMultipartUpload" not in s3.operations()
    with pytest.raises(ours.InvalidRequestError, match="at least one"):
        s3.join()


def test_one_missing_source_fails_the_whole(s3: Copies) -> None:
    it = s3.put("a", pattern(60))
    with pytest.raises(ours.ObjectMissingError):
        s3.join(it, s3.object("b"), it)
    assert s3.keys == ["a"]


# -- append --------------------------------------------------------------------------------------


def sources(data: bytes, tmp_path: Path) -> list[Callable[[], Any]]:
    (tmp_path / "file").write_bytes(data)
    return [
        lambda: data,
        lambda: iter([data[:1], data[1:]]),
        lambda: io.BytesIO(data),
        lambda: open(tmp_path / "file", "rb"),
    ]


@pytest.mark.parametrize("kind", ["s3", "uniform"])
@pytest.mark.parametrize("old", [0, 3, 5, 26, 60])
@pytest.mark.parametrize("more", [0, 1, 26])
@pytest.mark.parametrize("copies", [True, False])
def test_bytes_are_appended(
    request: pytest.FixtureRequest, kind: str, old: int, more: int, copies: bool, tmp_path: Path
) -> None:
    it: Copies = request.getfixturevalue(kind)
    if not copies:
        it.fake.script("UploadPartCopy", faults.error("NotImplemented"), forever=True)
    before, new = pattern(old), pattern(more, 1)
    for make in sources(new, tmp_path):
        held = it.put("it", before, KEPT, meta_data={"name": "é"})
        source = make()
        found = it.driver.ex_append(held, source)
        if hasattr(source, "close"):
            source.close()
        assert it.kept("it").body == before + new
        assert (found.size, found.hash) == (old + more, it.kept("it").etag)
        attributes = it.kept("it").attributes
        assert attributes.tagging == KEPT["x-amz-tagging"]
        assert attributes.headers["cache-control"] == "no-store"
        assert found.meta_data == {"name": "é"}


def test_appending_again_and_again(s3: Copies) -> None:
    held = s3.put("it", b"")
    for number in range(12):
        held = s3.driver.ex_append(held, bytes([65 + number]) * 4)
    assert s3.kept("it").body == b"".join(bytes([65 + n]) * 4 for n in range(12))


def test_an_object_that_was_replaced_meanwhile_is_left_alone(s3: Copies) -> None:
    held = s3.put("it", pattern(60))

    def data() -> Iterator[bytes]:
        yield b"more"
        limits, s3.fake.store.limits = s3.fake.store.limits, FakeLimits()
        s3.driver.upload_object_via_stream([b"others"], s3.container, "it")
        s3.fake.store.limits = limits

    with pytest.raises((ours.PreconditionFailedError, ours.SourceChangedError)):
        s3.driver.ex_append(held, data())
    assert s3.kept("it").body == b"others"


def test_a_bad_source_is_refused_before_anything_is_begun(s3: Copies) -> None:
    held = s3.put("it", pattern(60))
    with pytest.raises(TypeError):
        s3.driver.ex_append(held, 5)
    assert "InitiateMultipartUpload" not in s3.operations()


def test_an_announced_length_is_that_of_the_new_bytes(s3: Copies) -> None:
    held = s3.put("it", pattern(33))
    s3.driver.ex_append(held, iter([b"1234"]), ex_options=s3.options(size_bytes=4))
    assert s3.kept("it").body == pattern(33) + b"1234"
    with pytest.raises(ours.SourceSizeError):
        s3.driver.ex_append(held, iter([b"1234"]), ex_options=s3.options(size_bytes=5))
    assert s3.kept("it").body == pattern(33) + b"1234"


# -- how it runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("concurrency", "held"), [(1, 1), (2, 2), (5, 5), (None, 19)])
def test_a_copy_has_as_many_parts_in_flight_as_an_upload(
    s3: Copies, concurrency: int | None, held: int
) -> None:
    it = s3.put("old", pattern(95))  # 19 parts; 20 may be in flight.
    with s3.server.hold_parts(held, operation="UploadPartCopy") as gate:
        s3.copy(it, ex_options=s3.options(concurrency=concurrency))
    assert not gate.timed_out
    assert s3.server.max_parts_in_flight >= held
    assert concurrency is None or s3.server.max_parts_in_flight == concurrency
    assert s3.kept().body == pattern(95)


def test_events_are_those_of_an_upload(s3: Copies) -> None:
    seen: list[Any] = []
    it = s3.put("old", pattern(60))
    found = s3.copy(it, ex_options=s3.options(on_event=seen.append))
    kinds = [type(event) for event in seen]
    parts = found.extra["parts"]
    assert kinds.count(ours.PartStarted) == kinds.count(ours.PartUploaded) == parts
    assert kinds[-1] is ours.UploadCompleted
    assert seen[-2].uploaded_bytes == 60
