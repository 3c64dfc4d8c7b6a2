# SPDX-License-Identifier: Apache-2.0
"""Requests, responses, refusals, and XML both ways.

No rule of S3 lives here but the status and the usual text of each error code. The reader goes
next to ``routing.py``.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING, Final
from dataclasses import field, dataclass
from collections.abc import Mapping, Iterable, Sequence

if TYPE_CHECKING:
    from tests.fake_s3.faults import Wire

Pairs = tuple[tuple[str, str], ...]
#: An element's children: (name, text or number or children).
Children = Sequence[tuple[str, "str | int | Children"]]

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

ERRORS: Final[dict[str, tuple[int, str]]] = {
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header is malformed"),
    "AuthorizationQueryParametersError": (400, "Error parsing the query parameters"),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BadRequest": (400, "An error occurred when parsing the HTTP request."),
    "BucketAlreadyOwnedByYou": (409, "Your previous request to create the bucket succeeded."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "ConditionalRequestConflict": (409, "A conflicting conditional operation is in progress."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
    "ExpiredToken": (400, "The provided token has expired."),
    "IllegalLocationConstraintException": (400, "The location constraint is incompatible."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidPart": (400, "One or more of the specified parts could not be found."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidToken": (400, "The provided token is malformed or otherwise invalid."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedXML": (400, "The XML you provided was not well-formed or did not validate."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The specified multipart upload does not exist."),
    "NotImplemented": (501, "A header you provided implies functionality not implemented"),
    "PermanentRedirect": (301, "The bucket must be addressed using the specified endpoint."),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "RequestTimeTooSkewed": (403, "The difference between the times is too large."),
    "RequestTimeout": (400, "Your socket connection was not read from within the timeout."),
    "ServiceUnavailable": (503, "Service is unable to handle request."),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match."),
    "SlowDown": (503, "Please reduce your request rate."),
    "TemporaryRedirect": (307, "Please re-send this request to the specified endpoint."),
    "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' does not match."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    ``target`` is path and query exactly as on the wire, still percent-encoded. Header names are
    lower case, values hold the wire's bytes as latin-1.
    """

    method: str
    target: str
    headers: Pairs = ()
    body: bytes = b""
    secure: bool = True

    @classmethod
    def of(
        cls,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lowered = tuple((name.lower(), value) for name, value in pairs)
        return cls(method=method, target=target, headers=lowered, body=body)

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """
    Status 0: no answer leaves, because a socket-level fault took it. ``code`` is the S3 error code
    for the log; it is not sent. ``wire`` is what the server does to the answer.
    """

    status: int
    headers: Pairs = ()
    body: bytes = b""
    code: str = ""
    wire: Wire | None = None

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given == name), None)

    @property
    def is_lost(self) -> bool:
        """True when a client would see a broken connection instead of this answer."""
        return self.status == 0 or (self.wire is not None and self.wire.kind in ("reset", "close"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One line of the fake's log. ``status`` is what was answered, 0 for nothing."""

    operation: str
    method: str
    target: str
    bucket: str
    key: str
    part_number: int | None
    upload_id: str | None
    headers: Mapping[str, str] = field(repr=False)
    body_size: int
    status: int
    code: str
    applied: bool
    fault: str | None


class S3Error(Exception):
    """A refusal of the fake; ``details`` become elements of the answer."""

    def __init__(
        self, code: str, message: str = "", *, headers: Pairs = (), **details: str | int
    ) -> None:
        self.code = code
        self.status, usual = ERRORS[code]
        self.message = message or usual
        self.headers = headers
        self.details = details
        super().__init__(f"{code}: {self.message}")


def error_body(code: str, message: str, details: Mapping[str, str | int]) -> bytes:
    """S3's ``<Error>``; AWS gives it no namespace."""
    children: Children = [("Code", code), ("Message", message), *details.items()]
    return render("Error", children, namespace=False)


# XML 1.0 cannot hold these; AWS writes them as references all the same, and keys may have them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\r]")


def escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = text.replace('"', "&quot;")
    return _CONTROL.sub(lambda match: f"&#x{ord(match.group()):x};", text)


def _element(name: str, value: str | int | Children, attributes: str = "") -> str:
    if isinstance(value, (str, int)):
        inside = escape(str(value))
    else:
        inside = "".join(_element(child, grandchildren) for child, grandchildren in value)
    return f"<{name}{attributes}>{inside}</{name}>"


def render(root: str, children: str | Children, *, namespace: bool) -> bytes:
    attributes = f' xmlns="{NAMESPACE}"' if namespace else ""
    text = _element(root, children, attributes)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def parse_xml(body: bytes, root: str) -> ElementTree.Element:
    """:raises S3Error: MalformedXML for anything but that root element; no DOCTYPE either."""
    if b"<!DOCTYPE" in body:
        raise S3Error("MalformedXML")
    try:
        element = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise S3Error("MalformedXML") from error
    if local_name(element) != root:
        raise S3Error("MalformedXML")
    return element


def text_of(element: ElementTree.Element) -> str:
    return (element.text or "").strip()
