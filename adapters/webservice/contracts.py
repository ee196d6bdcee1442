"""Service descriptions (服务描述): WSDL and XSD from the items of an offer, the same bytes every time.

*Typed*: one for each resource, version and direction, whose rows have an element of its XSD type for every item.
*Generic*: one for all, whose rows have ``<item name="…">``. Each describes one port, SOAP 1.1 or 1.2, document/literal
wrapped, without nil, any or lists of types: every toolkit that was met takes that, and not all take more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from lxml import etree

from adapters.webservice.desk import Direction, Offer
from adapters.webservice.faults import Soap
from adapters.webservice.writing import element_name
from adapters.webservice.xml import ENVELOPES
from schemas import Item

XS = "http://www.w3.org/2001/XMLSchema"
WSDL = "http://schemas.xmlsoap.org/wsdl/"
BINDINGS: Mapping[Soap, str] = {
    "1.1": "http://schemas.xmlsoap.org/wsdl/soap/",
    "1.2": "http://schemas.xmlsoap.org/wsdl/soap12/",
}
TRANSPORT = "http://schemas.xmlsoap.org/soap/http"

GENERIC = "urn:shutong:exchange:1"
"""Namespace of the generic contract; its number rises when the contract changes."""

KEPT = 256
"""Contracts kept in memory."""

ROOTS: Mapping[Soap, str] = {"1.1": "/soap", "1.2": "/soap12"}
"""Where the two versions of SOAP are at home."""

_LETTERS: Mapping[Direction, str] = {"read": "r", "write": "w"}


def typed_path(resource: str, version: int, direction: Direction, soap: Soap = "1.1") -> str:
    """Path of a typed contract: ``/soap/r/101001001%2F0001/1``."""
    return f"{ROOTS[soap]}/{_LETTERS[direction]}/{quote(resource, safe='')}/{version}"


def generic_path(soap: Soap = "1.1") -> str:
    """Path of the generic contract."""
    return f"{ROOTS[soap]}/exchange"


def typed_namespace(resource: str, version: int, direction: Direction) -> str:
    """Namespace of a typed contract."""
    return f"urn:shutong:{_LETTERS[direction]}:{quote(resource, safe='')}:{version}"


@dataclass(frozen=True)
class Contract:
    """A service description.

    Attributes:
        namespace: Of its messages.
        operations: What can be called.
        wsdl: The description, schema within.
        schema: The schema alone.
        examples: A message for each of its elements, by the element's name: the inside of the SOAP body.
    """

    namespace: str
    operations: tuple[str, ...]
    wsdl: bytes
    schema: bytes
    examples: Mapping[str, bytes]

    def action(self, operation: str) -> str:
        """What SOAPAction says for an operation."""
        return action(self.namespace, operation)

    def example(self, name: str, soap: Soap) -> bytes:
        """A whole example message."""
        space = ENVELOPES[soap]
        envelope = etree.Element(f"{{{space}}}Envelope", nsmap={"soap": space})
        etree.SubElement(envelope, f"{{{space}}}Body").append(etree.fromstring(self.examples[name]))
        return _bytes(envelope)


def action(namespace: str, operation: str) -> str:
    """What SOAPAction says for an operation of a namespace."""
    return f"{namespace}/{operation}"


def operations(offer: Offer | None) -> tuple[str, ...]:
    """What can be called under an offer's contract; None: under the generic one."""
    if offer is None:
        return ("Describe", "Query", "Lookup", "Push", "Status", "Receipt")
    if offer.direction == "write":
        return ("Push", "Status", "Receipt")
    return ("Query", "Lookup", "Receipt") if offer.lookup else ("Query", "Receipt")


@lru_cache(maxsize=KEPT)
def typed_contract(offer: Offer, public_address: str, soap: Soap) -> Contract:
    """The contract of an offer.

    Args:
        offer: What is offered.
        public_address: Where the door is for others, without a path.
        soap: Version of SOAP.
    """
    place = public_address + typed_path(offer.resource, offer.version, offer.direction, soap)
    namespace = typed_namespace(offer.resource, offer.version, offer.direction)
    return _Writer(namespace, offer, place, soap).contract()


@lru_cache(maxsize=4)
def generic_contract(public_address: str, soap: Soap) -> Contract:
    """The contract that holds for every resource."""
    return _Writer(GENERIC, None, public_address + generic_path(soap), soap).contract()


class _Writer:
    def __init__(self, namespace: str, offer: Offer | None, place: str, soap: Soap) -> None:
        self._namespace = namespace
        self._offer = offer
        self._place = place
        self._soap = soap
        self._operations = operations(offer)

    def contract(self) -> Contract:
        return Contract(
            self._namespace,
            self._operations,
            _bytes(self._wsdl(self._schema())),
            _bytes(self._schema()),
            dict(self._examples()),
        )

    # The schema.

    def _schema(self) -> etree._Element:
        schema = etree.Element(f"{{{XS}}}schema", nsmap={"xs": XS, "tns": self._namespace})
        schema.set("targetNamespace", self._namespace)
        schema.set("elementFormDefault", "qualified")
        if self._offer is not None:
            schema.set("version", str(self._offer.version))
        self._row(schema)
        rows = _sequence(_type(schema, "Rows"))
        _element(rows, "row", "tns:Row", least=0, most="unbounded")
        shown = {"Query": self._query, "Lookup": self._lookup, "Push": self._push, "Status": self._status}
        shown |= {"Receipt": self._receipt, "Describe": self._describe}
        for name in self._operations:
            shown[name](_sequence(_wrapper(schema, name)), _sequence(_wrapper(schema, f"{name}Response")))
        return schema

    def _row(self, schema: etree._Element) -> None:
        row = _type(schema, "Row")
        sequence = _sequence(row)
        if self._offer is None:
            item = _element(sequence, "item", least=0, most="unbounded")
            content = _sub(_sub(_sub(item, "complexType"), "simpleContent"), "extension", base="xs:string")
            _sub(content, "attribute", name="name", type="xs:string", use="required")
            _sub(content, "attribute", name="nil", type="xs:boolean", default="false")
        else:
            for each in self._offer.items:
                self._item(sequence, each, least=1 if each.name in self._offer.key else 0)
        operation = _sub(_sub(row, "attribute", name="_operation", default="put"), "simpleType")
        _enumerated(operation, ("put", "delete"))

    def _item(self, sequence: etree._Element, item: Item, *, least: int) -> None:
        kind, facets = xsd_type(item)
        element = _element(sequence, element_name(item.name), None if facets else kind, least=least)
        _sub(_sub(element, "annotation"), "documentation").text = item.label
        if facets:
            restriction = _sub(_sub(element, "simpleType"), "restriction", base=kind)
            for name, value in facets:
                _sub(restriction, name, value=str(value))

    def _resource(self, sequence: etree._Element) -> None:
        if self._offer is None:
            _element(sequence, "resource", "xs:string")

    def _query(self, asked: etree._Element, answered: etree._Element) -> None:
        self._resource(asked)
        _element(asked, "cursor", "xs:string", least=0)
        _element(asked, "limit", "xs:int", least=0)
        _enumerated(_sub(_element(asked, "format", least=0), "simpleType"), ("xml", "arrow"))
        _element(answered, "rows", "tns:Rows", least=0)
        _element(answered, "payload", "xs:base64Binary", least=0)
        _element(answered, "nextCursor", "xs:string", least=0)
        _element(answered, "delivery", "xs:string")

    def _lookup(self, asked: etree._Element, answered: etree._Element) -> None:
        self._resource(asked)
        if self._offer is None:
            key = _element(asked, "key")
            item = _element(_sequence(_sub(key, "complexType")), "item", most="unbounded")
            content = _sub(_sub(_sub(item, "complexType"), "simpleContent"), "extension", base="xs:string")
            _sub(content, "attribute", name="name", type="xs:string", use="required")
        else:
            for each in self._offer.items:
                if each.name in self._offer.key:
                    self._item(asked, each, least=1)
        _element(answered, "rows", "tns:Rows")
        _element(answered, "delivery", "xs:string")

    def _push(self, asked: etree._Element, answered: etree._Element) -> None:
        _element(asked, "messageId", "xs:string")
        self._resource(asked)
        _element(asked, "rows", "tns:Rows", least=0)
        _element(asked, "payload", "xs:base64Binary", least=0)
        self._result(answered)

    def _status(self, asked: etree._Element, answered: etree._Element) -> None:
        _element(asked, "messageId", "xs:string")
        self._result(answered)

    def _result(self, answered: etree._Element) -> None:
        _element(answered, "messageId", "xs:string")
        state = _sub(_element(answered, "state"), "simpleType")
        _enumerated(state, ("received", "delivered", "stopped", "failed"))
        for name in ("total", "accepted", "refused"):
            _element(answered, name, "xs:long")
        refusals = _sequence(_sub(_element(answered, "refusals", least=0), "complexType"))
        refusal = _sequence(_sub(_element(refusals, "refusal", least=0, most="unbounded"), "complexType"))
        _element(refusal, "row", "xs:long")
        _element(refusal, "item", "xs:string", least=0)
        _element(refusal, "rule", "xs:string")
        _element(refusal, "reason", "xs:string")
        _element(answered, "receipt", "xs:string", least=0)
        _element(answered, "repeated", "xs:boolean")

    def _receipt(self, asked: etree._Element, answered: etree._Element) -> None:
        _element(asked, "id", "xs:string")
        _element(answered, "id", "xs:string")
        _element(answered, "resource", "xs:string")
        _element(answered, "issuedAt", "xs:dateTime")
        counts = _sequence(_sub(_element(answered, "counts"), "complexType"))
        count = _sequence(_sub(_element(counts, "count", least=0, most="unbounded"), "complexType"))
        _element(count, "name", "xs:string")
        _element(count, "value", "xs:long")
        _element(answered, "content", "xs:string")
        _element(answered, "digest", "xs:string")

    def _describe(self, asked: etree._Element, answered: etree._Element) -> None:
        resources = _sequence(_sub(_element(answered, "resources"), "complexType"))
        resource = _sequence(_sub(_element(resources, "resource", least=0, most="unbounded"), "complexType"))
        _element(resource, "code", "xs:string")
        _element(resource, "version", "xs:int")
        _element(resource, "name", "xs:string")
        _element(resource, "direction", "xs:string")
        _element(resource, "lookup", "xs:boolean")
        _element(resource, "wsdl", "xs:anyURI")
        items = _sequence(_sub(_element(resource, "items"), "complexType"))
        item = _sequence(_sub(_element(items, "item", least=0, most="unbounded"), "complexType"))
        _element(item, "name", "xs:string")
        _element(item, "label", "xs:string")
        _element(item, "type", "xs:string")
        _element(item, "length", "xs:int", least=0)
        _element(item, "scale", "xs:int", least=0)
        _element(item, "mandatory", "xs:boolean")
        _element(item, "key", "xs:boolean")

    # The description around it.

    def _wsdl(self, schema: etree._Element) -> etree._Element:
        soap = BINDINGS[self._soap]
        spaces = {"wsdl": WSDL, "soap": soap, "xs": XS, "tns": self._namespace}
        name = "Exchange" if self._offer is None else "Resource"
        whole = etree.Element(f"{{{WSDL}}}definitions", nsmap=spaces)
        whole.set("name", name)
        whole.set("targetNamespace", self._namespace)
        about = "数通：所有资源通用的接口" if self._offer is None else f"{self._offer.resource} {self._offer.name}"
        _wsdl(whole, "documentation").text = about
        _wsdl(whole, "types").append(schema)
        for operation in self._operations:
            for message in (operation, f"{operation}Response"):
                _wsdl(_wsdl(whole, "message", name=message), "part", name="parameters", element=f"tns:{message}")
        port = _wsdl(whole, "portType", name=f"{name}Port")
        for operation in self._operations:
            told = _wsdl(port, "operation", name=operation)
            _wsdl(told, "input", message=f"tns:{operation}")
            _wsdl(told, "output", message=f"tns:{operation}Response")
        binding = _wsdl(whole, "binding", name=f"{name}Binding", type=f"tns:{name}Port")
        etree.SubElement(binding, f"{{{soap}}}binding", style="document", transport=TRANSPORT)
        for operation in self._operations:
            bound = _wsdl(binding, "operation", name=operation)
            etree.SubElement(
                bound, f"{{{soap}}}operation", soapAction=action(self._namespace, operation), style="document"
            )
            for direction in ("input", "output"):
                etree.SubElement(_wsdl(bound, direction), f"{{{soap}}}body", use="literal")
        service = _wsdl(whole, "service", name=f"{name}Service")
        served = _wsdl(service, "port", name=name, binding=f"tns:{name}Binding")
        etree.SubElement(served, f"{{{soap}}}address", location=self._place)
        return whole

    # Examples.

    def _examples(self) -> Iterator[tuple[str, bytes]]:
        rows = self._node("rows", self._example_row())
        resource = [self._node("resource", "101001001/0001")] if self._offer is None else []
        result = [
            *self._nodes(messageId="m-0001", state="delivered", total=1, accepted=1, refused=0),
            *self._nodes(receipt="R0001", repeated="false"),
        ]
        inside: dict[str, list[etree._Element]] = {
            "Query": [*resource, *self._nodes(limit=1000)],
            "QueryResponse": [rows, *self._nodes(nextCursor="c-0001", delivery="D0001")],
            "Lookup": [*resource, *self._example_key()],
            "LookupResponse": [self._node("rows", self._example_row()), self._node("delivery", "D0001")],
            "Push": [self._node("messageId", "m-0001"), *resource, self._node("rows", self._example_row())],
            "PushResponse": result,
            "Status": self._nodes(messageId="m-0001"),
            "StatusResponse": [_copy(each) for each in result],
            "Receipt": self._nodes(id="D0001"),
            "ReceiptResponse": [
                *self._nodes(id="R0001", resource="101001001/0001", issuedAt="2026-01-01T00:00:00Z"),
                self._node("counts", self._node("count", *self._nodes(name="written", value=1))),
                *self._nodes(content="sha256:…", digest="sha256:…"),
            ],
            "Describe": [],
            "DescribeResponse": [self._node("resources")],
        }
        for operation in self._operations:
            for name in (operation, f"{operation}Response"):
                yield name, etree.tostring(self._node(name, *inside[name]), encoding="utf-8")

    def _example_row(self) -> etree._Element:
        if self._offer is None:
            named = self._node("item", "示例")
            named.set("name", "name")
            empty = self._node("item")
            empty.set("name", "remark")
            empty.set("nil", "true")
            return self._node("row", named, empty)
        return self._node("row", *(self._node(element_name(item.name), example(item)) for item in self._offer.items))

    def _example_key(self) -> Sequence[etree._Element]:
        if self._offer is None:
            named = self._node("item", "1")
            named.set("name", "id")
            return [self._node("key", named)]
        return [
            self._node(element_name(item.name), example(item))
            for item in self._offer.items
            if item.name in self._offer.key
        ]

    def _node(self, name: str, *inside: etree._Element | str) -> etree._Element:
        node = etree.Element(f"{{{self._namespace}}}{name}", nsmap={None: self._namespace})  # type: ignore[dict-item]
        for part in inside:
            if isinstance(part, str):
                node.text = part
            else:
                node.append(part)
        return node

    def _nodes(self, **values: object) -> list[etree._Element]:
        return [self._node(name, str(value)) for name, value in values.items()]


def xsd_type(item: Item) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The XSD type of an item, and its facets."""
    match item.type:
        case "C":
            return "xs:string", (("maxLength", item.length),) if item.length else ()
        case "M":
            return "xs:string", ()
        case "N" | "Y":
            digits = item.length or (38 if item.type == "N" else 20)
            scale = item.scale if item.scale is not None else 0 if item.type == "N" else 2
            if not scale and digits <= 18:
                return "xs:long", (("totalDigits", digits),)
            return "xs:decimal", (("totalDigits", digits), ("fractionDigits", scale))
        case "D":
            return "xs:date", ()
        case "T":
            return "xs:dateTime", ()
        case "L":
            return "xs:boolean", ()
        case "G":
            return "xs:base64Binary", ()
        case "I":
            return "xs:long", ()
        case _:
            return "xs:double", ()


def example(item: Item) -> str:
    """A value an item could have."""
    match item.type:
        case "C":
            return "示例文字"[: item.length or 4]
        case "M":
            return "示例文字"
        case "N" | "Y":
            scale = item.scale if item.scale is not None else 0 if item.type == "N" else 2
            return f"0.{'1' * scale}" if scale else "1"
        case "D":
            return "2026-01-01"
        case "T":
            return "2026-01-01T08:00:00+08:00"
        case "L":
            return "true"
        case "G":
            return "5pWw6YCa"
        case "I":
            return "1"
        case _:
            return "1.5"


def _sub(parent: etree._Element, tag: str, /, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{XS}}}{tag}", attributes)


def _wsdl(parent: etree._Element, tag: str, /, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{WSDL}}}{tag}", attributes)


def _type(schema: etree._Element, name: str) -> etree._Element:
    return _sub(schema, "complexType", name=name)


def _wrapper(schema: etree._Element, name: str) -> etree._Element:
    return _sub(_sub(schema, "element", name=name), "complexType")


def _sequence(parent: etree._Element) -> etree._Element:
    return _sub(parent, "sequence")


def _element(
    parent: etree._Element, name: str, kind: str | None = None, *, least: int = 1, most: str = "1"
) -> etree._Element:
    attributes = {"name": name}
    if kind is not None:
        attributes["type"] = kind
    if least != 1:
        attributes["minOccurs"] = str(least)
    if most != "1":
        attributes["maxOccurs"] = most
    return _sub(parent, "element", **attributes)


def _enumerated(parent: etree._Element, values: Sequence[str]) -> None:
    restriction = _sub(parent, "restriction", base="xs:string")
    for value in values:
        _sub(restriction, "enumeration", value=value)


def _copy(node: etree._Element) -> etree._Element:
    return etree.fromstring(etree.tostring(node))


def _bytes(root: etree._Element) -> bytes:
    etree.indent(root)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")
