"""References to secrets (密钥引用): ``env:NAME``, ``file:PATH`` and ``airflow:CONNECTION``.

The last one is for endpoints alone, and it is a scheduler's process that opens it: whoever schedules says how, by
:func:`open_connections_by`, before it opens the hub. The hub itself knows the words and no scheduler; elsewhere it
reads those connections that stand in the environment.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from exchange.errors import Invalid
from exchange.settings import REFERENCE

KEY_MARK = "shutong-key:"
"""How the text of the hub's own keys begins, so that none can pass for an endpoint's password."""

HOW_TO_WRITE = "写成 env:变量名 或 file:文件路径；由 Airflow 保管的写 airflow:连接名"
"""What to do where something else than a reference was given for an endpoint's secret."""

CONNECTION = "airflow"
"""The kind of reference that names a scheduler's connection (调度连接)."""

OpenConnection = Callable[[str, str | None], str | None]
"""Opens a scheduler's connection by its name: its password, or the named one of its further values; None: not set.

It raises :class:`exchange.errors.Invalid` where there is no such connection.
"""

_IN_CONNECTION = re.compile(CONNECTION + r":([\w.\-]{1,200})(?:#extra\.([^\x00-\x1f]{1,200}))?")
_CONNECTIONS = "AIRFLOW_CONN_"
"""How Airflow's variables for connections begin; elsewhere than in Airflow, they are all that can be read of these."""
_LARGEST = 65536

_connections: list[OpenConnection] = []


def open_connections_by(opener: OpenConnection | None) -> None:
    """Say how this process opens a scheduler's connections; None: it cannot, as at the beginning."""
    _connections[:] = [] if opener is None else [opener]


def is_reference(text: str) -> bool:
    """Whether a text is a reference to an endpoint's secret, not a secret."""
    return (REFERENCE.fullmatch(text) or _IN_CONNECTION.fullmatch(text)) is not None


def open_secret(reference: str, home: Path) -> SecretStr:
    """Open the secret of an endpoint.

    Args:
        reference: ``env:NAME``; ``file:PATH``, where a relative path lies in the home; ``airflow:CONNECTION`` for
            the password of a scheduler's connection, ``airflow:CONNECTION#extra.NAME`` for another value of it.
        home: The hub's home.

    Raises:
        Invalid: It is no reference, leads nowhere, can be read by others, or is a key of the hub itself:
            whoever may register an endpoint must not be able to send that key to it.
    """
    secret = read_reference(reference, home)
    if secret.get_secret_value().startswith(KEY_MARK):
        raise Invalid(f"{reference} 是数通自身的密钥，不能用作端点的口令", remedy="把该端点的口令存入另外的变量或文件")
    return secret


def read_reference(reference: str, home: Path) -> SecretStr:
    """Open any secret, the hub's own keys included.

    Raises:
        Invalid: It is no reference, leads nowhere, is empty, or can be read by others.
    """
    if not is_reference(reference):
        raise Invalid("密钥和口令只能写引用，不能写原文", remedy=HOW_TO_WRITE)
    kind, _, rest = reference.partition(":")
    if kind == CONNECTION:
        text = _connection(reference)
    else:
        text = _variable(rest) if kind == "env" else _content(home / Path(rest).expanduser())
    if not text:
        raise Invalid(f"{reference} 是空的", remedy="写入口令或密钥后重试")
    return SecretStr(text)


def _connection(reference: str) -> str | None:
    found = _IN_CONNECTION.fullmatch(reference)
    assert found is not None  # noqa: S101 - the caller has looked
    name, value = found.groups()
    if _connections:
        return _connections[0](name, value)
    variable = f"{_CONNECTIONS}{name.upper()}"
    if variable not in os.environ:
        raise Invalid(
            f"{reference} 是 Airflow 的连接，这里不在 Airflow 的任务里，打不开",
            remedy=f"经 Airflow 执行（触发该交换的 DAG）；要在命令行使用，把该连接以 JSON 写入环境变量 {variable}，"
            "或把口令改登记为 env:变量名、file:文件路径",
        )
    told = _json(os.environ[variable])
    extra = told.get("extra") if told is not None else None
    if isinstance(extra, str):
        extra = _json(extra)
    values = extra if isinstance(extra, dict) else {}
    text = told.get("password") if told is not None and value is None else values.get(value)
    if told is None or not isinstance(text, str | None):
        raise Invalid(f"环境变量 {variable} 不是 JSON 写法的连接", remedy='写成 {"password": "…", "extra": {…}}')
    return text


def _json(text: str) -> dict[str, Any] | None:
    """A JSON object; None: it is none. The decoding error would carry the secret along."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else None


def _variable(name: str) -> str:
    text = os.environ.get(name)
    if text is None:
        raise Invalid(f"环境变量 {name} 没有设置", remedy=f"在启动数通之前设置 {name}")
    return text


def _content(path: Path) -> str:
    try:
        # A named pipe must not make the hub wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Invalid(f"密钥文件 {path} 打不开：{error.strerror}", remedy="核对路径，并由运行数通的用户持有") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Invalid(f"{path} 不是普通文件", remedy="密钥引用应指向一个文本文件")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Invalid(f"密钥文件 {path} 能被其他用户读写，拒绝使用", remedy=f"chmod 600 {path}；如已外泄请更换")
        content = os.read(descriptor, _LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST:
        raise Invalid(f"密钥文件 {path} 过大", remedy=f"口令和密钥不超过 {_LARGEST} 字节")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # The decoding error would carry the secret's bytes along.
        text = None
    if text is None:
        raise Invalid(f"密钥文件 {path} 不是 UTF-8 文本", remedy="以 UTF-8 重新保存")
    return text.removesuffix("\n").removesuffix("\r")
