# SPDX-License-Identifier: Apache-2.0
"""s3rver, a small S3 server for Node.js from npm: a second opinion, written by other people.

It checks signatures and keeps objects as files. It has no 5 MiB minimum, checks no checksum and
knows none of the listings of uploads or parts: what a client must do without.
"""

from __future__ import annotations

import shutil
import contextlib
from pathlib import Path
from dataclasses import dataclass

from tests.servers.base import (
    HOST,
    INSTALL,
    Server,
    Daemons,
    Endpoint,
    run,
    free_ports,
    cache_folder,
)

VERSION = "3.7.1"
#: Fixed in its source.
ACCESS_KEY = SECRET_KEY = "S3RVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePackage:
    """A package from the npm registry in the cache, of exactly one version."""

    name: str
    version: str

    @property
    def folder(self) -> Path:
        return cache_folder() / f"{self.name}-{self.version}"

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self._mark.read_text() == self.version
        return False

    def install(self, *, timeout_seconds: float) -> None:
        """Bring it by npm; nothing to do when it is ready.

        :raises ServerError: npm failed, is not there, or took too long.
        """
        if self.is_ready():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm") or "npm"
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        wanted = f"{self.name}@{self.version}"
        argv = [npm, "install", *quiet, "--prefix", str(self.folder), wanted]
        run(argv, timeout_seconds=timeout_seconds)
        self._mark.write_text(self.version)

    @property
    def _mark(self) -> Path:
        return self.folder / "installed-version"


PACKAGE = NodePackage(name="s3rver", version=VERSION)


class S3rver(Server):
    """One instance on an empty folder."""

    name = "s3rver"

    def __init__(self) -> None:
        self._daemons: Daemons | None = None

    def available(self) -> str | None:
        if shutil.which("node") is None:
            return "s3rver needs Node.js (node)"
        return None if PACKAGE.is_ready() else f"s3rver is not in {PACKAGE.folder}: {INSTALL}"

    def start(self) -> Endpoint:
        self.stop()
        daemons = self._daemons = Daemons(self.name)
        (port,) = free_ports(1)
        script = PACKAGE.folder / "node_modules" / "s3rver" / "bin" / "s3rver.js"
        node = shutil.which("node") or "node"
        data = str(daemons.folder / "data")
        where = ["-d", data, "-a", HOST, "-p", str(port), "--silent", "--no-vhost-buckets"]
        try:
            daemons.spawn("s3rver", [node, "--no-deprecation", str(script), *where])
            daemons.wait_http("s3rver", port)
        except BaseException:
            self.stop()
            raise
        return Endpoint(
            name=self.name,
            version=VERSION,
            host=HOST,
            port=port,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            quirks=QUIRKS,
        )

    def stop(self) -> None:
        if self._daemons:
            self._daemons.stop()
            self._daemons = None


QUIRKS = frozenset({"no-min-part-size"})
