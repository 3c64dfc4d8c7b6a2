# SPDX-License-Identifier: Apache-2.0
"""LocalStack's S3 in host mode: no container, its packages from the index, Python 3.13.

It checks no signature (its own default) and no body hash, but verifies checksums, and holds to the
sizes and the order of parts. 4.14 starts without an account. What its packages do not bound
themselves is bound here to what it ran with (2026-11).
"""

from __future__ import annotations

from tests.servers.base import (
    HOST,
    INSTALL,
    Venv,
    Server,
    Daemons,
    Endpoint,
    free_ports,
    http_status,
)

VERSION = "4.14.0"


class LocalStack(Server):
    """One instance that forgets all when it stops."""

    name = "localstack"
    venv = Venv(
        name=f"localstack-{VERSION}",
        version="3.13",
        requirements=(
            f"localstack-core[base-runtime]=={VERSION}",
            "moto-ext[s3]",
            "service-identity",
            "cryptography<46",
            "pyopenssl<25.2",
            "cbor2<5.8",
            "boto3",
        ),
    )

    def __init__(self) -> None:
        self._daemons: Daemons | None = None

    def available(self) -> str | None:
        ready = self.venv.is_ready()
        return None if ready else f"localstack is not in {self.venv.folder}: {INSTALL} localstack"

    def start(self) -> Endpoint:
        self.stop()
        daemons = self._daemons = Daemons(self.name)
        (port,) = free_ports(1)
        environ = {
            "HOME": str(daemons.folder),
            "FILESYSTEM_ROOT": str(daemons.folder),
            "SERVICES": "s3",
            "EAGER_SERVICE_LOADING": "1",
            "GATEWAY_LISTEN": f"{HOST}:{port}",
            "LOCALSTACK_HOST": f"{HOST}:{port}",
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
        }
        try:
            argv = [str(self.venv.python), "-m", "localstack.runtime.main"]
            daemons.spawn(self.name, argv, environ)
            daemons.wait_until(
                self.name, lambda: http_status(port, "/_localstack/init/ready") == 200
            )
            daemons.wait_http(self.name, port, "/nobody")
        except BaseException:
            self.stop()
            raise
        return Endpoint(
            name=self.name,
            version=VERSION,
            host=HOST,
            port=port,
            access_key="test",
            secret_key="test",
            quirks=QUIRKS,
        )

    def stop(self) -> None:
        if self._daemons:
            self._daemons.stop()
            self._daemons = None


QUIRKS = frozenset(
    {"decodes-metadata", "ignores-body-hash", "no-signatures", "wants-s3-in-host-names"}
)
