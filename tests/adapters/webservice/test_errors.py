from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pyexpat import ExpatError
from pyexpat import errors as expat_errors

import lxml.etree
import pytest
import requests
import urllib3
import zeep.exceptions

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.webservice import xml
from adapters.webservice.client import of_contract
from adapters.webservice.errors import TRANSPORT, Faulted, Later, of_fault, of_status, seconds_of, translated


def _made(kind: type[Exception]) -> Exception:
    made = kind.__new__(kind)
    made.args = ("a secret value",)
    return made


DRIVER = [
    kind
    for module in (requests.exceptions, urllib3.exceptions)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, requests.exceptions.RequestException | urllib3.exceptions.HTTPError)
]


@pytest.mark.parametrize("kind", DRIVER, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_of_the_driver_has_its_row(kind: type[Exception]) -> None:
    assert any(issubclass(kind, known) for known, *_ in TRANSPORT)
    error = translated(_made(kind), "archive.example")
    assert isinstance(error, AdapterError)
    assert "archive.example" in error.message
    assert "secret" not in error.message + error.remedy
    assert error.remedy


def test_whose_header_it_is() -> None:
    ours = requests.exceptions.InvalidHeader("Header part ('x\\n') must be …")
    assert isinstance(translated(ours, "x"), Misconfigured)
    theirs = urllib3.exceptions.InvalidHeader("Content-Length contained multiple unmatching values (2, 3)")
    for error in (theirs, requests.exceptions.InvalidHeader(theirs)):
        made = translated(error, "x")
        assert isinstance(made, Malformed)
        assert made.message == "x 的应答不是正确的 HTTP"


def test_what_is_tried_again_and_what_is_not() -> None:
    assert translated(requests.exceptions.ReadTimeout(), "x").retry
    assert translated(requests.exceptions.ConnectionError(), "x").retry
    assert translated(requests.exceptions.ChunkedEncodingError(), "x").retry
    assert isinstance(translated(requests.exceptions.SSLError(), "x"), Refused)
    assert isinstance(translated(urllib3.exceptions.SSLError(), "x"), Refused)


@pytest.mark.parametrize(
    "kind", [kind for _, kind in inspect.getmembers(zeep.exceptions, inspect.isclass)], ids=lambda kind: kind.__name__
)
def test_every_exception_of_zeep_about_a_contract(kind: type[Exception]) -> None:
    assert isinstance(of_contract(_made(kind)), Malformed | Misconfigured)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (500, None),
        (202, Malformed),
        (204, Malformed),
        (302, Misconfigured),
        (307, Misconfigured),
        (400, Refused),
        (401, Refused),
        (403, Refused),
        (404, Misconfigured),
        (408, Unavailable),
        (413, Refused),
        (418, Refused),
        (429, Unavailable),
        (501, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_status(status: int, expected: type[AdapterError] | None) -> None:
    found = of_status(status, "x")
    assert found is None if expected is None else type(found) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("soap:Server", Unavailable),
        ("s:Server.Busy", Unavailable),
        ("env:Receiver", Unavailable),
        ("Server", Unavailable),
        ("soap:Client", Faulted),
        ("env:Sender", Faulted),
        ("soap:MustUnderstand", Faulted),
        ("soap:VersionMismatch", Faulted),
        ("E1001", Faulted),
        ("", Faulted),
    ],
)
def test_fault(code: str, expected: type[AdapterError]) -> None:
    assert type(of_fault(code, "x")) is expected


def test_a_long_fault_code_is_cut() -> None:
    assert len(of_fault("x" * 10_000, "x").message) < 200


LXML = [kind for _, kind in inspect.getmembers(lxml.etree, inspect.isclass) if issubclass(kind, lxml.etree.LxmlError)]


@pytest.mark.parametrize("kind", LXML, ids=lambda kind: kind.__name__)
def test_every_exception_of_lxml_about_a_document(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object) -> None:
        try:
            made = kind("a secret value")
        except TypeError:
            made = kind("a secret value", 1, 1, 1)
        raise made

    monkeypatch.setattr(xml.etree, "fromstring", raising)
    with pytest.raises(Malformed) as caught:
        xml.parse(b"<a/>", "应答")
    assert "secret" not in caught.value.message + caught.value.remedy
    assert caught.value.remedy


@pytest.mark.parametrize("code", sorted(expat_errors.codes.values()))
def test_every_error_of_expat(code: int) -> None:
    class Parser:
        CurrentByteIndex = 10

        def Parse(self, *_: object) -> None:  # noqa: N802  # the driver's own name
            error = ExpatError("a secret value")
            error.code, error.lineno, error.offset = code, 1, 1
            raise error

    for ending in (False, True):
        stream = xml.Stream("应答")
        stream.feed(b"<a/>")
        stream.parser = Parser()  # type: ignore[assignment]
        with pytest.raises(Malformed if not ending else (Malformed, Unavailable)) as caught:
            stream.close() if ending else stream.feed(b"<a/>")
        assert "secret" not in caught.value.message + caught.value.remedy
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("soon", None), ("17", 17.0), ("-1", None), ("9" * 400, 999_999_999.0), ("１", None)],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header) == seconds


def test_retry_after_a_moment() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < (seconds_of(format_datetime(moment, usegmt=True)) or 0) <= 100
    assert seconds_of("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    error = of_status(503, "x", "20")
    assert isinstance(error, Later)
    assert (error.after, error.retry) == (20.0, True)
    assert of_status(200, "x", "20") is None
