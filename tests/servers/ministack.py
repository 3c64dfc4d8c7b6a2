# SPDX-License-Identifier: Apache-2.0
"""MiniStack, started by the package's own ``libcloud_s3mpu.testing``.

It is looked for in this interpreter's environment first, then in the cache. Nothing of how it
is started lives here. Read ``moto.py`` next.
"""

from __future__ import annotations

import contextlib
import importlib.metadata

from tests.servers.base import INSTALL, Venv, Server, Endpoint, ServerError


def is_installed(kind: str) -> bool:
    """Say whether this interpreter has all that ``libcloud_s3mpu.testing`` wants of this kind."""
    from libcloud_s3mpu.testing import _KINDS

    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return all(importlib.metadata.version(package) for package in _KINDS[kind])
    return False


class Embedded(Server):
    """A server that ``embedded_server(kind=name)`` starts."""

    venv: Venv
    quirks: frozenset[str]

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()

    def available(self) -> str | None:
        if self._is_here() or self.venv.is_ready():
            return None
        return f"{self.name} is neither in this environment nor in {self.venv.folder}: {INSTALL}"

    def start(self) -> Endpoint:
        from libcloud_s3mpu.testing import EmbeddedServerError, embedded_server

        self.stop()
        python = None if self._is_here() else self.venv.python
        try:
            server = self._held.enter_context(embedded_server(python=python, kind=self.name))
        except EmbeddedServerError as error:
            raise ServerError(str(error)) from error
        return Endpoint(
            name=self.name,
            version=server.version,
            host=server.host,
            port=server.port,
            access_key=server.access_key,
            secret_key=server.secret_key,
            region=server.region,
            quirks=self.quirks,
        )

    def stop(self) -> None:
        self._held.close()

    def _is_here(self) -> bool:
        return is_installed(self.name)


class MiniStack(Embedded):
    """The embedded default: signatures, Content-MD5 and part checksums are checked."""

    name = "ministack"
    venv = Venv(name="ministack-1.5.33", requirements=("ministack==1.5.33",))
    quirks = frozenset(
        {
            "accepts-any-part-order",
            "complete-is-repeatable",
            "ignores-body-hash",
            "no-min-part-size",
        }
    )
