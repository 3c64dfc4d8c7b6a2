# SPDX-License-Identifier: Apache-2.0
"""moto's server, for apps whose authors have it: it checks neither signatures nor checksums.

A green test against it proves little, so the contract tests leave it out unless they are asked.
"""

from __future__ import annotations

from tests.servers.base import Venv
from tests.servers.ministack import Embedded


class Moto(Embedded):
    """moto in server mode."""

    name = "moto"
    venv = Venv(name="moto-5.2.5", requirements=("moto[s3,server]==5.2.5",))
    quirks = frozenset(
        {
            "accepts-any-part-order",
            "accepts-upload-of-another-key",
            "clamps-copy-range",
            "cleans-virtual-paths",
            "closes-connections",
            "complete-is-repeatable",
            "ignores-body-hash",
            "ignores-checksums",
            "ignores-content-md5",
            "no-signatures",
            "unknown-upload-is-500",
        }
    )
