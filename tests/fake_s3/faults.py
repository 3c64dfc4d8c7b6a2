# SPDX-License-Identifier: Apache-2.0
"""Faults as values: what goes wrong with one request, said in advance by a test.

A fault may replace or edit the answer, damage bytes, and (``wire``) tell the loopback server what
to do to the socket. The functions below make them; nothing here acts. The reader goes next to
``state.py`` for the first kinds, to ``connection.py`` for the last.
"""

from __future__ import annotations

import re
import base64
from typing import Literal
from threading import Event
from dataclasses import field, replace, dataclass
from collections.abc import Mapping, Callable

from tests.fake_s3.routing import Damage
from tests.fake_s3.messages import ERRORS, Pairs, Response, error_body

Kind = Literal[
    "reset", "close", "stall", "drip", "early", "raw", "flood", "hang_up", "no_continue"
]  # fmt: skip
#: ``head``: the request's head was read, its body was not. ``body``: ``after_bytes`` of the body
#: were read. ``answer``: the body was read, ``after_bytes`` of the answer (head included) were
#: sent; a negative number counts from the answer's end.
Where = Literal["head", "body", "answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """
    What the server does to the socket. ``reached`` is set when the server gets there; a stall ends
    when a test sets ``release`` or the server stops.
    """

    kind: Kind
    at: Where = "answer"
    after_bytes: int = 0
    step_bytes: int = 1
    pause_seconds: float = 0.0
    data: bytes = b""
    resets: bool = False
    reached: Event = field(default_factory=Event, compare=False, repr=False)
    release: Event = field(default_factory=Event, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``applied``: the state machine does what was asked, whatever is answered then."""

    name: str
    applied: bool = True
    answer: Response | None = None
    edit: Callable[[Response], Response] | None = None
    damage: Damage | None = None
    wire: Wire | None = None

    @property
    def loses_request(self) -> bool:
        """The connection breaks before the whole request was read."""
        wire = self.wire
        return wire is not None and wire.kind in ("reset", "close") and wire.at != "answer"

    def plus(self, wire: Fault) -> Fault:
        """This fault with the socket-level half of another, as ``white_space(9).plus(drip())``."""
        return replace(self, name=f"{self.name} + {wire.name}", wire=wire.wire)


def pass_through() -> Fault:
    """No fault: the place of a request that goes well in a script."""
    return Fault(name="pass_through")


def answer(
    status: int,
    code: str = "",
    message: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    details: Mapping[str, str | int] | None = None,
    applied: bool = False,
) -> Fault:
    """Any answer: an S3 error by its code, or any body; applied or not."""
    if body is None and code:
        text = message or ERRORS.get(code, (0, "Scripted."))[1]
        body = error_body(code, text, details or {})
        headers = {"Content-Type": "application/xml", **(headers or {})}
    pairs: Pairs = tuple((name.lower(), value) for name, value in (headers or {}).items())
    response = Response(status=status, headers=pairs, body=body or b"", code=code)
    return Fault(name=f"answer {status} {code}".rstrip(), applied=applied, answer=response)


def error(code: str, *, retry_after: str | None = None, applied: bool = False) -> Fault:
    """An S3 error with its own status: ``error("SlowDown", retry_after="2")``."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return answer(ERRORS[code][0], code, headers=headers, applied=applied)


def error_in_200(code: str = "InternalError", *, applied: bool = False) -> Fault:
    """Status 200 with an ``<Error>`` body, as complete and the copies may answer."""
    return answer(200, code, applied=applied)


def redirect(status: int, location: str | None = None, *, region: str | None = None) -> Fault:
    code = "PermanentRedirect" if status == 301 else "TemporaryRedirect"
    headers = {} if location is None else {"Location": location}
    if region is not None:
        headers["x-amz-bucket-region"] = region
    return answer(status, code, headers=headers, details={"Endpoint": location or ""})


def html(status: int = 200, *, applied: bool = False) -> Fault:
    """A gateway's page."""
    page = b"<!DOCTYPE html><html><body><h1>It works, but not here</h1></body></html>"
    return answer(status, headers={"Content-Type": "text/html"}, body=page, applied=applied)


def empty_body(status: int = 200, *, applied: bool = False) -> Fault:
    return answer(status, body=b"", applied=applied)


def truncated_xml(*, applied: bool = False) -> Fault:
    """XML cut in the middle under an honest Content-Length."""
    if not applied:
        cut = b'<?xml version="1.0" encoding="UTF-8"?>\n<CompleteMultipartUploadResult><Loca'
        return answer(200, headers={"Content-Type": "application/xml"}, body=cut)

    def cut_in_half(response: Response) -> Response:
        return replace(response, body=response.body[: len(response.body) // 2])

    return Fault(name="truncated_xml", edit=cut_in_half)


def white_space(count: int = 16, *, before: bytes = b" \n") -> Fault:
    """White space in front of the XML declaration, as S3 sends while it completes an upload."""

    def pad(response: Response) -> Response:
        return replace(response, body=(before * count)[:count] + response.body)

    return Fault(name="white_space", edit=pad)


def _edit_etag(change: Callable[[str], str]) -> Callable[[Response], Response]:
    def edit(response: Response) -> Response:
        headers = []
        for name, value in response.headers:
            changed = change(value) if name == "etag" else value
            if changed:
                headers.append((name, changed))
        text = response.body.decode("utf-8", "surrogateescape")
        text = re.sub("<ETag>.*?</ETag>", lambda match: change(match.group()), text)
        body = text.encode("utf-8", "surrogateescape")
        return replace(response, headers=tuple(headers), body=body)

    return edit


def wrong_etag() -> Fault:
    """Right in form, wrong in value; the number of parts behind the dash stays."""
    edit = _edit_etag(lambda text: re.sub("[0-9a-f]{32}", "0" * 32, text))
    return Fault(name="wrong_etag", edit=edit)


def missing_etag() -> Fault:
    return Fault(name="missing_etag", edit=_edit_etag(lambda text: ""))


def etag(value: str) -> Fault:
    """The answer's ETag header is this, as it stands: no quotes are added."""

    def edit(response: Response) -> Response:
        others = tuple(pair for pair in response.headers if pair[0] != "etag")
        return replace(response, headers=(*others, ("etag", value)))

    return Fault(name="etag", edit=edit)


def wrong_checksum() -> Fault:
    """Every ``x-amz-checksum-*`` value that is echoed is zeros of the right length."""

    def zeros(value: str) -> str:
        head, dash, count = value.partition("-")
        return base64.b64encode(bytes(len(base64.b64decode(head)))).decode() + dash + count

    def edit(response: Response) -> Response:
        headers = tuple(
            (name, zeros(value))
            if name.startswith("x-amz-checksum-") and not name.endswith(("-type", "-algorithm"))
            else (name, value)
            for name, value in response.headers
        )
        body = re.sub(
            rb"(<Checksum(?:CRC32|CRC32C|CRC64NVME|SHA1|SHA256)>)([^<]+)",
            lambda match: match.group(1) + zeros(match.group(2).decode()).encode(),
            response.body,
        )
        return replace(response, headers=headers, body=body)

    return Fault(name="wrong_checksum", edit=edit)


def corrupt_received() -> Fault:
    """A bit flips on the way: whatever the request carries for verification will find it."""
    return Fault(name="corrupt_received", damage="received")


def corrupt_stored(*, honest_etag: bool = True) -> Fault:
    """
    The store keeps wrong bytes. Honest: it answers ETag and checksum of what it keeps. Otherwise it
    answers those of what was sent, and only a reader of the object can tell.
    """
    damage: Damage = "stored" if honest_etag else "stored_silently"
    return Fault(name="corrupt_stored", damage=damage)


def reset(at: Where = "answer", *, after_bytes: int = 0, applied: bool = False) -> Fault:
    """RST. ``applied`` counts at the answer only: before, the request was not read."""
    wire = Wire(kind="reset", at=at, after_bytes=after_bytes)
    return Fault(name=f"reset at {at}", applied=_applies(at, after_bytes, applied), wire=wire)


def close(at: Where = "answer", *, after_bytes: int = 0, applied: bool = False) -> Fault:
    """FIN instead of the answer, or within it."""
    wire = Wire(kind="close", at=at, after_bytes=after_bytes)
    return Fault(name=f"close at {at}", applied=_applies(at, after_bytes, applied), wire=wire)


def _applies(at: Where, after_bytes: int, applied: bool) -> bool:
    if at == "answer" and after_bytes != 0 and not applied:
        raise ValueError("bytes of an answer can only be sent when the request is applied")
    if at != "answer" and applied:
        raise ValueError("a request that was not read cannot be applied")
    return applied


def stall(at: Where = "answer", *, after_bytes: int = 0, applied: bool = True) -> Fault:
    """
    Silence until ``fault.wire.release`` is set or the server stops, then on as if nothing had been;
    at the answer and not applied, the connection is closed then.
    """
    wire = Wire(kind="stall", at=at, after_bytes=after_bytes)
    return Fault(name=f"stall at {at}", applied=applied or at != "answer", wire=wire)


def drip(at: Where = "answer", *, step_bytes: int = 1, pause_seconds: float = 0.001) -> Fault:
    """The answer is sent, or the body is read, a few bytes at a time."""
    wire = Wire(kind="drip", at=at, step_bytes=step_bytes, pause_seconds=pause_seconds)
    return Fault(name=f"drip at {at}", wire=wire)


def answer_early(refusal: Fault, *, after_bytes: int = 0, resets: bool = False) -> Fault:
    """
    The answer of ``refusal`` before the body was read, then the end of the connection: by FIN, the
    rest of the body being thrown away, or by RST.
    """
    if refusal.answer is None:
        raise ValueError("answer_early needs a fault that has an answer")
    wire = Wire(kind="early", at="body", after_bytes=after_bytes, resets=resets)
    return replace(refusal, name=f"early {refusal.name}", applied=False, wire=wire)


def hang_up(*, announced: bool = False, resets: bool = False) -> Fault:
    """A right answer on a connection that is closed behind it."""
    data = b"close" if announced else b""
    return Fault(name="hang_up", wire=Wire(kind="hang_up", data=data, resets=resets))


def raw(data: bytes, *, applied: bool = False) -> Fault:
    """These bytes instead of an HTTP answer, then FIN."""
    return Fault(name="raw", applied=applied, wire=Wire(kind="raw", data=data))


def flood(size_bytes: int, *, status: int = 200, applied: bool = False) -> Fault:
    """An answer with a body of that many blanks; the server never holds them at once."""
    headers = {"Content-Type": "application/xml", "Content-Length": str(size_bytes)}
    fault = answer(status, headers=headers, body=b"", applied=applied)
    return replace(fault, name="flood", wire=Wire(kind="flood", after_bytes=size_bytes))


def no_continue() -> Fault:
    """``Expect: 100-continue`` is never answered; the body is read if it comes."""
    return Fault(name="no_continue", wire=Wire(kind="no_continue", at="head"))
