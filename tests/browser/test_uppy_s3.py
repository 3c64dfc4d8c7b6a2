# SPDX-License-Identifier: Apache-2.0
"""``@uppy/aws-s3`` in Chromium, before a real S3 server: version 5, 6, and 6 by ``signRequest``."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.browser.app import data_of
from tests.browser.tabs import Tab
from tests.browser.conftest import MIB, Stage, on_ceph_too
from libcloud_s3mpu.web.cors import Cors
from libcloud_s3mpu.web.messages import Request

pytestmark = [pytest.mark.contract, pytest.mark.timeout(90)]

SIZE = 20 * MIB
SECRET = b"of the app, long enough"
#: Parts 2 and 3 as the browser asks the bucket for them.
PART_2, PART_3 = r"[?&]partNumber=2(&|$)", r"[?&]partNumber=3(&|$)"
KINDS = ["5", "6", "6-sign", "6-sign-bounded"]
kinds = pytest.mark.parametrize("kind", KINDS)
#: Where a bound makes no difference.
unbounded = pytest.mark.parametrize("kind", KINDS[:3])


def options(stage: Stage, kind: str, **handler: Any) -> dict[str, Any]:
    """Mount a handler, and give what Uppy of this kind needs to use it."""
    if kind.endswith("bounded"):
        handler = {"max_size_bytes": 21 * MIB, "secret": SECRET, **handler}
    path = stage.mount("direct", **handler)
    base = {"shouldUseMultipart": True, "retryDelays": [50, 50, 50]}
    if kind == "5":
        return {"version": "5", "plugin": "AwsS3", "options": {**base, "endpoint": path}}
    if kind == "6":
        return {"version": "6", "plugin": "AwsS3", "options": {**base, "companionEndpoint": path}}
    version = "6.1" if kind == "6.1-sign" else "6"
    return {"version": version, "plugin": "AwsS3", "options": base, "signs": f"{path}/sign"}


def begun(tab: Tab, given: dict[str, Any], *files: tuple[str, int], **more: Any) -> None:
    """Make an Uppy, give it files, and let it upload."""
    tab.run("window.begin(given)", {**given, **more})
    for name, size in files:
        tab.run("{ window.take(given[0], given[1]) }", [name, size])
    tab.run("{ window.upload() }")


def finished(tab: Tab, count: int = 1) -> None:
    tab.until("state.done.length + state.failed.length >= given", count, seconds=40)
    assert tab.run("state.failed") == []


@kinds
@on_ceph_too
def test_a_file_goes_up_in_parts_past_the_app(stage: Stage, kind: str) -> None:
    tab = stage.tab()
    begun(tab, options(stage, kind), ("ä ö+&?.txt", SIZE))
    finished(tab)
    [(key, body)] = stage.stored().items()
    assert body == data_of(SIZE)
    assert key.startswith("in/")
    assert key.endswith("-ä ö+_.txt")
    assert stage.unfinished() == []
    assert tab.run("state.done[0].key") == key
    assert stage.app.body_bytes < 4096
    kept = stage.driver.get_object(stage.container.name, key).extra["content_type"]
    assert kept == "text/plain"


@kinds
@on_ceph_too
def test_an_empty_file_and_a_small_one(stage: Stage, kind: str) -> None:
    tab = stage.tab()
    given = options(stage, kind)
    # Ceph's answer to a form has no ETag, and Uppy 5 waits for one for ever: docs/direct-web.md.
    given["options"]["shouldUseMultipart"] = kind == "5" and stage.name == "ceph"
    begun(tab, given, ("empty.txt", 0), ("small ü.txt", 1000))
    finished(tab, 2)
    bodies = {key[-9:]: body for key, body in stage.stored().items()}
    assert bodies == {"empty.txt": b"", "all ü.txt": data_of(1000)}
    assert stage.unfinished() == []


def test_a_version_without_forms_is_given_plain_puts(stage: Stage) -> None:
    tab = stage.tab()
    given = options(stage, "6.1-sign")
    begun(tab, given, ("large.txt", 11 * MIB))
    finished(tab)
    tab = stage.tab()
    given["options"]["shouldUseMultipart"] = False
    begun(tab, given, ("small.txt", 1000))
    finished(tab)
    assert sorted(map(len, stage.stored().values())) == [1000, 11 * MIB]
    objects = stage.driver.list_container_objects(stage.container)
    for found in objects:
        object_ = stage.driver.get_object(stage.container.name, found.name)
        assert object_.extra["content_type"] == "text/plain"


@kinds
def test_a_paused_upload_rests_and_resumes(stage: Stage, kind: str) -> None:
    tab = stage.tab()
    begun(tab, options(stage, kind), ("a.txt", SIZE), pauseAfter=1)
    tab.until("state.parts >= 1")
    [upload] = stage.unfinished()
    assert stage.stored() == {}
    tab.run("{ uppy.resumeAll() }")
    finished(tab)
    assert list(stage.stored()) == [upload.key]
    assert stage.stored()[upload.key] == data_of(SIZE)
    assert stage.unfinished() == []


@kinds
def test_a_cancelled_upload_leaves_nothing(stage: Stage, kind: str) -> None:
    tab = stage.tab()
    given = options(stage, kind)
    tab.rule("PUT", PART_3, "hold", times=9)
    begun(tab, given, ("a.txt", SIZE))
    tab.until("state.parts >= 1")
    assert len(stage.unfinished()) == 1
    tab.run("{ uppy.cancelAll() }")
    until(lambda: not stage.unfinished())
    assert stage.stored() == {}


@unbounded
@pytest.mark.parametrize("act", ["answer", "break"])
def test_a_part_that_fails_twice_is_sent_again(stage: Stage, kind: str, act: str) -> None:
    tab = stage.tab()
    tab.rule("PUT", PART_2, act, times=2, status=503)
    begun(tab, options(stage, kind), ("a.txt", 11 * MIB))
    finished(tab)
    assert list(stage.stored().values()) == [data_of(11 * MIB)]
    assert tab.told()["ruled"] == 2
    assert stage.unfinished() == []


@unbounded
def test_a_reloaded_page_continues(stage: Stage, kind: str) -> None:
    tab = stage.tab()
    given = options(stage, kind)
    tab.rule("PUT", PART_3, "hold")
    begun(tab, given, ("a.txt", SIZE), retriever=True)
    tab.until("state.parts >= 2")
    [upload] = stage.unfinished()
    time.sleep(0.7)  # Golden Retriever writes every half second.
    tab.reload()
    tab.until("document.title === 'ready'")
    tab.run("window.begin(given)", {**given, "retriever": True})
    tab.until("state.restored > 0 && uppy.getFiles().length === 1")
    before = len([1 for m, _, _ in tab.told()["requests"] if m == "PUT"])
    tab.run("{ uppy.emit('restore-confirmed') }")
    finished(tab)
    sent = len([1 for m, _, _ in tab.told()["requests"] if m == "PUT"]) - before
    assert 1 <= sent <= 2
    assert list(stage.stored()) == [upload.key]
    assert stage.stored()[upload.key] == data_of(SIZE)
    assert stage.unfinished() == []


@on_ceph_too
def test_uppy_5_signs_an_expired_url_again_by_itself(stage: Stage) -> None:
    tab = stage.tab()
    # It gives up a request of its own when the URL's time is over, so the URL itself comes late.
    tab.rule("GET", r"/2[?]key=", "late", seconds=2.2)
    begun(tab, options(stage, "5", expires_seconds=1), ("a.txt", 11 * MIB))
    until(lambda: tab.told()["ruled"])
    options(stage, "5")
    finished(tab)
    # 0: Ceph's refusals have no CORS headers, so a page does not see them.
    assert {0, 403} & set(tab.answers("PUT", "/in/"))
    assert list(stage.stored().values()) == [data_of(11 * MIB)]


@on_ceph_too
@pytest.mark.parametrize("kind", ["6", "6-sign"])
def test_uppy_6_signs_an_expired_url_again_when_it_is_told_to_retry(
    stage: Stage, kind: str
) -> None:
    tab = stage.tab()
    tab.rule("PUT", PART_2, "delay", seconds=3.2)
    begun(tab, options(stage, kind), ("a.txt", 11 * MIB), pauseAfter=1)
    tab.until("state.parts >= 1")
    options(stage, kind, expires_seconds=2)
    tab.run("{ uppy.resumeAll() }")
    until(lambda: tab.told()["ruled"])
    options(stage, kind)
    tab.until("state.failed.length > 0")
    assert {0, 403} & set(tab.answers("PUT", "/in/"))
    [upload] = stage.unfinished()
    tab.run("{ state.failed.length = 0; uppy.retryAll() }")
    finished(tab)
    assert list(stage.stored()) == [upload.key]
    assert stage.stored()[upload.key] == data_of(11 * MIB)
    assert stage.unfinished() == []


@unbounded
def test_who_is_not_allowed_gets_no_signature(stage: Stage, kind: str) -> None:
    asked: list[str] = []

    def authorize(request: Request, action: str, key: str) -> bool:
        asked.append(action)
        return action != "sign"

    tab = stage.tab()
    begun(tab, options(stage, kind, authorize=authorize), ("a.txt", 11 * MIB))
    tab.until("state.failed.length > 0", seconds=30)
    assert set(asked) >= {"create", "sign"}
    assert stage.stored() == {}
    assert 200 not in tab.answers("PUT", "/in/")


def test_uppy_5_shows_why_it_was_refused(stage: Stage) -> None:
    tab = stage.tab()
    begun(tab, options(stage, "5", content_types=["image/*"]), ("a.txt", 11 * MIB))
    tab.until("state.failed.length > 0", seconds=30)
    assert "files of this type are not taken" in tab.run("state.failed")[0]
    assert stage.unfinished() == []


@unbounded
def test_two_tabs_upload_the_same_name_at_once(stage: Stage, kind: str) -> None:
    given = options(stage, kind)
    tabs = [stage.tab(), stage.tab()]
    for tab in tabs:
        begun(tab, given, ("same.txt", 11 * MIB), retriever=False)
    for tab in tabs:
        finished(tab)
    assert list(stage.stored().values()) == [data_of(11 * MIB)] * 2
    assert stage.unfinished() == []


def test_a_page_of_another_origin_needs_the_handlers_cors(stage: Stage) -> None:
    given = options(stage, "5", cors=Cors(origins=[stage.app.url]))
    elsewhere = stage.app.url.replace("127.0.0.1", "localhost")
    given["options"]["endpoint"] = f"{elsewhere}/direct"
    tab = stage.tab()
    begun(tab, given, ("a.txt", 11 * MIB))
    finished(tab)
    given = options(stage, "5", cors=Cors(origins=["https://other.example"]))
    given["options"]["endpoint"] = f"{elsewhere}/direct"
    stranger = stage.tab()
    begun(stranger, given, ("a.txt", 11 * MIB))
    stranger.until("state.failed.length > 0")
    assert len(stage.stored()) == 1


@pytest.mark.parametrize("kind", ["5", "6", "6-sign-bounded"])
def test_too_large_a_file_is_refused_and_aborted(stage: Stage, kind: str) -> None:
    tab = stage.tab()
    begun(
        tab,
        options(stage, kind, max_size_bytes=10 * MIB, secret=SECRET),
        ("a.txt", 11 * MIB),
    )
    tab.until("state.failed.length > 0")
    assert stage.stored() == {}
    until(lambda: not stage.unfinished())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["5"])
def test_200_mib_in_parallel_parts(stage: Stage, kind: str) -> None:
    size = 200 * MIB
    given = options(stage, kind)
    given["options"]["limit"] = 6
    tab = stage.tab()
    before = time.monotonic()
    begun(tab, given, ("large.bin", size))
    finished(tab)
    print(f"200 MiB from Chromium in {time.monotonic() - before:.1f} s")
    [(_, body)] = stage.stored().items()
    assert body == data_of(size)
    assert stage.app.body_bytes < 16384


def until(is_so: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
