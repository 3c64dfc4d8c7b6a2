# SPDX-License-Identifier: Apache-2.0
"""Where a handler is, as its clients see it: which path is an upload's, and its URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from .messages import Request

#: What stands in a path as it is (RFC 3986, pchar) and no proxy is known to change. Ids that a hook
#: of tusd chose may have slashes: proxies refuse %2F, or change it.
_SAFE = "/+~-._="


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The place of a collection of uploads.

    :param base_path: of the collection, without a slash at its end: below the app's mount, or with
        it (``/files``). ``""`` where the app mounts the handler itself.
    :param public_url: the collection's URL as clients see it, where a proxy changes it.
    :param is_relative: give clients a path, which survives any proxy, and not a whole URL.
    :param trusts_forwarded: believe Forwarded and X-Forwarded-Proto and -Host; only behind a proxy
        that sets them itself.
    """

    base_path: str = ""
    public_url: str | None = None
    is_relative: bool = True
    trusts_forwarded: bool = False

    def rest_of(self, request: Request) -> str | None:
        """Give what follows the collection's path; "" for itself, None for a path outside it."""
        base = self.base_path
        for path in (request.path, request.full_path):
            if path == base or path.startswith(f"{base}/"):
                return path[len(base) + 1 :]
        return request.path.lstrip("/") if self._is_mount(request) else None

    def collection_path(self, request: Request) -> str:
        """Give the collection's path from the host's root, ending in a slash."""
        base, mount = self.base_path, request.mount.rstrip("/")
        if self._is_mount(request):
            base = mount
        elif request.path == base or request.path.startswith(f"{base}/"):
            base = mount + base
        return quote(base, safe="/" + _SAFE) + "/"

    def _is_mount(self, request: Request) -> bool:
        """Tell whether the app mounted the handler at its base path, below a root path of its own.

        So does FastAPI(root_path="/app") or uvicorn --root-path with mount("/files", ...). Some of
        its versions leave the mount in the path as well.
        """
        return bool(self.base_path) and request.mount.rstrip("/").endswith(self.base_path)

    def collection_url(self, request: Request) -> str:
        """Give the collection's absolute URL, ending in a slash."""
        if self.public_url is not None:
            return self.public_url.rstrip("/") + "/"
        scheme, host = self.origin(request)
        return f"{scheme}://{host}{self.collection_path(request)}"

    def url_of(self, request: Request, upload_id: str) -> str:
        """Give an upload's URL, for Location."""
        is_relative = self.is_relative and self.public_url is None
        base = self.collection_path(request) if is_relative else self.collection_url(request)
        return base + quote(upload_id, safe=_SAFE)

    def origin(self, request: Request) -> tuple[str, str]:
        """Give scheme and host (with its port) that the client used."""
        scheme, host = request.scheme, request.header("host") or "localhost"
        if self.trusts_forwarded:
            forwarded = _first_forwarded(request.header("forwarded") or "")
            proto, named = request.header("x-forwarded-proto"), request.header("x-forwarded-host")
            scheme = forwarded.get("proto") or (proto or scheme).split(",")[0].strip()
            host = forwarded.get("host") or (named or host).split(",")[0].strip()
        scheme = scheme.lower() if scheme.lower() in ("http", "https") else "http"
        return scheme, "".join(c for c in host if c.isascii() and (c.isalnum() or c in "-._:[]"))


def _first_forwarded(text: str) -> dict[str, str]:
    """Give the pairs of the first element of Forwarded (RFC 7239)."""
    pairs = (pair.partition("=") for pair in text.split(",")[0].split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
