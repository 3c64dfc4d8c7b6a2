# SPDX-License-Identifier: Apache-2.0
"""GetObjectTagging as a pair: a copy in parts keeps its source's tags, as CopyObject does.

Neighbour of :mod:`.copying`, which knows what a source is.
"""

from __future__ import annotations

from urllib.parse import quote

from . import xml
from .copying import CopySource
from .messages import S3Request, S3Response, parse_body, raise_for_status


def tagging_request(source: CopySource) -> S3Request:
    """Make the ``GET ?tagging`` of a source."""
    return S3Request(
        operation="GetObjectTagging",
        method="GET",
        bucket=source.bucket,
        key=source.key,
        query=(("tagging", ""), *source.query),
        headers=dict(source.headers),
    )


def tagging_result(request: S3Request, response: S3Response) -> str:
    """Read the tags, as ``x-amz-tagging`` carries them."""
    raise_for_status(request, response, 200)
    root = parse_body(request, response, root="Tagging")
    pairs = []
    for tag_set in xml.children(root, "TagSet"):
        for tag in xml.children(tag_set, "Tag"):
            name, value = (xml.text_of(tag, each) or "" for each in ("Key", "Value"))
            pairs.append(f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}")
    return "&".join(pairs)
