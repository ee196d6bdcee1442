"""Wrappers (外层压缩): a file that lies in a gzip or in a zip, taken out and put in within limits.

One file in one wrapper: a second member, a wrapper in a wrapper and a password are refused by name.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from adapters.errors import Malformed
from adapters.files.formats.archive import Archive, Limit
from adapters.files.formats.base import CHUNK, Drain, spooled

Wrapper = Literal["none", "gzip", "zip"]
ENDINGS: dict[str, Wrapper] = {".gz": "gzip", ".zip": "zip"}
_MARKS = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\xfd7zXZ\x00": "xz",
    b"BZh91AY&SY": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_GZIP = 31
"""zlib's word for a gzip with its header."""


def unwrapped(chunks: Iterable[bytes], wrapper: Wrapper, name: str, *, packed: bool) -> Iterator[bytes]:
    """The bytes of the file that lies in a wrapper.

    Args:
        chunks: The wrapper's bytes.
        wrapper: Its kind.
        name: The file's name, for messages.
        packed: The file is of a format that is an archive itself.

    Raises:
        Malformed: naming what was found.
    """
    if wrapper == "none":
        return _steady(chunks if packed else _bare(chunks, name, "没有写明 wrapper 的"))
    inner = _ungzipped(chunks, name) if wrapper == "gzip" else _unzipped(chunks, name)
    return _steady(inner if packed else _bare(inner, name, "压缩包里又是"))


def _steady(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth the work.

    A server may give some bytes at a time, and for each of them a reader would look at all it holds again.
    """
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        if chunk:
            held.append(chunk)
            size += len(chunk)
        if size >= CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _bare(chunks: Iterable[bytes], name: str, words: str) -> Iterator[bytes]:
    """The same bytes, unless they are an archive."""
    pending = iter(chunks)
    head = b""
    for chunk in pending:
        head += chunk
        if len(head) >= max(map(len, _MARKS)):
            break
    for mark, kind in _MARKS.items():
        if head.startswith(mark):
            raise Malformed(
                f"文件 {name} 是{words} {kind} 压缩包", remedy="由提供方只压缩一层后重新放入，或改正挂接的 wrapper 选项"
            )
    return chain([head], pending)


def _ungzipped(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(_GZIP)
    limit = Limit(name)
    taken = 0
    try:
        for chunk in chunks:
            taken += len(chunk)
            rest = chunk
            while rest and not unpacking.eof:
                piece = unpacking.decompress(rest, CHUNK)
                rest = unpacking.unconsumed_tail
                limit.add(len(piece), taken)
                if piece:
                    yield piece
            if unpacking.eof and (rest := rest or unpacking.unused_data).strip(b"\0"):
                raise Malformed(f"压缩包 {name} 内不止一个文件", remedy="由提供方每个压缩包只放一个文件")
        while not unpacking.eof and (piece := unpacking.decompress(unpacking.unconsumed_tail, CHUNK)):
            limit.add(len(piece), taken)
            yield piece
    except zlib.error as error:
        raise Malformed(f"压缩包 {name} 不是 gzip，或已损坏", remedy="由提供方重新打包后放入") from error
    if not unpacking.eof:
        raise Malformed(f"压缩包 {name} 不完整", remedy="由提供方重新打包后放入")


def _unzipped(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    with spooled(chunks) as file:
        archive = Archive(file, name, members=1)
        if not archive.names:
            raise archive.refused("内没有文件")
        yield from archive.chunks(archive.names[0])


class Wrapping(ABC):
    """Bytes put into a wrapper, piece by piece."""

    @abstractmethod
    def add(self, content: bytes) -> bytes:
        """Put something in; what comes out of it now."""

    @abstractmethod
    def close(self) -> bytes:
        """What comes out at the end."""


def wrapping(wrapper: Wrapper, inner: str) -> Wrapping:
    """A wrapper to put a file in.

    Args:
        wrapper: Its kind.
        inner: What the file in it is called.
    """
    if wrapper == "zip":
        return _Zipping(inner)
    return _Gzipping() if wrapper == "gzip" else _Nothing()


class _Nothing(Wrapping):
    def add(self, content: bytes) -> bytes:
        return content

    def close(self) -> bytes:
        return b""


class _Gzipping(Wrapping):
    def __init__(self) -> None:
        self._out = Drain()
        # Without name and time, the same rows are the same bytes.
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self._out, compresslevel=6, mtime=0)

    def add(self, content: bytes) -> bytes:
        self._gzip.write(content)
        return self._out.taken()

    def close(self) -> bytes:
        self._gzip.close()
        return self._out.taken()


class _Zipping(Wrapping):
    def __init__(self, inner: str) -> None:
        self._out = Drain()
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED)
        about = zipfile.ZipInfo(inner)
        about.compress_type = zipfile.ZIP_DEFLATED
        about.external_attr = 0o640 << 16
        self._member = self._zip.open(about, "w", force_zip64=True)

    def add(self, content: bytes) -> bytes:
        self._member.write(content)
        return self._out.taken()

    def close(self) -> bytes:
        self._member.close()
        self._zip.close()
        return self._out.taken()
