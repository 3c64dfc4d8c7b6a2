# SPDX-License-Identifier: Apache-2.0
"""A desktop client of an app that mounts ``DirectHandler``: no keys here, only the app's address.

``App`` is what ``DirectUploadClient`` asks on the way, each a request to the app. What the app
wants to know of its user goes into ``headers``.
"""

from __future__ import annotations

import os
import mimetypes
from typing import Any
from urllib.parse import quote

import requests

from libcloud_s3mpu import DirectUploadClient

MIB = 1024 * 1024


class App:
    """One upload at the app, by Companion's calls; ``url`` is where the handler is mounted."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self._url = f"{url.rstrip('/')}/s3/multipart"
        self._http = requests.Session()
        self._http.headers.update(headers or {})
        self._upload = ""
        self._key = ""

    def begin(self, name: str, size: int, content_type: str) -> dict[str, Any]:
        """Begin an upload; give its ticket, which JSON can keep for another run."""
        asked = {"filename": name, "type": content_type, "size": size}
        answer = self._http.post(self._url, json=asked, timeout=60)
        answer.raise_for_status()
        made = answer.json()
        part_size = max(20 * MIB, -(-size // 10_000))
        return {
            "container": made["bucket"],
            "object_name": made["key"],
            "upload_id": made["uploadId"],
            "size_bytes": size,
            "part_size_bytes": part_size,
            "number_of_parts": max(1, -(-size // part_size)),
            "headers": {},
            "parts": [],
        }

    def take(self, ticket: dict[str, Any]) -> None:
        """Speak of this upload from now on."""
        self._upload = f"{self._url}/{quote(ticket['upload_id'], safe='')}"
        self._key = ticket["object_name"]

    def _ask(self, method: str, path: str = "", body: Any = None, **query: str) -> Any:
        query["key"] = self._key
        url = f"{self._upload}{path}"
        answer = self._http.request(method, url, params=query, json=body, timeout=300)
        answer.raise_for_status()
        return answer.json()

    def part_urls(self, numbers: list[int]) -> Any:
        wanted = ",".join(map(str, numbers))
        return self._ask("GET", "/batch", partNumbers=wanted)["presignedUrls"]

    def signed_part_url(self, number: int, sha256: str) -> str:
        """Only for buckets on plain http, and only if a request for each part is worth it there."""
        return str(self._ask("GET", f"/{number}", sha256=sha256)["url"])

    def list_parts(self) -> Any:
        return self._ask("GET")

    def complete(self, parts: list[dict[str, Any]]) -> Any:
        return self._ask("POST", "/complete", {"parts": parts})

    def abort(self) -> None:
        self._ask("DELETE")

    def close(self) -> None:
        self._http.close()


def type_of(name: str) -> str:
    """Give the content type that a file's name promises; what is compressed is just bytes."""
    kind, compression = mimetypes.guess_type(name)
    return kind if kind and not compression else "application/octet-stream"


def upload(
    path: str,
    url: str,
    headers: dict[str, str] | None = None,
    ticket: dict[str, Any] | None = None,
    content_type: str | None = None,
    **options: Any,
) -> Any:
    """Upload a file, or go on with the one of ``ticket``; give what the app answers.

    ``content_type`` is what the file's name promises unless given; an app may refuse types (415).
    """
    app = App(url, headers)
    is_resumed = ticket is not None
    try:
        if ticket is None:
            name = os.path.basename(path)
            ticket = app.begin(name, os.path.getsize(path), content_type or type_of(name))
        app.take(ticket)
        with DirectUploadClient(**options) as client:
            return client.upload(path, ticket, app, is_resumed=is_resumed)
    finally:
        app.close()
