"""Private database servers for the tests.

Each runs on a free loopback port, with its data in a temporary folder, as an unprivileged user, and ends
with the test session, however that ends. The machine's own servers are never touched. Both keep the local
time of China, as the departments' front-end databases do, so that a mix-up of zones shows.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psycopg
import pymysql
from sqlalchemy import URL, make_url

from tests.support.packages import INITDB, MARIADB_INSTALL_DB, MARIADBD, MY_PRINT_DEFAULTS, POSTGRES

PATIENCE = 120.0
"""Seconds a server may take until it answers for the first time."""


class Server(ABC):
    """One private server; use as a context manager.

    Attributes:
        host: Always the loopback address.
        port: A port that was free.
        user: The account of the tests; it may do everything.
        password: Its password, made anew for each server.
        log: What the server writes about itself.
    """

    product: str
    farewell: signal.Signals
    """Ends the server at once; nothing that it holds is wanted afterwards."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.user = "shutong"
        self.password = secrets.token_urlsafe(16)
        self.port = 0
        self.folder = Path(tempfile.mkdtemp(prefix=f"shutong-{self.product}-"))
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._sweeper: subprocess.Popen[bytes] | None = None
        self._databases = 0

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the server's command line, for ``self.port``."""

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction, as the server's master."""

    @abstractmethod
    def _url(self, database: str) -> URL:
        """Return the SQLAlchemy URL of a database of this server."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def new_database(self) -> str:
        """Make an empty database and return its SQLAlchemy URL, password included."""
        self._databases += 1
        name = f"d{self._databases:04}"
        self.execute(f"CREATE DATABASE {name}")
        return self._url(name).render_as_string(hide_password=False)

    @abstractmethod
    def drop_database(self, url: str) -> None:
        """Remove a database that ``new_database`` made, whoever still holds it open."""

    def start(self) -> None:
        """Make the server's data and wait until it answers.

        Raises:
            FileNotFoundError: A program is missing; says what to install.
            RuntimeError: The server did not come up; carries the end of its log.
        """
        # Outlives a killed test session by seconds, to leave nothing in the temporary folder.
        self._sweeper = subprocess.Popen(
            ["sh", "-c", 'cat; sleep 5; rm -rf -- "$1"', "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            if os.geteuid() == 0:
                nobody = pwd.getpwnam("nobody")
                os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._prepare()
            self._serve()
        except BaseException:
            self.stop()
            raise

    def _serve(self) -> None:
        for _attempt in range(3):  # somebody may take the port between our look and the server's bind
            self.port = free_port()
            if self._answers(self._begun()):
                return
        message = f"{self.product} did not come up:\n{self.log_tail()}"
        raise RuntimeError(message)

    def _begun(self) -> subprocess.Popen[bytes]:
        """Start its program, on ``self.port``."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._unprivileged(self._command(), self.farewell),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment(),
                start_new_session=True,
            )
        return self._process

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.execute("SELECT 1")
            except (psycopg.OperationalError, pymysql.err.OperationalError):
                time.sleep(0.05)
            else:
                return True
        process.kill()
        process.wait()
        return False

    def stop(self, keep_log_in: Path | None = None) -> None:
        """End the server and remove its data.

        Args:
            keep_log_in: A folder to copy the server's log into first.
        """
        if self._process is not None:
            self._process.send_signal(self.farewell)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if keep_log_in is not None and self.log.exists():
            keep_log_in.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.log, keep_log_in / f"{self.product}.log")
        if self._sweeper is not None:
            self._sweeper.kill()
            self._sweeper.communicate()
            self._sweeper = None
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the server's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _unprivileged(self, command: Sequence[str], farewell: signal.Signals = signal.SIGKILL) -> list[str]:
        wrap = ["setpriv", "--pdeathsig", farewell.name.removeprefix("SIG")]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            wrap += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        return [*wrap, *command]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "Asia/Shanghai"}

    def _prepare_with(self, command: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run(
                self._unprivileged(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment(),
                check=False,
            )
        if done.returncode:
            message = f"{Path(command[0]).name} failed (status {done.returncode}):\n{self.log_tail()}"
            raise RuntimeError(message)

    def _private_file(self, name: str, text: str) -> Path:
        """Write a file that only the server's user may read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        owner = self.folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        return path


class PostgreSQLServer(Server):
    """A private PostgreSQL, UTF8 with the C locale.

    Args:
        durable: Whether commits reach the disk; off by default, as it takes most of the time.
    """

    product = "postgresql"
    farewell = signal.SIGQUIT

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self.durable = durable

    def _prepare(self) -> None:
        password = self._private_file("password", self.password)
        options = ["-U", self.user, "--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C"]
        self._prepare_with([str(INITDB.path()), "-D", str(self.folder / "data"), *options, "--no-sync"])
        password.unlink()

    def _command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "timezone": "Asia/Shanghai",
            "log_timezone": "Asia/Shanghai",
            "max_connections": "200",
            "jit": "off",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(POSTGRES.path()), "-D", str(self.folder / "data"), *options]

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction, as the server's master."""
        url = self._url("postgres").set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def go_away(self) -> None:
        """End the server and every connection to it; its data and its port stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def come_back(self) -> None:
        """Start it again on the same port."""
        if not self._answers(self._begun()):
            message = f"{self.product} did not come back:\n{self.log_tail()}"
            raise RuntimeError(message)

    def drop_database(self, url: str) -> None:
        """Remove a database that ``new_database`` made, whoever still holds it open."""
        self.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _url(self, database: str) -> URL:
        return URL.create("postgresql+psycopg", self.user, self.password, self.host, self.port, database)


class MariaDBServer(Server):
    """A private MariaDB with the character set and collation of Debian's (utf8mb4, case-insensitive)."""

    product = "mariadb"
    farewell = signal.SIGKILL

    def _prepare(self) -> None:
        MY_PRINT_DEFAULTS.path()
        program = MARIADB_INSTALL_DB.path()
        options = ["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"]
        data = f"--datadir={self.folder / 'data'}"
        self._prepare_with([str(program), "--no-defaults", data, *options, "--innodb-log-file-size=32M"])
        account = f"'{self.user}'@'{self.host}'"
        self._private_file(
            "account.sql",
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n",
        )

    def _command(self) -> list[str]:
        settings = {
            "datadir": str(self.folder / "data"),
            "port": str(self.port),
            "bind-address": self.host,
            "socket": str(self.folder / "s"),
            "pid-file": str(self.folder / "pid"),
            "init-file": str(self.folder / "account.sql"),
            "default-time-zone": "+08:00",
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_general_ci",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-flush-method": "nosync",
            "innodb-log-file-size": "32M",
            "max-connections": "200",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(MARIADBD.path()), "--no-defaults", "--skip-name-resolve", *options]

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction, as the server's master."""
        with (
            pymysql.connect(
                host=self.host, port=self.port, user=self.user, password=self.password, connect_timeout=5
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    def drop_database(self, url: str) -> None:
        """Remove a database that ``new_database`` made, whoever still holds it open."""
        name = make_url(url).database
        with (
            pymysql.connect(host=self.host, port=self.port, user=self.user, password=self.password) as connection,
            connection.cursor() as cursor,
        ):
            # An open transaction would hold the DROP back for ever.
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
            for (number,) in cursor.fetchall():
                with contextlib.suppress(pymysql.err.OperationalError):  # it has gone by itself
                    cursor.execute(f"KILL {number}")
            cursor.execute(f"DROP DATABASE {name}")

    def _url(self, database: str) -> URL:
        return URL.create(
            "mariadb+pymysql", self.user, self.password, self.host, self.port, database, {"charset": "utf8mb4"}
        )


def free_port() -> int:
    """Return a loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
