# SPDX-License-Identifier: Apache-2.0
"""What each tus request does to the store: create, append, ask, terminate, join, read.

One class, because all of them share the handler's settings; no request's data is kept in it. The
frame around them (version, method, errors, CORS) is :mod:`.tus`.
"""

from __future__ import annotations

import logging
from typing import Any
from dataclasses import dataclass
from collections.abc import Callable

from . import tus_headers as texts
from .hooks import Hooks, NewUpload, allows
from .metrics import Counters
from .messages import Refuse, Request, Response
from .tus_body import TOO_MUCH, Incoming, watched, checked_body, is_in_trailer
from .addresses import Addresses
from .tus_download import download
from ..protocol.errors import S3MultipartError
from ..resumable.errors import UploadChecksumError

_log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The actions of one handler; :class:`~.tus.TusHandler` explains its settings."""

    uploads: Any
    addresses: Addresses
    hooks: Hooks
    counters: Counters
    max_size: Callable[[Request], int | None]
    terminates_finished: bool

    # -- POST ------------------------------------------------------------------------------------

    def create(self, request: Request) -> Response:
        """Create an upload, perhaps with its first bytes, or a final one of partial ones."""
        concat = texts.concat_of(request.header("upload-concat"))
        metadata = texts.metadata_of(request.header("upload-metadata"))
        if concat is not None and not concat.is_partial:
            return self._join(request, concat, metadata)
        length = texts.length_of(request.headers)
        checksum = texts.checksum_of(request.header("upload-checksum"))
        brings = self._brings_bytes(request)
        most = self._most(request, length)
        if brings:
            _check_size(request, most)
        self.authorize(request, "create", None)
        new = NewUpload(
            length=length, metadata=metadata, is_partial=concat is not None and concat.is_partial
        )
        new = self._asked(request, new)
        info = self.uploads.create(
            length=new.length,
            metadata=dict(new.metadata),
            key=new.key,
            extra=dict(new.extra) if new.extra is not None else None,
            partial=new.is_partial,
        )
        self.counters.add("uploads_created")
        if brings:
            info = self._first_bytes(request, info, checksum, most)
        headers = [("Location", self.addresses.url_of(request, info.id)), *_expires(info)]
        if brings or info.complete:
            headers.append(("Upload-Offset", str(info.offset)))
        answer = Response(status=201, headers=(*headers, ("Content-Length", "0")))
        return self._with_news(request, info, answer)

    def _first_bytes(
        self, request: Request, info: Any, checksum: texts.Checksum | None, most: int | None
    ) -> Any:
        """Store the body of a creation. Nobody knows the upload yet, so a refusal removes it."""
        try:
            return self._write(request, info, checksum, most)
        except (Refuse, UploadChecksumError):
            self.uploads.terminate(info.id)
            raise
        except S3MultipartError as error:
            # The upload is there, and its offset is true: the client goes on from it.
            _log.warning("creation.body_failed %s: %s", type(error).__name__, error)
            return self.uploads.get(info.id)  # Who called tells the app.

    def _join(self, request: Request, concat: texts.Concat, metadata: dict[str, bytes]) -> Response:
        for name in ("upload-length", "upload-defer-length"):
            if request.header(name) is not None:
                raise Refuse(400, "a final upload has the length of its parts\n")
        if self._has_body(request):
            raise Refuse(403, "a final upload takes no bytes\n")
        base = self.addresses.collection_url(request)
        path = self.addresses.collection_path(request)
        origins = {self.addresses.origin(request), (request.scheme, request.header("host") or "")}

        def is_own(scheme: str, host: str) -> bool:
            return (scheme, host) in origins

        ids = [self._id_of(url, base, path, is_own) for url in concat.urls]
        self.authorize(request, "create", None)
        parts = [self._part(request, upload_id) for upload_id in ids]
        total = sum(part.offset for part in parts)
        self._most(request, total)
        new = self._asked(request, NewUpload(length=total, metadata=metadata, parts=tuple(ids)))
        extra = {} if new.extra is None else {"extra": dict(new.extra)}
        info = self.uploads.concat(ids, metadata=dict(new.metadata), key=new.key, **extra)
        self.counters.add("uploads_created")
        headers = (("Location", self.addresses.url_of(request, info.id)), ("Content-Length", "0"))
        return self._with_news(request, info, Response(status=201, headers=headers))

    def _id_of(self, url: str, base: str, path: str, is_own: Callable[[str, str], bool]) -> str:
        """Find an upload's id in a URL that may be of the public or of the inner address."""
        try:
            return texts.id_in_url(url, base=base, is_own=is_own)
        except Refuse:
            scheme, _, rest = base.partition("://")
            inner = f"{scheme}://{rest.split('/')[0]}{path}"
            return texts.id_in_url(url, base=inner, is_own=is_own)

    def _part(self, request: Request, upload_id: str) -> Any:
        info, _ = self._got(request, upload_id)
        self.authorize(request, "join", info)
        if not info.partial:
            raise Refuse(400, "Upload-Concat names an upload that is not partial\n")
        if not info.complete:
            raise Refuse(400, "Upload-Concat names an upload that is not finished\n")
        return info

    # -- HEAD, PATCH, DELETE, GET ----------------------------------------------------------------

    def status(self, request: Request, upload_id: str) -> Response:
        info, given = self._info(request, upload_id, "status")
        _check_is_there(info)
        headers: Headers = [("Upload-Offset", str(info.offset)), ("Cache-Control", "no-store")]
        if info.length is None:
            headers.append(("Upload-Defer-Length", "1"))
        else:
            headers.append(("Upload-Length", str(info.length)))
        text = texts.metadata_text(info.metadata)
        if text is not None:
            headers.append(("Upload-Metadata", text))
        if info.partial:
            headers.append(("Upload-Concat", "partial"))
        elif info.parts_of:
            urls = " ".join(self.addresses.url_of(request, part) for part in info.parts_of)
            headers.append(("Upload-Concat", f"final;{urls}"))
        answer = Response(status=200, headers=(*headers, *_expires(info)))
        # Its status and headers are the protocol's, and it has no body: what fits is added.
        return answer if given is None else answer.plus(_own_headers(given))

    def append(self, request: Request, upload_id: str) -> Response:
        """Store a body at its offset; the answer says how far the upload is then."""
        if (request.header("content-type") or "").split(";")[0].strip() != texts.OFFSET_TYPE:
            raise Refuse(415, f"Content-Type must be {texts.OFFSET_TYPE}\n")
        offset = texts.number("Upload-Offset", request.header("upload-offset"))
        checksum = texts.checksum_of(request.header("upload-checksum"))
        length = request.header("upload-length")
        declared = None if length is None else texts.number("Upload-Length", length)
        info, given = self._info(request, upload_id, "append")
        if info.final:
            raise Refuse(403, "a concatenated upload takes no more bytes\n")
        if offset != info.offset:
            raise Refuse(409, f"the upload ends at offset {info.offset}\n")
        was_complete = info.complete
        if declared is not None and declared != info.length:
            info = self._declare(request, info, declared)
            given = self._told(request, info) or given
        most = self._most(request, info.length)
        left = None if most is None else most - offset
        _check_size(request, left)
        if not was_complete:
            info = self._write(request, info, checksum, most)
            given = self._told(request, info) or given
        _check_is_there(info)
        headers = [("Upload-Offset", str(info.offset)), *_expires(info)]
        return _joined(Response(status=204, headers=tuple(headers)), given)

    def terminate(self, request: Request, upload_id: str) -> Response:
        info, _ = self._info(request, upload_id, "terminate")
        if info.complete and not self.terminates_finished:
            raise Refuse(403, "a finished upload is kept\n")
        if self.hooks.on_terminate is not None:
            self.hooks.on_terminate(request, info)
        self.uploads.terminate(upload_id)
        self.counters.add("uploads_terminated")
        return Response(status=204)

    def read(self, request: Request, upload_id: str) -> Response:
        info, _ = self._info(request, upload_id, "read")
        if not info.complete:
            raise Refuse(409, "this upload is not finished\n")
        return download(self.uploads, info, request)

    # -- shared ----------------------------------------------------------------------------------

    def authorize(self, request: Request, action: str, info: Any) -> None:
        """Ask the app.

        :raises Refuse: 403, or whatever the hook raises.
        """
        hook = self.hooks.authorize
        if hook is not None and not allows(hook(request, action, info)):
            raise Refuse(403, "not allowed\n")

    def _info(self, request: Request, upload_id: str, action: str) -> tuple[Any, Response | None]:
        info, given = self._got(request, upload_id)
        self.authorize(request, action, info)
        return info, given

    def _got(self, request: Request, upload_id: str) -> tuple[Any, Response | None]:
        """Look an upload up. If that made good a completion which had failed, the app is told now,
        whoever asks: nobody will be told again. With what its hook answers to that.
        """
        info = self.uploads.get(upload_id)
        return info, self._told(request, info)

    def _asked(self, request: Request, new: NewUpload) -> NewUpload:
        if self.hooks.on_create is None:
            return new
        return self.hooks.on_create(request, new) or new

    def _declare(self, request: Request, info: Any, length: int) -> Any:
        if info.length is not None:
            raise Refuse(400, "Upload-Length is known and cannot be changed\n")
        if length < info.offset:
            raise Refuse(400, "Upload-Length is less than what was received\n")
        _check_size(request, self._most(request, length), info.offset)
        return self.uploads.declare_length(info.id, length)

    def _most(self, request: Request, length: int | None) -> int | None:
        """Give the offset that an upload may reach.

        :raises Refuse: 413 if its length is beyond it.
        """
        limit = self.max_size(request)
        if limit is not None and length is not None and length > limit:
            raise Refuse(413, f"an upload may have {limit} bytes\n")
        return limit if length is None else length

    def _has_body(self, request: Request) -> bool:
        """Tell whether bytes come; of a chunked body it is known only by reading it."""
        return bool(request.body.left) or (
            request.body.left is None and request.header("transfer-encoding") is not None
        )

    def _brings_bytes(self, request: Request) -> bool:
        kind = (request.header("content-type") or "").split(";")[0].strip()
        if kind == texts.OFFSET_TYPE:
            return True
        if self._has_body(request):
            raise Refuse(415, f"bytes of an upload need Content-Type {texts.OFFSET_TYPE}\n")
        return False

    def _write(
        self, request: Request, info: Any, checksum: texts.Checksum | None, most: int | None
    ) -> Any:
        """Store the body; what arrived is stored even if a refusal or a cut ends it.

        :raises Refuse: after that, if there was more than may come, or a hook refused.
        """
        left = None if most is None else most - info.offset
        watch = watched(self.hooks.on_progress, request, info, self.hooks.progress_seconds)
        incoming = Incoming(request, most=left, watch=watch)
        begin = info.offset
        try:
            if checksum is not None:
                expected = (checksum.algorithm, checksum.value)
                info = self.uploads.write(info.id, begin, incoming, checksum=expected)
            elif is_in_trailer(request):
                with checked_body(request, incoming) as spool:
                    info = self.uploads.write(info.id, begin, spool)
            else:
                info = self.uploads.write(info.id, begin, incoming)
        finally:
            self.counters.add("bytes_received", incoming.received)
        self.counters.add("bytes_stored", info.offset - begin)
        if incoming.refusal is not None and not info.complete:
            raise incoming.refusal
        return info

    def _told(self, request: Request, info: Any) -> Response | None:
        """Tell the app of an object that is there with this very request; give its answer."""
        if not info.just_completed:
            return None
        self.counters.add("uploads_finished")
        if self.hooks.on_finish is None or info.partial:
            return None
        return self.hooks.on_finish(request, info)

    def _with_news(self, request: Request, info: Any, answer: Response) -> Response:
        return _joined(answer, self._told(request, info))


def _joined(answer: Response, given: Response | None) -> Response:
    """Give the hook's answer with our headers, or ours if it has none."""
    if given is None:
        return answer
    mine = [(n, v) for n, v in answer.headers if n.lower() != "content-length"]
    return given.plus(mine)


def _own_headers(given: Response) -> Headers:
    """Give a hook's headers but those that tell of its body."""
    return [pair for pair in given.headers if not pair[0].lower().startswith("content-")]


def _check_size(request: Request, left: int | None, offset: int = 0) -> None:
    """Refuse by its announced length a body that does not fit, before anything is read of it."""
    announced = request.body.left
    if announced is not None and left is not None and offset + announced > left:
        raise Refuse(413, TOO_MUCH)


def _check_is_there(info: Any) -> None:
    """Refuse to say that an upload is at its end while its object is not there.

    Clients take offset = length for success; after a 503 they ask again, and completing is tried
    again with that.
    """
    if info.offset == info.length and not info.complete:
        raise Refuse(503, "the object is not complete yet\n", {"Retry-After": "2"})


def _expires(info: Any) -> Headers:
    if info.expires is None or info.complete:
        return []
    return [("Upload-Expires", texts.http_date(info.expires.timestamp()))]
