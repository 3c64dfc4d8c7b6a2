# SPDX-License-Identifier: Apache-2.0
"""What the real servers share: the endpoint they give, their processes, and where packages are.

No knowledge of a single server lives here, and nothing here installs during a test run:
``.ci/install-servers`` does that. Read ``swift.py`` next, the plainest user of this file.
"""

from __future__ import annotations

import os
import abc
import sys
import time
import shutil
import signal
import socket
import tempfile
import contextlib
import subprocess
import http.client
from types import TracebackType
from pathlib import Path
from dataclasses import field, dataclass
from collections.abc import Mapping, Callable, Sequence

HOST = "127.0.0.1"
REGION = "us-east-1"
MIN_PART_SIZE_BYTES = 5 * 1024 * 1024  # S3's, which the servers that have a minimum start with
INSTALL = "run .ci/install-servers"

_OPEN_FILES = 16384  # Ceph warns below it, Swift opens one for each part of a download
_LOG_TAIL_LINES = 15
_POLL_SECONDS = 0.02
# What a process does before it becomes the daemon (1 is PR_SET_PDEATHSIG of linux/prctl.h).
# Not a preexec_fn: that warns from Python 3.12 on when the tests have threads.
_BOOT = f"""
import os, sys, ctypes, resource
ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
most = {_OPEN_FILES} if hard == resource.RLIM_INFINITY else min({_OPEN_FILES}, hard)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
os.execv(sys.argv[1], sys.argv[1:])
"""

# What a server does that S3 does not, as far as a client can see it. Each was seen on the wire.
QUIRKS: Mapping[str, str] = {
    "accepts-any-part-number": "parts 0, -1 and 10001 are taken",
    "accepts-any-part-order": "complete takes a list of parts that is not ascending",
    "accepts-upload-of-another-key": "an upload id is taken with a key it was not made for",
    "clamps-copy-range": "a copy range past the end of the source is cut, not refused",
    "cleans-virtual-paths": "a leading slash of a key is lost in virtual-host style",
    "closes-connections": "each answer ends its connection",
    "complete-ignores-conditions": "If-None-Match on complete has no effect",
    "complete-is-repeatable": "a second complete of the same upload is 200, not NoSuchUpload",
    "customer-keys-over-http": "SSE-C is done over plain http too",
    "decodes-copy-source-twice": "a percent sign in the key of a copy source is read wrongly",
    "decodes-metadata": "an encoded word in metadata is decoded on its way in, and trimmed",
    "empty-complete-etag": "the ETag in the answer to complete is empty",
    "if-match-without-quotes": "If-Match is compared with the ETag as it is inside the quotes",
    "ignores-body-hash": "a body that does not match its signed hash is taken",
    "ignores-checksums": "a wrong x-amz-checksum-* is taken",
    "ignores-content-md5": "a wrong Content-MD5 is taken",
    "loops-on-one-upload-page": "list multipart uploads with max-uploads=1 never ends",
    "no-conditional-writes": "If-Match is 501",
    "no-min-part-size": "any part may be smaller than 5 MiB",
    "no-signatures": "any key and any signature will do",
    "no-trailing-checksums": "STREAMING-*-TRAILER bodies are refused",
    "part-copy-etag-unquoted": "the ETag in the answer to upload part copy has no quotes",
    "unknown-upload-is-500": "complete of an unknown upload is 500, not NoSuchUpload",
    "unknown-upload-is-no-such-key": "list parts of an unknown upload is NoSuchKey",
    "upload-outlives-complete": "list parts and upload part still answer 200 after complete",
    "wants-s3-in-host-names": "a bucket in the host name is seen in front of .s3. only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that answers: where, with which keys, and what to expect of it (see QUIRKS).

    :param other_keys: a second pair that is as good, where the server has one.
    """

    name: str
    version: str
    host: str
    port: int
    secure: bool = False
    access_key: str
    secret_key: str = field(repr=False)
    other_keys: tuple[str, str] | None = field(default=None, repr=False)
    region: str = REGION
    quirks: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if unknown := self.quirks - QUIRKS.keys():
            raise ValueError(f"quirks without a line in QUIRKS: {', '.join(sorted(unknown))}")

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"


class ServerError(RuntimeError):
    """A server that should run here did not start; the text ends with the tail of its log."""


class Server(abc.ABC):
    """One server; a context manager that gives the endpoint."""

    name: str

    @abc.abstractmethod
    def available(self) -> str | None:
        """Say why it cannot run here, or None when it can; takes no time and no network."""

    @abc.abstractmethod
    def start(self) -> Endpoint:
        """Start afresh and return when it answers.

        :raises ServerError: It did not; nothing of it is left running.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """End all of it and remove its files; harmless when it does not run."""

    def __enter__(self) -> Endpoint:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


# Where packages are --------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where the servers from PyPI are installed, shared by all runs and safe to delete."""
    if chosen := os.environ.get("S3MPU_SERVER_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "libcloud-s3mpu-servers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Venv:
    """A virtual environment in the cache: one for each server, Python version and requirements."""

    name: str
    requirements: tuple[str, ...]
    #: The interpreter of another version ("3.13"), where the tests' own will not do.
    version: str = f"{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def folder(self) -> Path:
        return cache_folder() / f"{self.name}-py{self.version}"

    @property
    def interpreter(self) -> str:
        is_own = self.version == f"{sys.version_info.major}.{sys.version_info.minor}"
        return sys.executable if is_own else f"python{self.version}"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.python.exists() and self._mark.read_text() == self._wanted
        return False

    def install(self, *, timeout_seconds: float) -> None:
        """Make it, from the package index that pip is set up for; nothing to do when it is ready.

        :raises ServerError: pip or venv failed, or took too long.
        """
        if self.is_ready():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        pip = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        for argv in (
            [self.interpreter, "-m", "venv", "--clear", str(self.folder)],
            [*pip, "--retries", "1", *self.requirements],
        ):
            run(argv, timeout_seconds=timeout_seconds)
        self._mark.write_text(self._wanted)

    @property
    def _mark(self) -> Path:
        return self.folder / "installed-requirements"

    @property
    def _wanted(self) -> str:
        return "\n".join(self.requirements)


def run(argv: Sequence[str], *, timeout_seconds: float = 60.0) -> str:
    """Run a command to its end and give what it printed.

    :raises ServerError: It failed or took too long; the text has the end of what it said.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"{argv[0]} could not run: {error}") from error
    if done.returncode:
        said = _tail(done.stderr or done.stdout)
        raise ServerError(f"{' '.join(argv)} ended with {done.returncode}:\n{said}")
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]


# Processes -----------------------------------------------------------------------------------


class Daemons:
    """The processes of one instance and the folder that holds all they write.

    To be used from one thread, the main one: on Linux the kernel ends a daemon when the *thread*
    that started it ends, which is how a killed test run leaves none behind.
    """

    def __init__(self, name: str, *, needs_xattr: bool = False) -> None:
        _sweep(name)
        # Short on purpose: Unix sockets are made in it, and their paths end at 107 bytes.
        prefix = f"s3mpu-{name}-{os.getpid()}-"
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        if needs_xattr and not _has_xattr(self.folder):
            self.folder.rmdir()
            cache_folder().mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=cache_folder()))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a daemon, whose program is given by its full path; env is added to ours."""
        with open(self._log(name), "ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, *argv],
                env=None if env is None else {**os.environ, **env},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the tests only
            )

    def is_alive(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the daemon's process group and wait until it is gone."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        process.wait(30)

    def stop(self) -> None:
        """End them all, newest first, and remove the folder. Nothing is to be kept: no mercy."""
        for name in reversed(list(self._running)):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_until(
        self, name: str, is_ready: Callable[[], bool], *, timeout_seconds: float = 60.0
    ) -> None:
        """Poll until ready; fail early when the daemon has ended.

        :raises ServerError: It ended, or the time is over; the text has the tail of its log.
        """
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            if not self.is_alive(name):
                raise self._failed(name, "ended while starting")
            if time.monotonic() > deadline:
                raise self._failed(name, f"was not ready after {timeout_seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def wait_http(self, name: str, port: int, path: str = "/") -> None:
        """Wait until the daemon gives an HTTP answer that is no server error."""
        self.wait_until(name, lambda: 0 < http_status(port, path) < 500)

    def _failed(self, name: str, what: str) -> ServerError:
        tail = _tail(self._log(name).read_text(errors="replace"))
        return ServerError(f"{name} {what}; the end of its log:\n{tail}")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def http_status(port: int, path: str) -> int:
    """Give the status of a plain GET, 0 when there is no answer."""
    try:
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0


def _has_xattr(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.s3mpu.probe", b"1")
    except (AttributeError, OSError):
        return False
    return True


def _sweep(name: str) -> None:
    """Remove the folders of runs that were killed; the number in a folder's name is their pid."""
    for root in (Path(tempfile.gettempdir()), cache_folder()):
        for folder in root.glob(f"s3mpu-{name}-*-*"):
            pid = folder.name.split("-")[-2]
            if pid.isdigit() and not _is_running(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:]) or "(nothing)"
