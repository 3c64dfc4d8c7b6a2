# SPDX-License-Identifier: Apache-2.0
"""The questions of a probe: small requests under one random name, and the removal of all of it.

A question that cannot be answered is a finding of its own and ends nothing; only the first request,
a plain ``PUT``, must succeed. What was made is noted before it is made, and removed whatever
happens. The answers' meaning is :mod:`..protocol.findings`.
"""

from __future__ import annotations

import time
import hashlib
import logging
from dataclasses import replace
from collections.abc import Mapping, Callable, Iterator

from .single import iterate_uploads
from .attempt import Sender, retried, call_settled
from ..protocol import xml, wire
from ..protocol.retry import NO_RETRIES, RetryPolicy
from ..protocol.errors import TransportError, S3MultipartError
from ..protocol.probes import (
    BODY,
    OTHER,
    PLAIN,
    NO_ETAG,
    Said,
    no,
    yes,
    plainly,
    refused,
    sums_of,
    put_request,
    list_request,
    delete_request,
    part_copy_request,
)
from ..protocol.session import UploadedPart
from ..protocol.endpoint import encode_key
from ..protocol.findings import QUESTIONS, Answer, Finding, ProbeReport
from ..protocol.messages import S3Request, S3Response, raise_for_status
from ..protocol.checksums import composite_etag

log = logging.getLogger("libcloud_s3mpu.probe")


class Probe:
    """One probe of one container.

    :param virtual: gives a sender that puts the container into the host name, or raises.
    """

    def __init__(
        self,
        sender: Sender,
        bucket: str,
        prefix: str,
        *,
        policy: RetryPolicy,
        virtual: Callable[[], Sender],
    ) -> None:
        self._sender = sender
        self._bucket = bucket
        self._prefix = prefix
        self._policy = replace(policy, max_attempts=min(3, policy.max_attempts))
        self._virtual = virtual
        self._server: str | None = None
        #: Keys that may exist, with the versions that are known of.
        self._keys: dict[str, set[str]] = {}
        self._uploads: set[tuple[str, str]] = set()
        self._left: list[str] = []

    def run(self, endpoint: str, region: str) -> ProbeReport:
        """Ask everything, remove everything.

        :raises S3MultipartError: if not even a plain ``PUT`` succeeds.
        """
        began = time.monotonic()
        found: list[Finding] = []
        try:
            first = self._put("object")
            if first.error is not None:
                raise first.error
            self._server = first.header("server")
            for ask in (self._bodies, self._conditions, self._multipart, self._lists, self._hosts):
                found += self._asked(ask)
        finally:
            self._clean()
        by_name = {each.name: each for each in found}
        missing = {name: Finding(name=name, answer=Answer.UNKNOWN) for name in QUESTIONS}
        return ProbeReport(
            endpoint=endpoint,
            container=self._bucket,
            region=region,
            server=self._server,
            findings=tuple({**missing, **by_name}[name] for name in QUESTIONS),
            seconds=time.monotonic() - began,
            left_behind=tuple(self._left),
        )

    def _asked(self, ask: Callable[[], Iterator[Finding]]) -> list[Finding]:
        """Collect one group; what ends it early leaves the rest of it unknown."""
        found: list[Finding] = []
        try:
            for each in ask():
                found.append(each)
        except S3MultipartError as error:
            log.info("a question could not be asked: %s", error.value)
        return found

    # -- bodies ----------------------------------------------------------------------------------

    def _bodies(self) -> Iterator[Finding]:
        unsigned = self._put("unsigned", signed=None)
        yield plainly("unsigned-payload", unsigned)
        lying = self._put("lying", signed=hashlib.sha256(OTHER).hexdigest())
        yield refused("signed-body", lying)
        md5 = sums_of("md5")
        yield self._verified("content-md5", "content-md5", *md5)
        for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"):
            yield self._verified(name, f"x-amz-checksum-{name}", *sums_of(name))
        etag = wire.unquoted(self._put("object").header("etag"))
        is_md5 = etag == hashlib.md5(BODY, usedforsecurity=False).hexdigest()
        yield Finding(name="md5-etag", answer=yes(is_md5), detail="" if is_md5 else str(etag))

    def _verified(self, name: str, header: str, right: str, wrong: str) -> Finding:
        good = self._put(name, headers={header: right})
        if not good.is_good:
            return Finding(name=name, answer=no(good), detail=good.words)
        return refused(name, self._put(name, headers={header: wrong}))

    def _conditions(self) -> Iterator[Finding]:
        def met(name: str, key: str, right: Mapping[str, str], wrong: Mapping[str, str]) -> Finding:
            good = self._put(key, headers=right)
            if not good.is_good:
                return Finding(name=name, answer=no(good), detail=good.words)
            return refused(name, self._put(key, headers=wrong))

        once = {"if-none-match": "*"}
        yield met("put-if-none-match", "new", once, once)
        etag = self._put("object").header("etag") or NO_ETAG
        yield met("put-if-match", "object", {"if-match": etag}, {"if-match": NO_ETAG})

    # -- multipart -------------------------------------------------------------------------------

    def _multipart(self) -> Iterator[Finding]:
        target, upload_id = self._initiated("parts")
        first = self._part(target, upload_id, 1)
        source = self._prefix + "object"
        copied = self._send(part_copy_request(self._bucket, target.key, upload_id, source))
        root = copied.root()
        is_copied = root is not None and xml.local_name(root) == "CopyPartResult"
        yield Finding(
            name="part-copy",
            answer=Answer.YES if is_copied else no(copied),
            detail=copied.words,
        )
        second = self._part(target, upload_id, 2)
        yield self._listed_parts(target, upload_id)
        yield self._listed_uploads(target, upload_id)
        parts = [each for each in (first, second) if each is not None]
        tag = wire.unquoted(xml.text_of(root, "ETag")) if root is not None and is_copied else None
        if tag is not None:  # Ceph refuses to leave out a part that is there.
            parts.append(UploadedPart(part_number=3, size=len(BODY), etag=tag))
        small = self._complete(target, upload_id, parts)
        detail = small.words if small.is_refusal else ""
        if small.error is not None and small.error.s3_code != "EntityTooSmall":
            yield Finding(name="min-part-size", answer=Answer.UNKNOWN, detail=detail)
        else:
            yield Finding(name="min-part-size", answer=yes(not small.is_good), detail=detail)
        yield from self._completes()

    def _completes(self) -> Iterator[Finding]:
        """An upload of one small part may be completed everywhere."""
        target, upload_id = self._initiated("one")
        part = self._part(target, upload_id, 1)
        parts = [part] if part else []
        lying = self._complete(target, upload_id, parts, {"x-amz-mp-object-size": "1"})
        yield refused("object-size", lying)
        if lying.is_good:
            target, upload_id = self._initiated("one")
            parts = [p for p in [self._part(target, upload_id, 1)] if p]
        done = self._complete(target, upload_id, parts)
        root = done.root()
        etag = wire.unquoted(xml.text_of(root, "ETag")) if root is not None else None
        yield Finding(name="complete-etag", answer=yes(bool(etag)), detail=done.words)
        head = self._send(wire.head_request(target))
        stored = wire.unquoted(head.header("etag"))
        expected = composite_etag(each.etag for each in parts)
        is_composite = stored is not None and stored == expected
        yield Finding(
            name="composite-etag",
            answer=yes(is_composite),
            detail="" if is_composite else str(stored),
        )
        again = self._complete(target, upload_id, parts)
        yield Finding(name="complete-once", answer=yes(not again.is_good), detail=again.words)
        for name in ("if-none-match", "if-match"):
            target, upload_id = self._initiated("one")  # It exists: both conditions must fail.
            parts = [p for p in [self._part(target, upload_id, 1)] if p]
            value = "*" if name == "if-none-match" else NO_ETAG
            yield refused(
                f"complete-{name}", self._complete(target, upload_id, parts, {name: value})
            )

    def _listed_parts(self, target: wire.Target, upload_id: str) -> Finding:
        request = wire.list_parts_request(target, upload_id=upload_id, max_parts=1)
        said = self._send(request)
        if said.response is None:
            return Finding(name="list-parts", answer=no(said), detail=said.words)
        page = wire.list_parts_result(request, said.response)
        if len(page.parts) == 1 and page.next_marker:
            return Finding(name="list-parts", answer=Answer.YES)
        detail = f"{len(page.parts)} parts on a page for one"
        return Finding(name="list-parts", answer=Answer.NO, detail=detail)

    def _listed_uploads(self, target: wire.Target, upload_id: str) -> Finding:
        # By a prefix that is shorter than the name: MinIO lists exact names only.
        found = iterate_uploads(
            self._sender, self._bucket, prefix=self._prefix, delimiter=None, policy=self._policy
        )
        try:
            ids = {each.upload_id for each in found}
        except S3MultipartError as error:
            said = Said(error=error)
            return Finding(name="list-uploads", answer=no(said), detail=said.words)
        return Finding(name="list-uploads", answer=yes(upload_id in ids))

    # -- listings and hosts ----------------------------------------------------------------------

    def _lists(self) -> Iterator[Finding]:
        said = self._list(("list-type", "2"), ("prefix", self._prefix))
        root = said.root()
        has_count = root is not None and xml.text_of(root, "KeyCount") is not None
        yield Finding(
            name="list-v2", answer=Answer.YES if has_count else no(said), detail=said.words
        )
        name = f"{self._prefix}a b+c"
        self._put("a b+c")
        said = self._list(("encoding-type", "url"), ("prefix", name))
        root = said.root()
        entries = xml.children(root, "Contents") if root is not None else ()
        keys = [xml.text_of(each, "Key") for each in entries]
        is_encoded = bool(keys) and keys[0] in (encode_key(name), name.replace(" ", "+"))
        is_encoded = is_encoded or (bool(keys) and "%2B" in str(keys[0]))
        yield Finding(name="encoding-type", answer=yes(is_encoded), detail=said.words)

    def _hosts(self) -> Iterator[Finding]:
        request = wire.head_request(self._target("object"))
        try:
            sender = self._virtual()
            said = self._send(request, sender=sender, policy=NO_RETRIES)
        except S3MultipartError as error:  # The container cannot be part of a host name.
            yield Finding(name="virtual-host", answer=Answer.UNKNOWN, detail=error.value[:80])
            return
        if isinstance(said.error, TransportError):
            yield Finding(name="virtual-host", answer=Answer.NO, detail="its host is not reached")
        else:
            yield Finding(name="virtual-host", answer=yes(said.is_good), detail=said.words)

    # -- requests --------------------------------------------------------------------------------

    def _send(
        self,
        request: S3Request,
        *,
        sender: Sender | None = None,
        policy: RetryPolicy | None = None,
    ) -> Said:
        sender = sender or self._sender

        def once(_: int) -> S3Response:
            response = sender.call(request)
            raise_for_status(request, response, 200, 201, 204)
            if b"<Error" in response.body[:1024]:
                raise_for_status(request, response, -1)
            return response

        try:
            return Said(response=retried(once, policy=policy or self._policy, sender=sender))
        except S3MultipartError as error:
            last = (getattr(error, "attempts", None) or [error])[-1]
            return Said(error=last)

    def _target(self, name: str) -> wire.Target:
        return wire.Target(bucket=self._bucket, key=self._prefix + name, headers={})

    def _put(
        self, name: str, *, headers: Mapping[str, str] | None = None, signed: str | None = ""
    ) -> Said:
        """Put :data:`BODY`; ``signed`` is the hash that is signed, its own if empty."""
        key = self._prefix + name
        versions = self._keys.setdefault(key, set())
        request = put_request(self._bucket, key, headers=headers, signed=signed)
        said = self._send(request)
        self._note_version(said, versions)
        return said

    def _note_version(self, said: Said, versions: set[str]) -> None:
        version = said.header("x-amz-version-id")
        if version and version != "null":
            versions.add(version)

    def _initiated(self, name: str) -> tuple[wire.Target, str]:
        target = self._target(name)
        request = wire.initiate_request(target, PLAIN)
        self._keys.setdefault(target.key, set())

        def settle(response: S3Response) -> None:
            self._uploads.add((target.key, wire.initiate_result(request, response)))

        def once(_: int) -> str:
            response = call_settled(self._sender, request, settle)
            upload_id = wire.initiate_result(request, response)
            self._uploads.add((target.key, upload_id))
            return upload_id

        return target, retried(once, policy=self._policy, sender=self._sender)

    def _part(self, target: wire.Target, upload_id: str, number: int) -> UploadedPart | None:
        where = (("partNumber", str(number)), ("uploadId", upload_id))
        said = self._send(put_request(self._bucket, target.key, query=where))
        etag = wire.unquoted(said.header("etag"))
        if etag is None:
            return None
        return UploadedPart(part_number=number, size=len(BODY), etag=etag)

    def _complete(
        self,
        target: wire.Target,
        upload_id: str,
        parts: list[UploadedPart],
        headers: Mapping[str, str] | None = None,
    ) -> Said:
        request = wire.complete_request(target, upload_id=upload_id, parts=parts, check=PLAIN)
        request = replace(request, headers={**request.headers, **(headers or {})})
        said = self._send(request)
        self._note_version(said, self._keys.setdefault(target.key, set()))
        return said

    def _list(self, *query: tuple[str, str]) -> Said:
        return self._send(list_request(self._bucket, *query))

    # -- the end ---------------------------------------------------------------------------------

    def _clean(self) -> None:
        """Remove all that may be there; what cannot be removed is noted, never raised."""
        for key, upload_id in sorted(self._uploads):
            target = wire.Target(bucket=self._bucket, key=key, headers={})
            request = wire.abort_request(target, upload_id=upload_id)
            said = self._send(request)
            status = said.error.http_status if said.error else None
            if not said.is_good and status != 404:
                self._left.append(f"upload {upload_id} of {key}: {said.words}")
        for key, versions in self._keys.items():
            for version in [None, *sorted(versions)]:
                self._delete(key, version)

    def _delete(self, key: str, version: str | None) -> None:
        said = self._send(delete_request(self._bucket, key, version))
        status = said.error.http_status if said.error else None
        if not said.is_good and status != 404:
            self._left.append(f"object {key}: {said.words}")
        marker = said.header("x-amz-version-id")
        if version is None and said.header("x-amz-delete-marker") == "true" and marker:
            self._delete(key, marker)
