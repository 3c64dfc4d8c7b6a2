# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks`, from the root of the project."""

import sys

from benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
