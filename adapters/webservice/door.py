"""The door (服务端口): SOAP calls in, a desk's answers out. It knows XML; what anybody may do is the desk's.

A call has two steps: :meth:`Door.admit` looks at its head, before any of the body is read, and :meth:`Door.answer`
reads the body and answers. Neither raises: whatever is wrong comes back as a SOAP fault with a code of
:mod:`adapters.webservice.faults`. An answer is whole before its first byte is sent, so that a page that cannot be
made is a fault and never half a page.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.message import Message as Header
from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qs

import pyarrow as pa

from adapters.errors import AdapterError
from adapters.webservice import contracts, payload
from adapters.webservice.answers import Arguments, page_body, pushed_body, receipt_body, resources_body
from adapters.webservice.credentials import Head, Trust, of_head, of_header, only, refuse_collisions
from adapters.webservice.desk import Caller, Desk, Direction, Offer, Shown
from adapters.webservice.faults import MEDIA, Fault, Soap, of_desk
from adapters.webservice.reading import Limits, Message, Node
from adapters.webservice.spool import Spool
from adapters.webservice.writing import element_name
from adapters.webservice.xml import ENVELOPES

T = TypeVar("T")

_log = logging.getLogger(__name__)

SECONDS = 120.0
"""How long one call may be worked at."""

_PATH = re.compile(r"/(soap|soap12)/(?:exchange|(r|w)/(.{1,200})/([0-9]{1,9}))")
_USUAL = 100
"""Characters of a media type that may be met again."""
_XML = frozenset(MEDIA.values())


@dataclass(frozen=True)
class Answer:
    """What goes back: status, headers, and a body that whoever sends it closes; for the log, who asked for it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: Spool
    by: str = "-"

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self.body.size


@dataclass(frozen=True)
class Place:
    """What an address stands for; without a resource it is the generic contract's."""

    soap: Soap
    direction: Direction = "read"
    resource: str = ""
    version: int = 0


@dataclass(frozen=True)
class Call:
    """A call that may send its body.

    Attributes:
        head: Its head, without what only a proxy may say.
        place: What it is addressed to.
        caller: Who calls, where the head said so; else the body must.
    """

    head: Head
    place: Place
    caller: Caller | None = None


class Door:
    """Answers calls with what a desk says.

    Args:
        desk: Who knows departments, grants and rows.
        public_address: Where others reach the door, like ``https://hub.example``; it is never taken from a request.
        limits: What a call may have at most.
        trust: What is trusted about a connection.
        seconds: How long one call may be worked at.
    """

    def __init__(
        self,
        desk: Desk,
        public_address: str,
        *,
        limits: Limits | None = None,
        trust: Trust | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.limits = limits or Limits()
        self._desk = desk
        self._public = public_address.rstrip("/")
        self._trust = trust or Trust()
        self._seconds = seconds

    def admit(self, head: Head) -> Call | Answer:
        """Look at the head of a request.

        Returns:
            The call, when its body is wanted; else the answer.
        """
        soap: Soap = "1.2" if head.path.startswith("/soap12/") else "1.1"
        return self._guarded(soap, lambda: self._admit(head))

    def recalled(self, head: Head) -> Call | None:
        """A call whose caller is still in mind: it is admitted without anything being looked up.

        Returns:
            None: it is to be admitted like any other, which also says what is wrong with it.
        """
        if head.method != "POST":
            return None
        found = self._guarded("1.1", lambda: self._recalled(head))
        return found if isinstance(found, Call) else None

    def _recalled(self, head: Head) -> Call | None:
        head, place, shown = self._read(head)
        caller = self._desk.recalled(only(shown)) if shown else None
        return None if caller is None else Call(head, place, caller)

    def answer(self, call: Call, body: Iterator[bytes]) -> Answer:
        """Read the body of a call and answer it.

        Args:
            call: As it was admitted.
            body: Its bytes.
        """
        return self._guarded(call.place.soap, lambda: _Conversation(self, call, body).answer())

    def refuse(self, call: Call, fault: Fault) -> Answer:
        """The answer to a call whose body was not taken."""
        return fault_answer(fault, call.place.soap)

    def _guarded(self, soap: Soap, work: Callable[[], T]) -> T | Answer:
        try:
            return work()
        except AdapterError as error:
            if not isinstance(error, Fault):
                _log.warning("the desk said %s: %s", type(error).__name__, error.message)
            return fault_answer(of_desk(error), soap)
        except Exception as error:  # noqa: BLE001 - nobody outside may meet a trace; what it was is logged, without values
            _log.error("a call failed: %s at %s", type(error).__name__, _where(error))
            return fault_answer(of_desk(AdapterError("")), soap)

    def _admit(self, head: Head) -> Call | Answer:
        if head.path == "/healthz":
            return _plain_answer(b"ok\n", "text/plain; charset=utf-8")
        if head.method == "GET":
            return self._document(_place(head.path), head.query)
        head, place, shown = self._read(head)
        return Call(head, place, self.identify(only(shown), head.peer) if shown else None)

    def _read(self, head: Head) -> tuple[Head, Place, list[Shown]]:
        """A head without what only a proxy may say, what it is addressed to and what it shows."""
        place = _place(head.path)
        if head.method != "POST":
            raise Fault("Client.Method", "只接受 POST；服务描述在 ?wsdl", remedy="用 POST 发送 SOAP 信封")
        refuse_collisions(head)
        trusted = self._trust.proxy(head.peer)
        if not trusted and self._trust.certificate_header:
            name = self._trust.certificate_header.lower()
            head = replace(head, headers=[each for each in head.headers if each[0] != name])
        self._demand_soap(head, place)
        shown = of_head(head, self._trust)
        if trusted:
            said = [value for name, value in head.headers if name == "x-forwarded-for"]
            head = replace(head, peer=said[-1].rpartition(",")[2].strip() if said else head.peer)
        return head, place, shown

    def identify(self, shown: Shown, peer: str) -> Caller:
        """Who shows this, as the desk says."""
        try:
            return self._desk.identify(shown, peer)
        except AdapterError as error:
            raise of_desk(error, identifying=True) from error

    def _demand_soap(self, head: Head, place: Place) -> None:
        kind, _ = content_type(head)
        if kind in ("multipart/related", "application/xop+xml"):
            raise Fault("Client.Unsupported", "不接受 MTOM 和附件", remedy="由调用方关闭 MTOM，把内容直接写在元素里")
        if kind not in _XML:
            raise Fault("Client.Unsupported", f"只接受 {MEDIA[place.soap]}", remedy="改正 Content-Type")
        if kind != MEDIA[place.soap]:
            raise Fault(
                "VersionMismatch",
                f"这个地址只收 SOAP {place.soap} 的信封（{MEDIA[place.soap]}）",
                remedy="SOAP 1.1 用 /soap/ 下的地址，SOAP 1.2 用 /soap12/ 下的地址",
            )
        if (head.one("content-encoding") or "identity").strip().lower() != "identity":
            raise Fault(
                "Client.Unsupported", "不接受压缩的请求", remedy="不要用 Content-Encoding；大批数据可用 payload"
            )
        length = head.one("content-length")
        if length is not None and (not length.isascii() or not length.isdecimal()):
            raise Fault("Client.Malformed", "Content-Length 不是数字", remedy="改正 Content-Length")
        if length is not None and int(length) > self.limits.body:
            raise too_long(self.limits)

    def _document(self, place: Place, query: str) -> Answer:
        contract = self.contract(place)
        wanted = query.lower()
        if wanted == "wsdl":
            return _plain_answer(contract.wsdl, "text/xml; charset=utf-8", keep=True)
        if wanted == "xsd":
            return _plain_answer(contract.schema, "text/xml; charset=utf-8", keep=True)
        name = parse_qs(query).get("example", [""])[0]
        if name in contract.examples:
            return _plain_answer(contract.example(name, place.soap), f"{MEDIA[place.soap]}; charset=utf-8")
        raise Fault("Client.Method", "只接受 POST；服务描述在 ?wsdl", remedy="用 POST 发送 SOAP 信封")

    def contract(self, place: Place) -> contracts.Contract:
        """The service description of a place.

        Raises:
            Fault: There is none.
        """
        if not place.resource:
            return contracts.generic_contract(self._public, place.soap)
        offer = self._desk.contract(place.resource, place.version, place.direction)
        if offer is None:
            raise Fault("Client.NotFound", "这个地址没有服务", remedy="核对资源代码和版本；可用的资源见 Describe 操作")
        return contracts.typed_contract(offer, self._public, place.soap)

    def wsdl(self, offer: Offer) -> str:
        """Where an offer's service description is."""
        return f"{self._public}{contracts.typed_path(offer.resource, offer.version, offer.direction)}?wsdl"

    @property
    def desk(self) -> Desk:
        """Who knows."""
        return self._desk

    @property
    def trust(self) -> Trust:
        """What is trusted about a connection."""
        return self._trust

    @property
    def seconds(self) -> float:
        """How long one call may be worked at."""
        return self._seconds


class _Conversation:
    """One call, from the first byte of its body to its answer."""

    def __init__(self, door: Door, call: Call, body: Iterator[bytes]) -> None:
        self._door = door
        self._desk = door.desk
        self._place = call.place
        self._call = call
        self._until = time.monotonic() + door.seconds
        _, parameters = content_type(call.head)
        self._parameters = parameters
        self._message = Message(
            self._timed(body),
            call.place.soap,
            door.limits,
            charset=parameters.get("charset"),
            generic=not call.place.resource,
        )

    def answer(self) -> Answer:
        try:
            self._message.open()
            caller = self._caller()
            operation = self._message.begin()
            self._namespace = operation.space
            self._check(operation)
            works: Mapping[str, Callable[[Caller], Spool]] = {
                "Describe": self._describe,
                "Query": self._query,
                "Lookup": self._lookup,
                "Push": self._push,
                "Status": self._status,
                "Receipt": self._receipt,
            }
            if operation.name != "Push" and (self._message.has_rows or self._message.payload is not None):
                raise Fault("Client.Malformed", "这个操作没有 rows 和 payload", remedy="按服务描述（?wsdl）改正请求")
            body = works[operation.name](caller)
        finally:
            self._message.close()
        kind = (("Content-Type", f"{MEDIA[self._place.soap]}; charset=utf-8"), ("Cache-Control", "no-store"))
        return Answer(200, (*kind, ("X-Content-Type-Options", "nosniff")), body, caller.id)

    def _timed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._demand_time()
            yield piece

    def _demand_time(self) -> None:
        if time.monotonic() > self._until:
            raise Fault("Server.Later", "请求用时过长，已停止", remedy="减少每次的行数，60 秒后再试", retry_after=60)

    def _caller(self) -> Caller:
        soap = self._place.soap
        shown = of_header(self._message.header, soap, ENVELOPES[soap], self._door.trust)
        if self._call.caller is None:
            return self._door.identify(only(shown), self._call.head.peer)
        if shown:
            raise Fault("Client.Unauthenticated", "出示了不止一种凭据", remedy="只出示一种")
        return self._call.caller

    def _check(self, operation: Node) -> None:
        place = self._place
        generic = not place.resource
        namespace = (
            contracts.GENERIC if generic else contracts.typed_namespace(place.resource, place.version, place.direction)
        )
        known = ("Query", "Lookup", "Receipt") if place.direction == "read" else ("Push", "Status", "Receipt")
        if operation.space != namespace or operation.name not in (contracts.operations(None) if generic else known):
            raise Fault("Client.Action", "这个地址没有这个操作", remedy="核对服务描述（?wsdl）中的操作和命名空间")
        named = self._call.head.one("soapaction") if place.soap == "1.1" else self._parameters.get("action")
        said = (named or "").strip().strip('"')
        if said and said != contracts.action(namespace, operation.name):
            raise Fault("Client.Action", "SOAPAction 与正文的操作不符", remedy="按服务描述（?wsdl）填写 SOAPAction")

    def _arguments(self, *known: str) -> Arguments:
        if "resource" in known and self._place.resource:
            known = tuple(name for name in known if name != "resource")
        return Arguments(self._message.arguments, self._namespace, known)

    def _offer(self, caller: Caller, arguments: Arguments, direction: Direction) -> Offer:
        return self._current(
            self._desk.offer(caller, self._place.resource or arguments.required("resource"), direction)
        )

    def _current(self, offer: Offer) -> Offer:
        """The offer, unless a service description of another version was asked by."""
        place = self._place
        if place.resource and offer.version != place.version:
            raise Fault(
                "Client.NotFound",
                f"服务描述的第 {place.version} 版已不再使用，现为第 {offer.version} 版",
                remedy="按新的服务描述（?wsdl）重新生成客户端",
            )
        return offer

    def _finished(self) -> None:
        """Read what is left of the message before anything is asked of the desk."""
        self._message.rest()

    def _describe(self, caller: Caller) -> Spool:
        self._arguments()
        self._finished()
        offers = [(offer, self._door.wsdl(offer)) for offer in self._desk.offers(caller)]
        return resources_body(self._place.soap, self._namespace, offers)

    def _query(self, caller: Caller) -> Spool:
        self._finished()
        arguments = self._arguments("resource", "cursor", "limit", "format")
        form = arguments.optional("format") or "xml"
        if form not in ("xml", payload.FORMAT):
            raise Fault("Client.Malformed", "format 只能是 xml 或 arrow", remedy="按服务描述（?wsdl）改正请求")
        limits = self._door.limits
        limit = min(arguments.number("limit") or limits.usual_page, limits.page)
        offer = self._offer(caller, arguments, "read")
        page = self._desk.query(caller, offer.resource, arguments.optional("cursor") or None, limit)
        return page_body(
            self._place.soap,
            self._namespace,
            "QueryResponse",
            page,
            offer.items,
            generic=not self._place.resource,
            packed=form == payload.FORMAT,
            tick=self._demand_time,
        )

    def _lookup(self, caller: Caller) -> Spool:
        self._finished()
        place = self._place
        if place.resource:
            offer = self._current(self._desk.lookup_offer(caller, place.resource))
            spelled = {element_name(name): name for name in offer.key}
            arguments = Arguments(self._message.arguments, self._namespace, tuple(spelled))
            key: Mapping[str, str] = {name: arguments.required(element) for element, name in spelled.items()}
        else:
            arguments = self._arguments("resource", "key")
            offer = self._desk.lookup_offer(caller, arguments.required("resource"))
            key = arguments.named("key")
            if sorted(key) != sorted(offer.key):
                raise Fault("Client.Malformed", "key 应给出全部主键信息项", remedy=f"主键：{'、'.join(offer.key)}")
        if not offer.lookup:
            raise Fault("Client.Forbidden", "这个资源不提供按主键查询", remedy="用 Query 读取")
        page = self._desk.lookup(caller, offer.resource, key)
        return page_body(
            place.soap,
            self._namespace,
            "LookupResponse",
            page,
            offer.items,
            generic=not place.resource,
            tick=self._demand_time,
        )

    def _push(self, caller: Caller) -> Spool:
        arguments = self._arguments("messageId", "resource")
        name = arguments.required("messageId")
        offer = self._offer(caller, arguments, "write")
        if self._message.has_rows:
            generic = not self._place.resource
            elements = {item.name if generic else element_name(item.name): item.name for item in offer.items}
            batches = self._message.batches(offer.items, elements)
        else:
            self._finished()
            if self._message.payload is None:
                raise Fault("Client.Malformed", "没有 rows，也没有 payload", remedy="按服务描述（?wsdl）改正请求")
            limits = self._door.limits
            batches = payload.read(self._message.payload, offer.items, limits.rows, longest=limits.text)
            batches = self._ticking(batches)
        result = self._desk.push(caller, offer.resource, name, batches)
        return pushed_body(self._place.soap, self._namespace, "PushResponse", result)

    def _ticking(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self._demand_time()
            yield batch

    def _status(self, caller: Caller) -> Spool:
        self._finished()
        name = self._arguments("messageId").required("messageId")
        return pushed_body(self._place.soap, self._namespace, "StatusResponse", self._desk.status(caller, name))

    def _receipt(self, caller: Caller) -> Spool:
        self._finished()
        name = self._arguments("id").required("id")
        return receipt_body(self._place.soap, self._namespace, self._desk.receipt(caller, name))


def content_type(head: Head) -> tuple[str, Mapping[str, str]]:
    """Media type and parameters of a request.

    Raises:
        Fault: It is named twice, or in a way that HTTP does not know.
    """
    said = head.one("content-type") or "application/octet-stream"
    return _media_type(said) if len(said) <= _USUAL else _media_type.__wrapped__(said)


@lru_cache(256)
def _media_type(said: str) -> tuple[str, Mapping[str, str]]:
    header = Header()
    header["content-type"] = said
    parameters = header.get_params(failobj=[])
    if not all(isinstance(value, str) for _, value in parameters):  # charset*=utf-8''…, which is for mails
        raise Fault("Client.Unsupported", "Content-Type 的写法不受支持", remedy="改正 Content-Type")
    named = {name.lower(): value for name, value in parameters[1:]}
    return (parameters[0][0].strip().lower() if parameters else ""), named


def too_long(limits: Limits) -> Fault:
    """The refusal of a body over the limit."""
    return Fault("Client.TooLarge", f"请求不得超过 {limits.body} 字节", remedy="分几次发送")


def fault_answer(fault: Fault, soap: Soap) -> Answer:
    """An answer that says a fault."""
    body = Spool()
    body.write(fault.document(soap))
    kind = (("Content-Type", f"{MEDIA[soap]}; charset=utf-8"), ("Cache-Control", "no-store"))
    return Answer(fault.status(soap), (*kind, ("X-Content-Type-Options", "nosniff"), *fault.headers()), body)


def _plain_answer(content: bytes, kind: str, *, keep: bool = False) -> Answer:
    body = Spool()
    body.write(content)
    cache = "max-age=60" if keep else "no-store"
    return Answer(200, (("Content-Type", kind), ("Cache-Control", cache), ("X-Content-Type-Options", "nosniff")), body)


def _place(path: str) -> Place:
    found = _PATH.fullmatch(path)
    if found is None:
        raise Fault("Client.NotFound", "这个地址没有服务", remedy="通用接口在 /soap/exchange，服务描述在 ?wsdl")
    soap: Soap = "1.2" if found[1] == "soap12" else "1.1"
    if found[2] is None:
        return Place(soap)
    return Place(soap, "read" if found[2] == "r" else "write", found[3], int(found[4]))


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else "?"
