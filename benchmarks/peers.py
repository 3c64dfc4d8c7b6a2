# SPDX-License-Identifier: Apache-2.0
"""Who is measured: names, the module that drives each, what its virtual environment holds.

Must not live here: how an environment is made (`venvs.py`) or how a peer is driven
(`contenders/`). A contender is written `NAME` or `NAME:option=value+option`.
"""

from __future__ import annotations

from dataclasses import field, dataclass

from benchmarks.client.job import READING

# Family -> what `pip install` gets. None: the interpreter that runs the benchmarks will do.
FAMILIES: dict[str, tuple[str, ...]] = {
    "none": (),
    "ours": ("apache-libcloud", "lxml"),
    # What `pip install libcloud_s3mpu[fast]` brings.
    "ours-fast": ("apache-libcloud", "lxml", "crc32c"),
    "libcloud": ("apache-libcloud",),
    "boto3": ("boto3", "smart_open[s3]"),
    "crt": ("boto3[crt]",),
    "s3fs": ("s3fs",),
    "aioboto3": ("aioboto3",),
    "obstore": ("obstore",),
    "opendal": ("opendal",),
    "pyarrow": ("pyarrow",),
    "minio": ("minio",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of a table."""

    spec: str
    name: str
    module: str
    family: str
    options: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    takes_port: bool = True
    unfit: dict[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    only_reads: bool = False

    @property
    def uploads(self) -> bool:
        """Whether bytes are expected to arrive."""
        return self.module != "baseline"

    def reason_to_skip(self, workload: str, scheme: str) -> str | None:
        """Say why this contender cannot do that, or None."""
        told = self.unfit.get(workload) or self.unfit.get(scheme)
        if told is None and workload in READING and workload not in self.reads:
            return f"is not driven for {workload} here"
        if told is None and workload not in READING and self.only_reads:
            return "is only driven for reading here"
        return told


@dataclass(frozen=True, slots=True)
class _Peer:
    module: str
    family: str
    options: str = ""
    packages: tuple[str, ...] = ()
    takes_port: bool = True
    unfit: tuple[tuple[str, str], ...] = ()
    #: Workloads of `READING` that its module can do.
    reads: tuple[str, ...] = ()
    only_reads: bool = False


_FILES = ("download", "read")
_LIBCLOUD = ("apache-libcloud", "lxml", "requests", "urllib3")
_BOTO3 = ("boto3", "botocore", "s3transfer")
_UNWINDS = (("lines48", "appends every line to one `bytes`: 37 s of CPU for a part of 5 MiB"),)

_PEERS: dict[str, _Peer] = {
    "ours": _Peer("ours", "ours", packages=_LIBCLOUD, reads=READING),
    "direct": _Peer("direct", "ours", packages=_LIBCLOUD),
    "ours-fast": _Peer("ours", "ours-fast", packages=(*_LIBCLOUD, "crc32c")),
    "libcloud": _Peer(
        "libcloud_upstream", "libcloud", packages=_LIBCLOUD, unfit=_UNWINDS, reads=READING
    ),
    "boto3": _Peer("boto3_transfer", "boto3", packages=_BOTO3, reads=READING),
    "boto3-tuned": _Peer("boto3_transfer", "boto3", "part=16+threads=10", _BOTO3),
    "boto3-nosum": _Peer("boto3_transfer", "boto3", "sum=when_required", _BOTO3),
    "boto3-crt": _Peer(
        "boto3_crt",
        "crt",
        packages=(*_BOTO3, "awscrt"),
        takes_port=False,
        unfit=(("pipe", "asks the stream for its position, which a pipe does not have"),),
    ),
    "awscrt": _Peer("awscrt_client", "crt", packages=("awscrt",), takes_port=False),
    "s3fs": _Peer("s3fs_file", "s3fs", packages=("s3fs", "aiobotocore")),
    "smart_open": _Peer("smart_open_file", "boto3", packages=("smart_open", "boto3")),
    "aioboto3": _Peer("aioboto3_transfer", "aioboto3", packages=("aioboto3", "aiobotocore")),
    "obstore": _Peer("obstore_put", "obstore", packages=("obstore",), reads=READING),
    "obstore-unsigned": _Peer("obstore_put", "obstore", "sign=0", ("obstore",)),
    "opendal": _Peer(
        "opendal_writer",
        "opendal",
        packages=("opendal",),
        unfit=(("https", "takes no CA of the user's own"),),
        reads=_FILES,
    ),
    "pyarrow": _Peer("pyarrow_stream", "pyarrow", packages=("pyarrow",)),
    "minio": _Peer("minio_put", "minio", packages=("minio",), reads=READING),
    # The requests of our own environment, so that both read with the same urllib3.
    "requests": _Peer(
        "bare_requests", "ours", packages=("requests", "urllib3"), reads=_FILES, only_reads=True
    ),
    "floor": _Peer("floor", "none", reads=_FILES),
    "null": _Peer("baseline", "none"),
    "join": _Peer("baseline", "none", "join=1"),
}

NAMES = tuple(_PEERS)


def parse_options(text: str) -> dict[str, str]:
    """Read `a=1+b`; an option without a value is switched on."""
    pairs = (item.partition("=") for item in text.split("+") if item)
    return {name: value if sign else "1" for name, sign, value in pairs}


def parse_contender(spec: str) -> Contender:
    """Read one contender as the command line names it; ValueError for an unknown name."""
    name, _, text = spec.partition(":")
    if name not in _PEERS:
        raise ValueError(f"unknown contender {name!r}; known: {', '.join(NAMES)}")
    peer = _PEERS[name]
    return Contender(
        spec=spec,
        name=name,
        module=peer.module,
        family=peer.family,
        options={**parse_options(peer.options), **parse_options(text)},
        packages=peer.packages,
        takes_port=peer.takes_port,
        unfit=dict(peer.unfit),
        reads=peer.reads,
        only_reads=peer.only_reads,
    )
