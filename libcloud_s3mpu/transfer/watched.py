# SPDX-License-Identifier: Apache-2.0
"""A sender whose uploading requests are held to the upload's watch (:mod:`..protocol.watch`).

The road puts it in the transport's place where a deadline or a floor was asked for. Questions, and
the abort of what the deadline ended, are its to send still.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from ..protocol.watch import Watch
from ..protocol.messages import S3Request, S3Response, described, context_of

#: What the deadline ends.
_BOUND = frozenset(
    {
        "PutObject",
        "CopyObject",
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPartCopy",
        "CompleteMultipartUpload",
    }
)


class Watchable(Protocol):
    """What sends, and can be held to a watch (:class:`.transport.Transport`)."""

    def begin(self, request: S3Request, *, watch: Watch | None = None) -> Any: ...
    def resume(self, request: S3Request, exchange: Any) -> S3Response: ...


class Watched:
    """A sender whose uploading requests are held to a watch; else the one it stands for."""

    def __init__(self, sender: Watchable, watch: Watch) -> None:
        self._sender = sender
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sender, name)

    def begin(self, request: S3Request) -> Any:
        """Begin an exchange.

        :raises DeadlineExceededError: if the deadline has passed; nothing was sent then.
        """
        if request.operation not in _BOUND:
            return self._sender.begin(request)
        if self._watch.is_over:
            error = self._watch.error(**context_of(request))
            error.value = f"{described(request)}: {error.value}"
            error.args = (error.value,)
            raise error
        return self._sender.begin(request, watch=self._watch)

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts, not beyond the deadline."""
        left = self._watch.left
        time.sleep(seconds if left is None else min(seconds, left))

    def call(self, request: S3Request) -> S3Response:
        """Send a request and wait for its answer."""
        return self._sender.resume(request, self.begin(request))
