"""Bodies of answers (应答正文), and the arguments of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC

import pyarrow as pa

from adapters.webservice import payload
from adapters.webservice.desk import Offer, Page, Pushed, ReceiptAnswer
from adapters.webservice.faults import Fault, Soap
from adapters.webservice.reading import Node
from adapters.webservice.spool import Spool
from adapters.webservice.writing import escape
from adapters.webservice.writing import generic as generic_rows
from adapters.webservice.writing import typed as typed_rows
from adapters.webservice.xml import ENVELOPES
from schemas import Item

LONGEST = 4096
"""Characters of one argument."""


class Arguments:
    """The arguments of an operation, each once and none unknown.

    Args:
        nodes: As they came.
        namespace: Theirs; they may also have none.
        known: What there may be.

    Raises:
        Fault: There is another one, or one twice.
    """

    def __init__(self, nodes: Sequence[Node], namespace: str, known: Sequence[str]) -> None:
        self._nodes: dict[str, Node] = {}
        for node in nodes:
            if node.name not in known or node.space not in ("", namespace):
                raise _malformed("有操作不认识的参数", f"可用的参数：{'、'.join(known) or '无'}")
            if node.name in self._nodes:
                raise _malformed(f"参数 {node.name} 出现了不止一次")
            self._nodes[node.name] = node

    def optional(self, name: str) -> str | None:
        """A text, None where there is none."""
        node = self._nodes.get(name)
        if node is None:
            return None
        if node.children:
            raise _malformed(f"参数 {name} 里不能有元素")
        return _bounded(name, node.text)

    def required(self, name: str) -> str:
        """A text that must be there."""
        found = self.optional(name)
        if not found:
            raise _malformed(f"缺少参数 {name}")
        return found

    def number(self, name: str) -> int | None:
        """A number from 1."""
        found = (self.optional(name) or "").strip()
        if not found:
            return None
        if not found.isascii() or not found.isdecimal() or len(found) > 9 or int(found) < 1:
            raise _malformed(f"参数 {name} 应是正整数")
        return int(found)

    def named(self, name: str) -> Mapping[str, str]:
        """What stands in ``<item name="…">`` under an argument."""
        node = self._nodes.get(name)
        found: dict[str, str] = {}
        for child in node.children if node is not None else ():
            key = child.attributes.get("name")
            text = _bounded(name, child.text)
            if child.name != "item" or key is None or child.children or text is None or key in found:
                raise _malformed(f"参数 {name} 里应是各不相同的 item，带 name 和值")
            found[key] = text
        return found


def _bounded(name: str, text: str | None) -> str | None:
    if text is not None and len(text) > LONGEST:
        raise Fault("Client.TooLarge", f"参数 {name} 不得超过 {LONGEST} 个字符", remedy="改正请求")
    return text


@contextmanager
def _body(soap: Soap, namespace: str, name: str) -> Iterator[Spool]:
    spool = Spool()
    try:
        head = f'<?xml version="1.0" encoding="utf-8"?>\n<soap:Envelope xmlns:soap="{ENVELOPES[soap]}"><soap:Body>'
        spool.write(f'{head}<{name} xmlns="{escape(namespace)}">'.encode())
        yield spool
        spool.write(f"</{name}></soap:Body></soap:Envelope>".encode())
    except BaseException:
        spool.close()
        raise


def _element(name: str, value: object) -> bytes:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>".encode()


def page_body(
    soap: Soap,
    namespace: str,
    name: str,
    page: Page,
    items: Sequence[Item],
    *,
    generic: bool,
    packed: bool = False,
    tick: Callable[[], None],
) -> Spool:
    """A page of rows.

    Args:
        soap: Version of SOAP.
        namespace: Of the contract.
        name: Of the element.
        page: The rows; its batches are closed whatever happens.
        items: What a row has.
        generic: In the generic shape.
        packed: As a payload.
        tick: Called for each batch; raises when time is up.

    Raises:
        Fault: A value cannot be sent.
    """
    try:
        with _body(soap, namespace, name) as spool:
            if packed:
                spool.write(b"<payload>")
                payload.write(_each(page, tick), items, spool)
                spool.write(b"</payload>")
            else:
                dress = generic_rows(items) if generic else typed_rows(items)
                spool.write(b"<rows>")
                for batch in _each(page, tick):
                    for piece in dress(batch):
                        spool.write(piece)
                spool.write(b"</rows>")
            following = page.following()
            if following is not None:
                spool.write(_element("nextCursor", following))
            spool.write(_element("delivery", page.delivery))
    finally:
        close = getattr(page.batches, "close", None)
        if close is not None:
            close()
    return spool


def _each(page: Page, tick: Callable[[], None]) -> Iterator[pa.RecordBatch]:
    for batch in page.batches:
        tick()
        yield batch


def pushed_body(soap: Soap, namespace: str, name: str, pushed: Pushed) -> Spool:
    """What became of a message."""
    with _body(soap, namespace, name) as spool:
        spool.write(_element("messageId", pushed.message))
        spool.write(_element("state", pushed.state))
        spool.write(_element("total", pushed.rows))
        spool.write(_element("accepted", pushed.accepted))
        spool.write(_element("refused", len(pushed.refused)))
        if pushed.refused:
            spool.write(b"<refusals>")
            for refused in pushed.refused:
                item = _element("item", refused.item) if refused.item is not None else b""
                told = _element("row", refused.row) + item + _element("rule", refused.rule)
                spool.write(b"<refusal>" + told + _element("reason", refused.reason) + b"</refusal>")
            spool.write(b"</refusals>")
        if pushed.receipt is not None:
            spool.write(_element("receipt", pushed.receipt))
        spool.write(_element("repeated", pushed.repeated))
    return spool


def receipt_body(soap: Soap, namespace: str, receipt: ReceiptAnswer) -> Spool:
    """A receipt."""
    with _body(soap, namespace, "ReceiptResponse") as spool:
        spool.write(_element("id", receipt.id))
        spool.write(_element("resource", receipt.resource))
        issued = receipt.issued_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        spool.write(_element("issuedAt", issued))
        counts = [_element("name", name) + _element("value", value) for name, value in receipt.counts.items()]
        spool.write(b"<counts>" + b"".join(b"<count>" + count + b"</count>" for count in counts) + b"</counts>")
        spool.write(_element("content", receipt.content))
        spool.write(_element("digest", receipt.digest))
    return spool


def resources_body(soap: Soap, namespace: str, offers: Sequence[tuple[Offer, str]]) -> Spool:
    """What a caller may use, with the addresses of the service descriptions."""
    with _body(soap, namespace, "DescribeResponse") as spool:
        spool.write(b"<resources>")
        for offer, wsdl in offers:
            spool.write(b"<resource>")
            for name, value in (
                ("code", offer.resource),
                ("version", offer.version),
                ("name", offer.name),
                ("direction", offer.direction),
                ("lookup", offer.lookup),
                ("wsdl", wsdl),
            ):
                spool.write(_element(name, value))
            spool.write(b"<items>")
            for item in offer.items:
                spool.write(b"<item>" + b"".join(_item(item, offer)) + b"</item>")
            spool.write(b"</items></resource>")
        spool.write(b"</resources>")
    return spool


def _item(item: Item, offer: Offer) -> Iterator[bytes]:
    yield _element("name", item.name)
    yield _element("label", item.label)
    yield _element("type", item.type)
    if item.length is not None:
        yield _element("length", item.length)
    if item.scale is not None:
        yield _element("scale", item.scale)
    yield _element("mandatory", item.mandatory)
    yield _element("key", item.name in offer.key)


def _malformed(message: str, remedy: str = "按服务描述（?wsdl）改正请求") -> Fault:
    return Fault("Client.Malformed", message, remedy=remedy)
