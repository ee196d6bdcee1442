"""References to secrets (密钥引用): ``env:NAME`` and ``file:PATH``."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydantic import SecretStr

from exchange.errors import Invalid
from exchange.settings import REFERENCE

KEY_MARK = "shutong-key:"
"""How the text of the hub's own keys begins, so that none can pass for an endpoint's password."""

_LARGEST = 65536


def is_reference(text: str) -> bool:
    """Whether a text is a reference to a secret, not a secret."""
    return REFERENCE.fullmatch(text) is not None


def open_secret(reference: str, home: Path) -> SecretStr:
    """Open the secret of an endpoint.

    Args:
        reference: ``env:NAME`` or ``file:PATH``; a relative path lies in the home.
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
        raise Invalid("密钥和口令只能写引用，不能写原文", remedy="写成 env:变量名 或 file:文件路径")
    kind, _, rest = reference.partition(":")
    text = _variable(rest) if kind == "env" else _content(home / Path(rest).expanduser())
    if not text:
        raise Invalid(f"{reference} 是空的", remedy="写入口令或密钥后重试")
    return SecretStr(text)


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
