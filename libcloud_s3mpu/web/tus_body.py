# SPDX-License-Identifier: Apache-2.0
"""A tus request's body as the store reads it: bounded, watched, and checked where it must be.

What goes beyond the upload's length is noticed before the last piece is handed over, so that an
upload which is sent too much is never completed by it. A body whose checksum comes in a trailer is
held in a temporary file until its sum is known: nothing of it is stored before.
"""

from __future__ import annotations

import time
import tempfile
from typing import Any
from contextlib import contextmanager
from collections.abc import Callable, Iterator

from .messages import Refuse, Request
from .tus_headers import ALGORITHMS, CHECKSUM_MISMATCH, is_same, summing, checksum_of

#: A checked body waits in memory up to here, then in a temporary file.
_SPOOL_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024

TOO_MUCH = "more bytes than the upload has\n"


class Incoming:
    """What the store reads; it never raises, and its end may have a :attr:`refusal`.

    :param most: bytes that may come; None for any number.
    :param watch: told the bytes received; may raise :class:`~.messages.Refuse`.
    """

    def __init__(
        self, request: Request, *, most: int | None, watch: Callable[[int], None] | None = None
    ) -> None:
        self._body = request.body
        self._most = most
        self._watch = watch
        self._ahead = b""
        self._is_over = False
        self.received = 0
        #: Why reading ended before the body did; answered once what arrived was stored.
        self.refusal: Refuse | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Give some bytes, b"" at the end; never more than ``size`` unless that is negative."""
        if self._is_over:
            return b""
        wanted = _PIECE_BYTES if size < 0 else size
        data, self._ahead = self._ahead, b""
        if not data:
            data = self._body.read(wanted)
        elif len(data) > wanted:
            data, self._ahead = data[:wanted], data[wanted:]
        if not data or self._is_beyond(data):
            self._is_over = True
            return b""
        self.received += len(data)
        if self._watch is not None:
            try:
                self._watch(self.received)
            except Refuse as refusal:
                self.refusal = refusal
                self._is_over = True
        return data

    def _is_beyond(self, data: bytes) -> bool:
        """Tell whether this piece, or the one after it, goes beyond what may come."""
        if self._most is None:
            return False
        left = self._most - self.received - len(data)
        if left == 0 and not self._ahead and not self._body.is_over:
            # The last byte: only a body that really ends here may complete the upload.
            left -= len(self._body.read(1))
        if left < 0:
            self.refusal = Refuse(413, TOO_MUCH)
        return left < 0


def watched(
    hook: Callable[[Request, Any, int], object] | None,
    request: Request,
    info: Any,
    every_seconds: float,
) -> Callable[[int], None] | None:
    """Make what calls ``on_progress`` now and then; None if there is no such hook."""
    if hook is None:
        return None
    last = time.monotonic()

    def watch(received: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every_seconds:
            last = now
            hook(request, info, info.offset + received)

    return watch


def is_in_trailer(request: Request) -> bool:
    """Does the client send its checksum after the body?

    :raises Refuse: 400 if it does and the server passes no trailers on: nothing would be checked.
    """
    names = (request.header("trailer") or "").lower().split(",")
    if "upload-checksum" not in [name.strip() for name in names]:
        return False
    if not request.gives_trailers:
        raise Refuse(400, "this server passes on no trailers: send Upload-Checksum as a header\n")
    return True


@contextmanager
def checked_body(request: Request, incoming: Incoming) -> Iterator[Any]:
    """Give the whole body as a file, once the checksum in its trailer was found right.

    :raises Refuse: 460 if it is wrong or the body was cut; 400 if the trailer is malformed.
    """
    # Which algorithm it will be is in the trailer too.
    sums = {name: summing(name) for name in ALGORITHMS}
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        while data := incoming.read(_PIECE_BYTES):
            spool.write(data)
            for one in sums.values():
                one.update(data)
        if incoming.refusal is not None:
            raise incoming.refusal
        if request.body.is_cut:
            raise Refuse(CHECKSUM_MISMATCH, "the body was cut; nothing of it was stored\n")
        checksum = checksum_of(request.trailers().get("upload-checksum"))
        if checksum is None:
            raise Refuse(400, "the trailer Upload-Checksum was announced and did not come\n")
        if not is_same(checksum, sums[checksum.algorithm].digest()):
            raise Refuse(CHECKSUM_MISMATCH, "the checksum does not match; nothing was stored\n")
        spool.seek(0)
        yield spool
