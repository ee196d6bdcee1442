from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from adapters.base import Binding, Capabilities, Selection
from adapters.errors import AdapterError, Misconfigured, Unsupported
from adapters.registry import open_endpoint, secret_fields
from adapters.structure import differences
from schemas import profile
from tests.adapters.webservice.conftest import Place, reply
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


def test_it_is_read_and_pushed_to(place: Place) -> None:
    endpoint = open_endpoint("webservice", {"url": place.url})
    captures = frozenset({"snapshot", "batches"})
    assert endpoint.capabilities == Capabilities(way="webservice", captures=captures, delivers=True)
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
        columns={"number": "none"},
        fixed={"where": "x"},
        options=OPTIONS | {"cursor": "offset", "arguments": {"zone": "1"}},
    )
    assert endpoint.check(wrong, SCHEMA, sink=False) == [
        "操作 getRecords 没有参数 offset",
        "操作 getRecords 没有参数 zone",
        "操作 getRecords 的行里没有元素 none",
        "操作 getRecords 的行里没有元素 where",
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
