# SPDX-License-Identifier: Apache-2.0
"""What one measured process is to do, as a value that travels through the environment.

Must not live here: how it is done. The runner writes a job, `client/__main__.py` reads it.
"""

from __future__ import annotations

import json
from dataclasses import field, asdict, dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

VARIABLE = "S3MPU_BENCH_JOB"
BUCKET = "bench"
REGION = "us-east-1"
ACCESS_KEY = "AKIDMEASURED"
SECRET_KEY = "not-a-secret-the-sink-checks-nothing"

GENERATED = ("gen64k", "gen1m", "busy", "slow", "lines48")
UPLOADS = ("gen64k", "gen1m", "file", "pipe", "small", "lines48", "busy", "slow")
READING = ("download", "read", "list")
WORKLOADS = (*UPLOADS, *READING)
#: Told for each object or key, not for each GiB.
COUNTED = ("small", "list")
#: What a contender that yields its chunks is asked to yield, in bytes.
READ_CHUNK = 5 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One contender, one workload, one server. Sizes in bytes, the rate in bytes a second.

    `object_count` is the number of objects of `small`, and of keys of `list`.
    """

    module: str
    workload: str
    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 0
    ca_path: str | None = None
    size: int = 64 * MIB
    object_count: int = 200
    object_size: int = 4 * KIB
    rate: float = 60e6
    input_path: str | None = None
    output_path: str | None = None
    verify: bool = False
    result_path: str = ""
    options: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def number(self, name: str, default: float = 0) -> float:
        """An option as a number."""
        return float(self.options.get(name, default))

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Job:
        values = json.loads(text)
        values["packages"] = tuple(values["packages"])
        return cls(**values)
