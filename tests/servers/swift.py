# SPDX-License-Identifier: Apache-2.0
"""OpenStack Swift with its s3api middleware: proxy, account, container and object server.

The strictest server that pip alone can bring: it holds to the 5 MiB minimum, the order of parts,
10,000 parts and the hash of the body. Uploaded objects become static large objects whose parts lie
in a container ``BUCKET+segments`` that the S3 side never shows. Read ``ceph.py`` next.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from configparser import RawConfigParser
from collections.abc import Mapping

from tests.servers.base import (
    HOST,
    REGION,
    INSTALL,
    MIN_PART_SIZE_BYTES,
    Venv,
    Server,
    Daemons,
    Endpoint,
    run,
    free_ports,
)

VERSION = "2.38.3"
VENV = Venv(name=f"swift-{VERSION}", requirements=(f"swift=={VERSION}", "setuptools"))
ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
QUIRKS = frozenset(
    {
        "clamps-copy-range",
        "complete-is-repeatable",
        "loops-on-one-upload-page",
        "no-conditional-writes",
        "upload-outlives-complete",
    }
)

_STORES = ("account", "container", "object")
_PIPELINE = "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo"
# Runs in Swift's own environment: folder, host, then the port of each store.
_MAKE_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, host, *stores = sys.argv[1:]
for store in stores:
    name, port = store.split("=")
    ring = RingBuilder(2, 1, 0)
    ring.add_dev({"id": 0, "region": 0, "zone": 0, "weight": 1.0, "device": "disk",
                  "ip": host, "port": int(port), "replication_ip": host,
                  "replication_port": int(port)})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{name}.ring.gz")
"""


class Swift(Server):
    """One instance with one replica on one folder, started from nothing each time."""

    name = "swift"

    def __init__(self, *, min_part_size_bytes: int = MIN_PART_SIZE_BYTES) -> None:
        self._min_part_size_bytes = min_part_size_bytes
        self._daemons: Daemons | None = None

    def available(self) -> str | None:
        if sys.platform != "linux":
            return "Swift runs on Linux only"
        return None if VENV.is_ready() else f"Swift is not in {VENV.folder}: {INSTALL}"

    def start(self) -> Endpoint:
        self.stop()
        self._daemons = Daemons(self.name, needs_xattr=True)
        try:
            return self._start(self._daemons)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._daemons:
            self._daemons.stop()
            self._daemons = None

    def _start(self, daemons: Daemons) -> Endpoint:
        folder = daemons.folder
        port, *store_ports = free_ports(1 + len(_STORES))
        ports = dict(zip(_STORES, store_ports, strict=True))
        (folder / "disks" / "disk").mkdir(parents=True)
        self._configure(folder, port, ports)
        stores = [f"{name}={number}" for name, number in ports.items()]
        run([str(VENV.python), "-W", "ignore", "-c", _MAKE_RINGS, str(folder), HOST, *stores])
        for name in (*_STORES, "proxy"):
            program = VENV.python.with_name(f"swift-{name}-server")
            argv = [str(VENV.python), str(program), str(folder / f"{name}.conf"), "--verbose"]
            daemons.spawn(name, argv, env={"PYTHONWARNINGS": "ignore"})
        for name, number in ports.items():
            daemons.wait_http(name, number, "/healthcheck")
        daemons.wait_http("proxy", port, "/healthcheck")
        return Endpoint(
            name=self.name,
            version=VERSION,
            host=HOST,
            port=port,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            quirks=QUIRKS,
        )

    def _configure(self, folder: Path, port: int, ports: Mapping[str, int]) -> None:
        _write(folder / "swift.conf", {"swift-hash": {"swift_hash_path_suffix": "contract"}})
        for name, number in ports.items():
            _write(
                folder / f"{name}.conf",
                {
                    "DEFAULT": _common(folder, number),
                    "pipeline:main": {"pipeline": f"healthcheck {name}-server"},
                    "filter:healthcheck": {"use": "egg:swift#healthcheck"},
                    f"app:{name}-server": {"use": f"egg:swift#{name}"},
                },
            )
        filters = {f"filter:{name}": {"use": f"egg:swift#{name}"} for name in _PIPELINE.split()}
        filters["filter:cache"] = {"use": "egg:swift#memcache", "memcache_servers": f"{HOST}:1"}
        filters["filter:tempauth"] |= {"user_test_tester": f"{SECRET_KEY} .admin"}
        filters["filter:s3api"] |= {
            "location": REGION,
            "storage_domain": "localhost",
            "max_upload_part_num": "10000",
            "min_segment_size": str(self._min_part_size_bytes),
        }
        filters["filter:slo"] |= {
            "max_manifest_segments": "10000",
            "max_manifest_size": str(32 << 20),
            "rate_limit_under_size": "0",  # or small parts are read back at one a second
        }
        _write(
            folder / "proxy.conf",
            {
                "DEFAULT": _common(folder, port),
                "pipeline:main": {"pipeline": f"{_PIPELINE} proxy-server"},
                "app:proxy-server": {
                    "use": "egg:swift#proxy",
                    "account_autocreate": "true",
                    "recheck_account_existence": "0",
                },
                **filters,
            },
        )


def _common(folder: Path, port: int) -> dict[str, str]:
    return {
        "bind_ip": HOST,
        "bind_port": str(port),
        "swift_dir": str(folder),
        "devices": str(folder / "disks"),
        "recon_cache_path": str(folder),
        "mount_check": "false",
        "disable_fallocate": "true",
        "workers": "0",  # all in the one process that we started
        "log_level": "WARNING",
        "user": _user(),  # Swift's default is a user "swift", whom it would become as root
    }


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def _write(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    config = RawConfigParser()
    config.read_dict(sections)
    with open(path, "w") as file:
        config.write(file)
