# SPDX-License-Identifier: Apache-2.0
"""Both sinks of benchmarks/, started: what reading clients get, and that it is judged."""

from __future__ import annotations

import os
import hashlib
from typing import Any
from pathlib import Path
from xml.etree import ElementTree
from http.client import HTTPConnection
from collections.abc import Iterator

import pytest

from benchmarks.sinks import Sink, build
from benchmarks.judging import find_fault, expected_sha256
from benchmarks.client.job import MIB, Job
from benchmarks.contenders import ours
from benchmarks.client.reading import Reading
from benchmarks.client.sources import base_buffer
from benchmarks.client.virtual import PERIOD, key_of, pieces, name_of

KEYS = 2345
SIZE = 20 * MIB + 77
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture(scope="module", params=["C", "Python"])
def sink(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Sink]:
    folder: Path = tmp_path_factory.mktemp("sink")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "S3MPU_BENCH_CACHE", str(folder))
        if request.param == "C" and build("http") is None:
            pytest.skip("the C sink cannot be built here")
        content = folder / "content.bin"
        content.write_bytes(base_buffer())
        started = Sink("http", use_c=request.param == "C", content=content, keys=KEYS)
    assert started.engine.startswith(request.param)
    yield started
    started.stop()


def ask(sink: Sink, method: str, target: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(sink.host, sink.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/bench{target}", headers=named)
    answer = connection.getresponse()
    told = {name.lower(): value for name, value in answer.getheaders()}
    body = answer.read()
    connection.close()
    return answer.status, told, body


def span(start: int, end: int) -> bytes:
    return b"".join(pieces(start, end, base_buffer()))


# ---------------------------------------------------------------- objects
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        (f"bytes={PERIOD - 5}-{PERIOD + 4}", PERIOD - 5, PERIOD + 5),
        (f"bytes={SIZE - 7}-", SIZE - 7, SIZE),
        (f"bytes={SIZE - 7}-{2 * SIZE}", SIZE - 7, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
    ],
)
def test_a_range_is_what_was_asked_for(sink: Sink, asked: str, start: int, end: int) -> None:
    status, told, body = ask(sink, "GET", f"/{key_of(SIZE)}", range=asked)
    assert status == 206 and body == span(start, end)
    assert told["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"


def test_head_and_get_say_the_same_and_ranges_may_be_tied_to_the_etag(sink: Sink) -> None:
    target = f"/{key_of(1000)}"
    status, told, body = ask(sink, "HEAD", target)
    assert (status, told["content-length"], body) == (200, "1000", b"")
    assert ask(sink, "GET", target, if_match=told["etag"])[2] == span(0, 1000)
    assert ask(sink, "GET", target, if_match='"another"')[0] == 412
    assert ask(sink, "GET", target, range="bytes=1000-")[0] == 416
    assert ask(sink, "GET", target, range="bytes=none")[0] == 200
    assert ask(sink, "GET", "/virtual/much")[0] == 404


def test_other_sizes_have_other_etags(sink: Sink) -> None:
    etags = {ask(sink, "HEAD", f"/{key_of(size)}")[1]["etag"] for size in (0, 1, 10)}
    assert len(etags) == 3


# ---------------------------------------------------------------- listings
def walk(sink: Sink, first: str, following: Any) -> list[str]:
    keys: list[str] = []
    query = first
    while True:
        page = ElementTree.fromstring(ask(sink, "GET", f"?{query}")[2])
        keys += [found.text or "" for found in page.iter(f"{NAMESPACE}Key")]
        if page.findtext(f"{NAMESPACE}IsTruncated") == "false":
            return keys
        query = f"{first}&{following(page, keys)}"


def test_both_versions_of_a_listing_give_every_key_once(sink: Sink) -> None:
    expected = [name_of(number) for number in range(KEYS)]
    token = f"{NAMESPACE}NextContinuationToken"
    second = walk(sink, "list-type=2", lambda page, _: f"continuation-token={page.findtext(token)}")
    first = walk(sink, "", lambda _, keys: f"marker={keys[-1].replace(' ', '%20')}")
    assert second == expected and first == expected


def test_keys_come_percent_encoded_and_with_owners_when_asked(sink: Sink) -> None:
    plain = ask(sink, "GET", "?list-type=2&max-keys=1")[2]
    assert name_of(0).encode() in plain and b"<Owner>" not in plain
    asked = ask(sink, "GET", "?list-type=2&max-keys=1&encoding-type=url&fetch-owner=true")[2]
    assert b"<Key>folder/sub+folder/object-0000000.dat</Key>" in asked
    assert b"<EncodingType>url</EncodingType>" in asked and b"<Owner>" in asked


def test_what_the_sink_does_not_do_is_refused(sink: Sink) -> None:
    assert ask(sink, "GET", "?list-type=2&prefix=folder")[0] == 501
    assert ask(sink, "GET", "?delimiter=/")[0] == 501


# ---------------------------------------------------------------- a whole run
def job(sink: Sink, workload: str, folder: Path) -> Job:
    return Job(
        module="ours",
        workload=workload,
        host=sink.host,
        port=sink.port,
        size=SIZE,
        object_count=KEYS if workload == "list" else 1,
        output_path=str(folder / "object.bin"),
        verify=True,
    )


@pytest.mark.parametrize("workload", ["download", "read", "list"])
def test_this_project_reads_what_the_sink_has(sink: Sink, tmp_path: Path, workload: str) -> None:
    work = Reading(job(sink, workload, tmp_path), ours)
    sink.reset()
    work.warm_up()
    work.run()
    expected = expected_sha256(workload, SIZE, KEYS)
    report = sink.report()
    assert find_fault(work.job, report, work.facts, expected) is None
    assert report.bytes_sent >= SIZE or workload == "list"
    assert report.list_requests >= 3 or workload != "list"


@pytest.mark.parametrize("workload", ["download", "read", "list"])
def test_less_and_other_than_all_is_a_fault(sink: Sink, tmp_path: Path, workload: str) -> None:
    given = job(sink, workload, tmp_path)
    whole = KEYS if workload == "list" else SIZE
    expected = expected_sha256(workload, SIZE, KEYS)
    for came, fault in ((whole - 1, f"{whole - 1} of {whole}"), (whole, "other bytes")):
        (tmp_path / "object.bin").write_bytes(bytes(came))
        facts = {"came": came, "sha256": hashlib.sha256(b"else").hexdigest()}
        told = find_fault(given, sink.report(), facts, expected)
        assert told is not None and told.startswith(fault)
