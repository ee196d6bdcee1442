"""Archives (压缩包) from strangers: what a zip says of itself is held against limits before anything is unpacked.

A zip's directory is read by a library that believes it and keeps it whole; so its size and its count of members are
read first. Unpacking stops where the limits are reached, whatever the directory says.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from adapters.errors import Malformed
from adapters.files.formats.base import CHUNK

UNPACKED = 16 << 30
"""Bytes of one member at most."""
RATIO = 300
"""How many times larger than packed a member may be at most, beyond :data:`FREE`."""
FREE = 64 << 20
"""Bytes that may be unpacked from anything: a short file of blanks is packed very small."""
DIRECTORY = 4 << 20
"""Bytes of the directory at most."""

_END, _END_64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENCRYPTED = 0x1 | 0x40
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """A zip, opened within limits.

    Args:
        file: The archive.
        name: The file's name, for messages.
        members: How many members it may have.

    Raises:
        Malformed: it is no zip, encrypted, damaged, or beyond a limit.
    """

    def __init__(self, file: IO[bytes], name: str, members: int) -> None:
        self._name = name
        self._check_directory(file, members)
        try:
            self._zip = zipfile.ZipFile(file)
        # RuntimeError: the archive asks for a version of zip that the library does not know.
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, RuntimeError) as error:
            raise self.refused("不是完整的 zip 压缩包") from error
        self._check_count(len(self._zip.infolist()), members)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            if member.filename in self._members:
                raise self.refused("内有重名的成员")
            self._members[member.filename] = member

    @property
    def names(self) -> list[str]:
        """The members, folders left out."""
        return [name for name, member in self._members.items() if not member.is_dir()]

    def chunks(self, member: str, *, most: int = UNPACKED) -> Iterator[bytes]:
        """The bytes of a member, as many as the limits allow.

        Raises:
            Malformed: it is not there, encrypted, damaged, or beyond a limit.
        """
        about = self._members.get(member)
        if about is None:
            raise self.refused("缺少应有的成员")
        if about.flag_bits & _ENCRYPTED:
            raise self.refused("是加密的", remedy="由提供方去掉密码后重新放入；需要保密时请用带加密的传输方式")
        if about.compress_type not in _METHODS:
            raise self.refused("用了不支持的压缩方法", remedy="由提供方用通常的方式（deflate）压缩后重新放入")
        limit = Limit(self._name, most)
        limit.check(about.file_size, about.compress_size)
        try:
            with self._zip.open(about) as opened:
                while chunk := opened.read(CHUNK):
                    limit.add(len(chunk), about.compress_size)
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error) as error:
            raise self.refused("已损坏") from error

    def refused(self, why: str, remedy: str = "由提供方重新打包后放入") -> Malformed:
        """The error for an archive that is not taken."""
        return Malformed(f"压缩包 {self._name} {why}", remedy=remedy)

    def _check_directory(self, file: IO[bytes], members: int) -> None:
        size = file.seek(0, 2)
        begin = max(0, size - (1 << 16) - 22)
        file.seek(begin)
        tail = file.read()
        at = tail.rfind(_END)
        if at < 0 or len(tail) < at + 22:
            raise self.refused("不是完整的 zip 压缩包")
        count, length = struct.unpack("<HI", tail[at + 10 : at + 16])
        if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR:
            # The library looks right before the locator, whatever that says: both must mean the same.
            place = begin + at - 76
            file.seek(max(place, 0))
            record = file.read(56)
            told = struct.unpack("<Q", tail[at - 12 : at - 4])[0]
            if place < 0 or record[:4] != _END_64 or told != place:
                raise self.refused("不是完整的 zip 压缩包")
            count, length = struct.unpack("<QQ", record[32:48])
        file.seek(0)
        if length > DIRECTORY:
            raise self.refused(f"的目录超过 {DIRECTORY >> 20} MiB")
        self._check_count(count, members)

    def _check_count(self, count: int, members: int) -> None:
        # As the directory says, and as it is: the library reads whatever stands in it.
        if count > members:
            raise self.refused(f"内有 {count} 个成员，至多 {members} 个")


class Limit:
    """How much may still be unpacked."""

    def __init__(self, name: str, most: int = UNPACKED) -> None:
        self._name = name
        self._most = most
        self._unpacked = 0

    def add(self, unpacked: int, packed: int) -> None:
        """Count what was unpacked.

        Raises:
            Malformed: it is too much, or too much for what it was packed in.
        """
        self._unpacked += unpacked
        self.check(self._unpacked, packed)

    def check(self, unpacked: int, packed: int) -> None:
        """The same of sizes that are only said."""
        if unpacked > self._most:
            raise Malformed(f"压缩包 {self._name} 解开后超过 {self._most >> 20} MiB", remedy="由提供方拆成几个文件放入")
        if unpacked > FREE and unpacked > RATIO * max(packed, 1):
            raise Malformed(
                f"压缩包 {self._name} 解开后超过原来的 {RATIO} 倍",
                remedy="这可能是攻击，请告知安全管理员；确为数据时请由提供方不压缩放入",
            )
