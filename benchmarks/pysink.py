# SPDX-License-Identifier: Apache-2.0
"""The sink where no C compiler is: `python -m benchmarks.pysink`, one thread per connection.

Must not live here: what is remembered (`pystore.py`). Same arguments, commands and answers as
the C sink; plain bodies are dropped inside the kernel where it can (Linux, MSG_TRUNC). What reading
clients get is in `pyvirtual.py`.
"""

from __future__ import annotations

import os
import ssl
import sys
import time
import base64
import socket
import hashlib
import argparse
import threading
from io import BufferedReader
from typing import cast
from pathlib import Path
from urllib.parse import parse_qs
from collections.abc import Callable

from benchmarks.pystore import Part, Store, RefusedError
from benchmarks.pyvirtual import Span, find_span, list_page
from benchmarks.client.virtual import pieces, size_of

SCRATCH_SIZE = 1 << 20
PACED_STEP = 128 << 10
PACED_BURST_SECONDS = 0.005
PACED_RECEIVE_BUFFER = 256 << 10
NO_DIGEST = "d41d8cd98f00b204e9800998ecf8427e"
DROP = getattr(socket, "MSG_TRUNC", 0) if sys.platform.startswith("linux") else 0
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
XMLNS = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
Answer = tuple[int, dict[str, str], "str | Span"]


class Request:
    def __init__(self, line: bytes, headers: dict[str, str]) -> None:
        self.method, target, _ = line.decode("latin-1").split(" ", 2)
        if "://" in target:
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.path, _, query = target.partition("?")
        parsed = parse_qs(query, keep_blank_values=True)
        self.query = {name: values[0] for name, values in parsed.items()}
        self.headers = headers
        self.body: bytes | None = None
        self.body_size = 0

    @property
    def is_chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def is_aws_chunked(self) -> bool:
        kind = self.headers.get("content-encoding", "").lower()
        sha256 = self.headers.get("x-amz-content-sha256", "")
        return "aws-chunked" in kind or sha256.startswith("STREAMING-")


def decode_aws_chunked(body: bytes) -> bytes:
    """Strip the chunk heads; what follows the last chunk is dropped."""
    pieces, at = [], 0
    while (end := body.find(b"\n", at)) >= 0:
        size = int(body[at:end].partition(b";")[0].strip() or b"0", 16)
        if size == 0:
            break
        pieces.append(body[end + 1 : end + 1 + size])
        at = end + 1 + size + 2
    return b"".join(pieces)


class Connection:
    """The bytes of one peer. `file` holds what was read past the last head."""

    def __init__(self, sock: socket.socket, store: Store, given: argparse.Namespace) -> None:
        self.sock, self.store, self.given = sock, store, given
        self.file = cast(BufferedReader, sock.makefile("rb", buffering=4096))
        self.scratch = memoryview(bytearray(SCRATCH_SIZE))
        self.flags = 0 if isinstance(sock, ssl.SSLSocket) else DROP
        self.paid_until = 0.0

    def pay(self, size: int) -> None:
        if self.given.connection_mbps:
            now = time.monotonic()
            self.paid_until = max(self.paid_until, now - PACED_BURST_SECONDS)
            self.paid_until += size / (self.given.connection_mbps * 1e6)
            if self.paid_until > now:
                time.sleep(self.paid_until - now)

    def drop(self, size: int) -> None:
        """Read `size` bytes and let them go: first those already buffered, then from the socket."""
        buffered = min(size, len(self.file.peek(1)) if size else 0)
        self.file.read(buffered)
        self.pay(buffered)
        left = size - buffered
        most = PACED_STEP if self.given.connection_mbps else SCRATCH_SIZE
        while left:
            got = self.sock.recv_into(self.scratch, min(left, most), self.flags)
            if not got:
                raise ConnectionError
            left -= got
            self.pay(got)

    def take(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise ConnectionError
        self.pay(size)
        return data

    def read_head(self) -> Request | None:
        line = self.file.readline().strip()
        if not line:
            return None
        headers = {}
        while header := self.file.readline().strip():
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Request(line, headers)

    def read_body(self, request: Request, *, keep: bool) -> None:
        if "expect" in request.headers:
            self.store.count("expect_100")
            time.sleep(self.given.connect_ms / 1e3)
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces: list[bytes] = []

        def consume(size: int) -> None:
            request.body_size += size
            if keep:
                pieces.append(self.take(size))
            else:
                self.drop(size)

        if request.is_chunked:
            while size := int(self.file.readline().partition(b";")[0], 16):
                consume(size)
                self.file.readline()
            while self.file.readline().strip():
                continue
        else:
            consume(int(request.headers.get("content-length", 0)))
        self.store.count("bytes_on_wire", request.body_size)
        request.body = b"".join(pieces) if keep else None
        if request.is_aws_chunked:
            self.store.count("aws_chunked")
            if request.body is not None:
                request.body = decode_aws_chunked(request.body)
                request.body_size = len(request.body)
            else:
                told = request.headers.get("x-amz-decoded-content-length")
                request.body_size = int(told or request.body_size)

    def answer(self, request: Request, answer: Answer, keep_alive: bool) -> None:
        status, headers, body = answer
        text = {"Server": "sink", "x-amz-request-id": "SINK", **headers}
        if status != 204:
            text.setdefault("Content-Length", str(len(body)))
        if body:
            text.setdefault("Content-Type", "application/xml")
        if not keep_alive:
            text["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in text.items())
        shown = "" if request.method == "HEAD" or isinstance(body, Span) else body
        self.sock.sendall(f"HTTP/1.1 {status} Sink\r\n{lines}\r\n{shown}".encode())
        if isinstance(body, Span) and request.method == "GET":
            self.send_span(body)

    def send_span(self, span: Span) -> None:
        self.store.count("get_requests")
        self.store.flight(1)
        try:
            most = PACED_STEP if self.given.connection_mbps else SCRATCH_SIZE
            for piece in pieces(span.start, span.end, span.content, most):
                self.sock.sendall(piece)
                self.store.count("bytes_sent", len(piece))
                self.pay(len(piece))
        finally:
            self.store.flight(-1)


class Service:
    """The S3 verbs; one instance for all connections."""

    def __init__(self, store: Store, given: argparse.Namespace) -> None:
        self.store, self.given = store, given
        self.content = Path(given.content).read_bytes() if given.content else b""

    def handle(self, connection: Connection, request: Request) -> Answer:
        self.store.count("requests")
        verbs: dict[str, Callable[[Connection, Request], Answer]] = {
            "PUT": self.put,
            "POST": self.post,
            "GET": self.look,
            "HEAD": self.look,
            "DELETE": self.delete,
        }
        try:
            return verbs[request.method](connection, request)
        except RefusedError as refused:
            if refused.status == 400:
                self.store.count("bad_requests")
            body = (
                f"{XML}<Error><Code>{refused.code}</Code><Message>said the sink</Message></Error>"
            )
            return refused.status, {}, body

    def read(self, connection: Connection, request: Request, *, keep: bool) -> None:
        connection.read_body(request, keep=keep)
        time.sleep(self.given.latency_ms / 1e3)

    def judge(self, request: Request) -> Part:
        """Give the body with its ETag: the client's own MD5 where the body was not kept."""
        told = request.headers.get("content-md5")
        etag = base64.b64decode(told).hex() if told else NO_DIGEST
        if request.body is not None:
            real = hashlib.md5(request.body, usedforsecurity=False).hexdigest()
            sha256 = request.headers.get("x-amz-content-sha256", "")
            signed = len(sha256) == 64 and not request.is_aws_chunked
            wrong = signed and hashlib.sha256(request.body).hexdigest() != sha256
            if wrong or (told and real != etag):
                self.store.count("digest_errors")
                raise RefusedError(400, "BadDigest")
            etag = real
        return Part(request.body_size, etag, request.body)

    def put(self, connection: Connection, request: Request) -> Answer:
        self.store.flight(1)
        try:
            upload_id = request.query.get("uploadId")
            if upload_id:
                self.store.count("part_requests")
            self.read(connection, request, keep=self.given.verify)
            part = self.judge(request)
            if upload_id:
                number = int(request.query.get("partNumber", 0))
                if not 1 <= number <= 10_000:
                    raise RefusedError(400, "InvalidArgument")
                self.store.put_part(upload_id, number, part)
            else:
                self.store.put_object(request.path, part)
        finally:
            self.store.flight(-1)
        echoed = {
            name: value
            for name, value in request.headers.items()
            if name.startswith("x-amz-checksum-") and not name.endswith(("algorithm", "type"))
        }
        return 200, {"ETag": f'"{part.etag}"', **echoed}, ""

    def post(self, connection: Connection, request: Request) -> Answer:
        self.read(connection, request, keep=True)
        if "uploads" in request.query:
            name = "InitiateMultipartUploadResult"
            inner = f"<UploadId>{self.store.begin(request.path)}</UploadId>"
        elif "uploadId" in request.query:
            xml = (request.body or b"").decode()
            name = "CompleteMultipartUploadResult"
            etag = self.store.complete(request.query["uploadId"], xml)
            inner = f"<ETag>&quot;{etag}&quot;</ETag>"
        elif "delete" in request.query:
            name, inner = "DeleteResult", ""
        else:
            raise RefusedError(400, "InvalidRequest")
        return 200, {}, f"{XML}<{name}{XMLNS}><Bucket>bench</Bucket>{inner}</{name}>"

    def look(self, connection: Connection, request: Request) -> Answer:
        self.read(connection, request, keep=False)
        head = request.method == "HEAD"
        if request.path.strip("/").count("/") == 0:
            if head:
                return 200, {"x-amz-bucket-region": "us-east-1"}, ""
            if "location" in request.query:
                return 200, {}, f"{XML}<LocationConstraint{XMLNS}/>"
            self.store.count("list_requests")
            return 200, {}, XML + list_page(request.query, self.given.keys)
        if not head and "uploadId" in request.query:
            rows = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag>"
                f"<Size>{part.size}</Size></Part>"
                for number, part in self.store.parts(request.query["uploadId"])
            )
            cut = "<IsTruncated>false</IsTruncated>"
            return 200, {}, f"{XML}<ListPartsResult{XMLNS}>{cut}{rows}</ListPartsResult>"
        size = size_of(request.path.lstrip("/").partition("/")[2])
        if size is not None and self.content:
            return find_span(request.headers, size, self.content)
        found = self.store.find(request.path)
        if not head or found is None:
            raise RefusedError(404, "NoSuchKey")
        changed = "Mon, 01 Jan 2024 00:00:00 GMT"
        size, etag = found
        told = {"ETag": f'"{etag}"', "Content-Length": str(size), "Last-Modified": changed}
        return 200, told, ""

    def delete(self, connection: Connection, request: Request) -> Answer:
        self.read(connection, request, keep=False)
        if "uploadId" in request.query:
            self.store.abort(request.query["uploadId"])
        return 204, {}, ""


def serve(sock: socket.socket, tls: ssl.SSLContext | None, service: Service) -> None:
    """Answer one peer until it goes."""
    store, given = service.store, service.given
    try:
        time.sleep(given.connect_ms / 1e3 * (2 if tls else 1))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            sock = tls.wrap_socket(sock, server_side=True)
        connection = Connection(sock, store, given)
        while request := connection.read_head():
            keep_alive = request.headers.get("connection", "").lower() != "close"
            connection.answer(request, service.handle(connection, request), keep_alive)
            if not keep_alive:
                break
    except (OSError, ValueError):
        pass  # the peer went, or speaks no HTTP: nothing to tell it
    finally:
        sock.close()
        store.connection(-1)


def obey(store: Store) -> None:
    """Answer commands until standard input ends, and end the process with it."""
    for line in sys.stdin:
        if line.startswith("reset"):
            store.reset()
        print(store.report(), flush=True)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pysink", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--content")
    parser.add_argument("--keys", type=int, default=0)
    parser.add_argument("--verify", action="store_true")
    for name in ("--latency-ms", "--connect-ms", "--connection-mbps"):
        parser.add_argument(name, type=float, default=0)
    given = parser.parse_args()
    tls = None
    if given.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(given.certificate, given.key)
    listening = socket.create_server((given.address, given.port), backlog=512)
    if given.connection_mbps:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PACED_RECEIVE_BUFFER)
    store = Store(verify=given.verify)
    service = Service(store, given)
    print(f'{{"port": {listening.getsockname()[1]}}}', flush=True)
    threading.Thread(target=obey, args=(store,), daemon=True).start()
    while True:
        sock, _ = listening.accept()
        store.connection(1)
        threading.Thread(target=serve, args=(sock, tls, service), daemon=True).start()


if __name__ == "__main__":
    main()
