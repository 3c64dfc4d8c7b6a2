# SPDX-License-Identifier: Apache-2.0
"""oarepo's layout of direct uploads, as its clients of Invenio call it.

============================================== =============================================
``POST files/?multipart=True``                 ``{"key", "size", "ctype"}`` -> ``{key, uploadId}``
``POST files/KEY/?multipart=True``             the same, with the key in the path
``GET files/KEY/ID/N,N,.../presigned``         ``{presignedUrls: {N: url, ...}}``
``GET files/KEY/ID/parts``                     ``[{PartNumber, ETag, Size}, ...]``
``POST files/KEY/ID/complete``                 ``{location, checksum}``
``DELETE files/KEY/ID/abort``                  ``{}``
============================================== =============================================

Here the client names the key, below the prefix: ``authorize`` must know whose it is. A key may hold
slashes, at its end only where the body names it; an upload's id that holds any is given out in
base64, since it must be one segment. A slash behind a path changes nothing.
"""

from __future__ import annotations

import re
import base64
import binascii

from .messages import Refuse, Request, Response, json_response
from .direct_rules import DirectRules, read_json, part_numbers
from .direct_companion import listed

_MARK = "b64."


class Files:
    """The paths below ``files``."""

    def __init__(self, rules: DirectRules) -> None:
        self._rules = rules
        self._store = rules.store

    def answer(self, request: Request, path: str) -> Response:
        """Answer a request of ``files/<path>``."""
        path = path.removesuffix("/")
        if request.method == "POST" and request.parameters.get("multipart", "").lower() == "true":
            return self._begin(request, path)
        head, _, action = path.rpartition("/")
        actions = {
            "presigned": ("GET", self._sign),
            "parts": ("GET", self._list),
            "complete": ("POST", self._complete),
            "abort": ("DELETE", self._abort),
        }
        method, found = actions.get(action, ("POST", None))
        if request.method != method:
            raise Refuse(405, "no such method here", {"Allow": f"{method}, OPTIONS"})
        if found is None:
            raise Refuse(400, "only uploads with multipart=True begin here")
        return found(request, head)

    def _begin(self, request: Request, path: str) -> Response:
        given = read_json(request)
        name = path or given.get("key")
        if path and given.get("key", path) not in (path, f"{path}/"):
            raise Refuse(400, "two keys are named")
        if not isinstance(name, str) or not name:
            raise Refuse(400, "key is missing")
        kind = self._rules.content_type(given.get("ctype"))
        self._rules.size(given.get("size"))
        key = self._rules.allowed(request, "create", f"{self._rules.prefix}{name}")
        upload_id = self._store.begin(key, kind, {})
        return json_response(201, {"key": name, "uploadId": as_segment(upload_id)})

    def _sign(self, request: Request, path: str) -> Response:
        place, _, numbers = path.rpartition("/")
        key, upload_id = self._place(request, "sign", place)
        urls = self._store.sign_parts(key, upload_id, part_numbers(numbers, self._rules))
        return json_response(200, {"presignedUrls": {str(n): url for n, url in urls.items()}})

    def _list(self, request: Request, path: str) -> Response:
        key, upload_id = self._place(request, "list", path)
        return json_response(200, listed(self._store.parts(key, upload_id)))

    def _complete(self, request: Request, path: str) -> Response:
        key, upload_id = self._place(request, "complete", path)
        parts = read_json(request).get("parts")
        if not isinstance(parts, list):
            raise Refuse(400, "parts must be a list")
        etag = self._store.complete(key, upload_id, parts)
        return json_response(
            200, {"location": self._store.location(key), "checksum": f"etag:{etag}"}
        )

    def _abort(self, request: Request, path: str) -> Response:
        self._store.abort(*self._place(request, "abort", path))
        return json_response(200, {})

    def _place(self, request: Request, action: str, path: str) -> tuple[str, str]:
        """Give key and upload id; the id is the last segment."""
        name, _, upload_id = path.rpartition("/")
        if not name or not upload_id:
            raise Refuse(404, "nothing is here")
        key = self._rules.allowed(request, action, f"{self._rules.prefix}{name}")
        return key, _of_segment(upload_id)


def as_segment(upload_id: str) -> str:
    """Give an upload's id as one segment of a path, whether a client encodes it or not."""
    if re.fullmatch(r"[A-Za-z0-9._~-]+", upload_id) and not upload_id.startswith(_MARK):
        return upload_id
    return _MARK + base64.urlsafe_b64encode(upload_id.encode()).decode().rstrip("=")


def _of_segment(text: str) -> str:
    if not text.startswith(_MARK):
        return text
    encoded = text[len(_MARK) :]
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise Refuse(404, "there is no such upload") from error
