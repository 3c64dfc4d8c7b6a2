# SPDX-License-Identifier: Apache-2.0
"""The samples of the manual's pages about resumable uploads, run as somebody pastes them."""

from __future__ import annotations

import io
import re
from typing import Any
from pathlib import Path
from collections.abc import Iterator

import pytest
import libcloud.storage.providers as providers

from tests.fake_s3 import FakeLimits
from tests.unit.small import Service, service
from tests.web.conftest import TYPE, VERSION, b64
from libcloud_s3mpu.resumable import ResumableUploads

DOCS = Path(__file__).resolve().parents[2] / "docs"
SAMPLES = {
    f"{name} {number}": text
    for name in ("resumable.md", "tus.md")
    for number, text in enumerate(
        re.findall(r"```python\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL), 1
    )
}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A bucket named ``files``, and what ``get_driver`` gives bound to it."""
    with service(limits=FakeLimits()) as found:
        from libcloud_s3mpu.protocol.limits import S3_LIMITS

        found.driver.ex_limits = S3_LIMITS  # type: ignore[misc]
        found.driver.create_container("files")
        monkeypatch.setattr(providers, "get_driver", lambda _: lambda *a, **k: found.driver)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "film.mp4").write_bytes(b"film" * 99)
        yield found


def run(name: str, **names: Any) -> dict[str, Any]:
    exec(compile(SAMPLES[name], name, "exec"), names)
    return names


def asked(app: Any, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    """Send a request to a WSGI app; gives status line and headers."""
    started: list[Any] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": TYPE if body else ""}
    environ["HTTP_TUS_RESUMABLE"] = VERSION["Tus-Resumable"]
    b"".join(app(environ, lambda status, told: started.append((status, dict(told)))))
    return started[0]


def test_there_are_as_many_as_are_run_here() -> None:
    assert list(SAMPLES) == ["resumable.md 1", "resumable.md 2", "tus.md 1", "tus.md 2"]


def test_a_file_in_pieces(made: Service) -> None:
    found = run("resumable.md 1")
    assert found["obj"].size == 396 and found["info"].complete
    assert found["obj"].name in made.fake.objects["files"]


def test_a_locker_by_its_argument(
    made: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("filelock")
    monkeypatch.setitem(
        SAMPLES, "resumable.md 2", SAMPLES["resumable.md 2"].replace("/var/lock", str(tmp_path))
    )
    uploads = run("resumable.md 2", driver=made.driver, ResumableUploads=ResumableUploads)[
        "uploads"
    ]
    assert uploads.write(uploads.create(3).id, 0, b"abc").complete
    assert (tmp_path / "app").is_dir()


def test_a_wrong_argument_names_the_class_that_people_know(made: Service) -> None:
    with pytest.raises(TypeError, match=r"^ResumableUploads\.__init__\(\) .*'lock'"):
        ResumableUploads(made.driver, made.container, lock=None)  # type: ignore[call-arg]


def test_a_server(made: Service) -> None:
    app = run("tus.md 1")["app"]
    status, headers = asked(app, "POST", "/files", upload_length="3")
    assert status.startswith("201") and headers["Location"].startswith("/files/")
    status, headers = asked(app, "PATCH", headers["Location"], b"abc", upload_offset="0")
    assert (status[:3], headers["Upload-Offset"]) == ("204", "3")


def test_hooks(made: Service) -> None:
    found = run("tus.md 2")
    assert asked(found["app"], "POST", "/files", upload_length="3")[0].startswith("401")
    who = {"authorization": "Bearer a-secret-of-ann"}
    told = {"upload_length": "3", "upload_metadata": f"filename {b64('a.csv')}"}
    status, headers = asked(found["app"], "POST", "/files", **told, **who)
    assert status.startswith("201")
    url = headers["Location"]
    assert asked(found["app"], "HEAD", url)[0].startswith("401")
    status, _ = asked(found["app"], "PATCH", url, b"abc", upload_offset="0", **who)
    assert status.startswith("204")
    key = found["finished"].get_nowait()
    assert key.startswith("uploads/inbox/ann/") and key.endswith("/a.csv")
    assert bytes(made.fake.objects["files"][key].body) == b"abc"
    found["USERS"]["Bearer of-bob"] = "bob"
    assert asked(found["app"], "HEAD", url, authorization="Bearer of-bob")[0].startswith("403")
