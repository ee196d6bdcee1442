"""A directory on a department's SFTP server (SFTP 目录).

What it keeps of the port's promises, and with whose help:

- Durable: files by ``fsync@openssh.com``; without it, as durable as the server makes a closed file. No protocol
  brings a directory to the disk: after a crash of the server's machine a name may be as before.
- Atomic: by ``posix-rename@openssh.com``. Without it a rename cannot replace: a file that is replaced lies
  for a moment under its spare name, where it is looked for; the name itself may show nothing meanwhile.
- Links: refused by ``lstat`` before and after opening, and never written through, because files are made anew.
  Who can swap a file for a link and back between the two looks can lead a read astray within his own account.
- Locked: by :mod:`adapters.files.transports.lease`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import BinaryIO, Self, TypeVar

from adapters.base import Probe
from adapters.errors import AdapterError, Malformed, Misconfigured, Refused, Unavailable
from adapters.files.errors import shown, translated
from adapters.files.transports import protocol
from adapters.files.transports.base import (
    CHUNK,
    DIRECTORY_MODE,
    FILE_MODE,
    LONGEST_NAME,
    Directory,
    Entry,
    Opened,
    Seen,
    Strange,
    Told,
    Visitor,
    beside,
    changed,
    matches,
    plain,
    renaming_probe,
    steering,
    steers,
)
from adapters.files.transports.hashing import HashedFile
from adapters.files.transports.lease import Folder, Lease
from adapters.files.transports.place import Place, closing, look, only_files, opened, pieces_of, removed, status_error
from adapters.files.transports.protocol import TOGETHER, Answered, Attributes, Lost, Overdue, Session
from adapters.files.transports.ssh import Away, recognised

Found = TypeVar("Found")

ATTEMPTS = 4
"""How often what was cut off without having come any further is tried."""
PAUSE = 0.5
"""Seconds before the second try; each further one waits twice as long."""
_BEAT = 4096
"""Bytes of a holder's file that are looked at."""
SMALL = 64 << 10
"""Bytes up to which a file is asked for, and sent, in one piece together with others."""
AT_ONCE = 3
"""Connections that work at many files."""
DRIFT = 60.0
"""Seconds by which the server's clock may differ before the probe says so."""
SCANT = 1 << 30
"""Free bytes below which the probe says so."""


class SftpDirectory(Directory):
    """One directory on a server.

    Args:
        place: The server.
        path: The directory, absolute there, encoded.
    """

    def __init__(self, place: Place, path: bytes) -> None:
        self._place = place
        self._root = path

    def folder(self, name: str) -> Self:
        """A directory inside this one, made if it is not there; never through a link."""
        path = self._path(name)

        def work(session: Session) -> None:
            about = look(session, path)
            if about is None:
                self._place.check()
                # Somebody else may make it at this moment; what it is then is seen below.
                with contextlib.suppress(Answered):
                    session.make_folder(path, DIRECTORY_MODE)
                    session.set_folder_mode(path, DIRECTORY_MODE)
                about = session.lstat(path)
            if not about.is_folder:
                raise translated(OSError(errno.ENOTDIR, ""), name)

        self._do(name, work)
        return type(self)(self._place, path)

    def entries(self, pattern: str, strange: Told | None = None) -> Iterator[Entry]:
        """The files whose names match, in the server's order, as they come."""
        plain(pattern)
        for raw, about in self._names():
            name = self._text(raw)
            readable = name if name is not None else raw.decode(*self._otherwise())
            # What it would be in the other encoding is what the provider sees, and what the pattern means.
            if not matches(readable, pattern):
                continue
            why = self._wrong(raw, name, readable, about)
            if why is None:
                if about.is_file and name is not None:
                    yield Entry(name, about.size or 0, float(about.modified or 0))
            elif strange is None:
                raise why
            else:
                strange(Strange(shown(name or raw.decode("ascii", "surrogateescape")), readable, why))

    def _wrong(self, raw: bytes, name: str | None, readable: str, about: Attributes) -> AdapterError | None:
        if name is None:
            told = f"文件名 {shown(raw.decode('ascii', 'surrogateescape'))} 不是 {self._place.names.upper()}"
            return Malformed(
                f"{told}（按 {self._otherwise()[0].upper()} 读作 {shown(readable)}）",
                remedy="请提供方改名，或核对选项 names",
            )
        if name in (".", "..") or "/" in name or "\0" in name:
            return Refused(f"服务器给出的文件名 {shown(name)} 超出目录", remedy="请提供方检查其 SFTP 服务器")
        if about.is_link:
            return translated(OSError(errno.ELOOP, ""), name)
        return steering(name) if steers(name) else None

    def _otherwise(self) -> tuple[str, str]:
        """How a name is decoded that is no text in the encoding that was named."""
        return ("gb18030" if self._place.names == "utf-8" else "utf-8", "replace")

    def about(self, name: str) -> Entry | None:
        """A file as it is now, links not followed."""
        path = self._path(name)
        about = self._do(name, lambda session: look(session, path))
        if about is None or not about.is_file:
            return None
        return Entry(name, about.size or 0, float(about.modified or 0))

    def chunks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from an offset on; after a cut from where they were, if it is the same file."""
        path, at, known = self._path(name), start, None
        tries = 0
        while True:
            before = at
            try:
                with self._place.session() as session:
                    handle, about = opened(session, path, name)
                    with closing(session, handle):
                        if known is not None and known != about:
                            raise changed(name)
                        known = about
                        with contextlib.closing(pieces_of(session.read(handle, at, about.size))) as pieces:
                            for piece in pieces:
                                at += len(piece)
                                if about.size is not None and at > about.size + CHUNK:
                                    raise changed(name)
                                yield piece
            except Answered as error:
                raise status_error(error, name) from error
            except Lost as error:
                tries = 1 if at > before else tries + 1
                self._again(error, tries, name)
            else:
                return

    def exists(self, name: str) -> bool:
        """Whether a name is taken, be it by a link."""
        path = self._path(name)
        return self._do(name, lambda session: look(session, path)) is not None or self._spared(name)

    def begin(self, name: str, content: bytes) -> None:
        """Start a file anew; durable."""
        path = self._path(name)

        def work(session: Session) -> None:
            handle = self._made(session, path, name)
            with closing(session, handle):
                self._fill(session, handle, 0, content, name)

        self._do(name, work)

    def append(self, name: str, content: bytes) -> None:
        """Add to a file that is there; durable. After a cut from the same offset again."""
        path = self._path(name)
        base: list[int] = []

        def work(session: Session) -> None:
            only_files(look(session, path), name)
            self._place.check()
            handle = session.open(path, protocol.WRITING)
            with closing(session, handle):
                size = session.fstat(handle).size or 0
                if not base:
                    base.append(size)
                if size < base[0]:
                    raise Unavailable(f"文件 {shown(name)} 变短了", remedy="将自动重新读取")
                self._fill(session, handle, base[0], content, name)

        self._do(name, work)

    def write(self, name: str, content: bytes, further: Iterable[bytes] = ()) -> None:
        """Put a file in place whole; where the server's rename cannot replace, by way of a spare name."""
        if self._replaces():
            super().write(name, content, further)
            return
        self._spared(name)
        self.begin(beside(name), content)
        for piece in further:
            self.append(beside(name), piece)
        self.remove(_spare(name))
        self.rename(beside(name), _spare(name))
        self.remove(name)
        self.rename(_spare(name), name)

    def rename(self, name: str, to: str, *, into: Self | None = None) -> None:
        """Give a file its name; never asked for twice.

        Raises:
            Unavailable: The answer was lost: nobody knows whether it happened.
        """
        path, target = self._path(name), (into or self)._path(to)  # noqa: SLF001 - the same class

        def work(session: Session) -> None:
            self._place.check()
            session.rename(path, target)

        self._do(name, work, again=False)

    def hidden(self, prefix: str) -> list[str]:
        """The hidden names that begin so."""
        names = (self._text(raw) for raw, _ in self._names())
        return [name for name in names if name is not None and name.startswith(f".{prefix}")]

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no matter."""
        path = self._path(name)

        def work(session: Session) -> None:
            self._place.check()
            removed(session, path)

        self._do(name, work)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the directory by a lease; see :mod:`adapters.files.transports.lease` for what that promises."""
        held = self.folder(f"{name}.held")
        with self._place.inside(Lease(_Leases(held), self._place.lease, self._shown())):
            yield

    def clock(self) -> float:
        """The server's clock, seen once by the time of a file that is made; ours, where none can be made."""
        if self._place.offset is None:
            try:
                self._place.offset = self._difference()
            except (Refused, Misconfigured):
                self._place.offset = 0.0
        return time.time() + self._place.offset

    def upload(self, name: str, file: BinaryIO) -> str:
        """Bring a local file here under a hidden name, from the offset that is already here; its SHA-256."""
        path = self._path(name)
        source = HashedFile(file)
        reached, tries, resumed = 0, 0, False
        while True:
            before = reached
            try:
                with self._place.session() as session:
                    handle, start = self._taken_up(session, path, name, source.size)
                    resumed = resumed or start > 0
                    with closing(session, handle):
                        writer = session.writer(handle, start)
                        try:
                            for piece in source.pieces(start):
                                writer.write(piece)
                                reached = max(reached, writer.acknowledged)
                            writer.flush()
                        except Answered as error:
                            writer.drain()
                            raise self._full(session, error, name) from error
                        session.set_mode(handle, FILE_MODE)
                        session.fsync(handle)
                        if session.fstat(handle).size != source.size:
                            raise Unavailable(f"文件 {shown(name)} 传送后大小不符", remedy="将自动重传")
                break
            except Answered as error:
                raise status_error(error, name) from error
            except Lost as error:
                tries = 1 if reached > before else tries + 1
                self._again(error, tries, name)
        if resumed:
            self._prove(name, source.hexdigest())
        return source.hexdigest()

    def within(self, name: str) -> Self | None:
        """A directory inside this one, if it is one."""
        path = self._path(name)
        about = self._do(name, lambda session: look(session, path))
        return type(self)(self._place, path) if about is not None and about.is_folder else None

    def visit(self, names: Sequence[str], use: Visitor[Seen], *, folder: str = "") -> list[Seen | AdapterError]:
        """Use many files: small ones are asked for together, and on several connections."""
        where = self.within(folder) if folder else self
        if where is None:
            return [translated(OSError(errno.ENOENT, ""), folder) for _ in names]
        wanted = list(enumerate(names))
        groups = [wanted[start : start + TOGETHER] for start in range(0, len(wanted), TOGETHER)]
        with ThreadPoolExecutor(self._threads) as threads:
            return [each for group in threads.map(lambda group: where._gathered(group, use), groups) for each in group]  # noqa: SLF001

    def _gathered(self, names: Sequence[tuple[int, str]], use: Visitor[Seen]) -> list[Seen | AdapterError]:
        paths: dict[int, bytes] = {}
        found: dict[int, Seen | AdapterError] = {}
        for number, name in names:
            try:
                paths[number] = self._path(name)
            except AdapterError as error:
                found[number] = error
        told = self._do(self._shown(), lambda session: session.gather(list(paths.values()), SMALL))
        named = dict(names)
        for number, (about, content) in zip(paths, told, strict=True):
            try:
                if content is None:
                    only_files(about, named[number])
            except AdapterError as error:
                found[number] = error
                continue
            pieces = self.chunks(named[number]) if content is None else _pieces(content)
            known = about or Attributes()
            entry = Entry(named[number], known.size or 0, float(known.modified or 0))
            found[number] = use(number, entry, pieces)
        return [found[number] for number, _ in names]

    def fill(self, files: Iterable[tuple[str, int, Opened]]) -> list[Malformed | None]:
        """Make many files: small ones are sent together, and on several connections."""
        found: list[Malformed | None] = []
        group: list[tuple[str, bytes]] = []
        waiting: deque[Future[None]] = deque()
        with ThreadPoolExecutor(self._threads) as threads:

            def send() -> None:
                while len(waiting) >= 2 * self._threads:
                    waiting.popleft().result()
                if group:
                    waiting.append(threads.submit(self._scattered, list(group)))
                group.clear()

            for name, size, opened in files:
                try:
                    if size > SMALL:
                        self._poured(name, opened)
                    else:
                        group.append((name, b"".join(opened())))
                    found.append(None)
                except Malformed as error:
                    found.append(error)
                if len(group) == TOGETHER:
                    send()
            send()
            for each in waiting:
                each.result()
        return found

    def _scattered(self, files: Sequence[tuple[str, bytes]]) -> None:
        paths = [(self._path(name), content) for name, content in files]
        try:
            with self._place.session() as session:
                try:
                    session.scatter(paths, FILE_MODE)
                except Answered as error:
                    raise self._full(session, error, files[0][0]) from error
        except Lost:
            # What was made of them is made anew, one by one.
            for name, content in files:
                self.begin(name, content)

    def _poured(self, name: str, opened: Opened) -> None:
        """A large file, after a cut from what is already here."""
        path, tries, reached = self._path(name), 0, 0
        start = 0
        while True:
            before = reached
            try:
                with self._place.session() as session:
                    if reached:
                        handle = session.open(path, protocol.WRITING)
                        start = min(reached, session.fstat(handle).size or 0)
                    else:
                        handle, start = self._made(session, path, name), 0
                    with closing(session, handle):
                        writer = session.writer(handle, start)
                        try:
                            for piece in _after(opened(), start):
                                writer.write(piece)
                                reached = max(reached, writer.acknowledged)
                            writer.flush()
                        except Answered as error:
                            writer.drain()
                            raise self._full(session, error, name) from error
                        except Malformed:
                            writer.drain()
                            removed(session, path)
                            raise
                        session.set_mode(handle, FILE_MODE)
                        session.fsync(handle)
            except Answered as error:
                raise status_error(error, name) from error
            except Lost as error:
                tries = 1 if reached > before else tries + 1
                self._again(error, tries, name)
            else:
                return

    def rename_all(self, names: Iterable[tuple[str, str]], *, into: Self) -> int:
        """Rename many files, many at a time."""
        pairs = [(self._path(name), into._path(to)) for name, to in names]
        moved = 0
        for start in range(0, len(pairs), TOGETHER):
            group = pairs[start : start + TOGETHER]
            moved += self._do(self._shown(), partial(_renamed, group=group, place=self._place), again=False)
        return moved

    def remove_all(self, names: Iterable[str]) -> None:
        """Remove many files, many at a time."""
        paths = [self._path(name) for name in names]
        for start in range(0, len(paths), TOGETHER):
            self._do(self._shown(), partial(_dropped, group=paths[start : start + TOGETHER], place=self._place))

    def remove_folder(self, name: str, *, whole: bool = False) -> None:
        """Remove a directory."""
        folder = self.within(name)
        if folder is None:
            return
        if whole:
            folder.remove_all([each for raw, _ in folder._names() if (each := folder._text(raw)) is not None])  # noqa: SLF001
        path = self._path(name)

        def work(session: Session) -> None:
            self._place.check()
            # One that is not empty is left, and one that is gone already is no matter.
            with contextlib.suppress(Answered):
                session.remove_folder(path)

        self._do(name, work)

    @property
    def _threads(self) -> int:
        """As many as there are connections, but for one."""
        return max(1, min(AT_ONCE, self._place.login.connections - 1))

    def probes(self) -> list[Probe]:
        """Host key, login, list, rights and rename, clock, free space: each as far as the one before it allows."""
        found: list[Probe] = []
        steps: list[tuple[str, Callable[[], tuple[bool, str, str]]]] = [
            ("主机密钥", lambda: (True, recognised(self._place.login), "")),
            ("登录", self._probe_login),
            ("列出目录", lambda: (True, f"{self._shown()} 内有 {sum(1 for _ in self._names())} 个名称", "")),
            ("写入和改名", self._probe_renaming),
            ("时钟", self._probe_clock),
            ("可用空间", self._probe_space),
        ]
        for name, step in steps:
            try:
                passed, detail, remedy = step()
            except AdapterError as error:
                return [*found, Probe(name, passed=False, detail=error.message, remedy=error.remedy)]
            found.append(Probe(name, passed=passed, detail=detail, remedy=remedy))
        return found

    def readable(self) -> bool:
        """Whether the directory is there and may be listed."""
        try:
            next(self._names(), None)
        except (Refused, Misconfigured):
            return False
        return True

    def writable(self) -> bool:
        """Whether files may be made here: one is made, and removed."""
        try:
            self._difference()
        except (Refused, Misconfigured):
            return False
        return True

    def _probe_login(self) -> tuple[bool, str, str]:
        offered = self._do("登录", lambda session: session.extensions)
        return True, f"用户 {self._place.login.user}，服务器提供 {len(offered)} 项扩展", ""

    def _probe_renaming(self) -> tuple[bool, str, str]:
        renaming_probe(self)
        offered = self._do("扩展", lambda session: session.extensions)
        lacks = [name for name in (protocol.RENAMES, protocol.FSYNC) if name not in offered]
        if not lacks:
            return True, "写入、落盘、改名替换、读回和删除都可用", ""
        return (
            True,
            f"可用，但服务器不提供 {'、'.join(lacks)}：断电或中断时的保证较弱",
            "有条件时改用 OpenSSH 的 SFTP 服务",
        )

    def _probe_clock(self) -> tuple[bool, str, str]:
        difference = self._difference()
        remedy = "" if abs(difference) <= DRIFT else "请提供方校准服务器时钟"
        return not remedy, f"服务器与本机相差 {difference:+.0f} 秒", remedy

    def _probe_space(self) -> tuple[bool, str, str]:
        space = self._do(self._shown(), lambda session: session.space(self._root))
        if space is None:
            return True, "服务器不告知", ""
        remedy = "" if space.free >= SCANT else "请提供方清出空间"
        return not remedy, f"{space.free >> 20} MB", remedy

    def _difference(self) -> float:
        """By how many seconds the server's clock is ahead of ours."""
        # Always the same: what somebody left who died over it goes with the next look.
        name = ".shutong-clock"
        path = self._path(name)

        def work(session: Session) -> float:
            handle = self._made_among_others(session, path, name)
            begun = time.time()
            with closing(session, handle):
                self._fill(session, handle, 0, b"1", name)
                # Whole seconds are told: on average half of one has gone.
                modified = (session.fstat(handle).modified or begun) + 0.5
            found = modified - (begun + time.time()) / 2
            removed(session, path)
            return 0.0 if abs(found) < 1 else found

        return self._do(name, work)

    def _names(self) -> Iterator[tuple[bytes, Attributes]]:
        tries = 0
        while True:
            told = False
            try:
                with self._place.session() as session, contextlib.closing(session.entries(self._root)) as found:
                    for raw, about in found:
                        if raw not in (b".", b".."):
                            told = True
                            yield raw, about
            except Answered as error:
                raise status_error(error, self._shown()) from error
            except Lost as error:
                tries += 1
                # Names that were told cannot be told again.
                self._again(error, ATTEMPTS if told else tries, self._shown())
            else:
                return

    def _made(self, session: Session, path: bytes, name: str) -> bytes:
        """Make a file that was not there; one that was goes, a link is refused."""
        about = look(session, path)
        self._place.check()
        if about is not None:
            only_files(about, name)
            removed(session, path)
        return session.open(path, protocol.WRITING | protocol.CREATE | protocol.EXCLUSIVE, FILE_MODE)

    def _made_among_others(self, session: Session, path: bytes, name: str) -> bytes:
        """The same of a name that others of ours may be making at the same moment."""
        for _ in range(4):
            with contextlib.suppress(Answered):
                return self._made(session, path, name)
            time.sleep(0.05 * secrets.randbelow(4))
        return self._made(session, path, name)

    def _taken_up(self, session: Session, path: bytes, name: str, size: int) -> tuple[bytes, int]:
        """Open what is already here of a file of a size, or make it anew; the handle, and where to go on."""
        found = look(session, path)
        if found is None or (found.size or 0) > size:
            return self._made(session, path, name), 0
        only_files(found, name)
        self._place.check()
        return session.open(path, protocol.WRITING), found.size or 0

    def _fill(self, session: Session, handle: bytes, start: int, content: bytes, name: str) -> None:
        writer = session.writer(handle, start)
        try:
            # The server's mask has taken from what the opening asked for.
            session.set_mode(handle, FILE_MODE)
            writer.write(content)
            writer.flush()
            session.fsync(handle)
        except Answered as error:
            writer.drain()
            raise self._full(session, error, name) from error

    def _full(self, session: Session, error: Answered, name: str) -> AdapterError:
        """A write that failed: servers say that it failed, and not why."""
        if error.code == protocol.FAILURE:
            with contextlib.suppress(Answered):
                space = session.space(self._root)
                if space is not None and space.free < CHUNK:
                    return translated(OSError(errno.ENOSPC, ""), name)
            return Unavailable(f"{shown(name)} 写不进服务器", remedy="请提供方检查磁盘空间和此用户的配额")
        return status_error(error, name)

    def _prove(self, name: str, digest: str) -> None:
        found = hashlib.sha256()
        for piece in self.chunks(name):
            found.update(piece)
        if found.hexdigest() != digest:
            self.remove(name)
            raise Malformed(f"续传的文件 {shown(name)} 与本地不符，已删除", remedy="将从头重传")

    def _replaces(self) -> bool:
        return self._do(self._shown(), lambda session: protocol.RENAMES in session.extensions)

    def _spared(self, name: str) -> bool:
        """Finish a replacement that was left between its two renames; whether there was one to finish."""
        if self._replaces():
            return False
        path, spare = self._path(name), self._path(_spare(name))

        def work(session: Session) -> bool:
            if look(session, path) is not None or look(session, spare) is None:
                return False
            session.rename(spare, path)
            return True

        return self._do(name, work, again=False)

    def _do(self, name: str, work: Callable[[Session], Found], *, again: bool = True) -> Found:
        tries = 0
        while True:
            try:
                with self._place.session() as session:
                    return work(session)
            except Answered as error:
                raise status_error(error, name) from error
            except Lost as error:
                tries += 1
                if not again and not isinstance(error, Away):
                    raise Unavailable(
                        f"{shown(name)} 改名时连接中断，没有收到答复", remedy="将自动核对是否已改名再继续"
                    ) from error
                self._again(error, tries, name)

    def _again(self, error: Lost, tries: int, name: str) -> None:
        """Wait before another try, or give up."""
        address = self._place.login.address
        if isinstance(error, Overdue):
            raise Unavailable(
                f"{shown(name)} 超过 {self._place.total:g} 秒没有传完", remedy="检查线路，或调大 total"
            ) from error
        if tries >= ATTEMPTS and isinstance(error, Away):
            raise error.told from error
        if tries >= ATTEMPTS:
            raise Unavailable(
                f"与 {address} 的连接中断（{shown(name)}）", remedy="稍后再试；检查网络和对方服务器"
            ) from error
        time.sleep(PAUSE * 2 ** (tries - 1))

    def _text(self, raw: bytes) -> str | None:
        """A name as text; None where it is none, or would not lead back to the same bytes."""
        try:
            name = raw.decode(self._place.names)
            return name if name.encode(self._place.names) == raw else None
        except UnicodeError:
            return None

    def _path(self, name: str) -> bytes:
        try:
            raw = plain(name).encode(self._place.names)
        except UnicodeEncodeError as error:
            raise Misconfigured(
                f"文件名 {shown(name)} 不能以 {self._place.names} 写出", remedy="改用其他名称"
            ) from error
        if len(raw) > LONGEST_NAME:
            raise translated(OSError(errno.ENAMETOOLONG, ""), shown(name))
        return self._root.rstrip(b"/") + b"/" + raw

    def _shown(self) -> str:
        return f"sftp://{self._place.login.address}{shown(self._root.decode(self._place.names, 'replace'))}"


class _Leases(Folder):
    """The files of a lock, in a directory of their own."""

    def __init__(self, directory: SftpDirectory) -> None:
        self._directory = directory

    def names(self) -> list[str]:
        return [entry.name for entry in self._directory.entries("*")]

    def content(self, name: str) -> bytes | None:
        # What is no holder's file may be of any size; that it changes is all that matters.
        pieces = self._directory.chunks(name)
        try:
            return next(pieces, b"")[:_BEAT]
        except Misconfigured:
            return None

    def make(self, name: str, content: bytes) -> None:
        self._directory.begin(name, content)

    def change(self, name: str, content: bytes) -> None:
        path = self._directory._path(name)  # noqa: SLF001 - its other half

        def work(session: Session) -> None:
            handle = session.open(path, protocol.WRITING)
            with closing(session, handle):
                writer = session.writer(handle, 0)
                writer.write(content)
                writer.flush()

        self._directory._do(name, work)  # noqa: SLF001

    def drop(self, name: str) -> None:
        self._directory.remove(name)


def _renamed(session: Session, group: Sequence[tuple[bytes, bytes]], place: Place) -> int:
    place.check()
    return session.rename_all(group)


def _dropped(session: Session, group: Sequence[bytes], place: Place) -> int:
    place.check()
    return session.remove_all(group)


def _pieces(content: bytes) -> Iterator[bytes]:
    if content:
        yield content


def _after(pieces: Iterator[bytes], start: int) -> Iterator[bytes]:
    """The bytes from an offset on."""
    for piece in pieces:
        if start < len(piece):
            yield piece[start:]
        start = max(0, start - len(piece))


def _spare(name: str) -> str:
    return f".{name}.next"
