# SPDX-License-Identifier: Apache-2.0
"""The Python of README.md and docs/ runs as it stands; what needs others' systems compiles."""

from __future__ import annotations

import re
from typing import Any
from pathlib import Path
from dataclasses import fields
from collections.abc import Iterator

import pytest
from libcloud.storage.base import Object, Container

import libcloud_s3mpu
from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY, FakeS3, Quirks, FakeServer
from tests.unit.small import close_driver
from libcloud_s3mpu.driver import AmazonS3MultipartDriver

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = {
    f"{page.name}:{number}": example
    for page in PAGES
    for number, example in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M), 1
    )
}
#: Pages whose examples run here, in their order; names of one example are known to the next ones.
#: The examples of docs/direct.md run in test_direct_docs.
RUN = ["usage.md", "copying.md", "reading.md"]
#: What an example has that cannot run here: a server's program, a broker, AWS's own keys.
FOREIGN = ("embedded_server", "register_tasks", "botocore_credentials", "ex_ensure_lifecycle")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_python(name: str) -> None:
    compile(EXAMPLES[name], name, "exec")


@pytest.fixture
def driver() -> Iterator[Any]:
    quirks = Quirks(customer_keys_over_http=True)
    with FakeServer(FakeS3(buckets=("bucket", "backups"), quirks=quirks)) as server:
        made = AmazonS3MultipartDriver(
            ACCESS_KEY, SECRET_KEY, host="127.0.0.1", port=server.port, secure=False, region=REGION
        )
        yield made
        close_driver(made)


def put(driver: Any, name: str) -> Object:
    container, _, key = name.partition("/")
    return driver.upload_object_via_stream([b"x" * 1000], Container(container, {}, driver), key)  # type: ignore[no-any-return]


@pytest.mark.parametrize("page", RUN)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Files are left to the collector there.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_examples_of_a_page_run(
    page: str, driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "db.dump").write_bytes(b"dump")
    container = Container("bucket", {}, driver)
    (tmp_path / "restore").mkdir()
    one, two, three = (put(driver, name) for name in ("bucket/key", "bucket/log", "bucket/three"))
    put(driver, "bucket/backups/monday")
    put(driver, "backups/db.dump")
    given = {
        **{"driver": driver, "container": container, "obj": one, "lines": [b"line"]},
        **{"first": one, "second": two, "third": three},
    }
    names: dict[str, Any] = {}
    for name, example in EXAMPLES.items():
        if name.startswith(f"{page}:") and not any(word in example for word in FOREIGN):
            names.update(given)
            example = example.replace("/var/restore", str(tmp_path / "restore"))
            try:
                exec(compile(example, name, "exec"), names)
            finally:
                libcloud_s3mpu.unregister()


def test_the_docs_tell_of_everything_public() -> None:
    usage = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    options = {each.name for each in fields(libcloud_s3mpu.UploadOptions)}
    methods = {name for name in dir(AmazonS3MultipartDriver) if name.startswith("ex_")}
    assert {name for name in options | methods - {"ex_location_name"} if name not in usage} == set()
    names = set(libcloud_s3mpu.__all__) - {"__version__", "PROVIDERS"}
    assert {name for name in names if name not in text} == set()


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
