# SPDX-License-Identifier: Apache-2.0
"""The driver's extension that asks an endpoint what it can do.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`; the questions themselves are
:mod:`.transfer.probe`, and the command line's ``s3mpu doctor`` prints what they gave.
"""

from __future__ import annotations

import copy
import secrets
from typing import TYPE_CHECKING, Any
from contextlib import ExitStack
from dataclasses import replace

from libcloud.storage.base import Container

from .arguments import naming
from .protocol.options import UploadOptions
from .protocol.endpoint import check_bucket
from .transfer.transport import Transport

if TYPE_CHECKING:
    from .protocol.findings import ProbeReport

#: Objects of a probe are called this, a random number, and their question.
PREFIX = "s3mpu-probe-"


class ProbeExtensions:
    """``ex_probe``; any thread may call it."""

    connection: Any
    region: str
    ex_options: UploadOptions
    _transport: Transport

    def ex_probe(self, container: Container) -> ProbeReport:
        """
        Ask the service what it can do: checksums, conditions, copies, listings, addressing.

        Some seventy small requests under one random name in ``container``; everything is removed
        again, whatever happens on the way. ``report.applied_to(driver.ex_limits)`` are the
        driver's limits with what was found in place of what was assumed.

        :return: a table with one finding for each question; its ``str`` is that table.
        :rtype: :class:`ProbeReport`

        :raises S3MultipartError: if not even a plain ``PUT`` succeeds there.
        """
        from .transfer.probe import Probe

        check_bucket(container.name)
        endpoint = self.connection.endpoint
        with naming(self), ExitStack() as held:

            def virtual() -> Transport:
                other = copy.copy(self)
                held.callback(other._transport.close)
                held.callback(other.connection.connection.session.close)
                other.connection.endpoint = replace(endpoint, addressing="virtual")
                return other._transport

            probe = Probe(
                self._transport,
                container.name,
                f"{PREFIX}{secrets.token_hex(8)}/",
                policy=self.ex_options.retry,
                virtual=virtual,
            )
            address = f"{endpoint.scheme}://{endpoint.netloc(endpoint.host)}{endpoint.base_path}"
            return probe.run(address, self.region)
