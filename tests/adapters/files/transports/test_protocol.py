"""The bytes of the protocol: against a server that answers wrongly, late, and out of order."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from itertools import islice

import pytest

from adapters.files.transports import protocol
from adapters.files.transports.protocol import Answered, Attributes, Lost, Session
from adapters.files.transports.ssh import connect
from tests.adapters.files.transports.conftest import Remote

VERSION = struct.pack(">IBI", 5, 2, 3)
HANDLE = struct.pack(">I", 1) + b"h"


class Script:
    """A server that answers each packet by a function; bytes come in small pieces."""

    def __init__(self, answer: Callable[[int, int, bytes], bytes], *, piece: int = 7, backwards: bool = False) -> None:
        self._answer = answer
        self._piece = piece
        self._backwards = backwards
        self._held: list[bytes] = []
        self._asked = b""
        self._said = VERSION
        self._greeted = False

    def send(self, data: bytes) -> int:
        taken = data[:1000]
        self._asked += taken
        while len(self._asked) >= 4 and len(self._asked) >= (size := 4 + int.from_bytes(self._asked[:4], "big")):
            packet, self._asked = self._asked[4:size], self._asked[size:]
            if self._greeted:
                self._held.append(self._answer(packet[0], int.from_bytes(packet[1:5], "big"), packet[5:]))
            self._greeted = True
        return len(taken)

    def recv(self, size: int) -> bytes:
        if not self._said:
            self._said = b"".join(reversed(self._held) if self._backwards else self._held)
            self._held = []
        taken, self._said = self._said[: self._piece], self._said[self._piece :]
        return taken


def packet(kind: int, number: int, rest: bytes) -> bytes:
    return struct.pack(">IBI", 5 + len(rest), kind, number) + rest


def status(number: int, code: int) -> bytes:
    return packet(101, number, struct.pack(">I", code) + struct.pack(">II", 0, 0))


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize("code", [1, 2, 3, 4, 8, 999])
def test_a_status_is_an_error_with_its_number(code: int) -> None:
    session = Session(Script(lambda kind, number, rest: status(number, code)))
    with pytest.raises(Answered) as caught:
        session.remove(b"/a")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "said",
    [
        b"",
        struct.pack(">I", 0),
        struct.pack(">I", 1 << 31),
        struct.pack(">IBI", 5, 101, 1),
        packet(101, 1, b"\0\0"),
        packet(104, 1, text(b"x")),
        packet(102, 1, struct.pack(">I", 99)),
    ],
)
def test_what_is_no_answer_ends_the_connection(said: bytes) -> None:
    with pytest.raises(Lost):
        Session(Script(lambda kind, number, rest: said)).lstat(b"/a")


def test_a_flood_of_answers_to_nothing_ends_it() -> None:
    flood = b"".join(status(1000 + each, 0) for each in range(1000))
    with pytest.raises(Lost):
        Session(Script(lambda kind, number, rest: flood, piece=1 << 16)).lstat(b"/a")


def test_no_greeting() -> None:
    script = Script(lambda kind, number, rest: b"")
    script._said = packet(101, 1, b"")
    with pytest.raises(Lost):
        Session(script)


def test_short_and_late_answers_are_put_in_order() -> None:
    """A server may give less than was asked for, and in the order that it likes."""
    content = os.urandom(300_000)

    def answer(kind: int, number: int, rest: bytes) -> bytes:
        offset, length = struct.unpack(">QI", rest[-12:])
        part = content[offset : offset + min(length, 1 + length // 2)]
        return packet(103, number, text(part)) if part else status(number, protocol.EOF)

    session = Session(Script(answer, piece=5000, backwards=True))
    assert b"".join(session.read(b"h", 0, None)) == content


def test_a_read_that_fails_in_the_middle_leaves_a_good_session() -> None:
    def answer(kind: int, number: int, rest: bytes) -> bytes:
        if kind != 5:
            return status(number, 0)
        offset = struct.unpack(">Q", rest[-12:-4])[0]
        return packet(103, number, text(b"x" * 32768)) if offset < 65536 else status(number, 4)

    session = Session(Script(answer, piece=1 << 16))
    with pytest.raises(Answered):
        list(session.read(b"h", 0, 1 << 20))
    session.remove(b"/a")
    reading = session.read(b"h", 0, 1 << 20)
    next(reading)
    reading.close()
    session.remove(b"/a")


def test_a_write_that_fails_in_the_middle_leaves_a_good_session() -> None:
    def answer(kind: int, number: int, rest: bytes) -> bytes:
        return status(number, 4 if kind == 6 and struct.unpack(">Q", rest[5:13])[0] == 65536 else 0)

    session = Session(Script(answer, piece=1 << 16))
    writer = session.writer(b"h", 0)
    with pytest.raises(Answered):
        writer.write(b"x" * (4 << 20))
        writer.flush()
    assert writer.acknowledged == 65536
    writer.drain()
    session.remove(b"/a")


def test_attributes_with_all_that_may_come() -> None:
    rest = struct.pack(">IQIIIIII", 0x8000000F, 7, 1, 2, 0o120777, 5, 6, 1) + text(b"k") + text(b"v")
    found = Session(Script(lambda kind, number, _: packet(105, number, rest))).lstat(b"/a")
    assert found == Attributes(size=7, mode=0o120777, modified=6)
    assert found.is_link
    assert not found.is_file
    bare = Session(Script(lambda kind, number, _: packet(105, number, struct.pack(">I", 0)))).lstat(b"/a")
    assert bare == Attributes()
    assert bare.is_file
    assert not bare.is_folder


def test_reading_ahead_is_bounded() -> None:
    """A file of a terabyte is asked for piece by piece."""
    asked = [0]

    def answer(kind: int, number: int, rest: bytes) -> bytes:
        asked[0] += 1
        return packet(103, number, text(b"x" * 32768))

    session = Session(Script(answer, piece=1 << 16))
    reading = session.read(b"h", 0, 1 << 40)
    assert len(list(islice(reading, 10))) == 10
    assert asked[0] <= 10 + protocol.MOST_REQUESTS
    reading.close()


def test_a_session_that_broke_in_a_packet_is_over() -> None:
    script = Script(lambda kind, number, rest: status(number, 0)[:-3])
    session = Session(script)
    with pytest.raises(Lost):
        session.remove(b"/a")
    assert session.broken
    with pytest.raises(Lost, match="broken"):
        session.remove(b"/a")


def test_against_a_real_server(remote: Remote) -> None:
    connection = connect(remote.login())
    session = connection.session
    path = os.fsencode(remote.root)
    assert {protocol.RENAMES, protocol.FSYNC, protocol.STATVFS, protocol.LIMITS} <= session.extensions
    assert (session.reading, session.writing) == (protocol.LARGEST_BLOCK, protocol.LARGEST_BLOCK)
    handle = session.open(path + b"/a", protocol.WRITING | protocol.CREATE | protocol.EXCLUSIVE, 0o600)
    writer = session.writer(handle, 3)
    writer.write(b"abc")
    writer.flush()
    assert session.fsync(handle)
    assert session.fstat(handle).size == 6
    session.close(handle)
    with pytest.raises(Answered):
        session.open(path + b"/a", protocol.WRITING | protocol.CREATE | protocol.EXCLUSIVE, 0o600)
    session.make_folder(path + b"/d", 0o700)
    session.set_folder_mode(path + b"/d", 0o750)
    assert session.lstat(path + b"/d").is_folder
    session.rename(path + b"/a", path + b"/d/b")
    assert {name for name, _ in session.entries(path + b"/d")} == {b".", b"..", b"b"}
    space = session.space(path)
    assert space is not None
    assert 0 < space.free <= space.total
    handle = session.open(path + b"/d/b", protocol.READING)
    assert b"".join(session.read(handle, 2, None)) == b"\0abc"
    session.close(handle)
    connection.close()


def test_a_listing_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_NAMES", 50)

    def answer(kind: int, number: int, rest: bytes) -> bytes:
        entry = text(b"a") + text(b"a") + struct.pack(">I", 0)
        return packet(102, number, HANDLE) if kind == 11 else packet(104, number, struct.pack(">I", 10) + entry * 10)

    told = []
    with pytest.raises(Lost):
        told += [name for name, _ in Session(Script(answer)).entries(b"/") if told.append(name) is None]  # type: ignore[func-returns-value]
    assert len(told) == 50


def test_a_listing_of_nothing_without_end() -> None:
    def answer(kind: int, number: int, rest: bytes) -> bytes:
        return packet(102, number, HANDLE) if kind == 11 else packet(104, number, struct.pack(">I", 0))

    with pytest.raises(Lost):
        list(Session(Script(answer)).entries(b"/"))


def test_one_answer_to_nothing_is_enough() -> None:
    """What nobody asked for would be kept until somebody did."""
    session = Session(Script(lambda kind, number, rest: status(number + 1, 0) + status(number, 0), piece=1 << 16))
    with pytest.raises(Lost):
        session.remove(b"/a")
    with pytest.raises(Lost):
        session.remove(b"/b")
    twice = Session(Script(lambda kind, number, rest: status(number, 0) * 2, piece=1 << 16))
    twice.remove(b"/a")
    with pytest.raises(Lost):
        twice.remove(b"/b")


def test_a_size_that_no_file_has() -> None:
    about = struct.pack(">IQ", 1, (1 << 64) - 1)
    with pytest.raises(Lost):
        Session(Script(lambda kind, number, rest: packet(105, number, about))).lstat(b"/a")
