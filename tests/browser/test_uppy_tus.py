# SPDX-License-Identifier: Apache-2.0
"""Uppy's Tus plugin in Chromium: through our tus server into a real S3 server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.browser.app import data_of
from libcloud_s3mpu.web.tus import TusHandler
from tests.browser.conftest import MIB, Stage
from libcloud_s3mpu.resumable import ResumableUploads
from tests.browser.test_uppy_s3 import begun, until, finished

pytestmark = [pytest.mark.contract, pytest.mark.timeout(60)]

SIZE = 16 * MIB + 5
versions = pytest.mark.parametrize("version", ["5", "6"])


def options(stage: Stage, version: str, **more: Any) -> dict[str, Any]:
    uploads = ResumableUploads(stage.driver, stage.container, prefix="tus/", part=5 * MIB)
    stage.app.handlers["tus"] = TusHandler(uploads, base_path="/tus")
    given = {"endpoint": f"{stage.app.url}/tus", "retryDelays": [50, 50, 50], **more}
    return {"version": version, "plugin": "Tus", "options": given}


def only_object(stage: Stage) -> bytes:
    [body] = [body for key, body in stage.stored().items() if "." not in key]
    return body


@versions
def test_files_go_up_with_their_names(stage: Stage, version: str) -> None:
    tab = stage.tab()
    begun(tab, options(stage, version), ("ä.txt", SIZE))
    finished(tab)
    assert only_object(stage) == data_of(SIZE)
    assert stage.unfinished() == []
    head = tab.run(
        "fetch(given, {method: 'HEAD', headers: {'Tus-Resumable': '1.0.0'}})"
        ".then((answer) => answer.headers.get('Upload-Offset'))",
        tab.run("state.done[0].url"),
    )
    assert head == str(SIZE)


@versions
def test_an_empty_file(stage: Stage, version: str) -> None:
    tab = stage.tab()
    begun(tab, options(stage, version), ("empty.txt", 0))
    finished(tab)
    assert only_object(stage) == b""


@versions
def test_a_paused_upload_resumes(stage: Stage, version: str) -> None:
    tab = stage.tab()
    given = options(stage, version, chunkSize=4 * MIB)
    begun(tab, given, ("a.txt", SIZE), pauseAfter=5 * MIB)
    tab.until("state.paused")
    assert tab.run("state.done.length") == 0
    tab.run("{ uppy.resumeAll() }")
    finished(tab)
    assert only_object(stage) == data_of(SIZE)
    assert len(tab.answers("POST", "/tus")) == 1


@versions
def test_a_reloaded_page_continues(stage: Stage, version: str) -> None:
    tab = stage.tab()
    given = options(stage, version, chunkSize=4 * MIB)
    begun(tab, given, ("a.txt", SIZE), pauseAfter=9 * MIB, retriever=True)
    tab.until("state.paused")
    time.sleep(0.7)  # Golden Retriever writes every half second.
    tab.reload()
    tab.until("document.title === 'ready'")
    tab.run("window.begin(given)", {**given, "retriever": True})
    tab.until("state.restored > 0 && uppy.getFiles().length === 1")
    tab.run("{ uppy.emit('restore-confirmed') }")
    tab.until("uppy.getFiles()[0]?.isPaused || state.bytes > 0 || state.done.length")
    tab.run("{ uppy.resumeAll() }")
    finished(tab)
    assert only_object(stage) == data_of(SIZE)
    assert len(tab.answers("POST", "/tus")) == 1


@versions
def test_a_cancelled_upload_is_terminated(stage: Stage, version: str) -> None:
    tab = stage.tab()
    given = options(stage, version, chunkSize=4 * MIB)
    begun(tab, given, ("a.txt", SIZE), pauseAfter=5 * MIB)
    tab.until("state.paused")
    tab.run("{ uppy.cancelAll() }")
    until(lambda: not stage.keys() and not stage.unfinished())
