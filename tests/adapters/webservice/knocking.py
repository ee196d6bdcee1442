"""Calls on the door without a server: requests written by hand, answers taken apart."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree

from adapters.webservice.credentials import PROFILE, WSSE, WSU, Head, Trust
from adapters.webservice.desk import Desk
from adapters.webservice.door import Answer, Call, Door
from adapters.webservice.faults import MEDIA, Soap
from adapters.webservice.reading import Limits
from adapters.webservice.xml import ENVELOPES
from tests.adapters.webservice.memory_desk import PASSWORD, SECRET, TOKEN, USER, MemoryDesk

PUBLIC = "https://hub.example"
GENERIC = "urn:shutong:exchange:1"
PEOPLE = "urn:shutong:r:101001001%2F0001:1"
SENT = "urn:shutong:w:101001001%2F0002:1"
READ = "/soap/r/101001001/0001/1"
WRITE = "/soap/w/101001001/0002/1"
EXCHANGE = "/soap/exchange"
BEARER = (("authorization", f"Bearer {TOKEN}"),)


@dataclass
class Told:
    """An answer, taken apart."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def root(self) -> etree._Element:
        return etree.fromstring(self.content)

    @property
    def code(self) -> str:
        """The fault's code, empty where there is none."""
        found = self.root.find(".//{urn:shutong:fault}code")
        return (found.text or "") if found is not None else ""

    @property
    def words(self) -> str:
        names = ("faultstring", f"{{{ENVELOPES['1.2']}}}Text")
        return "".join(element.text or "" for element in self.root.iter(*names))

    def text(self, name: str) -> str | None:
        return self.root.findtext(f".//{{*}}{name}")

    def rows(self) -> list[dict[str, Any]]:
        """Rows of either shape, by item."""
        found = []
        for row in self.root.iter("{*}row"):
            own: dict[str, Any] = {"_operation": row.get("_operation", "put")}
            for child in row:
                name = child.get("name") or etree.QName(child).localname
                own[name] = None if child.get("nil") == "true" else child.text or ""
            found.append(own)
        return found


def door(desk: Desk | None = None, *, limits: Limits | None = None, trust: Trust | None = None, **named: Any) -> Door:
    return Door(desk or MemoryDesk(), PUBLIC, limits=limits, trust=trust, **named)


def envelope(inside: str, soap: Soap = "1.1", header: str = "") -> bytes:
    head = f"<s:Header>{header}</s:Header>" if header else ""
    return f'<s:Envelope xmlns:s="{ENVELOPES[soap]}">{head}<s:Body>{inside}</s:Body></s:Envelope>'.encode()


def pieces(body: bytes, size: int = 1 << 16) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def told(answer: Answer) -> Told:
    content = b"".join(answer.body.chunks())
    assert len(content) == answer.size
    answer.body.close()
    return Told(answer.status, {name.lower(): value for name, value in answer.headers}, content)


def knock(
    at: Door,
    path: str,
    inside: str | bytes = "",
    *,
    headers: Sequence[tuple[str, str]] = BEARER,
    header: str = "",
    media: str | None = None,
    method: str = "POST",
    query: str = "",
    peer: str = "192.0.2.7",
    size: int = 1 << 16,
) -> Told:
    """Send a request; text goes into the body of an envelope, bytes go as they are."""
    soap: Soap = "1.2" if path.startswith("/soap12/") else "1.1"
    body = inside if isinstance(inside, bytes) else envelope(inside, soap, header)
    kind = (("content-type", f"{MEDIA[soap]}; charset=utf-8" if media is None else media),)
    admitted = at.admit(Head(method, path, query, [*kind, *headers], peer))
    return told(at.answer(admitted, pieces(body, size)) if isinstance(admitted, Call) else admitted)


def query(inside: str = "", namespace: str = PEOPLE) -> str:
    return f'<Query xmlns="{namespace}">{inside}</Query>'


def push(rows: str, message: str = "m1") -> str:
    return f'<Push xmlns="{SENT}"><messageId>{message}</messageId><rows>{rows}</rows></Push>'


def security(
    *,
    user: str = USER,
    password: str = PASSWORD,
    created: datetime | None = None,
    nonce: bytes | None = None,
    clear: bool = False,
    expires: datetime | None = None,
    extra: str = "",
) -> str:
    """A Security header with a UsernameToken."""
    nonce = os.urandom(16) if nonce is None else nonce
    moment = (created or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if clear:
        kind, shown, rest = "PasswordText", password, ""
    else:
        kind = "PasswordDigest"
        digest = hashlib.sha1(nonce + moment.encode() + password.encode()).digest()
        shown = base64.b64encode(digest).decode()
        coded = base64.b64encode(nonce).decode()
        rest = f"<w:Nonce>{coded}</w:Nonce><u:Created>{moment}</u:Created>"
    token = f"<w:UsernameToken><w:Username>{user}</w:Username>"
    token += f'<w:Password Type="{PROFILE}#{kind}">{shown}</w:Password>{rest}</w:UsernameToken>'
    until = f"<u:Timestamp><u:Expires>{expires.isoformat()}</u:Expires></u:Timestamp>" if expires else ""
    return f'<w:Security xmlns:w="{WSSE}" xmlns:u="{WSU}">{until}{token}{extra}</w:Security>'


def gateway(secret: str = SECRET, *, sid: str = "s1", rid: str = "r1", moment: str = "") -> list[tuple[str, str]]:
    """The national gateway's four headers."""
    moment = moment or str(time.time_ns())
    sign = base64.b64encode(hmac.new(secret.encode(), (sid + rid + moment).encode(), hashlib.sha256).digest())
    names = {"rid": rid, "sid": sid, "rtime": moment, "sign": sign.decode()}
    return [(f"gjgxjhpt_{name}", value) for name, value in names.items()]


def basic(user: str = USER, password: str = PASSWORD) -> list[tuple[str, str]]:
    return [("authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())]


PAST = timedelta(minutes=10)
