# SPDX-License-Identifier: Apache-2.0
"""The fake service: a pure state machine of a strict S3, one request in, one response out.

No socket, no thread, no clock of its own lives here; the loopback server serialises its calls. The
verbs are in ``objects.py``, ``multipart.py`` and ``listing.py``; what goes wrong is in
``faults.py``.
"""

from __future__ import annotations

from typing import Final
from datetime import datetime, timezone
from collections import deque
from dataclasses import field, replace, dataclass
from collections.abc import Mapping, Callable

from tests.fake_s3 import forms, listing, objects, multipart
from tests.fake_s3.sigv4 import Keyring, verify
from tests.fake_s3.store import (
    Store,
    Bucket,
    Upload,
    StoredObject,
    flip_bit,
    http_date,
    default_upload_id,
)
from tests.fake_s3.config import REGION, ACCESS_KEY, SECRET_KEY, Quirks, FakeLimits
from tests.fake_s3.faults import Fault
from tests.fake_s3.express import Zone
from tests.fake_s3.routing import WITH_BODY, OPERATIONS, Call, parse
from tests.fake_s3.messages import Request, S3Error, Response, RequestRecord, error_body

_HANDLERS: Final[dict[str, Callable[[Store, Call], Response]]] = {
    "ListBuckets": listing.list_buckets,
    "CreateBucket": objects.create_bucket,
    "HeadBucket": objects.head_bucket,
    "DeleteBucket": objects.delete_bucket,
    "GetBucketLocation": objects.bucket_location,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects,
    "DeleteObjects": objects.delete_objects,
    "PutObject": objects.put_object,
    "CopyObject": objects.copy_object,
    "GetObject": objects.get_object,
    "HeadObject": objects.get_object,
    "DeleteObject": objects.delete_object,
    "GetObjectTagging": objects.object_tagging,
    "InitiateMultipartUpload": multipart.initiate,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
    "CompleteMultipartUpload": multipart.complete,
    "AbortMultipartUpload": multipart.abort,
    "ListParts": listing.list_parts,
    "ListMultipartUploads": listing.list_uploads,
}

ANY: Final = "*"


@dataclass(slots=True, kw_only=True)
class _Script:
    operation: str
    part_number: int | None
    key: str | None
    faults: deque[Fault]
    forever: bool

    def matches(self, call: Call) -> bool:
        return (
            bool(self.faults)
            and self.operation in (ANY, call.operation)
            and self.part_number in (None, call.part_number)
            and self.key in (None, call.key)
        )

    def take(self) -> Fault:
        if self.forever and len(self.faults) == 1:
            return self.faults[0]
        return self.faults.popleft()


@dataclass(frozen=True, slots=True)
class _Unset:
    pass


_UNSET: Final = _Unset()


def system_clock() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(slots=True)
class FakeS3:
    """
    ``clock``, ``keyring`` and the scripts may be changed while it runs; the rest is fixed.

    :param credentials: access key to secret, or to (secret, session token).
    :param anonymous: True skips every check of identity.
    :param vhost_domain: hosts ``BUCKET.<vhost_domain>`` are understood too.
    :param is_express: it is a zone of S3 Express (``express.py``).
    """

    limits: FakeLimits = field(default_factory=FakeLimits)
    credentials: Mapping[str, str | tuple[str, str]] | None = None
    quirks: Quirks = field(default_factory=Quirks, kw_only=True)
    clock: Callable[[], datetime] = field(default=system_clock, kw_only=True)
    region: str = field(default=REGION, kw_only=True)
    anonymous: bool = field(default=False, kw_only=True)
    vhost_domain: str | None = field(default=None, kw_only=True)
    is_express: bool = field(default=False, kw_only=True)
    buckets: tuple[str, ...] = field(default=(), kw_only=True)
    name_upload: Callable[[int], str] = field(default=default_upload_id, kw_only=True)
    requests: list[RequestRecord] = field(default_factory=list, init=False)
    keyring: Keyring = field(init=False)
    store: Store = field(init=False)
    zone: Zone = field(init=False)
    _scripts: list[_Script] = field(default_factory=list, init=False)
    _answers: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        given = {ACCESS_KEY: SECRET_KEY} if self.credentials is None else self.credentials
        self.keyring = Keyring(credentials=dict(given), region=self.region)
        self.zone = Zone(self.keyring)
        self.store = Store(
            limits=self.limits,
            quirks=self.quirks,
            clock=lambda: self.clock(),
            region=self.region,
            name_upload=self.name_upload,
        )
        for name in self.buckets:
            self.store.buckets[name] = Bucket(name=name, created=self.store.now())

    @property
    def objects(self) -> dict[str, dict[str, StoredObject]]:
        return {name: bucket.objects for name, bucket in self.store.buckets.items()}

    @property
    def uploads(self) -> dict[str, Upload]:
        """Uploads that are neither complete nor aborted, by upload id."""
        return self.store.uploads

    def requests_of(self, operation: str) -> list[RequestRecord]:
        _check_operation(operation)
        return [record for record in self.requests if operation in (ANY, record.operation)]

    def script(
        self,
        operation: str,
        *faults: Fault,
        part_number: int | None = None,
        key: str | None = None,
        forever: bool = False,
    ) -> None:
        """
        Each fault is consumed by one matching request, in order; scripts are asked in the order
        given, and each request meets one at most. ``forever`` keeps the last fault.
        """
        _check_operation(operation)
        script = _Script(
            operation=operation,
            part_number=part_number,
            key=key,
            faults=deque(faults),
            forever=forever,
        )
        self._scripts.append(script)

    def clear_scripts(self) -> None:
        self._scripts.clear()

    @property
    def unspent(self) -> list[str]:
        """Names of faults that no request met yet; those kept for ever do not count."""
        waiting = [(s, fault) for s in self._scripts for fault in s.faults]
        return [fault.name for s, fault in waiting if not (s.forever and fault is s.faults[-1])]

    def operation_of(self, request: Request) -> str:
        """Empty for what the fake does not understand."""
        try:
            return parse(request, self.vhost_domain).operation
        except S3Error:
            return ""

    def take_fault(self, request: Request) -> Fault | None:
        """The scripted fault for this request, consumed; a request's head is enough to know."""
        try:
            call = parse(request, self.vhost_domain)
        except S3Error:
            return None
        script = next((script for script in self._scripts if script.matches(call)), None)
        return script.take() if script is not None else None

    def handle(self, request: Request, *, fault: Fault | _Unset | None = _UNSET) -> Response:
        """
        Answer one request; never raises. The server passes the fault it took from the head.

        :returns: a response whose ``is_lost`` tells whether a client would see it.
        """
        if isinstance(fault, _Unset):
            fault = self.take_fault(request)
        applies = fault is None or (fault.applied and not fault.loses_request)
        if fault is not None and fault.damage == "received":
            request = replace(request, body=flip_bit(request.body))
        response = self._apply(request, fault) if applies else None
        applied = response is not None and response.status < 400
        if fault is not None:
            response = fault.answer or response
            if response is not None and fault.edit is not None:
                response = _edited(response, fault.edit)
        response = Response(status=0) if response is None else self._finish(request, response)
        if fault is not None:
            response = replace(response, wire=fault.wire)
        self._log(request, response, applied, fault)
        return response

    def _apply(self, request: Request, fault: Fault | None) -> Response:
        call = None
        try:
            call = parse(request, self.vhost_domain)
            if fault is not None and fault.damage is not None:
                call = replace(call, damage=fault.damage)
            return self._dispatch(call)
        except S3Error as error:
            resource = request.target.partition("?")[0]
            details = {"Resource": resource, **error.details, "RequestId": self._request_id()}
            body = error_body(error.code, error.message, details)
            headers = (("content-type", "application/xml"), *error.headers)
            return Response(status=error.status, headers=headers, body=body, code=error.code)

    def _dispatch(self, call: Call) -> Response:
        if call.header("transfer-encoding") is not None:
            text = "A header you provided implies functionality that is not implemented"
            raise S3Error("NotImplemented", text, Header="Transfer-Encoding")
        if call.operation in WITH_BODY and call.header("content-length") is None:
            raise S3Error("MissingContentLength")
        if call.operation == "PostObject":
            call = forms.allowed(call, self.keyring, self.clock())
        elif self.is_express:
            self.zone.admit(call, self.clock())
            if call.operation == "CreateSession":
                return self.zone.create_session(self.store, call, self.clock())
        elif not self.anonymous:
            verify(call.request, self.keyring, self.clock())
        if call.operation not in _HANDLERS:
            raise S3Error("NotImplemented", f"The fake has no {call.operation} here")
        return _HANDLERS[call.operation](self.store, call)

    def _request_id(self) -> str:
        return f"FAKE{self._answers + 1:012d}"

    def _finish(self, request: Request, response: Response) -> Response:
        names = {name for name, _ in response.headers}
        headers = list(response.headers)
        headers += [("x-amz-request-id", self._request_id()), ("x-amz-id-2", "fake")]
        self._answers += 1
        if "date" not in names:
            headers.append(("date", http_date(self.clock())))
        headers.append(("server", "FakeS3"))
        body = response.body
        if request.method == "HEAD":
            body = b""
        elif "content-length" not in names and response.status not in (204, 304):
            headers.append(("content-length", str(len(body))))
        return replace(response, headers=tuple(headers), body=body)

    def _log(
        self, request: Request, response: Response, applied: bool, fault: Fault | None
    ) -> None:
        try:
            call = parse(request, self.vhost_domain)
        except S3Error:
            call = Call(operation="", request=request, query={})
        record = RequestRecord(
            operation=call.operation,
            method=request.method,
            target=request.target,
            bucket=call.bucket,
            key=call.key,
            part_number=call.part_number,
            upload_id=call.upload_id,
            headers=dict(request.headers),
            body_size=len(request.body),
            status=0 if response.is_lost else response.status,
            code=response.code,
            applied=applied,
            fault=fault.name if fault is not None else None,
        )
        self.requests.append(record)


def _edited(response: Response, edit: Callable[[Response], Response]) -> Response:
    """The edit, and no Content-Length that the old body had."""
    edited = edit(response)
    if edited.body == response.body:
        return edited
    headers = tuple(pair for pair in edited.headers if pair[0] != "content-length")
    return replace(edited, headers=headers)


def _check_operation(operation: str) -> None:
    """A script for a misspelt operation would never fire, and its test would pass."""
    if operation != ANY and operation not in OPERATIONS:
        raise ValueError(f"no operation {operation!r}; there are {sorted(OPERATIONS)} and {ANY!r}")
