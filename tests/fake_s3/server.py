# SPDX-License-Identifier: Apache-2.0
"""The fake behind a real socket: a loopback server whose threads end when the ``with`` does.

Bodies are read by one thread for each connection, so parallel parts truly overlap; the state
machine behind them is serialised by one lock. What happens on one connection is in
``connection.py``.
"""

from __future__ import annotations

import ssl
import socket
import tempfile
import threading
from types import TracebackType
from pathlib import Path
from contextlib import suppress, contextmanager
from collections.abc import Iterator

from tests.fake_s3.tls import Certificate, make_certificate
from tests.fake_s3.state import FakeS3
from tests.fake_s3.faults import Wire, Fault
from tests.fake_s3.messages import Request, Response
from tests.fake_s3.connection import Connection

_JOIN_SECONDS = 5.0


class Gate:
    """
    Holds requests whose body was read, before they are applied. It opens for good when ``until``
    requests are held, at :meth:`release`, or at its time-out; then ``timed_out`` says so.
    """

    def __init__(self, operation: str, until: int | None, timeout_seconds: float) -> None:
        self.operation = operation
        self.timed_out = False
        self._until = until
        self._timeout_seconds = timeout_seconds
        self._changed = threading.Condition()
        self._arrived = 0
        self._is_open = False

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *unused: object) -> None:
        self.release()

    @property
    def arrived(self) -> int:
        return self._arrived

    def release(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def wait_held(self, count: int, timeout_seconds: float = 30.0) -> bool:
        """:returns: whether that many requests have arrived within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._arrived >= count, timeout_seconds)

    def pass_through(self) -> None:
        """Called by the server's threads."""
        with self._changed:
            self._arrived += 1
            if self._until is not None and self._arrived >= self._until:
                self._is_open = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._is_open, self._timeout_seconds):
                self.timed_out = self._is_open = True
                self._changed.notify_all()


class FakeServer:
    """
    ``with FakeServer(fake) as server: ... server.endpoint ...``

    The lock protects the fake and the counters. ``connections`` counts what was accepted;
    ``max_parts_in_flight`` is the most parts, sent or copied, that were between the head of their
    request and its answer at one time.

    :param receive_buffer_bytes: a small one lets a stalled body block its sender early.
    """

    def __init__(
        self,
        fake: FakeS3,
        tls: bool = False,
        *,
        certificate: Certificate | None = None,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.fake = fake
        self.tls = tls or certificate is not None
        self.ca_file: Path | None = None
        self.port = 0
        self.connections = 0
        self.failed_handshakes = 0
        self.parts_in_flight = 0
        self.max_parts_in_flight = 0
        self.errors: list[BaseException] = []
        self._certificate = certificate
        self._receive_buffer_bytes = receive_buffer_bytes
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._stalled: list[threading.Event] = []
        self._gate: Gate | None = None
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def __enter__(self) -> FakeServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self.errors and error is None:
            raise RuntimeError("the fake itself failed") from self.errors[0]

    def start(self) -> None:
        """:raises unittest.SkipTest: when TLS is asked for and no certificate can be made."""
        if self.tls:
            self._load_certificate()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if self._receive_buffer_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self._listener = listener
        self.port = listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="fake-s3-accept", daemon=True)
        self._acceptor.start()

    def _load_certificate(self) -> None:
        if self._certificate is None:
            self._directory = tempfile.TemporaryDirectory(prefix="fake-s3-")
            try:
                self._certificate = make_certificate(Path(self._directory.name))
            except BaseException:
                self._directory.cleanup()
                raise
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self._certificate.cert_file, self._certificate.key_file)
        self.ca_file = self._certificate.ca_file

    def stop(self) -> None:
        """Break every connection, end every thread. :raises RuntimeError: if one would not end."""
        with self._lock:
            self._stopping.set()
            stalled, self._stalled = self._stalled, []
            threads = dict(self._threads)
        for release in stalled:
            release.set()
        if self._gate is not None:
            self._gate.release()
        if self._listener is not None:
            # Closing does not wake an accept() on every system; a connection does.
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        if self._acceptor is not None:
            self._acceptor.join(_JOIN_SECONDS)
        if self._listener is not None:
            self._listener.close()
        for sock in threads.values():
            _shut_down(sock)
        for thread in threads:
            thread.join(_JOIN_SECONDS)
        alive = [thread for thread in threads if thread.is_alive()]
        if self._directory is not None:
            self._directory.cleanup()
        if alive or (self._acceptor is not None and self._acceptor.is_alive()):
            raise RuntimeError(f"threads of the fake would not end: {alive}")

    def hold_parts(
        self,
        until: int | None = None,
        *,
        timeout_seconds: float = 30.0,
        operation: str = "UploadPart",
    ) -> Gate:
        """Hold every such request from now on; the gate before this one is opened."""
        gate = Gate(operation, until, timeout_seconds)
        with self._lock:
            before, self._gate = self._gate, gate
        if before is not None:
            before.release()
        return gate

    # -- the threads ----------------------------------------------------------------------------

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                if self.is_stopping:
                    sock.close()
                    return
                self.connections += 1
                thread = threading.Thread(
                    target=self._run, args=(sock,), name="fake-s3-connection", daemon=True
                )
                self._threads[thread] = sock
            thread.start()

    def _run(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._handshake(sock, self._context)
            Connection(sock, self).run()
        except OSError:
            with self._lock:
                self.failed_handshakes += 1
        except BaseException as error:  # a bug of the fake: shown when the server ends
            self.errors.append(error)
        finally:
            sock.close()
            with self._lock:
                self._threads.pop(threading.current_thread(), None)

    def _handshake(self, sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._threads[threading.current_thread()] = wrapped
            stopping = self.is_stopping
        try:
            if stopping:
                raise OSError("the server stops")
            wrapped.do_handshake()
        except OSError:
            wrapped.close()
            raise
        return wrapped

    # -- what a connection asks -----------------------------------------------------------------

    def take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            return self.fake.take_fault(request)

    def handle(self, request: Request, fault: Fault | None) -> Response:
        with self._lock:
            return self.fake.handle(request, fault=fault)

    @contextmanager
    def in_flight(self, request: Request) -> Iterator[None]:
        counts = self.fake.operation_of(request) in ("UploadPart", "UploadPartCopy")
        with self._lock:
            self.parts_in_flight += counts
            self.max_parts_in_flight = max(self.max_parts_in_flight, self.parts_in_flight)
        try:
            yield
        finally:
            with self._lock:
                self.parts_in_flight -= counts

    def pass_gate(self, request: Request) -> None:
        with self._lock:
            gate = self._gate
        if gate is not None and self.fake.operation_of(request) == gate.operation:
            gate.pass_through()

    def stall(self, wire: Wire) -> None:
        with self._lock:
            if not self.is_stopping:
                self._stalled.append(wire.release)
            else:
                wire.release.set()
        wire.reached.set()
        wire.release.wait()

    def pause(self, seconds: float) -> None:
        """Pace a drip; over at once when the server stops."""
        self._stopping.wait(seconds)


def _shut_down(sock: socket.socket) -> None:
    """Wake the thread that reads or writes there; its socket stays its own to close."""
    with suppress(OSError):
        # Of the plain socket: SSLSocket.shutdown would pull TLS from under the other thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
