# SPDX-License-Identifier: Apache-2.0
"""XML from services that may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from libcloud_s3mpu.protocol import xml

SPACES = [
    b"<A><B>text</B></A>",
    b'<A xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><B>text</B></A>',
    b'<s3:A xmlns:s3="urn:other"><s3:B>text</s3:B></s3:A>',
    b'<?xml version="1.0" encoding="UTF-8"?>\n<A><!-- c --><B>text</B></A>\n\n',
    b' \n \r\n<?xml version="1.0"?><A><B>text</B></A>',
    '<?xml version="1.0" encoding="UTF-16"?><A><B>text</B></A>'.encode("utf-16"),
]


@pytest.mark.parametrize("body", SPACES)
def test_names_are_matched_without_their_namespace(body: bytes) -> None:
    root = xml.parse(body)
    assert xml.local_name(root) == "A"
    assert xml.text_of(root, "B") == "text"


def test_text_is_of_the_first_direct_child() -> None:
    root = xml.parse(b"<A><X><B>deep</B></X><B>first</B><B>second</B><C/></A>")
    assert xml.text_of(root, "B") == "first"
    assert xml.text_of(root, "C") == ""
    assert xml.text_of(root, "D") is None
    assert [child.text for child in xml.children(root, "B")] == ["first", "second"]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE A [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;">]><A>&c;</A>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n ",
        b"not xml",
        b"{}",
        b"<A>",
        b"<A></B>",
        b"<A/><B/>",
        b"\x00",
        b"<A>\x00</A>",
        b"<A>\xff\xfe</A>",
        b"<html><body><p>gateway<br></body></html>",
        b"<!DOCTYPE html><html></html>",
        b'<!DOCTYPE A SYSTEM "http://127.0.0.1:1/x.dtd"><A/>',
        b"<!DOCTYPE A []><A/>",
        BOMB,
        b"<A>&unknown;</A>",
        b"<A" + b">" * 0,
        b"<a>" * 100_000,
    ],
)
def test_what_no_service_has_a_reason_to_send_is_refused(body: bytes) -> None:
    with pytest.raises(xml.XmlError):
        xml.parse(body)


def test_an_external_entity_is_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    body = f'<!DOCTYPE A [<!ENTITY x SYSTEM "file://{secret}">]><A>&x;</A>'.encode()
    with pytest.raises(xml.XmlError) as caught:
        xml.parse(body)
    assert "secret" not in str(caught.value).replace(str(secret), "")


def test_what_is_built_can_be_parsed() -> None:
    body = xml.build("All", [("Part", [("A", '<&>"'), ("B", "é")]), ("Part", [("A", "")])])
    root = xml.parse(body)
    parts = list(xml.children(root, "Part"))
    assert [xml.text_of(part, "A") for part in parts] == ['<&>"', ""]
    assert xml.text_of(parts[0], "B") == "é"
    assert b"http://s3.amazonaws.com/doc/2006-03-01/" in body


def test_an_error_is_one_line_whatever_the_answer_names() -> None:
    for body in (b"<a>\n\n<b\nINFO forged line\n></c>", b"<" + b"x" * 5000 + b"></y>"):
        with pytest.raises(xml.XmlError) as caught:
            xml.parse(body)
        text = str(caught.value)
        assert "\n" not in text and "\r" not in text and len(text) < 300
