# SPDX-License-Identifier: Apache-2.0
"""What the tests of the road share: a driver of small limits before a fake of the same.

Parts have five bytes, so that a few words make an object of many parts. No test lives here; the
fake is in ``tests/fake_s3/``.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any
from contextlib import suppress, contextmanager
from dataclasses import replace, dataclass
from collections.abc import Callable, Iterator

from libcloud.storage.base import Object, Container

from tests.fake_s3 import REGION, ACCESS_KEY, SECRET_KEY, FakeS3, FakeLimits, FakeServer
from tests.fake_s3 import checksums as reference
from libcloud_s3mpu.driver import AmazonS3MultipartDriver
from libcloud_s3mpu.protocol import checksums
from libcloud_s3mpu.protocol.retry import RetryPolicy
from libcloud_s3mpu.protocol.limits import Limits
from libcloud_s3mpu.protocol.options import UploadOptions

#: All parts of five bytes, twenty of them at most.
LIMITS = Limits(5, 50, 20, 100, uniform_parts=True, max_single_put=1000)
FAKE_LIMITS = FakeLimits(min_part_size=5, max_part_size=50, max_parts=20, max_object_size=100)
#: Six attempts without any wait between them.
AT_ONCE = RetryPolicy(
    base_delay_seconds=0, throttle_delay_seconds=0, max_delay_seconds=0, max_retry_after_seconds=0
)
#: How long a test waits for what must come at once, before it fails instead of hanging. Nothing is
#: proved by it being short, and a machine with other work to do may stand still for seconds.
PATIENCE_SECONDS = 30.0


class SmallDriver(AmazonS3MultipartDriver):
    """The driver under test, at small limits."""

    ex_limits = LIMITS


def close_driver(driver: Any) -> None:
    """Drop what a driver keeps alive: a socket left to the garbage collector is a warning."""
    driver._transport.close()
    driver.connection.connection.session.close()


def make_driver(server: FakeServer | RawServer, **kwargs: Any) -> SmallDriver:
    """Give a driver for the server; its options are five-byte parts and retries at once."""
    kwargs.setdefault("ex_options", UploadOptions(part_size_bytes=5, retry=AT_ONCE))
    driver = SmallDriver(
        kwargs.pop("key", ACCESS_KEY),
        kwargs.pop("secret", SECRET_KEY),
        host="127.0.0.1",
        port=server.port,
        secure=server.tls,
        region=REGION,
        **kwargs,
    )
    if server.tls:
        driver.connection.connection.ca_cert = str(server.ca_file)
    return driver


@dataclass(frozen=True, slots=True)
class Service:
    """A running fake with the bucket ``bucket``, and a driver connected to it."""

    fake: FakeS3
    server: FakeServer
    driver: SmallDriver
    container: Container

    def upload(self, source: Any, key: str = "key", **options: Any) -> Object:
        """Upload with the driver's options changed by ``options``."""
        ex_options = replace(self.driver.ex_options, **options)
        return self.driver.upload_object_via_stream(
            source, self.container, key, ex_options=ex_options
        )

    def stored(self, key: str = "key") -> bytes:
        return self.fake.objects["bucket"][key].body

    @property
    def keys(self) -> list[str]:
        return sorted(self.fake.objects["bucket"])

    def operations(self) -> list[str]:
        return [record.operation for record in self.fake.requests]

    def sent_parts(self) -> list[int | None]:
        return [record.part_number for record in self.fake.requests_of("UploadPart")]


@contextmanager
def service(*, tls: bool = False, driver: Any = None, **fake_options: Any) -> Iterator[Service]:
    """Run a fake and a driver for the time of the block.

    :param driver: keyword arguments of the driver.
    """
    fake = FakeS3(fake_options.pop("limits", FAKE_LIMITS), buckets=("bucket",), **fake_options)
    with FakeServer(fake, tls=tls) as server:
        made = make_driver(server, **(driver or {}))
        try:
            yield Service(fake, server, made, Container("bucket", {}, made))
        finally:
            close_driver(made)


def chunks(count: int, size: int = 5) -> Iterator[bytes]:
    """Yield ``count`` different chunks of ``size`` bytes."""
    for number in range(count):
        yield bytes([65 + number % 26]) * size


def whole(count: int, size: int = 5) -> bytes:
    """Give what :func:`chunks` yields, joined."""
    return b"".join(chunks(count, size))


class Apart:
    """A call in a thread of its own, so that a hang is a failure."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, timeout_seconds: float) -> bool:
        """Tell whether it has ended within that time."""
        self._thread.join(timeout_seconds)
        return self.is_over

    def end(self, timeout_seconds: float = PATIENCE_SECONDS) -> BaseException | None:
        """Give what the call raised, if anything; fail if it does not end in time."""
        self._thread.join(timeout_seconds)
        assert self.is_over, f"still running after {timeout_seconds:g} s"
        return self._error

    def result(self, timeout_seconds: float = PATIENCE_SECONDS) -> Any:
        """Give what the call returned, or raise what it raised."""
        error = self.end(timeout_seconds)
        if error is not None:
            raise error
        return self._result


class RawServer:
    """A loopback server that answers by the book of one test: raw bytes, connection by connection.

    :param behaviour: called with (socket, number of the connection from 1) in a thread of its own.
    """

    tls = False
    ca_file = None

    def __init__(self, behaviour: Callable[[socket.socket, int], None]) -> None:
        self._behaviour = behaviour
        self.connections = 0
        self.port = 0

    def __enter__(self) -> RawServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *unused: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._run, args=(sock, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(PATIENCE_SECONDS)
        with sock, suppress(OSError):
            self._behaviour(sock, number)


def read_request(sock: socket.socket) -> bytes:
    """Read one request with its body; give the head, or b"" at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = (int(lengths[0].partition(b":")[2]) if lengths else 0) - len(body)
    while missing > 0:
        missing -= len(sock.recv(65536)) or missing
    return head


def has_crcs(monkeypatch: Any) -> None:
    """Have every CRC, by the fake's slow arithmetic where the wheel is not installed."""
    known = checksums._crc_step

    def step(algorithm: str) -> Any:
        return known(algorithm) or reference.slow_step(algorithm.upper())

    monkeypatch.setattr(checksums, "_crc_step", step)


def reset(sock: socket.socket) -> None:
    """End a connection by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def make_plain(driver: Any) -> None:
    """Have the driver send by libcloud's own way: a hook that only it honours."""
    driver.connection.connection.session.hooks["response"].append(lambda answer, **_: answer)
    assert driver.ex_transport == "plain"
