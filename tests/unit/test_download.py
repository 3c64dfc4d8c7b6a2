# SPDX-License-Identifier: Apache-2.0
"""Downloads to a file: whole or not there, on both roads, whatever happens to the connections."""

from __future__ import annotations

import os
import stat
from typing import Any
from pathlib import Path
from dataclasses import replace
from collections.abc import Callable, Iterator

import pytest
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Object

from tests.fake_s3 import Quirks, faults
from tests.unit.small import AT_ONCE, Service, service, make_plain
from libcloud_s3mpu.protocol.retry import NO_RETRIES
from libcloud_s3mpu.protocol.errors import (
    TransportError,
    ObjectChangedError,
    ObjectMissingError,
    InvalidRequestError,
    MalformedAnswerError,
    ChecksumMismatchError,
    RetriesExhaustedError,
)
from libcloud_s3mpu.protocol.options import UploadOptions
from libcloud_s3mpu.protocol.reading import comparable_checksum
from libcloud_s3mpu.transfer.landing import Landing
from libcloud_s3mpu.transfer.download import Download

ROADS = ["lean", "plain"]
DATA = bytes(range(65, 65 + 60))
OTHER = DATA[::-1]


@pytest.fixture(params=ROADS)
def running(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service that holds ``key``, 60 bytes; ranges have five."""
    with holding(DATA, request.param) as made:
        yield made


def holding(data: bytes, road: str = "lean", **fake_options: Any) -> Any:
    """Run a service that holds ``key``."""
    from contextlib import contextmanager

    @contextmanager
    def run() -> Iterator[Service]:
        with service(**fake_options) as made:
            if road == "plain":
                make_plain(made.driver)
            made.upload(data, checksum="crc32")
            made.fake.requests.clear()
            yield made

    return run()


def found(running: Service) -> Object:
    return running.driver.get_object("bucket", "key")


def put(running: Service, data: bytes) -> None:
    """Have another client replace the object."""
    objects = running.fake.objects["bucket"]
    objects["key"] = replace(objects["key"], body=data, etag="f" * 32, checksum=None)


def ranges(running: Service) -> list[str | None]:
    return [record.headers.get("range") for record in running.fake.requests_of("GetObject")]


def download(running: Service, path: Path, obj: Object | None = None, **kwargs: Any) -> Any:
    return running.driver.download_object(obj or found(running), str(path), **kwargs)


ONE_GO = UploadOptions(part_size_bytes=50, retry=AT_ONCE)
SIDE_BY_SIDE = UploadOptions(part_size_bytes=5, retry=AT_ONCE)
MODES = pytest.mark.parametrize("options", [ONE_GO, SIDE_BY_SIDE], ids=["one go", "ranges"])


def test_a_large_object_comes_in_ranges(running: Service, tmp_path: Path) -> None:
    assert download(running, tmp_path / "file") is True
    assert (tmp_path / "file").read_bytes() == DATA
    assert sorted(ranges(running), key=str) == sorted(
        (f"bytes={at}-{at + 4}" for at in range(0, 60, 5)), key=str
    )
    tags = {record.headers.get("if-match") for record in running.fake.requests_of("GetObject")}
    assert tags == {None, f'"{running.fake.objects["bucket"]["key"].etag}"'}
    assert os.listdir(tmp_path) == ["file"]


def test_a_small_object_is_one_request(running: Service, tmp_path: Path) -> None:
    obj = found(running)
    running.fake.requests.clear()
    assert download(running, tmp_path / "file", obj, ex_options=ONE_GO) is True
    assert (tmp_path / "file").read_bytes() == DATA
    assert running.operations() == ["GetObject"]
    assert ranges(running) == [None]


def test_one_thread_asks_for_no_ranges(running: Service, tmp_path: Path) -> None:
    options = replace(SIDE_BY_SIDE, concurrency=1)
    assert download(running, tmp_path / "file", ex_options=options) is True
    assert ranges(running) == [None]


@pytest.mark.parametrize("road", ROADS)
def test_an_empty_object_is_an_empty_file(road: str, tmp_path: Path) -> None:
    with holding(b"", road) as running:
        assert download(running, tmp_path / "file") is True
        assert (tmp_path / "file").read_bytes() == b""


# -- where it goes -------------------------------------------------------------------------------


def test_a_folder_is_filled(running: Service, tmp_path: Path) -> None:
    assert running.driver.download_object(found(running), f"{tmp_path}/") is True
    assert (tmp_path / "key").read_bytes() == DATA


def test_bad_destinations_are_refused_before_any_request(running: Service, tmp_path: Path) -> None:
    obj = found(running)
    running.fake.requests.clear()
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(LibcloudError, match="already exists, but overwrite_existing=False"):
        download(running, tmp_path / "file", obj)
    with pytest.raises(LibcloudError, match="already exists"):
        download(running, tmp_path, obj)
    with pytest.raises(IsADirectoryError):
        download(running, tmp_path, obj, overwrite_existing=True)
    with pytest.raises(LibcloudError, match="does not exist"):
        running.driver.download_object(obj, f"{tmp_path}/none/")
    with pytest.raises(ValueError, match="ex_verify"):
        download(running, tmp_path / "new", obj, ex_verify="crc")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert running.fake.requests == []


@pytest.mark.parametrize("name", ["../key", "/key", "a/../../key"])
def test_a_name_does_not_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with service() as running:
        obj = Object(name, 1, None, {}, {}, running.container, running.driver)
        (tmp_path / "folder").mkdir()
        with pytest.raises(InvalidRequestError, match="leads out of"):
            running.driver.download_object(obj, f"{tmp_path}/folder/")
        assert running.fake.requests == []


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_file_that_is_made_meanwhile_stays(
    has_links: bool,
    keeps: bool,
    lean: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_links:

        def no_links(*unused: Any) -> None:
            raise PermissionError("a file system without links")

        monkeypatch.setattr(os, "link", no_links)
    obj, path, settle = found(lean), tmp_path / "file", Landing.settle

    def overtaken(landing: Landing) -> None:
        path.write_bytes(b"somebody else's")
        settle(landing)

    monkeypatch.setattr(Landing, "settle", overtaken)
    with pytest.raises(LibcloudError, match="already exists, but overwrite_existing=False"):
        download(lean, path, obj, delete_on_failure=not keeps)
    assert path.read_bytes() == b"somebody else's"
    assert os.listdir(tmp_path) == ["file"]
    assert download(lean, path, obj, overwrite_existing=True) is True
    assert path.read_bytes() == DATA
    assert os.listdir(tmp_path) == ["file"]


def test_an_overwritten_file_keeps_its_mode_and_its_links(running: Service, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to(target)
    assert download(running, tmp_path / "link", overwrite_existing=True) is True
    assert (tmp_path / "link").is_symlink()
    assert target.read_bytes() == DATA
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_the_mode_of_new_files(running: Service, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    download(running, tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_is_no_plain_file_is_written_in_order(running: Service) -> None:
    assert running.driver.download_object(found(running), os.devnull, True) is True
    assert ranges(running) == [None]
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


# -- what goes wrong -----------------------------------------------------------------------------


BREAKS: list[Callable[[], faults.Fault]] = [
    lambda: faults.reset(after_bytes=-2, applied=True),
    lambda: faults.close(after_bytes=-2, applied=True),
    lambda: faults.close(),
    lambda: faults.error("SlowDown"),
    lambda: faults.error("InternalError"),
    lambda: faults.raw(b"nonsense"),
]


@MODES
@pytest.mark.parametrize("make", BREAKS)
def test_a_broken_answer_is_gone_on_with(
    make: Callable[[], faults.Fault], options: UploadOptions, running: Service, tmp_path: Path
) -> None:
    obj = found(running)
    running.fake.script("GetObject", make(), make())
    assert download(running, tmp_path / "file", obj, ex_options=options) is True
    assert (tmp_path / "file").read_bytes() == DATA
    assert running.fake.unspent == []
    assert os.listdir(tmp_path) == ["file"]


def test_what_came_before_the_break_is_not_asked_for_again(tmp_path: Path) -> None:
    with holding(DATA) as running:
        obj = found(running)
        running.fake.script("GetObject", faults.close(after_bytes=-20, applied=True))
        assert download(running, tmp_path / "file", obj, ex_options=ONE_GO) is True
        assert ranges(running)[1:] == ["bytes=40-"] or ranges(running)[1:] == ["bytes=40-59"]


@pytest.mark.parametrize("road", ROADS)
def test_a_stalled_answer_is_given_up_after_the_time_out(road: str, tmp_path: Path) -> None:
    with service(driver={"timeout": 0.2}) as running:
        if road == "plain":
            make_plain(running.driver)
        running.upload(DATA)
        running.fake.script("GetObject", faults.stall(after_bytes=-2))
        assert download(running, tmp_path / "file", ex_options=ONE_GO) is True
        assert (tmp_path / "file").read_bytes() == DATA


def changing(running: Service, fault: faults.Fault, data: bytes = OTHER) -> faults.Fault:
    """The fault, and another client that replaces the object just then."""

    def edit(response: Any) -> Any:
        put(running, data)
        return response

    return replace(fault, edit=edit)


@MODES
@pytest.mark.parametrize("data", [OTHER, b"short"])
def test_a_changed_object_is_an_error_and_never_a_mixture(
    data: bytes, options: UploadOptions, running: Service, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    obj = found(running)
    cut = faults.close(after_bytes=-2, applied=True)
    running.fake.script("GetObject", changing(running, cut, data))
    with pytest.raises(ObjectChangedError, match="changed while it was read"):
        download(running, tmp_path / "file", obj, overwrite_existing=True, ex_options=options)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.fixture
def lean() -> Iterator[Service]:
    """The same on the lean road, which loses nothing of a small body that breaks."""
    with holding(DATA) as made:
        yield made


def test_a_service_that_ignores_if_match_is_seen_through(lean: Service, tmp_path: Path) -> None:
    running, obj = lean, found(lean)
    cut = faults.close(after_bytes=-2, applied=True)
    other = faults.answer(
        206,
        headers={"ETag": '"other"', "Content-Range": "bytes 58-59/60", "Content-Length": "2"},
        body=b"xx",
    )
    running.fake.script("GetObject", cut, other)
    with pytest.raises(ObjectChangedError, match="its ETag was"):
        download(running, tmp_path / "file", obj, ex_options=ONE_GO)
    assert os.listdir(tmp_path) == []


@MODES
def test_a_wrong_range_is_no_answer(
    options: UploadOptions, running: Service, tmp_path: Path
) -> None:
    obj = found(running)
    wrong = faults.answer(
        206, headers={"ETag": f'"{obj.hash}"', "Content-Range": "bytes 7-8/60"}, body=b"xx"
    )
    running.fake.script("GetObject", wrong, forever=True)
    with pytest.raises(MalformedAnswerError, match="the bytes from 7 came"):
        download(running, tmp_path / "file", obj, ex_options=options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("road", ROADS)
def test_a_service_that_ignores_ranges_is_read_in_one_go(road: str, tmp_path: Path) -> None:
    with holding(DATA, road, quirks=Quirks(knows_ranges=False)) as running:
        obj = found(running)
        running.fake.script("GetObject", faults.close(after_bytes=-20, applied=True))
        assert download(running, tmp_path / "file", obj) is True
        assert (tmp_path / "file").read_bytes() == DATA
        assert len(ranges(running)) == 2


@MODES
def test_a_hopeless_download_leaves_nothing(
    options: UploadOptions, running: Service, tmp_path: Path
) -> None:
    obj = found(running)
    cut = faults.close(applied=False)
    running.fake.script("GetObject", faults.pass_through(), cut, forever=True)
    if options is ONE_GO:
        running.fake.clear_scripts()
        running.fake.script("GetObject", cut, forever=True)
    with pytest.raises(RetriesExhaustedError) as caught:
        download(running, tmp_path / "file", obj, ex_options=options)
    assert isinstance(caught.value, TransportError)
    assert caught.value.driver is running.driver
    assert os.listdir(tmp_path) == []


@MODES
def test_what_came_is_kept_where_that_is_asked_for(
    options: UploadOptions, lean: Service, tmp_path: Path
) -> None:
    running, obj = lean, found(lean)
    first = faults.close(after_bytes=-2, applied=True)
    running.fake.script("GetObject", first, faults.error("AccessDenied"), forever=True)
    with pytest.raises(LibcloudError, match="AccessDenied"):
        download(running, tmp_path / "file", obj, delete_on_failure=False, ex_options=options)
    kept = (tmp_path / "file").read_bytes()
    assert kept and DATA.startswith(kept)
    assert os.listdir(tmp_path) == ["file"]


@MODES
def test_an_object_of_another_length_is_false(
    options: UploadOptions, running: Service, tmp_path: Path
) -> None:
    obj = found(running)
    put(running, OTHER[:58])
    assert download(running, tmp_path / "file", obj, ex_options=options) is False
    assert os.listdir(tmp_path) == []
    assert (
        download(running, tmp_path / "file", obj, delete_on_failure=False, ex_options=options)
        is False
    )
    assert (tmp_path / "file").read_bytes() == OTHER[:58]


def test_a_missing_object_leaves_no_file(running: Service, tmp_path: Path) -> None:
    obj = found(running)
    del running.fake.objects["bucket"]["key"]
    with pytest.raises(ObjectMissingError):
        download(running, tmp_path / "file", obj)
    assert os.listdir(tmp_path) == []


@MODES
def test_an_interrupt_leaves_nothing(
    options: UploadOptions, running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obj = found(running)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Landing, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(running, tmp_path / "file", obj, ex_options=options)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_the_error_that_is_seen(
    running: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obj = found(running)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Landing, "write", full)
    with pytest.raises(OSError, match="No space left"):
        download(running, tmp_path / "file", obj)
    assert os.listdir(tmp_path) == []


# -- what is compared ----------------------------------------------------------------------------


def damage(running: Service) -> None:
    """Change a byte on the service, behind its back."""
    objects = running.fake.objects["bucket"]
    stored = objects["key"]
    objects["key"] = replace(stored, body=b"?" + stored.body[1:])


@pytest.fixture(params=ROADS)
def single(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service that holds an object of one PUT: its CRC is of all its bytes, its ETag an MD5."""
    with service() as made:
        if request.param == "plain":
            make_plain(made.driver)
        whole = made.driver._upload_object("key", None, "/bucket/key", stream=iter([DATA]),
                                           headers={"x-amz-checksum-crc32": crc(DATA)})  # fmt: skip
        assert whole["response"].status == 200
        made.fake.requests.clear()
        yield made


def crc(data: bytes) -> str:
    import zlib
    import base64

    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@MODES
def test_damage_is_found_by_the_checksum(
    options: UploadOptions, single: Service, tmp_path: Path
) -> None:
    assert download(single, tmp_path / "good", ex_options=options) is True
    damage(single)
    with pytest.raises(ChecksumMismatchError, match="the CRC32 of what came"):
        download(single, tmp_path / "file", ex_options=options)
    assert os.listdir(tmp_path) == ["good"]
    assert download(single, tmp_path / "file", ex_options=options, ex_verify=None) is True


@MODES
def test_damage_is_found_by_the_md5_where_that_is_asked_for(
    options: UploadOptions, single: Service, tmp_path: Path
) -> None:
    objects = single.fake.objects["bucket"]
    objects["key"] = replace(objects["key"], checksum=None, checksum_algorithm=None)
    assert download(single, tmp_path / "good", ex_options=options, ex_verify="md5") is True
    damage(single)
    with pytest.raises(ChecksumMismatchError, match="the MD5 of what came"):
        download(single, tmp_path / "file", ex_options=options, ex_verify="md5")
    assert os.listdir(tmp_path) == ["good"]


def test_a_head_that_fails_costs_only_the_comparison(single: Service, tmp_path: Path) -> None:
    obj = found(single)
    single.fake.script("HeadObject", faults.error("AccessDenied"), forever=True)
    assert download(single, tmp_path / "file", obj) is True
    assert (tmp_path / "file").read_bytes() == DATA


# -- ranges of the caller's ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (0, 60), (0, None), (5, 7), (3, 50), (59, None), (58, 1000)]
)
def test_a_range_is_what_a_slice_is(
    start: int, end: int | None, running: Service, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    assert running.driver.download_object_range(found(running), str(path), start, end) is True
    assert path.read_bytes() == DATA[start:end]


def test_bad_ranges_are_refused_in_upstreams_words(running: Service, tmp_path: Path) -> None:
    obj = found(running)
    running.fake.requests.clear()
    for start, end in ((-1, None), (5, 5), (7, 3)):
        with pytest.raises(ValueError, match="start_bytes"):
            running.driver.download_object_range(obj, str(tmp_path / "file"), start, end)
        with pytest.raises(ValueError, match="start_bytes"):
            running.driver.download_object_range_as_stream(obj, start, end)
    assert running.fake.requests == []


def test_a_range_behind_the_end_is_an_error(running: Service, tmp_path: Path) -> None:
    with pytest.raises(LibcloudError, match="416"):
        running.driver.download_object_range(found(running), str(tmp_path / "file"), 60, 70)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("road", ROADS)
def test_a_range_of_an_empty_object_is_empty(road: str, tmp_path: Path) -> None:
    with holding(b"", road) as running:
        obj, path = found(running), tmp_path / "file"
        assert running.driver.download_object_range(obj, str(path), 0, 10) is True
        assert path.read_bytes() == b""
        assert list(running.driver.download_object_range_as_stream(obj, 0, 10)) == [b""]


# -- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 20, 59, 60, 61, 1000])
def test_chunks_have_exactly_the_size_asked_for(size: int, running: Service) -> None:
    wanted = [DATA[at : at + size] for at in range(0, 60, size)]
    assert list(running.driver.download_object_as_stream(found(running), size)) == wanted
    assert len(ranges(running)) == 1


@pytest.mark.parametrize("size", [None, 0])
def test_without_a_size_a_small_object_is_one_chunk(size: int | None, running: Service) -> None:
    assert list(running.driver.download_object_as_stream(found(running), size)) == [DATA]


@pytest.mark.parametrize("size", [7, 60])
@pytest.mark.parametrize("make", BREAKS)
def test_a_stream_survives_breaks(
    make: Callable[[], faults.Fault], size: int, running: Service
) -> None:
    obj = found(running)
    running.fake.script("GetObject", make(), make())
    read = list(running.driver.download_object_as_stream(obj, size))
    assert read == [DATA[at : at + size] for at in range(0, 60, size)]
    assert running.fake.unspent == []


def test_an_answer_that_was_cut_in_its_head_is_no_answer(running: Service, tmp_path: Path) -> None:
    """A head that lost its Content-Length, or the last digit of it, was taken for a shorter one."""
    obj = found(running)
    for at in range(12, 500):
        running.fake.script("GetObject", faults.close("answer", after_bytes=at, applied=True))
        chunks = running.driver.download_object_as_stream(obj, 50)
        assert b"".join(chunks) == DATA, f"cut behind {at} bytes"


def test_a_stream_of_a_changed_object_ends_with_an_error(lean: Service) -> None:
    running, obj = lean, found(lean)
    running.fake.script("GetObject", changing(running, faults.close(after_bytes=-20, applied=True)))
    stream = running.driver.download_object_as_stream(obj, 10)
    read = [next(stream)]
    with pytest.raises(ObjectChangedError) as caught:
        read += list(stream)
    assert caught.value.driver is running.driver
    assert DATA.startswith(b"".join(read))


def test_errors_come_with_the_call_not_with_the_first_chunk(running: Service) -> None:
    obj = found(running)
    del running.fake.objects["bucket"]["key"]
    with pytest.raises(ObjectMissingError):
        running.driver.download_object_as_stream(obj)
    with pytest.raises(InvalidRequestError, match="chunk_size"):
        running.driver.download_object_as_stream(obj, -1)


def test_a_stream_without_an_etag_is_not_gone_on_with(lean: Service) -> None:
    running, obj = lean, found(lean)
    cut = replace(faults.missing_etag(), wire=faults.close(after_bytes=-20, applied=True).wire)
    running.fake.script("GetObject", cut)
    with pytest.raises(TransportError, match="without an ETag"):
        list(running.driver.download_object_as_stream(obj, 60))


def test_a_stream_that_is_closed_early_closes_its_connection() -> None:
    with holding(DATA) as running:
        obj = found(running)
        running.driver._transport.close()
        stream = running.driver.download_object_as_stream(obj, 5)
        next(stream)
        before = running.server.connections
        stream.close()
        assert list(running.driver.download_object_as_stream(obj)) == [DATA]
        assert running.server.connections == before + 1
        # One that was read to its end is used again; one that nobody read closes as it goes.
        assert list(running.driver.download_object_as_stream(obj)) == [DATA]
        assert running.server.connections == before + 1
        del stream
        running.driver.download_object_as_stream(obj)


def test_an_encoded_object_comes_as_it_is_stored(running: Service, tmp_path: Path) -> None:
    import gzip

    stored = gzip.compress(DATA, mtime=0)
    running.driver.upload_object_via_stream(
        iter([stored]), running.container, "key", headers={"Content-Encoding": "gzip"},
        ex_options=ONE_GO,
    )  # fmt: skip
    obj = found(running)
    assert obj.extra["content_encoding"] == "gzip"
    assert b"".join(running.driver.download_object_as_stream(obj)) == stored
    assert download(running, tmp_path / "file", obj) is True
    assert (tmp_path / "file").read_bytes() == stored


def test_a_budget_of_a_few_bytes_is_enough(running: Service, tmp_path: Path) -> None:
    options = replace(SIDE_BY_SIDE, memory_budget_bytes=3, retry=NO_RETRIES)
    assert download(running, tmp_path / "file", ex_options=options) is True
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("name", ["a b", "a+b", "a%2Fb", "//a", "a/../b", "é", "?x=1"])
def test_any_key_is_read(name: str, tmp_path: Path) -> None:
    with service() as running:
        running.upload(b"abc", key=name)
        obj = running.driver.get_object("bucket", name)
        assert (obj.name, obj.size) == (name, 3)
        assert b"".join(running.driver.download_object_as_stream(obj)) == b"abc"
        assert running.driver.download_object(obj, str(tmp_path / "file")) is True


def test_a_range_that_broke_inline_is_gone_on_with_by_a_worker(
    lean: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Download, "_is_inline_worth", lambda self, job: True)
    obj = found(lean)
    cut = faults.close(after_bytes=-2, applied=True)
    lean.fake.script("GetObject", faults.pass_through(), cut)
    options = replace(SIDE_BY_SIDE, retry=NO_RETRIES)
    assert download(lean, tmp_path / "file", obj, ex_options=options) is True
    assert (tmp_path / "file").read_bytes() == DATA


@MODES
def test_downloads_go_over_tls(options: UploadOptions, tmp_path: Path) -> None:
    with holding(DATA, tls=True) as running:
        obj = found(running)
        running.fake.script("GetObject", faults.close(after_bytes=-2, applied=True))
        assert download(running, tmp_path / "file", obj, ex_options=options) is True
        assert (tmp_path / "file").read_bytes() == DATA
        assert list(running.driver.download_object_as_stream(obj, 50)) == [DATA[:50], DATA[50:]]


@pytest.mark.parametrize(
    ("etag", "kind", "is_of_the_whole"),
    [
        ("0" * 32, None, True),
        ("0" * 32 + "-2", None, False),  # moto 5.2.5
        ("0" * 32 + "-2", "COMPOSITE", False),
        ("0" * 32 + "-2", "FULL_OBJECT", True),
    ],
)
def test_a_checksum_of_parts_is_not_taken_for_that_of_the_whole(
    etag: str, kind: str | None, is_of_the_whole: bool
) -> None:
    headers = {"etag": f'"{etag}"', "x-amz-checksum-crc32": "3IoptQ=="}
    if kind is not None:
        headers["x-amz-checksum-type"] = kind
    found = comparable_checksum(headers)
    assert found == (("crc32", "3IoptQ==") if is_of_the_whole else None)


def test_a_whole_file_that_an_interrupt_left_without_its_name_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = Landing(str(tmp_path / "file"))
    landing.write(b"whole", 0)
    move = landing._move
    monkeypatch.setattr(landing, "_move", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        landing.settle()
    monkeypatch.setattr(landing, "_move", move)
    landing.keep(5)
    landing.keep(5)  # It has its name by now.
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 1
