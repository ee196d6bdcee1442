"""What all tests share: private database servers, a clean environment and a closed network."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.compiled import compiled_once
from tests.support.openssh import OpenSSHServer
from tests.support.rabbitmq import RabbitMQServer
from tests.support.servers import MariaDBServer, PostgreSQLServer, Server
from tests.support.spreading import Spreading

ROOT = Path(__file__).resolve().parent.parent

# How long a case takes says nothing on a machine that others work on.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


def pytest_configure() -> None:
    """Hear Ctrl-C in the background too, where shells have it ignored: processes that tests start inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the long run what ``long_with`` names: it comes before those marked are chosen from."""
    for item in items:
        for mark in item.iter_markers("long_with"):
            assert isinstance(item, pytest.Function)
            if any(value in mark.args for value in item.callspec.params.values()):
                item.add_marker(pytest.mark.long)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spreading | None:
    """Keep together what shares something slow, where files are what is spread."""
    return Spreading(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have to tell even where nothing failed: a seed, so that a case can be repeated."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "told" and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid}: {value}")


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """Hide the settings of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SHUTONG_")]:
            patch.delenv(name)
        # Tests that run side by side are told a width that is nobody's terminal.
        for name in ("COLUMNS", "LINES"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Fail every test that reaches for another machine, or listens for one."""

    def refuse_strangers(host: Any) -> None:
        if isinstance(host, bytes):
            host = host.decode()
        if host in ("localhost", None):
            return
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            pytest.fail(f"a test reached for {host!r}: only the loopback addresses are open to tests")

    def guard(original: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(self: socket.socket, *arguments: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                refuse_strangers(arguments[-1][0])
            return original(self, *arguments)

        return guarded

    resolve = socket.getaddrinfo

    def guarded_resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        refuse_strangers(host)
        return resolve(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "bind", "sendto"):
            patch.setattr(socket.socket, name, guard(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", guarded_resolve)
        yield


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Spare each of the tests' hubs from compiling what thousands before it have."""
    with compiled_once():
        yield


def _running(server: Any, session: pytest.Session) -> Iterator[Any]:
    try:
        server.start()
    except FileNotFoundError as error:
        pytest.fail(str(error))
    failed_before = session.testsfailed
    yield server
    logs = ROOT / ".pytest_cache" / "servers"
    server.stop(keep_log_in=logs if session.testsfailed > failed_before else None)


@pytest.fixture(scope="session")
def postgresql_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A private PostgreSQL, started when first asked for."""
    yield from _running(PostgreSQLServer(), request.session)


@pytest.fixture(scope="session")
def mariadb_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A private MariaDB, started when first asked for."""
    yield from _running(MariaDBServer(), request.session)


@pytest.fixture(scope="session")
def openssh_server(request: pytest.FixtureRequest) -> Iterator[OpenSSHServer]:
    """A private OpenSSH, started when first asked for."""
    yield from _running(OpenSSHServer(), request.session)


@pytest.fixture(scope="session")
def rabbitmq_server(request: pytest.FixtureRequest) -> Iterator[RabbitMQServer]:
    """A private RabbitMQ, started when first asked for; it may be stopped by whoever brings it back."""
    yield from _running(RabbitMQServer(), request.session)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh, empty database, on each of the three products in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'front.db'}"
        return
    server: Server = request.getfixturevalue(f"{request.param}_server")
    url = server.new_database()
    yield url
    server.drop_database(url)
