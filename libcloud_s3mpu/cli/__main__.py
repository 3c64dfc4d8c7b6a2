# SPDX-License-Identifier: Apache-2.0
"""``python -m libcloud_s3mpu.cli``: the same as the console script ``s3mpu``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
