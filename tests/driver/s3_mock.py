# SPDX-License-Identifier: Apache-2.0
"""S3's answers, from ``fixtures/``, for one upload of :data:`DATA` to ``bucket/object``.

What is answered otherwise than well is said in two ways: by ``type``, as in libcloud's tests, for a
service that answers differently throughout; by ``fails`` for single requests.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar

from tests.driver.mock_http import Sent, Answer, MockHttp, fixture

PART_SIZE_BYTES = 10
#: Three parts of PART_SIZE_BYTES; the ETags in ``fixtures/`` are theirs.
DATA = b"0123456789abcdefghijtail."
PART_ETAGS = tuple(
    hashlib.md5(DATA[at : at + PART_SIZE_BYTES]).hexdigest() for at in range(0, 25, 10)
)
ETAG = hashlib.md5(b"".join(map(bytes.fromhex, PART_ETAGS))).hexdigest() + "-3"
UPLOAD_ID = "VXBsb2FkIElE~1/2+3=="


def answered(name: str, status: int = 200) -> Answer:
    """Give a fixture as an answer."""
    return status, fixture(name), {"content-type": "application/xml"}, ""


def refused(code: str, status: int) -> Answer:
    """Give S3's error with this code in the file's spelling (``no_such_bucket``)."""
    return answered(f"error_{code}.xml", status)


class S3MockHttp(MockHttp):
    """The service; each test has a subclass of its own (the fixture ``mock``)."""

    #: Verb (as in ``Sent.verb``) -> what its next requests meet, in order; then all is well again.
    fails: ClassVar[dict[str, list[Answer | BaseException]]] = {}
    put_headers: ClassVar[dict[str, str]] = {}

    @classmethod
    def verbs(cls) -> list[str]:
        """Give the verbs of all requests so far, in order."""
        return [sent.verb for sent in cls.requests]

    @classmethod
    def sent(cls, verb: str) -> Sent:
        """Give the one request with this verb."""
        (found,) = (sent for sent in cls.requests if sent.verb == verb)
        return found

    def _bucket(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        if failure := self._failure():
            return failure
        if "key-marker" in self.requests[-1].query:
            return answered("list_multipart_uploads_2.xml")
        return answered("list_multipart_uploads_1.xml")

    def _bucket_EMPTY(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        return answered("list_multipart_uploads_empty.xml")

    def _bucket_NO_NAMESPACE(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        return answered("list_multipart_uploads_no_namespace.xml")

    def _bucket_STUCK(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        assert len(self.requests) < 10, "the listing goes round in circles"
        return answered("list_multipart_uploads_stuck.xml")

    def _bucket_NO_OWNER(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        return answered("list_multipart_uploads_no_owner.xml")

    def _bucket_object(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        return self._failure() or self._answer(body)

    # The other keys of the tests are the same object to this service.
    _bucket_my_divisor = _bucket_object
    _bucket_my_movie_m2ts = _bucket_object
    _bucket_my_divisor_STUCK = _bucket_object
    _bucket_my_divisor_NO_NAMESPACE = _bucket_object
    _bucket_a_b_c_txt = _bucket_object
    _object = _bucket_object  # by virtual-host addressing

    def _bucket_object_NO_NAMESPACE(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        return self._failure() or self._answer(body, suffix="_no_namespace")

    def _bucket_object_OTHER_NAMESPACE(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        return self._failure() or self._answer(body, suffix="_other_namespace")

    def _bucket_object_EMPTY_ETAG(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        if self.requests[-1].verb == "CompleteMultipartUpload":
            return answered("complete_multipart_empty_etag.xml")
        return self._answer(body)

    def _bucket_object_STUCK(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> Answer:
        assert len(self.requests) < 10, "the listing goes round in circles"
        return answered("list_parts_stuck.xml")

    def _failure(self) -> Answer | None:
        waiting = self.fails.get(self.requests[-1].verb)
        if not waiting:
            return None
        failure = waiting.pop(0)
        if isinstance(failure, BaseException):
            raise failure
        return failure

    def _answer(self, body: bytes, suffix: str = "") -> Answer:
        asked = self.requests[-1]
        if asked.method == "PUT":
            headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"', **self.put_headers}
            return 200, "", headers, "OK"
        if asked.verb == "AbortMultipartUpload":
            return 204, "", {}, "No Content"
        if asked.method == "HEAD":
            return 200, "", {"content-length": str(len(DATA)), "etag": f'"{ETAG}"'}, "OK"
        if asked.verb == "ListParts":
            if "AbortMultipartUpload" in self.verbs():
                return refused("no_such_upload", 404)
            page = 2 if asked.query.get("part-number-marker") == "2" else 1
            return answered(f"list_parts{suffix or f'_{page}'}.xml")
        name = "initiate" if asked.verb == "CreateMultipartUpload" else "complete"
        return answered(f"{name}_multipart{suffix}.xml")
