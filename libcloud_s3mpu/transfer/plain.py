# SPDX-License-Identifier: Apache-2.0
"""The plain road's attempt: libcloud's own request, which cannot stop half-way."""

from __future__ import annotations

from .answer import ExchangeFailed
from .connection import S3MultipartConnection
from ..protocol.messages import S3Request, S3Response


class PlainExchange:
    """An exchange on libcloud's way: all at once, whatever the patience."""

    waited = 0.0
    watch = None

    def __init__(self, connection: S3MultipartConnection, request: S3Request) -> None:
        self._connection = connection
        self._request = request
        self._was_sent = False

    def advance(self, patience: float | None = None) -> S3Response:
        """Send, and give the answer; an answer that was interrupted cannot be had any more."""
        if self._was_sent:
            raise ExchangeFailed("interrupted")
        self._was_sent = True
        if self._request.streams:
            return self._connection.opened(self._request)
        return self._connection.unjudged(self._request)

    def close(self) -> None:
        """Nothing is open between two requests."""

    def cut(self) -> None:
        """requests has no way to be cut from outside; it ends with its time-out."""
