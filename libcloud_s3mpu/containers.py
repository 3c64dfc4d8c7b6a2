# SPDX-License-Identifier: Apache-2.0
"""The driver's containers, and the delete of an object: libcloud's methods by the engine's road.

A mixin of :class:`~libcloud_s3mpu.driver.AmazonS3MultipartDriver` with libcloud's signatures and
its errors. Each is one request, tried again where that can help; a replaced HTTP class (a mock) is
asked what upstream would ask. The objects of a container are listed by :mod:`.reading`.
"""

from __future__ import annotations

from typing import Any
from collections.abc import Callable, Iterator

from libcloud.storage.base import Object, Container
from libcloud.storage.types import (
    ContainerError,
    ContainerIsNotEmptyError,
    InvalidContainerNameError,
    ContainerAlreadyExistsError,
)

from .arguments import naming, readable_place
from .protocol.errors import (
    ServiceError,
    S3MultipartError,
    AccessDeniedError,
    ObjectMissingError,
    ContainerMissingError,
    ConditionalConflictError,
    leaves_doubt,
)
from .protocol.options import UploadOptions
from .transfer.attempt import retried
from .protocol.endpoint import check_bucket
from .protocol.messages import S3Request, S3Response, raise_for_status
from .transfer.transport import Transport


class ContainerMethods:
    """libcloud's methods on containers; any thread may call them, any number at once."""

    ex_location_name: str
    ex_options: UploadOptions
    _transport: Transport

    def iterate_containers(self) -> Iterator[Container]:
        """
        @inherits: :class:`StorageDriver.iterate_containers`

        The request is sent by this call; no namespace is needed in its answer.
        """
        from .protocol import buckets

        if not self._transport.is_known_class:
            return super().iterate_containers()  # type: ignore[misc, no-any-return]
        request = buckets.list_buckets_request()
        with naming(self):
            listed = self._asked(request, buckets.list_buckets_result)
        return iter(
            [Container(each.name, {"creation_date": each.created}, self) for each in listed]
        )

    def get_container(self, container_name: str) -> Container:
        """
        @inherits: :class:`StorageDriver.get_container`

        A container that these keys may not ask for is taken to be there, as upstream has it.
        """
        from .protocol import buckets

        if not self._transport.is_known_class:
            return super().get_container(container_name)  # type: ignore[misc]
        check_bucket(container_name)
        with naming(self):
            try:
                self._asked(buckets.head_bucket_request(container_name), _is_good)
            except AccessDeniedError:
                pass
        return Container(name=container_name, extra=None, driver=self)

    def create_container(self, container_name: str) -> Container:
        """
        @inherits: :class:`StorageDriver.create_container`

        It is made in ``ex_location_name``, the driver's region where the service has several.

        :raises ContainerAlreadyExistsError: if it is there and yours.
        :raises InvalidContainerNameError: if it is there and another's.
        """
        from .protocol import buckets

        if not self._transport.is_known_class:
            return super().create_container(container_name)  # type: ignore[misc]
        check_bucket(container_name)
        request = buckets.create_bucket_request(container_name, location=self.ex_location_name)
        with naming(self):
            try:
                self._asked(request, _is_good, done_by=_is_own_container)
            except ServiceError as error:
                if (kind := _refusal(error)) is None:
                    raise
                raise kind(value=error.value, container_name=container_name, driver=self) from error
        return Container(name=container_name, extra=None, driver=self)

    def delete_container(self, container: Container) -> bool:
        """
        @inherits: :class:`StorageDriver.delete_container`

        :raises ContainerIsNotEmptyError: if there is an object in it.
        """
        from .protocol import buckets

        if not self._transport.is_known_class:
            return super().delete_container(container)  # type: ignore[misc, no-any-return]
        check_bucket(container.name)
        with naming(self):
            try:
                self._asked(
                    buckets.delete_bucket_request(container.name), _is_good, done_by=_is_gone
                )
            except ServiceError as error:
                if error.http_status != 409 or isinstance(error, ConditionalConflictError):
                    raise
                raise ContainerIsNotEmptyError(
                    value=error.value, container_name=container.name, driver=self
                ) from error
        return True

    def delete_object(self, obj: Object) -> bool:
        """
        @inherits: :class:`StorageDriver.delete_object`

        The object of exactly this name is deleted, whatever characters it has. Amazon S3 says True
        for one that is not there; a service that says otherwise raises.
        """
        from .protocol import buckets

        if not self._transport.is_known_class:
            return super().delete_object(obj)  # type: ignore[misc, no-any-return]
        target = readable_place(obj.container, obj.name)
        request = buckets.delete_object_request(target)
        with naming(self):
            self._asked(request, buckets.delete_object_result, done_by=_is_gone)
        return True

    # -- private ---------------------------------------------------------------------------------

    def _asked(
        self,
        request: S3Request,
        read: Callable[[S3Request, S3Response], Any],
        *,
        done_by: Callable[[S3MultipartError], bool] = lambda error: False,
    ) -> Any:
        """Send with retries; give what ``read`` made of the answer.

        :param done_by: tells the refusal that means success after an attempt whose answer was lost:
            that attempt has done it.
        """
        lost: list[S3MultipartError] = []

        def once(_: int) -> Any:
            try:
                return read(request, self._transport.call(request))
            except S3MultipartError as error:
                if lost and done_by(error):
                    return None
                if leaves_doubt(error):
                    lost.append(error)
                raise

        return retried(once, policy=self.ex_options.retry, sender=self._transport)


def _is_own_container(error: S3MultipartError) -> bool:
    return error.s3_code == "BucketAlreadyOwnedByYou"


def _is_gone(error: S3MultipartError) -> bool:
    return isinstance(error, (ObjectMissingError, ContainerMissingError))


def _is_good(request: S3Request, response: S3Response) -> None:
    raise_for_status(request, response, 200, 202, 204)


def _refusal(error: S3MultipartError) -> type[ContainerError] | None:
    """Give libcloud's error for a container that was not made; None leaves ours."""
    kind: type[ContainerError] | None = None
    if error.http_status == 409 and not isinstance(error, ConditionalConflictError):
        is_own = _is_own_container(error)
        kind = ContainerAlreadyExistsError if is_own else InvalidContainerNameError
    elif error.http_status == 400 and type(error) is ServiceError:
        kind = ContainerError
    return kind
