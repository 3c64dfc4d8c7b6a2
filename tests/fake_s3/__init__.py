# SPDX-License-Identifier: Apache-2.0
"""A strict S3 in a few pages, for tests: ``state.py`` is pure, ``server.py`` puts it on loopback.

The names that tests need are gathered here; nothing else is.
"""

from tests.fake_s3 import faults
from tests.fake_s3.state import ANY, FakeS3
from tests.fake_s3.store import Upload, StoredPart, StoredObject
from tests.fake_s3.config import REGION, ACCESS_KEY, SECRET_KEY, Quirks, FakeLimits
from tests.fake_s3.faults import Wire, Fault
from tests.fake_s3.server import Gate, FakeServer
from tests.fake_s3.messages import Request, Response, RequestRecord

__all__ = [
    "ACCESS_KEY",
    "ANY",
    "REGION",
    "SECRET_KEY",
    "FakeLimits",
    "FakeS3",
    "FakeServer",
    "Fault",
    "Gate",
    "Quirks",
    "Request",
    "RequestRecord",
    "Response",
    "StoredObject",
    "StoredPart",
    "Upload",
    "Wire",
    "faults",
]
