# SPDX-License-Identifier: Apache-2.0
"""``s3mpu demo``: the promise, tried on this machine in a minute.

An S3 server of its own, a generator as the source, the driver as an app would use it, the object
read back and compared, the memory measured. With ``--server`` only the server, for whatever the
reader would like to try. Nothing is left running. The server is made by
:mod:`libcloud_s3mpu.testing`; nothing here is needed by any other command.
"""

from __future__ import annotations

import sys
import time
import random
import socket
import hashlib
from typing import Any
from contextlib import contextmanager
from collections.abc import Callable, Iterator

import click
from click.core import ParameterSource

from .words import S3Url, Failed, rate_text, size_text, shell_word
from .service import Session, size, positive_size
from ..testing import ADVICE, EmbeddedServer, EmbeddedServerError, embedded_server
from .progress import (
    Watch,
    Display,
    peak_bytes,
    forget_peak,
    resident_bytes,
    available_bytes,
)
from ..protocol.options import DEFAULT_MEMORY_BUDGET, UploadOptions

_URL = S3Url("s3mpu-demo", "generated.bin")
_BUCKET = "demo"
#: What would lead a shell's S3 clients elsewhere.
_IN_THE_WAY = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
#: Where no server is installed; the API's words name an argument that no command has.
_ADVICE = (
    "install one beside s3mpu: pip install 'libcloud_s3mpu[demo]' brings MiniStack, and "
    "'moto[s3,server]' serves too, with fewer checks"
)
#: How often it is looked whether the server is still there; a signal does not wait for that.
_LOOK_SECONDS = 2.0
_CHUNK = 64 * 1024
_NOISE = 8 * 1024 * 1024
_READ_SIZE = 1024 * 1024
#: Memory that MiniStack 1.5.33 takes for an object while it completes it, over the object's size
#: (measured: 1.68 GB for 512 MiB, 6.45 GB for 2 GiB, on an empty server of 49 MB).
_SERVER_FACTOR = 3.2
_SERVER_BASE = 50 * 1024 * 1024


@click.command()
@click.option("--size", "total", metavar="SIZE", type=size, default="512MiB", show_default=True)
@click.option("--part-size", metavar="SIZE", type=positive_size, help="Of the first parts.")
@click.option(
    "--memory-budget",
    metavar="SIZE",
    type=positive_size,
    default=DEFAULT_MEMORY_BUDGET,
    help="128MiB unless given.",
)
@click.option("--concurrency", metavar="N", type=click.IntRange(1), help="Parts in flight, most.")
@click.option("--server", "is_server", is_flag=True, help="Only run the server, until Ctrl-C.")
@click.pass_context
def demo(
    context: click.Context,
    total: int,
    part_size: int | None,
    memory_budget: int,
    concurrency: int | None,
    is_server: bool,
) -> int:
    """Upload a generated stream to a server of its own.

    An S3 server is started, the stream uploaded to it, read back and compared by SHA-256.

    The server holds the object in its own memory, three times over for a moment, so --size 2GiB
    takes a machine with 7 GiB to spare. It ends with the demo, whatever happens.

    With --server nothing is uploaded: the server runs until Ctrl-C, with an empty bucket "demo".
    Paste what is printed into another terminal, and s3mpu, or any other S3 client, talks to it.
    """
    session = context.find_object(Session)
    assert session is not None
    if is_server:
        _check_alone(context)
        return _serve(session)
    _check_memory(total)
    options = {
        "part_size_bytes": part_size,
        "memory_budget_bytes": memory_budget,
        "concurrency": concurrency,
    }
    with _server(session) as server:
        is_same = _Demo(session, server, total, options).run()
    _tell(session, "left running", "nothing: the server was stopped")
    if not is_same:
        raise Failed("what came back is not what was sent")
    return 0


@contextmanager
def _server(session: Session) -> Iterator[EmbeddedServer]:
    """Run a server while the block does; say that it was stopped where that ends early."""
    try:
        with embedded_server() as server:
            yield server
    except EmbeddedServerError as error:
        raise Failed(str(error).replace(ADVICE, _ADVICE)) from error
    except BaseException:
        stopped = "the server was stopped, nothing is left running"
        session.outcome = f"{session.outcome}; {stopped}" if session.outcome else stopped
        raise


# -- the server alone --------------------------------------------------------------------------


def _check_alone(context: click.Context) -> None:
    """Refuse options of the upload that there will not be."""
    for name in ("total", "part_size", "memory_budget", "concurrency"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError("--server uploads nothing: it takes no other option")


def _serve(session: Session) -> int:
    """Run a server until a signal ends it; standard output is what a shell can source."""
    with _server(session) as server:
        server.create_bucket(_BUCKET)
        session.note(
            f"{server.kind} {server.version} at {server.endpoint_url}, with a bucket {_BUCKET!r}; "
            "it keeps everything in memory. Ctrl-C ends it."
        )
        session.out(f"unset {' '.join(_IN_THE_WAY)}")
        for name, value in _environment(server).items():
            session.out(f"export {name}={shell_word(value)}")
        session.flush()
        while _listens(server):
            time.sleep(_LOOK_SECONDS)
        raise Failed("the server ended by itself")


def _environment(server: EmbeddedServer) -> dict[str, str]:
    """Give what s3mpu, the AWS CLI and SDKs find a service by."""
    return {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": server.region,
        "AWS_DEFAULT_REGION": server.region,  # boto3 knows no other.
    }


def _listens(server: EmbeddedServer) -> bool:
    try:
        socket.create_connection((server.host, server.port), timeout=_LOOK_SECONDS).close()
    except OSError:
        return False
    return True


# -- the upload --------------------------------------------------------------------------------


def _check_memory(total: int) -> None:
    needed, available = int(total * _SERVER_FACTOR) + _SERVER_BASE, available_bytes()
    if available is not None and needed > available:
        raise Failed(
            f"the server holds the object in its memory and would need {size_text(needed)} for "
            f"{size_text(total)}; {size_text(available)} are available: give a smaller --size"
        )


def generated(total: int, add: Callable[[bytes], Any]) -> Iterator[bytes]:
    """Yield ``total`` bytes in chunks, each a random cut of random bytes.

    No period fits a part, so parts that change places change the hash.

    :param add: called with each chunk as it leaves.
    """
    dice = random.Random()
    noise = dice.randbytes(_NOISE)
    while total > 0:
        begin = dice.randrange(_NOISE - _CHUNK)
        chunk = noise[begin : begin + min(_CHUNK, total)]
        add(chunk)
        total -= len(chunk)
        yield chunk


class _Demo:
    """One demonstration on one running server."""

    def __init__(
        self, session: Session, server: EmbeddedServer, total: int, options: dict[str, Any]
    ) -> None:
        self._session = session
        self._server = server
        self._total = total
        self._options = options

    def run(self) -> bool:
        """Upload, read back, report; tell whether the hashes are the same."""
        server = self._server
        self._tell("server", f"{server.kind} {server.version} at {server.endpoint_url}")
        checks = ", and checks every signature" if server.checks_signatures else ""
        self._tell("", f"it keeps the object in its memory{checks}")
        driver = self._driver()
        container = driver.create_container(_URL.bucket)
        self._tell("source", f"a generator of 64 KiB chunks, {size_text(self._total)} in all")
        sent = hashlib.sha256()
        result = self._upload(container, sent.update)
        received = self._read_back(driver, result)
        is_same = received == sent.hexdigest()
        self._tell("SHA-256 sent", sent.hexdigest())
        self._tell("received", received)
        self._tell("compared", "the same" if is_same else "NOT THE SAME")
        return is_same

    def _driver(self) -> Any:
        from libcloud.storage.providers import get_driver

        server = self._server
        return get_driver("s3_multipart")(
            server.access_key,
            server.secret_key,
            region=server.region,
            ex_endpoint_url=server.endpoint_url,
        )

    def _upload(self, container: Any, add: Callable[[bytes], Any]) -> Any:
        watch = Watch(lambda done: display.show(done))
        display = self._display("upload", watch)
        options = UploadOptions(on_event=watch, **self._options)
        source = generated(self._total, add)
        with display:
            base = self._base()
            try:
                result = container.driver.upload_object_via_stream(
                    source, container, _URL.key, ex_options=options
                )
            except BaseException as error:
                self._session.outcome = watch.outcome(error)
                raise
            peak = peak_bytes()
        seconds = result.extra["seconds"]
        text = f"{size_text(result.size)} in {seconds:.1f} s, {rate_text(result.size, seconds)}"
        self._tell("uploaded", text)
        self._tell("parts", _parts_text(watch))
        self._tell("memory", _memory_text(base, peak, options.memory_budget_bytes))
        return result

    @staticmethod
    def _base() -> int | None:
        """Give the memory held before the upload, and have its peak measured from here on."""
        forget_peak()
        return resident_bytes()

    def _read_back(self, driver: Any, stored: Any) -> str:
        display = self._display("read back", None)
        received = hashlib.sha256()
        began, done = time.monotonic(), 0
        with display:
            for chunk in driver.download_object_as_stream(stored, chunk_size=_READ_SIZE):
                received.update(chunk)
                done += len(chunk)
                display.show(done)
        seconds = time.monotonic() - began
        self._tell("read back", f"{size_text(done)} in {seconds:.1f} s, {rate_text(done, seconds)}")
        return received.hexdigest()

    def _display(self, title: str, watch: Watch | None) -> Display:
        return Display(
            title,
            stream=None if self._session.is_debug else sys.stdout,
            total=self._total,
            watch=watch,
            is_kept=True,
            plain=lambda text: self._tell("", text),
        )

    def _tell(self, title: str, text: str) -> None:
        _tell(self._session, title, text)


def _tell(session: Session, title: str, text: str) -> None:
    session.out(f"{title:<13} {text}")
    session.flush()


def _parts_text(watch: Watch) -> str:
    if not watch.part_sizes:
        return "none: it fits into one PUT"
    sizes = ", ".join(f"{n} of {size_text(size)}" for size, n in sorted(watch.part_sizes.items()))
    again = f"; {watch.retries} sent again" if watch.retries else ""
    return f"{watch.part_sizes.total()}: {sizes}{again}"


def _memory_text(base: int | None, peak: int | None, budget: int) -> str:
    allowed = f"budget {size_text(budget)}"
    if peak is None:
        return f"not measured on this system; {allowed}"
    if base is None:
        return f"{size_text(peak)} at most, all of this process; {allowed}"
    over = max(0, peak - base)
    return f"{size_text(over)} at most over the {size_text(base)} before; {allowed}"
