from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import zeep
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.base import Binding, Selection
from adapters.errors import Misconfigured
from adapters.registry import open_endpoint
from adapters.webservice.server import LARGEST_REQUEST, RowsService, rows_service
from exchange.service import serve
from tests.adapters.webservice.test_xml import HOSTILE

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
NAMESPACE = "urn:example:licences"
ROWS: list[dict[str, str | None]] = [
    {"number": "1", "holder": "𠮷䶮 <&>", "备注": " 前后空格 \r\n"},
    {"number": "2", "holder": None},
    {"number": "3", "holder": "", "备注": "=1+1"},
    {"number": "4", "holder": "x" * (1 << 20)},
    {"number": "5", "holder": "🙂'\""},
]


def _read(cursor: str | None, limit: int) -> tuple[list[dict[str, str | None]], str | None]:
    start = int(cursor or 0)
    end = start + limit
    return ROWS[start:end], str(end) if end < len(ROWS) else None


def _service(read: Callable[..., Any] = _read, **named: Any) -> RowsService:
    return rows_service("Licences", NAMESPACE, ["number", "holder", "备注"], read, **named)


def _ask(
    service: RowsService, body: bytes, *, method: str = "POST", length: str | None = None, **environ: Any
) -> tuple[str, bytes]:
    told: list[str] = []
    asked = {
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "text/xml; charset=utf-8",
        "CONTENT_LENGTH": str(len(body)) if length is None else length,
        "wsgi.input": io.BytesIO(body),
    } | environ
    answer = b"".join(service(asked, lambda status, headers: told.append(status)))
    return told[0], answer


def _query(inside: str = "", body: str = "") -> bytes:
    body = body or f'<q:Query xmlns:q="{NAMESPACE}">{inside}</q:Query>'
    return f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{body}</s:Body></s:Envelope>'.encode()


def _fault(answer: bytes) -> tuple[str, str]:
    root = etree.fromstring(answer)
    found = root.find(f"{{{SOAP}}}Body/{{{SOAP}}}Fault")
    assert found is not None
    return (found.findtext("faultcode") or "").rpartition(":")[2], found.findtext("faultstring") or ""


@pytest.fixture
def published() -> RowsService:
    return _service(address="http://hub.example/licences")


def test_another_stack_reads_it_page_by_page() -> None:
    with serve(_service()) as server:
        query = zeep.Client(f"{server.url}?wsdl").service.Query
        first = query(limit=3)
        assert [row.number for row in first.rows.Row] == ["1", "2", "3"]
        assert first.rows.Row[0].holder == "𠮷䶮 <&>"
        assert first.rows.Row[0]["备注"] == " 前后空格 \r\n"
        assert first.nextCursor == "3"
        last = query(cursor="3", limit=3)
        assert [len(row.holder) for row in last.rows.Row] == [1 << 20, 3]
        assert last.nextCursor is None
        assert query(cursor="9").rows is None or not query(cursor="9").rows.Row


def test_our_own_source_reads_it() -> None:
    items = ["number", "holder", "备注"]
    binding = Binding(object="Query", columns={name: name for name in items}, key=("number",), options={"rows": 2})
    with serve(_service()) as server:
        endpoint = open_endpoint("webservice", {"url": f"{server.url}?wsdl"})
        assert endpoint.check(binding, None, sink=False) == []  # type: ignore[arg-type]
        with endpoint.source(binding) as source:
            rows = [row for batch in source.batches(Selection()) for row in batch.to_pylist()]
    assert [{name: row[name] for name in items} for row in rows] == [
        {name: row.get(name) for name in items} for row in ROWS
    ]


def test_nothing_to_offer() -> None:
    status, answer = _ask(_service(lambda cursor, limit: ([], None), address="http://x/"), _query())
    assert status == "200 OK"
    assert etree.fromstring(answer).find(".//{*}Row") is None


def test_the_address_is_the_published_one_whoever_asks(published: RowsService) -> None:
    for host in ("evil.example", "hub.example"):
        status, answer = _ask(published, b"", method="GET", QUERY_STRING="wsdl", HTTP_HOST=host)
        assert status == "200 OK"
        assert b"evil" not in answer
        assert b'location="http://hub.example/licences"' in answer


def test_before_it_is_published() -> None:
    service = _service()
    assert not service.published
    status, answer = _ask(service, _query())
    assert status.startswith("503")
    assert _fault(answer)[0] == "Server"


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_requests_get_a_fault(published: RowsService, document: str) -> None:
    status, answer = _ask(published, document.encode())
    assert status[:3] in ("500", "413")
    assert _fault(answer)[0] == "Client"


@pytest.mark.parametrize(
    "document",
    [
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>{_query("<q:cursor>&e;</q:cursor>").decode()}',
        _query("<q:cursor>" + "<a>" * 300 + "</a>" * 300 + "</q:cursor>").decode(),
        _query(body="<Query/>").decode(),
        _query(body=f'<q:Other xmlns:q="{NAMESPACE}"/>').decode(),
        _query(body=f'<q:Query xmlns:q="{NAMESPACE}"/>' * 2).decode(),
        _query("<q:limit>0</q:limit>").decode(),
        _query("<q:limit>many</q:limit>").decode(),
        _query("<q:more/>").decode(),
        f'<s:Envelope xmlns:s="{SOAP}"><s:Body/></s:Envelope>',
        f'<s:Envelope xmlns:s="{SOAP}"/>',
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>',
    ],
)
def test_requests_that_do_not_fit_get_a_client_fault(published: RowsService, document: str) -> None:
    status, answer = _ask(published, document.encode())
    assert status.startswith("500")
    assert _fault(answer)[0] == "Client"
    assert "many" not in _fault(answer)[1]


@pytest.mark.parametrize(
    ("status", "named"),
    [
        ("405", {"method": "PUT"}),
        ("405", {"method": "GET"}),
        ("415", {"CONTENT_TYPE": "application/soap+xml"}),
        ("415", {"CONTENT_TYPE": 'multipart/related; boundary="x"'}),
        ("411", {"length": ""}),
        ("411", {"length": "-1"}),
        ("413", {"length": str(LARGEST_REQUEST + 1)}),
        ("400", {"length": "200000"}),
    ],
)
def test_requests_that_are_not_for_us(published: RowsService, status: str, named: dict[str, Any]) -> None:
    told, answer = _ask(published, _query(), **named)
    assert told.startswith(status)
    assert _fault(answer)[0] == "Client"


def test_an_unknown_charset_in_the_header_changes_nothing(published: RowsService) -> None:
    status, _ = _ask(published, _query(), CONTENT_TYPE="text/xml; charset=none-such")
    assert status == "200 OK"


@pytest.mark.parametrize(
    "rows",
    [[{"number": "\x0b"}], [{"number": "\ud800"}], [{"other": "x"}], [{"number": "1"}, None]],
    ids=["control", "surrogate", "unknown item", "no row"],
)
def test_rows_that_cannot_be_sent(rows: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    status, answer = _ask(_service(lambda cursor, limit: (rows, None), address="http://x/"), _query())
    assert status.startswith("500")
    assert _fault(answer) == ("Server", "暂时不能提供数据")


def test_an_error_of_the_reader_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(cursor: str | None, limit: int) -> Any:
        raise RuntimeError(f"11010119900307 {cursor}")

    status, answer = _ask(_service(fail, address="http://x/"), _query("<q:cursor>330281</q:cursor>"))
    assert status.startswith("500")
    assert _fault(answer) == ("Server", "暂时不能提供数据")
    assert "RuntimeError" in caplog.text
    assert "11010119900307" not in caplog.text
    assert "330281" not in caplog.text


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from('<>&;"=/!?[]-:xq \n\x00é𠮷'), max_size=60).map(
        lambda text: _query(text) if len(text) % 2 else text.encode()
    )
)
def test_whatever_comes_a_fault_or_rows_go(content: bytes) -> None:
    status, answer = _ask(FUZZED, content)
    assert status[:3] in ("200", "500")
    etree.fromstring(answer)


FUZZED = _service(address="http://x/")


@pytest.mark.parametrize("items", [["a b"], ["1a"], [""], ["a:b"], ["a", "a"], ["䶮"], ["🙂"], ["a\0"], ["x", "y z"]])
def test_names_that_are_none_in_xml(items: list[str]) -> None:
    with pytest.raises(Misconfigured):
        rows_service("S", "urn:x", items, _read)


def test_spyne_leaves_nothing_behind() -> None:
    code = """
import sys
before = sys.modules.get("cgi")
from adapters.webservice import server
assert sys.modules.get("cgi") is before
assert not any(type(finder).__module__.startswith("spyne") for finder in sys.meta_path)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
