# SPDX-License-Identifier: Apache-2.0
"""A one-node Ceph with a RADOS Gateway, from Debian's packages: monitor, one OSD and radosgw.

The only real distributed store among the servers, and the one whose answers differ most from
AWS's. The cluster is made by hand, daemon by daemon, without the manager, which RGW does not need.
"""

from __future__ import annotations

import os
import re
import sys
import time
import uuid
import base64
import shutil
import struct
import secrets
from typing import Literal
from pathlib import Path
from configparser import RawConfigParser

from tests.servers.base import (
    HOST,
    INSTALL,
    MIN_PART_SIZE_BYTES,
    Server,
    Daemons,
    Endpoint,
    ServerError,
    run,
    free_ports,
)

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd", "ceph-common", "ceph-base")
# A slash and a plus: what a client gets wrong when it encodes a secret.
ACCESS_KEY, SECRET_KEY = "ceph0access0key0", "ceph/secret+key/of+the+contract/tests"
OTHER_KEYS = "ceph1access1key1", "another+secret/key/of+the+same/user"
QUIRKS = frozenset(
    {
        "accepts-any-part-number",
        "accepts-any-part-order",
        "complete-ignores-conditions",
        "complete-is-repeatable",
        "customer-keys-over-http",
        "decodes-copy-source-twice",
        "empty-complete-etag",
        "if-match-without-quotes",
        "ignores-checksums",
        "no-trailing-checksums",
        "part-copy-etag-unquoted",
        "unknown-upload-is-500",
        "unknown-upload-is-no-such-key",
    }
)

_PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")
_STORE_BYTES = 16 << 30  # bluestore: of a sparse file; memstore: of memory, as it is used
_ALL = {"mon": "allow *", "osd": "allow *"}
_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": _ALL,
    "client.rgw": _ALL,
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}


class Ceph(Server):
    """A new cluster for each start; ``kill`` and ``restart`` keep the data between them.

    :param store: ``"memstore"`` starts fastest; ``"bluestore"`` writes to a file, so that the OSD
        too may be killed.
    """

    name = "ceph"

    def __init__(
        self,
        *,
        store: Literal["memstore", "bluestore"] = "memstore",
        min_part_size_bytes: int = MIN_PART_SIZE_BYTES,
    ) -> None:
        self._store = store
        self._min_part_size_bytes = min_part_size_bytes
        self._daemons: Daemons | None = None
        self._port = 0

    def available(self) -> str | None:
        if sys.platform != "linux":
            return "Ceph runs on Linux only"
        missing = [name for name in _PROGRAMS if not _which(name)]
        return f"Ceph's {', '.join(missing)} not found: {INSTALL} as root" if missing else None

    def start(self) -> Endpoint:
        self.stop()
        self._daemons = Daemons(self.name)
        try:
            self._make_cluster(self._daemons)
        except BaseException:
            self.stop()
            raise
        return Endpoint(
            name=self.name,
            version=_version(),
            host=HOST,
            port=self._port,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            other_keys=OTHER_KEYS,
            quirks=QUIRKS,
        )

    def stop(self) -> None:
        if self._daemons:
            self._daemons.stop()
            self._daemons = None

    def kill(self, daemon: Literal["rgw", "osd", "mon"] = "rgw") -> None:
        """End a daemon as a power cut does; the port stays with this cluster.

        :raises ValueError: The daemon holds the data in its memory.
        """
        if daemon == "osd" and self._store == "memstore":
            raise ValueError("a memstore OSD forgets all when it ends; ask for bluestore")
        self._up().kill(daemon)

    def restart(self) -> None:
        """Start again what was killed, on the same port and data; return when radosgw answers.

        After an OSD or the monitor was killed, the first request for data still waits for them:
        5 s for an OSD (Ceph 16.2.15, seen 2026-11).
        """
        daemons = self._up()
        for name in ("mon", "osd", "rgw"):
            if not daemons.is_alive(name):
                self._spawn(name)
        daemons.wait_http("rgw", self._port)

    def _up(self) -> Daemons:
        if self._daemons is None:
            raise RuntimeError("the cluster was not started")
        return self._daemons

    def _make_cluster(self, daemons: Daemons) -> None:
        folder = daemons.folder
        fsid, osd_uuid = str(uuid.uuid4()), str(uuid.uuid4())
        self._port, mon_port = free_ports(2)
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        _write_keyring(folder / "keyring")
        self._configure(folder, fsid, mon_port)
        address = f"[v2:{HOST}:{mon_port}]"
        release = ["--set-min-mon-release", _release()]
        monmap = str(folder / "monmap")
        run(
            [
                _which("monmaptool"),
                "--create",
                "--fsid",
                fsid,
                *release,
                "--addv",
                "a",
                address,
                monmap,
            ]
        )
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._spawn("mon")
        self._run("ceph", "--connect-timeout", "30", "osd", "new", osd_uuid)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_uuid)
        self._spawn("osd")
        daemons.wait_until("osd", lambda: " 1 up" in self._run("ceph", "osd", "stat"))
        keys = ("--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
        user = ("--uid", "contract", "--display-name", "contract", *keys)
        self._run("radosgw-admin", "-n", "client.rgw", "user", "create", *user)
        other = ("--access-key", OTHER_KEYS[0], "--secret-key", OTHER_KEYS[1])
        key = ("key", "create", "--uid", "contract", "--key-type", "s3", *other)
        self._run("radosgw-admin", "-n", "client.rgw", *key)
        self._spawn("rgw")
        daemons.wait_http("rgw", self._port)

    def _run(self, program: str, *args: str) -> str:
        conf = str(self._up().folder / "ceph.conf")
        return run([_which(program), "--conf", conf, *args])

    def _spawn(self, name: str) -> None:
        """Start a daemon in the foreground, as whoever we are: Ceph drops no rights unasked."""
        program, who = {
            "mon": ("ceph-mon", ["-i", "a"]),
            "osd": ("ceph-osd", ["-i", "0"]),
            "rgw": ("radosgw", ["-n", "client.rgw"]),
        }[name]
        daemons = self._up()
        conf = str(daemons.folder / "ceph.conf")
        daemons.spawn(name, [_which(program), "--conf", conf, "-f", *who])

    def _configure(self, folder: Path, fsid: str, mon_port: int) -> None:
        everything = {
            "fsid": fsid,
            "mon_initial_members": "a",
            "mon_host": f"v2:{HOST}:{mon_port}",
            "public_addr": HOST,
            "cluster_addr": HOST,
            "ms_bind_ipv6": "false",
            "keyring": folder / "keyring",
            # nothing in /var or /etc: see the folder's own files
            "run_dir": folder,
            "admin_socket": folder / "$name.asok",
            "log_file": folder / "$name.out",
            "crash_dir": folder,
            "log_to_stderr": "false",
            "err_to_stderr": "true",
            # one copy of everything on one OSD, and no warning about it
            "osd_pool_default_size": 1,
            "osd_pool_default_min_size": 1,
            "osd_crush_chooseleaf_type": 0,
            "mon_allow_pool_size_one": "true",
            "osd_pool_default_pg_num": 2,
            "osd_pool_default_pg_autoscale_mode": "off",
            "mon_max_pg_per_osd": 1000,
        }
        monitor = {
            "mon_data": folder / "mon",
            # a second for each change of a map otherwise; making the pools is a dozen of them
            "paxos_propose_interval": 0.05,
            "paxos_min_wait": 0.01,
            # the disk below may be nearly full: that is not ours to judge
            "mon_data_avail_warn": 1,
            "mon_data_avail_crit": 0,
        }
        osd = {
            "osd_data": folder / "osd",
            "osd_objectstore": self._store,
            "osd_class_update_on_start": "false",
            "memstore_device_bytes": _STORE_BYTES,
            "bluestore_block_create": "true",
            "bluestore_block_size": _STORE_BYTES,
        }
        gateway = {
            "rgw_data": folder / "rgw",
            "rgw_frontends": f"beast endpoint={HOST}:{self._port}",
            "rgw_dns_name": "localhost",
            "rgw_thread_pool_size": 64,
            "rgw_multipart_min_part_size": self._min_part_size_bytes,
            "rgw_crypt_require_ssl": "false",  # so that SSE-C can be tried without https
        }
        config = RawConfigParser()
        config.read_dict({"global": everything, "mon": monitor, "osd": osd, "client.rgw": gateway})
        with open(folder / "ceph.conf", "w") as file:
            config.write(file)


def _write_keyring(path: Path) -> None:
    """Make a key for each name, as ceph-authtool does: type 1 (AES), the time, 16 bytes."""
    lines = []
    for name, caps in _CAPS.items():
        key = struct.pack("<HIIH", 1, int(time.time()), 0, 16) + secrets.token_bytes(16)
        lines += [f"[{name}]", f"key = {base64.b64encode(key).decode()}"]
        lines += [f'caps {daemon} = "{cap}"' for daemon, cap in caps.items()]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)


def _which(program: str) -> str:
    """Give the program's path, or "": a user's PATH often lacks the sbin folders."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return shutil.which(program, path=path) or ""


def _version() -> str:
    return _match(r"ceph version (\S+)")


def _release() -> str:
    return _match(r"\) (\w+) \(")


def _match(pattern: str) -> str:
    said = run([_which("ceph-mon"), "--version"])
    if not (found := re.search(pattern, said)):
        raise ServerError(f"ceph-mon --version says {said!r}")
    return found[1]
