"""zeep's only home: the contract of a service, and calls whose replies nobody has typed.

zeep turns a value it cannot parse into None; so it makes requests only, and replies are read by
element name in :mod:`adapters.webservice.source`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import zeep
import zeep.exceptions
from lxml import etree

from adapters.base import FoundColumn
from adapters.errors import Malformed, Misconfigured, Refused
from adapters.webservice import xml
from adapters.webservice.errors import of_fault
from adapters.webservice.http import Line, Reply

DOCUMENTS = 64
"""How many documents a contract may be spread over."""

# It logs whole messages at DEBUG, and broken values at ERROR.
logging.getLogger("zeep").setLevel(logging.CRITICAL)

_UNREADABLE = (
    zeep.exceptions.XMLSyntaxError,
    zeep.exceptions.XMLParseError,
    zeep.exceptions.DTDForbidden,
    zeep.exceptions.EntitiesForbidden,
)

_LETTERS = {
    "Boolean": "L",
    "Decimal": "N",
    "Integer": "I",
    "Long": "I",
    "Int": "I",
    "Short": "I",
    "Byte": "I",
    "NonNegativeInteger": "I",
    "PositiveInteger": "I",
    "UnsignedLong": "I",
    "UnsignedInt": "I",
    "Float": "F",
    "Double": "B",
    "Date": "D",
    "DateTime": "T",
    "Base64Binary": "G",
}


@dataclass(frozen=True)
class Operation:
    """An operation: its arguments, the element that repeats in its reply, and what that consists of."""

    name: str
    arguments: tuple[str, ...]
    row: str
    columns: tuple[FoundColumn, ...]


class ServiceClient:
    """A service as its contract describes it.

    Args:
        line: The line to the service.
        url: The WSDL.
        address: Where to send, if not where the contract says.
        service: Service of the contract, if it has several.
        port: Port of the service, if it has several.

    Raises:
        Misconfigured: The contract does not fit what is registered.
        Malformed: It cannot be read.
    """

    def __init__(
        self, line: Line, url: str, address: str | None = None, service: str | None = None, port: str | None = None
    ) -> None:
        self._line = line
        settings = zeep.Settings(
            strict=True, raw_response=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False
        )
        self._documents = _Documents(line, url)
        try:
            # It warns of parts it leaves out; if they are needed, their lack shows below.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._client = zeep.Client(url, transport=self._documents, settings=settings)
        except zeep.exceptions.Error as error:
            raise of_contract(error) from error
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            # What zeep says of a contract that is well-formed and still not one.
            raise Malformed("服务描述（WSDL）不能读取", remedy="核对 url，或由提供方改正") from error
        self._binding, offered = self._chosen(service, port)
        self.address = address or offered
        if urlsplit(self.address).scheme not in ("http", "https") or (
            address is None and _host(self.address) != _host(url)
        ):
            raise Misconfigured("服务描述给出的地址不在登记的主机上", remedy="核实后在 address 选项中登记服务地址")
        self._service = self._client.create_service(self._binding.name.text, self.address)

    def operations(self) -> tuple[Operation, ...]:
        """What the service offers, by name."""
        return tuple(self._operation(name) for name in sorted(self._binding.all()))

    def operation(self, name: str) -> Operation:
        """One operation.

        Raises:
            Misconfigured: The service has none of that name.
        """
        known = sorted(self._binding.all())
        if name not in known:
            raise Misconfigured(f"服务没有操作 {name}", remedy=f"可用的操作：{'、'.join(known)}")
        return self._operation(name)

    def call(self, name: str, arguments: Mapping[str, str | None]) -> etree._Element:
        """Call an operation.

        Returns:
            The first element of the reply's body, unread.

        Raises:
            Misconfigured: The contract does not know the operation or an argument.
            Unavailable: A fault of the server, or of the way to it.
            Refused: A fault of the request.
            Malformed: The reply is no SOAP.
        """
        try:
            reply: Reply = self._service[name](**arguments)
        except AttributeError as error:
            raise Misconfigured(f"服务没有操作 {name}", remedy="核对操作名") from error
        except (zeep.exceptions.Error, TypeError, ValueError) as error:
            raise Misconfigured(f"操作 {name} 的参数与服务描述不符", remedy="核对挂接选项中的参数名") from error
        return _unwrapped(reply, f"{_host(self.address)} 的应答")

    def close(self) -> None:
        """Let go of the line."""
        self._line.close()

    def _chosen(self, service: str | None, port: str | None) -> tuple[Any, str]:
        services = self._client.wsdl.services
        if service is None and len(services) > 1:
            raise Misconfigured("服务描述有多个服务", remedy=f"在 service 选项中选定：{'、'.join(services)}")
        found = services.get(service) if service else next(iter(services.values()), None)
        if found is None:
            raise Misconfigured("服务描述里没有所登记的服务", remedy=f"可用的服务：{'、'.join(services) or '无'}")
        ports = {name: one for name, one in found.ports.items() if "address" in (one.binding_options or {})}
        chosen = ports.get(port) if port else next(iter(ports.values()), None)
        if chosen is None:
            raise Misconfigured("服务描述里没有所登记的 SOAP 端口", remedy=f"可用的端口：{'、'.join(ports) or '无'}")
        return chosen.binding, str(chosen.binding_options["address"])

    def _operation(self, name: str) -> Operation:
        found = self._binding.get(name)
        row, columns = _repeated(getattr(found.output.body, "type", None), 4)
        arguments = getattr(getattr(found.input.body, "type", None), "elements", ())
        return Operation(name, tuple(argument for argument, _ in arguments), row, columns)


class _Documents:
    """What zeep asks for and sends: documents of the registered host only, and messages."""

    def __init__(self, line: Line, url: str) -> None:
        self._line = line
        self._host = _host(url)
        self._loaded = 0

    def load(self, url: str) -> bytes:
        """A document of the contract."""
        if urlsplit(url).scheme not in ("http", "https") or _host(url) != self._host:
            raise Refused("服务描述引用了别处的文件，不予读取", remedy="由提供方把引用的文件放在同一主机上")
        self._loaded += 1
        if self._loaded > DOCUMENTS:
            raise Malformed(f"服务描述分成了 {DOCUMENTS} 个以上的文件", remedy="由提供方合并")
        reply = self._line.get(url)
        xml.parse(reply.body, "服务描述（WSDL）", charset=reply.charset)
        return reply.body

    def post_xml(self, address: str, envelope: etree._Element, headers: Mapping[str, str]) -> Reply:
        """A message, answered without reading the answer."""
        content = etree.tostring(envelope, xml_declaration=True, encoding="utf-8")
        return self._line.post(address, content, headers)


def _unwrapped(reply: Reply, what: str) -> etree._Element:
    if reply.media == "multipart/related":
        raise Malformed(f"{what}带附件，不是单一的 XML", remedy="由提供方关闭 MTOM")
    root = xml.parse(reply.body, what, charset=reply.charset)
    for namespace in xml.ENVELOPES.values():
        if root.tag == f"{{{namespace}}}Envelope":
            body = root.find(f"{{{namespace}}}Body")
            first = next(iter(body), None) if body is not None else None
            if first is None:
                raise Malformed(f"{what}的 SOAP 正文是空的", remedy="由提供方改正")
            if first.tag == f"{{{namespace}}}Fault":
                code = first.findtext("faultcode") or first.findtext(f"{{{namespace}}}Code/{{{namespace}}}Value") or ""
                raise of_fault(code.strip(), what)
            return first
    raise Malformed(f"{what}不是 SOAP", remedy="核对 address：那里可能是登录页或别的服务")


def of_contract(error: zeep.exceptions.Error) -> Misconfigured | Malformed:
    """The error that an exception of zeep about a contract means; its text may quote the document."""
    if isinstance(
        error, zeep.exceptions.XMLSyntaxError | zeep.exceptions.DTDForbidden | zeep.exceptions.EntitiesForbidden
    ):
        return Malformed("服务描述（WSDL）不能读取", remedy="由提供方改正")
    return Misconfigured("服务描述（WSDL）不完整或引用了不存在的部分", remedy="核对 url，或由提供方改正")


def _repeated(kind: Any, depth: int) -> tuple[str, tuple[FoundColumn, ...]]:
    """The first element of a reply that may repeat and has elements of its own: the row."""
    for name, element in getattr(kind, "elements", ()) if depth else ():
        inner = getattr(element.type, "elements", None)
        if inner and element.accepts_multiple:
            return name, tuple(_column(item, part) for item, part in inner)
        found = _repeated(element.type, depth - 1)
        if found[0]:
            return found
    return "", ()


def _column(name: str, element: Any) -> FoundColumn:
    kinds = [kind.__name__ for kind in type(element.type).__mro__]
    letter = next((_LETTERS[kind] for kind in kinds if kind in _LETTERS), "C")
    return FoundColumn(name, letter, nullable=element.is_optional or element.nillable)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
