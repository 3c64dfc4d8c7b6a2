# SPDX-License-Identifier: Apache-2.0
"""A tus server in a process of its own, which can be killed; and a Redis for its locks.

``python -m tests.web.process CONFIG`` (JSON) serves until its standard input ends, with the small
WSGI server of the tests: a thread for each connection, bodies passed on as they come.
"""

from __future__ import annotations

import os
import sys
import json
import time
import shutil
import signal
import socket
import subprocess
from typing import Any
from pathlib import Path
from contextlib import suppress, contextmanager
from dataclasses import replace
from collections.abc import Iterator

import pytest
from libcloud.storage.base import Container

from tests.web.doors import SocketDoor
from tests.fake_s3.config import REGION, ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 20.0
#: Leases of the children: S3's own clock has whole seconds only.
TTL_SECONDS = {"file": 0.4, "redis": 0.4, "s3": 1.0}


class Process:
    """A running server: its door, and its end."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.process", json.dumps(config)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._door: SocketDoor | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def door(self) -> SocketDoor:
        """Waits until it listens."""
        if self._door is None:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            assert line, "the server did not start"
            self._door = SocketDoor("process", int(line), gives_trailers=False)
        return self._door

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more when this returns."""
        self._process.kill()
        self._close()

    def pause(self) -> None:
        """SIGSTOP: as a machine that sleeps; what it was sending stays half sent."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def peak_bytes(self) -> int:
        """Give its largest resident size so far (Linux)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024

    def cpu_seconds(self) -> float:
        """Give the processor time that it took so far (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


def config_of(
    endpoint: str, locker: str = "file", where: Any = None, **more: Any
) -> dict[str, Any]:
    """Give a child's configuration.

    :param where: the folder of a FileLocker, the port of a Redis.
    :param more: ``part`` and ``min_part`` in bytes, ``keys``, ``region``, ``bucket``, ``prefix``.
    """
    given = {"keys": [ACCESS_KEY, SECRET_KEY], "region": REGION, "bucket": "bucket"}
    given |= {"part": 5, "min_part": 5, "prefix": "uploads/", "endpoint": endpoint}
    return {**given, "locker": locker, "where": str(where), **more}


@contextmanager
def running(*configs: dict[str, Any]) -> Iterator[list[Process]]:
    """Run servers of these configurations, started side by side."""
    started: list[Process] = []
    try:
        for config in configs:
            started.append(Process(config))
        for process in started:
            _ = process.door
        yield started
    finally:
        for process in started:
            process.stop()


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Run a Redis; give its port: the real one where it is installed, else fakeredis's."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    real = shutil.which("redis-server")
    if real is not None:
        command = [real, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    else:
        pytest.importorskip("fakeredis")
        code = "import sys, fakeredis as f; f.TcpFakeServer(('127.0.0.1', int(sys.argv[1])))"
        command = [sys.executable, "-c", f"{code}.serve_forever()", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None and time.monotonic() < end, "no Redis came up"
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


# -- the child ---------------------------------------------------------------------------------


def made_locker(config: dict[str, Any], driver: Any, container: Container) -> Any:
    from libcloud_s3mpu.resumable import S3Locker, FileLocker, RedisLocker

    kind = config["locker"]
    how: dict[str, Any] = {"ttl_seconds": TTL_SECONDS[kind], "timeout_seconds": 10.0}
    if kind == "s3":
        return S3Locker(driver, container, prefix=config["prefix"], poll_seconds=0.05, **how)
    if kind == "file":
        return FileLocker(config["where"], poll_seconds=0.01, **how)
    import redis

    return RedisLocker(redis.Redis(host="127.0.0.1", port=int(config["where"])), **how)


def main(config: dict[str, Any]) -> None:
    from tests.unit.small import AT_ONCE
    from tests.web.servers import wsgi_server
    from libcloud_s3mpu.driver import AmazonS3MultipartDriver
    from libcloud_s3mpu.web.tus import TusHandler
    from libcloud_s3mpu.web.wsgi import tus_wsgi
    from libcloud_s3mpu.resumable import ResumableUploads
    from libcloud_s3mpu.protocol.options import UploadOptions

    driver = AmazonS3MultipartDriver(
        *config["keys"],
        region=config["region"],
        ex_endpoint_url=config["endpoint"],
        ex_options=UploadOptions(retry=AT_ONCE),
    )
    driver.ex_limits = replace(  # type: ignore[misc]
        driver.ex_limits,
        min_part_size=config["min_part"],
        checks_object_size=config.get("checks_object_size", True),
    )
    if "ca" in config:
        driver.connection.connection.ca_cert = config["ca"]
    container = Container(config["bucket"], {}, driver)
    uploads = ResumableUploads(
        driver,
        container,
        config["prefix"],
        part=config["part"],
        locker=made_locker(config, driver, container),
    )
    with wsgi_server(tus_wsgi(TusHandler(uploads, base_path="/files"))) as port:
        print(port, flush=True)
        sys.stdin.read()
        os._exit(0)  # Connections that stall are nobody's concern any more.


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
