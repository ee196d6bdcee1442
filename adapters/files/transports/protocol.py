"""The file transfer protocol of SSH (SFTP), version 3, as far as a directory needs it.

Written against the bytes of a channel, not on a library's client, for three reasons: that client keeps what it
reads ahead in memory without limit, it never tells which extensions the server offers (a durable write, a rename
that replaces), and it decodes names before anybody can say that they are no text.

One thread at a time uses a session. Requests are sent ahead of their answers, within bounds.
"""

from __future__ import annotations

import contextlib
import stat
import struct
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

VERSION = 3

_INIT, _VERSION = 1, 2
_OPEN, _CLOSE, _READ, _WRITE, _LSTAT, _FSTAT, _SETSTAT, _FSETSTAT = 3, 4, 5, 6, 7, 8, 9, 10
_OPENDIR, _READDIR, _REMOVE, _MKDIR, _RMDIR, _REALPATH, _STAT, _RENAME = 11, 12, 13, 14, 15, 16, 17, 18
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED, _EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201

OK, EOF, NO_SUCH_FILE, DENIED, FAILURE, BAD, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
"""Codes of a status, by the protocol."""

READING, WRITING, CREATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x20
"""Ways to open a file, by the protocol."""

_SIZE, _OWNER, _MODE, _TIMES, _MORE = 0x01, 0x02, 0x04, 0x08, 0x80000000

RENAMES, FSYNC, STATVFS, LIMITS = (
    "posix-rename@openssh.com",
    "fsync@openssh.com",
    "statvfs@openssh.com",
    "limits@openssh.com",
)
"""Extensions that are used where a server offers them."""

BLOCK = 32768
"""Bytes of a request that every server must take."""
LARGEST_BLOCK = 261120
AHEAD = 4 << 20
"""Bytes that are asked for, or sent, ahead of the answers."""
MOST_REQUESTS = 64
MOST_NAMES = 5_000_000
"""Names of one directory at most: a server may go on telling them for ever."""
TOGETHER = 32
"""Files that are asked for, or made, at once."""
HELD = BLOCK
"""Bytes of requests that are held back to be sent in one piece, where many are made at once."""
LARGEST_PACKET = 1 << 20
_RECEIVED = 1 << 20


class Lost(Exception):
    """The connection is gone, or answers what no server answers; what was asked last may have been done."""


class Silent(Lost):
    """The server has not answered in time."""


class Overdue(Silent):
    """What was going on has taken longer than it may."""


class Answered(Exception):
    """The server answered with a status that is an error.

    Args:
        code: The protocol's number.
    """

    def __init__(self, code: int) -> None:
        # The server's own words stay away: nobody knows what they hold.
        super().__init__(f"status {code}")
        self.code = code


class Stream(Protocol):
    """What a session needs of a channel."""

    def send(self, data: bytes) -> int:
        """Send some of the bytes; how many."""

    def recv(self, size: int) -> bytes:
        """Bytes that have come; none: the other side has closed."""


@dataclass(frozen=True)
class Attributes:
    """What the server tells of a file; a number it does not tell is None."""

    size: int | None = None
    mode: int | None = None
    modified: int | None = None

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode is not None and stat.S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file; so is what has no mode, as some servers tell none."""
        return self.mode is None or stat.S_IFMT(self.mode) in (0, stat.S_IFREG)

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory."""
        return self.mode is not None and stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class Space:
    """Free space of the server's file system, in bytes."""

    free: int
    total: int


class Session:
    """A conversation with one server.

    Args:
        stream: A channel on which the subsystem has been asked for.

    Attributes:
        extensions: What the server offers beyond the protocol.
        reading: Bytes of the largest read.
        writing: Bytes of the largest write.
        broken: A packet was sent or read in part: nothing can follow.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._number = 0
        self._held: bytearray | None = None
        self._view = memoryview(b"")
        self._early: dict[int, tuple[int, memoryview]] = {}
        self._asked: set[int] = set()
        self.broken = False
        self._send(struct.pack(">BI", _INIT, VERSION))
        kind, answer = self._packet()
        if kind != _VERSION:
            raise Lost("no version")
        cursor = _Cursor(answer, 4)
        self.extensions: set[str] = set()
        while cursor.left:
            self.extensions.add(cursor.text().decode("utf-8", "replace"))
            cursor.text()
        self.reading = self.writing = BLOCK
        if LIMITS in self.extensions:
            try:
                limits = _Cursor(self._extended(LIMITS))
                _, reading, writing = limits.long(), limits.long(), limits.long()
            except Answered:
                reading = writing = BLOCK
            # None of the two may be told as 0, which means: no limit.
            self.reading = min(reading or LARGEST_BLOCK, LARGEST_BLOCK)
            self.writing = min(writing or LARGEST_BLOCK, LARGEST_BLOCK)

    def open(self, path: bytes, how: int, mode: int | None = None) -> bytes:
        """Open a file; its handle."""
        attributes = struct.pack(">II", _MODE, mode) if mode is not None else struct.pack(">I", 0)
        return self._handle(self._ask(_OPEN, _text(path) + struct.pack(">I", how) + attributes))

    def close(self, handle: bytes) -> None:
        """Close a handle."""
        self._done(self._ask(_CLOSE, _text(handle)))

    def lstat(self, path: bytes) -> Attributes:
        """About a name itself, links not followed."""
        return self._attributes(self._ask(_LSTAT, _text(path)))

    def fstat(self, handle: bytes) -> Attributes:
        """About an open file."""
        return self._attributes(self._ask(_FSTAT, _text(handle)))

    def set_mode(self, handle: bytes, mode: int) -> None:
        """Give an open file its rights."""
        self._done(self._ask(_FSETSTAT, _text(handle) + struct.pack(">II", _MODE, mode)))

    def set_folder_mode(self, path: bytes, mode: int) -> None:
        """Give a directory its rights."""
        self._done(self._ask(_SETSTAT, _text(path) + struct.pack(">II", _MODE, mode)))

    def make_folder(self, path: bytes, mode: int) -> None:
        """Make a directory."""
        self._done(self._ask(_MKDIR, _text(path) + struct.pack(">II", _MODE, mode)))

    def remove(self, path: bytes) -> None:
        """Remove a file."""
        self._done(self._ask(_REMOVE, _text(path)))

    def real_path(self, path: bytes) -> bytes:
        """A path in full."""
        cursor = _Cursor(self._named(self._ask(_REALPATH, _text(path))), 4)
        return cursor.text()

    def rename(self, path: bytes, to: bytes) -> None:
        """Rename; replaces what has the name where the server can, else fails then."""
        if RENAMES in self.extensions:
            self._done(self._ask(_EXTENDED, _text(RENAMES.encode()) + _text(path) + _text(to)))
        else:
            self._done(self._ask(_RENAME, _text(path) + _text(to)))

    def fsync(self, handle: bytes) -> bool:
        """Bring an open file to the disk; False: the server offers no way."""
        if FSYNC not in self.extensions:
            return False
        self._done(self._ask(_EXTENDED, _text(FSYNC.encode()) + _text(handle)))
        return True

    def space(self, path: bytes) -> Space | None:
        """Free space; None: the server does not tell."""
        if STATVFS not in self.extensions:
            return None
        cursor = _Cursor(self._extended(STATVFS, _text(path)))
        _, fragment, blocks, _, available = (cursor.long() for _ in range(5))
        return Space(free=fragment * available, total=fragment * blocks)

    def entries(self, path: bytes) -> Generator[tuple[bytes, Attributes]]:
        """The names of a directory in the server's order, as they come."""
        handle = self._handle(self._ask(_OPENDIR, _text(path)))
        told = empty = 0
        try:
            while True:
                try:
                    cursor = _Cursor(self._named(self._ask(_READDIR, _text(handle))))
                except Answered as error:
                    if error.code != EOF:
                        raise
                    break
                count = cursor.number()
                told, empty = told + count, 0 if count else empty + 1
                if told > MOST_NAMES or empty > MOST_REQUESTS:
                    raise Lost("endless directory")
                for _ in range(count):
                    name = cursor.text()
                    cursor.text()
                    yield name, cursor.attributes()
        finally:
            # Whoever leaves early must not hear of a way that is cut meanwhile: the session is marked.
            with contextlib.suppress(Answered, Lost):
                self.close(handle)

    def read(self, handle: bytes, start: int, size: int | None) -> Generator[memoryview]:
        """The bytes of an open file from an offset to its end, asked for ahead of what is taken.

        Args:
            handle: An open file.
            start: Where to begin.
            size: How large the file is said to be; it is read to its end whatever that says.
        """
        waiting: deque[tuple[int, int, int]] = deque()
        block = self.reading
        depth = max(2, min(MOST_REQUESTS, AHEAD // block))
        at = start
        try:
            while True:
                # Beyond the known end one request is enough to see whether it is the end.
                while len(waiting) < depth and (not waiting or size is None or at < size):
                    waiting.append((self._request(_READ, self._span(handle, at, block)), at, block))
                    at += block
                if not waiting:
                    return
                number, offset, length = waiting.popleft()
                kind, answer = self._answer(number)
                if kind == _STATUS:
                    if _code(answer) != EOF:
                        raise Answered(_code(answer))
                    return
                data = _data(kind, answer, length)
                if len(data) < length:
                    rest = (offset + len(data), length - len(data))
                    waiting.appendleft((self._request(_READ, self._span(handle, *rest)), *rest))
                yield data
        finally:
            # Answers that nobody takes would pile up. Whoever leaves early must not hear of a cut.
            with contextlib.suppress(Lost):
                while waiting and not self.broken:
                    self._answer(waiting.popleft()[0])

    def gather(self, paths: Sequence[bytes], most: int) -> list[tuple[Attributes | None, bytes | None]]:
        """What many names are, links not followed, and the bytes of the plain files that are not too large.

        All are asked for at once: at most :data:`TOGETHER`. A name that cannot be opened has neither.
        """
        abouts = [_about(got) for got in self._all([(_LSTAT, _text(path), b"") for path in paths])]
        small = [
            number
            for number, about in enumerate(abouts)
            if about is not None and about.is_file and (about.size or 0) <= min(most, self.reading - 1)
        ]
        how = struct.pack(">II", READING, 0)
        opened = self._all([(_OPEN, _text(paths[number]) + how, b"") for number in small])
        handles = {
            number: _Cursor(answer).text()
            for number, (kind, answer) in zip(small, opened, strict=True)
            if kind == _HANDLE
        }
        requests: list[tuple[int, bytes, bytes]] = []
        for number, handle in handles.items():
            length = (abouts[number].size or 0) + 1  # type: ignore[union-attr]  # there, or it were not opened
            requests += [
                (_LSTAT, _text(paths[number]), b""),
                (_FSTAT, _text(handle), b""),
                (_READ, self._span(handle, 0, length), b""),
                (_CLOSE, _text(handle), b""),
            ]
        answers = self._all(requests)
        contents: dict[int, bytes] = {}
        for place, number in enumerate(handles):
            again, held, read, _ = answers[4 * place : 4 * place + 4]
            name, about = _about(again), _about(held)
            if about is None or not about.is_file or (name is not None and name.is_link):
                abouts[number] = None
                continue
            content = b"" if read[0] == _STATUS and _code(read[1]) == EOF else _whole_of(read)
            if content is not None and len(content) == (about.size or 0):
                contents[number] = content
        for number in small:
            if number not in handles:
                abouts[number] = None
        return [(about, contents.get(number)) for number, about in enumerate(abouts)]

    def scatter(self, files: Sequence[tuple[bytes, bytes]], mode: int) -> None:
        """Make many small files that are not there, durable; all are sent at once: at most :data:`TOGETHER`."""
        how = struct.pack(">III", WRITING | CREATE | EXCLUSIVE, _MODE, mode)
        opened = self._all([(_OPEN, _text(path) + how, b"") for path, _ in files])
        requests: list[tuple[int, bytes, bytes]] = []
        wrong = [got for got in opened if got[0] != _HANDLE]
        for (_, content), (kind, answer) in zip(files, opened, strict=True):
            if kind != _HANDLE:
                continue
            handle = _text(_Cursor(answer).text())
            requests.append((_FSETSTAT, handle + struct.pack(">II", _MODE, mode), b""))
            if content:
                requests.append((_WRITE, handle + struct.pack(">QI", 0, len(content)), content))
            if FSYNC in self.extensions:
                requests.append((_EXTENDED, _text(FSYNC.encode()) + handle, b""))
            requests.append((_CLOSE, handle, b""))
        for got in [*wrong, *self._all(requests)]:
            self._done(got)

    def rename_all(self, names: Sequence[tuple[bytes, bytes]]) -> int:
        """Rename many, at most :data:`TOGETHER` at once; how many were there."""
        extended = RENAMES in self.extensions
        before = _text(RENAMES.encode()) if extended else b""
        kind = _EXTENDED if extended else _RENAME
        return self._each([(kind, before + _text(name) + _text(to), b"") for name, to in names])

    def remove_all(self, paths: Sequence[bytes]) -> int:
        """Remove many, at most :data:`TOGETHER` at once; how many were there."""
        return self._each([(_REMOVE, _text(path), b"") for path in paths])

    def remove_folder(self, path: bytes) -> None:
        """Remove an empty directory."""
        self._done(self._ask(_RMDIR, _text(path)))

    def _each(self, requests: Sequence[tuple[int, bytes, bytes]]) -> int:
        done = 0
        for got in self._all(requests):
            if got[0] == _STATUS and _code(got[1]) == NO_SUCH_FILE:
                continue
            self._done(got)
            done += 1
        return done

    def _all(self, requests: Sequence[tuple[int, bytes, bytes]]) -> list[tuple[int, memoryview]]:
        """Ask many things before the first answer is taken, and in few pieces."""
        self._held = bytearray()
        try:
            numbers = [self._request(*request) for request in requests]
            self._release()
        finally:
            self._held = None
        return [self._answer(number) for number in numbers]

    def writer(self, handle: bytes, start: int) -> Writer:
        """Write to an open file from an offset on."""
        return Writer(self, handle, start)

    def _span(self, handle: bytes, offset: int, length: int) -> bytes:
        return _text(handle) + struct.pack(">QI", offset, length)

    def _extended(self, name: str, rest: bytes = b"") -> memoryview:
        kind, answer = self._ask(_EXTENDED, _text(name.encode()) + rest)
        if kind != _EXTENDED_REPLY:
            raise _wrong(kind, answer)
        return answer

    def _handle(self, got: tuple[int, memoryview]) -> bytes:
        if got[0] != _HANDLE:
            raise _wrong(*got)
        return _Cursor(got[1]).text()

    def _named(self, got: tuple[int, memoryview]) -> memoryview:
        if got[0] != _NAME:
            raise _wrong(*got)
        return got[1]

    def _attributes(self, got: tuple[int, memoryview]) -> Attributes:
        if got[0] != _ATTRS:
            raise _wrong(*got)
        return _Cursor(got[1]).attributes()

    def _done(self, got: tuple[int, memoryview]) -> None:
        if got[0] != _STATUS or _code(got[1]) != OK:
            raise _wrong(*got)

    def _ask(self, kind: int, rest: bytes) -> tuple[int, memoryview]:
        return self._answer(self._request(kind, rest))

    def _request(self, kind: int, rest: bytes, data: bytes | memoryview = b"") -> int:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._asked.add(self._number)
        self._send(struct.pack(">BI", kind, self._number) + rest, data)
        return self._number

    def _answer(self, number: int) -> tuple[int, memoryview]:
        while number not in self._early:
            kind, packet = self._packet()
            found = _Cursor(packet).number()
            if found not in self._asked:
                self.broken = True
                raise Lost("an answer to nothing")
            self._asked.remove(found)
            self._early[found] = (kind, packet[4:])
        return self._early.pop(number)

    def _send(self, head: bytes, data: bytes | memoryview = b"") -> None:
        """Send a packet without its length: the head, and data that is not copied more often than it must be."""
        self._whole()
        if self._held is not None:
            self._held += struct.pack(">I", len(head) + len(data)) + head
            self._held += data
            if len(self._held) > HELD:
                self._release()
            return
        self.broken = True
        view = memoryview(data)
        ready, at = struct.pack(">I", len(head) + len(view)) + head, 0
        while ready:
            # Pieces of about what the channel sends at once: it copies what it is given.
            more = max(0, BLOCK - len(ready))
            ready += view[at : at + more]
            at += more
            sent = self._stream.send(ready)
            if sent <= 0:
                raise Lost("closed")
            ready = ready[sent:]
            if not ready:
                ready = bytes(view[at : at + BLOCK])
                at += BLOCK
        self.broken = False

    def _release(self) -> None:
        """Send what was held back."""
        if not self._held:
            return
        self.broken = True
        view = memoryview(bytes(self._held))
        while view:
            sent = self._stream.send(bytes(view[:BLOCK]))
            if sent <= 0:
                raise Lost("closed")
            view = view[sent:]
        self._held.clear()
        self.broken = False

    def _whole(self) -> None:
        if self.broken:
            raise Lost("broken")

    def _packet(self) -> tuple[int, memoryview]:
        self._whole()
        self.broken = True
        (length,) = struct.unpack(">I", self._take(4))
        if not 5 <= length <= LARGEST_PACKET:
            raise Lost("no packet")
        whole = self._take(length)
        self.broken = False
        return whole[0], whole[1:]

    def _take(self, size: int) -> memoryview:
        if len(self._view) < size:
            pieces, held = [bytes(self._view)], len(self._view)
            while held < size:
                piece = self._stream.recv(_RECEIVED)
                if not piece:
                    raise Lost("closed")
                pieces.append(piece)
                held += len(piece)
            self._view = memoryview(b"".join(pieces))
        taken, self._view = self._view[:size], self._view[size:]
        return taken


class Writer:
    """Writes ahead of the answers, and knows how far they have come.

    Args:
        session: The session.
        handle: A file open for writing.
        start: Where to begin.

    Attributes:
        acknowledged: The offset up to which the server has taken everything.
    """

    def __init__(self, session: Session, handle: bytes, start: int) -> None:
        self._session = session
        self._handle = handle
        self._at = self.acknowledged = start
        self._waiting: deque[tuple[int, int]] = deque()

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes; waits only while too many are not acknowledged."""
        view = memoryview(data)
        block = self._session.writing
        depth = max(2, min(MOST_REQUESTS, AHEAD // block))
        for begin in range(0, len(view), block):
            piece = view[begin : begin + block]
            head = _text(self._handle) + struct.pack(">QI", self._at, len(piece))
            self._waiting.append((self._session._request(_WRITE, head, piece), len(piece)))  # noqa: SLF001 - its other half
            self._at += len(piece)
            while len(self._waiting) >= depth:
                self._next()

    def flush(self) -> None:
        """Wait until everything is acknowledged."""
        while self._waiting:
            self._next()

    def drain(self) -> None:
        """Take the answers that are still to come, whatever they say, so that the session can be used further."""
        while self._waiting:
            self._session._answer(self._waiting.popleft()[0])  # noqa: SLF001

    def _next(self) -> None:
        number, length = self._waiting.popleft()
        self._session._done(self._session._answer(number))  # noqa: SLF001
        self.acknowledged += length


class _Cursor:
    """Reads one part of a packet after another."""

    def __init__(self, packet: memoryview, at: int = 0) -> None:
        self._packet = packet
        self._at = at

    @property
    def left(self) -> int:
        return len(self._packet) - self._at

    def _bytes(self, size: int) -> memoryview:
        if self.left < size:
            raise Lost("short packet")
        self._at += size
        return self._packet[self._at - size : self._at]

    def number(self) -> int:
        return int.from_bytes(self._bytes(4), "big")

    def long(self) -> int:
        return int.from_bytes(self._bytes(8), "big")

    def view(self) -> memoryview:
        return self._bytes(self.number())

    def text(self) -> bytes:
        return bytes(self.view())

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.long() if flags & _SIZE else None
        if size is not None and size >> 63:
            raise Lost("no size")
        if flags & _OWNER:
            self.long()
        mode = self.number() if flags & _MODE else None
        modified = self.long() & 0xFFFFFFFF if flags & _TIMES else None
        for _ in range(self.number() if flags & _MORE else 0):
            self.text()
            self.text()
        return Attributes(size, mode, modified)


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _about(got: tuple[int, memoryview]) -> Attributes | None:
    return _Cursor(got[1]).attributes() if got[0] == _ATTRS else None


def _whole_of(got: tuple[int, memoryview]) -> bytes | None:
    return bytes(_Cursor(got[1]).view()) if got[0] == _DATA else None


def _code(answer: memoryview) -> int:
    return _Cursor(answer).number()


def _data(kind: int, answer: memoryview, length: int) -> memoryview:
    data = _Cursor(answer).view() if kind == _DATA else memoryview(b"")
    if not 0 < len(data) <= length:
        raise Lost("no data")
    return data


def _wrong(kind: int, answer: memoryview) -> Answered | Lost:
    if kind == _STATUS and _code(answer) != OK:
        return Answered(_code(answer))
    return Lost("another answer than was asked for")
