# SPDX-License-Identifier: Apache-2.0
"""A certificate for loopback, made at run time, so that no key lies in the repository.

The ``openssl`` command is asked first, then trustme; where neither is, tests are skipped. The
reader goes next to ``server.py``.
"""

from __future__ import annotations

import shutil
import importlib
import subprocess
from typing import Any
from pathlib import Path
from unittest import SkipTest
from dataclasses import dataclass

NAMES = ("localhost", "*.localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """``cert_file`` is what a client must trust: the certificate is its own issuer, or has one."""

    cert_file: Path
    key_file: Path
    ca_file: Path


def make_certificate(directory: Path, names: tuple[str, ...] = NAMES) -> Certificate:
    """
    Write a certificate for those host names and addresses.

    :raises unittest.SkipTest: where nothing here can make one; pytest takes it as a skip.
    """
    found = Certificate(
        cert_file=directory / "cert.pem",
        key_file=directory / "key.pem",
        ca_file=directory / "ca.pem",
    )
    if shutil.which("openssl") is not None and _by_openssl(found, names):
        return found
    try:
        trustme: Any = importlib.import_module("trustme")
    except ImportError:
        raise SkipTest("TLS tests need the openssl command (1.1.1+) or trustme") from None
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    authority.cert_pem.write_to_path(str(found.ca_file))
    issued.private_key_pem.write_to_path(str(found.key_file))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(found.cert_file), append=True)
    return found


def _by_openssl(wanted: Certificate, names: tuple[str, ...]) -> bool:
    alternatives = ",".join(
        f"IP:{name}" if name.replace(".", "").isdigit() else f"DNS:{name}" for name in names
    )
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-sha256", "-days", "2"]
    command += ["-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={alternatives}"]
    command += ["-keyout", str(wanted.key_file), "-out", str(wanted.cert_file)]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        return False
    shutil.copyfile(wanted.cert_file, wanted.ca_file)
    return True
