# SPDX-License-Identifier: Apache-2.0
"""The command line's small vocabulary: sizes, S3 URLs, lines of text, and how a command ends early.

Values and text only; nothing here reads, writes or connects, and neither click nor rich is used.
"""

from __future__ import annotations

import re
import shlex
import signal
from typing import Any
from dataclasses import dataclass

from ..protocol.limits import GIB, KIB, MIB, TIB

_STOPS = ".:;,!?"
_UNITS = {"": 1, "kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB}


class Failed(Exception):
    """A command failed; the text is all there is to say."""


class ReaderGoneError(Exception):
    """Nobody reads our standard output any more."""


class Interrupted(BaseException):
    """A signal asked this process to end; no Exception, so that nothing takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}"

    @property
    def exit_code(self) -> int:
        return 128 + self.number


@dataclass(frozen=True, slots=True)
class S3Url:
    """``s3://bucket/key``; the key is exactly what stands after the bucket, never decoded."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"

    @classmethod
    def parse(cls, text: str) -> S3Url:
        """:raises ValueError: if it is none."""
        if not text.startswith("s3://"):
            raise ValueError(f"{text!r} is no S3 URL: it reads s3://bucket/key")
        bucket, _, key = text[len("s3://") :].partition("/")
        if not bucket:
            raise ValueError(f"{text!r} names no bucket: it reads s3://bucket/key")
        return cls(bucket, key)


def is_remote(text: Any) -> bool:
    """Tell whether an argument that may be a file too is an S3 URL."""
    return isinstance(text, S3Url) or str(text).startswith("s3://")


def is_terminal(stream: Any) -> bool:
    """Tell whether a person may be looking; a stream that is closed has nobody."""
    return stream is not None and not stream.closed and bool(stream.isatty())


def parse_size(text: str) -> int:
    """Read ``1048576``, ``512MiB``, ``5GiB``: a number of bytes.

    :raises ValueError: for anything else; ``MB`` and ``M`` are refused, as some mean 1000s by them.
    """
    match = re.fullmatch(r"([0-9]+) ?([A-Za-z]*)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: write 512MiB, 5GiB or a number of bytes")
    number, unit = match.groups()
    if unit.lower() in _UNITS:
        return int(number) * _UNITS[unit.lower()]
    hint = f"KiB, MiB, GiB or TiB, not {unit}"
    if unit[0].lower() in "kmgt":
        hint = f"{number}{unit[0].upper()}iB (units of 1024; {unit} could mean 1000s)"
    raise ValueError(f"{text!r} is no size: write {hint}")


def size_text(size: float) -> str:
    """Give a number of bytes in words: ``17 bytes``, ``512.0 MiB``."""
    if size < KIB:
        return f"{size:.0f} bytes"
    units = ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
    unit, name = next(each for each in units if size >= each[0])
    return f"{size / unit:.1f} {name}"


def rate_text(size: float, seconds: float) -> str:
    return f"{size_text(size / max(seconds, 1e-6))}/s"


def printable(text: str) -> str:
    """Escape what would move the cursor or break the line: keys may hold any character."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shell_word(text: str) -> str:
    """Quote a word for a shell, so that it stands on one line and can be copied from it."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else _octal(c) for c in escaped) + "'"


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def one_line(text: str) -> str:
    """Join an error's lines to one; what ends without a stop gets one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = " ".join(lines[:1])
    for line in lines[1:]:
        stop = "" if text[-1] in _STOPS else "." if line[0].isupper() else ";"
        text += f"{stop} {line}"
    return printable(text)
