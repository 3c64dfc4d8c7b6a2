# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/direct.md run as they stand, one after the other."""

from __future__ import annotations

import re
from typing import Any
from pathlib import Path

import pytest
from libcloud.storage.base import Container

from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY, FakeServer
from tests.unit.small import close_driver
from tests.unit.test_cors import Bucket
from libcloud_s3mpu.driver import AmazonS3MultipartDriver

PAGE = Path(__file__).parents[2] / "docs" / "direct.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(examples) >= 8
    fake = Bucket(buckets=("bucket",))
    with FakeServer(fake) as server:
        driver = AmazonS3MultipartDriver(
            ACCESS_KEY,
            SECRET_KEY,
            host="127.0.0.1",
            port=server.port,
            secure=False,
            region=REGION,
        )
        names: dict[str, Any] = {"driver": driver, "container": Container("bucket", {}, driver)}
        for example in examples:
            exec(compile(example, str(PAGE), "exec"), names)
        close_driver(names["lent"].driver)
        close_driver(driver)
    *direct, lent = sorted(fake.objects["bucket"])
    assert direct == ["in/a.txt", "in/b.png", "in/video.mp4"] and lent.startswith("lent/")
    assert fake.cors is not None
    assert not fake.uploads
