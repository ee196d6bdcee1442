"""What messages of services need of XML beside the law for parsing it, which is that of :mod:`adapters.xml`."""

from __future__ import annotations

from lxml import etree

from adapters.xml import DEPTH, NIL, TAG, TEXT, Stream, parse, parser

__all__ = ["DEPTH", "ENVELOPES", "NIL", "TAG", "TEXT", "Stream", "fault", "fits", "local", "parse", "parser", "text"]

ENVELOPES = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}


def fits(name: str) -> bool:
    """Whether schema processors take a name: they keep to the letters of XML 1.0's fourth edition."""
    schema = etree.Element("{http://www.w3.org/2001/XMLSchema}schema")
    try:
        etree.SubElement(schema, "{http://www.w3.org/2001/XMLSchema}element", name=name)
        etree.XMLSchema(schema)
    except (ValueError, etree.XMLSchemaParseError):
        return False
    return True


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
