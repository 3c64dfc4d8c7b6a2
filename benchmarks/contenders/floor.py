# SPDX-License-Identifier: Apache-2.0
"""The cheapest client one can write in Python: bare sockets, no signature, no retry, no error road.

Options: `part` in MiB (8), `threads` (1), `src=static` to send one ready buffer over and over (the
network alone), `hash` one of crc32, md5, sha256, ... to compute it over each part before sending,
`read=1` to read a file instead of `os.sendfile`.
"""

from __future__ import annotations

import os
import ssl
import zlib
import queue
import socket
import hashlib
import threading
from typing import Any
from itertools import islice
from collections.abc import Callable, Iterable, Iterator

from benchmarks.client.job import KIB, MIB, BUCKET, Job
from benchmarks.contenders import floor_reading
from benchmarks.client.sources import Source

IOV_MOST = 1000  # Linux takes 1024 buffers a call (IOV_MAX)
LINES_JOINED = 64 * KIB // 48
Buffers = list["bytes | memoryview"]


class Part:
    """Buffers to send, or a range of a file when `fd` is given; `pool` buffer to give back."""

    __slots__ = ("buffers", "size", "fd", "offset", "reused")

    def __init__(self, size: int, buffers: Buffers | None = None) -> None:
        self.size = size
        self.buffers: Buffers = buffers or []
        self.fd = -1
        self.offset = 0
        self.reused: bytearray | None = None


def digester(kind: str) -> Callable[[Buffers], object] | None:
    if kind == "none":
        return None
    if kind == "crc32":

        def crc32(buffers: Buffers) -> int:
            value = 0
            for buffer in buffers:
                value = zlib.crc32(buffer, value)
            return value

        return crc32

    def digest(buffers: Buffers) -> str:
        state = hashlib.new(kind)
        for buffer in buffers:
            state.update(buffer)
        return state.hexdigest()

    return digest


def send_gathered(sock: socket.socket, buffers: Buffers) -> None:
    """Send many buffers with as few calls as the kernel allows."""
    at = 0
    while at < len(buffers):
        sent = sock.sendmsg(buffers[at : at + IOV_MOST])
        while at < len(buffers) and sent >= len(buffers[at]):
            sent -= len(buffers[at])
            at += 1
        if sent:
            buffers[at] = memoryview(buffers[at])[sent:]


class Floor:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.part_size = int(job.number("part", 8) * MIB)
        self.tls = ssl.create_default_context(cafile=job.ca_path) if job.secure else None
        self.digest = digester(job.options.get("hash", "none"))
        self.static = b""
        if job.options.get("src") == "static" and job.workload != "small":
            self.static = os.urandom(self.part_size)
        self.reused: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self.main = self.connect()

    def connect(self) -> socket.socket:
        sock = socket.create_connection((self.job.host, self.job.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(sock, server_hostname=self.job.host) if self.tls else sock

    def request(self, sock: socket.socket, line: str, part: Part) -> bytes:
        head = f"{line} HTTP/1.1\r\nHost: sink\r\nContent-Length: {part.size}\r\n\r\n".encode()
        if part.fd >= 0:
            sock.sendall(head, socket.MSG_MORE)
            at, end = part.offset, part.offset + part.size
            while at < end:
                at += os.sendfile(sock.fileno(), part.fd, at, end - at)
        elif self.tls:
            sock.sendall(head)
            for buffer in part.buffers:
                sock.sendall(buffer)
        else:
            send_gathered(sock, [head, *part.buffers])
        answer = sock.recv(64 * KIB)
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(64 * KIB)
        if b" 200 " not in answer[:16]:
            raise OSError(answer[:300])
        return answer

    # ------------------------------------------------------------- parts
    def parts(self, source: Source) -> Iterator[Part]:
        if self.static:
            return self.static_parts(source.size)
        if source.kind == "lines48":
            lines = iter(source.iterator())
            return self.cut(iter(lambda: b"".join(islice(lines, LINES_JOINED)), b""))
        if source.is_generated:
            return self.cut(source.iterator())
        whole = source.kind == "file" and not (
            self.tls or self.digest or "read" in self.job.options
        )
        return self.file_ranges(source.size) if whole else self.read_parts(source)

    def static_parts(self, total: int) -> Iterator[Part]:
        for start in range(0, total, self.part_size):
            size = min(self.part_size, total - start)
            yield Part(size, [memoryview(self.static)[:size]])

    def file_ranges(self, total: int) -> Iterator[Part]:
        assert self.job.input_path is not None
        fd = os.open(self.job.input_path, os.O_RDONLY)
        for start in range(0, total, self.part_size):
            part = Part(min(self.part_size, total - start))
            part.fd, part.offset = fd, start
            yield part

    def read_parts(self, source: Source) -> Iterator[Part]:
        """Read into buffers that come back once their part is sent: fresh ones are page faults."""
        buffered = source.file()
        file: Any = getattr(buffered, "raw", buffered)
        size = self.part_size
        while size == self.part_size:
            buffer = bytearray(self.part_size) if self.reused.empty() else self.reused.get()
            view, size = memoryview(buffer), 0
            while size < self.part_size and (got := file.readinto(view[size:])):
                size += got
            if size:
                part = Part(size, [view[:size]])
                part.reused = buffer
                yield part

    def cut(self, chunks: Iterable[bytes]) -> Iterator[Part]:
        """Gather the chunks as they come, split by a view at the boundary."""
        gathered: Buffers = []
        room = self.part_size
        for chunk in chunks:
            while len(chunk) >= room:
                view = memoryview(chunk)
                gathered.append(view[:room])
                yield Part(self.part_size, gathered)
                chunk, gathered, room = view[room:], [], self.part_size  # type: ignore[assignment]
            if len(chunk):
                gathered.append(chunk)
                room -= len(chunk)
        if gathered:
            yield Part(self.part_size - room, gathered)

    # ------------------------------------------------------------ upload
    def upload(self, source: Source, key: str) -> None:
        path = f"/{BUCKET}/{key}"
        if source.kind == "small":
            self.request(self.main, f"PUT {path}", Part(source.size, list(source.iterator())))
            return
        answer = self.request(self.main, f"POST {path}?uploads", Part(0))
        upload_id = answer.split(b"<UploadId>")[1].split(b"<")[0].decode()
        etags: dict[int, str] = {}

        def send(sock: socket.socket, number: int, part: Part) -> None:
            if self.digest:
                self.digest(part.buffers)
            line = f"PUT {path}?partNumber={number}&uploadId={upload_id}"
            answer = self.request(sock, line, part)
            etags[number] = answer.split(b"ETag: ")[1].split(b"\r\n")[0].decode()
            if part.reused is not None:
                self.reused.put(part.reused)

        threads = int(self.job.number("threads", 1))
        if threads == 1:
            for number, part in enumerate(self.parts(source), 1):
                send(self.main, number, part)
        else:
            self.send_threaded(source, send, threads)
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in sorted(etags.items())
        )
        xml = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
        self.request(self.main, f"POST {path}?uploadId={upload_id}", Part(len(xml), [xml]))

    def send_threaded(
        self,
        source: Source,
        send: Callable[[socket.socket, int, Part], None],
        threads: int,
    ) -> None:
        waiting: queue.Queue[tuple[int, Part] | None] = queue.Queue(1)

        def work() -> None:
            try:
                sock = self.connect()
                while (item := waiting.get()) is not None:
                    send(sock, *item)
                    del item
            except BaseException as error:
                print(f"floor: {error!r}", flush=True)
                os._exit(3)  # there is no error road: the run has failed

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for item in enumerate(self.parts(source), 1):
            waiting.put(item)
        for _ in workers:
            waiting.put(None)
        for worker in workers:
            worker.join()


def make(job: Job) -> Floor:
    return Floor(job)


def upload(client: Floor, job: Job, source: Source, key: str) -> None:
    client.upload(source, key)


download, read = floor_reading.download, floor_reading.read
