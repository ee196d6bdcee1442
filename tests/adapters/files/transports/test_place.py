from __future__ import annotations

import os
import stat
import threading

import pytest

from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable, Unsupported
from adapters.files.transports import protocol
from adapters.files.transports.base import CHUNK
from adapters.files.transports.lease import Lease
from adapters.files.transports.place import Place, closing, look, only_files, opened, pieces_of, removed, status_error
from adapters.files.transports.protocol import Answered, Attributes
from tests.adapters.files.transports.conftest import Remote
from tests.adapters.files.transports.test_lease import Files


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (protocol.NO_SUCH_FILE, Misconfigured),
        (protocol.DENIED, Refused),
        (protocol.FAILURE, Unavailable),
        (protocol.UNSUPPORTED, Unsupported),
        (protocol.BAD, Unavailable),
        (4711, Unavailable),
    ],
)
def test_a_status_becomes_an_error_of_the_port(code: int, kind: type[AdapterError]) -> None:
    error = status_error(Answered(code), "a\nb")
    assert type(error) is kind
    assert "a\\x0ab" in error.message
    assert error.remedy


@pytest.mark.parametrize(
    ("about", "kind"),
    [
        (None, Misconfigured),
        (Attributes(mode=stat.S_IFLNK), Refused),
        (Attributes(mode=stat.S_IFDIR), Malformed),
        (Attributes(mode=stat.S_IFIFO), Malformed),
    ],
)
def test_only_plain_files_are_let_through(about: Attributes | None, kind: type[AdapterError]) -> None:
    with pytest.raises(kind):
        only_files(about, "a")
    only_files(Attributes(mode=stat.S_IFREG), "a")
    only_files(Attributes(), "a")


def test_what_is_done_in_one_go(remote: Remote) -> None:
    path = os.fsencode(remote.root) + b"/a"
    with Place(remote.login()).session() as session:
        assert look(session, path) is None
        (remote.root / "a").write_bytes(b"x" * (2 * CHUNK + 1))
        handle, about = opened(session, path, "a")
        assert about.size == 2 * CHUNK + 1
        with closing(session, handle):
            pieces = list(pieces_of(session.read(handle, 0, about.size)))
        assert b"".join(pieces) == b"x" * (2 * CHUNK + 1)
        assert max(len(piece) for piece in pieces) <= CHUNK
        with pytest.raises(Answered):
            session.fstat(handle)
        handle, _ = opened(session, path, "a")
        with pytest.raises(Refused), closing(session, handle):
            raise Refused("x")
        with pytest.raises(Answered):
            session.fstat(handle)
        removed(session, path)
        removed(session, path)
        assert not (remote.root / "a").exists()


def test_a_lock_is_a_threads_own(remote: Remote) -> None:
    place = Place(remote.login())
    found: list[BaseException | None] = []

    def other() -> None:
        place.check()
        found.append(None)

    lease = Lease(Files(remote.root), 0.5, "x")
    with place.inside(lease):
        place.check()
        lease._ousted = True
        with pytest.raises(Unavailable):
            place.check()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [None]
    place.check()


def test_a_byte_at_a_time_costs_no_more_than_its_packets() -> None:
    packets = (memoryview(bytes(1000))[:1] for _ in range(5000))
    pieces = [len(piece) for piece in pieces_of(each for each in packets)]
    assert (sum(pieces), max(pieces)) == (5000, 1024)
