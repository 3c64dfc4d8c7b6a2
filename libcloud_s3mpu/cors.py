# SPDX-License-Identifier: Apache-2.0
"""The driver's extensions that let browsers upload: a container's CORS rule, set and checked.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver`. The rule itself is
:mod:`.protocol.cors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from collections.abc import Iterable

from libcloud.storage.base import Container

from .arguments import naming
from .protocol.options import UploadOptions
from .protocol.endpoint import check_bucket
from .transfer.transport import Transport

if TYPE_CHECKING:
    from .protocol import xml


class CorsExtensions:
    """``ex_set_cors`` and ``ex_check_cors``; any thread may call them."""

    ex_options: UploadOptions
    _transport: Transport

    def ex_set_cors(self, container: Container, origins: str | Iterable[str]) -> bool:
        """
        Let pages of these origins send parts by presigned URLs, and read the parts' ETags.

        Adds one rule to the container's CORS configuration, or changes it if it is there from
        before; other rules stay as they are, behind it. The service has no condition for this
        write: what another client writes between our reading and our writing is lost.

        :param origins: ``https://host[:port]`` each, as the browser's address bar has it; one
            ``*`` may stand for a part of it.
        :type origins: ``list`` of ``str``

        :return: whether the configuration was changed.
        :rtype: ``bool``
        """
        from .protocol import cors
        from .transfer.attempt import retried

        wanted = cors.checked_origins(origins)
        sender, policy = self._transport, self.ex_options.retry
        with naming(self):
            root = self._cors_of(container)
            if not cors.with_rule(root, wanted):
                return False
            put = cors.put_request(container.name, root)
            retried(lambda _: cors.put_result(put, sender.call(put)), policy=policy, sender=sender)
            return True

    def ex_check_cors(self, container: Container, origins: str | Iterable[str]) -> list[str]:
        """
        Say what keeps pages of these origins from uploading, each in a sentence.

        :return: nothing if all is well.
        :rtype: ``list`` of ``str``
        """
        from .protocol import cors

        wanted = cors.checked_origins(origins)
        with naming(self):
            root = self._cors_of(container)
        found = [problem for origin in wanted for problem in cors.problems(root, origin)]
        return list(dict.fromkeys(found))

    # -- private ---------------------------------------------------------------------------------

    def _cors_of(self, container: Container) -> xml.Element:
        from .protocol import cors
        from .transfer.attempt import retried

        check_bucket(container.name)
        sender, policy = self._transport, self.ex_options.retry
        get = cors.get_request(container.name)
        return retried(
            lambda _: cors.get_result(get, sender.call(get)), policy=policy, sender=sender
        )
