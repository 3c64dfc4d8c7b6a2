# SPDX-License-Identifier: Apache-2.0
"""The driver's door to copies on the service: whole objects, joined ones, appended bytes.

A mixin, as :mod:`.extensions` is. libcloud has no copy of its own to follow. Which parts a copy has
and how they travel is told in :mod:`.transfer.concatenate`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from dataclasses import replace
from collections.abc import Mapping, Callable, Sequence

from libcloud.storage.base import Object, Container

from .protocol import wire
from .protocol import headers as header_rules
from .arguments import naming, place_of, object_of, target_of, readable_place
from .protocol.watch import Watch
from .protocol.errors import InvalidRequestError
from .protocol.limits import Limits
from .protocol.options import DEFAULT_MAX_CONCURRENCY, UploadOptions
from .protocol.session import UploadSession
from .transfer.outcome import UploadResult, uploaded
from .transfer.watched import Watched
from .transfer.transport import Transport

if TYPE_CHECKING:
    from .protocol.copying import CopySource, FoundSource
    from .transfer.assembly import Way
    from .transfer.copyjobs import Source


class CopyExtensions:
    """``ex_copy_object``, ``ex_concatenate_objects``, ``ex_append``; any thread may call them."""

    connection: Any
    ex_limits: Limits
    ex_options: UploadOptions
    _transport: Transport
    _ex_run: Callable[..., UploadResult]
    #: Verbs that this service turned out not to have; replaced, never changed.
    _ex_lacks: frozenset[str] = frozenset()

    def ex_copy_object(
        self,
        source_object: Object,
        container: Container,
        object_name: str,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        ex_storage_class: str | None = None,
        if_source_etag: str | None = None,
        source_version: str | None = None,
        ex_options: UploadOptions | None = None,
    ) -> Object:
        """
        Copy an object of any size, on the service where it can do that.

        One request up to 5 GiB, parts in parallel above. The copy is pinned to the ETag that the
        source has when this is called: a source that changes meanwhile is an error, never a
        mixture, and nothing is left then. Conditions of the options (``if_none_match``,
        ``if_match``) are about the object that is written. A source of another service goes through
        this process, within ``memory_budget_bytes``. Storage class, ACL and encryption are the
        container's defaults unless ``headers`` or ``ex_storage_class`` say otherwise.

        :param source_object: what is copied; only its container and name are used.
        :type source_object: :class:`Object`

        :param metadata: the metadata of the new object; None keeps the source's.
        :type metadata: ``dict``

        :param headers: replace single headers of the source (Content-Type, Cache-Control, ...) or
            its tags (``x-amz-tagging``); the others are kept. The key of an SSE-C source goes by
            ``x-amz-copy-source-server-side-encryption-customer-*``.
        :type headers: ``dict``

        :param if_source_etag: copy only if the source has this ETag.
        :type if_source_etag: ``str``

        :param source_version: copy this version of the source.
        :type source_version: ``str``

        :raises SourceChangedError: if the source has another ETag, or gets one meanwhile.

        :return: ``extra`` is as :meth:`upload_object_via_stream` has it.
        :rtype: :class:`Object`
        """
        from .copy_arguments import copy_target, checked_given, copied_object, checked_metadata
        from .protocol.copying import is_kept_header
        from .transfer.copyjobs import Source

        options = UploadOptions.checked(ex_options or self.ex_options)
        place_of(container, object_name, self.ex_limits)
        given = checked_given(headers)
        new_metadata = checked_metadata(metadata)
        sender, asked = self._ex_source(
            source_object, given, version=source_version, etag=if_source_etag
        )
        with naming(self):
            found = self._ex_found(sender, asked, options)
            target = copy_target(
                self, container, object_name, found, new_metadata, given, ex_storage_class, options
            )
            source = Source(found=found, sender=sender)
            result = self._ex_copied(
                source,
                target,
                options,
                is_local=self._ex_is_local(source_object),
                replaces_metadata=metadata is not None or any(map(is_kept_header, given)),
                replaces_tags="x-amz-tagging" in given,
            )
        return copied_object(self, result, target, container)

    def ex_concatenate_objects(
        self,
        objects: Sequence[Object],
        container: Container,
        object_name: str,
        extra: dict[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        ex_storage_class: str | None = None,
        ex_options: UploadOptions | None = None,
    ) -> Object:
        """
        Join objects, in their order, into one.

        The service copies what is large enough for a part; small ones go through this process,
        packed into parts. An object may be named twice, and the new one may have the name of one of
        them: it is written when all of them were read. Each is pinned to the ETag that it has when
        this is called.

        :param objects: at least one; only their containers and names are used.
        :type objects: ``list`` of :class:`Object`

        :param extra: content type, metadata and ACL of the new object, as an upload takes them:
            nothing is taken from the sources.
        :type extra: ``dict``

        :raises SourceSizeError: if they cannot be joined within the service's limits.
        :raises SourceChangedError: if one of them changes meanwhile; nothing is left then.

        :rtype: :class:`Object`
        """
        from .copy_arguments import for_target, checked_given
        from .transfer.concatenate import find_sources

        options = UploadOptions.checked(ex_options or self.ex_options)
        objects = list(objects)
        if not objects:
            raise InvalidRequestError("there must be at least one object to concatenate")
        given = checked_given(headers)
        target = target_of(
            self,
            container,
            object_name,
            extra=extra,
            headers=for_target(given),
            storage_class=ex_storage_class,
            options=options,
        )
        asked = [self._ex_source(each, given) for each in objects]
        with naming(self):
            way = self._ex_way(options)
            sources = find_sources(asked, way)
            local = [self._ex_is_local(each) for each in objects]
            result = self._ex_joined(way, target, sources, local)
        return object_of(self, result, container, object_name, extra)

    def ex_append(
        self,
        source_object: Object,
        source: Any,
        headers: Mapping[str, Any] | None = None,
        ex_storage_class: str | None = None,
        ex_options: UploadOptions | None = None,
    ) -> Object:
        """
        Add bytes to the end of an object: it is copied on the service, and they follow it.

        The object is replaced whole, or not at all; what it carries besides its bytes is kept. It
        is replaced only while it has the ETag that it has when this is called, where the service
        knows conditions. A copy of all its bytes is made each time: for a few large pieces, not for
        many small ones.

        :param source_object: what is added to; only its container and name are used.
        :type source_object: :class:`Object`

        :param source: the new bytes, of any kind that :meth:`upload_object_via_stream` takes.
            ``size_bytes`` of the options is the number of these.

        :param headers: replace single headers of the object, as in :meth:`ex_copy_object`; the key
            of an SSE-C object must be given by both of its names.
        :type headers: ``dict``

        :raises PreconditionFailedError: if the object was replaced meanwhile.
        :raises SourceChangedError: if that was seen before the end; nothing is left in either case.

        :rtype: :class:`Object`
        """
        from .copy_arguments import copy_target, checked_given, copied_object
        from .transfer.copyjobs import Source

        options = UploadOptions.checked(ex_options or self.ex_options)
        container, name = source_object.container, source_object.name
        given = checked_given(headers)
        sender, asked = self._ex_source(source_object, given, etag=options.if_match)
        if not self._ex_is_local(source_object):
            raise InvalidRequestError(f"{container.name}/{name} is an object of another service")
        with naming(self):
            found = self._ex_found(sender, asked, options)
            if_match = found.etag if "if-match" in self.ex_limits.conditions else None
            options = replace(options, if_match=if_match, if_none_match=None)
            target = copy_target(
                self, container, name, found, None, given, ex_storage_class, options
            )
            target = self._ex_with_tags(target, sender, found, options)
            it = Source(found=found, sender=sender)
            result = self._ex_appended(it, source, target, options)
        return copied_object(self, result, target, container)

    # -- private ---------------------------------------------------------------------------------

    def _ex_way(self, options: UploadOptions) -> Way:
        from .transfer.assembly import Way

        ceiling = options.concurrency or (
            DEFAULT_MAX_CONCURRENCY if self._transport.is_known_class else 1
        )
        watch = Watch.of(options, time.monotonic)
        sender: Any = Watched(self._transport, watch) if watch else self._transport
        return Way(
            sender=sender, limits=self.ex_limits, options=options, ceiling=ceiling, watch=watch
        )

    def _ex_source(
        self,
        it: Object,
        given: Mapping[str, str],
        *,
        version: str | None = None,
        etag: str | None = None,
    ) -> tuple[Transport, CopySource]:
        """Give a source, and who reads it: its own driver, if that is one of these."""
        from .protocol.copying import CopySource, source_headers

        if not isinstance(it, Object):
            raise TypeError(f"a source must be an Object, not {type(it).__name__}")
        driver = it.container.driver
        place = readable_place(it.container, it.name)
        transport = driver._transport if isinstance(driver, CopyExtensions) else self._transport
        if version is not None and (not version or not version.isprintable()):
            raise InvalidRequestError(f"{version!r} is not a version id")
        if etag is not None and wire.unquoted(etag) is None:
            raise InvalidRequestError(f"{etag!r} is not an ETag")
        source = CopySource(
            bucket=place.bucket,
            key=place.key,
            version_id=version,
            etag=wire.unquoted(etag),
            headers=source_headers(given),
        )
        return transport, source

    def _ex_found(
        self, sender: Transport, asked: CopySource, options: UploadOptions
    ) -> FoundSource:
        from .transfer.copy import find_source

        found = find_source(sender, asked, policy=options.retry)
        return replace(found, is_opaque=found.is_opaque or not self.ex_limits.has_md5_etags)

    def _ex_is_local(self, it: Object) -> bool:
        """Tell whether the service that is written to has this object too."""
        from .copy_arguments import partition_of

        driver = it.container.driver
        if not isinstance(driver, CopyExtensions):
            return True
        return partition_of(driver.connection.endpoint) == partition_of(self.connection.endpoint)

    def _ex_copied(
        self,
        source: Source,
        target: wire.Target,
        options: UploadOptions,
        *,
        is_local: bool,
        replaces_metadata: bool,
        replaces_tags: bool,
    ) -> UploadResult:
        from .transfer.copy import copy_object
        from .protocol.copying import CopyUnsupportedError

        found, began = source.found, time.monotonic()
        if is_local and self._ex_is_one_copy(found, target, changes=replaces_metadata):
            try:
                stored = copy_object(
                    self._transport,
                    target,
                    found,
                    replaces_metadata=replaces_metadata,
                    replaces_tags=replaces_tags,
                    policy=options.retry,
                )
            except CopyUnsupportedError:
                self._ex_note_lack("CopyObject", [source])
            else:
                size = found.size
                return uploaded(
                    stored, size=size, etag=stored.etag or "", part_size=size, began=began
                )
        target = self._ex_with_tags(target, source.sender, found, options)
        return self._ex_joined(self._ex_way(options), target, [source], [is_local])

    def _ex_is_one_copy(self, found: FoundSource, target: wire.Target, *, changes: bool) -> bool:
        """Tell whether CopyObject does it.

        Its own conditions on the target are newer than complete's, and ignored by services that do
        not know them. A copy of an object onto itself changes an ETag that is no MD5, so a lost
        answer would look like a source that changed: complete knows how to tell. S3 refuses one
        onto itself that changes nothing.
        """
        source = found.source
        is_onto_itself = (source.bucket, source.key) == (target.bucket, target.key)
        is_plain = not found.is_opaque and "-" not in found.etag
        return (
            found.size <= self.ex_limits.max_single_copy
            and not header_rules.CONDITIONS & target.headers.keys()
            and not (is_onto_itself and not (is_plain and changes))
            and "CopyObject" not in self._ex_lacks
        )

    def _ex_with_tags(
        self, target: wire.Target, sender: Any, found: FoundSource, options: UploadOptions
    ) -> wire.Target:
        """Give the target with the source's tags, which only CopyObject takes by itself."""
        from .transfer.copy import find_tags

        if not found.tag_count or "x-amz-tagging" in target.headers:
            return target
        tags = find_tags(sender, found.source, policy=options.retry)
        return replace(target, headers={**target.headers, "x-amz-tagging": tags})

    def _ex_joined(
        self, way: Way, target: wire.Target, sources: list[Source], local: Sequence[bool]
    ) -> UploadResult:
        from .protocol.copying import CopyUnsupportedError
        from .transfer.concatenate import joined

        can_copy = [
            is_local and self._ex_copies_parts(source)
            for source, is_local in zip(sources, local, strict=True)
        ]
        if any(can_copy):
            try:
                return joined(way, target, sources, can_copy=can_copy)
            except CopyUnsupportedError:
                self._ex_note_lack("UploadPartCopy", sources)
        none = [False] * len(sources)
        return joined(way, target, sources, can_copy=none)

    def _ex_appended(
        self, it: Source, data: Any, target: wire.Target, options: UploadOptions
    ) -> UploadResult:
        from .protocol.copying import CopyUnsupportedError
        from .transfer.concatenate import Append

        way = self._ex_way(options)
        work = Append(way, it, data, can_copy=self._ex_copies_parts(it))
        if work.head:
            try:
                return work.run(target)
            except CopyUnsupportedError:
                self._ex_note_lack("UploadPartCopy", [it])
                work = Append(way, it, data, can_copy=False)
        session = UploadSession(container=target.bucket, object_name=target.key)
        return self._ex_run(target, work.chained(), work.options(), session, must_not_change=False)

    def _ex_note_lack(self, verb: str, sources: Sequence[Source]) -> None:
        """Do not ask for this again, unless it may be a customer's key that it cannot copy."""
        if not any(each.found.source.is_sealed for each in sources):
            self._ex_lacks |= {verb}

    def _ex_copies_parts(self, source: Source) -> bool:
        """Tell whether this service copies parts of that object."""
        limits, key = self.ex_limits, source.found.source.key
        # Ceph 16 decodes a part's source twice: some names are others then, and one like "100% x"
        # ends the whole gateway (an assert; seen 2026-11).
        is_misread = "decodes-copy-source-twice" in limits.quirks and ("%" in key or "?" in key)
        return limits.has_part_copy and not is_misread and "UploadPartCopy" not in self._ex_lacks
