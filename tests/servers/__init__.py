# SPDX-License-Identifier: Apache-2.0
"""Real S3 servers for the tests: each a class that starts one, gives an Endpoint and stops it.

Nothing here is part of the package that is installed. ``python -m tests.servers`` says which of
them can run on this machine; ``python -m tests.servers run NAME`` starts one until Ctrl-C.
"""

from __future__ import annotations
