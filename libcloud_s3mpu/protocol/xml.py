# SPDX-License-Identifier: Apache-2.0
"""XML from services that may lie: parsed without DTDs, entities or network, matched by local name.

Bodies are bounded before they get here (:data:`.messages.MAX_XML_BYTES`); what the elements mean is
:mod:`.wire`'s business. Namespaces are ignored, since some services answer without one or with
another (s3rver, SeaweedFS).
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

#: How much an error quotes of what lxml says, in characters.
QUOTED = 200

#: What S3 itself writes; readers here ignore it.
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

Element = etree._Element


class XmlError(ValueError):
    """The text is not XML, or is XML that no service has a reason to send."""


def parse(body: bytes) -> Element:
    """Parse an answer; white space around it is no fault (S3 sends it while it works).

    :raises XmlError: if it is empty, no XML, or has a DOCTYPE.
    """
    text = body.strip()
    if not text:
        raise XmlError("the answer is empty")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        # Without its traceback: this frame's locals are the answer, which may repeat a secret.
        problem = f"the answer is not XML ({_one_line(error)})"
        raise XmlError(problem) from error.with_traceback(None)
    if root is None or getattr(root.getroottree().docinfo, "doctype", None):
        raise XmlError("the answer has a DOCTYPE, which is refused")
    return root


def _one_line(error: Exception) -> str:
    # lxml quotes names from the answer, line breaks and all; they would forge lines of a log.
    text = " ".join(str(error).split())
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."


def local_name(element: Element) -> str:
    """Give an element's name without its namespace; ``""`` for an entity reference."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def children(element: Element, name: str) -> Iterator[Element]:
    """Give the direct children called ``name``, whatever their namespace."""
    for child in element:
        if local_name(child) == name:
            yield child


def text_of(element: Element, name: str) -> str | None:
    """Give the text of the first child called ``name``; None if there is none."""
    for child in children(element, name):
        return child.text or ""
    return None


def build(name: str, items: list[tuple[str, list[tuple[str, str]]]]) -> bytes:
    """Build ``<name><item><field>text</field>...</item>...</name>`` in S3's namespace."""
    root = etree.Element(name, nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    for item_name, item_fields in items:
        item = etree.SubElement(root, item_name)
        for field_name, text in item_fields:
            etree.SubElement(item, field_name).text = text
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def build_flat(name: str, fields: list[tuple[str, str]]) -> bytes:
    """Build ``<name><field>text</field>...</name>`` in S3's namespace."""
    root = etree.Element(name, nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    for field_name, text in fields:
        etree.SubElement(root, field_name).text = text
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
