from __future__ import annotations

import re

import pytest
from lxml import etree

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.webservice import faults
from adapters.webservice.faults import CODES, Fault, of_desk
from adapters.webservice.xml import ENVELOPES


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_said_in_both_versions(code: str) -> None:
    fault = Fault(code, "不行 <&> \x0b", remedy="改 \x00")
    old = etree.fromstring(fault.document("1.1"))
    assert old.findtext(".//faultcode") == f"soap:{code}"
    assert old.findtext(".//faultstring") == "不行 <&> \ufffd"
    new = etree.fromstring(fault.document("1.2"))
    value = new.findtext(f".//{{{ENVELOPES['1.2']}}}Value")
    assert value in {f"soap:{name}" for name in ("Sender", "Receiver", "VersionMismatch", "MustUnderstand")}
    for root in (old, new):
        assert root.findtext(f".//{{{faults.NAMESPACE}}}code") == code
    assert fault.status("1.1") >= 400
    assert fault.status("1.2") >= 400


def test_the_table_is_in_the_docstring() -> None:
    assert faults.__doc__ is not None
    for code, status in CODES.items():
        assert re.search(rf"^{re.escape(code)} +{status or re.escape('*')} ", faults.__doc__, re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "identifying", "code"),
    [
        (Refused("x"), False, "Client.Forbidden"),
        (Refused("x"), True, "Client.Unauthenticated"),
        (Malformed("x"), False, "Client.Malformed"),
        (Unavailable("x"), True, "Server.Later"),
        (Misconfigured("内部"), False, "Server.Failed"),
        (AdapterError("内部"), False, "Server.Failed"),
        (Fault("Client.Slow", "x"), False, "Client.Slow"),
    ],
)
def test_what_an_error_of_the_desk_means(error: AdapterError, identifying: bool, code: str) -> None:
    fault = of_desk(error, identifying=identifying)
    assert fault.code == code
    assert "内部" not in fault.message


def test_when_to_come_again() -> None:
    assert dict(of_desk(Unavailable("x", remedy="请在 90 秒后再试")).headers()) == {"Retry-After": "90"}
    assert dict(of_desk(Unavailable("x")).headers()) == {"Retry-After": "5"}
    exact = Unavailable("x", remedy="3 秒")
    exact.retry_after = 8  # type: ignore[attr-defined]
    assert dict(of_desk(exact).headers()) == {"Retry-After": "8"}
