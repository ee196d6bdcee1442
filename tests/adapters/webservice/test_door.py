from __future__ import annotations

import base64
import logging
import re
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.base import OPERATION
from adapters.webservice.credentials import Head, Trust
from adapters.webservice.door import Answer, Call
from adapters.webservice.faults import CODES
from adapters.webservice.reading import Limits
from tests.adapters.webservice import memory_desk
from tests.adapters.webservice.knocking import (
    BEARER,
    EXCHANGE,
    GENERIC,
    PEOPLE,
    READ,
    SENT,
    WRITE,
    basic,
    door,
    envelope,
    gateway,
    knock,
    pieces,
    push,
    query,
    security,
    told,
)
from tests.adapters.webservice.memory_desk import BROKEN, STRANGER, SUBJECT, MemoryDesk, rows
from tests.adapters.webservice.test_xml import HOSTILE

PROXIED = Trust(passwords=True, certificate_header="X-Client-Subject", proxies=("192.0.2.0/28",))

GENERIC_ROWS = '<rows><row><item name="id">1</item></row></rows>'
# Every operation, at a typed and at the generic address.
OPERATIONS: dict[str, tuple[str, str]] = {
    "describe": (EXCHANGE, f'<Describe xmlns="{GENERIC}"/>'),
    "query": (READ, query()),
    "query, generic": (EXCHANGE, query("<resource>101001001/0001</resource>", GENERIC)),
    "lookup": (READ, f'<Lookup xmlns="{PEOPLE}"><id>2</id></Lookup>'),
    "lookup, generic": (
        EXCHANGE,
        f'<Lookup xmlns="{GENERIC}"><resource>101001001/0001</resource><key><item name="id">2</item></key></Lookup>',
    ),
    "push": (WRITE, push("<row><id>1</id></row>", "table")),
    "push, generic": (
        EXCHANGE,
        f'<Push xmlns="{GENERIC}"><messageId>g</messageId><resource>101001001/0002</resource>{GENERIC_ROWS}</Push>',
    ),
    "status": (WRITE, f'<Status xmlns="{SENT}"><messageId>m0</messageId></Status>'),
    "receipt": (READ, f'<Receipt xmlns="{PEOPLE}"><id>R1</id></Receipt>'),
}

RIGHT: dict[str, dict[str, Any]] = {
    "bearer": {"headers": BEARER},
    "basic": {"headers": basic()},
    "gateway": {},
    "certificate": {"headers": [("x-client-subject", SUBJECT)]},
    "digest": {"headers": []},
    "password in the header": {"headers": []},
}
WRONG: dict[str, dict[str, Any]] = {
    "nothing": {"headers": []},
    "wrong token": {"headers": [("authorization", "Bearer guessed")]},
    "wrong basic": {"headers": basic(password="x")},
    "another scheme": {"headers": [("authorization", "NTLM abc")]},
    "broken basic": {"headers": [("authorization", "Basic !!")]},
    "wrong gateway": {"headers": gateway("guessed")},
    "half a gateway": {"headers": gateway()[:3]},
    "certificate past the proxy": {"headers": [("x-client-subject", SUBJECT)], "peer": "198.51.100.1"},
    "wrong certificate": {"headers": [("x-client-subject", "CN=x")]},
    "wrong digest": {"headers": [], "header": security(password="x")},
    "two in the head": {"headers": [*BEARER, *gateway()]},
    "head and header": {"headers": BEARER, "header": security()},
    "two tokens": {"headers": [], "header": security() + security()},
}


def showing(name: str) -> dict[str, Any]:
    """A right credential, fresh: some may be shown once."""
    if name == "gateway":
        return {"headers": gateway()}
    if name == "digest":
        return {"headers": [], "header": security()}
    if name == "password in the header":
        return {"headers": [], "header": security(clear=True)}
    return RIGHT[name]


@pytest.fixture
def desk() -> MemoryDesk:
    desk = MemoryDesk()
    knock(door(desk), WRITE, push("<row><id>1</id></row>", "m0"))
    return desk


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("credential", RIGHT)
def test_whoever_is_known_and_may_is_answered(desk: MemoryDesk, operation: str, credential: str) -> None:
    path, inside = OPERATIONS[operation]
    for place in (path, path.replace("/soap/", "/soap12/")):
        answer = knock(door(desk, trust=PROXIED), place, inside, **showing(credential))
        assert (answer.status, answer.code) == (200, ""), answer.words


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("credential", WRONG)
def test_whoever_is_not_known_is_refused(desk: MemoryDesk, operation: str, credential: str) -> None:
    path, inside = OPERATIONS[operation]
    answer = knock(door(desk, trust=PROXIED), path, inside, **WRONG[credential])
    assert (answer.status, answer.code) == (401, "Client.Unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert set(desk.pushed) == {("D1", "m0")}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whoever_may_not_learns_nothing(desk: MemoryDesk, operation: str) -> None:
    path, inside = OPERATIONS[operation]
    stranger = [("authorization", f"Bearer {STRANGER}")]
    answer = knock(door(desk), path, inside, headers=stranger)
    if operation == "describe":
        assert answer.text("code") is None
        return
    assert (answer.status, answer.code) == (500, "Client.Forbidden")
    # What does not exist is refused in the same words.
    swapped = inside.replace("101001001/000", "999999999/000").replace("101001001%2F", "999999999%2F")
    other = knock(door(desk), path.replace("101001001", "999999999"), swapped, headers=stranger)
    assert (other.status, other.code, other.words) == (answer.status, answer.code, answer.words)


def test_nobody_is_asked_who_he_is_before_his_head_is_read(desk: MemoryDesk) -> None:
    admitted = door(desk).admit(Head("POST", READ, "", [("content-type", "text/xml"), *BEARER], "192.0.2.7"))
    assert isinstance(admitted, Call)
    assert admitted.caller is not None
    refused = door(desk).admit(
        Head("POST", READ, "", [("content-type", "text/xml"), ("authorization", "Bearer x")], "192.0.2.7")
    )
    assert isinstance(refused, Answer)  # no body was ever asked for
    assert refused.status == 401


def test_the_certificate_header_of_anybody_else_is_gone(desk: MemoryDesk) -> None:
    at = door(desk, trust=PROXIED)
    headers = [("content-type", "text/xml"), ("x-client-subject", SUBJECT), *BEARER]
    stripped = at.admit(Head("POST", READ, "", headers, "198.51.100.1"))
    assert isinstance(stripped, Call)
    assert "x-client-subject" not in dict(stripped.head.headers)
    both = told(at.admit(Head("POST", READ, "", headers, "192.0.2.1")))  # type: ignore[arg-type]
    assert both.code == "Client.Unauthenticated"


def test_a_proxy_tells_who_called(desk: MemoryDesk) -> None:
    headers = [("x-client-subject", SUBJECT), ("x-forwarded-for", "10.9.9.9, 203.0.113.5")]
    assert knock(door(desk, trust=PROXIED), READ, query(), headers=headers).status == 200
    assert desk.shown[-1][1] == "203.0.113.5"
    knock(door(desk, trust=PROXIED), READ, query(), headers=[*BEARER, headers[1]], peer="198.51.100.1")
    assert desk.shown[-1][1] == "198.51.100.1"


def test_headers_that_some_servers_take_for_one_are_refused(desk: MemoryDesk) -> None:
    answer = knock(door(desk), READ, query(), headers=[*gateway(), ("gjgxjhpt-sid", "x")])
    assert answer.code == "Client.Malformed"
    twice = knock(door(desk), READ, query(), headers=[*BEARER, *BEARER])
    assert twice.code == "Client.Malformed"


def test_a_digest_is_accepted_once(desk: MemoryDesk) -> None:
    header = security()
    first = knock(door(desk), READ, query(), headers=[], header=header)
    again = knock(door(desk), READ, query(), headers=[], header=header)
    assert (first.status, again.code) == (200, "Client.Unauthenticated")


def test_passwords_in_clear_need_a_covered_way(desk: MemoryDesk) -> None:
    for shown in ({"headers": basic()}, {"headers": [], "header": security(clear=True)}):
        assert knock(door(desk), READ, query(), **shown).code == "Client.Unauthenticated"
        assert knock(door(desk, trust=Trust(passwords=True)), READ, query(), **shown).status == 200


# What is read.


@pytest.mark.parametrize("place", [READ, EXCHANGE], ids=["typed", "generic"])
def test_rows_page_by_page(desk: MemoryDesk, place: str) -> None:
    found, cursor, pages = [], "", 0
    while True:
        inside = f"<cursor>{cursor}</cursor><limit>2</limit>"
        whole = query(inside) if place == READ else query(f"<resource>101001001/0001</resource>{inside}", GENERIC)
        answer = knock(door(desk), place, whole)
        found += answer.rows()
        pages += 1
        cursor = answer.text("nextCursor") or ""
        if not cursor:
            break
    assert pages == 3
    assert desk.closed == 3
    assert [row["id"] for row in found] == ["1", "2", "3", "4", "5"]
    assert [row["_operation"] for row in found] == ["put", "put", "put", "delete", "put"]
    assert found[1]["name"] == "张三 <&> 2 𠮷"
    assert found[1]["备注"] == " 前后 \r\n\t"
    assert found[2]["photo"] == "AP8="
    if place == READ:
        assert "amount" not in found[0]
    else:
        assert found[0]["amount"] is None
        assert found[0]["备注"] == ""


def test_a_page_as_payload(desk: MemoryDesk) -> None:
    answer = knock(door(desk), READ, query("<format>arrow</format><limit>3</limit>"))
    table = pa.ipc.open_stream(base64.b64decode(answer.text("payload") or "")).read_all()
    assert (
        table.drop_columns(OPERATION).to_pylist()
        == desk.tables["101001001/0001"].slice(0, 3).drop_columns(OPERATION).to_pylist()
    )
    assert answer.text("nextCursor") == "3"


def test_a_page_is_no_longer_than_the_door_allows(desk: MemoryDesk) -> None:
    at = door(desk, limits=Limits(page=3, usual_page=1))
    assert len(knock(at, READ, query("<limit>1000</limit>")).rows()) == 3
    assert len(knock(at, READ, query()).rows()) == 1


@pytest.mark.parametrize("place", [READ, EXCHANGE], ids=["typed", "generic"])
@pytest.mark.parametrize("value", ["\x0b", "\x00", "\ufffe", "x\uffff"])
def test_what_xml_cannot_carry_is_refused_by_name_and_never_left_out(desk: MemoryDesk, place: str, value: str) -> None:
    table = rows(5000)
    names = table["name"].to_pylist()
    names[4321] = value
    desk.tables["101001001/0001"] = table.set_column(1, table.schema.field(1), [names])
    inside = "<limit>5000</limit>"
    whole = query(inside) if place == READ else query(f"<resource>101001001/0001</resource>{inside}", GENERIC)
    answer = knock(door(desk), place, whole)
    assert (answer.status, answer.code) == (500, "Server.Unsendable")
    assert "name" in answer.words
    assert "xml_characters" in answer.words
    assert answer.rows() == []
    assert desk.closed == 1
    packed = knock(door(desk), place, whole.replace("</limit>", "</limit><format>arrow</format>"))
    table = pa.ipc.open_stream(base64.b64decode(packed.text("payload") or "")).read_all()
    assert table["name"][4321].as_py() == value


def test_one_row_by_its_key(desk: MemoryDesk) -> None:
    answer = knock(door(desk), *OPERATIONS["lookup"])
    assert [row["name"] for row in answer.rows()] == ["张三 <&> 2 𠮷"]
    assert answer.text("delivery") == "D-look"
    nobody = knock(door(desk), READ, f'<Lookup xmlns="{PEOPLE}"><id>99</id></Lookup>')
    assert nobody.status == 200
    assert nobody.rows() == []
    for inside in ("", "<name>x</name>", "<id>1</id><id>1</id>"):
        assert knock(door(desk), READ, f'<Lookup xmlns="{PEOPLE}">{inside}</Lookup>').code == "Client.Malformed"
    desk.published[0] = replace(desk.published[0], lookup=False)
    assert knock(door(desk), *OPERATIONS["lookup"]).code == "Client.Forbidden"


def test_what_may_be_used_is_described(desk: MemoryDesk) -> None:
    answer = knock(door(desk), *OPERATIONS["describe"])
    found = {each.findtext("{*}code"): each for each in answer.root.iter("{*}resource")}
    assert set(found) == {"101001001/0001", "101001001/0002", "101001001/0003"}
    first = found["101001001/0001"]
    assert first.findtext("{*}name") == "人口 <基本>"
    assert first.findtext("{*}wsdl") == "https://hub.example/soap/r/101001001%2F0001/1?wsdl"
    assert len(first.findall(".//{*}item")) == 8


def test_a_receipt(desk: MemoryDesk) -> None:
    answer = knock(door(desk), *OPERATIONS["receipt"])
    assert (answer.text("id"), answer.text("issuedAt")) == ("R1", "2026-01-01T00:00:00Z")
    assert (answer.text("count/{*}name"), answer.text("count/{*}value")) == ("written", "4")


# What is pushed.


def test_rows_arrive_as_they_were_written(desk: MemoryDesk) -> None:
    inside = (
        '<x:row xmlns:x="NS"><x:备注> 前后 &#13;\n</x:备注><x:name><![CDATA[<a>&]]>é</x:name><x:id>01</x:id></x:row>'
        '<row _operation="delete"><id>2</id></row>'
        '<row><id>3</id><name xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/><备注/></row>'
        "<row><id>4</id><name>a<!-- -->b<?c d?>c</name><born>2026-13-45</born></row>"
    ).replace("NS", SENT)
    answer = knock(door(desk), WRITE, push(inside))
    assert (answer.text("total"), answer.text("accepted"), answer.text("refused")) == ("4", "4", "0")
    assert desk.pushed["D1", "m1"][1].to_pylist() == [
        {"id": "01", "name": "<a>&é", "born": None, "changed": None, "备注": " 前后 \r\n", OPERATION: 0},
        {"id": "2", "name": None, "born": None, "changed": None, "备注": None, OPERATION: 1},
        {"id": "3", "name": None, "born": None, "changed": None, "备注": "", OPERATION: 0},
        {"id": "4", "name": "abc", "born": "2026-13-45", "changed": None, "备注": None, OPERATION: 0},
    ]


def test_a_message_sent_twice_is_one(desk: MemoryDesk) -> None:
    first = knock(door(desk), WRITE, push("<row><id>1</id></row><row><id>x</id></row>"))
    again = knock(door(desk), WRITE, push("<row><id>7</id></row>"))
    assert (first.text("repeated"), again.text("repeated")) == ("false", "true")
    for name in ("state", "total", "accepted", "refused", "receipt"):
        assert first.text(name) == again.text(name)
    status = knock(door(desk), WRITE, f'<Status xmlns="{SENT}"><messageId>m1</messageId></Status>')
    assert (status.text("refusal/{*}row"), status.text("refusal/{*}reason")) == ("2", "不是整数 <&>")


def test_many_rows_are_all_counted(desk: MemoryDesk) -> None:
    inside = "".join(f"<row><id>{n}</id><name>名{n}</name></row>" for n in range(30_000))
    answer = knock(door(desk), WRITE, push(inside), size=1000)
    assert answer.text("total") == "30000"
    table = desk.pushed["D1", "m1"][1]
    assert table["id"].to_pylist() == [str(n) for n in range(30_000)]
    assert len(table["id"].chunks) > 2


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "texts"])
def test_rows_pushed_as_payload(desk: MemoryDesk, typed: bool) -> None:
    table = rows(3, deleted=(2,)).select(["id", "name", "changed", OPERATION])
    if not typed:
        table = table.set_column(0, "id", table["id"].cast(pa.string())).drop_columns("changed")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(table)
    coded = base64.encodebytes(sink.getvalue().to_pybytes()).decode()
    inside = f'<Push xmlns="{SENT}"><messageId>m1</messageId><payload>{coded}</payload></Push>'
    answer = knock(door(desk), WRITE, inside, size=77)
    assert answer.text("accepted") == "3", answer.words
    kept = desk.pushed["D1", "m1"][1]
    assert kept["id"].to_pylist() == ["1", "2", "3"]
    assert kept["name"].to_pylist() == ["张三 <&> 1 𠮷", None, "张三 <&> 3 𠮷"]
    assert kept[OPERATION].to_pylist() == [0, 1, 0]
    if typed:
        assert kept["changed"].to_pylist() == ["2026-01-01T01:01:01.001000Z", None, "2026-01-01T01:01:01.001000Z"]


def test_nothing_is_kept_of_a_message_that_breaks_off(desk: MemoryDesk) -> None:
    good = "".join(f"<row><id>{n}</id></row>" for n in range(20_000))
    whole = envelope(push(good))
    for body in (whole[:-5], whole[: len(whole) // 2], whole.replace(b"</rows>", b"<row><id><a/></id></row></rows>")):
        answer = knock(door(desk), WRITE, body)
        assert answer.code == "Client.Malformed"
        assert ("D1", "m1") not in desk.pushed


@pytest.mark.parametrize(
    "inside",
    [
        push("<row><id>1</id><id>1</id></row>"),
        push("<row><other>1</other></row>"),
        push('<row><id xmlns="urn:x">1</id></row>'),
        push("<row>text<id>1</id></row>"),
        push("<row><id>1</id>text</row>"),
        push("<row><id>1</id></row>text"),
        push("<line/>"),
        push("<row><id>1<b/></id></row>"),
        push('<row _operation="drop"><id>1</id></row>'),
        push('<row><item name="id">1</item></row>'),
        push("<row/>", "x" * 5000),
        f'<Push xmlns="{SENT}"><messageId/><rows/></Push>',
        f'<Push xmlns="{SENT}"><rows/><messageId>1</messageId></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId><rows/><rows/></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId><rows/><payload/></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId><payload/></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId><payload>!</payload></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId><payload>AAAA</payload></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId><payload>AA<b/>AA</payload></Push>',
        f'<Push xmlns="{SENT}"><messageId>1</messageId><more/><rows/></Push>',
    ],
)
def test_pushes_that_do_not_fit(desk: MemoryDesk, inside: str) -> None:
    answer = knock(door(desk), WRITE, inside)
    assert answer.code in ("Client.Malformed", "Client.TooLarge"), answer.content
    assert set(desk.pushed) == {("D1", "m0")}


def test_an_empty_push_is_a_push(desk: MemoryDesk) -> None:
    assert knock(door(desk), WRITE, push("")).text("total") == "0"


# What is hostile, or just wrong.


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("place", [READ, WRITE, "/soap12/exchange"])
def test_hostile_documents(desk: MemoryDesk, place: str, document: str) -> None:
    inside = envelope("X", "1.2" if "12" in place[:7] else "1.1").replace(b"X", document.encode())
    for body in (document.encode(), inside):
        answer = knock(door(desk), place, body)
        assert answer.code in ("Client.Malformed", "Client.TooLarge")
        assert len(answer.words) < 200


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        (push("<row>" + "<a>" * 300 + "</a>" * 300 + "</row>"), "Client.Malformed"),
        (push("<row><id>" + "x" * 9_000_000 + "</id></row>"), "Client.TooLarge"),
        (push("<row><id>" + "<![CDATA[x]]>" * 1_000_000 + "</id></row>"), ""),
        (push("<row>" + "".join(f"<a{n}/>" for n in range(100_000)) + "</row>"), "Client.TooLarge"),
        (push("<row " + " ".join(f'a{n}="1"' for n in range(200_000)) + "/>"), "Client.TooLarge"),
        (push('<row a="' + "x" * 3_000_000 + '"/>'), "Client.TooLarge"),
        (push("<row><id " + " ".join(f'a{n}="1"' for n in range(50)) + ">1</id></row>"), "Client.TooLarge"),
        ("<a>" * 100_000 + "</a>" * 100_000, "Client.TooLarge"),
        ('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"/>', "Client.Action"),
        (
            push('<row><id><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/hostname"/></id></row>'),
            "Client.Malformed",
        ),
        (
            push('<row><id><x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="cid:1"/></id></row>'),
            "Client.Unsupported",
        ),
        (push("<row/>" * 200_001), "Client.TooLarge"),
        (f'<Push xmlns="{SENT}">' + "<messageId>1</messageId>" * 5000 + "</Push>", "Client.TooLarge"),
        (f'<Push xmlns="{SENT}"><messageId>{"x" * 400_000}</messageId></Push>', "Client.TooLarge"),
    ],
    ids=[
        "depth in a row", "one long text", "many pieces of text", "elements of a row", "attributes", "long attribute",
        "attributes of an item", "100,000 levels", "XInclude", "XInclude in a row", "MTOM", "rows", "arguments",
        "long argument",
    ],
)  # fmt: skip
def test_there_is_a_limit_to_everything(desk: MemoryDesk, inside: str, code: str) -> None:
    for size in (1 << 16, 1 << 20):
        desk.pushed.clear()
        assert knock(door(desk), WRITE, inside, size=size).code == code


@pytest.mark.parametrize(
    ("place", "body", "code"),
    [
        (READ, b"", "Client.Malformed"),
        (READ, envelope(""), "Client.Malformed"),
        (READ, envelope(query() + query()), "Client.Malformed"),
        (READ, envelope(query()).replace(b"Body", b"Bodi"), "Client.Malformed"),
        (READ, envelope(query()) + b"<a/>", "Client.Malformed"),
        (READ, b"<Query/>", "Client.Malformed"),
        (READ, f'<s:Envelope xmlns:s="{"http://schemas.xmlsoap.org/soap/envelope/"}"/>'.encode(), "Client.Malformed"),
        (READ, envelope(query(), "1.2"), "VersionMismatch"),
        ("/soap12/exchange", envelope(f'<Describe xmlns="{GENERIC}"/>', "1.1"), "VersionMismatch"),
        (READ, envelope("<Query/>"), "Client.Action"),
        (READ, envelope(query(namespace=GENERIC)), "Client.Action"),
        (READ, envelope(push("<row/>")), "Client.Action"),
        (READ, envelope(f'<Drop xmlns="{PEOPLE}"/>'), "Client.Action"),
        (READ, envelope(query("<limit>0</limit>")), "Client.Malformed"),
        (READ, envelope(query("<limit>330281</limit><limit>1</limit>")), "Client.Malformed"),
        (READ, envelope(query("<limit>many</limit>")), "Client.Malformed"),
        (READ, envelope(query("<cursor>330281198</cursor><x/>")), "Client.Malformed"),
        (READ, envelope(query("<cursor>x</cursor>")), "Client.Malformed"),
        (READ, envelope(query("<format>csv</format>")), "Client.Malformed"),
        (READ, envelope(query("<rows/>")), "Client.Malformed"),
        (READ, envelope(query("<cursor>later</cursor>")), "Server.Later"),
        (READ, envelope(query(), header='<x:T xmlns:x="urn:x" s:mustUnderstand="1"/>'), "MustUnderstand"),
        (READ, b'<?xml version="1.0" encoding="big5"?>' + envelope(query()), "Client.Unsupported"),
        (READ, envelope(query("<cursor>\xff</cursor>")).replace("\xff".encode(), b"\xff"), "Client.Malformed"),
        ("/soap/r/101001001/0003/1", envelope(query(namespace=PEOPLE.replace("0001", "0003"))), "Server.Failed"),
    ],
)
def test_requests_that_do_not_fit(desk: MemoryDesk, place: str, body: bytes, code: str) -> None:
    answer = knock(door(desk), place, body)
    assert answer.code == code, answer.content
    assert answer.status == (CODES[code] or 500)
    assert not re.search(r"330281|many|Traceback|11010119900307", answer.content.decode())


@pytest.mark.parametrize(
    ("named", "status", "code"),
    [
        ({"method": "GET"}, 405, "Client.Method"),
        ({"method": "GET", "query": "example=Nothing"}, 405, "Client.Method"),
        ({"method": "PUT"}, 405, "Client.Method"),
        ({"method": "HEAD"}, 405, "Client.Method"),
        ({"media": "application/json"}, 415, "Client.Unsupported"),
        ({"media": ""}, 415, "Client.Unsupported"),
        ({"media": 'multipart/related; type="application/xop+xml"; boundary=x'}, 415, "Client.Unsupported"),
        ({"media": "application/soap+xml"}, 500, "VersionMismatch"),
        ({"media": "text/xml; charset*=utf-8''utf-8"}, 415, "Client.Unsupported"),
        ({"media": "text/xml; charset=none-such"}, 415, "Client.Unsupported"),
        ({"headers": [*BEARER, ("content-encoding", "gzip")]}, 415, "Client.Unsupported"),
        ({"headers": [*BEARER, ("content-length", str(1 << 40))]}, 413, "Client.TooLarge"),
        ({"headers": [*BEARER, ("content-length", "-1")]}, 500, "Client.Malformed"),
        ({"headers": [*BEARER, ("soapaction", '"urn:else"')]}, 500, "Client.Action"),
        ({"headers": [*BEARER, ("soapaction", f'"{PEOPLE}/Query"')]}, 200, ""),
        ({"headers": [*BEARER, ("soapaction", '""')]}, 200, ""),
    ],
)
def test_heads_that_do_not_fit(desk: MemoryDesk, named: dict[str, Any], status: int, code: str) -> None:
    answer = knock(door(desk), READ, query(), **named)
    assert (answer.status, answer.code) == (status, code)


def test_the_action_of_soap_12_stands_in_the_content_type(desk: MemoryDesk) -> None:
    place = READ.replace("/soap/", "/soap12/")
    for action, code in ((f"{PEOPLE}/Query", ""), (f"{PEOPLE}/Lookup", "Client.Action")):
        answer = knock(door(desk), place, query(), media=f'application/soap+xml; charset=utf-8; action="{action}"')
        assert answer.code == code


@pytest.mark.parametrize("place", ["/", "/soap", "/soap/r/x", "/soap/x/101001001/0001/1", "/soap/r/a/one", "/x"])
def test_there_is_nothing_elsewhere(desk: MemoryDesk, place: str) -> None:
    for method in ("GET", "POST"):
        answer = knock(door(desk), place, query(), method=method, query="wsdl")
        assert (answer.status, answer.code) == (404, "Client.NotFound")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030", "gb2312", "utf-8-sig"])
def test_other_encodings_are_read(desk: MemoryDesk, encoding: str) -> None:
    text = envelope(push("<row><id>1</id><name>张三丰</name></row>")).decode()
    if encoding.startswith("gb"):
        text = f'<?xml version="1.0" encoding="{encoding}"?>{text}'
    answer = knock(door(desk), WRITE, text.encode(encoding), size=7, media="text/xml")
    assert answer.text("accepted") == "1", answer.words
    assert desk.pushed["D1", "m1"][1]["name"].to_pylist() == ["张三丰"]


def test_the_charset_of_the_head_counts_where_the_document_is_silent(desk: MemoryDesk) -> None:
    text = envelope(push("<row><id>1</id><name>张三丰</name></row>")).decode()
    assert knock(door(desk), WRITE, text.encode("gbk"), media="text/xml; charset=GBK").text("accepted") == "1"
    assert desk.pushed["D1", "m1"][1]["name"].to_pylist() == ["张三丰"]


def test_a_contract_that_is_no_longer(desk: MemoryDesk) -> None:
    desk.published[0] = replace(desk.published[0], version=2)
    answer = knock(door(desk), READ, query())
    assert (answer.status, answer.code) == (404, "Client.NotFound")
    assert "第 2 版" in answer.words


def test_a_limit_of_rate_says_when_to_come_again(desk: MemoryDesk) -> None:
    answer = knock(door(desk), READ, query("<cursor>later</cursor>"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")


def test_a_call_does_not_take_for_ever(desk: MemoryDesk) -> None:
    answer = knock(door(desk, seconds=0.0), READ, query())
    assert (answer.status, answer.code) == (503, "Server.Later")


def test_an_error_of_ours_tells_nothing(desk: MemoryDesk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place = f"/soap/r/{BROKEN.resource}/1"
    answer = knock(door(desk), place, query(namespace=PEOPLE.replace("0001", "0003")))
    assert (answer.status, answer.code, answer.words) == (500, "Server.Failed", "服务出错")
    assert "RuntimeError" in caplog.text
    assert "11010119900307" not in caplog.text


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_comes_an_answer_goes(data: st.DataObject) -> None:
    whole = envelope(data.draw(st.sampled_from([query("<limit>1</limit>"), push("<row><id>1</id></row>")])))
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    put = data.draw(st.one_of(st.binary(max_size=20), st.text("<>&;/ \"'=?!-[]ax:", max_size=12).map(str.encode)))
    body = whole[:start] + put + whole[end:]
    place = data.draw(st.sampled_from([READ, WRITE]))
    answer = knock(door(), place, body, size=data.draw(st.sampled_from([1, 7, 1 << 16])))
    etree.fromstring(answer.content)
    assert answer.code in {"", *CODES}
    assert (answer.status == 200) == (answer.code == "")
    assert answer.code != "Server.Failed"


# What is published.


def test_the_address_is_the_public_one_whoever_asks(desk: MemoryDesk) -> None:
    contents = set()
    for host in ("evil.example", "hub.example"):
        answer = knock(door(desk), READ, method="GET", query="wsdl", headers=[("host", host)])
        assert answer.status == 200
        contents.add(answer.content)
    (content,) = contents
    assert b"evil" not in content
    assert b'location="https://hub.example/soap/r/101001001%2F0001/1"' in content


def test_schema_and_examples_are_there_to_be_read(desk: MemoryDesk) -> None:
    schema = etree.XMLSchema(knock(door(desk), READ, method="GET", query="xsd").root)
    example = knock(door(desk), READ, method="GET", query="example=Query").root
    schema.assertValid(example[0][0])


def test_pages_fit_their_contract(desk: MemoryDesk) -> None:
    for place, whole in ((READ, query()), (EXCHANGE, OPERATIONS["query, generic"][1])):
        schema = etree.XMLSchema(knock(door(desk), place, method="GET", query="xsd").root)
        for inside in (whole, whole.replace("</Query>", "<format>arrow</format></Query>")):
            schema.assertValid(knock(door(desk), place, inside).root[0][0])
    schema = etree.XMLSchema(knock(door(desk), EXCHANGE, method="GET", query="xsd").root)
    for name in ("describe", "lookup, generic", "push, generic"):
        schema.assertValid(knock(door(desk), *OPERATIONS[name]).root[0][0])
    for name in ("lookup", "receipt", "push", "status"):
        place, inside = OPERATIONS[name]
        schema = etree.XMLSchema(knock(door(desk), place, method="GET", query="xsd").root)
        schema.assertValid(knock(door(desk), place, inside).root[0][0])


def test_it_says_that_it_is_well() -> None:
    answer = told(door().admit(Head("GET", "/healthz", "", [], "")))  # type: ignore[arg-type]
    assert (answer.status, answer.content) == (200, b"ok\n")


def test_the_reference_is_what_the_tests_say() -> None:
    assert list(pieces(b"abc", 2)) == [b"ab", b"c"]
    assert memory_desk.PEOPLE.lookup
