# SPDX-License-Identifier: Apache-2.0
"""Connected sockets: one that is kept alive, waiting for it, and what it says of itself.

The ground floor of the connection room; what travels over it is :mod:`.exchange`'s.
"""

from __future__ import annotations

import re
import ssl
import sys
import time
import select
import socket
from typing import Any
from contextlib import suppress

from ..protocol.watch import SilenceError

try:
    import fcntl
    import termios
except ImportError:  # No such question on this system: what was handed over counts as moved.
    fcntl = None  # type: ignore[assignment]

#: Linux's option that holds back packets which are not full; None where there is none.
_CORK: int | None = getattr(socket, "TCP_CORK", None)

#: An idle connection older than this is not used again: S3 closes them after 5 to 20 s.
MAX_IDLE_SECONDS = 8.0
#: The largest of them that is looked for while a body is sent, in bytes.
_INTERIM_BYTES = 4096
#: All 1xx but 101, which is no interim one.
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d")


class Channel:
    """A connected socket and whether it was used before; owned by one exchange at a time.

    :param is_tls: by the address, never by the socket's class: gevent replaces ``ssl.SSLSocket``,
        and what is taken for a plain socket would get its bytes past TLS.
    """

    __slots__ = ("connection", "socket", "is_tls", "is_reused", "idle_since")

    def __init__(self, connection: Any, *, is_tls: bool) -> None:
        self.connection = connection
        self.socket = connection.sock
        self.is_tls = is_tls
        self.is_reused = False
        self.idle_since = 0.0

    def is_usable(self) -> bool:
        """Tell whether an idle channel may carry another request: young, and nothing came in."""
        if time.monotonic() - self.idle_since > MAX_IDLE_SECONDS:
            return False
        if self.socket.fileno() < 0:
            return False  # Closed after it was given back, by an interrupted call_settled.
        if not wait_for(self.socket, select.POLLIN, 0.0):
            return True
        if not self.is_tls:
            return False  # The service closed it, or sent what nobody asked for.
        try:
            self.socket.setblocking(False)
            self.socket.recv(1)
        except ssl.SSLWantReadError:
            return True  # Only session tickets of TLS 1.3.
        except OSError:
            return False
        return False

    def read_interim(self) -> bool | None:
        """Read what came in while a body is sent if it is an interim answer; not for TLS.

        False if it is none, None if that cannot be told yet, or its end has not come. Some servers
        send 100 Continue though nobody asked for it.
        """
        came = self.socket.recv(_INTERIM_BYTES, socket.MSG_PEEK)
        if 0 < len(came) < len(b"HTTP/1.1 100"):
            return None
        if not _INTERIM.match(came):
            return False
        end = came.find(b"\r\n\r\n")
        if end < 0:
            return None
        self.socket.recv(end + 4)
        return True

    def close(self) -> None:
        """Drop the connection."""
        self.connection.close()


def hold_small_packets(sock: Any, is_held: bool) -> None:
    """Have the kernel gather what is sent into full packets, or send what it gathered.

    OpenSSL hands over every record of 16 KiB by a system call of its own; with TCP_NODELAY, which
    http.client sets, each is also a packet that wakes the other side. Gathered they cost 0.47
    instead of 0.67 CPU s/GiB (measured 2026-11, docs/benchmarks.md).
    """
    if _CORK is not None:
        with suppress(OSError):  # No TCP, or broken: the next send tells that better.
            sock.setsockopt(socket.IPPROTO_TCP, _CORK, is_held)


def wait_for(sock: Any, event: int, timeout: float | None) -> int:
    """Wait for ``event`` (or an error) on ``sock``; 0 if ``timeout`` seconds passed."""
    poller = select.poll()
    poller.register(sock, event)
    ready = poller.poll(None if timeout is None else timeout * 1000.0)
    return ready[0][1] if ready else 0


#: What Python's own sockets say.
_TIMED_OUT = ("timed out", "The read operation timed out", "The write operation timed out")


def is_alarm(error: BaseException) -> bool:
    """Tell whether a TimeoutError is the app's: its signal's handler raised it, wherever we were.

    Taken for a socket's it would be tried again, and the app's alarm have rung in vain.
    """
    if not isinstance(error, TimeoutError) or isinstance(error, SilenceError):
        return False
    return error.errno is None and str(error) not in _TIMED_OUT


def unacknowledged(sock: Any) -> int:
    """Give how many bytes the kernel holds that the service has not taken; 0 where it won't say."""
    if fcntl is None:
        return 0
    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int.from_bytes(queued, sys.byteorder)
