# SPDX-License-Identifier: Apache-2.0
"""The page of ``s3mpu serve`` in Chromium, before a real S3 server."""

from __future__ import annotations

import os
import sys
import shutil
import signal
import subprocess
from pathlib import Path
from contextlib import contextmanager
from dataclasses import dataclass
from collections.abc import Iterator

import pytest

from tests.browser.app import data_of
from tests.browser.tabs import Tab
from tests.servers.base import Endpoint
from tests.browser.conftest import MIB, Stage
from tests.browser.test_uppy_s3 import PART_2, PART_3, until

pytestmark = [pytest.mark.contract, pytest.mark.timeout(60)]

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16 * MIB
DONE = "document.querySelectorAll('li.done').length"


@dataclass(kw_only=True)
class Served:
    """A stage whose bucket ``s3mpu serve`` shows a page for, and a folder for files."""

    stage: Stage
    url: str
    folder: Path

    def file(self, name: str, size: int) -> Path:
        path = self.folder / name
        path.write_bytes(data_of(size))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        return path

    def tab(self) -> Tab:
        return self.stage.person.tab(self.url)


@pytest.fixture
def served(stage: Stage, endpoint: Endpoint, tmp_path: Path) -> Iterator[Served]:
    with serving(stage, endpoint, tmp_path) as found:
        yield found


@contextmanager
def serving(
    stage: Stage, endpoint: Endpoint, folder: Path, *arguments: str, **more: str
) -> Iterator[Served]:
    pytest.importorskip("click", reason="the command line needs click")
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_REGION": endpoint.region,
        **more,
    }
    command = [sys.executable, "-W", "ignore", "-m", "libcloud_s3mpu", "serve"]
    command += [f"s3://{stage.container.name}/in", "--port", "0", "--part-size", "5MiB"]
    with subprocess.Popen(
        [*command, "--set-cors", *arguments], env=environ, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        try:
            assert line.startswith("a page to drop files on at http://127.0.0.1:"), line
            yield Served(stage=stage, url=line.split()[-1], folder=folder)
        finally:
            child.send_signal(signal.SIGINT)
    assert child.returncode == 130


def test_a_page_behind_its_login(stage: Stage, endpoint: Endpoint, tmp_path: Path) -> None:
    with serving(stage, endpoint, tmp_path, "--login", S3MPU_SERVE_PASSWORD="x y") as served:
        # The browser sends it again with each call of the page.
        served.url = served.url.replace("http://", "http://s3mpu:x%20y@")
        tab = served.tab()
        tab.give_files("#files", [served.file("a.bin", 6 * MIB), served.file("empty", 0)])
        tab.until(f"{DONE} === 2")
        assert sorted(stage.stored().values()) == [b"", data_of(6 * MIB)]


def test_files_go_up_and_their_names_are_only_text(served: Served) -> None:
    tab = served.tab()
    name = "<img src=x onerror=hit=1> ä&quot;.bin"
    tab.give_files("#files", [served.file(name, SIZE), served.file("empty", 0)])
    tab.until(f"{DONE} === 2")
    assert sorted(served.stage.stored().values()) == [b"", data_of(SIZE)]
    assert tab.run("[...document.querySelectorAll('.name')].map((e) => e.textContent)") == [
        name,
        "empty",
    ]
    assert tab.run("typeof hit") == "undefined"
    assert tab.told()["said"] == []
    assert served.stage.unfinished() == []
    assert all(key.startswith("in/") for key in served.stage.stored())


def test_the_policy_runs_no_other_script(served: Served) -> None:
    tab = served.tab()
    tab.run("{ document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=hit=1>') }")
    tab.run(
        "{ const made = document.createElement('script'); made.text = 'hit = 1';"
        " document.body.append(made) }"
    )
    tab.until("true")
    assert tab.run("typeof hit") == "undefined"
    assert any("Content Security Policy" in said for said in tab.told()["said"])


def test_what_is_dropped_anywhere_on_the_page_is_taken(served: Served) -> None:
    tab = served.tab()
    tab.run(
        """(() => {
          const dataTransfer = new DataTransfer()
          for (const name of given) dataTransfer.items.add(new File([name], name))
          const what = { dataTransfer, bubbles: true, cancelable: true }
          document.body.dispatchEvent(new DragEvent("drop", what))
        })()""",
        ["one.txt", "two.txt"],
    )
    tab.until(f"{DONE} === 2")
    assert sorted(served.stage.stored().values()) == [b"one.txt", b"two.txt"]


def test_pause_and_resume(served: Served) -> None:
    tab = served.tab()
    tab.rule("PUT", PART_3, "hold")
    tab.give_files("#files", [served.file("a.bin", SIZE)])
    tab.until("document.querySelectorAll('.part.done').length === 3")
    tab.click("button.pause")
    tab.until("document.querySelector('li.paused')")
    assert "paused at" in tab.run("document.querySelector('.told').textContent")
    tab.click("button.resume")
    tab.until(f"{DONE} === 1")
    assert list(served.stage.stored().values()) == [data_of(SIZE)]
    assert len([s for s in tab.answers("PUT", "/in/") if s == 200]) == 4


def test_cancel_leaves_nothing(served: Served) -> None:
    tab = served.tab()
    tab.rule("PUT", PART_3, "hold")
    tab.give_files("#files", [served.file("a.bin", SIZE)])
    tab.until("document.querySelectorAll('.part.done').length === 3")
    assert len(served.stage.unfinished()) == 1
    tab.click("button.cancel")
    tab.until("!document.querySelector('li')")
    until(lambda: not served.stage.unfinished())
    assert served.stage.stored() == {}


@pytest.mark.parametrize("act", ["answer", "break"])
def test_a_part_that_fails_twice_is_sent_again(served: Served, act: str) -> None:
    tab = served.tab()
    tab.rule("PUT", PART_2, act, times=2, status=503)
    tab.give_files("#files", [served.file("a.bin", SIZE)])
    tab.until(f"{DONE} === 1")
    assert list(served.stage.stored().values()) == [data_of(SIZE)]


def test_a_reloaded_page_continues_when_it_is_given_the_file_again(served: Served) -> None:
    tab = served.tab()
    file = served.file("a.bin", SIZE)
    tab.rule("PUT", PART_3, "hold")
    tab.give_files("#files", [file])
    tab.until("document.querySelectorAll('.part.done').length === 3")
    [upload] = served.stage.unfinished()
    tab.run("{ document.querySelector('button.pause').click() }")
    tab.reload()
    tab.give_files("#files", [file])
    tab.until(f"{DONE} === 1")
    assert list(served.stage.stored()) == [upload.key]
    assert served.stage.stored()[upload.key] == data_of(SIZE)
    assert len([s for s in tab.answers("PUT", "/in/") if s == 200]) == 4
    assert served.stage.unfinished() == []


def test_what_was_aborted_meanwhile_begins_anew(served: Served) -> None:
    tab = served.tab()
    tab.rule("PUT", PART_3, "hold")
    tab.give_files("#files", [served.file("a.bin", SIZE)])
    tab.until("document.querySelectorAll('.part.done').length === 3")
    tab.click("button.pause")
    [upload] = served.stage.unfinished()
    driver, container = served.stage.driver, served.stage.container
    driver.ex_abort_upload(container, upload.key, upload.id)
    tab.click("button.resume")
    tab.until("document.querySelector('li.failed')")
    tab.click("button.resume")
    tab.until(f"{DONE} === 1")
    assert list(served.stage.stored().values()) == [data_of(SIZE)]


def test_two_tabs_with_one_file_do_not_meet(served: Served) -> None:
    file = served.file("a.bin", SIZE)
    tabs = [served.tab(), served.tab()]
    for tab in tabs:
        tab.rule("PUT", PART_3, "delay", seconds=0.3)
        tab.give_files("#files", [file])
    for tab in tabs:
        tab.until(f"{DONE} === 1")
    assert list(served.stage.stored().values()) == [data_of(SIZE)] * 2
    assert served.stage.unfinished() == []


def test_a_picture_for_the_docs(served: Served, tmp_path: Path) -> None:
    """Written to the folder S3MPU_PICTURES as ``serve.png``, if that is named."""
    tab = served.tab()
    tab.rule("PUT", r"[?&]partNumber=(9|1[0-9])(&|$)", "hold", times=99)
    tab.give_files("#files", [served.file("holiday.mp4", 90 * MIB)])
    tab.until("document.querySelectorAll('.part.done').length >= 8")
    tab.give_files("#files", [served.file("notes.pdf", 3 * MIB)])
    tab.until(f"{DONE} === 1")
    picture = tmp_path / "serve.png"
    tab.picture(picture, 820, 470)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 150_000
    if folder := os.environ.get("S3MPU_PICTURES"):
        shutil.copy(picture, Path(folder) / "serve.png")
    tab.run("{ for (const each of document.querySelectorAll('button.pause')) each.click() }")
