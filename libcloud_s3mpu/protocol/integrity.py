# SPDX-License-Identifier: Apache-2.0
"""Which check a body carries, and whether an answer agrees with it.

The rule is one function of (options, limits, http or https); the price list behind it is in
docs/benchmarks.md: a CRC costs 0.04 CPU s/GiB by a wheel and 0.25 by zlib, a signed payload 0.6,
MD5 1.4. What is compared is only what can be: an opaque ETag says nothing.
"""

from __future__ import annotations

from dataclasses import replace, dataclass
from collections.abc import Mapping, Sequence

from . import checksums
from .errors import InvalidRequestError, ChecksumMismatchError
from .limits import Limits
from .headers import is_opaque_etag
from .options import UploadOptions
from .session import UploadedPart
from .messages import Body, S3Request, described, context_of

#: What ``checksum="auto"`` takes, the cheapest that is installed first.
AUTO_ORDER = ("crc32c", "crc32")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyCheck:
    """What a body is checked by.

    :param algorithm: a key of :data:`~.checksums.ALGORITHMS`, or None.
    :param is_signed: the SHA-256 of the body is part of the signature.
    :param has_md5_etags: the service's ETags can be compared with what was sent.
    :param checks_object_size: complete says how many bytes the parts make.
    """

    algorithm: str | None
    is_signed: bool
    has_md5_etags: bool = True
    checks_object_size: bool = True

    @property
    def s3_algorithm(self) -> str | None:
        """What ``x-amz-checksum-algorithm`` says on initiate; None where parts carry no such."""
        return checksums.ALGORITHMS[self.algorithm] if self.algorithm else None

    @property
    def is_full_object(self) -> bool:
        """Whether S3's value of the whole is that of its bytes, not one of the parts' values.

        S3 has no COMPOSITE of CRC64NVME ("Checking object integrity", read 2026-11), and makes one
        of every other kind unless it is told otherwise.
        """
        return self.algorithm == "crc64nvme"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyDigests:
    """What was computed of one body, once, however often it is sent."""

    check: BodyCheck
    sha256: str | None = None
    checksum: str | None = None
    md5: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that make the service verify the body."""
        if self.checksum is not None and self.check.s3_algorithm:
            return {f"x-amz-checksum-{self.check.s3_algorithm.lower()}": self.checksum}
        if self.md5 is not None:
            return {"content-md5": checksums.encoded(bytes.fromhex(self.md5))}
        return {}


def unchecked(limits: Limits) -> BodyCheck:
    """Give the check of parts that others send: of those only the service knows anything."""
    return BodyCheck(
        algorithm=None,
        is_signed=False,
        has_md5_etags=limits.has_md5_etags,
        checks_object_size=limits.checks_object_size,
    )


def body_check(options: UploadOptions, limits: Limits, *, is_secure: bool) -> BodyCheck:
    """Choose the check.

    :raises InvalidRequestError: if the algorithm that was asked for is none of this service's.
    :raises ImportError: if it needs a wheel that is not installed.
    """
    is_signed = options.sign_payload if options.sign_payload is not None else not is_secure
    plain = BodyCheck(
        algorithm=None,
        is_signed=is_signed,
        has_md5_etags=limits.has_md5_etags,
        checks_object_size=limits.checks_object_size,
    )
    if options.checksum is None:
        return plain
    if options.checksum == "auto":
        if is_signed:
            return plain
        for name in AUTO_ORDER:
            if checksums.ALGORITHMS[name] in limits.checksums and checksums.is_available(name):
                return replace(plain, algorithm=name)
        # A service without CRCs: signing is the cheapest check that it does verify.
        return replace(plain, is_signed=options.sign_payload is None)
    wanted = checksums.ALGORITHMS[options.checksum]
    if wanted is not None and wanted not in limits.checksums:
        known = ", ".join(sorted(limits.checksums)) or "none"
        raise InvalidRequestError(
            f"checksum={options.checksum!r} is not verified by this service (it knows: {known})"
        )
    if wanted is None and not limits.takes_content_md5:
        raise InvalidRequestError("checksum='md5' is not verified by this service")
    checksums.new_digest(options.checksum)
    return replace(plain, algorithm=options.checksum)


def digests_of(body: Body, check: BodyCheck) -> BodyDigests:
    """Read ``body`` once for each digest that the check asks for: none at all for most uploads."""
    sha256 = None
    if check.is_signed:
        sha256 = (
            checksums.digest_of("sha256", body.buffers()).hex()
            if body.size
            else checksums.EMPTY_SHA256
        )
    if check.algorithm is None:
        return BodyDigests(check=check, sha256=sha256)
    if check.algorithm == "sha256" and sha256 is not None:
        digest = bytes.fromhex(sha256)
    else:
        digest = checksums.digest_of(check.algorithm, body.buffers())
    if check.algorithm == "md5":
        return BodyDigests(check=check, sha256=sha256, md5=digest.hex())
    return BodyDigests(check=check, sha256=sha256, checksum=checksums.encoded(digest))


def compare(
    request: S3Request, headers: Mapping[str, str], *, etag: str, digests: BodyDigests
) -> None:
    """Compare an answer to a body with what was sent.

    :raises ChecksumMismatchError: with both values, if the service names another one.
    """
    name = digests.check.s3_algorithm
    if name and digests.checksum is not None:
        echoed = headers.get(f"x-amz-checksum-{name.lower()}")
        if echoed is not None and echoed != digests.checksum:
            raise mismatch(request, what=name, sent=digests.checksum, answered=echoed)
    is_comparable = (
        digests.check.has_md5_etags and checksums.is_md5(etag) and not is_opaque_etag(headers)
    )
    if digests.md5 is not None and is_comparable and etag.lower() != digests.md5:
        raise mismatch(request, what="MD5", sent=digests.md5, answered=etag)


def mismatch(request: S3Request, *, what: str, sent: str, answered: str) -> ChecksumMismatchError:
    """Make the error that names both values."""
    return ChecksumMismatchError(
        f"{described(request)}: the {what} of what was sent is {sent}, "
        f"the service answered {answered}",
        **context_of(request),
    )


# -- the whole ------------------------------------------------------------------------------------


def composite_of(algorithm: str | None, parts: Sequence[UploadedPart]) -> str | None:
    """Give S3's COMPOSITE value of the parts' checksums; None where one of them has none."""
    digests = _digests(algorithm, parts)
    if algorithm is None or digests is None:
        return None
    return checksums.composite_checksum(algorithm, digests)


def full_object_of(algorithm: str | None, parts: Sequence[UploadedPart]) -> str | None:
    """Give the checksum of the bytes of all parts; None where it cannot be had from theirs."""
    digests = _digests(algorithm, parts)
    if algorithm is None or digests is None or not checksums.can_combine(algorithm):
        return None
    sizes = (part.size for part in parts)
    return checksums.encoded(
        checksums.combined_crc(algorithm, zip(digests, sizes, strict=True))  # In their order.
    )


def whole_of(check: BodyCheck, parts: Sequence[UploadedPart]) -> str | None:
    """Give the value of the whole that S3 makes of parts with this check, if they carry one."""
    make = full_object_of if check.is_full_object else composite_of
    return make(check.algorithm, parts)


def compare_whole(
    request: S3Request,
    *,
    algorithm: str | None,
    parts: Sequence[UploadedPart],
    answered: str,
    kind: str | None,
) -> None:
    """Compare the checksum of the whole that a service answered with what the parts make.

    :param kind: ``COMPOSITE`` or ``FULL_OBJECT``, or None where the answer does not say.
    :raises ChecksumMismatchError: with both values.
    """
    composite = composite_of(algorithm, parts)
    if "-" in answered or kind == "COMPOSITE":
        expected = composite if "-" in answered else (composite or "").partition("-")[0] or None
        candidates = {expected}
    else:
        expected = full_object_of(algorithm, parts)
        # Neither its kind nor a number behind it: a service may have left both out.
        candidates = {expected, (composite or "").partition("-")[0] if kind is None else expected}
    if expected is not None and answered not in candidates:
        what = checksums.ALGORITHMS.get(algorithm or "") or "checksum"
        raise _whole_mismatch(request, what=what, expected=expected, answered=answered)


def compare_whole_etag(
    request: S3Request, *, parts: Sequence[UploadedPart], answered: str | None, is_opaque: bool
) -> None:
    """Compare complete's ETag with the one the parts make, where it is one of that kind.

    :raises ChecksumMismatchError: with both values.
    """
    expected = checksums.composite_etag(part.etag for part in parts)
    if answered is None or expected is None or is_opaque or answered == expected:
        return
    digest, _, count = answered.partition("-")
    # A suffix that is not the number of parts is a service's own scheme, not a wrong ETag.
    if count == str(len(parts)) and checksums.is_md5(digest):
        raise _whole_mismatch(request, what="ETag", expected=expected, answered=answered)


def _digests(algorithm: str | None, parts: Sequence[UploadedPart]) -> list[bytes] | None:
    if algorithm is None or checksums.ALGORITHMS.get(algorithm) is None:
        return None
    digests = []
    for part in parts:
        digest = checksums.decoded(part.checksum or "", algorithm)
        if digest is None:
            return None
        digests.append(digest)
    return digests


def _whole_mismatch(
    request: S3Request, *, what: str, expected: str, answered: str
) -> ChecksumMismatchError:
    return ChecksumMismatchError(
        f"{request.operation} of {request.bucket}/{request.key}: the parts make {what} {expected}, "
        f"the service answered {answered}; the object was left alone",
        **context_of(request),
    )
