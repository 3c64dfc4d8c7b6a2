# SPDX-License-Identifier: Apache-2.0
"""Where a request goes: host, port, base path and addressing style; and how a key is written.

Pure text in, text out. What is computed here is signed and sent byte for byte; no library between
here and the socket may normalise it.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from ipaddress import ip_address
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from .errors import InvalidRequestError

Addressing = Literal["auto", "path", "virtual"]

#: RFC 3986 unreserved besides letters and digits: what SigV4 leaves as it is, and "/" of a key.
_KEY_SAFE = "-._~/"
_QUERY_SAFE = "-._~"
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")

#: A bucket that can be a DNS label (S3 User Guide, "Bucket naming rules"); with a dot in it, TLS
#: certificates for ``*.host`` do not match.
_DNS_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")
#: What is no bucket name anywhere. RGW tenants ("tenant:bucket") and old upper-case or underscored
#: names stay allowed; S3 itself refuses the rest.
_BUCKET = re.compile(r"[A-Za-z0-9._:-]{1,255}\Z")
#: What no host's name holds (RFC 3986, section 3.2.2); names beyond ASCII stay allowed.
_NO_HOST = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")
#: Hosts that take only virtual-host addressing (accelerate, S3 Express, access points, whose
#: "bucket" is ``name-account``; Amazon S3 User Guide and API Reference, read 2026-11).
_VIRTUAL_ONLY = re.compile(
    r"(^|\.)(s3-accelerate|s3express-[a-z0-9-]+|s3-accesspoint(-fips)?|s3-object-lambda)\."
)
#: S3 Express has a name of its own in signatures ("Regional and Zonal endpoints", read 2026-11).
EXPRESS = "s3express"
_EXPRESS_HOST = re.compile(r"(^|\.)s3express-[a-z0-9-]+\.")
#: AWS's partitions: how their regions begin, and the domain of their hosts (botocore's
#: partitions.json, read 2026-11). The first that fits counts.
_PARTITIONS = (
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
    ("", "amazonaws.com"),
)
#: An AWS host: what stands before ``.s3.REGION`` does not matter (``.vpce`` is PrivateLink).
_AWS_HOST = re.compile(
    r"(?:^|\.)(?:s3[a-z0-9-]*)(?:\.dualstack)?(?:[.-](?P<region>[a-z0-9-]+))?(?:\.vpce)?\.(?:"
    + "|".join(re.escape(domain) for _, domain in _PARTITIONS)
    + r")\Z"
)
#: AWS's shape of a region: "eu-west-3", "us-gov-east-1", "us-isob-east-1", "mx-central-1".
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}\Z")
#: A host name, as lenient as resolvers are: no scheme, port, path or blank.
_HOST = re.compile(r"[^\s/:?#@\\\[\]\x00-\x20\x7f]+\Z")
MAX_PORT = 65535
#: XML 1.0 cannot carry these, so a listing or a complete that names such a key cannot be read.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def is_region(region: str) -> bool:
    """Tell whether ``region`` has the shape of an AWS region."""
    return _REGION.match(region) is not None


def aws_host(region: str) -> str:
    """Give the S3 host of an AWS region (dual-stack and FIPS hosts go by ``host=``)."""
    domain = next(domain for start, domain in _PARTITIONS if region.startswith(start))
    return f"s3.{region}.{domain}"


def region_of_host(host: str | None) -> str | None:
    """Give the region that an AWS host names; None if it names none, or is no host of AWS.

    Dual-stack, FIPS, access-point, S3 Express, PrivateLink and the old ``s3-REGION`` hosts too.
    """
    labels = (host or "").lower().rstrip(".")
    found = _AWS_HOST.search(labels)
    if found is None:
        return None
    region = found["region"] or ""
    if not is_region(region):
        # "s3-eu-west-1" and "s3-fips-us-gov-west-1" are one label: the region is its end.
        region = next((r for r in _endings(labels) if is_region(r)), "")
    return region or None


def _endings(host: str) -> list[str]:
    """Give what follows each ``s3-`` and ``s3-fips-`` in a host, up to the next dot."""
    found = re.findall(r"(?:^|\.)s3-(?:fips-)?([a-z0-9-]+)\.", host)
    return [str(each) for each in found]


def signing_name(host: str) -> str:
    """Give the service's name in signatures."""
    return EXPRESS if _EXPRESS_HOST.search(host) else "s3"


def is_aws_host(host: str) -> bool:
    """Tell whether ``host`` is one of AWS's own names."""
    return host.endswith(tuple(f".{domain}" for _, domain in _PARTITIONS))


def encode_key(key: str) -> str:
    """Percent-encode a key for a path: every byte but unreserved ones and ``/``."""
    return quote(key, safe=_KEY_SAFE)


def encode_query(pairs: tuple[tuple[str, str], ...]) -> str:
    """Give the canonical query string, which is also the one that is sent (``?uploads=``)."""
    encoded = sorted((_in_query(name), _in_query(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _in_query(text: str) -> str:
    # Most texts are nothing but unreserved characters, and to see that is a tenth of quote().
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe=_QUERY_SAFE)


def check_key(key: str, *, container: str, max_bytes: int = 1024) -> None:
    """Refuse a key that no service stores under exactly this name.

    :raises InvalidRequestError: if it is empty, longer than ``max_bytes`` of UTF-8, or holds a
        character that XML cannot carry.
    """
    if not isinstance(key, str):
        raise TypeError(f"object_name must be a str, not {type(key).__name__}")
    problem = None
    if not key:
        problem = "is empty"
    elif found := _NOT_XML.search(key):
        problem = f"holds the character U+{ord(found.group()):04X}, which XML cannot carry"
    elif (length := len(key.encode("utf-8"))) > max_bytes:
        problem = f"is {length} bytes of UTF-8; the longest is {max_bytes} (KeyTooLongError)"
    if problem:
        shown = key if len(key) <= 80 else key[:77] + "..."
        raise InvalidRequestError(
            f"object name {shown!r} {problem}", container=container, object_name=key
        )


def check_bucket(bucket: str) -> None:
    """Refuse what is no bucket name before anything is sent.

    :raises InvalidRequestError: if it is empty, ``.`` or ``..``, or holds ``/``, ``?`` and such.
    """
    if not isinstance(bucket, str) or not _BUCKET.match(bucket) or bucket in (".", ".."):
        raise InvalidRequestError(f"{bucket!r} is not a container name", container=str(bucket))


def checked_host(host: str | None, port: Any = None) -> str | None:
    """Give a host as an argument names it; None if it names none.

    Else it would be looked up as it stands, or, with a colon, taken for an IPv6 address.

    :raises InvalidRequestError: if it is more than a host (scheme, port, path), or ``port`` none.
    """
    if port is not None and not (str(port).isdecimal() and 1 <= int(port) <= MAX_PORT):
        raise InvalidRequestError(f"port must be 1 to {MAX_PORT}, not {port!r}")
    if not host:
        return None
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        if _HOST.match(host) is None:
            raise InvalidRequestError(
                f"host must be a name or an address, not {host!r}: a port goes into port=, "
                "a whole URL into ex_endpoint_url="
            ) from None
    return host


def bracketed(host: str) -> str:
    """Give a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _has_port(parts: SplitResult) -> bool:
    """Tell whether a URL's port is a number that ports may have, or is left out."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One service's address.

    :param host: name or IPv4 address, or IPv6 address in brackets.
    :param base_path: ``""`` or ``"/base"``, percent-encoded, in front of every path.
    """

    scheme: str
    host: str
    port: int
    base_path: str = ""
    addressing: Addressing = "auto"

    @classmethod
    def from_url(cls, url: str, *, addressing: Addressing = "auto") -> Endpoint:
        """Read ``https://host:port/base``.

        :raises ValueError: if the scheme is not http or https, there is no host, or there is a
            query, fragment, user or password.
        """
        parts = urlsplit(url)
        is_host = parts.hostname and not _NO_HOST.search(parts.hostname)
        # A password may be in it: it is not quoted.
        if parts.query or parts.fragment or "@" in url:
            raise ValueError("an endpoint URL has no query, fragment, user or password")
        if parts.scheme not in ("http", "https") or not is_host or not _has_port(parts):
            raise ValueError(f"an endpoint URL reads https://host[:port][/base], not {url!r}")
        host = bracketed(parts.hostname or "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        base = quote(parts.path.rstrip("/"), safe=_KEY_SAFE + "%")
        return cls(parts.scheme, host, port, base, addressing)

    def host_for(self, bucket: str) -> str:
        """Give the host that requests for ``bucket`` go to."""
        return f"{bucket}.{self.host}" if self.is_virtual(bucket) else self.host

    def netloc(self, host: str) -> str:
        """Give the ``Host`` header, which is also what is signed: without a default port."""
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def is_virtual(self, bucket: str) -> bool:
        """Tell whether the bucket goes into the host name.

        ``auto`` is path style, as upstream's driver does it and every service but a few takes it;
        hosts that take nothing else get virtual-host style.
        """
        if self.addressing == "path" or not bucket:
            return False
        if self.addressing == "auto":
            return bool(_VIRTUAL_ONLY.search(self.host)) and bool(_DNS_BUCKET.match(bucket))
        if not _DNS_BUCKET.match(bucket):
            raise InvalidRequestError(
                f"container {bucket!r} cannot be part of a host name; "
                'use ex_addressing="path" for it',
                container=bucket,
            )
        return True

    def is_here(self, location: str, bucket: str, key: str | None = None) -> bool:
        """Tell whether a redirect leads to the very same place: scheme, host, port and path."""
        parts = urlsplit(location)
        if parts.netloc:
            try:
                port = parts.port or (443 if parts.scheme == "https" else 80)
            except ValueError:
                return False
            host = bracketed(parts.hostname or "")
            if (parts.scheme, host, port) != (self.scheme, self.host_for(bucket), self.port):
                return False
        return unquote(parts.path) == unquote(self.path(bucket, key))

    def path(self, bucket: str, key: str | None = None) -> str:
        """Give the path of a bucket, or of ``key`` in it, encoded as it is signed and sent."""
        if self.is_virtual(bucket):
            return f"{self.base_path}/{encode_key(key) if key is not None else ''}"
        if key is None:
            return f"{self.base_path}/{bucket}"
        return f"{self.base_path}/{bucket}/{encode_key(key)}"
