# SPDX-License-Identifier: Apache-2.0
"""Where keys come from that run out: the user's callable, asked early, once for all threads.

:class:`CredentialsSource` keeps what ``ex_credentials`` gave and asks again before it expires or
when the service refuses it. Nothing here signs or sends; :mod:`.connection` asks at each request.
No lock is held while the callable runs: who takes the one turn from a deque asks, the others go on
with the old keys while these are valid, else wait. A turn that was lost (Ctrl-C between taking it
and the block that gives it back, a fork) is made anew after :data:`PATIENCE_SECONDS`.
"""

from __future__ import annotations

import os
import re
import time
import logging
from typing import Any
from datetime import datetime, timezone
from importlib import import_module
from collections import deque
from dataclasses import field, dataclass
from collections.abc import Mapping, Callable

from libcloud.common.types import InvalidCredsError

from ..protocol.errors import S3MultipartError
from ..protocol.signing import Credentials
from ..protocol.messages import redacted

log = logging.getLogger("libcloud_s3mpu.credentials")

#: Keys are asked for anew this long before they expire. botocore asks from 15 minutes before and
#: insists from 10 (botocore/credentials.py, RefreshableCredentials, read 2026-11).
REFRESH_BEFORE_SECONDS = 300.0
#: Not sooner than this after a call that failed or gave expired keys: a request each would storm.
ASK_AGAIN_SECONDS = 10.0
#: How long a thread waits for another's call before it asks itself.
PATIENCE_SECONDS = 60.0
#: Keys that were replaced this recently are not what the service refused.
JUST_CHANGED_SECONDS = 5.0
#: How often a waiting thread looks.
_LOOK_SECONDS = 0.02
#: An epoch beyond this is in milliseconds (Nuxeo's): in seconds it would be the year 5138.
_MILLISECONDS_FROM = 1e11


class CredentialsError(S3MultipartError, InvalidCredsError):  # type: ignore[misc]
    """``ex_credentials`` failed or gave no keys, or there are none; ``__cause__`` says why."""


@dataclass(frozen=True, slots=True)
class ExpiringCredentials:
    """Keys and when they run out; never shown.

    :param expires_at: an aware datetime, ISO 8601 text with a zone, or seconds since the epoch;
        None if they do not run out.
    """

    credentials: Credentials
    expires_at: datetime | str | float | None = None
    #: The same in seconds since the epoch.
    expires_epoch: float | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "expires_epoch", _epoch(self.expires_at))

    def __repr__(self) -> str:
        if self.expires_epoch is None:
            return f"<ExpiringCredentials {self.credentials!r}>"
        return f"<ExpiringCredentials {self.credentials!r} until {_shown(self.expires_epoch)}>"


#: What ``ex_credentials`` may give: besides our own values, the mappings of STS, IMDS and Nuxeo,
#: botocore's credentials, and tuples (access key, secret key[, token[, expires at]]).
GivenCredentials = Any

#: Names in lower case without underscores and "aws" in front -> field.
_NAMES = {
    "accesskey": "access_key",
    "accesskeyid": "access_key",
    "secretkeyid": "access_key",  # Nuxeo's name for it.
    "secretkey": "secret_key",
    "secretaccesskey": "secret_key",
    "token": "token",
    "sessiontoken": "token",
    "securitytoken": "token",
    "expiration": "expires_at",
    "expires": "expires_at",
    "expiresat": "expires_at",
    "expirytime": "expires_at",
}


def _epoch(moment: Any) -> float | None:
    """Give seconds since the epoch.

    :raises ValueError: for a moment without a zone: nobody knows when that is.
    """
    if moment is None or moment == "":
        return None
    if isinstance(moment, str):
        if re.fullmatch(r"\d+(\.\d+)?", moment):
            moment = float(moment)
        else:
            moment = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", moment.strip()))
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("the moment of expiry has no time zone")
        return moment.timestamp()
    if isinstance(moment, bool) or not isinstance(moment, (int, float)):
        raise ValueError(f"the moment of expiry is a {type(moment).__name__}")
    return float(moment) / 1000.0 if moment > _MILLISECONDS_FROM else float(moment)


def _shown(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_credentials(given: GivenCredentials) -> ExpiringCredentials:
    """Give what the callable gave as our value.

    :raises ValueError: if there are no keys in it; the text never quotes a value.
    """
    if isinstance(given, ExpiringCredentials):
        return given
    if isinstance(given, Credentials):
        return ExpiringCredentials(given)
    fields: dict[str, Any]
    if isinstance(given, (tuple, list)):
        if not 2 <= len(given) <= 4:
            raise ValueError(f"it gave a {type(given).__name__} of {len(given)} items, not 2 to 4")
        names = ("access_key", "secret_key", "token", "expires_at")
        fields = dict(zip(names, given, strict=False))
    elif isinstance(given, Mapping):
        nested = given.get("Credentials")  # As STS answers.
        if isinstance(nested, Mapping):
            given = nested
        fields = {}
        for name, value in given.items():
            found = _NAMES.get(str(name).lower().replace("_", "").removeprefix("aws"))
            if found is not None and value is not None:
                fields.setdefault(found, value)
    else:
        fields = _fields_of_object(given)
    access_key, secret_key = fields.get("access_key"), fields.get("secret_key")
    token = fields.get("token") or None
    if not all(isinstance(k, str) and k for k in (access_key, secret_key)):
        raise ValueError(f"it gave a {type(given).__name__} without an access key and a secret key")
    if token is not None and not isinstance(token, str):
        raise ValueError(f"the session token it gave is a {type(token).__name__}, not a str")
    if not all(str(k).isprintable() and str(k).isascii() for k in (access_key, token or "")):
        raise ValueError("the access key or token it gave cannot stand in a header")
    keys = Credentials(str(access_key), str(secret_key), token)
    return ExpiringCredentials(keys, fields.get("expires_at"))


def _fields_of_object(given: Any) -> dict[str, Any]:
    """Read botocore's Credentials (frozen at once: theirs change under the reader) or alike."""
    freeze = getattr(given, "get_frozen_credentials", None)
    # RefreshableCredentials keeps this one private; get_frozen_credentials() renews what is due.
    frozen = freeze() if callable(freeze) else given
    return {
        "access_key": getattr(frozen, "access_key", None),
        "secret_key": getattr(frozen, "secret_key", None),
        "token": getattr(frozen, "token", None),
        "expires_at": getattr(given, "_expiry_time", None) or getattr(given, "expires_at", None),
    }


class _Held:
    """What the last call gave, and when the next is due; replaced whole, never changed."""

    __slots__ = ("credentials", "due_at", "expires_at", "is_new", "since")

    def __init__(
        self, given: ExpiringCredentials, *, now: float, refresh_before: float, before: _Held | None
    ) -> None:
        self.credentials = given.credentials
        self.is_new = before is None or before.credentials != given.credentials
        self.since = now
        self.expires_at = given.expires_epoch
        self.due_at = float("inf")
        if self.expires_at is not None:
            # Keys that live shorter than twice that are used for half of their life; expired ones
            # (or a wrong clock here) are tried, and the service decides.
            left = self.expires_at - now
            self.due_at = max(now + ASK_AGAIN_SECONDS, now + max(left - refresh_before, left / 2))

    def is_valid(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


class CredentialsSource:
    """Keys from a callable, kept until shortly before they expire; any thread, any number.

    :param call: gives keys (:data:`GivenCredentials`); called by one thread at a time.
    :param refresh_before_seconds: how long before their expiry new ones are asked for.
    :param on_change: told of new keys, in the thread that asked.
    """

    def __init__(
        self,
        call: Callable[[], GivenCredentials],
        *,
        refresh_before_seconds: float = REFRESH_BEFORE_SECONDS,
        on_change: Callable[[Credentials], None] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not callable(call):
            raise TypeError(f"ex_credentials must be callable, not {type(call).__name__}")
        if refresh_before_seconds < 0:
            raise ValueError("refresh_before_seconds must not be negative")
        self.call = call
        self.refresh_before_seconds = refresh_before_seconds
        self._on_change = on_change
        self._clock = clock
        self._sleep = sleep
        self._held: _Held | None = None
        self._failure: BaseException | None = None
        #: How many calls have ended, well or not: those who waited for one take its outcome.
        self._ended = 0
        self._not_before = 0.0
        self._turn: deque[None] = deque((None,), maxlen=1)
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<CredentialsSource {_name_of(self.call)}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a CredentialsSource holds secret keys and cannot be pickled")

    def current(self) -> Credentials:
        """Give keys to sign with now; asks for new ones first if it is time.

        :raises CredentialsError: if there are none that are valid and the callable gave none.
        """
        held = self._held
        now = self._clock()
        if held is not None and (now < held.due_at or now < self._not_before):
            return held.credentials
        if held is not None and held.is_valid(now):
            self._ask(waits=False)  # If it fails, or another is at it: the old ones still do.
        else:
            self._ask(waits=True)
        held = self._held
        if held is None:
            raise self._error()
        return held.credentials

    @property
    def expires_epoch(self) -> float | None:
        """When the keys of now run out, in seconds since the epoch; None if nobody said."""
        held = self._held
        return held.expires_at if held is not None else None

    def refresh(self, used: Credentials | None = None) -> bool:
        """Ask for new keys since the service refused ``used``; True if there are others now.

        Does nothing if another thread replaced them already. None stands for the keys as they are,
        unless they have just changed. Where the callable fails it is True as well: the refused keys
        are dropped, and the next request's own call succeeds, or says what is wrong.
        """
        held = self._held
        if held is not None:
            if used is not None and held.credentials != used:
                return True
            is_recent = 0 <= self._clock() - held.since < JUST_CHANGED_SECONDS
            if used is None and is_recent and self._ended > 1:
                return held.is_new
        before = used or (held.credentials if held is not None else None)
        self._ask(waits=True)
        held = self._held
        if held is not None and held.credentials == before and self._failure is not None:
            self._held = held = None
        return held is None or held.credentials != before

    # -- private ---------------------------------------------------------------------------------

    def _ask(self, *, waits: bool) -> None:
        """Have the callable called once, by this thread or by the one that is at it."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._turn.append(None)  # A thread that had it stayed in the parent.
        ended = self._ended
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._turn.pop()
            except IndexError:
                pass
            else:
                try:
                    if self._ended == ended:
                        self._call()
                finally:
                    self._turn.append(None)
                return
            if not waits or self._ended != ended:
                return
            if time.monotonic() >= until:
                self._turn.append(None)  # It was lost, or hangs: this thread asks itself.
                until = time.monotonic() + PATIENCE_SECONDS
            self._sleep(_LOOK_SECONDS)

    def _call(self) -> None:
        """Ask; what it gives, or why it failed, is noted and never raised here."""
        before = self._held
        try:
            given = as_credentials(self.call())
        except Exception as error:
            self._failure = error
            self._not_before = self._clock() + ASK_AGAIN_SECONDS
            if before is not None:
                log.warning("%s; the old keys are used", self._error_text(error))
            if before is not None and not before.is_valid(self._clock()):
                self._held = None
                self._not_before = 0.0
            self._ended += 1
            return
        now = self._clock()
        held = _Held(given, now=now, refresh_before=self.refresh_before_seconds, before=before)
        self._failure = None
        self._not_before = 0.0
        self._held = held
        self._ended += 1
        if held.is_new:
            until = _shown(held.expires_at) if held.expires_at is not None else "further notice"
            log.debug("keys from %s until %s", _name_of(self.call), until)
            if self._on_change is not None:
                self._on_change(held.credentials)

    def _error(self) -> CredentialsError:
        failure = self._failure
        error = CredentialsError(self._error_text(failure), operation="ex_credentials")
        # The network between here and whoever gives keys fails as any other does.
        error.retryable = isinstance(failure, OSError)
        error.__cause__ = failure
        return error

    def _error_text(self, failure: BaseException | None) -> str:
        name = _name_of(self.call)
        if failure is None:
            return f"ex_credentials ({name}) did not answer within {PATIENCE_SECONDS:g} s"
        said = redacted(" ".join(str(failure).split()))[:200]
        return f"ex_credentials ({name}) failed: {type(failure).__name__}: {said}"


def _name_of(call: Any) -> str:
    """Name a callable; its repr may show what it holds."""
    named = call if hasattr(call, "__qualname__") else type(call)
    return f"{named.__module__}.{named.__qualname__}"


class BotocoreCredentials:
    """Keys from botocore's provider chain; made by :func:`botocore_credentials`."""

    #: Its pickle has the profile's name and nothing else.
    holds_no_secrets = True

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._found: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return botocore_credentials, (self._profile,)

    def __repr__(self) -> str:
        return f"<botocore_credentials {self._profile or 'default'}>"

    def __call__(self) -> ExpiringCredentials:
        if self._found is None:
            try:
                session = import_module("botocore.session").Session(profile=self._profile)
            except ModuleNotFoundError as error:
                raise RuntimeError('pip install "libcloud_s3mpu[aws]"') from error
            self._found = session.get_credentials()
        if self._found is None:
            raise RuntimeError("botocore found no keys anywhere")
        return as_credentials(self._found)


def botocore_credentials(profile: str | None = None) -> BotocoreCredentials:
    """Give a callable for ``ex_credentials`` over botocore's provider chain (extra ``aws``).

    Environment, profiles, SSO, IMDS, ECS, web identity: whatever botocore finds first, once; it is
    asked at the first request, and renews what runs out.

    :param profile: of the AWS CLI's files; the environment's or ``default`` if None.
    """
    return BotocoreCredentials(profile)
