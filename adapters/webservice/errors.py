"""What the network, HTTP and SOAP say, in the words of the port; never with a text of the reply."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
import urllib3

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable

_LATER = "稍后再试；一直如此请联系对方"


class Later(Unavailable):
    """The peer said when to come again.

    Args:
        after: Seconds from now.
    """

    def __init__(self, message: str, *, remedy: str = "", after: float = 0.0) -> None:
        super().__init__(message, remedy=remedy)
        self.after = after


class Faulted(Refused):
    """The service itself said no to this very message, by a SOAP fault: nothing of it was taken."""


TRANSPORT: tuple[tuple[type[Exception], type[AdapterError], str, str], ...] = (
    # The order is from the particular to the general: SSLError is a ConnectionError.
    (requests.exceptions.SSLError, Refused, "的证书不被信任或 TLS 握手失败", "核对 ca 选项和对方的证书"),
    (requests.exceptions.ProxyError, Unavailable, "的代理不可用", _LATER),
    (requests.exceptions.Timeout, Unavailable, "没有及时应答", _LATER),
    (requests.exceptions.InvalidURL, Misconfigured, "的地址写错", "核对 url 和 address"),
    (requests.exceptions.InvalidSchema, Misconfigured, "的地址写错", "核对 url 和 address"),
    (requests.exceptions.MissingSchema, Misconfigured, "的地址写错", "核对 url 和 address"),
    (requests.exceptions.InvalidHeader, Misconfigured, "的请求头写错", "核对操作名"),
    (requests.exceptions.UnrewindableBodyError, Unavailable, "中断了连接", _LATER),
    (requests.exceptions.ContentDecodingError, Malformed, "的应答不能解码", "由提供方改正"),
    (requests.exceptions.InvalidJSONError, Malformed, "的应答不能解码", "由提供方改正"),
    (requests.exceptions.TooManyRedirects, Refused, "要求转到别处", "登记最终的地址"),
    (requests.exceptions.RequestException, Unavailable, "连接不上或连接中断", _LATER),
    (urllib3.exceptions.SSLError, Refused, "的证书不被信任或 TLS 握手失败", "核对 ca 选项和对方的证书"),
    (urllib3.exceptions.TimeoutError, Unavailable, "没有及时应答", _LATER),
    (urllib3.exceptions.InvalidHeader, Malformed, "的应答不是正确的 HTTP", "由提供方改正它的应答头"),
    (urllib3.exceptions.HTTPError, Unavailable, "连接不上或连接中断", _LATER),
    # requests says by a bare OSError that a file of certificates is not there.
    (OSError, Misconfigured, "的证书文件读不到", "核对 ca、certificate 和 key 选项"),
)
"""Exception of the driver to what it is for us, in words after the place, and the remedy."""


def translated(error: Exception, place: str) -> AdapterError:
    """The port's error for one of ``requests`` or ``urllib3``."""
    if isinstance(error, requests.exceptions.InvalidHeader):
        inner = next(iter(error.args), None)
        if isinstance(inner, urllib3.exceptions.InvalidHeader):
            error = inner  # of the answer; of what we send, requests speaks itself
    for kind, made, words, remedy in TRANSPORT:
        if isinstance(error, kind):
            return made(f"{place} {words}", remedy=remedy)
    return Unavailable(f"{place} 连接不上", remedy=_LATER)


def of_status(status: int, place: str, retry_after: str | None = None) -> AdapterError | None:
    """The error an HTTP status means; None where the body decides: a fault comes with 500, or with 200."""
    if status in (HTTPStatus.OK, HTTPStatus.INTERNAL_SERVER_ERROR):
        return None
    where = f"{place} 应答 HTTP {status}"
    match status:
        case 401 | 403 | 407:
            return Refused(f"{where}：凭据或权限不足", remedy="核对 user 和 password，或请对方开通")
        case 404 | 405 | 410:
            return Misconfigured(f"{where}：那里没有这个服务", remedy="核对 url 和 address")
        case 408 | 425 | 429 | 502 | 503 | 504:
            if (seconds := seconds_of(retry_after)) is not None:
                return Later(f"{where}：暂时不能服务", remedy=_LATER, after=seconds)
            return Unavailable(f"{where}：暂时不能服务", remedy=_LATER)
        case 413:
            return Refused(f"{where}：请求过大", remedy="减小每页行数")
        case _ if 300 <= status < 400:
            return Misconfigured(f"{where}：要求转到别处，不予跟随", remedy="登记最终的地址")
        case _ if status >= 500:
            return Unavailable(f"{where}：对方出错", remedy=_LATER)
        case _ if status >= 400:
            return Refused(f"{where}：对方不接受请求", remedy="核对操作和参数")
        case _:
            return Malformed(f"{where}：没有应答内容", remedy="由提供方改正")


def of_fault(code: str, place: str) -> AdapterError:
    """The error a SOAP fault means, by the last name of its code; its text may carry data and is left out."""
    name = code.rpartition(":")[2]
    where = f"{place} 应答 SOAP 错误 {name[:64] or '（无代码）'}"
    if name.partition(".")[0] in ("Server", "Receiver"):
        return Unavailable(where, remedy=_LATER)
    return Faulted(where, remedy="核对操作、参数和授权，或凭出错时间询问对方")


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or as a date; None: it says nothing one can read."""
    if not retry_after:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
