# SPDX-License-Identifier: Apache-2.0
"""What an endpoint was found to do, as a table; and the limits that follow from it.

Values only: the questions are asked by :mod:`libcloud_s3mpu.transfer.probe`.
"""

from __future__ import annotations

from enum import Enum
from dataclasses import asdict, replace, dataclass

from .limits import S3_CHECKSUMS, Limits


class Answer(Enum):
    """How a service met a question."""

    YES = "yes"
    NO = "no"
    #: It says yes and does nothing: worse than no, since nobody hears of it.
    IGNORED = "ignored"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row of the table.

    :param name: of the question; stable, for programs (:data:`QUESTIONS`).
    :param answer: what was found.
    :param detail: in the service's words: status and code, or a value that was measured.
    """

    name: str
    answer: Answer
    detail: str = ""

    @property
    def question(self) -> str:
        """The question in words."""
        return QUESTIONS[self.name]

    @property
    def problem(self) -> str:
        """What follows from an answer that is not yes; empty where nothing does."""
        if self.answer is Answer.YES:
            return ""
        if self.answer is Answer.IGNORED and self.name in IGNORED:
            return IGNORED[self.name]
        return PROBLEMS.get(self.name, "")


#: The questions, in the order of the table.
QUESTIONS = {
    "unsigned-payload": "takes a body that is not signed",
    "signed-body": "compares a signed body with its hash",
    "content-md5": "verifies Content-MD5",
    "crc32": "verifies x-amz-checksum-crc32",
    "crc32c": "verifies x-amz-checksum-crc32c",
    "crc64nvme": "verifies x-amz-checksum-crc64nvme",
    "sha1": "verifies x-amz-checksum-sha1",
    "sha256": "verifies x-amz-checksum-sha256",
    "md5-etag": "an object's ETag is the MD5 of its bytes",
    "put-if-none-match": "PUT: If-None-Match is honoured",
    "put-if-match": "PUT: If-Match is honoured",
    "complete-if-none-match": "complete: If-None-Match is honoured",
    "complete-if-match": "complete: If-Match is honoured",
    "min-part-size": "holds to a smallest part size",
    "composite-etag": "a multipart ETag is the MD5 of the parts' MD5s",
    "complete-etag": "complete names the ETag",
    "object-size": "complete compares x-amz-mp-object-size",
    "complete-once": "a second complete is refused",
    "list-parts": "lists parts page by page",
    "list-uploads": "lists the uploads under a prefix",
    "part-copy": "copies a range of an object into a part",
    "list-v2": "has ListObjectsV2",
    "encoding-type": "encodes names in listings on request",
    "virtual-host": "takes the container in the host name",
}
#: What follows from another answer than yes, for whoever runs the service or the upload.
PROBLEMS = {
    "unsigned-payload": "every body must be signed: set sign_payload=True (0.6 CPU-s per GiB)",
    "signed-body": "a body damaged on plain http would be stored: use https, or checksum='md5'",
    "content-md5": "checksum='md5' and verify_hash prove nothing beyond the ETag",
    "crc32": "bodies on https are signed instead, unless another CRC is verified",
    "md5-etag": "no ETag is compared with what was sent",
    "put-if-none-match": "if_none_match cannot be used",
    "put-if-match": "if_match cannot be used",
    "complete-if-none-match": "if_none_match cannot be used for sources above one part",
    "complete-if-match": "if_match cannot be used for sources above one part",
    "composite-etag": "no multipart ETag is compared with what was sent",
    "list-parts": "resuming sees only what one page lists",
    "list-uploads": "the clean-up cannot see what failed clients left: add a lifecycle rule",
    "part-copy": "large copies and concatenations go through the client",
    "list-v2": "listings use the first version",
    "encoding-type": "names with control characters cannot be listed",
}
#: The same where the service says yes and does nothing.
IGNORED = {
    "put-if-none-match": "if_none_match protects nothing: the object is replaced all the same",
    "put-if-match": "if_match protects nothing: the object is replaced all the same",
    "complete-if-none-match": "if_none_match protects nothing for sources above one part",
    "complete-if-match": "if_match protects nothing for sources above one part",
}
_CONDITIONS = {
    "if-none-match": ("put-if-none-match", "complete-if-none-match"),
    "if-match": ("put-if-match", "complete-if-match"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What an endpoint can do.

    :param endpoint: its address.
    :param server: what it calls itself (the ``Server`` header), if anything.
    :param findings: one for each question, in the order of :data:`QUESTIONS`.
    :param left_behind: objects and uploads that could not be removed again, with the reason.
    """

    endpoint: str
    container: str
    region: str
    server: str | None
    findings: tuple[Finding, ...]
    seconds: float
    left_behind: tuple[str, ...] = ()

    def answer(self, name: str) -> Answer:
        """Give the answer to one question; unknown if it was not asked.

        :raises KeyError: if there is no such question.
        """
        QUESTIONS[name]
        return next((f.answer for f in self.findings if f.name == name), Answer.UNKNOWN)

    def applied_to(self, limits: Limits) -> Limits:
        """Give ``limits`` with what was found in place of what was assumed.

        Sizes and counts stay as they are: they cannot be measured without sending them.
        """

        def is_yes(*names: str) -> bool:
            return all(self.answer(name) is Answer.YES for name in names)

        return replace(
            limits,
            checksums=frozenset(name for name in S3_CHECKSUMS if is_yes(name.lower())),
            conditions=frozenset(name for name, both in _CONDITIONS.items() if is_yes(*both)),
            checks_object_size=is_yes("object-size"),
            has_md5_etags=is_yes("md5-etag", "composite-etag"),
            has_list_v2=is_yes("list-v2"),
            has_part_copy=is_yes("part-copy"),
            source=f"{limits.source}; probed: {self.endpoint}",
        )

    def as_json(self) -> dict[str, object]:
        """Give the report as values that JSON has."""
        rows = [
            {**asdict(f), "answer": f.answer.value, "question": f.question, "problem": f.problem}
            for f in self.findings
        ]
        return {**asdict(self), "findings": rows, "left_behind": list(self.left_behind)}

    def __str__(self) -> str:
        lines = [f"{self.endpoint} ({self.server or 'unnamed'}), region {self.region}"]
        for found in self.findings:
            detail = f" ({found.detail})" if found.detail else ""
            lines.append(f"  {found.answer.value:8} {found.question}{detail}")
        return "\n".join(lines)
