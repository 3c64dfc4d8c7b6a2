# SPDX-License-Identifier: Apache-2.0
"""One endpoint that signs whatever ``signRequest`` of ``@uppy/aws-s3`` 6 asks for.

The browser speaks S3 itself then, so what it may do is all in what is signed: a small file gets a
form, which bounds its size; and where an object's size is bounded, the completion of a multipart
upload is signed for an address of this handler, which counts the parts before it passes it on. So
is a listing of more parts than S3 names at once: the browser asks for no second page.

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
from collections.abc import Mapping, Iterable
from xml.sax.saxutils import escape

from .messages import Refuse, Request, Response, json_response, text_response
from ..protocol import xml
from .addresses import Addresses
from .direct_rules import DirectRules, read_all, read_json, part_numbers

_MAX_XML_BYTES = 2 * 1024 * 1024


class Signing:
    """The paths ``sign``, ``sign/complete`` and ``sign/parts``."""

    def __init__(self, rules: DirectRules, addresses: Addresses, secret: bytes | None) -> None:
        self._rules = rules
        self._store = rules.store
        self._addresses = addresses
        self._secret = secret

    def answer(self, request: Request, path: str) -> Response:
        """Answer ``POST sign`` (JSON), ``POST sign/complete`` and ``GET sign/parts`` (S3's XML)."""
        right = "GET" if path == "parts" else "POST"
        if path not in ("", "complete", "parts"):
            raise Refuse(404, "nothing is here")
        if request.method != right:
            raise Refuse(405, f"only {right}", {"Allow": f"{right}, OPTIONS"})
        if path:
            return self._complete(request) if path == "complete" else self._list(request)
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
            self._store.check(key, upload_id)
            return json_response(200, {"url": self._own_url(request, "complete", key, upload_id)})
        if method == "GET" and self._store.has_many_parts(key, upload_id) and self._secret:
            return json_response(200, {"url": self._own_url(request, "parts", key, upload_id)})
        verb = {"list": "list_parts"}.get(verbs[method], verbs[method])
        return json_response(200, {"url": self._store.verb_url(key, verb, upload_id)})

    def _form(self, request: Request, given: dict[str, Any]) -> Response:
        declared = given.get("contentType")
        kind = self._rules.content_type(declared or _guessed(given))
        key = self._rules.new_key(request, given.get("key", ""), {})
        if declared is None and self._store.max_size_bytes is None:
            # Before 6.3 no form is understood, and a plain PUT is held to everything but a size.
            headers = self._headers(key, kind, is_told=False)
            url = self._store.put_url(key, headers)
            return json_response(200, {"url": url, "key": key, "headers": _titled(headers)})
        form = self._store.form(key, kind, {})
        return json_response(200, {"url": form.url, "fields": dict(form.fields), "key": key})

    def _initiate(self, request: Request, given: dict[str, Any]) -> Response:
        declared = given.get("contentType")
        kind = self._rules.content_type(declared or _guessed(given))
        key = self._rules.new_key(request, given.get("key", ""), {})
        headers = self._headers(key, kind, is_told=declared is not None)
        # What is signed cannot be chosen by the browser.
        url = self._store.verb_url(key, "initiate", None, headers)
        return json_response(200, {"url": url, "key": key, "headers": _titled(headers)})

    def _headers(self, key: str, kind: str, *, is_told: bool) -> dict[str, str]:
        """Give what a new object is to be described by.

        A type that the browser did not tell is its own to send, unless some are not taken.
        """
        headers = self._store.headers(key, kind)
        if not is_told and self._rules.content_types is None:
            del headers["content-type"]
        return headers

    def _part(self, request: Request, given: dict[str, Any], upload_id: str) -> Response:
        key = self._rules.allowed(request, "sign", given.get("key"))
        number = given.get("partNumber")
        if isinstance(number, bool) or not isinstance(number, int):
            raise Refuse(400, "partNumber must be a number")
        [wanted] = part_numbers(str(number), self._rules)
        return json_response(200, {"url": self._store.sign_parts(key, upload_id, [wanted])[wanted]})

    # -- what goes by way of this handler --------------------------------------------------------

    def _own_url(self, request: Request, path: str, key: str, upload_id: str) -> str:
        if self._secret is None:
            raise Refuse(403, "completions are not signed here: the handler has no secret")
        expires = str(int(time.time()) + self._store.expires_seconds)
        named = {"key": key, "uploadId": upload_id, "expires": expires}
        query = urlencode({**named, "signature": self._signature(path, key, upload_id, expires)})
        return f"{self._addresses.collection_url(request)}sign/{path}?{query}"

    def _signature(self, path: str, key: str, upload_id: str, expires: str) -> str:
        assert self._secret is not None
        text = "\0".join((path, self._store.container.name, key, upload_id, expires))
        return hmac.new(self._secret, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _named(self, request: Request, path: str) -> tuple[str, str]:
        """Give key and upload id of an :meth:`_own_url`.

        :raises Refuse: 400 or 403 unless it is one, for this path, and its time is not over.
        """
        named = request.parameters
        try:
            key, upload_id = named["key"], named["uploadId"]
            expires, signature = named["expires"], named["signature"]
        except KeyError as error:
            raise Refuse(400, f"{error} is missing") from error
        if self._secret is None or not hmac.compare_digest(
            self._signature(path, key, upload_id, expires).encode(), signature.encode()
        ):
            raise Refuse(403, "this signature is not ours")
        if int(expires) < time.time():
            raise Refuse(403, "Request has expired")
        return key, upload_id

    def _list(self, request: Request) -> Response:
        """List all parts for a browser, which asks for one page and takes it for all."""
        key, upload_id = self._named(request, "parts")
        values = [("Bucket", self._store.container.name), ("Key", key), ("UploadId", upload_id)]
        parts = "".join(
            f"<Part><PartNumber>{part.part_number}</PartNumber>"
            f"<ETag>&quot;{escape(part.etag)}&quot;</ETag><Size>{part.size}</Size></Part>"
            for part in self._store.parts(key, upload_id)
        )
        return _xml("ListPartsResult", [*values, ("IsTruncated", "false")], parts)

    def _complete(self, request: Request) -> Response:
        """Complete for a browser that was given :meth:`_own_url`; it is told in S3's own XML."""
        key, upload_id = self._named(request, "complete")
        parts = _parts_of(read_all(request, _MAX_XML_BYTES))
        etag = self._store.complete(key, upload_id, parts)
        values = [
            ("Location", self._store.location(key)),
            ("Bucket", self._store.container.name),
            ("Key", key),
            ("ETag", f'"{etag}"'),
        ]
        return _xml("CompleteMultipartUploadResult", values)


def _xml(root: str, values: Iterable[tuple[str, str]], more: str = "") -> Response:
    """Answer as S3 does: fields of text, and what is XML already."""
    text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values)
    headers = {"Content-Type": "application/xml", "Cache-Control": "no-store"}
    return text_response(200, f"<{root}>{text}{more}</{root}>", headers)


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
