# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.client`: run the job of the environment, write its figures, end."""

from __future__ import annotations

import os
import sys
import json
import importlib

from benchmarks.client.job import VARIABLE, Job
from benchmarks.client.measure import measure


def main() -> None:
    job = Job.from_text(os.environ[VARIABLE])
    contender = importlib.import_module(f"benchmarks.contenders.{job.module}")
    figures = measure(job, contender)
    with open(job.result_path, "w") as result:
        json.dump(figures, result)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the tear-down of threads and pools differs by peer and is not measured


if __name__ == "__main__":
    main()
