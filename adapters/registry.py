"""The kinds of endpoint, as a table of strings: a kind's module is loaded when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.base import Endpoint
from adapters.errors import Misconfigured, Unsupported
from adapters.options import nearest, read_options, secret_names

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "database": "adapters.database.endpoint:DatabaseEndpoint",
        "webservice": "adapters.webservice.endpoint:WebServiceEndpoint",
        "files": "adapters.files.endpoint:FilesEndpoint",
        "mailbox": "adapters.mailbox:MailboxEndpoint",
        "memory": "adapters.memory:MemoryEndpoint",
    }
)
"""Kind of endpoint (端点类型) to ``module:class``."""

_OWN = ("adapters", "schemas")


def kinds() -> tuple[str, ...]:
    """The names of all kinds, in the order of the table."""
    return tuple(KINDS)


def endpoint_type(kind: str) -> type[Endpoint]:
    """The class of a kind.

    Raises:
        Misconfigured: There is no such kind; the message offers the nearest.
        Unsupported: A library that the kind needs is not installed.
    """
    place = KINDS.get(kind)
    if place is None:
        raise Misconfigured(
            f"没有端点类型 {kind!r}{nearest(kind, KINDS)}",
            remedy=f"可用的类型：{'、'.join(KINDS)}",
        )
    module, name = place.split(":")
    try:
        found: type[Endpoint] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _OWN:
            raise
        raise Unsupported(
            f"端点类型 {kind} 需要的程序库 {missing} 没有安装",
            remedy=f"安装后再试：python -m pip install {missing}",
        ) from error
    return found


def open_endpoint(kind: str, options: Mapping[str, Any], zone: str = "Asia/Shanghai") -> Endpoint:
    """Make an endpoint of a kind from its options; nothing is opened at the place yet.

    Args:
        kind: A name out of :func:`kinds`.
        options: The registered options, secrets already opened.
        zone: The zone of the place's zone-less times.

    Raises:
        Misconfigured: The kind, an option or the zone is wrong; every problem of the options is listed.
    """
    found = endpoint_type(kind)
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Misconfigured(f"没有时区 {zone!r}", remedy="写成 IANA 时区名，例如 Asia/Shanghai") from error
    return found(read_options(found.options_type, options, f"{kind} 端点"), zone=zone)


def secret_fields(kind: str) -> frozenset[str]:
    """The options of a kind that are secrets: they are registered as references and never shown."""
    return secret_names(endpoint_type(kind).options_type)
