# SPDX-License-Identifier: Apache-2.0
"""Start, ask and stop a sink; build the C one when first needed.

Must not live here: what a sink does with a request (`sink/`, `pysink.py`). A sink is a process
that obeys lines on its standard input and ends with it.
"""

from __future__ import annotations

import os
import sys
import json
import shutil
import hashlib
import subprocess
from pathlib import Path

from benchmarks.venvs import ROOT, UnavailableError, cache_folder
from benchmarks.report import SinkReport, parse_report

SOURCES = Path(__file__).resolve().parent / "sink"
# A second loopback address, for contenders that only know ports 80 and 443.
STANDARD_ADDRESS = "127.0.0.5"
STANDARD_PORTS = {"http": 80, "https": 443}
# The service imitated by --emulate; see docs/benchmarks.md.
EMULATION = ["--latency-ms", "30", "--connection-mbps", "90", "--connect-ms", "1"]
FLAVOURS = {
    "https": ["-DSINK_TLS", "-lssl", "-lcrypto"],
    "http": [],
}


def find_compiler() -> str | None:
    named = os.environ.get("CC", "cc")
    return shutil.which(named) or shutil.which("gcc") or shutil.which("clang")


def build(scheme: str) -> Path | None:
    """Give the C sink that speaks `scheme`, or None where it cannot be built.

    Without the headers of OpenSSL the plain sink still builds; TLS is then the Python sink's.
    """
    if not sys.platform.startswith("linux"):
        return None  # dropping bodies inside the kernel is Linux's (tcp(7), MSG_TRUNC)
    files = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    binary = cache_folder() / f"sink-{scheme}-{digest.hexdigest()[:16]}"
    if binary.exists():
        return binary
    compiler = find_compiler()
    if compiler is None:
        return None
    binary.parent.mkdir(parents=True, exist_ok=True)
    fresh = binary.with_suffix(f".{os.getpid()}")
    sources = [str(file) for file in files if file.suffix == ".c"]
    define = [flag for flag in FLAVOURS[scheme] if flag.startswith("-D")]
    link = [flag for flag in FLAVOURS[scheme] if flag.startswith("-l")]
    command = [compiler, "-O3", "-pthread", *define, "-o", str(fresh), *sources, *link, "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError):
        fresh.unlink(missing_ok=True)
        return None
    fresh.replace(binary)
    return binary


def why_not_c(scheme: str, *, use_c: bool) -> str:
    """Say in a word or two why the sink is the Python one."""
    if not use_c:
        return "asked for"
    if not sys.platform.startswith("linux"):
        return "not Linux"
    if find_compiler() is None:
        return "no C compiler"
    return "no OpenSSL headers" if scheme == "https" else "the C sink does not build"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for loopback, its own authority, good for as long as a run may take.

    :raises UnavailableError: without the openssl command.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{STANDARD_ADDRESS}"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=localhost", "-addext", names]
    command += ["-addext", "basicConstraints=critical,CA:TRUE"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        text = f"https needs the openssl command for a certificate: {error}"
        raise UnavailableError(text) from error
    return certificate, key


class Sink:
    """One running sink. `engine` says which it is, for the table."""

    def __init__(
        self,
        scheme: str,
        *,
        certificate: tuple[Path, Path] | None = None,
        emulate: bool = False,
        verify: bool = False,
        standard_port: bool = False,
        use_c: bool = True,
        content: Path | None = None,
        keys: int = 0,
    ) -> None:
        binary = build(scheme) if use_c else None
        self.engine = "C" if binary else f"Python ({why_not_c(scheme, use_c=use_c)})"
        self.host = "localhost" if scheme == "https" else "127.0.0.1"
        command = [str(binary)] if binary else [sys.executable, "-m", "benchmarks.pysink"]
        if certificate:
            command += ["--certificate", str(certificate[0]), "--key", str(certificate[1])]
        if emulate:
            command += EMULATION
        if verify:
            command.append("--verify")
        if content:
            command += ["--content", str(content)]
        command += ["--keys", str(keys)]
        if standard_port:
            self.host = STANDARD_ADDRESS
            command += ["--address", self.host, "--port", str(STANDARD_PORTS[scheme])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if standard_port else None,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        hello = self._process.stdout.readline()
        if not hello:
            self.stop()
            where = "80 or 443 of another loopback address" if standard_port else "loopback"
            raise UnavailableError(f"the sink cannot listen on {where}")
        self.port: int = json.loads(hello)["port"]

    def _ask(self, word: str) -> SinkReport:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return parse_report(self._process.stdout.readline())

    def report(self) -> SinkReport:
        return self._ask("report")

    def reset(self) -> SinkReport:
        """Forget what was seen; only between runs."""
        return self._ask("reset")

    def stop(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
