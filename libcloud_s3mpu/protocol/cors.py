# SPDX-License-Identifier: Apache-2.0
"""A bucket's CORS configuration: the one rule that lets browsers send parts and read their ETags.

Here a configuration is read, our rule put into it, and every other rule left as it is; when that is
worth doing is :mod:`libcloud_s3mpu.cors`'s. "PutBucketCors", Amazon S3 API Reference, and "Elements
of a CORS configuration", User Guide (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml import etree

from . import xml
from .rules import Rules
from .errors import InvalidRequestError

#: The ID of our rule: at most 255 characters.
RULE_ID = "libcloud_s3mpu-direct-uploads"
#: What browsers of direct uploads send: parts, forms, and their look at an object.
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
#: Without ETag a script cannot complete; the others tell what the service checked.
EXPOSED = ("ETag", "Location", "x-amz-checksum-sha256", "x-amz-version-id")
#: How long a browser may remember the answer, in seconds.
MAX_AGE_SECONDS = 3000
#: S3 takes a hundred rules ("Using cross-origin resource sharing", read 2026-11).
MAX_RULES = 100
_CORS = Rules(
    subject="BucketCors",
    query="cors",
    root="CORSConfiguration",
    rule="CORSRule",
    none="NoSuchCORSConfiguration",
)
_ORIGIN = re.compile(r"(\*|https?://[A-Za-z0-9.*:\[\]_-]+)\Z")


def checked_origins(origins: Iterable[str]) -> tuple[str, ...]:
    """Give origins as browsers send them: scheme, host and port, without a path.

    :raises InvalidRequestError: for anything else; more than one ``*`` matches nothing on S3.
    """
    if isinstance(origins, str):
        origins = (origins,)
    found = []
    for origin in origins:
        if not isinstance(origin, str) or not _ORIGIN.match(origin) or origin.count("*") > 1:
            raise InvalidRequestError(
                f'an origin reads https://host[:port], perhaps with one "*", or "*"; not {origin!r}'
            )
        found.append(origin)
    if not found:
        raise InvalidRequestError("give one origin at least")
    return tuple(dict.fromkeys(found))


get_request, get_result = _CORS.get_request, _CORS.get_result
put_request, put_result = _CORS.put_request, _CORS.put_result


def with_rule(root: xml.Element, origins: tuple[str, ...]) -> bool:
    """Have the configuration let these origins upload; ours is the first rule, the rest stay.

    S3 goes by the first rule that matches origin, method and headers, so ours comes first.

    :returns: whether ``root`` was changed.
    """
    own = _CORS.of_id(root, RULE_ID)
    made = _rule(root, origins)
    is_first = len(own) == 1 and root[0] is own[0]
    if is_first and _values(own[0]) == _values(made):
        root.remove(made)
        return False
    for rule in own:
        root.remove(rule)
    root.insert(0, made)
    if len(root) > MAX_RULES:
        raise InvalidRequestError(f"the container has {MAX_RULES} CORS rules: there is no room")
    return True


def problems(root: xml.Element, origin: str) -> list[str]:
    """Say what of the configuration keeps ``origin`` from uploading; nothing if all is well."""
    matching = [rule for rule in xml.children(root, "CORSRule") if _matches(rule, origin)]
    if not matching:
        return [f"no CORS rule allows the origin {origin}"]
    found = []
    for method in ("PUT", "GET", "HEAD"):
        first = next((r for r in matching if method in _texts(r, "AllowedMethod")), None)
        if first is None:
            found.append(f"no CORS rule allows {method} from {origin}")
        elif method == "PUT":
            exposed = {text.lower() for text in _texts(first, "ExposeHeader")}
            if not exposed & {"etag", "*"}:
                found.append("the CORS rule for PUT does not expose ETag: no upload can complete")
            allowed = {text.lower() for text in _texts(first, "AllowedHeader")}
            if not allowed & {"*", "content-type", "content-*"}:
                found.append("the CORS rule for PUT does not allow the header Content-Type")
    return found


def _matches(rule: xml.Element, origin: str) -> bool:
    for allowed in _texts(rule, "AllowedOrigin"):
        begin, star, end = allowed.partition("*")
        is_long_enough = len(origin) >= len(begin) + len(end)
        if star and is_long_enough and origin.startswith(begin) and origin.endswith(end):
            return True
        if allowed == origin:
            return True
    return False


def _texts(rule: xml.Element, name: str) -> list[str]:
    return [(element.text or "").strip() for element in xml.children(rule, name)]


def _values(rule: xml.Element) -> set[tuple[str, str]]:
    return {(xml.local_name(element), (element.text or "").strip()) for element in rule}


def _rule(root: xml.Element, origins: tuple[str, ...]) -> xml.Element:
    rule, named = _CORS.added(root)  # Where it stands is the caller's.
    fields = [("ID", (RULE_ID,)), ("AllowedOrigin", origins), ("AllowedMethod", METHODS)]
    fields += [("AllowedHeader", ("*",)), ("ExposeHeader", EXPOSED)]
    for name, values in fields:
        for value in values:
            etree.SubElement(rule, named(name)).text = value
    etree.SubElement(rule, named("MaxAgeSeconds")).text = str(MAX_AGE_SECONDS)
    return rule
