"""Connections by SSH: who the server is, who we are, and how many at once. The only module that knows paramiko."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import io
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from pydantic import SecretStr

from adapters.errors import AdapterError, Misconfigured, Refused, Unavailable
from adapters.files.transports.protocol import Answered, Lost, Overdue, Session, Silent

WINDOW = 8 << 20
"""Bytes the server may send before we have taken them: more than is ever asked for ahead."""
PACKET = 256 << 10
"""Bytes of one packet towards us; fewer packets cost less."""
IDLE = 60.0
"""Seconds after which a connection that nobody uses is closed."""
FRESH = 5.0
"""Seconds for which an unused connection is taken to be alive without asking."""
REKEY = 8 << 30
"""Bytes after which keys are changed: far below what the ciphers used here allow."""

LOG = "shutong.ssh"
# What the library would say is told by the errors here, and without what the other side may have sent.
logging.getLogger(LOG).setLevel(logging.CRITICAL + 1)

# First what needs one pass over the data; what is broken or slow is not offered at all.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_DIGESTS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
_UNREADABLE = (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError, binascii.Error)
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


@dataclass(frozen=True)
class Login:
    """A server and an account on it.

    Attributes:
        host: Name or address.
        port: TCP port.
        user: The account.
        host_key: Public keys of the server, one a line (``ssh-ed25519 AAAA…``); only these are trusted.
        known_hosts: A file of them in the form of OpenSSH, in the place of ``host_key``.
        key: Our private key, its text.
        passphrase: What opens the key.
        password: The account's password.
        connections: How many connections at once.
        connect: Seconds until a connection must stand.
        idle: Seconds of silence after which a connection is lost.
        keepalive: Seconds between signs of life.
    """

    host: str
    user: str
    port: int = 22
    host_key: str | None = None
    known_hosts: Path | None = None
    key: SecretStr | None = None
    passphrase: SecretStr | None = None
    password: SecretStr | None = None
    connections: int = 4
    connect: float = 15.0
    idle: float = 60.0
    keepalive: int = 15

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


def fingerprint(key: bytes) -> str:
    """The fingerprint (指纹) of a public key, as ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


class Away(Lost):
    """No connection could be made; nothing was asked.

    Args:
        told: Why, in the words of the port.
    """

    def __init__(self, told: Unavailable) -> None:
        super().__init__(told.message)
        self.told = told


class Connection:
    """One connection with one session; closed, it is of no further use."""

    def __init__(self, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        self._transport = transport
        self._channel = channel
        self._deadline: float | None = None
        self.used = time.monotonic()
        self.session = Session(self)

    def limit(self, seconds: float | None) -> None:
        """From now on everything must end within so many seconds."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def send(self, data: bytes) -> int:
        """Send some of the bytes."""
        self._in_time()
        try:
            return int(self._channel.send(data))
        except TimeoutError as error:
            raise Silent("send") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise Lost("send") from error

    def recv(self, size: int) -> bytes:
        """Bytes that have come."""
        self._in_time()
        try:
            return bytes(self._channel.recv(size))
        except TimeoutError as error:
            raise Silent("receive") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise Lost("receive") from error

    def alive(self) -> bool:
        """Whether the server still answers; asked of it only after a while."""
        if not self._transport.is_active() or self._channel.closed:
            return False
        if time.monotonic() - self.used > FRESH:
            try:
                self.session.real_path(b".")
            except Lost:
                return False
        return True

    def close(self) -> None:
        """Close it, without waiting for the other side."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._transport.close()

    def _in_time(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise Overdue("total")


def connect(login: Login) -> Connection:
    """Connect, know the server, be known to it, and open a session.

    Raises:
        Unavailable: The server is away or silent.
        Refused: Its key is not the known one, or it does not want us.
        Misconfigured: A key cannot be read, or there is no such name.
    """
    known = known_keys(login)
    keys = _private_key(login)
    transport = _transport(login, known)
    try:
        _recognise(_greet(transport, login), login, known)
        _authenticate(transport, login, keys)
        with _ended_after(transport, login.connect):
            channel = _channel(transport, login)
            try:
                return Connection(transport, channel)
            except Lost as error:
                raise _without_sftp(transport, login) from error
    except BaseException:
        transport.close()
        raise


@contextlib.contextmanager
def _ended_after(transport: paramiko.Transport, seconds: float) -> Iterator[None]:
    """End a connection that does not come about: the library waits without end for what was asked of a channel."""
    ending = threading.Timer(seconds, transport.close)
    ending.daemon = True
    ending.start()
    try:
        yield
    finally:
        ending.cancel()


def recognised(login: Login) -> str:
    """The fingerprint of the server's key, which is the known one; nobody logs in.

    Raises:
        Unavailable: The server is away or silent.
        Refused: The key is not the known one.
    """
    known = known_keys(login)
    transport = _transport(login, known)
    try:
        shown = _greet(transport, login)
        _recognise(shown, login, known)
        return f"{shown.get_name()} {fingerprint(shown.asbytes())}"
    finally:
        transport.close()


def known_keys(login: Login) -> list[paramiko.PKey]:
    """The public keys that this server may show.

    Raises:
        Misconfigured: There are none to be read.
    """
    if login.host_key is not None:
        lines = [f"* {line.strip()}" for line in login.host_key.splitlines() if line.strip()]
        found = [_public_key(line) for line in lines]
        if not found:
            raise Misconfigured("host_key 是空的", remedy="写入服务器的公钥，例如 ssh-ed25519 AAAA…")
        return found
    if login.known_hosts is None:
        raise Misconfigured("没有登记服务器的主机密钥", remedy="以 host_key 写入公钥，或以 known_hosts 指定文件")
    try:
        text = login.known_hosts.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Misconfigured(
            f"主机密钥文件 {login.known_hosts} 打不开", remedy="核对 known_hosts 的路径和权限"
        ) from error
    name = login.host if login.port == 22 else f"[{login.host}]:{login.port}"
    names = paramiko.HostKeys()
    found, revoked = [], set()
    for raw in text.splitlines():
        line = raw.strip()
        marker, _, rest = line.partition(" ")
        withdrawn = marker == "@revoked"
        # A certificate authority is not a host's own key, and is not trusted here.
        if not line or line.startswith("#") or (line.startswith("@") and not withdrawn):
            continue
        # A line that cannot be read trusts nobody.
        with contextlib.suppress(*_UNREADABLE):
            entry = paramiko.hostkeys.HostKeyEntry.from_line(rest if withdrawn else line)
            if entry is not None and entry.key is not None and names._hostname_matches(name, entry):  # noqa: SLF001 - hashed names
                if withdrawn:
                    revoked.add(entry.key.asbytes())
                else:
                    found.append(entry.key)
    return [key for key in found if key.asbytes() not in revoked]


class Pool:
    """The connections to one login in this process: at most so many, each used by one thread at a time."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._places = threading.Semaphore(login.connections)
        self._guard = threading.Lock()
        self._idle: list[Connection] = []
        self._sweeping = False

    @contextlib.contextmanager
    def connection(self, *, total: float | None = None) -> Iterator[Connection]:
        """A connection for a while; one that was lost meanwhile is closed, any other used again.

        Args:
            total: Seconds after which whatever is going on ends as lost.

        Raises:
            Unavailable: All are in use.
            Away: The server is.
        """
        if not self._places.acquire(timeout=self._login.connect):
            raise Unavailable(
                f"{self._login.address} 的 {self._login.connections} 个连接都在使用",
                remedy="稍后再试，或调大 connections",
            )
        try:
            connection = self._take() or self._new()
            try:
                connection.limit(total)
                yield connection
            except (AdapterError, Answered, GeneratorExit):
                # Refused or left by whoever used it, between two packets.
                self._give(connection)
                raise
            except BaseException:
                connection.close()
                raise
            self._give(connection)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close what nobody uses."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _new(self) -> Connection:
        try:
            return connect(self._login)
        except Unavailable as error:
            raise Away(error) from error

    def _take(self) -> Connection | None:
        while True:
            with self._guard:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            connection.limit(self._login.connect)
            if connection.alive():
                return connection
            connection.close()

    def _give(self, connection: Connection) -> None:
        if connection.session.broken:
            connection.close()
            return
        connection.limit(None)
        connection.used = time.monotonic()
        with self._guard:
            self._idle.append(connection)
            if self._sweeping:
                return
            self._sweeping = True
        threading.Thread(target=self._sweep, name="sftp-idle", daemon=True).start()

    def _sweep(self) -> None:
        while True:
            time.sleep(IDLE / 4)
            now = time.monotonic()
            with self._guard:
                old = [each for each in self._idle if now - each.used > IDLE]
                self._idle = [each for each in self._idle if now - each.used <= IDLE]
                self._sweeping = bool(self._idle)
                ended = not self._sweeping
            for connection in old:
                connection.close()
            if ended:
                return


_pools: dict[tuple[int, Login], Pool] = {}
_pools_guard = threading.Lock()


def pool_of(login: Login) -> Pool:
    """The pool of a login: one in a process, so that the limit holds however often an endpoint is opened."""
    # A child process must not speak on its parent's connections.
    name = (os.getpid(), login)
    with _pools_guard:
        return _pools.setdefault(name, Pool(login))


def _transport(login: Login, known: list[paramiko.PKey]) -> paramiko.Transport:
    try:
        plug = socket.create_connection((login.host, login.port), timeout=login.connect)
    except socket.gaierror as error:
        raise Unavailable(f"找不到主机 {login.host}", remedy="核对 host，或检查域名解析") from error
    except OSError as error:
        raise Unavailable(f"{login.address} 连不上", remedy="检查网络、端口和对方的 SSH 服务") from error
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What was sent and is never confirmed must not hold a run for the quarter of an hour that is usual.
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(login.idle * 1000))
    transport = paramiko.Transport(plug, default_window_size=WINDOW, default_max_packet_size=PACKET)
    transport.set_log_channel(LOG)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = login.connect
    transport.packetizer.REKEY_BYTES = REKEY
    offered = transport.get_security_options()
    offered.ciphers = _CIPHERS
    offered.digests = _DIGESTS
    # The server is asked for a key of a kind that is known, or one that was added later would look like a changed one.
    kinds = {kind for key in known for kind in (_RSA if key.get_name() == "ssh-rsa" else (key.get_name(),))}
    if wanted := [kind for kind in offered.key_types if kind in kinds]:
        offered.key_types = wanted + [kind for kind in offered.key_types if kind not in kinds]
    return transport


def _greet(transport: paramiko.Transport, login: Login) -> paramiko.PKey:
    """The key that the server has shown and proven to hold."""
    try:
        transport.start_client(timeout=login.connect)
        # When the time is over the library says nothing; the question after the key does.
        return transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise Unavailable(
            f"{login.address} 与数通没有共同的加密算法", remedy="请提供方启用 aes128-gcm 或 aes128-ctr 等现行算法"
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise Unavailable(f"{login.address} 没有完成 SSH 握手", remedy="稍后再试；检查对方是否为 SSH 服务") from error


def _recognise(shown: paramiko.PKey, login: Login, known: list[paramiko.PKey]) -> None:
    if any(key.asbytes() == shown.asbytes() for key in known):
        return
    about = f"{shown.get_name()} {fingerprint(shown.asbytes())}"
    if not known:
        raise Refused(
            f"{login.address} 的主机密钥没有登记，出示的是 {about}",
            remedy="经其他途径向提供方核对指纹，相符再登记其公钥（host_key 或 known_hosts）",
        )
    registered = "、".join(f"{key.get_name()} {fingerprint(key.asbytes())}" for key in known)
    raise Refused(
        f"{login.address} 的主机密钥变了：登记的是 {registered}，出示的是 {about}",
        remedy="可能有人冒充服务器。经其他途径向提供方核实是否更换过密钥，确认后再改登记",
    )


def _authenticate(transport: paramiko.Transport, login: Login, key: paramiko.PKey | None) -> None:
    shown = "、".join([*(["密钥"] if key else []), *(["口令"] if login.password else [])])
    try:
        left = ["password"]
        if key is not None:
            try:
                left = transport.auth_publickey(login.user, key)
            except paramiko.AuthenticationException:
                if login.password is None or not transport.is_active():
                    raise
        if left and login.password is not None:
            left = transport.auth_password(login.user, login.password.get_secret_value())
    except paramiko.AuthenticationException as error:
        # The library calls it the same when the way is cut before the server has answered.
        if not transport.is_active():
            raise Unavailable(f"{login.address} 在登录时断开", remedy="稍后再试") from error
        left = ["refused"]
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise Unavailable(f"{login.address} 在登录时断开", remedy="稍后再试") from error
    if left:
        # Raised outside the block: nobody knows what the library's own error holds.
        raise Refused(
            f"{login.address} 不接受用户 {login.user} 的{shown}",
            remedy="核对用户、密钥或口令，并请提供方确认此账户可用",
        )


def _channel(transport: paramiko.Transport, login: Login) -> paramiko.Channel:
    try:
        transport.set_keepalive(login.keepalive)
        channel = transport.open_session(window_size=WINDOW, max_packet_size=PACKET, timeout=login.connect)
        channel.settimeout(login.idle)
        channel.invoke_subsystem("sftp")
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise _without_sftp(transport, login) from error
    return channel


def _without_sftp(transport: paramiko.Transport, login: Login) -> AdapterError:
    if transport.is_active():
        return Refused(f"{login.address} 没有开放 SFTP", remedy="请提供方为此用户开放 SFTP 子系统")
    return Unavailable(f"{login.address} 在登录后断开", remedy="稍后再试")


def _public_key(line: str) -> paramiko.PKey:
    try:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
    except _UNREADABLE:
        entry = None
    if entry is None or entry.key is None:
        raise Misconfigured("host_key 不是公钥", remedy="写成 ssh-ed25519 AAAA… 的形式，每行一个")
    return entry.key


def _private_key(login: Login) -> paramiko.PKey | None:
    if login.key is None:
        if login.password is None:
            raise Misconfigured("没有登记密钥或口令", remedy="以引用写入 key 或 password")
        return None
    text = login.key.get_secret_value()
    password = None if login.passphrase is None else login.passphrase.get_secret_value()
    problem = "key 不是可用的私钥"
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text + "\n"), password=password)
        except paramiko.PasswordRequiredException:
            problem = "key 有口令保护，而没有登记 passphrase"
        except (paramiko.SSHException, ValueError, IndexError, binascii.Error, UnicodeError):
            continue
    # Raised outside the block: the library's own error may quote the key.
    raise Misconfigured(problem, remedy="用 OpenSSH 或 PEM 形式的 Ed25519、ECDSA 或 RSA 私钥，并核对 passphrase")
