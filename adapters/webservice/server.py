"""spyne's only home: rows offered to others as a SOAP service (document/literal wrapped, SOAP 1.1).

spyne writes the contract, checks requests against it and calls the function. What reaches it has been
read, bounded and written anew by us, for it trusts too much: stock spyne takes the address of the
service from whoever asks first, accepts DTDs, echoes errors and logs whole requests.
"""

from __future__ import annotations

import importlib
import io
import logging
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.message import Message
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from lxml import etree

from adapters.errors import Malformed, Misconfigured
from adapters.webservice import xml

_log = logging.getLogger(__name__)

LARGEST_REQUEST = 256 << 10
LARGEST_PAGE = 5000
ROWS_ON_A_PAGE = 1000

_SCHEMA = "http://www.w3.org/2001/XMLSchema"

# Neither can be written in XML 1.0, nor a half of a surrogate pair in UTF-8.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

Rows = Sequence[Mapping[str, str | None]]
Read = Callable[[str | None, int], tuple[Rows, str | None]]
"""From a cursor (None: the beginning) and a number of rows to the rows and the next cursor (None: the end)."""


def _header(line: str) -> tuple[str, dict[str, str]]:
    message = Message()
    message["content-type"] = line
    kind, *parameters = message.get_params(failobj=[("", "")])
    return kind[0], dict(parameters)


def _spyne() -> types.SimpleNamespace:
    """Import spyne 2.14, which knows neither Python 3.12's importers nor that ``cgi`` is gone from 3.13.

    Its bundled ``six`` is answered from the standard library, and its importer taken away again. The one
    function it takes from ``cgi`` is given to it in a module that goes too: nobody else meets half a ``cgi``.
    """
    for old, new in (
        ("collections_abc", "collections.abc"),
        ("http_cookies", "http.cookies"),
        ("urllib.parse", "urllib.parse"),
        ("urllib.request", "urllib.request"),
        ("urllib.error", "urllib.error"),
    ):
        sys.modules.setdefault(f"spyne.util.six.moves.{old}", importlib.import_module(new))
    cgi = types.ModuleType("cgi")
    vars(cgi)["parse_header"] = _header
    before = sys.modules.get("cgi")
    sys.modules["cgi"] = cgi
    try:
        # Its sources have escapes that newer compilers warn of.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = types.SimpleNamespace()
            for name, module in (
                ("Application", "spyne.application"),
                ("Array", "spyne.model.complex"),
                ("ComplexModel", "spyne.model.complex"),
                ("ComplexModelMeta", "spyne.model.complex"),
                ("Fault", "spyne.model.fault"),
                ("Integer32", "spyne.model.primitive"),
                ("ServiceBase", "spyne.service"),
                ("Soap11", "spyne.protocol.soap"),
                ("Unicode", "spyne.model.primitive"),
                ("WsgiApplication", "spyne.server.wsgi"),
                ("rpc", "spyne.decorator"),
            ):
                setattr(found, name, getattr(importlib.import_module(module), name))
    finally:
        if before is None:
            del sys.modules["cgi"]
        else:
            sys.modules["cgi"] = before
        # Its importer speaks an old protocol, of which every later import would be warned.
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "spyne.util.six"]
    # It logs whole invalid requests at ERROR; what is worth knowing is logged here, without values.
    logging.getLogger("spyne").setLevel(logging.CRITICAL + 1)
    return found


spyne = _spyne()


class RowsService:
    """A WSGI application that offers rows by the operation ``Query(cursor, limit)``.

    Args:
        name: Name of the service.
        namespace: Its namespace; no two services may share both.
        items: Names of the elements of a row, in order.
        read: Where the rows come from.
        address: The address others reach it at; without it nothing is served until :meth:`publish`.

    Raises:
        Misconfigured: A name cannot be one in XML.
    """

    def __init__(
        self, name: str, namespace: str, items: Sequence[str], read: Read, *, address: str | None = None
    ) -> None:
        _refuse_unfit([name, *items])
        self._namespace = namespace
        self._items = frozenset(items)
        self._read = read
        text = spyne.Unicode(min_occurs=0, nillable=True)
        row = spyne.ComplexModelMeta(
            "Row",
            (spyne.ComplexModel,),
            {"__namespace__": namespace, "_type_info": [(item, text) for item in items]},
        )
        self._row = row
        query = spyne.rpc(
            spyne.Unicode(min_occurs=0, nillable=True, max_len=4096),
            spyne.Integer32(min_occurs=0, nillable=True, ge=1, le=LARGEST_PAGE),
            _returns=[spyne.Array(row), spyne.Unicode(min_occurs=0, nillable=True)],
            _out_variable_names=["rows", "nextCursor"],
            _args=["cursor", "limit"],
            _operation_name="Query",
        )(self._query)
        service = type(spyne.ServiceBase)(name, (spyne.ServiceBase,), {"Query": query})
        application = spyne.Application(
            [service], namespace, name=name, in_protocol=spyne.Soap11(validator="lxml"), out_protocol=spyne.Soap11()
        )
        application.event_manager.add_listener("method_exception_object", self._conceal)
        self._inner = spyne.WsgiApplication(application, max_content_length=LARGEST_REQUEST * 2)
        self._contract: bytes | None = None
        if address is not None:
            self.publish(address)

    @property
    def published(self) -> bool:
        """Whether it has an address."""
        return self._contract is not None

    def publish(self, address: str) -> None:
        """Write the contract for an address: a setting, never what a request says of its host."""
        self._inner.doc.wsdl11.build_interface_document(address)
        self._contract = self._inner.doc.wsdl11.get_interface_document()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; whatever is wrong with it is answered as a SOAP fault."""
        status, body = self._answer(environ)
        start_response(
            status,
            [
                ("Content-Type", "text/xml; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-store"),
            ],
        )
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> tuple[str, bytes]:
        if self._contract is None:
            return "503 Service Unavailable", xml.fault("Server", "服务尚未发布")
        method = environ["REQUEST_METHOD"]
        if method == "GET" and environ.get("QUERY_STRING", "").lower() == "wsdl":
            return "200 OK", self._contract
        if method != "POST":
            return "405 Method Not Allowed", xml.fault("Client", "只接受 POST，服务描述在 ?wsdl")
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "text/xml":
            return "415 Unsupported Media Type", xml.fault("Client", "只接受 text/xml（SOAP 1.1）")
        length = environ.get("CONTENT_LENGTH") or ""
        if not length.isdecimal():
            return "411 Length Required", xml.fault("Client", "请求应写明长度")
        if int(length) > LARGEST_REQUEST:
            return "413 Content Too Large", xml.fault("Client", f"请求不得超过 {LARGEST_REQUEST} 字节")
        body = environ["wsgi.input"].read(int(length))
        if len(body) < int(length):
            return "400 Bad Request", xml.fault("Client", "请求没有传完")
        try:
            request = self._checked(body)
        except Malformed as error:
            return "500 Internal Server Error", xml.fault("Client", error.message)
        return self._called(request)

    def _checked(self, body: bytes) -> bytes:
        """Read a request as we read all XML, and write anew what is wanted of it."""
        root = xml.parse(body, "请求")
        soap = xml.ENVELOPES["1.1"]
        found = root.find(f"{{{soap}}}Body") if root.tag == f"{{{soap}}}Envelope" else None
        if found is None:
            raise Malformed("请求不是 SOAP 1.1 信封")
        if len(found) != 1 or found[0].tag != f"{{{self._namespace}}}Query":
            raise Malformed("SOAP 正文应是一个 Query")
        envelope = etree.Element(f"{{{soap}}}Envelope")
        etree.SubElement(envelope, f"{{{soap}}}Body").append(found[0])
        return etree.tostring(envelope, xml_declaration=True, encoding="utf-8")

    def _called(self, request: bytes) -> tuple[str, bytes]:
        told: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "CONTENT_TYPE": "text/xml; charset=utf-8",
            "CONTENT_LENGTH": str(len(request)),
            "wsgi.input": io.BytesIO(request),
        }
        body = b"".join(self._inner(environ, lambda status, headers: told.append(status)))
        return told[0], body

    def _query(self, _: Any, cursor: str | None, limit: int | None) -> tuple[list[Any], str | None]:
        rows, following = self._read(cursor, limit or ROWS_ON_A_PAGE)
        return [self._row(**self._fit(row)) for row in rows], following

    def _fit(self, row: Mapping[str, str | None]) -> Mapping[str, str | None]:
        if not self._items.issuperset(row):
            raise ValueError("a row has items that are not in the contract")
        if any(value and _UNSENDABLE.search(value) for value in row.values()):
            raise ValueError("a value has characters that XML cannot carry")
        return row

    def _conceal(self, context: Any) -> None:
        """Put a plain fault in the place of one that quotes an exception or a value."""
        if context.out_error.faultcode.startswith("Client"):
            context.out_error = spyne.Fault("Client", "请求不符合服务描述")
            return
        error = sys.exception()
        _log.error("Query of %s failed: %s", self._namespace, type(error).__name__)
        context.out_error = spyne.Fault("Server", "暂时不能提供数据")


def rows_service(
    name: str, namespace: str, items: Sequence[str], read: Read, *, address: str | None = None
) -> RowsService:
    """Offer rows as a SOAP service; see :class:`RowsService`."""
    return RowsService(name, namespace, items, read, address=address)


def _refuse_unfit(names: Sequence[str]) -> None:
    unfit = [name for name in names if not xml.fits(name)]
    twice = sorted({name for name in names[1:] if names[1:].count(name) > 1})
    if unfit or twice:
        problems = [f"{name!r} 不能作为元素名" for name in unfit] + [f"元素名 {name} 用了不止一次" for name in twice]
        raise Misconfigured("；".join(problems), remedy="以字母或常用汉字开头，不含空格、冒号和生僻字")
