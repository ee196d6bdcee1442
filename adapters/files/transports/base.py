"""The port of a transport: a directory, wherever it is (文件通道).

What is above it - reading, delivering, the ledger - is written once and holds for every transport; what
is promised here each transport keeps, or its ``probes`` say that it cannot.

Names
    Plain names directly inside the directory; whatever could lead out of it is refused before anything is
    asked, and so is a link. Names are text; one that is no text in the directory's encoding is told.
Durable
    What ``begin``, ``append``, ``write`` and ``upload`` were given is on the disk when they return, as far as
    the place can be told to.
Atomic
    ``rename`` and ``write``: the name shows what was there before or what is wanted, never anything between,
    and never nothing.
Cut off
    Where the way to the directory can be cut, whatever may be repeated without harm is repeated. ``rename``
    never is: if its answer is lost nobody knows whether it happened, and the ledger finds out.
"""

from __future__ import annotations

import fnmatch
import hashlib
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Self, TypeVar

from adapters.base import Probe
from adapters.errors import AdapterError, Malformed, Misconfigured, Unavailable
from adapters.files.errors import shown

DIRECTORY_MODE = 0o750
FILE_MODE = 0o640
CHUNK = 1 << 20
SMALL = 16 << 20
"""Bytes of a file that is read whole, at most."""

Seen = TypeVar("Seen")
Visitor = Callable[[int, "Entry", Iterator[bytes]], Seen]
"""Takes the place of a file among those asked for, what it is and its bytes."""
Opened = Callable[[], Iterator[bytes]]
"""Says the bytes of a file from its beginning, as often as it is asked."""
LONGEST_NAME = 255
"""Bytes of a name, on all file systems that are usual."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the directory; ``modified`` in seconds since 1970, by the directory's own clock."""

    name: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class Strange:
    """A name in the directory that is not touched, whatever is behind it (不予处理的名称).

    Attributes:
        name: As it can be shown: one line, and what is no text as its bytes.
        readable: What a person would read, for patterns.
        why: What is wrong with it.
    """

    name: str
    readable: str
    why: AdapterError


Told = Callable[[Strange], None]


class Directory(ABC):
    """One directory."""

    near: bool = False
    """Reading a file twice costs little."""

    @abstractmethod
    def folder(self, name: str) -> Self:
        """A directory inside this one, made (0750) if it is not there; never through a link."""

    @abstractmethod
    def entries(self, pattern: str, strange: Told | None = None) -> Iterator[Entry]:
        """The files whose names match, as they come: in any order, and without the memory that all would need.

        Hidden names never match, folders are none.

        Args:
            pattern: Which names.
            strange: Is told of each matching name that must not be touched; None: the first of them is raised.

        Raises:
            Refused: A matching name is a link, or leads out of the directory.
            Malformed: A matching name is no text, or steers whatever shows it.
        """

    def listing(self, pattern: str, strange: Told | None = None) -> list[Entry]:
        """The files of :meth:`entries` in name order."""
        # A directory that is changed while it is listed may tell a name twice.
        found = {entry.name: entry for entry in self.entries(pattern, strange)}
        return [found[name] for name in sorted(found)]

    def touched(self) -> int | None:
        """When names last came or went here, in nanoseconds of this machine's clock; None: it is not cheaply told."""
        return None

    @abstractmethod
    def about(self, name: str) -> Entry | None:
        """A file as it is now; None: there is none, or it is no plain file."""

    @abstractmethod
    def chunks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from an offset on, piece by piece, each at most :data:`CHUNK`.

        Where the way is cut they go on from where they were, if the file is still the same.

        Raises:
            Unavailable: The way stayed cut, or the file was changed meanwhile.
        """

    def read(self, name: str, *, most: int = SMALL) -> bytes | None:
        """A small file whole, None if it is not there.

        Raises:
            Malformed: It is larger than ``most``: what a stranger put there is not held in memory.
        """
        if not self.exists(name):
            return None
        held = bytearray()
        for chunk in self.chunks(name):
            held += chunk
            if len(held) > most:
                raise Malformed(
                    f"文件 {shown(name)} 超过 {most} 字节，不予读取", remedy="由放入的一方改写后重新放入，或移走它"
                )
        return bytes(held)

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether a name is taken, be it by a link."""

    @abstractmethod
    def begin(self, name: str, content: bytes) -> None:
        """Start a file (0640) anew; durable."""

    @abstractmethod
    def append(self, name: str, content: bytes) -> None:
        """Add to a file that is there; durable. Only one at a time may add to a file."""

    def write(self, name: str, content: bytes, further: Iterable[bytes] = ()) -> None:
        """Put a file in place whole, piece after piece, in the place of what has the name: durable and atomic."""
        self.begin(beside(name), content)
        for piece in further:
            self.append(beside(name), piece)
        self.rename(beside(name), name)

    def unwrite(self, name: str) -> None:
        """Remove what a :meth:`write` that did not end has left."""
        self.remove(beside(name))

    @abstractmethod
    def rename(self, name: str, to: str, *, into: Self | None = None) -> None:
        """Give a file its name, here or in another directory of the same file system: atomic.

        Success is this call's answer and never a later look: whoever waits for the file may take it at once.

        Raises:
            Unavailable: Nobody knows whether it happened.
        """

    @abstractmethod
    def hidden(self, prefix: str) -> list[str]:
        """The hidden names that begin so."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no matter."""

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold the directory against other processes and threads; each transport says how firmly.

        Raises:
            Unavailable: Somebody else holds it for longer than a commit takes.
        """

    @abstractmethod
    def clock(self) -> float:
        """Seconds since 1970 by the clock that :attr:`Entry.modified` is told by."""

    @abstractmethod
    def upload(self, name: str, file: BinaryIO) -> str:
        """Bring a local file here under a hidden name, from the offset that is already durable here; its SHA-256.

        A file of the name that is here already is taken for the beginning of this one, and proven to be: after a
        transfer that was not made in one go, all is read back. To be renamed when it has been brought.

        Raises:
            Malformed: What lies here is not what was sent; it is removed.
        """

    def download(self, name: str, file: BinaryIO) -> str:
        """Take a file from here into a local one, from the latter's end on; the SHA-256 of the whole.

        Args:
            name: The file here.
            file: Open for reading and writing, without anything but the beginning of this file.
        """
        digest = hashlib.sha256()
        file.seek(0)
        while piece := file.read(CHUNK):
            digest.update(piece)
        for chunk in self.chunks(name, file.tell()):
            digest.update(chunk)
            file.write(chunk)
        return digest.hexdigest()

    @abstractmethod
    def within(self, name: str) -> Self | None:
        """A directory inside this one, None if there is none; never through a link."""

    @abstractmethod
    def visit(self, names: Sequence[str], use: Visitor[Seen], *, folder: str = "") -> list[Seen | AdapterError]:
        """Use many files, several at a time where that is quicker; what came of each, or why it cannot be opened.

        Args:
            names: Plain names.
            use: Called with the place of a name, what it is and its bytes, which it takes; on any thread.
            folder: A directory inside this one in which they lie; not made, never through a link.
        """

    @abstractmethod
    def fill(self, files: Iterable[tuple[str, int, Opened]]) -> list[Malformed | None]:
        """Make many files (0640) in a directory that nobody else writes to; durable when it returns.

        Args:
            files: Name, size and content of each; the content may be asked for again.

        Returns:
            For each what was wrong with its content: then the file is not there.
        """

    @abstractmethod
    def rename_all(self, names: Iterable[tuple[str, str]], *, into: Self) -> int:
        """Rename many files into another directory; how many of them were there. Durable when it returns."""

    @abstractmethod
    def remove_all(self, names: Iterable[str]) -> None:
        """Remove many files; those that are gone already are no matter."""

    @abstractmethod
    def remove_folder(self, name: str, *, whole: bool = False) -> None:
        """Remove a directory inside this one if it is empty; with ``whole``, with the files in it."""

    @abstractmethod
    def probes(self) -> list[Probe]:
        """Try what a run will need: reach, rights, rename, clock, free space."""

    @abstractmethod
    def readable(self) -> bool:
        """Whether the directory is there and may be listed."""

    @abstractmethod
    def writable(self) -> bool:
        """Whether files may be made here."""


def beside(name: str) -> str:
    """The hidden name under which a file is written before it has its own."""
    return f".{plain(name)}.part"


def changed(name: str) -> Unavailable:
    """The error for a file that is no longer the one that was opened."""
    return Unavailable(f"文件 {shown(name)} 在读取期间被改动", remedy="等提供方写完后再试")


def plain(name: str) -> str:
    """Refuse every name that could lead out of the directory.

    Raises:
        Misconfigured: It could.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise Misconfigured(f"文件名 {name!r} 不能用", remedy="只写目录内的文件名或通配式，不带路径")
    return name


_STEERING = ("Cc", "Zl", "Zp")
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def steers(name: str) -> bool:
    """Whether a name would steer what shows it: line breaks, control characters, turns of direction."""
    return any(unicodedata.category(each) in _STEERING or each in _TURNING for each in name)


def steering(name: str) -> Malformed:
    """The error for such a name."""
    return Malformed(f"文件名 {shown(name)} 含换行或控制字符", remedy="由提供方改名后重新放入")


def fitted(name: str, ending: str) -> str:
    """A name with an ending, cut where the two together would be too long; two such names are told apart."""
    # The same file is written under a hidden name first, and a name may be encoded in either way.
    room = LONGEST_NAME - len(ending.encode()) - len(beside("x")) + 1
    if max(len(name.encode()), len(name.encode("gb18030"))) <= room:
        return name + ending
    mark = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    kept = ""
    for each in name:
        if max(len((kept + each).encode()), len((kept + each).encode("gb18030"))) > room - len(mark):
            break
        kept += each
    return kept + mark + ending


def matches(name: str, pattern: str) -> bool:
    """Whether a name is meant by a pattern; hidden ones never are."""
    return not name.startswith(".") and fnmatch.fnmatchcase(name, pattern)


def renaming_probe(directory: Directory) -> list[Probe]:
    """Write a hidden file, replace it by another, read it back, remove it: what every delivery does."""
    name = f".shutong-probe-{time.time_ns():x}"
    try:
        directory.write(name, b"1")
        directory.write(name, b"2")
        found = directory.read(name)
    finally:
        directory.remove(name)
        directory.unwrite(name)
    if found == b"2":
        return [Probe("改名", passed=True, detail="写入、改名替换、读回和删除都可用")]
    raise Unavailable("改名之后读回的不是写入的内容", remedy="检查目录所在的存储")
