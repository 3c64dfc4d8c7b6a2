# SPDX-License-Identifier: Apache-2.0
"""The listing of a bucket's objects, as a pair: a request value, and the reader of a page.

ListObjectsV2 and, for services that do not know it, the first version: an answer is read for what
it is, whichever was asked for. Walking the pages is :mod:`libcloud_s3mpu.transfer.keylist`'s.
"""

from __future__ import annotations

from typing import NamedTuple
from dataclasses import dataclass
from urllib.parse import unquote_plus

from . import xml
from .messages import S3Request, S3Response, malformed, parse_body, raise_for_status


class Listed(NamedTuple):
    """An object in a listing; ``last_modified`` as the service writes it."""

    key: str
    size: int
    etag: str | None
    last_modified: str | None
    owner_id: str | None
    owner_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """One page; ``following`` is the query item that asks for the next one, None on the last."""

    objects: list[Listed]
    following: tuple[str, str] | None


def list_objects_request(
    bucket: str, *, prefix: str | None, following: tuple[str, str] | None, knows_v2: bool
) -> S3Request:
    """Make the ``GET`` of one page.

    Keys are asked for percent-encoded: XML has no way to write some characters, and parsers change
    others (a carriage return). Owners are in upstream's result, so they are asked for too.

    :param following: what the page before said.
    """
    query = [("encoding-type", "url")]
    if knows_v2 and (following is None or following[0] != "marker"):
        query += [("fetch-owner", "true"), ("list-type", "2")]
    if prefix:
        query.append(("prefix", prefix))
    if following is not None:
        query.append(following)
    return S3Request(
        operation="ListObjects", method="GET", bucket=bucket, query=tuple(sorted(query))
    )


def list_objects_result(request: S3Request, response: S3Response) -> KeyPage:
    """Read one page.

    :raises MalformedAnswerError: also if it says that more follow, and leads nowhere.
    """
    raise_for_status(request, response, 200)
    root = parse_body(request, response, root="ListBucketResult")
    # What the answer says counts: some services ignore the wish.
    is_encoded = (xml.text_of(root, "EncodingType") or "").strip().lower() == "url"
    objects = _objects(root, is_encoded=is_encoded)
    if objects is None:
        raise malformed(request, response, "an object in it lacks its Key or Size")
    if (xml.text_of(root, "IsTruncated") or "").strip().lower() != "true":
        return KeyPage(objects=objects, following=None)
    if token := xml.text_of(root, "NextContinuationToken"):
        return KeyPage(objects=objects, following=("continuation-token", token))
    # The first version: without a delimiter the last key is the marker (NextMarker is left out).
    marker = xml.text_of(root, "NextMarker")
    if marker and is_encoded:
        marker = unquote_plus(marker)
    marker = marker or (objects[-1].key if objects else None)
    if not marker:
        raise malformed(request, response, "it says that more objects follow, but not after which")
    return KeyPage(objects=objects, following=("marker", marker))


def _objects(root: xml.Element, *, is_encoded: bool) -> list[Listed] | None:
    """Give the objects of a page; None if one is no object.

    The tag of the root says which namespace all have: comparing whole tags costs a third of taking
    each apart, and walking over children half of asking for each by its path.
    """
    tag = root.tag
    space = tag[: tag.index("}") + 1] if isinstance(tag, str) and tag[0] == "{" else ""
    names = {space + name: name for name in ("Key", "Size", "ETag", "LastModified", "Owner")}
    owner_id, owner_name = space + "ID", space + "DisplayName"
    objects = []
    for element in root.iterchildren(space + "Contents"):
        found = {names.get(child.tag): child for child in element}
        try:
            key, size = found["Key"].text or "", int(found["Size"].text or "")
        except (KeyError, ValueError):
            return None
        if is_encoded and ("%" in key or "+" in key):
            key = unquote_plus(key)
        etag, modified = found.get("ETag"), found.get("LastModified")
        owner = {child.tag: child.text or "" for child in found.get("Owner", ())}
        objects.append(
            Listed(
                key,
                size,
                (etag.text or "").replace('"', "") if etag is not None else None,
                modified.text if modified is not None else None,
                owner.get(owner_id),
                owner.get(owner_name),
            )
        )
    return objects
