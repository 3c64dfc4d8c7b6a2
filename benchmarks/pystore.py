# SPDX-License-Identifier: Apache-2.0
"""The memory of the Python sink: open uploads, the latest objects, the report.

Must not live here: sockets and HTTP (`pysink.py`). Says the same as the C sink's `store.c`; one
lock guards everything, since connections are threads.
"""

from __future__ import annotations

import re
import json
import time
import hashlib
import threading
from typing import Any
from collections import deque
from dataclasses import field, dataclass

OBJECTS_KEPT = 64
MIN_PART_SIZE = 5 << 20
COUNTERS = [
    "requests",
    "connections",
    "connections_peak",
    "in_flight_peak",
    "part_requests",
    "parts_stored",
    "object_count",
    "object_bytes",
    "bytes_on_wire",
    "digest_errors",
    "bad_requests",
    "expect_100",
    "aws_chunked",
    "aborts",
    "get_requests",
    "list_requests",
    "bytes_sent",
]
PART_XML = re.compile(r"<Part>(.*?)</Part>", re.DOTALL)
NUMBER_XML = re.compile(r"<PartNumber>\s*(\d+)")
ETAG_XML = re.compile(r"<ETag>(?:&quot;|&#34;|\")?([0-9a-f]{32})")


@dataclass(slots=True)
class Part:
    size: int
    etag: str
    data: bytes | None


@dataclass(slots=True)
class Upload:
    path: str
    parts: dict[int, Part] = field(default_factory=dict)


class RefusedError(Exception):
    """An S3 error: its status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Store:
    """Everything the sink remembers; every method may be called from any thread."""

    def __init__(self, *, verify: bool) -> None:
        self.verify = verify
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._objects: deque[dict[str, Any]] = deque(maxlen=OBJECTS_KEPT)
        self._counters = dict.fromkeys(COUNTERS, 0)
        self._made = self._now = self._flying = 0

    def reset(self) -> None:
        with self._lock:
            self._uploads.clear()
            self._objects.clear()
            self._counters = dict.fromkeys(COUNTERS, 0)
            self._counters["connections_peak"] = self._now

    def count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counters[name] += by

    def connection(self, change: int) -> None:
        with self._lock:
            self._now += change
            self._counters["connections"] += change > 0
            self._counters["connections_peak"] = max(self._counters["connections_peak"], self._now)

    def flight(self, change: int) -> None:
        with self._lock:
            self._flying += change
            self._counters["in_flight_peak"] = max(self._counters["in_flight_peak"], self._flying)

    def begin(self, path: str) -> str:
        with self._lock:
            self._made += 1
            upload_id = f"sink-upload-{self._made}"
            self._uploads[upload_id] = Upload(path)
            return upload_id

    def _upload(self, upload_id: str) -> Upload:
        if upload_id not in self._uploads:
            raise RefusedError(404, "NoSuchUpload")
        return self._uploads[upload_id]

    def put_part(self, upload_id: str, number: int, part: Part) -> None:
        with self._lock:
            parts = self._upload(upload_id).parts
            self._counters["parts_stored"] += number not in parts
            parts[number] = part

    def abort(self, upload_id: str) -> None:
        with self._lock:
            self._upload(upload_id)
            del self._uploads[upload_id]
            self._counters["aborts"] += 1

    def parts(self, upload_id: str) -> list[tuple[int, Part]]:
        with self._lock:
            return sorted(self._upload(upload_id).parts.items())

    def _keep(self, path: str, size: int, etag: str, sha256: str, runs: list[list[int]]) -> None:
        parts = sum(many for _, many in runs)
        kept = {"path": path, "size": size, "parts": parts, "sha256": sha256, "part_sizes": runs}
        self._objects.append({**kept, "etag": etag})
        self._counters["object_count"] += 1
        self._counters["object_bytes"] += size

    def put_object(self, path: str, part: Part) -> None:
        sha256 = hashlib.sha256(part.data or b"").hexdigest() if self.verify else ""
        with self._lock:
            self._keep(path, part.size, part.etag, sha256, [])

    def find(self, path: str) -> tuple[int, str] | None:
        with self._lock:
            for kept in reversed(self._objects):
                if kept["path"] == path:
                    return kept["size"], kept["etag"]
        return None

    def complete(self, upload_id: str, xml: str) -> str:
        """Turn an upload into an object; its ETag, the MD5 of the MD5s as S3 makes it."""
        with self._lock:
            upload = self._upload(upload_id)
            parts = self._named_parts(upload, xml)
            runs: list[list[int]] = []
            sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
            for part in parts:
                if runs and runs[-1][0] == part.size:
                    runs[-1][1] += 1
                else:
                    runs.append([part.size, 1])
                md5.update(bytes.fromhex(part.etag))
                sha256.update(part.data or b"")
            etag = f"{md5.hexdigest()}-{len(parts)}"
            told = sha256.hexdigest() if self.verify else ""
            self._keep(upload.path, sum(part.size for part in parts), etag, told, runs)
            del self._uploads[upload_id]
            return etag

    @staticmethod
    def _named_parts(upload: Upload, xml: str) -> list[Part]:
        parts: list[Part] = []
        before = 0
        for element in PART_XML.findall(xml):
            number_found, etag_found = NUMBER_XML.search(element), ETAG_XML.search(element)
            if not number_found or not etag_found:
                raise RefusedError(400, "MalformedXML")
            number = int(number_found.group(1))
            part = upload.parts.get(number)
            if number <= before:
                raise RefusedError(400, "InvalidPartOrder")
            if part is None or part.etag != etag_found.group(1):
                raise RefusedError(400, "InvalidPart")
            if parts and parts[-1].size < MIN_PART_SIZE:
                raise RefusedError(400, "EntityTooSmall")
            parts.append(part)
            before = number
        if not parts:
            raise RefusedError(400, "MalformedXML")
        return parts

    def report(self) -> str:
        with self._lock:
            told = [{k: v for k, v in kept.items() if k != "etag"} for kept in self._objects]
            values = {"cpu_seconds": time.process_time(), **self._counters, "objects": told}
            return json.dumps(values)
