"""What the door answers when it does not answer (SOAP 错误): one code each, stable over all versions.

========================  ====  ==================================================================
code                      HTTP  means
========================  ====  ==================================================================
Client.Unauthenticated    401   no credential, more than one, or one that proves nothing
Client.Forbidden          *     the caller may not: not granted, not known, used up
Client.Malformed          *     the message cannot be read as what the contract says
Client.Action             *     SOAPAction or operation is not what the body says
Client.TooLarge           413   body, row, text, depth or number of rows over the limit
Client.Slow               408   the body came too slowly
Client.Unsupported        415   media type, encoding, MTOM, compression of the body
Client.NotFound           404   no such address, or no contract there
Client.Method             405   only POST, and GET for ``?wsdl``
VersionMismatch           500   an envelope of the other SOAP version
MustUnderstand            500   a header that must be understood and is not
Server.Later              503   try again later, after ``Retry-After`` seconds
Server.Unsendable         500   a value has characters that XML cannot carry
Server.Failed             500   an error of ours
========================  ====  ==================================================================

``*``: what is said about a message that was read goes out as SOAP's own binding has it, 500 in SOAP 1.1,
400 in SOAP 1.2. No fault carries a value of a record, a secret or a trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from lxml import etree

from adapters.errors import AdapterError, Malformed, Refused, Unavailable
from adapters.webservice.xml import ENVELOPES

Soap = Literal["1.1", "1.2"]

NAMESPACE = "urn:shutong:fault"

CODES: Mapping[str, int] = {
    "Client.Unauthenticated": 401,
    "Client.Forbidden": 0,
    "Client.Malformed": 0,
    "Client.Action": 0,
    "Client.TooLarge": 413,
    "Client.Slow": 408,
    "Client.Unsupported": 415,
    "Client.NotFound": 404,
    "Client.Method": 405,
    "VersionMismatch": 500,
    "MustUnderstand": 500,
    "Server.Later": 503,
    "Server.Unsendable": 500,
    "Server.Failed": 500,
}
"""Every code, and its HTTP status; 0: as the version of SOAP has it."""

MEDIA: Mapping[Soap, str] = {"1.1": "text/xml", "1.2": "application/soap+xml"}

# What XML cannot carry may stand in a message of somebody else's error.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_SECONDS = re.compile(r"(?:retry_after\D{0,3})?(\d{1,6})(?=\s*秒|\s*s\b|\D*$)")


class Fault(AdapterError):
    """A refusal on its way to the caller.

    Args:
        code: One of :data:`CODES`.
        message: What is wrong, without any value of a record.
        remedy: What the caller can do.
        retry_after: Seconds after which it may be tried again.
    """

    def __init__(self, code: str, message: str, *, remedy: str = "", retry_after: int | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.retry_after = retry_after

    def status(self, soap: Soap) -> int:
        """The HTTP status it is answered with."""
        return CODES[self.code] or (400 if soap == "1.2" else 500)

    def headers(self) -> list[tuple[str, str]]:
        """HTTP headers of its own."""
        match self.code:
            case "Client.Unauthenticated":
                return [("WWW-Authenticate", 'Bearer realm="shutong"')]
            case "Client.Method":
                return [("Allow", "GET, POST")]
            case "Server.Later":
                return [("Retry-After", str(self.retry_after or 5))]
        return []

    def document(self, soap: Soap) -> bytes:
        """The envelope that says it."""
        space = ENVELOPES[soap]
        envelope = etree.Element(f"{{{space}}}Envelope", nsmap={"soap": space, "f": NAMESPACE})
        fault = etree.SubElement(etree.SubElement(envelope, f"{{{space}}}Body"), f"{{{space}}}Fault")
        words = _UNSENDABLE.sub("\ufffd", self.message)
        if soap == "1.1":
            etree.SubElement(fault, "faultcode").text = f"soap:{self.code}"
            etree.SubElement(fault, "faultstring").text = words
            detail = etree.SubElement(fault, "detail")
        else:
            side, _, name = self.code.partition(".")
            code = etree.SubElement(fault, f"{{{space}}}Code")
            value = {"Client": "Sender", "Server": "Receiver"}.get(side, side)
            etree.SubElement(code, f"{{{space}}}Value").text = f"soap:{value}"
            if name:
                sub = etree.SubElement(code, f"{{{space}}}Subcode")
                etree.SubElement(sub, f"{{{space}}}Value").text = f"f:{name}"
            text = etree.SubElement(etree.SubElement(fault, f"{{{space}}}Reason"), f"{{{space}}}Text")
            text.set("{http://www.w3.org/XML/1998/namespace}lang", "zh")
            text.text = words
            detail = etree.SubElement(fault, f"{{{space}}}Detail")
        etree.SubElement(detail, f"{{{NAMESPACE}}}code").text = self.code
        if self.remedy:
            etree.SubElement(detail, f"{{{NAMESPACE}}}remedy").text = _UNSENDABLE.sub("\ufffd", self.remedy)
        return etree.tostring(envelope, xml_declaration=True, encoding="utf-8")


def of_desk(error: AdapterError, *, identifying: bool = False) -> Fault:
    """The fault that an error of the desk means.

    Args:
        error: What it raised; its words are meant for the caller.
        identifying: It was asked who the caller is.
    """
    if isinstance(error, Fault):
        return error
    if isinstance(error, Unavailable):
        after = getattr(error, "retry_after", None)
        if after is None:
            said = _SECONDS.search(error.remedy)
            after = int(said[1]) if said else None
        return Fault("Server.Later", error.message, remedy=error.remedy, retry_after=after)
    if isinstance(error, Refused):
        code = "Client.Unauthenticated" if identifying else "Client.Forbidden"
        return Fault(code, error.message, remedy=error.remedy)
    if isinstance(error, Malformed):
        return Fault("Client.Malformed", error.message, remedy=error.remedy)
    return Fault("Server.Failed", "服务出错", remedy="稍后再试；一直如此请联系枢纽的管理单位")
