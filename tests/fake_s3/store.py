# SPDX-License-Identifier: Apache-2.0
"""What the fake keeps: buckets, objects, uploads, parts; and the checks that storing shares.

No verb is answered here. The reader goes next to ``objects.py``.
"""

from __future__ import annotations

import base64
import hashlib
import binascii
from datetime import datetime, timezone
from dataclasses import field, dataclass
from email.utils import format_datetime
from collections.abc import Mapping, Callable

from tests.fake_s3 import checksums
from tests.fake_s3.config import Quirks, FakeLimits
from tests.fake_s3.routing import Call
from tests.fake_s3.messages import Pairs, S3Error, Children, Response, render

_KEPT = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
    "x-amz-website-redirect-location",
)
_CUSTOMER = "server-side-encryption-customer-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What an object carries besides its bytes. ``metadata`` names have no prefix."""

    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    acl: str | None = None
    tagging: str | None = None
    encryption: str | None = None
    customer_key_md5: str | None = None
    has_random_etag: bool = False

    @property
    def has_opaque_etag(self) -> bool:
        """True where AWS's ETag is not an MD5: SSE-KMS, SSE-C, and directory buckets."""
        if self.has_random_etag:
            return True
        return self.customer_key_md5 is not None or (self.encryption or "").startswith("aws:kms")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    part_number: int
    body: bytes = field(repr=False)
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    last_modified: datetime

    @property
    def size(self) -> int:
        return len(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    key: str
    body: bytes = field(repr=False)
    etag: str
    attributes: Attributes
    last_modified: datetime
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    checksum: str | None = None
    part_sizes: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.attributes.metadata


@dataclass(slots=True, kw_only=True)
class Upload:
    upload_id: str
    bucket: str
    key: str
    attributes: Attributes
    initiated: datetime
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    parts: dict[int, StoredPart] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Bucket:
    name: str
    created: datetime
    objects: dict[str, StoredObject] = field(default_factory=dict)


def default_upload_id(number: int) -> str:
    """Sorted by time of initiation, and holding what a careless client encodes wrongly."""
    return f"up{number:06d}+/=&%~"


@dataclass(slots=True, kw_only=True)
class Store:
    limits: FakeLimits
    quirks: Quirks
    clock: Callable[[], datetime]
    region: str
    name_upload: Callable[[int], str]
    buckets: dict[str, Bucket] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    #: Answers of completed uploads, for the services that answer them again.
    completed: dict[str, Response] = field(default_factory=dict)
    initiated_count: int = 0

    def now(self) -> datetime:
        return self.clock().astimezone(timezone.utc).replace(microsecond=0)

    def bucket(self, call: Call) -> Bucket:
        found = self.buckets.get(call.bucket)
        if found is None:
            raise S3Error("NoSuchBucket", BucketName=call.bucket)
        return found

    def check_key(self, key: str) -> None:
        size = len(key.encode("utf-8"))
        if size > self.limits.max_key_bytes:
            raise S3Error("KeyTooLongError", Size=size, MaxSizeAllowed=self.limits.max_key_bytes)

    def quoted(self, etag: str) -> str:
        return f'"{etag}"' if self.quirks.quotes_etags else etag

    def xml(self, root: str, children: str | Children, headers: Pairs = ()) -> Response:
        body = render(root, children, namespace=self.quirks.namespace)
        headers = (("content-type", "application/xml"), *headers)
        return Response(status=200, headers=headers, body=body)


def iso_date(when: datetime) -> str:
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def http_date(when: datetime) -> str:
    return format_datetime(when.astimezone(timezone.utc), usegmt=True)


def customer_key_md5(call: Call, store: Store, *, prefix: str = "x-amz-") -> str | None:
    """The MD5 of the SSE-C key a request carries, verified against the key itself; or None."""
    names = ("algorithm", "key", "key-md5")
    algorithm, key, md5 = (call.header(f"{prefix}{_CUSTOMER}{name}") for name in names)
    if algorithm is None and key is None and md5 is None:
        return None
    if not call.request.secure and not store.quirks.customer_keys_over_http:
        text = "Requests specifying Server Side Encryption with Customer provided keys must be "
        raise S3Error("InvalidRequest", text + "made over a secure connection.")
    if algorithm != "AES256" or key is None or md5 is None:
        raise S3Error("InvalidArgument", "SSE-C needs its algorithm (AES256), key and key MD5.")
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise S3Error("InvalidArgument", "The secret key was invalid for the specified algorithm.")
    if base64.b64encode(hashlib.md5(raw).digest()).decode() != md5:
        raise S3Error("InvalidArgument", "The calculated MD5 hash of the key did not match.")
    return md5


def check_customer_key(
    attributes: Attributes, call: Call, store: Store, *, prefix: str = "x-amz-"
) -> None:
    """An object stored under a customer's key is read with that key only."""
    given = customer_key_md5(call, store, prefix=prefix)
    if attributes.customer_key_md5 is None:
        if given is not None:
            text = "The encryption parameters are not applicable to this object."
            raise S3Error("InvalidRequest", text)
    elif given is None:
        text = "The object was stored using a form of Server Side Encryption."
        raise S3Error("InvalidRequest", text)
    elif given != attributes.customer_key_md5:
        raise S3Error("AccessDenied")


def encryption_headers(attributes: Attributes) -> Pairs:
    if attributes.customer_key_md5 is not None:
        return (
            (f"x-amz-{_CUSTOMER}algorithm", "AES256"),
            (f"x-amz-{_CUSTOMER}key-md5", attributes.customer_key_md5),
        )
    if attributes.encryption is not None:
        return (("x-amz-server-side-encryption", attributes.encryption),)
    return ()


def attributes_of(call: Call, store: Store) -> Attributes:
    headers = {name: value for name, value in call.request.headers if name in _KEPT}
    headers.setdefault("content-type", "binary/octet-stream")
    metadata: dict[str, str] = {}
    for name, value in call.request.headers:
        if name.startswith("x-amz-meta-"):
            short = name[len("x-amz-meta-") :]
            metadata[short] = f"{metadata[short]},{value}" if short in metadata else value
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > store.limits.max_metadata_bytes:
        maximum = store.limits.max_metadata_bytes
        raise S3Error("MetadataTooLarge", Size=size, MaxSizeAllowed=maximum)
    encryption = call.header("x-amz-server-side-encryption")
    if encryption not in (None, "AES256", "aws:kms", "aws:kms:dsse"):
        raise S3Error("InvalidArgument", "The encryption method specified is not supported")
    return Attributes(
        headers=headers,
        metadata=metadata,
        storage_class=call.header("x-amz-storage-class") or "STANDARD",
        acl=call.header("x-amz-acl"),
        tagging=call.header("x-amz-tagging"),
        encryption=encryption,
        customer_key_md5=customer_key_md5(call, store),
        has_random_etag=store.quirks.random_etags,
    )


def etag_of(body: bytes, attributes: Attributes) -> str:
    salt = b"opaque:" if attributes.has_opaque_etag else b""
    return hashlib.md5(salt + body).hexdigest()


def damaged(call: Call, body: bytes) -> tuple[bytes, bytes]:
    """
    Give the bytes to keep and the bytes whose ETag and checksum are answered; they differ from
    ``body`` only where a fault corrupts the store.
    """
    if call.damage not in ("stored", "stored_silently"):
        return body, body
    wrong = flip_bit(body)
    return wrong, (wrong if call.damage == "stored" else body)


def flip_bit(body: bytes) -> bytes:
    """One bit of the middle byte; an empty body stays as it is."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else body


def check_content_md5(call: Call) -> bool:
    """:returns: whether the request carried one."""
    given = call.header("content-md5")
    if given is None:
        return False
    try:
        raw = base64.b64decode(given, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 16:
        raise S3Error("InvalidDigest")
    computed = hashlib.md5(call.body).digest()
    if raw != computed:
        expected = base64.b64encode(computed).decode()
        raise S3Error("BadDigest", ExpectedDigest=given, CalculatedDigest=expected)
    return True


def named_checksum(call: Call, store: Store) -> tuple[str, str] | None:
    """
    Give (algorithm, value) of the one ``x-amz-checksum-*`` a request carries, or None. Its form is
    checked, its value not: what it covers depends on the verb.
    """
    if not store.quirks.verifies_checksums:
        return None
    carried = [
        (algorithm, value)
        for algorithm in checksums.ALGORITHMS
        if (value := call.header(checksums.header_name(algorithm))) is not None
    ]
    if len(carried) > 1:
        text = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise S3Error("InvalidRequest", text)
    announced = call.header("x-amz-sdk-checksum-algorithm")
    if announced is not None and not carried:
        text = "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-*"
        raise S3Error("InvalidRequest", text + " or x-amz-trailer headers were found.")
    if not carried:
        return None
    algorithm, value = carried[0]
    if announced is not None and announced.upper() != algorithm:
        text = "Value for x-amz-sdk-checksum-algorithm header is invalid."
        raise S3Error("InvalidRequest", text)
    return algorithm, value


def body_checksum(call: Call, store: Store) -> tuple[str, str] | None:
    """As :func:`named_checksum`, verified against the body."""
    carried = named_checksum(call, store)
    if carried is None:
        return None
    algorithm, value = carried
    if not checksums.is_well_formed(algorithm, value):
        name = checksums.header_name(algorithm)
        raise S3Error("InvalidRequest", f"Value for {name} header is invalid.")
    if checksums.checksum(algorithm, call.body) != value:
        text = f"The {algorithm} you specified did not match the calculated checksum."
        raise S3Error("BadDigest", text)
    return carried


def check_write_conditions(call: Call, existing: StoredObject | None) -> None:
    """If-None-Match and If-Match of PUT and complete."""
    if_none_match, if_match = call.header("if-none-match"), call.header("if-match")
    if if_none_match is not None:
        if if_none_match != "*" or if_match is not None:
            raise S3Error("NotImplemented", Header="If-None-Match")
        if existing is not None:
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
    if if_match is not None:
        if existing is None:
            raise S3Error("NoSuchKey", Key=call.key)
        if if_match not in ("*", existing.etag, f'"{existing.etag}"'):
            raise S3Error("PreconditionFailed", Condition="If-Match")
