"""zeep's only home: the contract of a service, and messages made by it.

zeep turns a value it cannot parse into None; so it makes requests only, and neither sends them nor reads a reply:
what it would send is taken from its hands, signed and sent here, and replies are read by element name.
"""

from __future__ import annotations

import logging
import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import zeep
import zeep.exceptions
from lxml import etree

from adapters.errors import Malformed, Misconfigured, Refused, Unavailable
from adapters.webservice import xml
from adapters.webservice.contract import Element, Operation, columns_of, repeated
from adapters.webservice.errors import of_fault
from adapters.webservice.expanding import Expansion, levels
from adapters.webservice.http import Incoming, Line, Reply, place_of
from adapters.webservice.patience import ONCE, Answer, Breaker, Patience
from adapters.webservice.patience import repeated as asked
from adapters.webservice.reader import Found, RowReader, Shape
from adapters.webservice.signing import Gateway, Signature, signed

DOCUMENTS = 64
"""How many documents a contract may be spread over."""
SECONDS = 300.0
"""Within which all of them must be here: each has a deadline of its own, and all together would be hours."""
LARGEST = 64 << 20
"""Bytes of all of them."""
HELD = 16 << 20
"""Bytes of a page's rows that are held back until it is whole, so that it can be asked for again."""
FORMS = 64
"""Kinds of messages whose form is kept."""
ENCODING = "http://schemas.xmlsoap.org/soap/encoding"
_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_ELEMENTS = 8
"""Levels of a message that are told; deeper ones are read all the same."""

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
class Message:
    """A message as zeep made it."""

    address: str
    envelope: etree._Element
    headers: Mapping[str, str]

    def content(self) -> bytes:
        """Its bytes."""
        return etree.tostring(self.envelope, xml_declaration=True, encoding="utf-8")


@dataclass(frozen=True)
class Ready:
    """A message that was made from the bytes of one with other values."""

    address: str
    whole: bytes
    headers: Mapping[str, str]

    @property
    def envelope(self) -> etree._Element:
        """It as a tree, to be signed."""
        return etree.fromstring(self.whole, xml.parser())

    def content(self) -> bytes:
        """Its bytes."""
        return self.whole


@dataclass(frozen=True)
class Form:
    """A message with its values left out (报文模板).

    Attributes:
        address: Where it goes.
        headers: Of HTTP.
        pieces: What stands between the values.
        names: Arguments in the order in which their values stand in it.
    """

    address: str
    headers: Mapping[str, str]
    pieces: tuple[str, ...]
    names: tuple[str, ...]

    def filled(self, arguments: Mapping[str, str | None]) -> Ready | None:
        """The message with values; None: one of them is not simply written there."""
        parts = [self.pieces[0]]
        for name, piece in zip(self.names, self.pieces[1:], strict=True):
            value = arguments[name]
            if not value or not value.isprintable():
                return None
            parts += (value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), piece)
        return Ready(self.address, "".join(parts).encode(), self.headers)


class Page:
    """A reply being read: its rows, and when they are through, what else it held."""

    def __init__(self, held: list[pa.RecordBatch], rest: Iterator[pa.RecordBatch] | None, told: Told) -> None:
        self._held = held
        self._rest = rest
        self.told = told

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._held
        self._held = []
        if self._rest is not None:
            yield from self._rest

    def close(self) -> None:
        """Leave the rest unread."""
        if self._rest is not None:
            self._rest.close()  # type: ignore[attr-defined]  # it is a generator


@dataclass
class Told:
    """What a reply told beside its rows."""

    found: Found
    date: str | None = None


class ServiceClient:
    """A service as its contract describes it.

    Args:
        line: The line to the service.
        url: The WSDL.
        address: Where to send, if not where the contract says.
        service: Service of the contract, if it has several.
        port: Port of the service, if it has several.
        signatures: What is put on every message.
        patience: How often what may be repeated is tried.
        breaker: Knows how the service has been lately.

    Raises:
        Misconfigured: The contract does not fit what is registered.
        Malformed: It cannot be read.
    """

    def __init__(
        self,
        line: Line,
        url: str,
        address: str | None = None,
        service: str | None = None,
        port: str | None = None,
        *,
        signatures: tuple[Signature, ...] = (),
        patience: Patience = ONCE,
        breaker: Breaker | None = None,
    ) -> None:
        self._line = line
        self._signatures = signatures
        self._patience = patience
        self._breaker = breaker or Breaker()
        settings = zeep.Settings(
            strict=True, raw_response=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False
        )
        self._documents = _Documents(line, url, patience, self._breaker)
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
        self._forms: dict[tuple[str, ...], Form | None] = {}

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
        """Call an operation that may be called again.

        Returns:
            The first element of the reply's body, unread.

        Raises:
            Misconfigured: The contract does not know the operation or an argument.
            Unavailable: A fault of the server, or of the way to it.
            Refused: A fault of the request.
            Malformed: The reply is no SOAP.
        """
        message = self._message(name, arguments)

        def ask() -> etree._Element:
            with self._sent(message) as incoming:
                return _unwrapped(_whole(incoming), f"{_host(self.address)} 的应答")

        return self._asked(ask)

    def page(self, name: str, arguments: Mapping[str, str | None], shape: Shape) -> Page:
        """Call an operation and read the rows of its reply while it arrives.

        A page is asked for again while all of its rows are still here; of a large one the first are given away before
        the last have come.

        Raises:
            AdapterError: As :meth:`call`; of a large page also while it is read.
        """
        message = self._message(name, arguments)

        def ask() -> Page:
            told = Told(Found())
            rest, held, size = self._rows(message, shape, told), [], 0
            for batch in rest:
                held.append(batch)
                size += batch.nbytes
                if size > HELD:
                    return Page(held, rest, told)
            return Page(held, None, told)

        return self._asked(ask)

    def push(self, operation: Operation, body: Callable[[], Iterable[bytes]], *, chunked: bool) -> etree._Element:
        """Send a body that was made here under an id of its own, so that it may be sent again.

        Args:
            operation: What is called.
            body: Makes the body's bytes.
            chunked: Send them as they are made, instead of making them all first.

        Returns:
            The first element of the reply's body.

        Raises:
            AdapterError: As :meth:`call`.
        """
        namespace, kind, headers = self._envelope_of(operation)

        def ask() -> etree._Element:
            mark = secrets.token_hex(16)
            envelope = etree.Element(f"{{{namespace}}}Envelope", nsmap={"soap": namespace})
            etree.SubElement(envelope, f"{{{namespace}}}Body").text = mark
            envelope, more = signed(envelope, {"Content-Type": kind, **headers}, self._signatures)
            whole = etree.tostring(envelope, xml_declaration=True, encoding="utf-8")
            before, _, behind = whole.partition(mark.encode())
            pieces = _pieces(before, body(), behind)
            content = pieces if chunked else b"".join(pieces)
            with self._refusals(), self._line.open("POST", self.address, content, more) as incoming:
                return _unwrapped(_whole(incoming), f"{_host(self.address)} 的应答")

        return self._asked(ask)

    def _message(self, name: str, arguments: Mapping[str, str | None]) -> Message | Ready:
        """A message; one like those before it is theirs with other values in it."""
        about = (name, *arguments)
        if about not in self._forms:
            if len(self._forms) >= FORMS:
                self._forms.clear()
            self._forms[about] = self._form(name, tuple(arguments))
        form = self._forms[about]
        return (form and form.filled(arguments)) or self._made(name, arguments)

    def _form(self, name: str, names: tuple[str, ...]) -> Form | None:
        """The form of a message; None: what zeep makes of a value is not the value, or stands elsewhere too."""
        marks = {argument: f"{secrets.randbelow(10**12):012}{place:04}" for place, argument in enumerate(names)}
        try:
            message, again = self._made(name, marks), self._made(name, marks)
        except Misconfigured:
            return None
        if again.content() != message.content() or again.headers != message.headers:
            return None  # it carries what no two messages share, such as an id of WS-Addressing
        whole = message.content().decode()
        if any(whole.count(mark) != 1 or f">{mark}<" not in whole for mark in marks.values()):
            return None
        order = sorted(names, key=lambda argument: whole.index(marks[argument]))
        pieces = []
        for argument in order:
            before, _, whole = whole.partition(marks[argument])
            pieces.append(before)
        return Form(message.address, message.headers, (*pieces, whole), tuple(order))

    def _made(self, name: str, arguments: Mapping[str, str | None]) -> Message:
        try:
            message: Message = self._service[name](**_nested(arguments))
        except AttributeError as error:
            raise Misconfigured(f"服务没有操作 {name}", remedy="核对操作名") from error
        except (zeep.exceptions.Error, TypeError, ValueError) as error:
            raise Misconfigured(f"操作 {name} 的参数与服务描述不符", remedy="核对挂接选项中的参数名") from error
        return message

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        return asked(ask, self._patience, self._breaker, place_of(self.address))

    @contextmanager
    def _sent(self, message: Message | Ready) -> Iterator[Incoming]:
        if self._signatures:
            envelope, headers = signed(message.envelope, message.headers, self._signatures)
            content = etree.tostring(envelope, xml_declaration=True, encoding="utf-8")
        else:
            content, headers = message.content(), dict(message.headers)
        with self._refusals(), self._line.open("POST", message.address, content, headers) as incoming:
            yield incoming

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """A short-lived secret that is not taken is fetched anew before the next message."""
        try:
            yield
        except Refused:
            for signature in self._signatures:
                if isinstance(signature, Gateway):
                    signature.forget()
            raise

    def _rows(self, message: Message | Ready, shape: Shape, told: Told) -> Iterator[pa.RecordBatch]:
        what = f"{_host(self.address)} 的应答"
        with self._sent(message) as incoming:
            _demand_single(incoming.media, what)
            told.date = incoming.date
            reader = RowReader(shape, what, charset=incoming.charset, found=told.found)
            ready = told.found.batches
            for chunk in incoming.chunks():
                reader.feed(chunk)
                while ready:
                    batch = ready.pop(0)
                    with incoming.away():
                        yield batch
            reader.close()
            while ready:
                yield ready.pop(0)

    def _envelope_of(self, operation: Operation) -> tuple[str, str, dict[str, str]]:
        """Namespace, content type and headers of a message of the chosen binding's version of SOAP."""
        if "envelope" in self._binding.nsmap["soap-env"] and "2003/05" in self._binding.nsmap["soap-env"]:
            return xml.ENVELOPES["1.2"], f'application/soap+xml; charset=utf-8; action="{operation.action}"', {}
        return xml.ENVELOPES["1.1"], "text/xml; charset=utf-8", {"SOAPAction": f'"{operation.action}"'}

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
        request = _body(found.input)
        reply = _body(found.output) if found.output is not None else Element(name="")
        path, row = repeated(reply)
        parameters = [element for element in request.elements if not element.many]
        return Operation(
            name,
            tuple(_arguments(parameters)),
            path.rpartition("/")[2],
            columns_of(row),
            style=str(found.style or "document"),
            use="encoded" if (self._binding.name.localname, name) in self._documents.encoded else "literal",
            request=request,
            reply=reply,
            action=str(found.soapaction or ""),
        )


class _Documents:
    """What zeep asks for and sends: documents of the registered host only; messages are kept back."""

    def __init__(self, line: Line, url: str, patience: Patience, breaker: Breaker) -> None:
        self._line = line
        self._host = _host(url)
        self._patience = patience
        self._breaker = breaker
        self._loaded = 0
        self._bytes = 0
        self._until = time.monotonic() + SECONDS
        self._expansion = Expansion()
        self.encoded: set[tuple[str, str]] = set()
        """Bindings and operations whose messages are ``encoded``: zeep does not keep it."""

    def load(self, url: str) -> bytes:
        """A document of the contract."""
        if url.rstrip("/") == ENCODING:
            # Contracts of the style rpc/encoded import it; it is not fetched from anywhere.
            return files("schemas").joinpath("soap", "encoding.xsd").read_bytes()
        if urlsplit(url).scheme not in ("http", "https") or _host(url) != self._host:
            raise Refused("服务描述引用了别处的文件，不予读取", remedy="由提供方把引用的文件放在同一主机上")
        self._loaded += 1
        if self._loaded > DOCUMENTS:
            raise Malformed(f"服务描述分成了 {DOCUMENTS} 个以上的文件", remedy="由提供方合并")
        if time.monotonic() > self._until:
            raise Unavailable(f"服务描述没有在 {SECONDS:g} 秒内读完", remedy="稍后再试，或由提供方合并所引用的文件")
        reply = asked(lambda: self._line.get(url), self._patience, self._breaker, place_of(url))
        self._bytes += len(reply.body)
        if self._bytes > LARGEST:
            raise Malformed(f"服务描述超过 {LARGEST} 字节", remedy="由提供方改正")
        root = xml.parse(reply.body, "服务描述（WSDL）", charset=reply.charset)
        self._expansion.add(root)
        for binding in root.iter(f"{{{_WSDL}}}binding"):
            for operation in binding.iter(f"{{{_WSDL}}}operation"):
                if any(each.get("use") == "encoded" for each in operation.iter("{*}body")):
                    self.encoded.add((binding.get("name", ""), operation.get("name", "")))
        return reply.body

    def post_xml(self, address: str, envelope: etree._Element, headers: Mapping[str, str]) -> Message:
        """What zeep would send."""
        return Message(address, envelope, dict(headers))


def _whole(incoming: Incoming) -> Reply:
    return Reply(incoming.status, incoming.media, incoming.charset, b"".join(incoming.chunks()))


def _pieces(before: bytes, body: Iterable[bytes], behind: bytes) -> Iterator[bytes]:
    yield before
    yield from body
    yield behind


def _nested(arguments: Mapping[str, str | None]) -> dict[str, Any]:
    """Arguments by path as zeep takes them: what lies in an element is a dictionary."""
    nested: dict[str, Any] = {}
    for path, value in arguments.items():
        *outer, last = path.split("/")
        place = nested
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = value
    return nested


def _demand_single(media: str, what: str) -> None:
    if media == "multipart/related":
        raise Malformed(f"{what}带附件，不是单一的 XML", remedy="由提供方关闭 MTOM")


def _unwrapped(reply: Reply, what: str) -> etree._Element:
    _demand_single(reply.media, what)
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


def _body(message: Any) -> Element:
    """The body of a message: the element, or the wrapper that rpc makes of its parts."""
    body = getattr(message, "body", None)
    if body is None:
        return Element(name="")
    return _element(body.name, body, levels(body, _ELEMENTS))


def _element(name: str, element: Any, depth: int) -> Element:
    kind = element.type
    inner = getattr(kind, "elements", None) or () if depth else ()
    kinds = [each.__name__ for each in type(kind).__mro__]
    plain = not inner
    qualified = getattr(element, "qname", None)
    return Element(
        name=name,
        namespace=qualified.namespace if qualified is not None else None,
        letter=next((_LETTERS[each] for each in kinds if each in _LETTERS), "C") if plain else "",
        declared=str(getattr(kind, "name", None) or type(kind).__name__) if plain else "",
        optional=bool(getattr(element, "is_optional", False)),
        nillable=bool(getattr(element, "nillable", False)),
        many=bool(getattr(element, "accepts_multiple", False)),
        elements=tuple(_element(each, part, depth - 1) for each, part in inner if hasattr(part, "type")),
        attributes=tuple(_attribute(each, part) for each, part in getattr(kind, "attributes", ()) if each),
    )


def _attribute(name: str, attribute: Any) -> Element:
    qualified = getattr(attribute, "qname", None)
    kinds = [each.__name__ for each in type(attribute.type).__mro__]
    return Element(
        name=name,
        namespace=qualified.namespace if qualified is not None else None,
        letter=next((_LETTERS[each] for each in kinds if each in _LETTERS), "C"),
        declared=str(getattr(attribute.type, "name", None) or type(attribute.type).__name__),
        optional=not getattr(attribute, "required", False),
    )


def _arguments(elements: Iterable[Element], path: str = "") -> Iterator[str]:
    for element in elements:
        if element.elements:
            yield from _arguments([each for each in element.elements if not each.many], f"{path}{element.name}/")
        elif not element.many:
            yield f"{path}{element.name}"


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
