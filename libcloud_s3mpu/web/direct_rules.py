# SPDX-License-Identifier: Apache-2.0
"""The rules of direct uploads: which key, which type, how large, and who is asked.

Every operation of every layout passes through :class:`DirectRules`, so that nothing is signed
outside the prefix whatever a client says. The layouts are :mod:`.direct_companion`,
:mod:`.direct_sign` and :mod:`.direct_files`.
"""

from __future__ import annotations

import re
import json
import uuid
import fnmatch
from typing import Any
from dataclasses import dataclass
from collections.abc import Mapping, Callable, Sequence

from .hooks import allows
from .messages import Refuse, Request
from .direct_store import DirectStore, check_metadata

#: Ten thousand parts with their ETags are 0.7 MB of JSON.
_MAX_JSON_BYTES = 2 * 1024 * 1024
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,120}/[A-Za-z0-9!#$&^_.+-]{1,120}(;[ -~]{1,200})?")
_UNSAFE = re.compile(r"[^\w.\- ()+,=@]+")
Authorize = Callable[[Request, str, str], object]
MakeKey = Callable[[Request, str, Mapping[str, str]], str]


def default_key(request: Request, filename: str, metadata: Mapping[str, str]) -> str:
    """Give a name that nobody can guess, and the file's own for people to read."""
    plain = _UNSAFE.sub("_", filename.replace("\\", "/").rpartition("/")[2])[-100:]
    return f"{uuid.uuid4()}-{plain}" if plain.strip(". ") else str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectRules:
    """What is allowed; every operation of every layout passes through here."""

    store: DirectStore
    prefix: str
    authorize: Authorize
    make_key: MakeKey
    content_types: Sequence[str] | None

    def new_key(self, request: Request, filename: Any, metadata: Mapping[str, str]) -> str:
        """Choose the key of a new object, below the prefix, and ask whether it may be made.

        :raises Refuse: 403 if not; 400 if the file's name is no text.
        """
        if not isinstance(filename, str):
            raise Refuse(400, "filename must be a text")
        made = self.make_key(request, filename, metadata)
        return self.allowed(request, "create", f"{self.prefix}{made}")

    def allowed(self, request: Request, action: str, key: Any) -> str:
        """Give a key back, if it lies below the prefix and the app allows the action on it.

        :raises Refuse: 400 for no key, 403 for one outside or not allowed.
        """
        if not isinstance(key, str) or not key:
            raise Refuse(400, "key is missing")
        segments = key.split("/")
        # Browsers and proxies remove such segments from URLs: they would lead out of the prefix.
        if not key.startswith(self.prefix) or key == self.prefix or {".", ".."} & set(segments):
            raise Refuse(403, "this key is not yours")
        try:
            key.encode()
        except UnicodeEncodeError as error:  # Half a surrogate pair, which JSON can hold.
            raise Refuse(400, "this key is no text") from error
        self.ask(request, action, key)
        return key

    def ask(self, request: Request, action: str, key: str) -> None:
        """Ask the app; only what is true allows.

        :raises Refuse: 403 if it does not.
        """
        if not allows(self.authorize(request, action, key)):
            raise Refuse(403, "not allowed")

    def content_type(self, given: Any) -> str:
        """Give the type of a new object.

        :raises Refuse: 400 if it is none, 415 if it is not allowed.
        """
        kind = "application/octet-stream" if given in (None, "") else given
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
            raise Refuse(400, "type must be a content type")
        plain = kind.partition(";")[0].lower()
        if self.content_types is not None and not any(
            fnmatch.fnmatchcase(plain, pattern.lower()) for pattern in self.content_types
        ):
            raise Refuse(415, "files of this type are not taken")
        return kind

    def size(self, given: Any) -> None:
        """Refuse a declared size that is too much; what was not declared is checked at the end.

        :raises Refuse: 400 if it is no number, 413 if it is too much.
        """
        if given is None:
            return
        if isinstance(given, bool) or not isinstance(given, int) or given < 0:
            raise Refuse(400, "size must be a number of bytes")
        limit = self.store.max_size_bytes
        if limit is not None and given > limit:
            raise Refuse(413, f"a file may have {limit} bytes")

    def metadata(self, given: Any) -> dict[str, str]:
        return check_metadata(given)


def read_json(request: Request) -> dict[str, Any]:
    """Read a body that must be a JSON object.

    :raises Refuse: 413 if it is too large, 400 if it is something else.
    """
    data = read_all(request, _MAX_JSON_BYTES)
    try:
        value = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refuse(400, "the body must be JSON") from error
    if not isinstance(value, dict):
        raise Refuse(400, "the body must be a JSON object")
    return value


def read_all(request: Request, most: int) -> bytes:
    """Read a small body.

    :raises Refuse: 413 if it is not small, 400 if it is cut.
    """
    pieces, size = [], 0
    while data := request.body.read(65536):
        size += len(data)
        if size > most:
            raise Refuse(413, "the body is too large")
        pieces.append(data)
    if request.body.is_cut:
        raise Refuse(400, "the body was cut")
    return b"".join(pieces)


def part_numbers(text: str, rules: DirectRules) -> list[int]:
    """Read ``1`` or ``1,2,3``.

    :raises Refuse: 400 unless all are numbers that a part can have.
    """
    most = int(rules.store.driver.ex_limits.max_parts)
    pieces = [piece.strip(" ") for piece in text.split(",")]
    if len(pieces) > most or not all(re.fullmatch(r"[0-9]{1,6}", piece) for piece in pieces):
        raise Refuse(400, f"part numbers are 1 to {most}")
    numbers = [int(piece) for piece in pieces]
    if not all(1 <= number <= most for number in numbers):
        raise Refuse(400, f"part numbers are 1 to {most}")
    return sorted(set(numbers))
