"""A private RabbitMQ for the tests: loopback only, with an epmd of its own, no management plugin."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from urllib.parse import quote

import amqp
from sqlalchemy import URL

from tests.support.packages import EPMD, RABBITMQ_SERVER
from tests.support.servers import Server, free_port


class RabbitMQServer(Server):
    """A private RabbitMQ, whose account may do everything in the virtual host ``/``.

    Attributes:
        options: Further lines of its configuration; read when it starts.
    """

    product = "rabbitmq"
    farewell = signal.SIGKILL

    def __init__(self) -> None:
        super().__init__()
        self.options: list[str] = []
        self._epmd: subprocess.Popen[bytes] | None = None
        self._epmd_port = 0
        self._distribution = 0

    @property
    def url(self) -> str:
        """Where it is, without the password."""
        return f"amqp://{self.user}@{self.host}:{self.port}/"

    def url_of(self, host: str, *, vhost: str = "/") -> str:
        """Where a virtual host of it is, without the password."""
        return f"amqp://{self.user}@{host}:{self.port}/{quote(vhost, safe='')}"

    def connect(self) -> amqp.Connection:
        """A connection to it."""
        place = f"{self.host}:{self.port}"
        connection = amqp.Connection(place, self.user, self.password, connect_timeout=5, read_timeout=20)
        connection.connect()
        return connection

    def delete_queues(self, *names: str) -> None:
        """Delete queues, whatever is in them and whoever consumes from them."""
        with contextlib.closing(self.connect()) as connection:
            channel = connection.channel()
            for name in names:
                channel.queue_delete(name)

    def go_away(self) -> None:
        """Kill it; its data and its ports stay."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def come_back(self, *, empty: bool = False) -> None:
        """Start it again on the same port.

        Args:
            empty: Without anything it held.
        """
        if empty:
            shutil.rmtree(self.folder / "mnesia")
        assert self._answers(self._begun()), self.log_tail()

    def break_queues(self, how: str = "silent") -> None:
        """Leave every quorum queue there is as a kill at an unlucky moment leaves one: known, and served by nobody.

        Args:
            how: ``silent``: killed before it was first elected, its server waits for ever, and so does whoever asks;
                ``crashed``: its server does not start, and whoever asks is thrown out.
        """
        self.go_away()
        for path in (self.folder / "mnesia").glob("*/quorum/**/*"):
            if how == "silent" and path.suffix in (".wal", ".segment"):
                path.unlink()
            elif how == "crashed" and path.name == "config":
                os.truncate(path, 0)
        self.come_back()

    def stop(self, keep_log_in: object = None) -> None:
        """End it and its epmd, and remove its data."""
        super().stop(keep_log_in)  # type: ignore[arg-type]
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None

    def _prepare(self) -> None:
        RABBITMQ_SERVER.path()
        self._epmd_port, self._distribution = free_port(), free_port()
        self._private_file("env.conf", "")
        self._private_file("plugins", "[].\n")
        with self.log.open("ab") as log:
            self._epmd = subprocess.Popen(
                self._unprivileged([str(EPMD.path()), "-address", self.host, "-port", str(self._epmd_port)]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env=super()._environment(), start_new_session=True,
            )  # fmt: skip

    def _command(self) -> list[str]:
        lines = [
            f"listeners.tcp.default = {self.host}:{self.port}",
            f"default_user = {self.user}",
            f"default_pass = {self.password}",
            "default_user_tags.administrator = true",
            "loopback_users = none",
            "log.console = true",
            "log.console.level = warning",
            "log.file = false",
            # A machine that others fill must not stop the tests.
            "disk_free_limit.absolute = 1MB",
            "vm_memory_high_watermark.absolute = 2GB",
            *self.options,
        ]
        self._private_file("rabbitmq.conf", "\n".join(lines) + "\n")
        return [str(RABBITMQ_SERVER.path())]

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        given = {
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # The server itself then takes the place of the script that starts it, and can be stopped by its id.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": self.host,
        }
        return super()._environment() | given

    def execute(self, statement: str) -> None:
        """A broker carries out no statements."""
        raise AssertionError(statement)

    def drop_database(self, url: str) -> None:
        """A broker has no databases."""
        raise AssertionError(url)

    def _url(self, database: str) -> URL:
        raise AssertionError(database)

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect().close()
            except (OSError, amqp.AMQPError):
                time.sleep(0.1)
            else:
                return True
        process.kill()
        process.wait()
        return False
