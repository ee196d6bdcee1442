"""A department's SOAP service that takes rows and gives them back; it knows a message that comes twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from adapters.webservice import xml

NAMESPACE = "urn:example:receiver"
SOAP = xml.ENVELOPES["1.1"]

WSDL = """<?xml version="1.0" encoding="utf-8"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:example:receiver" targetNamespace="urn:example:receiver">
<types><xs:schema targetNamespace="urn:example:receiver" elementFormDefault="qualified">
  <xs:complexType name="Row"><xs:sequence>ELEMENTS
    <xs:element name="op" type="xs:string" minOccurs="0"/></xs:sequence></xs:complexType>
  <xs:complexType name="Rows"><xs:sequence>
    <xs:element name="Row" type="t:Row" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>
  <xs:element name="Push"><xs:complexType><xs:sequence>
    <xs:element name="messageId" type="xs:string"/><xs:element name="rows" type="t:Rows"/>
    <xs:element name="area" type="xs:string" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Remove"><xs:complexType><xs:sequence>
    <xs:element name="messageId" type="xs:string"/><xs:element name="rows" type="t:Rows"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:complexType name="Result"><xs:sequence>
    <xs:element name="accepted" type="xs:int"/><xs:element name="duplicate" type="xs:boolean"/>
    <xs:element name="refused" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
      <xs:element name="row" type="xs:int"/><xs:element name="reason" type="xs:string"/>
    </xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType>
  <xs:element name="PushResponse" type="t:Result"/><xs:element name="RemoveResponse" type="t:Result"/>
  <xs:element name="Query"><xs:complexType><xs:sequence>
    <xs:element name="cursor" type="xs:string" minOccurs="0"/><xs:element name="limit" type="xs:int" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name="QueryResponse"><xs:complexType><xs:sequence>
    <xs:element name="rows" type="t:Rows"/><xs:element name="nextCursor" type="xs:string" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name="Lookup"><xs:complexType><xs:sequence>
    <xs:element name="id" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
  <xs:element name="LookupResponse"><xs:complexType><xs:sequence>
    <xs:element name="rows" type="t:Rows"/></xs:sequence></xs:complexType></xs:element>
</xs:schema></types>
MESSAGES
<portType name="port">OPERATIONS</portType>
<binding name="binding" type="t:port">
  <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>BOUND</binding>
<service name="receiver"><port name="receiver" binding="t:binding">
  <soap:address location="ADDRESS"/></port></service>
</definitions>"""
_OPERATIONS = ("Push", "Remove", "Query", "Lookup")


def wsdl(elements: Mapping[str, str], address: str) -> str:
    """The contract; ``elements`` are names to types of nullable elements, or whole elements under a name in ``<…>``."""
    inside = "".join(
        kind
        if kind.startswith("<")
        else f'<xs:element name={quoteattr(name)} type="{kind}" minOccurs="0" nillable="true"/>'
        for name, kind in elements.items()
    )
    messages = "".join(
        f'<message name="{name}"><part name="parameters" element="t:{name}"/></message>'
        for each in _OPERATIONS
        for name in (each, f"{each}Response")
    )
    operations = "".join(
        f'<operation name="{each}"><input message="t:{each}"/><output message="t:{each}Response"/></operation>'
        for each in _OPERATIONS
    )
    bound = "".join(
        f'<operation name="{each}"><soap:operation soapAction="urn:{each}"/><input><soap:body use="literal"/></input>'
        '<output><soap:body use="literal"/></output></operation>'
        for each in _OPERATIONS
    )
    text = WSDL.replace("ELEMENTS", inside).replace("MESSAGES", messages).replace("OPERATIONS", operations)
    return text.replace("BOUND", bound).replace("ADDRESS", escape(address))


@dataclass
class Receiver:
    """A service and what it was sent.

    Attributes:
        elements: Elements of a row.
        key: The element that tells rows apart.
        address: Where it is.
        rows: What it holds, by key.
        answered: Its answers by message id.
        messages: Message ids with the numbers of their rows, as they came; also those that came again.
        bodies: What came, as it was.
        actions: SOAPActions and further headers.
        upset: Called with each message before it is carried out; may answer it instead.
        refuse: Which rows are refused: from a row to a reason or None.
    """

    elements: Mapping[str, str]
    key: str = "number"
    address: str = ""
    rows: dict[str, dict[str, str | None]] = field(default_factory=dict)
    answered: dict[str, bytes] = field(default_factory=dict)
    messages: list[tuple[str, int]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    upset: Callable[[Receiver, str], tuple[str, bytes] | None] | None = None
    refuse: Callable[[dict[str, str | None]], str | None] = lambda _: None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            start_response("200 OK", [("Content-Type", "text/xml")])
            return [wsdl(self.elements, self.address).encode()]
        self.headers.append({name: value for name, value in environ.items() if name.startswith("HTTP_")})
        status, content = self._called(_body(environ))
        start_response(status, [("Content-Type", "text/xml; charset=utf-8"), ("Content-Length", str(len(content)))])
        return [content]

    def _called(self, body: bytes) -> tuple[str, bytes]:
        self.bodies.append(body)
        request = next(iter(etree.fromstring(body, xml.parser()).find(f"{{{SOAP}}}Body")))
        name = xml.local(request)
        if name == "Query":
            return "200 OK", self._query(request)
        if name == "Lookup":
            row = self.rows.get(request.findtext(f"{{{NAMESPACE}}}id") or "")
            return "200 OK", reply("LookupResponse", f"<rows>{_row(row) if row else ''}</rows>")
        message = request.findtext(f"{{{NAMESPACE}}}messageId") or ""
        rows = [{xml.local(each): xml.text(each) for each in row} for row in request.iter(f"{{{NAMESPACE}}}Row")]
        self.messages.append((message, len(rows)))
        if self.upset is not None and (answer := self.upset(self, message)) is not None:
            return answer
        again = message in self.answered
        if not again:
            self.answered[message] = self._taken(name, rows)
        answer = self.answered[message]
        return "200 OK", answer.replace(b"false", b"true") if again else answer

    def _taken(self, name: str, rows: Sequence[dict[str, str | None]]) -> bytes:
        told, accepted = "", 0
        for number, row in enumerate(rows, 1):
            operation = row.pop("op", None)
            if (reason := self.refuse(row)) is not None:
                told += f"<refused><row>{number}</row><reason>{escape(reason)}</reason></refused>"
                continue
            accepted += 1
            self.rows.pop(row[self.key] or "", None)
            if name == "Push" and operation != "D":
                self.rows[row[self.key] or ""] = row
        return reply(f"{name}Response", f"<accepted>{accepted}</accepted><duplicate>false</duplicate>{told}")

    def _query(self, request: etree._Element) -> bytes:
        start = int(request.findtext(f"{{{NAMESPACE}}}cursor") or 0)
        page = list(self.rows.values())[start : start + 3]
        rows = "".join(map(_row, page))
        following = f"<nextCursor>{start + 3}</nextCursor>" if start + 3 < len(self.rows) else ""
        return reply("QueryResponse", f"<rows>{rows}</rows>{following}")


def reply(name: str, content: str) -> bytes:
    """An envelope around a reply."""
    return (
        f'<s:Envelope xmlns:s="{SOAP}"><s:Body><{name} xmlns="{NAMESPACE}">{content}</{name}></s:Body></s:Envelope>'
    ).encode()


def fault(code: str, words: str = "x") -> tuple[str, bytes]:
    """An answer that is a fault."""
    return "500 Internal Server Error", xml.fault(code, words)


def _row(row: Mapping[str, str | None]) -> str:
    return f"<Row>{''.join(_written(name, value) for name, value in row.items())}</Row>"


def _written(name: str, value: str | None) -> str:
    if value is None:
        return f'<{name} xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>'
    return f"<{name}>{escape(value, {chr(13): '&#13;'})}</{name}>"


def _body(environ: dict[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING") != "chunked":
        return bytes(stream.read(int(environ["CONTENT_LENGTH"])))
    content = b""
    while size := int(stream.readline().split(b";")[0], 16):
        content += stream.read(size)
        stream.readline()
    return content
