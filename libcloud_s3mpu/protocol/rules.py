# SPDX-License-Identifier: Apache-2.0
"""A bucket's configurations that are lists of rules: read, and written whole again.

Among them ours is one rule, known by its ID; every other one stays as it is. What the rules say is
:mod:`.cors`'s and :mod:`.lifecycle`'s.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from collections.abc import Mapping, Callable

from lxml import etree

from . import xml
from .messages import (
    Bytes,
    S3Request,
    S3Response,
    malformed,
    parse_body,
    service_error,
    raise_for_status,
)
from .checksums import digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One kind of configuration.

    :param subject: what its operations are called by (``GetBucketCors``).
    :param query: the subresource.
    :param root: name of the whole, and ``rule`` of each of its elements.
    :param none: the code of a bucket that has none, which is no error here.
    """

    subject: str
    query: str
    root: str
    rule: str
    none: str

    def get_request(self, bucket: str) -> S3Request:
        """Make the ``GET`` of the configuration."""
        return S3Request(
            operation=f"Get{self.subject}", method="GET", bucket=bucket, query=((self.query, ""),)
        )

    def get_result(self, request: S3Request, response: S3Response) -> xml.Element:
        """Read the configuration; none is an empty one."""
        if response.status == 404 and service_error(request, response).s3_code == self.none:
            return etree.Element(self.root, nsmap={None: xml.NAMESPACE})  # type: ignore[dict-item]
        raise_for_status(request, response, 200)
        root = parse_body(request, response, root=self.root)
        for child in root:
            if xml.local_name(child) != self.rule:
                # What is not understood would be lost or doubled in the PUT: nothing is written.
                other = xml.local_name(child)
                raise malformed(request, response, f"it has a <{other}> beside rules")
        return root

    def put_request(
        self, bucket: str, root: xml.Element, headers: Mapping[str, str] | None = None
    ) -> S3Request:
        """Make the ``PUT``, which replaces the whole configuration."""
        text = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
        md5 = b64encode(digest_of("md5", [text])).decode("ascii")
        return S3Request(
            operation=f"Put{self.subject}",
            method="PUT",
            bucket=bucket,
            query=((self.query, ""),),
            headers={"content-type": "application/xml", "content-md5": md5, **(headers or {})},
            body=Bytes(text),
            payload_sha256=digest_of("sha256", [text]).hex(),
        )

    def put_result(self, request: S3Request, response: S3Response) -> None:
        """Read the answer to it."""
        raise_for_status(request, response, 200, 204)

    def of_id(self, root: xml.Element, rule_id: str) -> list[xml.Element]:
        """Give the rules with this ID: one, unless somebody else wrote them."""
        return [r for r in xml.children(root, self.rule) if xml.text_of(r, "ID") == rule_id]

    def added(self, root: xml.Element) -> tuple[xml.Element, Callable[[str], str]]:
        """Put a new rule behind the others; give it, and what names its elements as theirs are."""
        space = etree.QName(root).namespace

        def named(name: str) -> str:
            return f"{{{space}}}{name}" if space else name

        return etree.SubElement(root, named(self.rule)), named
