# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/invenio.md run as they stand, one after the other."""

from __future__ import annotations

import re
import warnings
from typing import Any
from pathlib import Path

import pytest

from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY, FakeS3, FakeServer
from tests.unit.small import close_driver

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("invenio_files_rest", reason="the extra invenio is not installed")
    from tests.invenio.apps import repository
    from libcloud_s3mpu.contrib.invenio.config import driver_of

PAGE = Path(__file__).parents[2] / "docs" / "invenio.md"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(60)
def test_the_examples_run() -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(examples) == 6
    fake = FakeS3(buckets=("bucket",))
    config = {"S3_ACCESS_KEY_ID": ACCESS_KEY, "S3_SECRET_ACCESS_KEY": SECRET_KEY}
    with FakeServer(fake) as server:
        config["S3_ENDPOINT_URL"] = f"http://127.0.0.1:{server.port}"
        config["S3_REGION_NAME"] = REGION
        with repository(**config) as app:
            names: dict[str, Any] = {"app": app}
            for example in examples:
                exec(compile(example, str(PAGE), "exec"), names)
            close_driver(driver_of(app))
    assert len(fake.objects["bucket"]) == 2 and not fake.uploads
