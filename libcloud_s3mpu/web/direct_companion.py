# SPDX-License-Identifier: Apache-2.0
"""Companion's S3 contract, as ``@uppy/aws-s3`` 3 to 6 calls it below the Companion URL.

========================================= ==================================================
``GET s3/params``                         ``{method, url, fields, expires}`` of a form
``POST s3/multipart``                     ``{key, uploadId, bucket}``
``GET s3/multipart/ID?key=``              ``[{PartNumber, ETag, Size}, ...]``
``GET s3/multipart/ID/N?key=``            ``{url, expires}``; with ``sha256=`` for that body alone
``GET s3/multipart/ID/batch?key=``        ``{presignedUrls: {N: url, ...}}``
``POST s3/multipart/ID/complete?key=``    ``{location, key, bucket}``
``DELETE s3/multipart/ID?key=``           ``{}``
========================================= ==================================================

An upload's id may hold any character, so a path is read from its end.
"""

from __future__ import annotations

import re
from typing import Any

from .messages import Refuse, Request, Response, json_response
from .direct_rules import DirectRules, read_json, part_numbers

_METADATA = re.compile(r"metadata\[([^\]]*)\]")
#: A path's own last word and a slash behind it; what may be an upload's id keeps its slash.
_WORD_AND_SLASH = re.compile(r"^(params|multipart|multipart/.+/(?:complete|batch|[0-9]+))/$")


class Companion:
    """The paths below ``s3``."""

    def __init__(self, rules: DirectRules) -> None:
        self._rules = rules
        self._store = rules.store

    def answer(self, request: Request, path: str) -> Response:
        """Answer a request of ``s3/<path>``."""
        path = _WORD_AND_SLASH.sub(r"\1", path)  # As Express has it, which Companion is made with.
        if path == "params":
            _only(request, "GET")
            return self._form(request)
        if path == "multipart":
            _only(request, "POST")
            return self._begin(request)
        place, _, rest = path.partition("/")
        if place != "multipart" or not rest:
            raise Refuse(404, "nothing is here")
        upload_id, _, last = rest.rpartition("/")
        if request.method == "POST" and last == "complete" and upload_id:
            return self._complete(request, upload_id)
        if request.method == "GET" and last == "batch" and upload_id:
            return self._sign_many(request, upload_id)
        if request.method == "GET" and upload_id and re.fullmatch(r"-?[0-9.]+", last):
            return self._sign_one(request, upload_id, last)
        _only(request, "GET", "DELETE")
        return self._list(request, rest) if request.method == "GET" else self._abort(request, rest)

    def _form(self, request: Request) -> Response:
        given = request.parameters
        pairs = ((_METADATA.fullmatch(name), value) for name, value in given.items())
        metadata = self._rules.metadata({m.group(1): value for m, value in pairs if m})
        kind = self._rules.content_type(given.get("type"))
        key = self._new_key(request, given.get("filename", ""), metadata)
        form = self._store.form(key, kind, metadata)
        return json_response(
            200,
            {
                "method": "POST",
                "url": form.url,
                "fields": dict(form.fields),
                "expires": self._store.expires_seconds,
            },
        )

    def _begin(self, request: Request) -> Response:
        given = read_json(request)
        metadata = self._rules.metadata(given.get("metadata"))
        kind = self._rules.content_type(given.get("type"))
        self._rules.size(given.get("size"))
        key = self._new_key(request, given.get("filename", ""), metadata)
        upload_id = self._store.begin(key, kind, metadata)
        bucket = self._store.container.name
        return json_response(200, {"key": key, "uploadId": upload_id, "bucket": bucket})

    def _list(self, request: Request, upload_id: str) -> Response:
        key = self._key(request, "list")
        return json_response(200, listed(self._store.parts(key, upload_id)))

    def _sign_one(self, request: Request, upload_id: str, number: str) -> Response:
        key = self._key(request, "sign")
        [wanted] = part_numbers(number, self._rules)
        sha256 = request.parameters.get("sha256")
        if sha256 is not None:
            url = self._store.sign_body(key, upload_id, wanted, sha256)
        else:
            url = self._store.sign_parts(key, upload_id, [wanted])[wanted]
        return json_response(200, {"url": url, "expires": self._store.expires_seconds})

    def _sign_many(self, request: Request, upload_id: str) -> Response:
        key = self._key(request, "sign")
        numbers = part_numbers(request.parameters.get("partNumbers", ""), self._rules)
        urls = self._store.sign_parts(key, upload_id, numbers)
        return json_response(200, {"presignedUrls": {str(n): url for n, url in urls.items()}})

    def _complete(self, request: Request, upload_id: str) -> Response:
        key = self._key(request, "complete")
        parts = read_json(request).get("parts")
        if not isinstance(parts, list):
            raise Refuse(400, "parts must be a list")
        self._store.complete(key, upload_id, parts)
        bucket = self._store.container.name
        return json_response(
            200, {"location": self._store.location(key), "key": key, "bucket": bucket}
        )

    def _abort(self, request: Request, upload_id: str) -> Response:
        self._store.abort(self._key(request, "abort"), upload_id)
        return json_response(200, {})

    def _new_key(self, request: Request, filename: Any, metadata: dict[str, str]) -> str:
        key = self._rules.new_key(request, filename, metadata)
        if not filename:  # As Companion 6.2 has it; a body that never arrived looks so as well.
            raise Refuse(400, "filename is missing")
        return key

    def _key(self, request: Request, action: str) -> str:
        return self._rules.allowed(request, action, request.parameters.get("key"))


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Refuse(405, "no such method here", {"Allow": ", ".join([*methods, "OPTIONS"])})


def listed(parts: Any) -> list[dict[str, Any]]:
    """Give parts as S3 names their fields."""
    return [
        {"PartNumber": part.part_number, "ETag": f'"{part.etag}"', "Size": part.size}
        for part in parts
    ]
