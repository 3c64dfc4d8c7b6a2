# SPDX-License-Identifier: Apache-2.0
"""A stand-in for libcloud's HTTP connection: answers come from methods named by the path.

``GET /bucket/a-key.txt`` is answered by ``_bucket_a_key_txt(method, url, body, headers)``, with
``_TYPE`` appended where the class attribute ``type`` is ``"TYPE"``. A method returns
``(status, body, headers, reason)``, as those of libcloud's own ``MockHttp`` do, or raises. Nothing
goes to a socket, and what was asked is kept in ``requests``. S3's answers are in ``s3_mock.py``.
"""

from __future__ import annotations

import io
from typing import Any, ClassVar
from pathlib import Path
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, parse_qsl
from collections.abc import Mapping

import urllib3
import requests
from libcloud.http import LibcloudConnection
from requests.adapters import HTTPAdapter

FIXTURES = Path(__file__).parents[2] / "fixtures"

Answer = tuple[int, "str | bytes", Mapping[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it reached the HTTP connection; header names are lower case."""

    method: str
    host: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.url.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def verb(self) -> str:
        """S3's name of what was asked, as far as method and query tell it."""
        asked = self.query
        if "uploads" in asked:
            return "CreateMultipartUpload" if self.method == "POST" else "ListMultipartUploads"
        if "uploadId" in asked:
            if self.method == "PUT":
                return f"UploadPart {asked['partNumber']}"
            return {
                "POST": "CompleteMultipartUpload",
                "DELETE": "AbortMultipartUpload",
                "GET": "ListParts",
            }[self.method]
        return f"{self.method.capitalize()}Object"


class _NoNetwork(HTTPAdapter):
    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"{request.method} {request.url} went past the mock")


class MockHttp(LibcloudConnection):  # type: ignore[misc]
    """Base of mocks; ``type`` is a class attribute, so each test has a subclass of its own."""

    type: ClassVar[str | None] = None
    requests: ClassVar[list[Sent]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for prefix in ("https://", "http://"):
            self.session.mount(prefix, _NoNetwork())

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        raw: bool = False,
        stream: bool = False,
        hooks: Any = None,
    ) -> None:
        sent = Sent(
            method=method,
            host=self.host,
            url=url,
            headers={name.lower(): str(value) for name, value in (headers or {}).items()},
            body=_joined(body),
        )
        self.requests.append(sent)
        answer = getattr(self, self._method_name(sent.path))(method, url, sent.body, sent.headers)
        self.response = _response(sent, answer)

    def prepared_request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        raw: bool = False,
        stream: bool = False,
    ) -> None:
        self.request(method, url, body=body, headers=headers, raw=raw, stream=stream)

    def _method_name(self, path: str) -> str:
        name = path.rstrip("/")
        for character in "/.-%~":
            name = name.replace(character, "_")
        return "_".join(filter(None, (name or "root", self.type)))


def fixture(name: str) -> str:
    """Give the text of a file in ``fixtures/``."""
    return (FIXTURES / name).read_text(encoding="utf-8")


def _joined(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8")
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    read = getattr(body, "read", None)
    return bytes(read()) if read is not None else b"".join(map(bytes, body))


def _response(sent: Sent, answer: Answer) -> requests.Response:
    status, body, headers, reason = answer
    data = body.encode("utf-8") if isinstance(body, str) else body
    response = requests.Response()
    response.status_code = int(status)
    response.reason = reason
    response.url = f"{sent.host}{unquote(sent.path)}"
    response.headers.update(headers)
    response.request = requests.PreparedRequest()
    response.encoding = "utf-8"
    response.raw = urllib3.HTTPResponse(
        body=io.BytesIO(data),
        headers=dict(headers),
        status=int(status),
        reason=reason,
        preload_content=False,
        request_method=sent.method,
    )
    return response
