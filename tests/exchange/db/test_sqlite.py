"""SQLite under the hub: durable, shared by processes, closed to other users."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from exchange.db import HubDatabase
from exchange.db.sqlite import Sqlite
from exchange.errors import Busy, Failed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "hub.db"


@pytest.fixture
def database(path):
    database = HubDatabase(f"sqlite:///{path}", wait=0.3)
    database.migrate()
    yield database
    database.close()


@pytest.mark.parametrize("use", ["transaction", "reading"])
def test_how_connections_are_set(database, use):
    with getattr(database, use)() as session:
        found = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "synchronous", "query_only")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "query_only": int(use == "reading")}


def test_the_files_are_their_owner_s_alone(database, path):
    with database.transaction() as session:
        session.execute(text("INSERT INTO notice (department, text, at) VALUES ('x', 'y', '2026-01-01')"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"hub.db": 0o600, "hub.db-wal": 0o600, "hub.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_writer_holds_the_lock_from_its_beginning(database):
    with database.transaction(), pytest.raises(Busy), database.transaction():
        pytest.fail("two writers at once")


def test_a_reader_does_not_wait_for_a_writer(database):
    with database.transaction() as session:
        session.execute(text("INSERT INTO notice (department, text, at) VALUES ('x', 'y', '2026-01-01')"))
        with database.reading() as reader:
            assert reader.scalar(text("SELECT count(*) FROM notice")) == 0


def test_another_process_that_holds_the_file_makes_busy_and_its_death_frees_it(database, path):
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match="被占用"), database.transaction():
            pass
        holder.kill()
        holder.wait()
        with database.transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1


def test_a_first_opening_waits_while_another_makes_the_file(path):
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.5, other.rollback)
    timer.start()
    database = HubDatabase(f"sqlite:///{path}", wait=10)
    database.migrate()
    timer.join()
    other.close()
    database.close()


def test_too_many_at_once_are_told_so(database):
    with ExitStack() as stack, pytest.raises(Busy, match="连接"):
        for _ in range(20):
            stack.enter_context(database.reading())
    with database.reading() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_lock_for_which_the_driver_does_not_wait_is_waited_for(database, path):
    product = Sqlite(make_url(f"sqlite:///{path}"), 5.0)
    hurried = sqlite3.connect(path, timeout=0, isolation_level=None)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, holder.rollback)
    timer.start()
    product._patiently(hurried, "BEGIN IMMEDIATE")
    assert hurried.in_transaction
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        product._patiently(hurried, "NONSENSE")
    timer.join()
    for connection in (hurried, holder):
        connection.close()


def test_a_file_that_is_no_database(path):
    path.parent.mkdir()
    path.write_bytes(b"something else, and long enough to be looked at" * 100)
    database = HubDatabase(f"sqlite:///{path}", wait=0.3)
    with pytest.raises(Failed, match="不是 SQLite 数据库") as raised:
        database.migrate()
    assert not raised.value.retry
    database.close()


@pytest.mark.parametrize(
    ("code", "expected", "retry"),
    [
        (sqlite3.SQLITE_BUSY, Busy, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Busy, True),
        (sqlite3.SQLITE_LOCKED, Busy, True),
        (sqlite3.SQLITE_IOERR_WRITE, Failed, True),
        (sqlite3.SQLITE_FULL, Failed, True),
        (sqlite3.SQLITE_READONLY, Failed, False),
        (sqlite3.SQLITE_CANTOPEN, Failed, False),
        (sqlite3.SQLITE_CORRUPT, Failed, False),
        (sqlite3.SQLITE_ERROR, None, None),
    ],
)
def test_what_the_driver_says_is_translated(path, code, expected, retry):
    from sqlalchemy import make_url

    cause = sqlite3.OperationalError("the driver's words")
    cause.sqlite_errorcode = code
    translated = Sqlite(make_url(f"sqlite:///{path}"), 1.0).translated(OperationalError("SELECT", {}, cause))
    if expected is None:
        assert translated is None
    else:
        assert isinstance(translated, expected)
        assert translated.retry is retry
        assert translated.remedy


OTHER_PROCESS = """
import sys
from sqlalchemy import text
from exchange.db import HubDatabase
database = HubDatabase(sys.argv[1])
with database.reading() as session:
    print(session.scalar(text("SELECT count(*) FROM notice")))
database.close()
"""


def test_a_process_that_leaves_does_not_take_the_log_away_from_one_that_stays(tmp_path: Path) -> None:
    """Opening the file anew, here, must not drop the locks by which others know that we are still there."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"

    def rows() -> str:
        command = [sys.executable, "-c", OTHER_PROCESS, url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    with closing(HubDatabase(url)) as first, closing(HubDatabase(url)) as second:
        first.migrate()
        with second.reading():
            pass
        for expected in ("0", "1", "2"):
            assert rows() == expected
            with first.transaction() as session:
                session.execute(
                    text("INSERT INTO notice (department, text, at) VALUES ('d', 't', '2026-03-01 00:00:00')")
                )
    assert rows() == "3"


def test_who_waits_to_write_is_not_left_behind(path):
    """Others who come again and again without a pause do not keep somebody out for long."""
    with closing(HubDatabase(f"sqlite:///{path}")) as one, closing(HubDatabase(f"sqlite:///{path}")) as other:
        one.migrate()
        ended = threading.Event()

        def busy() -> None:
            while not ended.is_set():
                with one.transaction() as session:
                    session.execute(text("UPDATE alembic_version SET version_num = version_num"))
                    time.sleep(0.003)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(10):
                with other.transaction() as session:
                    # Whatever is asked later may wait as long as ever.
                    assert session.scalar(text("PRAGMA busy_timeout")) == 15_000
        finally:
            ended.set()
            thread.join()
