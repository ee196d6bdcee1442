from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from tests.support.servers import PostgreSQLServer, Server


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    running: Server = request.getfixturevalue(f"{request.param}_server")
    return running


def scalar(url: str, statement: str) -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            return connection.execute(text(statement)).scalar_one()
    finally:
        engine.dispose()


def test_every_database_is_new_and_holds_rare_characters(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (name VARCHAR(20))"))
        connection.execute(text("INSERT INTO t VALUES (:name)"), {"name": "𠮷䶮"})
        assert connection.execute(text("SELECT name FROM t")).scalar_one() == "𠮷䶮"
    engine.dispose()


def test_databases_are_apart(server: Server) -> None:
    first, second = server.new_database(), server.new_database()
    engine = create_engine(first)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    engine.dispose()
    with pytest.raises(Exception, match=r"does not exist|doesn't exist"):
        scalar(second, "SELECT count(*) FROM t")
    server.drop_database(first)
    server.drop_database(second)


def test_a_database_is_dropped_from_under_an_open_transaction(server: Server) -> None:
    url = server.new_database()
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
        connection.commit()
        connection.execute(text("SELECT * FROM t"))
        server.drop_database(url)
        connection.invalidate()
    engine.dispose()
    with pytest.raises(OperationalError):
        scalar(url, "SELECT 1")


def test_the_server_is_on_loopback_and_asks_for_the_password(server: Server) -> None:
    url = make_url(server.new_database())
    assert url.host == "127.0.0.1"
    with pytest.raises(OperationalError):
        scalar(url.set(password="wrong").render_as_string(hide_password=False), "SELECT 1")
    server.drop_database(str(url))


def test_the_server_runs_without_privileges(server: Server) -> None:
    uid = int(next(line for line in status(server.pid) if line.startswith("Uid:")).split()[1])
    assert uid == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())
    assert uid != 0


def status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_the_server_and_its_data_go_when_the_session_is_killed(tmp_path: Path) -> None:
    session = (
        "import time\n"
        "from tests.support.servers import PostgreSQLServer\n"
        "server = PostgreSQLServer()\n"
        "server.start()\n"
        "print(server.pid, server.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", session], stdout=subprocess.PIPE)
    assert child.stdout is not None
    pid, folder = child.stdout.readline().decode().split()
    assert Path(f"/proc/{pid}").exists()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (Path(folder).exists() or Path(f"/proc/{pid}").exists()):
        time.sleep(0.1)
    assert not Path(folder).exists()
    assert not Path(f"/proc/{pid}").exists() or "Z" in next(x for x in status(int(pid)) if x.startswith("State:"))


def test_durable_on_demand(postgresql_server: Server) -> None:
    with PostgreSQLServer(durable=True) as durable:
        assert scalar(durable.new_database(), "SHOW fsync") == "on"
    assert scalar(postgresql_server.new_database(), "SHOW fsync") == "off"


def test_the_log_is_kept_when_asked_for(tmp_path: Path) -> None:
    server = PostgreSQLServer()
    server.start()
    server.stop(keep_log_in=tmp_path / "logs")
    assert "database system is ready" in (tmp_path / "logs" / "postgresql.log").read_text()
    assert not server.folder.exists()
