# SPDX-License-Identifier: Apache-2.0
"""URLs and forms that carry their own signature: SigV4 in the query, and POST policies.

All is computed from values: keys and region come in a :class:`~.signing.Signer`, the moment in
``amz_date``. What a URL allows is exactly what was signed: one method, one host, one key, its whole
query, and those headers that are named; who asks for which is :mod:`libcloud_s3mpu.presign`.
"Authenticating Requests: Using Query Parameters" and "Browser-Based Uploads Using POST", Amazon S3
API Reference (read 2026-11).
"""

from __future__ import annotations

import re
import json
import hashlib
from base64 import b64encode
from typing import Any
from datetime import datetime, timezone, timedelta
from dataclasses import field, dataclass
from urllib.parse import quote
from collections.abc import Mapping, Iterable

from . import headers as header_rules
from .errors import InvalidRequestError
from .signing import (
    TOKEN_HEADER,
    UNSIGNED_PAYLOAD,
    SESSION_TOKEN_HEADER,
    Signer,
    canonical_value,
)
from .endpoint import Endpoint, check_bucket, encode_query

ALGORITHM = "AWS4-HMAC-SHA256"
#: Seven days (as above, "X-Amz-Expires").
MAX_EXPIRES_SECONDS = 604_800
#: Headers of a token, and what they are called in a query.
_TOKEN_NAMES = {
    TOKEN_HEADER: "X-Amz-Security-Token",
    SESSION_TOKEN_HEADER: "X-Amz-S3session-Token",
}
#: The header that says which body a URL is for, where it is for one.
CONTENT_SHA256 = "x-amz-content-sha256"
_SHA256 = re.compile(r"[0-9a-f]{64}")
METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
#: What a GET's URL may have the service answer, instead of what was stored ("GetObject").
OVERRIDES = frozenset(
    f"response-{name}"
    for name in (
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    )
)


def check_expires(expires_seconds: int) -> int:
    """Give the life time of a URL, in seconds.

    :raises InvalidRequestError: unless it is a whole number from 1 to 604,800 (seven days).
    """
    seconds = expires_seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise InvalidRequestError(f"expires_seconds must be an int, not {seconds!r}")
    if not 1 <= seconds <= MAX_EXPIRES_SECONDS:
        raise InvalidRequestError(
            f"expires_seconds must be 1 to {MAX_EXPIRES_SECONDS} (seven days), not {seconds}"
        )
    return seconds


def signed_headers(
    headers: Mapping[str, Any] | None = None,
    *,
    content_type: str | None = None,
    size_bytes: int | None = None,
) -> dict[str, str]:
    """Give the headers that a client must send exactly so, by lower-case name, checked.

    Values stand as they are sent; one that is not ASCII cannot be.

    :param size_bytes: the length of the body; with it signed, no other length is taken.
    :raises InvalidRequestError: for a name or value that cannot be, or one that signing sets.
    """
    found: dict[str, str] = {}
    for name, value in (headers or {}).items():
        # Metadata is encoded by whoever sends it (RFC 2047), not here: only names are judged so.
        header_rules.checked_headers({name: ""})
        found[name.lower()] = header_rules.checked_value(name, value)
    if content_type is not None:
        found["content-type"] = header_rules.checked_value("Content-Type", content_type)
    if size_bytes is not None:
        if isinstance(size_bytes, bool) or not isinstance(size_bytes, int) or size_bytes < 0:
            raise InvalidRequestError(f"size_bytes must be an int from 0, not {size_bytes!r}")
        found["content-length"] = str(size_bytes)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """What a browser's form needs to POST one object.

    ``fields`` go before the file, which must be the last field and be named ``file``; the URL is
    where the form is sent. Until ``expires_at`` the fields are as good as a key, so a repr does not
    show them.
    """

    url: str
    fields: Mapping[str, str] = field(repr=False)
    expires_at: datetime


class Presigner:
    """Signs URLs for one endpoint, all from one moment and with one life time.

    A snapshot: it holds the keys of when it was made, and no URL of it outlives ``expires_at``.
    Any thread may use it. It holds a secret and cannot be pickled.

    :param amz_date: ``YYYYMMDDTHHMMSSZ``: from when on the URLs hold.
    """

    __slots__ = ("endpoint", "expires_seconds", "_signer", "_date", "_common", "_head")

    def __init__(
        self, signer: Signer, endpoint: Endpoint, *, amz_date: str, expires_seconds: int = 3600
    ) -> None:
        self.endpoint = endpoint
        self.expires_seconds = check_expires(expires_seconds)
        self._signer = signer
        self._date = amz_date
        keys = signer.credentials
        pairs = [
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", f"{keys.access_key}/{self._scope}"),
            ("X-Amz-Date", amz_date),
            ("X-Amz-Expires", str(expires_seconds)),
        ]
        if keys.token:
            pairs.append((_TOKEN_NAMES[signer.token_header], keys.token))
        self._common = tuple(pairs)
        self._head = f"{ALGORITHM}\n{amz_date}\n{self._scope}\n"

    def __repr__(self) -> str:
        return f"<Presigner {self.endpoint.host} until {self.expires_at:%Y-%m-%dT%H:%M:%SZ}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Presigner holds a secret key and cannot be pickled")

    @property
    def expires_at(self) -> datetime:
        """When its URLs end; aware, in UTC."""
        begin = datetime.strptime(self._date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        return begin + timedelta(seconds=self.expires_seconds)

    def url(
        self,
        method: str,
        bucket: str,
        key: str | None,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Give a URL for one request.

        :param query: the request's own, not encoded.
        :param headers: signed too, so the client must send them exactly so; lower-case names
            (:func:`signed_headers`). With ``x-amz-content-sha256`` the URL takes that body alone.
        """
        if method not in METHODS:
            raise InvalidRequestError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
        host = self._host(bucket)
        path = self.endpoint.path(bucket, key)
        block, names = _block(host, headers or {})
        text = self._query(names, query)
        payload = (headers or {}).get(CONTENT_SHA256, UNSIGNED_PAYLOAD)
        request = f"{method}\n{path}\n{text}\n{block}\n{names}\n{payload}"
        signature = self._signature(hashlib.sha256(request.encode("utf-8")).hexdigest())
        return f"{self.endpoint.scheme}://{host}{path}?{text}&X-Amz-Signature={signature}"

    def body_url(
        self,
        bucket: str,
        key: str,
        *,
        upload_id: str | None,
        part_number: int,
        sha256: str,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Give the URL that one body is PUT to, as a part or as the object; no other is taken.

        :param sha256: the body's, in lower-case hexadecimals; the client sends it as
            ``x-amz-content-sha256``.
        :raises InvalidRequestError: if it is none.
        """
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise InvalidRequestError("a SHA-256 is 64 hexadecimal digits, in lower case")
        query = [("partNumber", str(part_number)), ("uploadId", upload_id)] if upload_id else []
        return self.url(
            "PUT", bucket, key, query=query, headers={**(headers or {}), CONTENT_SHA256: sha256}
        )

    def part_urls(
        self,
        bucket: str,
        key: str,
        *,
        upload_id: str,
        numbers: Iterable[int],
        size_of: Mapping[int, int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[int, str]:
        """Give the URLs that parts are PUT to, by part number; thousands of them at once.

        What all of them share is encoded and hashed once; each is what :meth:`url` gives.

        :param size_of: part number -> the one size in bytes that is taken.
        """
        host = self._host(bucket)
        path = self.endpoint.path(bucket, key)
        upload = f"&uploadId={quote(upload_id, safe='-._~')}"
        given = dict(headers or {})
        # The block of all parts of one size differs from part to part in nothing.
        tails: dict[int | None, tuple[str, bytes, Any]] = {}
        urls = {}
        for number in numbers:
            size = size_of[number] if size_of is not None else None
            known = tails.get(size)
            if known is None:
                if size is not None:
                    given["content-length"] = str(size)
                block, names = _block(host, given)
                begin = self._query(names, ()) + "&partNumber="
                tail = f"{upload}\n{block}\n{names}\n{UNSIGNED_PAYLOAD}".encode()
                hashed = hashlib.sha256(f"PUT\n{path}\n{begin}".encode())
                url = f"{self.endpoint.scheme}://{host}{path}?{begin}"
                known = tails[size] = (url, tail, hashed)
            url, tail, hashed = known
            digest = hashed.copy()
            digest.update(b"%d" % number)
            digest.update(tail)
            signature = self._signature(digest.hexdigest())
            urls[number] = f"{url}{number}{upload}&X-Amz-Signature={signature}"
        return urls

    def form(
        self,
        bucket: str,
        *,
        key: str | None = None,
        key_prefix: str | None = None,
        min_size_bytes: int = 0,
        max_size_bytes: int,
        content_type: str | None = None,
        content_type_prefix: str | None = None,
        fields: Mapping[str, str] | None = None,
        conditions: Iterable[Any] = (),
    ) -> UploadForm:
        """Give a form for one object: its exact key, or any key that begins with a prefix.

        :param key_prefix: the form names the object by it and the file's name (``${filename}``).
        :param content_type_prefix: ``image/`` takes any image; the page adds the field
            ``Content-Type`` itself.
        :param fields: further fields, which are held to exactly these values.
        :param conditions: further ones as they stand in a policy.
        """
        if (key is None) == (key_prefix is None):
            raise InvalidRequestError("give key, or key_prefix, and not both")
        if key is not None and "${filename}" in key.lower():
            raise InvalidRequestError(
                "a form's key cannot hold ${filename}: the service would put the client's own "
                "name of the file there"
            )
        if content_type is not None and content_type_prefix is not None:
            raise InvalidRequestError("give content_type, or content_type_prefix, not both")
        for size in (min_size_bytes, max_size_bytes):
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise InvalidRequestError(f"a size in bytes must be an int from 0, not {size!r}")
        if min_size_bytes > max_size_bytes:
            raise InvalidRequestError("min_size_bytes must not be above max_size_bytes")
        given = {name: header_rules.checked_value(name, v) for name, v in (fields or {}).items()}
        if content_type is not None:
            given["Content-Type"] = header_rules.checked_value("Content-Type", content_type)
        if key is not None:
            given["key"] = key
        given |= {
            "x-amz-algorithm": ALGORITHM,
            "x-amz-credential": f"{self._signer.credentials.access_key}/{self._scope}",
            "x-amz-date": self._date,
        }
        if self._signer.credentials.token:
            given["x-amz-security-token"] = self._signer.credentials.token
        rules: list[Any] = [{"bucket": bucket}, *({name: value} for name, value in given.items())]
        if key_prefix is not None:
            rules.append(["starts-with", "$key", key_prefix])
            given["key"] = key_prefix + "${filename}"
        if content_type_prefix is not None:
            rules.append(["starts-with", "$Content-Type", content_type_prefix])
        rules.append(["content-length-range", min_size_bytes, max_size_bytes])
        rules += conditions
        until = self.expires_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        document = json.dumps({"expiration": until, "conditions": rules}, separators=(",", ":"))
        policy = b64encode(document.encode("utf-8")).decode("ascii")
        given["policy"] = policy
        given["x-amz-signature"] = self._signer.signature(policy, date=self._date[:8])
        url = f"{self.endpoint.scheme}://{self._host(bucket)}{self.endpoint.path(bucket)}"
        return UploadForm(url=url, fields=given, expires_at=self.expires_at)

    # -- private ---------------------------------------------------------------------------------

    @property
    def _scope(self) -> str:
        return f"{self._date[:8]}/{self._signer.region}/{self._signer.service}/aws4_request"

    def _host(self, bucket: str) -> str:
        check_bucket(bucket)
        return self.endpoint.netloc(self.endpoint.host_for(bucket))

    def _query(self, names: str, own: Iterable[tuple[str, str]]) -> str:
        return encode_query((*self._common, ("X-Amz-SignedHeaders", names), *own))

    def _signature(self, hashed: str) -> str:
        return self._signer.signature(self._head + hashed, date=self._date[:8])


def _block(host: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """Give the canonical header block and the list of its names: every header, and the host."""
    pairs = sorted({**headers, "host": host}.items())
    block = "".join(f"{name}:{canonical_value(value)}\n" for name, value in pairs)
    return block, ";".join(name for name, _ in pairs)
