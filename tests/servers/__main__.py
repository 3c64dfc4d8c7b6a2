# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.servers [install [NAME...] | run NAME]``; alone it lists what can run here."""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.apps.venv import VENV as APPS_VENV
from tests.servers.base import Server, ServerError
from tests.servers.ceph import Ceph
from tests.servers.moto import Moto
from tests.servers.swift import VENV as SWIFT_VENV
from tests.servers.swift import Swift
from tests.servers.s3rver import PACKAGE as S3RVER_PACKAGE
from tests.servers.s3rver import S3rver
from tests.browser.packages import PACKAGES as BROWSER_PACKAGES
from tests.servers.ministack import MiniStack
from tests.servers.localstack import LocalStack

SERVERS: dict[str, type[Server]] = {
    each.name: each for each in (MiniStack, Swift, Ceph, S3rver, Moto, LocalStack)
}
VENVS: dict[str, Any] = {
    "swift": SWIFT_VENV,
    "ministack": MiniStack.venv,
    "s3rver": S3RVER_PACKAGE,
    "moto": Moto.venv,
    "localstack": LocalStack.venv,
    "apps": APPS_VENV,
    "browser": BROWSER_PACKAGES,
}
INSTALL_TIMEOUT_SECONDS = 180.0


def main(args: list[str]) -> int:
    if not args:
        for name, kind in SERVERS.items():
            print(f"{name}: {kind().available() or 'can run here'}")
        return 0
    verb, *names = args
    if verb == "install" and VENVS.keys() >= set(names):
        return max(_install(name) for name in names or ("swift", "ministack"))
    if verb == "run" and len(names) == 1 and names[0] in SERVERS:
        return _run(SERVERS[names[0]]())
    print(__doc__, file=sys.stderr)
    return 2


def _install(name: str) -> int:
    try:
        VENVS[name].install(timeout_seconds=INSTALL_TIMEOUT_SECONDS)
    except ServerError as error:
        print(f"{name}: not installed: {error}", file=sys.stderr)
        return 1
    return 0


def _run(server: Server) -> int:
    if missing := server.available():
        print(missing, file=sys.stderr)
        return 1
    began = time.monotonic()
    with server as endpoint:
        print(f"{endpoint} {endpoint.url} {endpoint.access_key} {endpoint.secret_key}")
        print(f"ready in {time.monotonic() - began:.1f} s; Ctrl-C ends it", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
