"""A department's SOAP service, written by hand, that answers whatever a test wants it to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from lxml import etree

from exchange.service import RunningServer, serve

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
NAMESPACE = "urn:example:archive"

WSDL = """<?xml version="1.0" encoding="utf-8"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:example:archive" targetNamespace="urn:example:archive">
<types><xs:schema targetNamespace="urn:example:archive" elementFormDefault="qualified">
  <xs:element name="getRecords"><xs:complexType><xs:sequence>
    <xs:element name="page" type="xs:string" minOccurs="0"/>
    <xs:element name="size" type="xs:int" minOccurs="0"/>
    <xs:element name="changedSince" type="xs:string" minOccurs="0"/>
    <xs:element name="area" type="xs:string" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name="getRecordsResponse"><xs:complexType><xs:sequence>
    <xs:element name="result"><xs:complexType><xs:sequence>
      <xs:element name="record" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
        <xs:element name="no" type="xs:long"/>
        <xs:element name="owner" type="xs:string" minOccurs="0" nillable="true"/>
        <xs:element name="born" type="xs:date" minOccurs="0"/>
        <xs:element name="op" type="xs:string" minOccurs="0"/>
      </xs:sequence></xs:complexType></xs:element>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="following" type="xs:string" minOccurs="0"/>
    <xs:element name="asOf" type="xs:string" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
  IMPORTS
</xs:schema></types>
<message name="in"><part name="parameters" element="t:getRecords"/></message>
<message name="out"><part name="parameters" element="t:getRecordsResponse"/></message>
<portType name="port"><operation name="getRecords">
  <input message="t:in"/><output message="t:out"/></operation></portType>
<binding name="binding" type="t:port">
  <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
  <operation name="getRecords"><soap:operation soapAction="get"/>
  <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation></binding>
<service name="archive"><port name="archive" binding="t:binding">
  <soap:address location="ADDRESS"/></port></service>
</definitions>"""


def envelope(body: str) -> str:
    """A SOAP envelope around a body."""
    return f'<s:Envelope xmlns:s="{SOAP}" xmlns:t="{NAMESPACE}"><s:Body>{body}</s:Body></s:Envelope>'


def reply(*records: str, following: str = "", mark: str = "") -> str:
    """A page: records as the inside of their elements."""
    rows = "".join(f"<t:record>{record}</t:record>" for record in records)
    tail = f"<t:following>{following}</t:following>" if following else ""
    tail += f"<t:asOf>{mark}</t:asOf>" if mark else ""
    return envelope(f"<t:getRecordsResponse><t:result>{rows}</t:result>{tail}</t:getRecordsResponse>")


@dataclass
class Archive:
    """A service with a script: each request takes the next answer, and is kept."""

    answers: list[Any] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    wsdl: str = WSDL.replace("IMPORTS", "")
    documents: dict[str, str] = field(default_factory=dict)
    address: str = ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.headers.append({name: value for name, value in environ.items() if name.startswith("HTTP_")})
        if environ["REQUEST_METHOD"] == "GET":
            text = self.documents.get(environ["PATH_INFO"]) or self.wsdl.replace("ADDRESS", self.address)
            start_response("200 OK", [("Content-Type", "text/xml")])
            return [text.encode()]
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        request = etree.fromstring(body)[0][0]
        self.asked.append({etree.QName(child).localname: child.text or "" for child in request})
        answer = self.answers.pop(0)
        if callable(answer):
            return answer(environ, start_response)
        status, kind, content = answer if isinstance(answer, tuple) else ("200 OK", "text/xml; charset=utf-8", answer)
        start_response(status, [("Content-Type", kind)])
        return [content if isinstance(content, bytes) else content.encode()]


@dataclass
class Place:
    """A running archive."""

    archive: Archive
    server: RunningServer

    @property
    def url(self) -> str:
        return f"{self.server.url}archive?wsdl"


@pytest.fixture
def place() -> Iterator[Place]:
    archive = Archive()
    with serve(archive) as server:
        archive.address = f"{server.url}archive"
        yield Place(archive, server)
