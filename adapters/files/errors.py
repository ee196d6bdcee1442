"""What the operating system says of a directory, in the words of the port."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable

KINDS: dict[int, tuple[type[AdapterError], str, str]] = {
    errno.ENOENT: (Misconfigured, "不存在", "核对目录和文件名"),
    errno.ENOTDIR: (Misconfigured, "不是目录", "核对目录"),
    errno.EISDIR: (Malformed, "不是普通文件", "移走这个名称的目录或管道"),
    errno.ENXIO: (Malformed, "不是普通文件", "移走这个名称的目录或管道"),
    errno.EACCES: (Refused, "没有权限", "给运行数通的用户读写此目录的权限"),
    errno.EPERM: (Refused, "没有权限", "给运行数通的用户读写此目录的权限"),
    errno.EROFS: (Refused, "文件系统只读", "改为可写的目录"),
    errno.ELOOP: (Refused, "是符号链接", "换成文件本身，符号链接不予读取"),
    errno.ENAMETOOLONG: (Misconfigured, "名称过长", "缩短目录名或文件名"),
    errno.ENOSPC: (Unavailable, "磁盘已满", "清出空间后再试"),
    errno.EDQUOT: (Unavailable, "磁盘配额已满", "清出空间后再试"),
    errno.EAGAIN: (Unavailable, "正被占用", "稍后再试"),
    errno.EIO: (Unavailable, "读写出错", "检查磁盘或网络存储"),
    errno.ESTALE: (Unavailable, "网络存储失去联系", "检查网络存储"),
    errno.ETIMEDOUT: (Unavailable, "网络存储超时", "检查网络存储"),
}
"""Error number to what it is for us, in words, and the remedy."""


def translated(error: OSError, place: str) -> AdapterError:
    """The port's error for one of the operating system; ``place`` is a file or directory name."""
    kind, words, remedy = KINDS.get(error.errno or 0, (Unavailable, "无法读写", "检查目录所在的存储"))
    return kind(f"{shown(place)} {words}", remedy=remedy)


@contextmanager
def put_aside() -> Iterator[None]:
    """Where something is put aside on a disk of ours: that there is no room is no fault of the file, and passes.

    Raises:
        AdapterError: What the operating system says of it.
    """
    try:
        yield
    except OSError as error:
        raise translated(error, "平台的临时目录") from error


def shown(name: str) -> str:
    """A name for a message: one line, and what is no text as its bytes."""
    return "".join(each if each.isprintable() else _escaped(ord(each)) for each in name)


def _escaped(code: int) -> str:
    # A byte that was no text stands for itself among the surrogates.
    return f"\\x{code & 0xFF:02x}" if code < 0x100 or 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
