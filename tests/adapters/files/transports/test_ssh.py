from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from pydantic import SecretStr

from adapters.errors import AdapterError, Misconfigured, Refused, Unavailable
from adapters.files.transports import ssh
from adapters.files.transports.protocol import Lost
from adapters.files.transports.ssh import Away, Pool, connect, fingerprint, known_keys, pool_of, recognised
from tests.adapters.files.transports.conftest import Remote
from tests.support.openssh import OpenSSHServer
from tests.support.packages import SSH_KEYGEN

OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPAUpVUjTIyaw5q8nJEYCg+vUzDh3v3T3HQDgHXJqSO"


def _keygen(*words: str) -> str:
    import subprocess

    return subprocess.run([str(SSH_KEYGEN.path()), *words], capture_output=True, text=True, check=True).stdout


def test_who_is_known_is_connected_to(remote: Remote) -> None:
    connection = connect(remote.login())
    assert connection.alive()
    assert connection.session.real_path(os.fsencode(remote.root)) == os.fsencode(remote.root)
    connection.close()
    assert not connection.alive()
    with pytest.raises(Lost):
        connection.session.real_path(b".")


def test_a_fingerprint_is_told_as_others_tell_it(remote: Remote) -> None:
    shown = _keygen("-lf", str(remote.server.folder / "host.pub")).split()[1]
    assert recognised(remote.login()) == f"ssh-ed25519 {shown}"


def test_a_changed_host_key_is_refused_with_both_fingerprints() -> None:
    with OpenSSHServer() as server:
        remote = Remote(server, server.new_folder())
        login = remote.login()
        before = recognised(login).split()[1]
        server.change_host_key()
        with pytest.raises(Refused, match="主机密钥变了") as caught:
            connect(login)
        assert before in caught.value.message
        after = recognised(remote.login()).split()[1]
        assert after in caught.value.message
        assert after != before
        [probe] = remote.open(host_key=login.host_key).probes()
        assert (probe.name, probe.passed) == ("主机密钥", False)


def test_an_unknown_host_key_is_refused_and_not_remembered(remote: Remote, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"another.example {OTHER}\n")
    for _ in range(2):
        with pytest.raises(Refused, match=r"没有登记.*SHA256:"):
            connect(remote.login(host_key=None, known_hosts=file))
    assert file.read_text() == f"another.example {OTHER}\n"


def test_nothing_is_sent_to_a_server_that_is_not_known(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*_: object) -> None:
        pytest.fail("a secret went to a server that is not known")

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", told)
    monkeypatch.setattr(paramiko.Transport, "auth_password", told)
    with pytest.raises(Refused, match="变了"):
        connect(remote.login(host_key=OTHER, password=SecretStr("x")))


def test_a_file_of_known_hosts(remote: Remote, tmp_path: Path) -> None:
    server = remote.server
    file = tmp_path / "known_hosts"
    name = f"[{server.host}]:{server.port}"

    def known(text: str) -> list[str]:
        file.write_text(text)
        return [fingerprint(key.asbytes()) for key in known_keys(remote.login(host_key=None, known_hosts=file))]

    one = [recognised(remote.login()).split()[1]]
    assert known(f"# a comment\n\n{name},other {server.host_key}\n") == one
    assert known(f"{name} {OTHER}\n{name} {server.host_key}\nbroken line\n{name} ssh-ed25519 AAA\n")[1:] == one
    assert connect(remote.login(host_key=None, known_hosts=file)).alive()
    assert known(f"{server.host} {server.host_key}\n") == []
    assert known(f"@cert-authority {name} {server.host_key}\n") == []
    assert known(f"{name} {server.host_key}\n@revoked {name} {server.host_key}\n") == []
    file.write_text(f"{name} {server.host_key}\n")
    _keygen("-H", "-f", str(file))
    assert server.host not in file.read_text()
    assert known(file.read_text()) == one
    with pytest.raises(Misconfigured, match="打不开"):
        known_keys(remote.login(host_key=None, known_hosts=tmp_path / "none"))


@pytest.mark.parametrize("key", ["", " \n", "nonsense", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!"])
def test_a_host_key_that_is_none(remote: Remote, key: str) -> None:
    with pytest.raises(Misconfigured, match="host_key"):
        known_keys(remote.login(host_key=key))
    with pytest.raises(Misconfigured, match="主机密钥"):
        known_keys(remote.login(host_key=None))


def test_a_key_that_is_not_let_in(remote: Remote, tmp_path: Path) -> None:
    _keygen("-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "stranger"))
    text = (tmp_path / "stranger").read_text()
    with pytest.raises(Refused, match=r"不接受用户 .* 的密钥") as caught:
        connect(remote.login(key=SecretStr(text)))
    assert not any(row in f"{caught.value} {caught.value.__cause__}" for row in text.splitlines())
    with pytest.raises(Refused, match="的口令"):
        connect(remote.login(key=None, password=SecretStr("s3cret-word")))
    with pytest.raises(Refused, match="密钥、口令"):
        connect(remote.login(key=SecretStr(text), password=SecretStr("s3cret-word")))
    probes = remote.open(key=SecretStr(text)).probes()
    assert [(probe.name, probe.passed) for probe in probes] == [("主机密钥", True), ("登录", False)]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_kinds_of_keys_and_their_passphrases(remote: Remote, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "id"
    _keygen("-q", "-t", kind, "-N", "open sesame", "-f", str(file))
    allowed = remote.server.folder / "authorized"
    before = allowed.read_text()
    try:
        allowed.write_text(before + (tmp_path / "id.pub").read_text())
        key = SecretStr(file.read_text().removesuffix("\n"))
        assert connect(remote.login(key=key, passphrase=SecretStr("open sesame"))).alive()
    finally:
        allowed.write_text(before)
    with pytest.raises(Misconfigured, match="passphrase"):
        connect(remote.login(key=key))
    with pytest.raises(Misconfigured) as caught:
        connect(remote.login(key=key, passphrase=SecretStr("wrong word")))
    assert "wrong word" not in f"{caught.value} {caught.value.remedy}"
    assert caught.value.__cause__ is None
    with pytest.raises(Misconfigured, match="私钥"):
        connect(remote.login(key=SecretStr("no key at all")))
    with pytest.raises(Misconfigured, match="没有登记密钥或口令"):
        connect(remote.login(key=None))


class _Passwords(paramiko.ServerInterface):
    """A server that asks for a password; one that runs without rights cannot check one itself."""

    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == ("dept", "口令 right")
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


@pytest.fixture
def password_server() -> Iterator[tuple[int, str]]:
    """Port and host key; it has no SFTP."""
    key = paramiko.ECDSAKey.generate()
    listening = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                plug, _ = listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(plug)
            transports.append(transport)
            transport.add_server_key(key)
            transport.start_server(event=threading.Event(), server=_Passwords())

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1], f"{key.get_name()} {key.get_base64()}"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for transport in transports:
        transport.close()


def test_a_password(remote: Remote, password_server: tuple[int, str]) -> None:
    port, host_key = password_server
    given = {"port": port, "host_key": host_key, "user": "dept"}
    with pytest.raises(Refused, match="没有开放 SFTP"):
        connect(remote.login(**given, key=None, password=SecretStr("口令 right")))
    with pytest.raises(Refused, match="没有开放 SFTP"):
        connect(remote.login(**given, password=SecretStr("口令 right")))
    with pytest.raises(Refused, match="不接受"):
        connect(remote.login(**given, key=None, password=SecretStr("wrong")))


def test_a_server_that_is_away(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="握手"):
            connect(remote.login(port=port, connect=0.5))
        assert time.monotonic() - begun < 5
    with pytest.raises(Unavailable, match="连不上"):
        connect(remote.login(port=port))
    with pytest.raises(Away) as caught, Pool(remote.login(port=port)).connection():
        pass
    assert "连不上" in caught.value.told.message
    # The library writes whole tracebacks to its log, which nobody asked for.
    assert caplog.records == []


def test_connections_are_used_again_up_to_a_limit(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(remote.login(connections=2, connect=1.0))
    with pool.connection() as one, pool.connection() as two:
        assert one is not two
        with pytest.raises(Unavailable, match="2 个连接"), pool.connection():
            pass
    with pool.connection() as again:
        assert again in (one, two)
    monkeypatch.setattr(ssh, "FRESH", -1.0)
    with pool.connection() as asked:
        assert asked in (one, two)
    one.close()
    two.close()
    with pool.connection() as other:
        assert other not in (one, two)
    with pytest.raises(Lost), pool.connection():
        raise Lost
    assert not other.alive()
    with pytest.raises(Refused), pool.connection() as kept:
        raise Refused("x")
    with pool.connection() as still:
        assert still is kept
    pool.close()
    assert not still.alive()


def test_unused_connections_are_closed(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "IDLE", 0.2)
    pool = Pool(remote.login())
    with pool.connection() as one:
        pass
    deadline = time.monotonic() + 10
    while one.alive():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pool.connection() as other:
        assert other is not one


def test_one_pool_for_one_login(remote: Remote) -> None:
    assert pool_of(remote.login()) is pool_of(remote.login())
    assert pool_of(remote.login()) is not pool_of(remote.login(connections=3))


def test_no_error_of_the_library_goes_unseen() -> None:
    """All of its own that a connection can meet are of the two kinds that are translated."""
    own = [each for each in vars(paramiko.ssh_exception).values() if isinstance(each, type)]
    errors = [each for each in own if issubclass(each, Exception)]
    assert len(errors) > 8
    assert [each.__name__ for each in errors if not issubclass(each, (paramiko.SSHException, OSError))] == []


def test_errors_are_of_the_port() -> None:
    assert issubclass(Away, Lost)
    assert not issubclass(Lost, AdapterError)


@contextlib.contextmanager
def _speaking(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does what it likes with whoever comes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        plugs: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plug, _ = listening.accept()
                    plugs.append(plug)
                    threading.Thread(target=run, args=(plug,), daemon=True).start()

        def run(plug: socket.socket) -> None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                speak(plug)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            for plug in plugs:
                plug.close()


def _endless_banner(plug: socket.socket) -> None:
    while True:
        plug.sendall(b"x" * 1000)


def _endless_lines(plug: socket.socket) -> None:
    while True:
        plug.sendall(b"hello\r\n")
        time.sleep(0.01)


def _slow_banner(plug: socket.socket) -> None:
    for each in b"SSH-2.0-" + b"x" * 10_000:
        plug.sendall(bytes([each]))
        time.sleep(0.2)


def _no_keys(plug: socket.socket) -> None:
    plug.sendall(b"SSH-2.0-x\r\n")
    plug.recv(1 << 20)
    time.sleep(60)


@pytest.mark.parametrize(
    "speak", [lambda plug: time.sleep(60), _endless_banner, _endless_lines, _slow_banner, _no_keys]
)
def test_a_greeting_without_end(remote: Remote, speak: Callable[[socket.socket], None]) -> None:
    with _speaking(speak) as port:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="没有完成 SSH 握手"):
            connect(remote.login(port=port, connect=1.0))
        assert time.monotonic() - begun < 5
    _until_ended()


class _Stalling(paramiko.ServerInterface):
    """Lets everybody in, and then does as it is told."""

    def __init__(self, after: str) -> None:
        self.after = after

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self.after == "login":
            time.sleep(60)
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self.after == "channel":
            time.sleep(60)
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        if self.after == "subsystem":
            time.sleep(60)
        if self.after == "slow":
            threading.Thread(target=self._drip, args=(channel,), daemon=True).start()
        return True

    def _drip(self, channel: paramiko.Channel) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            for each in (1 << 20).to_bytes(4, "big") + bytes(1 << 20):
                channel.send(bytes([each]))
                time.sleep(0.1)


@pytest.mark.parametrize("after", ["login", "channel", "subsystem", "greeting", "slow"])
def test_a_server_that_stalls(remote: Remote, after: str) -> None:
    key = paramiko.RSAKey.generate(2048)

    def speak(plug: socket.socket) -> None:
        transport = paramiko.Transport(plug)
        transport.add_server_key(key)
        transport.start_server(server=_Stalling(after))
        time.sleep(60)

    with _speaking(speak) as port:
        host_key = f"ssh-rsa {key.get_base64()}"
        begun = time.monotonic()
        caught: list[AdapterError] = []

        def work() -> None:
            with pytest.raises((Unavailable, Refused)) as told:
                connect(remote.login(port=port, host_key=host_key, connect=1.5, idle=20.0))
            caught.append(told.value)

        # On a thread that nobody waits for: what hangs must fail and not hang the test.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(10)
        assert caught
        assert time.monotonic() - begun < 8


def _until_ended() -> None:
    deadline = time.monotonic() + 10
    while any(isinstance(each, paramiko.Transport) and each.sock.fileno() < 0 for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
