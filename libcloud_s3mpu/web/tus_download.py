# SPDX-License-Identifier: Apache-2.0
"""GET of a finished upload: a range, a type, and nothing that a browser would run as a page."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from .messages import Request, Response, text_response

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}", re.ASCII)
#: Types that no browser runs: shown where they are, all others are attachments. SVG is a program.
_HARMLESS = frozenset(
    f"{kind}/{name}"
    for kind, names in (
        ("image", ("png", "jpeg", "gif", "webp", "bmp")),
        ("audio", ("mpeg", "ogg", "wav", "webm")),
        ("video", ("mp4", "ogg", "webm")),
        ("text", ("plain",)),
    )
    for name in names
)


def download(uploads: Any, info: Any, request: Request) -> Response:
    """Give the object's bytes, or those of one range."""
    size = info.offset
    begin, end = _range_of(request, size, info.etag)
    headers = [
        *_described(info),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "private, no-cache"),
    ]
    if info.etag:
        headers.append(("ETag", f'"{info.etag}"'))
    if begin is None:
        answer = text_response(416, "there is no such range\n")
        return answer.plus([("Content-Range", f"bytes */{size}")])
    is_range = end - begin != size or (request.header("range") is not None and size == 0)
    if is_range and size:
        headers.append(("Content-Range", f"bytes {begin}-{end - 1}/{size}"))
    headers.append(("Content-Length", str(end - begin)))
    body: Any = ()
    if end > begin:
        body = uploads.read(info.id, begin, end)
    return Response(status=206 if is_range and size else 200, headers=tuple(headers), body=body)


def _range_of(request: Request, size: int, etag: str | None) -> tuple[int | None, int]:
    """Give begin and end of what is asked for; (None, 0) if it is outside; the whole for nonsense.

    Several ranges at once, other units, and a range of another version get the whole, as RFC 9110
    (section 14.2) allows.
    """
    match = _RANGE.fullmatch(request.header("range") or "")
    condition = request.header("if-range")
    if match is None or (condition is not None and condition != f'"{etag}"'):
        return 0, size
    first, last = match.groups()
    if not first and not last:
        return 0, size
    if not first:
        begin, end = max(0, size - int(last)), size
        return (begin, end) if int(last) and size else (None, 0)
    begin, end = int(first), min(size, int(last) + 1) if last else size
    if last and int(last) < begin:
        return 0, size
    return (begin, end) if begin < size else (None, 0)


def _described(info: Any) -> list[tuple[str, str]]:
    """Give the headers that say what it is, of what the client said and is not believed."""
    kind = _text(info.metadata, "filetype", "type", "contentType")
    if not _TYPE.fullmatch(kind):
        kind = "application/octet-stream"
    way = "inline" if kind.lower() in _HARMLESS else "attachment"
    name = _text(info.metadata, "filename", "name")
    if name:
        plain = "".join(
            c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name
        )
        way += f"; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return [
        ("Content-Type", kind),
        ("Content-Disposition", way),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ]


def _text(metadata: Any, *names: str) -> str:
    for name in names:
        if metadata.get(name):
            return str(metadata[name].decode("utf-8", "replace"))
    return ""
