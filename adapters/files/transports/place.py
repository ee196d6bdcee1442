"""A place on a server, and what is done there in one go by every directory of it."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Literal

from adapters.errors import AdapterError, Unavailable, Unsupported
from adapters.files.errors import shown, translated
from adapters.files.transports import protocol
from adapters.files.transports.base import CHUNK
from adapters.files.transports.lease import Lease
from adapters.files.transports.protocol import Answered, Attributes, Lost, Session
from adapters.files.transports.ssh import Login, pool_of

_VIEWS = 1024
Names = Literal["utf-8", "gb18030"]


@dataclass
class Place:
    """A server, an account and how to speak with them; shared by all directories there.

    Attributes:
        login: Server and account.
        names: The encoding of names.
        total: Seconds that one transfer may take.
        lease: Seconds that a holder of the lock may be silent.
    """

    login: Login
    names: Names = "utf-8"
    total: float = 14400.0
    lease: float = 30.0
    offset: float | None = None
    _inside: threading.local = field(default_factory=threading.local)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A session for a while."""
        with pool_of(self.login).connection(total=self.total) as connection:
            yield connection.session

    @contextlib.contextmanager
    def inside(self, lease: Lease) -> Iterator[None]:
        """While a lease is held, this thread changes nothing once it may be lost."""
        leases = self._leases()
        with lease.held():
            leases.append(lease)
            try:
                yield
            finally:
                leases.remove(lease)

    def check(self) -> None:
        """Whether every lock that this thread holds is still held."""
        for lease in self._leases():
            lease.check()

    def _leases(self) -> list[Lease]:
        if not hasattr(self._inside, "leases"):
            self._inside.leases = []
        found: list[Lease] = self._inside.leases
        return found


def look(session: Session, path: bytes) -> Attributes | None:
    """About a name, links not followed; None: it is not there."""
    try:
        return session.lstat(path)
    except Answered as error:
        if error.code == protocol.NO_SUCH_FILE:
            return None
        raise


def only_files(about: Attributes | None, name: str) -> None:
    """Refuse what is no plain file.

    Raises:
        AdapterError: It is none.
    """
    number = None
    if about is None:
        number = errno.ENOENT
    elif about.is_link:
        number = errno.ELOOP
    elif not about.is_file:
        number = errno.EISDIR
    if number is not None:
        raise translated(OSError(number, ""), name)


def opened(session: Session, path: bytes, name: str) -> tuple[bytes, Attributes]:
    """Open a plain file for reading, and never a link; its handle, and what it is."""
    # Opening a pipe would hold the server's process until somebody writes to it.
    only_files(look(session, path), name)
    handle = session.open(path, protocol.READING)
    about = session.fstat(handle)
    again = look(session, path)
    if (again is not None and again.is_link) or not about.is_file:
        session.close(handle)
        raise translated(OSError(errno.ELOOP, ""), name)
    return handle, about


def removed(session: Session, path: bytes) -> None:
    """Remove a file; one that is gone already is no matter."""
    try:
        session.remove(path)
    except Answered as error:
        if error.code != protocol.NO_SUCH_FILE:
            raise


@contextlib.contextmanager
def closing(session: Session, handle: bytes) -> Iterator[None]:
    """Close a handle afterwards, whatever happens."""
    try:
        yield
    except (AdapterError, Answered, GeneratorExit):
        # Whoever leaves early must not hear of a way that is cut meanwhile: the session is marked.
        with contextlib.suppress(Answered, Lost):
            session.close(handle)
        raise
    session.close(handle)


def pieces_of(views: Generator[memoryview]) -> Generator[bytes]:
    """Pieces of about a :data:`CHUNK`, however small the server's are."""
    held: list[memoryview] = []
    size = 0
    try:
        for view in views:
            # Each keeps the packet that it came in: a server may give a byte at a time.
            if held and (size + len(view) > CHUNK or len(held) == _VIEWS):
                yield b"".join(held)
                held, size = [], 0
            held.append(view)
            size += len(view)
        if held:
            yield b"".join(held)
    finally:
        views.close()


ANSWERS = {protocol.NO_SUCH_FILE: errno.ENOENT, protocol.DENIED: errno.EACCES}


def status_error(error: Answered, name: str) -> AdapterError:
    """The port's error for a server's status."""
    if error.code in ANSWERS:
        return translated(OSError(ANSWERS[error.code], ""), shown(name))
    if error.code == protocol.UNSUPPORTED:
        return Unsupported(f"服务器不支持对 {shown(name)} 的操作", remedy="换用支持完整 SFTP 协议的服务器")
    return Unavailable(f"服务器没有完成对 {shown(name)} 的操作", remedy="请提供方检查目录的权限、磁盘空间和配额")
