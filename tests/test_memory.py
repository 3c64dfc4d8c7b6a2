# SPDX-License-Identifier: Apache-2.0
"""The law of memory, measured: what an upload holds does not depend on its length.

Each measurement is a child process that uploads from a generator; the store is another process that
throws the bytes away. The figures are the child's own, from ``/proc/self/status``.
"""

from __future__ import annotations

import sys
import json
import time
import subprocess
from typing import Any
from pathlib import Path
from contextlib import contextmanager
from collections.abc import Iterator

import pytest

pytestmark = [
    pytest.mark.memory,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
]
ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
GIB = 1024 * MIB

#: Reads bodies by their length and answers by the book. A line on its standard input opens the
#: gate that holds the answers to parts, where there is one; its end ends the server.
STORE = """
import os, re, sys, socket, threading

gate = threading.Event()
if "gated" not in sys.argv:
    gate.set()
block_size = 1 << 20
lock = threading.Lock()
held = 0

def answer(sock, body=b"", etag=True):
    head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n" % len(body)
    sock.sendall(head + (b'ETag: "0"\\r\\n' if etag else b"") + b"\\r\\n" + body)

def serve(sock):
    global held
    block = bytearray(block_size)
    data = b""
    while True:
        while b"\\r\\n\\r\\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return
            data += piece
        head, _, data = data.partition(b"\\r\\n\\r\\n")
        found = re.search(rb"content-length: (\\d+)", head, re.I)
        left = (int(found[1]) if found else 0) - len(data)
        while left > 0:
            got = sock.recv_into(block, min(left, block_size))
            if not got:
                return
            left -= got
        data = b""
        line = head.split(b"\\r\\n")[0]
        if b"uploads=" in line:
            answer(sock, b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                         b"</InitiateMultipartUploadResult>")
        elif line.startswith(b"POST"):
            answer(sock, b"<CompleteMultipartUploadResult><ETag>\\"0-x\\"</ETag>"
                         b"</CompleteMultipartUploadResult>")
        else:
            if b"partNumber=" in line and not gate.is_set():
                with lock:
                    held += 1
                    print("held", held, flush=True)
                gate.wait()
            answer(sock)

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)

def accept():
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
for line in sys.stdin:
    gate.set()
os._exit(0)
"""

#: Uploads and reports its resident bytes before, its peak, and how many chunks it had pulled.
CLIENT = """
import sys, json
sys.path.insert(0, sys.argv[1])
port, size, options = int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
import libcloud_s3mpu
from libcloud.storage.base import Container

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))

driver = libcloud_s3mpu.AmazonS3MultipartDriver(
    "key", "secret", host="127.0.0.1", port=port, secure=False,
    ex_options=libcloud_s3mpu.UploadOptions(**options))
container = Container("bucket", {}, driver)
driver.upload_object_via_stream(b"warm", container, "warm")
pulled = 0

def source():
    global pulled
    for number in range(size // 65536):
        pulled += 1
        yield bytes([number % 251]) * 65536

try:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # The peak is counted from here.
except OSError:
    pass  # Not permitted everywhere; the interpreter's own peak is small.
before = status("VmRSS")
result = driver.upload_object_via_stream(source(), container, "key")
print(json.dumps({"before": before, "peak": status("VmHWM"), "size": result.size,
                  "parts": result.extra["parts"], "pulled": pulled}))
"""


class StoreProcess:
    """The store, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def wait_held(self, count: int) -> None:
        """Wait until that many bodies were read whole."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if int(line.split()[1]) >= count:
                return
        raise AssertionError("the store ended")

    def open_gate(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()


@contextmanager
def store(*, is_gated: bool = False) -> Iterator[StoreProcess]:
    process = subprocess.Popen(
        [sys.executable, "-c", STORE, *(["gated"] if is_gated else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield StoreProcess(process)
    finally:
        process.kill()
        process.communicate()


def start(port: int, size: int, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, str(ROOT), str(port), str(size), json.dumps(options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(client: subprocess.Popen[str]) -> dict[str, int]:
    out, err = client.communicate(timeout=500)
    assert client.returncode == 0, err
    found: dict[str, int] = json.loads(out)
    return found


def growth(size: int, **options: Any) -> int:
    """Give by how much a child's memory peaks over what it had before the upload, in bytes."""
    with store() as it:
        found = result(start(it.port, size, **options))
    assert found["size"] == size
    return found["peak"] - found["before"]


def test_the_peak_does_not_depend_on_the_length() -> None:
    # One part at a time: how many more are worth having in flight differs from run to run.
    one, four = growth(GIB, concurrency=1), growth(4 * GIB, concurrency=1)
    assert abs(four - one) < 8 * MIB, f"{one / MIB:.1f} and {four / MIB:.1f} MiB"


@pytest.mark.parametrize(
    ("options", "in_flight"),
    [({"concurrency": 8}, 8 * 7.5 * MIB), ({"memory_budget_bytes": 40 * MIB}, 40 * MIB)],
)
def test_four_gib_take_what_is_in_flight_and_no_more(
    options: dict[str, Any], in_flight: float
) -> None:
    # Parts are 7.5 MiB from 2.4 GiB on; one more is being gathered.
    peak = growth(4 * GIB, **options)
    assert peak < in_flight + 7.5 * MIB + 8 * MIB, f"{peak / MIB:.1f} MiB"


def settle(pid: int) -> None:
    """Wait until a process uses no more CPU: it holds all that it is ever going to hold now."""

    def used() -> list[str]:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]

    before, quiet = used(), 0
    while quiet < 5:
        time.sleep(0.02)
        now = used()
        quiet = quiet + 1 if now == before else 0
        before = now


@pytest.mark.parametrize(("budget_mib", "part_mib"), [(8, 5), (12, 5), (48, 24), (128, 64)])
def test_a_slow_store_is_not_waited_for_in_memory(budget_mib: int, part_mib: int) -> None:
    with store(is_gated=True) as it:
        client = start(
            it.port,
            640 * MIB,
            memory_budget_bytes=budget_mib * MIB,
            part_size_bytes=part_mib * MIB,
            concurrency=16,
        )
        try:
            it.wait_held(2)
            settle(client.pid)
            it.open_gate()
            found = result(client)
        finally:
            client.kill()
            client.communicate()
    assert found["size"] == 640 * MIB
    assert found["peak"] - found["before"] < (budget_mib + part_mib + 32) * MIB
