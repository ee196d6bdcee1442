from __future__ import annotations

import logging
from typing import Any

import pytest

from adapters.base import FoundColumn
from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.webservice.client import Ready, ServiceClient
from adapters.webservice.errors import Faulted
from adapters.webservice.http import Limits, Line
from tests.adapters.webservice.conftest import SOAP, WSDL, Place, envelope, reply
from tests.adapters.webservice.test_xml import BOMB


def _client(place: Place, address: str | None = None, **named: str) -> ServiceClient:
    return ServiceClient(Line(Limits(seconds=5)), place.url, address, **named)


def test_the_contract_is_told(place: Place) -> None:
    [operation] = _client(place).operations()
    assert operation.name == "getRecords"
    assert operation.arguments == ("page", "size", "changedSince", "area")
    assert operation.row == "record"
    assert operation.columns == (
        FoundColumn("no", "I", nullable=False),
        FoundColumn("owner", "C"),
        FoundColumn("born", "D"),
        FoundColumn("op", "C"),
    )


def test_a_reply_is_not_typed(place: Place) -> None:
    place.archive.answers = [reply("<t:no>x1</t:no><t:born>2020-13-45</t:born>")]
    body = _client(place).call("getRecords", {"page": "1", "size": "10"})
    assert body.findtext(".//{*}no") == "x1"
    assert body.findtext(".//{*}born") == "2020-13-45"
    assert place.archive.asked == [{"page": "1", "size": "10"}]
    assert place.archive.headers[-1]["HTTP_SOAPACTION"] == '"get"'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (("500 Error", "text/xml", envelope("<s:Fault><faultcode>s:Server</faultcode></s:Fault>")), Unavailable),
        (envelope("<s:Fault><faultcode>s:Client</faultcode></s:Fault>"), Faulted),
        (("500 Error", "text/html", "<html><body>oops</body></html>"), Malformed),
        (("200 OK", "text/html", "<html><body>log in</body></html>"), Malformed),
        (("200 OK", "text/html", "<html><br>log in"), Malformed),
        (("401 Unauthorized", "text/html", "<html><body>who</body></html>"), Refused),
        (("503 Busy", "text/plain", "later"), Unavailable),
        (("202 Accepted", "text/xml", ""), Malformed),
        (envelope(""), Malformed),
        (f'<s:Envelope xmlns:s="{SOAP}"/>', Malformed),
        ("", Malformed),
        (BOMB, Malformed),
        (envelope("<a>" * 300 + "</a>" * 300), Malformed),
        (envelope(f"<a>{'x' * 11_000_000}</a>"), Malformed),
        (("200 OK", "multipart/related; boundary=x", "--x"), Malformed),
    ],
    ids=[
        "server fault", "client fault", "500 page", "log-in page", "broken page", "401", "503", "202", "empty body",
        "no body", "nothing", "bomb", "deep", "11 MB", "attachments",
    ],
)  # fmt: skip
def test_what_is_no_reply(place: Place, answer: object, expected: type[AdapterError]) -> None:
    place.archive.answers = [answer]
    with pytest.raises(AdapterError) as caught:
        _client(place).call("getRecords", {})
    assert type(caught.value) is expected
    assert "oops" not in caught.value.message
    assert caught.value.remedy


def test_soap_1_2_fault(place: Place) -> None:
    namespace = "http://www.w3.org/2003/05/soap-envelope"
    place.archive.answers = [
        (
            f'<e:Envelope xmlns:e="{namespace}"><e:Body><e:Fault><e:Code><e:Value>e:Receiver</e:Value></e:Code>'
            "</e:Fault></e:Body></e:Envelope>"
        )
    ]
    with pytest.raises(Unavailable, match="Receiver"):
        _client(place).call("getRecords", {})


def test_a_fault_text_is_nowhere(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place.archive.answers = [
        envelope("<s:Fault><faultcode>s:Server</faultcode><faultstring>11010119900307</faultstring></s:Fault>")
    ]
    with pytest.raises(Unavailable) as caught:
        _client(place).call("getRecords", {"area": "330281"})
    assert "11010119900307" not in str(caught.value) + caplog.text
    assert "330281" not in caplog.text


def test_unknown_operation_and_argument(place: Place) -> None:
    client = _client(place)
    with pytest.raises(Misconfigured, match="操作 delete"):
        client.call("delete", {})
    with pytest.raises(Misconfigured, match="操作 delete") as caught:
        client.operation("delete")
    assert "getRecords" in caught.value.remedy
    with pytest.raises(Misconfigured, match="参数"):
        client.call("getRecords", {"nothing": "x"})
    assert place.archive.asked == []


def test_the_address_of_another_host_must_be_registered(place: Place) -> None:
    place.archive.address = "http://inner.example/archive"
    with pytest.raises(Misconfigured) as caught:
        _client(place)
    assert "address" in caught.value.remedy
    place.archive.answers = [reply()]
    _client(place, f"{place.server.url}archive").call("getRecords", {})
    assert len(place.archive.asked) == 1


@pytest.mark.parametrize(
    "location",
    ["http://192.0.2.1/types.xsd", "file:///etc/hostname", "https://127.0.0.1/types.xsd", "http://127.0.0.1:1/x.xsd"],
)
def test_documents_of_another_place_are_not_fetched(place: Place, location: str) -> None:
    place.archive.wsdl = WSDL.replace("IMPORTS", f'<xs:include schemaLocation="{location}"/>')
    with pytest.raises(Refused, match="别处"):
        _client(place)


def test_a_document_of_the_same_place_is_read(place: Place) -> None:
    place.archive.wsdl = WSDL.replace("IMPORTS", '<xs:include schemaLocation="types.xsd"/>')
    place.archive.documents["/types.xsd"] = (
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:example:archive"/>'
    )
    assert [one.name for one in _client(place).operations()] == ["getRecords"]


def test_documents_without_end_are_refused(place: Place) -> None:
    place.archive.wsdl = WSDL.replace("IMPORTS", '<xs:include schemaLocation="/0.xsd"/>')
    for number in range(100):
        place.archive.documents[f"/{number}.xsd"] = (
            '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:example:archive">'
            f'<xs:include schemaLocation="/{number + 1}.xsd"/></xs:schema>'
        )
    with pytest.raises(Malformed, match="文件"):
        _client(place)


@pytest.mark.parametrize(("limit", "most", "words"), [("SECONDS", 0.0, "秒内"), ("LARGEST", 3000, "字节")])
def test_all_documents_together_have_limits(
    place: Place, monkeypatch: pytest.MonkeyPatch, limit: str, most: float, words: str
) -> None:
    monkeypatch.setattr(f"adapters.webservice.client.{limit}", most)
    place.archive.wsdl = WSDL.replace("IMPORTS", '<xs:include schemaLocation="types.xsd"/>')
    place.archive.documents["/types.xsd"] = (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:example:archive">{" " * 999}'
        "</xs:schema>"
    )
    with pytest.raises(AdapterError, match=words):
        _client(place)


@pytest.mark.parametrize(
    ("wsdl", "expected"),
    [
        (BOMB, Malformed),
        ("<html/>", (Malformed, Misconfigured)),
        (WSDL.replace("IMPORTS", "").replace('t:getRecords"', 't:nothing"'), (Malformed, Misconfigured)),
        (WSDL.replace("IMPORTS", "").replace('binding="t:binding"', 'binding="t:none"'), (Malformed, Misconfigured)),
        ('<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>', Misconfigured),
    ],
    ids=["bomb", "page", "missing element", "missing binding", "nothing offered"],
)
def test_a_broken_contract(place: Place, wsdl: str, expected: Any) -> None:
    place.archive.wsdl = wsdl
    with pytest.raises(expected):
        _client(place).operation("getRecords")


def test_service_and_port_by_name(place: Place) -> None:
    second = '<service name="other"><port name="two" binding="t:binding"><soap:address location="ADDRESS"/></port>'
    place.archive.wsdl = place.archive.wsdl.replace("</definitions>", f"{second}</service></definitions>")
    with pytest.raises(Misconfigured) as caught:
        _client(place)
    assert "archive、other" in caught.value.remedy
    assert _client(place, service="other", port="two").address == place.archive.address
    with pytest.raises(Misconfigured, match="服务"):
        _client(place, service="none")
    with pytest.raises(Misconfigured, match="端口"):
        _client(place, service="other", port="none")


@pytest.mark.parametrize(
    "arguments",
    [
        {"page": "1", "size": "10"},
        {"page": "2", "size": "10", "area": "a<b>&\"c'"},
        {"page": "2", "size": "10", "area": "王𠮷"},
        {"page": "2", "size": "10", "area": ""},
        {"page": "2", "size": "10", "area": "a\nb"},
        {"area": "只有一项"},
        {},
    ],
)
def test_a_message_from_a_form_is_the_message_zeep_makes(place: Place, arguments: dict[str, str]) -> None:
    client = _client(place)
    client._message("getRecords", dict.fromkeys(arguments, "7"))  # from here on there is a form
    filled, made = client._message("getRecords", arguments), client._made("getRecords", arguments)
    assert filled.content() == made.content()
    assert (filled.address, filled.headers) == (made.address, made.headers)
    plain = bool(arguments) and all(value and value.isprintable() for value in arguments.values())
    assert isinstance(filled, Ready) == (plain or not arguments)


def test_forms_are_kept_and_not_without_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _client(place)
    made: list[object] = []
    real = client._made
    monkeypatch.setattr(client, "_made", lambda *about: (made.append(about), real(*about))[1])
    for number in range(5):
        client._message("getRecords", {"page": str(number)})
    assert len(made) == 2  # the form is made twice, to see that it stays the same
    monkeypatch.setattr("adapters.webservice.client.FORMS", 2)
    for names in (["page"], ["size"], ["area"], ["page"]):
        client._message("getRecords", dict.fromkeys(names, "1"))
    assert len(client._forms) <= 2


def test_what_zeep_would_not_make_is_not_made_from_a_form(place: Place) -> None:
    client = _client(place)
    for _ in range(2):
        with pytest.raises(Misconfigured, match="参数"):
            client._message("getRecords", {"nothing": "x"})


def test_a_message_with_an_id_of_its_own_is_made_anew_each_time(place: Place) -> None:
    """WS-Addressing: a service that remembers ids would take the second one for a repetition."""
    action = '<input xmlns:w="http://www.w3.org/2006/05/addressing/wsdl" w:Action="urn:get" message="t:in"/>'
    place.archive.wsdl = WSDL.replace('<input message="t:in"/>', action).replace("IMPORTS", "")
    client = _client(place)
    messages = [client._message("getRecords", {"page": "1"}) for _ in range(3)]
    ids = {message.envelope.findtext(".//{*}MessageID") for message in messages}
    assert None not in ids
    assert len(ids) == 3
