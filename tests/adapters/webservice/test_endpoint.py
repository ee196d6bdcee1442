from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from adapters.base import Binding, Capabilities, Selection
from adapters.errors import AdapterError, Misconfigured, Unavailable, Unsupported
from adapters.registry import open_endpoint, secret_fields
from adapters.structure import differences
from adapters.webservice import xml
from adapters.webservice.signing import WSSE, WSU, digest, gateway_sign
from exchange.service import serve
from schemas import profile
from tests.adapters.webservice.conftest import Place, reply
from tests.adapters.webservice.receiver import Receiver
from tests.adapters.webservice.test_signing import APPKEY, key_body
from tests.adapters.webservice.test_source import OPTIONS

SCHEMA = pa.schema([pa.field("number", pa.string())])


def _binding(**changes: Any) -> Binding:
    given = {"object": "getRecords", "columns": {"number": "no"}, "key": ("number",), "options": OPTIONS} | changes
    return Binding(**given)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "url：缺少此项"),
        ({"url": "ftp://x/y"}, "http 或 https"),
        ({"url": "http://user:hush@x/y"}, "不写用户和口令"),
        ({"url": "http://x/y", "user": "a"}, "要么都写"),
        ({"url": "http://x/y", "timeout": 0}, "timeout：应大于 0"),
        ({"url": "http://x/y", "adress": "http://z"}, "address？"),
        ({"url": "http://x/y", "security": "digest"}, "user 和 password"),
        ({"url": "http://x/y", "security": "text", "user": "a", "password": "hush"}, "https"),
        ({"url": "http://x/y", "certificate": "/a"}, "certificate 和 key"),
        ({"url": "http://x/y", "requester": "r"}, "国家网关"),
        ({"url": "http://x/y", "requester": "r", "gateway_service": "s", "appkey": "hush"}, "key_service"),
        ({"url": "http://x/y", "attempts": 0}, "attempts"),
    ],
)
def test_wrong_options(options: dict[str, Any], word: str) -> None:
    with pytest.raises(Misconfigured, match=word.replace("？", ".")) as caught:
        open_endpoint("webservice", options)
    assert "hush" not in str(caught.value)


def test_operations_are_data_sets_of_the_service_s_address() -> None:
    contract = {"url": "https://s.example:8443/front?wsdl&token=t0p"}
    assert open_endpoint("webservice", contract).dataset("query") == ("https://s.example:8443", "/front#query")
    moved = open_endpoint("webservice", contract | {"address": "https://t.example/in"})
    assert moved.dataset("push") == ("https://t.example", "/in#push")


def test_it_is_read_and_pushed_to(place: Place) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url})
    captures = frozenset({"snapshot", "batches"})
    assert endpoint.capabilities == Capabilities(way="webservice", captures=captures, delivers=True, looks_up=True)
    with pytest.raises(Unsupported):
        endpoint.source(_binding(capture="outbox"))
    with pytest.raises(Unsupported, match="暂存处"):
        endpoint.sink(_binding(options={"accepted": "n"})).settled("x")
    with pytest.raises(Misconfigured, match="不能作为元素名"):
        endpoint.sink(_binding(columns={"number": "a b"}, options={"accepted": "n"}))
    with pytest.raises(Misconfigured, match="accepted"):
        endpoint.sink(_binding(options={}))
    assert endpoint.prepare(_binding(), SCHEMA) == ""


def test_the_password_is_a_secret_and_is_sent(place: Place) -> None:
    assert secret_fields("webservice") == {"password", "secret", "appkey"}
    endpoint = open_endpoint("webservice", {"url": place.url, "user": "hub", "password": SecretStr("pass")})
    assert endpoint.test()[0].passed
    assert place.archive.headers[-1]["HTTP_AUTHORIZATION"] == "Basic aHViOnBhc3M="


def test_test_and_inspect_tell_the_operations(place: Place) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url})
    [probe] = endpoint.test()
    assert (probe.passed, probe.detail) == (True, "操作：getRecords")
    [found] = endpoint.inspect()
    assert (found.name, found.label) == ("getRecords", "record")
    assert [column.name for column in found.columns] == ["no", "owner", "born", "op"]
    assert endpoint.inspect("getRecords") == [found]
    assert found.request is not None
    assert [each.name for each in found.request.elements] == ["page", "size", "changedSince", "area"]
    assert found.reply is not None
    assert [(each.name, each.optional) for each in found.reply.elements] == [
        ("result", False), ("following", True), ("asOf", True),
    ]  # fmt: skip
    (record,) = found.reply.elements[0].elements
    assert (record.name, record.many) == ("record", True)
    assert [(each.name, each.declared) for each in record.elements][:2] == [("no", "long"), ("owner", "string")]
    with pytest.raises(Misconfigured):
        endpoint.inspect("other")


def test_test_says_what_to_do(place: Place) -> None:
    place.archive.wsdl = "<html/>"
    [probe] = open_endpoint("webservice", {"url": place.url}).test()
    assert not probe.passed
    assert probe.remedy


def test_check_lists_everything(place: Place) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url})
    assert endpoint.check(_binding(), SCHEMA, sink=False) == []
    wrong = _binding(
        columns={"number": "zzz"},
        fixed={"qq": "x"},
        options=OPTIONS | {"cursor": "offset", "arguments": {"zone": "1"}},
    )
    assert endpoint.check(wrong, SCHEMA, sink=False) == [
        "操作 getRecords 没有参数 offset",
        "操作 getRecords 没有参数 zone",
        "操作 getRecords 的行里没有元素 zzz",
        "操作 getRecords 的行里没有元素 qq",
    ]
    assert "行元素是 record" in endpoint.check(_binding(options=OPTIONS | {"row": "Row"}), SCHEMA, sink=False)[0]
    assert "操作 x" in endpoint.check(_binding(object="x"), SCHEMA, sink=False)[0]
    assert "没有可重复的行元素" in endpoint.check(_binding(options={"accepted": "n"}), SCHEMA, sink=True)[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"options": OPTIONS | {"curser": "x"}},
        {"options": OPTIONS | {"since": "changedSince"}},
        {"options": OPTIONS | {"rows": 0}},
        {"profile": profile("jiangsu")},
    ],
    ids=["unknown option", "since without mark", "no rows", "profile"],
)
def test_wrong_bindings(place: Place, changes: dict[str, Any]) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url})
    with pytest.raises(Misconfigured):
        endpoint.source(_binding(**changes))
    assert len(endpoint.check(_binding(**changes), SCHEMA, sink=False)) == 1


def test_a_reply_is_bounded_by_the_option(place: Place) -> None:
    place.archive.answers = [reply(f"<t:no>{'9' * 50_000}</t:no>")]
    endpoint = open_endpoint("webservice", {"url": place.url, "largest": 40_000})
    with pytest.raises(AdapterError, match="40000"):
        list(endpoint.source(_binding()).batches(Selection()))


def test_the_structure_of_an_operation_is_told(place: Place) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url})
    before = endpoint.structure("getRecords")
    assert before is not None
    assert [column.name for column in before.columns] == [
        "no", "owner", "born", "op", "→ page", "→ size", "→ changedSince", "→ area",
        "⇒ 地址", "⇒ 命名空间", "⇒ SOAPAction", "⇒ 风格",
    ]  # fmt: skip
    place.archive.wsdl = place.archive.wsdl.replace('name="no" type="xs:long"', 'name="no" type="xs:string"').replace(
        '<xs:element name="born" type="xs:date" minOccurs="0"/>', '<xs:element name="birthday" type="xs:date"/>'
    )
    after = endpoint.structure("getRecords")
    assert after is not None
    assert [(each.kind, each.column) for each in differences(before, after)] == [
        ("type", "no"), ("renamed", "born"), ("not null", "born"),
    ]  # fmt: skip
    gone = endpoint.structure("other")
    assert gone is not None
    assert gone.lies == "absent"


@pytest.mark.parametrize(
    ("was", "now", "what"),
    [
        ("ADDRESS", "ADDRESS/somewhere/else", "地址"),
        ("urn:example:archive", "urn:example:other", "命名空间"),
        ('soapAction="get"', 'soapAction="drop"', "SOAPAction"),
    ],
)
def test_a_service_that_is_called_otherwise_is_another(place: Place, was: str, now: str, what: str) -> None:
    """Its rows look the same, and go to another place or come from one."""
    endpoint = open_endpoint("webservice", {"url": place.url})
    before = endpoint.structure("getRecords")
    place.archive.wsdl = place.archive.wsdl.replace(was, now)
    after = endpoint.structure("getRecords")
    assert before is not None
    assert after is not None
    [difference] = differences(before, after)
    assert (difference.kind, difference.column) == ("service", what)
    assert f"服务的{what}：" in str(difference)
    earlier = replace(before, columns=before.columns[:-4])  # as it was kept before this was told
    assert differences(earlier, after) == ()


def test_the_address_of_a_contract_is_of_no_account_where_another_is_registered(place: Place) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url, "address": f"{place.server.url}archive"})
    before = endpoint.structure("getRecords")
    place.archive.wsdl = place.archive.wsdl.replace("ADDRESS", "http://inner.example/x")
    assert endpoint.structure("getRecords") == before


def test_a_name_that_is_nearly_right_is_offered(place: Place) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url})
    [problem] = endpoint.check(_binding(columns={"number": "onwer"}), SCHEMA, sink=False)
    assert "是否想写 owner" in problem


READ = Binding(object="Query", columns={"number": "number"}, key=("number",))


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    """A service, and beside it one that gives keys."""
    found = Receiver({"number": "xs:string"})

    def app(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/key":
            found.headers.append({name: value for name, value in environ.items() if name.startswith("HTTP_")})
            start_response("200 OK", [("Content-Type", "application/json")])
            return [key_body(secretEndTime=4_102_444_800_000)]
        return found(environ, start_response)

    with serve(app) as server:
        found.address = server.url
        yield found, server.url


def _read(url: str, **options: Any) -> None:
    with open_endpoint("webservice", {"url": f"{url}?wsdl", **options}).source(READ) as source:
        assert list(source.batches(Selection())) == []


def test_a_username_token_goes_with_every_call(receiver: tuple[Receiver, str]) -> None:
    found, url = receiver
    for _ in range(2):
        _read(url, user="hub", password=SecretStr("pass"), security="digest", stamp=60)
    first, second = (xml.parse(body, "x") for body in found.bodies)
    nonce = first.findtext(f".//{{{WSSE}}}Nonce")
    created = first.findtext(f".//{{{WSSE}}}UsernameToken/{{{WSU}}}Created")
    assert nonce
    assert created
    assert first.findtext(f".//{{{WSSE}}}Password") == digest(base64.b64decode(nonce), created, "pass")
    assert second.findtext(f".//{{{WSSE}}}Nonce") != nonce
    assert all("HTTP_AUTHORIZATION" not in headers for headers in found.headers)


def test_the_gateways_headers_go_with_every_call(receiver: tuple[Receiver, str]) -> None:
    found, url = receiver
    _read(url, requester="R-0001", gateway_service="s_1", secret=SecretStr("testsecret"))
    [headers] = found.headers
    moment = headers["HTTP_GJGXJHPT_RTIME"]
    assert headers["HTTP_GJGXJHPT_SIGN"] == gateway_sign(b"testsecret", "s_1", "R-0001", moment)


def test_a_short_lived_secret_is_fetched_and_used(receiver: tuple[Receiver, str]) -> None:
    found, url = receiver
    key = {"appkey": SecretStr(APPKEY), "key_service": f"{url}key", "key_service_id": "s_key"}
    _read(url, requester="R-0002", gateway_service="s_1", **key)
    asked, called = found.headers
    assert (asked["HTTP_GJGXJHPT_SID"], called["HTTP_GJGXJHPT_SID"]) == ("s_key", "s_1")
    assert int(asked["HTTP_GJGXJHPT_RTIME"]) < int(called["HTTP_GJGXJHPT_RTIME"])
    times = asked["HTTP_GJGXJHPT_RTIME"], called["HTTP_GJGXJHPT_RTIME"]
    assert asked["HTTP_GJGXJHPT_SIGN"] == gateway_sign(APPKEY.encode(), "s_key", "R-0002", times[0])
    assert called["HTTP_GJGXJHPT_SIGN"] == gateway_sign(b"short-lived", "s_1", "R-0002", times[1])


def test_a_service_that_is_away_is_left_alone_for_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    endpoint = open_endpoint(
        "webservice", {"url": f"http://127.0.0.1:{port}/x", "attempts": 1, "failures": 2, "pause": 60}
    )
    for _ in range(2):
        with pytest.raises(Unavailable, match="连接不上"):
            endpoint.inspect()
    with pytest.raises(Unavailable, match="暂停访问"):
        endpoint.inspect()
