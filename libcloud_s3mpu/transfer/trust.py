# SPDX-License-Identifier: Apache-2.0
"""One TLS context for all connections that trust the same certificates.

urllib3 makes a context for every connection and reads the file of trusted certificates each time:
13 ms of CPU with the usual 140 of them, where the handshake itself takes one (measured 2026-11,
urllib3 2.8, OpenSSL 3.0). What is made here is urllib3's own context, made once. Where a connection
asks for more than that (a client's certificate, no verification, a context of the caller's),
nothing is changed.
"""

from __future__ import annotations

import os
import ssl
from typing import Any

from urllib3.util.ssl_ import resolve_cert_reqs, create_urllib3_context

#: What a connection may have been told besides; each makes it a case for urllib3.
_MORE = (
    "ssl_context",
    "cert_file",
    "key_file",
    "ca_cert_data",
    "assert_hostname",
    "assert_fingerprint",
    "ssl_version",
    "ssl_minimum_version",
    "ssl_maximum_version",
)


class Trust:
    """The context that was made last; any thread may ask for it."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: tuple[Any, ssl.SSLContext] | None = None

    def lend(self, connection: Any) -> None:
        """Give a connection of urllib3, not yet open, the context that others like it have used.

        The certificates are read again when the file has changed. If they cannot be read, urllib3
        is left to say so.
        """
        files = getattr(connection, "ca_certs", None), getattr(connection, "ca_cert_dir", None)
        told_more = any(getattr(connection, name, None) is not None for name in _MORE)
        if told_more or not any(files):
            return
        if resolve_cert_reqs(connection.cert_reqs) != ssl.CERT_REQUIRED:
            return
        try:
            context = self._context(files)
        except OSError:
            return
        connection.ssl_context = context
        # Else urllib3 reads them into it once more.
        connection.ca_certs = connection.ca_cert_dir = None

    def _context(self, files: tuple[str | None, str | None]) -> ssl.SSLContext:
        stamps = [os.stat(file) for file in files if file]
        key = (files, [(stamp.st_ino, stamp.st_size, stamp.st_mtime_ns) for stamp in stamps])
        made = self._made
        if made is not None and made[0] == key:
            return made[1]
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        context.load_verify_locations(*files)
        context.set_alpn_protocols(["http/1.1"])
        # urllib3 says it again for each connection. OpenSSL frees what was said before, while
        # another thread may be copying it: Python has let go of its lock there.
        vars(context)["set_alpn_protocols"] = lambda protocols: None
        self._made = key, context
        return context
