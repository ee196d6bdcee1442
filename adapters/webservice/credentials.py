"""What a caller shows to be known (凭据), read and not judged: that is the desk's.

Five ways: a bearer token, HTTP basic, the four headers of the national gateway, a certificate's subject from a
proxy that is configured, and WS-Security's UsernameToken. Exactly one is shown, or the call is refused.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.webservice.desk import Certificate, Digest, Gateway, Password, Shown, Token
from adapters.webservice.faults import Fault
from adapters.webservice.reading import Node

WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
PROFILE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0"

GATEWAY = ("gjgxjhpt_rid", "gjgxjhpt_sid", "gjgxjhpt_rtime", "gjgxjhpt_sign")
"""Headers of the national gateway; their names have underscores."""

LONGEST = 4096
"""Characters of anything that is shown."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Whom and what the door trusts about a connection (信任设置).

    Attributes:
        passwords: A password in clear may be shown: the way to the door is encrypted, or never leaves the machine.
        certificate_header: Header in which a proxy says whose certificate it has checked.
        proxies: Addresses or networks of these proxies; from nobody else is that header looked at.
    """

    passwords: bool = False
    certificate_header: str = ""
    proxies: tuple[str, ...] = ()

    def proxy(self, peer: str) -> bool:
        """Whether a peer is one of the proxies."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(network, strict=False) for network in self.proxies)


@dataclass(frozen=True)
class Head:
    """The head of an HTTP request.

    Attributes:
        method: As sent.
        path: Decoded.
        query: The query string as sent.
        headers: Names in small letters, and values, as sent.
        peer: Address of who connected.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    peer: str

    def one(self, name: str) -> str | None:
        """The value of a header that may come once.

        Raises:
            Fault: It came more than once.
        """
        found = [value for key, value in self.headers if key == name]
        if len(found) > 1:
            raise Fault("Client.Malformed", f"HTTP 头 {name} 出现了不止一次", remedy="只发送一次")
        return found[0] if found else None


def refuse_collisions(head: Head) -> None:
    """Refuse two headers that some servers take for one: ``X-A-B`` and ``X_A_B``.

    Raises:
        Fault: There are two.
    """
    seen: dict[str, str] = {}
    for name, _ in head.headers:
        if seen.setdefault(name.replace("_", "-"), name) != name:
            raise Fault("Client.Malformed", "有两个 HTTP 头的名称只差横线和下划线", remedy="只发送其中一个")


def of_head(head: Head, trust: Trust) -> list[Shown]:
    """What the head of a request shows.

    Raises:
        Fault: Something is shown in a form that is none.
    """
    shown: list[Shown] = []
    authorization = head.one("authorization")
    if authorization is not None:
        shown.append(_authorization(authorization, trust))
    gateway = [head.one(name) for name in GATEWAY]
    if any(value is not None for value in gateway):
        if not all(gateway):
            raise _unreadable(f"国家网关的四个头应齐全：{'、'.join(GATEWAY)}")
        shown.append(Gateway(*(_bounded(value or "") for value in gateway)))
    if trust.certificate_header and trust.proxy(head.peer):
        subject = head.one(trust.certificate_header.lower())
        if subject:
            shown.append(Certificate(_bounded(subject)))
    return shown


def of_header(blocks: Sequence[Node], soap: str, envelope: str, trust: Trust) -> list[Shown]:
    """What the SOAP header shows.

    Args:
        blocks: Its blocks.
        soap: Version of SOAP.
        envelope: Its namespace.
        trust: What is trusted.

    Raises:
        Fault: A block is not understood and must be, or a token is none.
    """
    shown: list[Shown] = []
    for block in blocks:
        if (block.space, block.name) == (WSSE, "Security"):
            shown += _security(block, trust)
        elif block.attributes.get(f"{envelope} mustUnderstand") in ("1", "true"):
            raise Fault(
                "MustUnderstand", "请求要求理解一个本服务不认识的 SOAP 头", remedy="去掉这个头，或去掉 mustUnderstand"
            )
    return shown


def only(shown: Sequence[Shown]) -> Shown:
    """The one credential.

    Raises:
        Fault: There is none, or more than one.
    """
    if not shown:
        raise Fault(
            "Client.Unauthenticated",
            "没有出示凭据",
            remedy="在 Authorization 头、国家网关头或 WS-Security UsernameToken 中出示一种",
        )
    if len(shown) > 1:
        raise Fault("Client.Unauthenticated", "出示了不止一种凭据", remedy="只出示一种")
    return shown[0]


def _authorization(value: str, trust: Trust) -> Shown:
    scheme, _, rest = _bounded(value).strip().partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return Token(rest.strip())
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise _unreadable("HTTP Basic 的内容不能读取") from error
        if not colon:
            raise _unreadable("HTTP Basic 的内容不能读取")
        _demand_cover(trust)
        return Password(user, password)
    raise _unreadable("Authorization 头只支持 Bearer 和 Basic")


def _security(block: Node, trust: Trust) -> list[Shown]:
    shown: list[Shown] = []
    for child in block.children:
        if (child.space, child.name) == (WSSE, "UsernameToken"):
            shown.append(_username(child, trust))
        elif (child.space, child.name) == (WSU, "Timestamp"):
            _demand_unexpired(child)
        else:
            raise _unreadable("WS-Security 头里只支持 UsernameToken 和 Timestamp")
    return shown


def _username(token: Node, trust: Trust) -> Shown:
    parts: dict[str, Node] = {}
    for child in token.children:
        if child.name in parts or child.children:
            raise _unreadable("UsernameToken 不能读取")
        parts[child.name] = child
    user, password = (_bounded((parts[name].text or "") if name in parts else "") for name in ("Username", "Password"))
    if not user or not password:
        raise _unreadable("UsernameToken 没有用户名或口令")
    kind = parts["Password"].attributes.get("Type", f"{PROFILE}#PasswordText")
    if kind == f"{PROFILE}#PasswordText":
        _demand_cover(trust)
        return Password(user, password)
    if kind != f"{PROFILE}#PasswordDigest":
        raise _unreadable("UsernameToken 的口令类型只支持 PasswordDigest 和 PasswordText")
    if "Nonce" not in parts or "Created" not in parts:
        raise _unreadable("PasswordDigest 应带 Nonce 和 Created")
    created = _bounded(parts["Created"].text or "").strip()
    return Digest(user, _decoded(parts["Nonce"].text or ""), created, _decoded(password))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(_bounded(text).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unreadable("UsernameToken 的 Nonce 或摘要不是 base64") from error


def _demand_unexpired(timestamp: Node) -> None:
    for child in timestamp.children:
        if child.name != "Expires":
            continue
        try:
            until = datetime.fromisoformat((child.text or "").strip())
        except ValueError as error:
            raise _unreadable("WS-Security 的时间戳不能读取") from error
        if until.replace(tzinfo=until.tzinfo or UTC) < datetime.now(UTC):
            raise _unreadable("WS-Security 的时间戳已过期")


def _demand_cover(trust: Trust) -> None:
    if not trust.passwords:
        raise Fault(
            "Client.Unauthenticated",
            "没有加密的连接上不接受明文口令",
            remedy="经 HTTPS 调用，或改用 UsernameToken 的 PasswordDigest",
        )


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        raise _unreadable("凭据过长")
    return text


def _unreadable(message: str) -> Fault:
    return Fault("Client.Unauthenticated", message, remedy="核对凭据的写法")
