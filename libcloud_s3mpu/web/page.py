# SPDX-License-Identifier: Apache-2.0
"""One HTML page that uploads what is dropped on it, by a :class:`~.direct.DirectHandler`.

The page is a file of ours without a line of anybody else's (``page.html``). It may run its own
script and talk to this server and the bucket, and nothing else: its policy says so. Every call
must carry a token that only the page knows, so no other page can act for the person before it.
"""

from __future__ import annotations

import re
import hmac
import html
import json
import secrets
from base64 import b64encode
from typing import Any
from hashlib import sha256
from functools import cache
from urllib.parse import urlsplit
from collections.abc import Collection
from importlib.resources import files

from libcloud.storage.base import Container

from .direct import EXPIRES_SECONDS, DirectHandler
from .messages import Refuse, Request, Response, text_response

__all__ = ["UploadPage"]

#: Of parts, where the file does not need larger ones; a part that fails is sent again as a whole.
PART_SIZE_BYTES = 8 * 1024 * 1024
_BASE = "/direct"
_MARK = "{{setup}}"


class UploadPage:
    """Serves the page at ``/`` and direct uploads at ``/direct``; nobody is asked who they are.

    :param prefix: begins every object's name.
    :param hosts: as which clients may address it (``localhost:1080``); None for any. A list keeps
        out pages whose own host name was pointed at this address.
    """

    def __init__(
        self,
        driver: Any,
        container: Container,
        prefix: str = "",
        *,
        max_size_bytes: int | None = None,
        part_size_bytes: int = PART_SIZE_BYTES,
        hosts: Collection[str] | None = None,
    ) -> None:
        limits = driver.ex_limits
        if not limits.min_part_size <= part_size_bytes <= limits.max_part_size:
            raise ValueError(f"part_size_bytes cannot be {part_size_bytes} for this service")
        self._token = secrets.token_urlsafe(24)
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._direct = DirectHandler(
            driver,
            container,
            prefix,
            authorize=self._is_the_page,
            max_size_bytes=max_size_bytes,
            base_path=_BASE,
        )
        setup = {
            "base": _BASE,
            "token": self._token,
            "where": f"s3://{container.name}/{prefix}",
            "partSize": part_size_bytes,
            "maxParts": limits.max_parts,
            "expires": EXPIRES_SECONDS,
        }
        page = _page().replace(_MARK, html.escape(json.dumps(setup)))
        self._page = text_response(200, page, _headers(_bucket_origin(driver, container)))

    def handle(self, request: Request) -> Response:
        """Answer one request; it never raises."""
        host = (request.header("host") or "").lower()
        if self._hosts is not None and host not in self._hosts:
            return text_response(421, "this is another server\n")
        if request.path == _BASE or request.path.startswith(f"{_BASE}/"):
            return self._direct.handle(request)
        if request.path != "/":
            return text_response(404, "nothing is here\n")
        if request.method not in ("GET", "HEAD"):
            return text_response(405, "only GET\n", {"Allow": "GET, HEAD"})
        if request.method == "HEAD":
            return Response(status=200, headers=self._page.headers)
        return self._page

    def _is_the_page(self, request: Request, action: str, key: str) -> bool:
        given = request.header("x-csrf-token") or ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise Refuse(403, "load this page again: its server was started anew")
        return True


@cache
def _page() -> str:
    return files(__package__).joinpath("page.html").read_text(encoding="utf-8")


def _bucket_origin(driver: Any, container: Container) -> str:
    """Give the origin that the container's presigned URLs have."""
    parts = urlsplit(driver.ex_get_object_upload_url(container, "x"))
    return f"{parts.scheme}://{parts.netloc}"


def _headers(bucket: str) -> dict[str, str]:
    """Give the page's headers: what it may run is named by its hash."""
    script, style = (_hash_of(tag) for tag in ("script", "style"))
    policy = (
        "default-src 'none'",
        f"script-src {script}",
        f"style-src {style}",
        f"connect-src 'self' {bucket}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }


def _hash_of(tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", _page(), re.DOTALL)
    assert found is not None
    return f"'sha256-{b64encode(sha256(found.group(1).encode()).digest()).decode()}'"
