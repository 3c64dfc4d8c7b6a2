# SPDX-License-Identifier: Apache-2.0
"""One attempt of one request over a connection borrowed from libcloud's own requests session.

An exchange can stop half-way: the calling thread begins it, and when the network keeps it waiting
longer than its patience, a worker goes on where it stopped. urllib3 opens the socket and does TLS,
``http.client`` parses the answer; here bytes are only handed to the socket, by scatter/gather and
never joined. It signs nothing, retries nothing and judges no status.
"""

from __future__ import annotations

import os
import ssl
import sys
import time
import errno
import select
from typing import Any
from itertools import islice
from http.client import HTTPResponse, HTTPException
from collections.abc import Callable, Iterator

from .answer import AnswerSide, ExchangeFailed, read_body, begin_answer
from .stream import LeanStream, shut_down
from .sockets import Channel, is_alarm, wait_for, unacknowledged, hold_small_packets
from ..protocol.watch import Meter, Watch, SilenceError
from ..protocol.messages import MAX_ERROR_BYTES, S3Request, S3Response

#: Buffers in one system call; Linux takes 1,024 (IOV_MAX), and fewer cost nothing measurable.
IOV = 256
#: The most that one record of TLS holds (RFC 8446, 5.1).
TLS_RECORD = 16 * 1024
#: Interim answers (100 Continue) that are read while a body is sent; more wait for its end.
INTERIM = 8
#: os.sendfile exists elsewhere too; this is where its short counts were seen to be right.
_HAS_SENDFILE = hasattr(os, "sendfile") and sys.platform == "linux"


class Exchange:
    """A request on its way, and its answer when it is there.

    Owned by one thread at a time; ``sent_bytes`` may be read by any.

    :param channel: a connected channel; taken over, and handed to ``give_back`` or closed.
    :param head: request line and headers, encoded.
    :param timeout: the longest wait without any progress, in seconds; None waits for ever. Once an
        answer has begun it is also the time for all of it, but for one that has a patience.
    :param watch: the upload's deadline and floor, if it has any.
    """

    __slots__ = (
        "_channel",
        "_file",
        "_file_offset",
        "_give_back",
        "_got_early",
        "_has_answer",
        "_heir",
        "_interim",
        "_is_cut",
        "_is_held",
        "_is_over",
        "_is_pushing",
        "_iov",
        "_is_sent",
        "_meter",
        "_request",
        "_rest",
        "_taken",
        "_timeout",
        "_was_interrupted",
        "sent_bytes",
        "waited",
        "watch",
    )

    def __init__(
        self,
        channel: Channel,
        *,
        head: bytes,
        request: S3Request,
        timeout: float | None,
        give_back: Callable[[Channel], None],
        watch: Watch | None = None,
    ) -> None:
        self.watch = watch
        self._meter = None if watch is None else Meter(watch, request)
        self._channel = channel
        self._give_back = give_back
        self._request = request
        self._timeout = timeout
        self._is_sent = False
        self._got_early = False
        self._interim = INTERIM
        self._has_answer = False
        #: What came of the answer to a request that takes effect once: an interrupt in the middle
        #: of it would lose what was read (Ctrl-C during complete hung until its time-out).
        self._taken: list[bytes] | None = None if request.is_repeatable else []
        self._was_interrupted = False
        self._is_cut = False
        self._heir: Any = None
        #: The channel was given back, and may be another's already.
        self._is_over = False
        #: Bytes were handed over that are not yet taken off what is left.
        self._is_pushing = False
        self.sent_bytes = 0
        #: Seconds that this exchange waited for the network in all.
        self.waited = 0.0
        self._iov: list[Any] = [head]
        self._rest: Iterator[Any] | None = None
        #: A body that the kernel takes from its file by itself, and where it goes on.
        self._file: Any = None
        self._file_offset = 0
        body: Any = request.body
        if body is not None and body.size:
            if getattr(body, "is_lazy", False):
                if _HAS_SENDFILE and not channel.is_tls and hasattr(body, "fileno"):
                    self._file, self._file_offset = body, body.offset
                else:
                    self._rest = iter(body.buffers())
            else:
                self._iov.extend(body.buffers())
        channel.socket.setblocking(False)
        self._is_held = channel.is_tls and body is not None and body.size > TLS_RECORD
        self._hold(True)
        if channel.is_tls and not self._is_held:
            # One record and one packet instead of two, for a copy of 16 KiB at most.
            self._iov = [b"".join(self._iov)]

    def advance(self, patience: float | None = None) -> S3Response | None:
        """Go on until the answer is there; None once the network kept it waiting for ``patience``.

        :param patience: seconds of waiting, all waits of this call together; None waits up to the
            time-out each time.
        :raises ExchangeFailed: if no whole answer came. The channel is closed then.
        """
        began = self.waited
        try:
            if not self._is_sent and not self._send(patience):
                return None
            if patience is not None:
                patience = max(0.0, patience - (self.waited - began))
            if not self._taken and not self._await_answer(patience):
                return None
            return self._receive(patience if self._was_interrupted else None)
        except (OSError, HTTPException, ValueError) as error:
            if is_alarm(error):
                self._interrupted()
                raise
            self.close()
            raise self._failure(error) from error
        except BaseException:
            self._interrupted()
            raise

    def _interrupted(self) -> None:
        """Drop the connection, unless the answer is still wanted: see attempt.call_settled."""
        if self._request.is_repeatable:
            self.close()
        elif self._is_pushing:
            self._is_sent = True  # Nobody knows; sent twice it would take effect twice.
            self._hold(False)
        self._was_interrupted = True

    def _hold(self, is_held: bool) -> None:
        if self._is_held:
            hold_small_packets(self._channel.socket, is_held)

    def cut(self) -> None:
        """Make the attempt fail at once, whichever thread runs it; from any thread."""
        self._is_cut = True
        shut_down(self._channel.socket)
        if self._heir is not None:
            self._heir.cut()

    def hand_on(self, heir: Any) -> None:
        """Let a cut reach the exchange that took the place of this one, which failed."""
        self._heir = heir
        if self._is_cut:
            heir.cut()

    def close(self) -> None:
        """Drop the connection, whatever is under way."""
        self._iov = []
        self._rest = self._file = None
        if not self._is_over:
            self._channel.close()

    # -- sending ---------------------------------------------------------------------------------

    def _send(self, patience: float | None) -> bool:
        """Send what is left; False once that took ``patience`` seconds of waiting."""
        until = None if patience is None else self.waited + patience
        try:
            while self._fill():
                if self._push():
                    continue
                if not self._await_room(until):
                    return False
                if self._got_early:
                    break
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            # The service may have answered and closed before it had read all: look for that first.
            if not self.sent_bytes or not wait_for(self._channel.socket, select.POLLIN, 0.0):
                raise
            self._got_early = True
        self._is_sent = True
        self._hold(False)
        self._iov = []
        self._rest = self._file = None
        return True

    def _fill(self) -> bool:
        """Have buffers to send; False when everything was sent."""
        if not self._iov and self._file is not None:
            return True
        if not self._iov and self._rest is not None:
            # A lazy body reuses its memory: one buffer at a time, the next when this one is gone.
            self._iov.extend(islice(self._rest, 1))
        return bool(self._iov)

    def _push(self) -> bool:
        """Hand over as much as the socket takes now; False if it takes nothing."""
        iov = self._iov
        sock = self._channel.socket
        self._is_pushing = True
        try:
            if not iov:
                return self._push_file(sock)
            if self._channel.is_tls or len(iov) == 1:
                sent = sock.send(iov[0])
            else:
                sent = sock.sendmsg(iov[:IOV])
        except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._is_pushing = False
            return False
        self.sent_bytes += sent
        done = 0
        for buffer in iov:
            if sent < len(buffer):
                break
            sent -= len(buffer)
            done += 1
        del iov[:done]
        if sent:
            iov[0] = memoryview(iov[0])[sent:]
        self._is_pushing = False
        return True

    def _push_file(self, sock: Any) -> bool:
        """Have the kernel move bytes from the file to the socket, without this process."""
        body = self._file
        end = body.offset + body.size
        try:
            sent = os.sendfile(
                sock.fileno(), body.fileno, self._file_offset, end - self._file_offset
            )
        except OSError as error:
            is_first = self._file_offset == body.offset
            if not is_first or error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            # Some file systems cannot: the body is read, then.
            self._file, self._rest = None, iter(body.buffers())
            return True
        if not sent:
            raise body.ended_at(self._file_offset)
        self.sent_bytes += sent
        self._file_offset += sent
        if self._file_offset == end:
            self._file = None
        return True

    def _await_room(self, until: float | None) -> bool:
        """Wait until the socket takes more; False once ``waited`` has come to ``until``."""
        left = None if until is None else until - self.waited
        if left is not None and left <= 0:
            return False
        # Without TLS a readable socket in mid-body is an early answer; with it, maybe a ticket.
        is_deaf = self._channel.is_tls or not self._interim
        events = select.POLLOUT if is_deaf else select.POLLOUT | select.POLLIN
        ready = self._timed_wait(events, self._timeout if left is None else left)
        if not ready:
            if left is None:
                raise SilenceError(f"the service took nothing for {self._timeout:g} s")
            return False
        if ready & select.POLLIN and not is_deaf:
            is_interim = self._channel.read_interim()
            self._interim = self._interim - 1 if is_interim else 0
            self._got_early = is_interim is False
        return True

    def _timed_wait(self, events: int, timeout: float | None) -> int:
        began = time.monotonic()
        try:
            if self._meter is None:
                return wait_for(self._channel.socket, events, timeout)
            return self._metered_wait(self._meter, events, timeout)
        finally:
            self.waited += time.monotonic() - began

    def _metered_wait(self, meter: Meter, events: int, timeout: float | None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready = wait_for(self._channel.socket, events, meter.seconds(left))
            meter.check(self.sent_bytes - unacknowledged(self._channel.socket))
            if ready or (until is not None and time.monotonic() >= until):
                return ready

    # -- receiving -------------------------------------------------------------------------------

    def _await_answer(self, patience: float | None) -> bool:
        sock = self._channel.socket
        if self._channel.is_tls and sock.pending():
            return True
        wait = self._timeout
        if self._request.patience_seconds is not None and wait is not None:
            wait = max(wait, self._request.patience_seconds)
        if self._timed_wait(select.POLLIN, wait if patience is None else patience):
            return True
        if patience is None:
            raise SilenceError(f"no answer for {wait:g} s")
        return False

    def _receive(self, patience: float | None) -> S3Response:
        """Read the whole answer, up to its limit; keep the connection if it is clean."""
        side = self._answer_side(patience)
        answer = begin_answer(side, self._request.method)
        self._has_answer = True
        if self._request.streams:
            return self._open(answer, side)
        try:
            status = answer.status
            limit = self._request.answer_limit if status < 300 else MAX_ERROR_BYTES
            body, is_whole = read_body(answer, limit)
            headers = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            answer.close()
        if answer.will_close or not is_whole or self._got_early or status == 101:
            self._channel.close()
        else:
            self._is_over = True
            self._give_back(self._channel)
        if not is_whole and status < 300:
            raise ValueError(f"the answer is longer than {limit} bytes")
        return S3Response(status=status, headers=headers, body=body)

    def _answer_side(self, patience_left: float | None) -> AnswerSide:
        """Give the socket for reading, with the times that this answer has."""
        wait = self._timeout
        patience = self._request.patience_seconds
        is_small = patience is None and not self._request.streams
        bounds = [wait] if wait is not None and is_small else []
        if patience is not None and wait is not None:
            wait = max(wait, patience)
        if self._meter is not None:
            bounds += [b for b in [self._meter.seconds(None)] if b is not None]
        if patience_left is not None:
            bounds.append(patience_left)
        until = time.monotonic() + min(bounds) if bounds else None
        return AnswerSide(self._channel.socket, wait, until, self._taken)

    def _open(self, answer: HTTPResponse, side: AnswerSide) -> S3Response:
        """Read the head; leave a good answer's body to whoever wants it, read an error's."""
        try:
            headers = {name.lower(): value for name, value in answer.getheaders()}
            if answer.status < 300:
                side.hand_over()
                self._is_over = True
                stream = LeanStream(answer, self._channel, self._request, self._give_back)
                return S3Response(status=answer.status, headers=headers, stream=stream)
            body = answer.read(MAX_ERROR_BYTES)
            is_whole = answer.isclosed() or answer.length == 0
        except BaseException:
            answer.close()
            raise
        answer.close()
        if answer.will_close or not is_whole:
            self._channel.close()
        else:
            self._is_over = True
            self._give_back(self._channel)
        return S3Response(status=answer.status, headers=headers, body=body)

    def _failure(self, error: BaseException) -> ExchangeFailed:
        is_timeout = isinstance(error, TimeoutError)
        is_deadline = is_timeout and self.watch is not None and self.watch.is_over
        is_stale = (
            self._channel.is_reused
            and not (is_timeout or self._has_answer or self._is_cut)
            and isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError))
        )
        text = str(error) or type(error).__name__
        flags = {"is_stale": is_stale, "is_timeout": is_timeout, "is_deadline": is_deadline}
        return ExchangeFailed(text, **flags)
