# SPDX-License-Identifier: Apache-2.0
"""One endpoint that signs whatever ``signRequest`` of ``@uppy/aws-s3`` 6 asks for.

The browser speaks S3 itself then, so what it may do is all in what is signed: a small file gets a
form, which bounds its size; and where an object's size is bounded, the completion of a multipart
upload is signed for an address of this handler, which counts the parts before it passes it on.

What the versions tell and take differs (read in their sources, 2026-11): the type comes with a
small file from 6.3 on and with a large one never; forms are understood from 6.3 on, headers from
6.2 on, another key than the proposed one from 6.1 on.
"""

from __future__ import annotations

import hmac
import time
import hashlib
import mimetypes
from typing import Any
from urllib.parse import urlencode
from collections.abc import Mapping
from xml.sax.saxutils import escape

from .messages import Refuse, Request, Response, json_response, text_response
from ..protocol import xml
from .addresses import Addresses
from .direct_rules import DirectRules, read_all, read_json, part_numbers

_MAX_XML_BYTES = 2 * 1024 * 1024


class Signing:
    """The paths ``sign`` and ``sign/complete``."""

    def __init__(self, rules: DirectRules, addresses: Addresses, secret: bytes | None) -> None:
        self._rules = rules
        self._store = rules.store
        self._addresses = addresses
        self._secret = secret

    def answer(self, request: Request, path: str) -> Response:
        """Answer ``POST sign`` (JSON) and ``POST sign/complete`` (S3's XML)."""
        if request.method != "POST":
            raise Refuse(405, "only POST", {"Allow": "POST, OPTIONS"})
        if path == "complete":
            return self._complete(request)
        if path:
            raise Refuse(404, "nothing is here")
        given = read_json(request)
        method, upload_id = given.get("method"), given.get("uploadId")
        if upload_id is None and method == "PUT":
            return self._form(request, given)
        if upload_id is None and method == "POST":
            return self._initiate(request, given)
        if not isinstance(upload_id, str) or not upload_id:
            raise Refuse(403, "this is not signed")
        if method == "PUT":
            return self._part(request, given, upload_id)
        verbs = {"GET": "list", "POST": "complete", "DELETE": "abort"}
        if method not in verbs:
            raise Refuse(403, "this is not signed")
        key = self._rules.allowed(request, verbs[method], given.get("key"))
        if method == "POST" and self._store.max_size_bytes is not None:
            return json_response(200, {"url": self._own_url(request, key, upload_id)})
        verb = {"list": "list_parts"}.get(verbs[method], verbs[method])
        return json_response(200, {"url": self._store.verb_url(key, verb, upload_id)})

    def _form(self, request: Request, given: dict[str, Any]) -> Response:
        declared = given.get("contentType")
        kind = self._rules.content_type(declared or _guessed(given))
        key = self._rules.new_key(request, given.get("key", ""), {})
        if declared is None and self._store.holds_to_nothing and not self._is_typed:
            # Before 6.3 no form is understood; nothing is lost by a plain PUT, which any type may
            # be sent with.
            return json_response(200, {"url": self._store.put_url(key), "key": key})
        form = self._store.form(key, kind, {})
        return json_response(200, {"url": form.url, "fields": dict(form.fields), "key": key})

    def _initiate(self, request: Request, given: dict[str, Any]) -> Response:
        declared = given.get("contentType")
        kind = self._rules.content_type(declared or _guessed(given))
        key = self._rules.new_key(request, given.get("key", ""), {})
        headers = self._store.headers(key, kind)
        if declared is None and not self._is_typed:
            # The browser knows the file's type, and sends it as long as nothing else is said.
            del headers["content-type"]
        # What is signed cannot be chosen by the browser.
        url = self._store.verb_url(key, "initiate", None, headers)
        return json_response(200, {"url": url, "key": key, "headers": _titled(headers)})

    @property
    def _is_typed(self) -> bool:
        """Are there types that are not taken?"""
        return self._rules.content_types is not None

    def _part(self, request: Request, given: dict[str, Any], upload_id: str) -> Response:
        key = self._rules.allowed(request, "sign", given.get("key"))
        number = given.get("partNumber")
        if isinstance(number, bool) or not isinstance(number, int):
            raise Refuse(400, "partNumber must be a number")
        [wanted] = part_numbers(str(number), self._rules)
        return json_response(200, {"url": self._store.sign_parts(key, upload_id, [wanted])[wanted]})

    # -- the completion by way of this handler ---------------------------------------------------

    def _own_url(self, request: Request, key: str, upload_id: str) -> str:
        if self._secret is None:
            raise Refuse(403, "completions are not signed here: the handler has no secret")
        self._store.check(key, upload_id)
        expires = str(int(time.time()) + self._store.expires_seconds)
        named = {"key": key, "uploadId": upload_id, "expires": expires}
        query = urlencode({**named, "signature": self._signature(key, upload_id, expires)})
        return f"{self._addresses.collection_url(request)}sign/complete?{query}"

    def _signature(self, key: str, upload_id: str, expires: str) -> str:
        assert self._secret is not None
        text = "\0".join(("complete", self._store.container.name, key, upload_id, expires))
        return hmac.new(self._secret, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _complete(self, request: Request) -> Response:
        """Complete for a browser that was given :meth:`_own_url`; it is told in S3's own XML."""
        named = request.parameters
        try:
            key, upload_id = named["key"], named["uploadId"]
            expires, signature = named["expires"], named["signature"]
        except KeyError as error:
            raise Refuse(400, f"{error} is missing") from error
        if self._secret is None or not hmac.compare_digest(
            self._signature(key, upload_id, expires).encode(), signature.encode()
        ):
            raise Refuse(403, "this signature is not ours")
        if int(expires) < time.time():
            raise Refuse(403, "Request has expired")
        parts = _parts_of(read_all(request, _MAX_XML_BYTES))
        etag = self._store.complete(key, upload_id, parts)
        values = {
            "Location": self._store.location(key),
            "Bucket": self._store.container.name,
            "Key": key,
            "ETag": f'"{etag}"',
        }
        text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
        return text_response(
            200,
            f"<CompleteMultipartUploadResult>{text}</CompleteMultipartUploadResult>",
            {"Content-Type": "application/xml", "Cache-Control": "no-store"},
        )


def _guessed(given: dict[str, Any]) -> str | None:
    """Give the type that the file's name promises, for a browser that does not tell."""
    name = given.get("key")
    return mimetypes.guess_type(f"x-{name}")[0] if isinstance(name, str) else None


def _titled(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.title(): value for name, value in headers.items()}


def _parts_of(body: bytes) -> list[dict[str, Any]]:
    """Read the parts of a CompleteMultipartUpload.

    :raises Refuse: 400 if it is none.
    """
    try:
        root = xml.parse(body)
        if xml.local_name(root) != "CompleteMultipartUpload":
            raise ValueError("another root")
        return [
            {
                "PartNumber": int(xml.text_of(part, "PartNumber") or ""),
                "ETag": xml.text_of(part, "ETag") or "",
            }
            for part in root
        ]
    except (xml.XmlError, ValueError) as error:
        raise Refuse(400, "the body must be S3's CompleteMultipartUpload") from error
