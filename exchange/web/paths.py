"""Codes in addresses (地址中的代码): one with a slash in it is one part of a path, percent-encoded.

Servers decode a path before anybody looks at it; ``101001001%2F0001`` would fall into two parts. Here the parts are
told from each other first and decoded afterwards, by the convertor ``{code:code}``.
"""

from __future__ import annotations

import functools
import re
from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

_CODED = re.compile(r"[%/\x00-\x1f\x7f]")


def _encoded(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


class _Code(Convertor[str]):
    # Control characters stand in no code, and a database may not take them.
    regex = "(?:(?!%[01][0-9A-F]|%7F)[^/])+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quoted(value)


register_url_convertor("code", _Code())


class _Number(Convertor[int]):
    # No more digits than a database's numbers have.
    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", _Number())


@functools.lru_cache(1024)
def quoted(code: str) -> str:
    """A code as one part of a path."""
    return quote(code, safe="")


class WholeParts:
    """Keeps what a part of a path holds inside it.

    Its own slashes, percent signs and control characters stay encoded until it is read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] == "http" and (raw := scope.get("raw_path")) is not None:
            parts = raw.partition(b"?")[0].decode("latin-1").split("/")
            scope["path"] = "/".join(_CODED.sub(_encoded, unquote(part)) for part in parts)
        await self._app(scope, receive, send)
