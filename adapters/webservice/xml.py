"""The one way XML is parsed here: no DTD, no entities, no network, no endless text or depth.

libxml2's own limits hold: 256 levels, 10 MB in one text.
"""

from __future__ import annotations

import re

from lxml import etree

from adapters.errors import Malformed

ENVELOPES = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

_DECLARED = re.compile(rb"^\s*<\?xml[^>]*\sencoding\s*=", re.IGNORECASE)


def parser(encoding: str | None = None) -> etree.XMLParser:
    """A parser that trusts nothing; comments and instructions vanish, so that they cannot split a text."""
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def parse(content: bytes, what: str, *, charset: str | None = None) -> etree._Element:
    """Parse a document that came from outside.

    Args:
        content: The document.
        what: What it is, for the message.
        charset: The charset its HTTP header names; it counts where the document itself names none.

    Raises:
        Malformed: It is not well-formed, too deep, too long in one text, or has a DTD.
    """
    try:
        root = etree.fromstring(content, parser(None if _DECLARED.match(content) else charset))
    except (etree.XMLSyntaxError, LookupError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"（第 {line} 行）" if line else ""
        raise Malformed(f"{what}不是可读的 XML{where}", remedy="由提供方改正；过大的内容请减小每页行数") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Malformed(f"{what}带有 DTD，不予处理", remedy="由提供方去掉 DTD；这可能是攻击，请告知安全管理员")
    return root


def local(element: etree._Element) -> str:
    """An element's name without its namespace."""
    return etree.QName(element).localname


def text(element: etree._Element) -> str | None:
    """An element's text: None where it says nil, empty where it is empty."""
    if element.get(NIL) in ("true", "1"):
        return None
    return element.text or ""


def fault(code: str, words: str) -> bytes:
    """A SOAP 1.1 fault; ``code`` is Client or Server, perhaps with a point and more."""
    envelope = etree.Element(f"{{{ENVELOPES['1.1']}}}Envelope", nsmap={"soap": ENVELOPES["1.1"]})
    body = etree.SubElement(envelope, f"{{{ENVELOPES['1.1']}}}Body")
    found = etree.SubElement(body, f"{{{ENVELOPES['1.1']}}}Fault")
    etree.SubElement(found, "faultcode").text = f"soap:{code}"
    etree.SubElement(found, "faultstring").text = words
    return etree.tostring(envelope, xml_declaration=True, encoding="utf-8")
