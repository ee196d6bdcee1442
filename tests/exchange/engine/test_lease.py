"""The lease: one owner at a time, by the clock of the hub's database, on both of its products."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from exchange.db import HubDatabase
from exchange.db.tables import ExchangeRow, GrantRow, LeaseRow
from exchange.engine import lease
from exchange.errors import Busy

AT = datetime(2026, 3, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


def fill(database: HubDatabase) -> None:
    database.migrate()
    with database.transaction() as session:
        grant = GrantRow(
            id="G", kind="sharing", resource="r", resource_version=1, department="d", state="active", version=1,
            body={}, valid_from=AT, issued_at=AT,
        )  # fmt: skip
        session.add(grant)
        session.flush()
        session.add(
            ExchangeRow(
                id="x", kind="sharing", grant="G", resource="r", table="t", provider="p", recipient="d", source={},
                target={}, settings={}, state="active", created_at=AT,
            )
        )  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def database(url: str) -> Iterator[HubDatabase]:
    with closing(HubDatabase(url, wait=5.0)) as database:
        fill(database)
        yield database


def take(database: HubDatabase, owner: str, seconds: float = 30.0, at_least: int = 0) -> int:
    with database.transaction() as session:
        return lease.acquire(session, "x", owner=owner, seconds=seconds, at_least=at_least)


def held(database: HubDatabase, owner: str, epoch: int) -> bool:
    with database.transaction() as session:
        return lease.holds(session, "x", owner=owner, epoch=epoch)


def test_the_second_is_told_who_is_at_it_and_when_to_come_back(database: HubDatabase) -> None:
    assert take(database, "one") == 1
    with pytest.raises(Busy, match="one") as told:
        take(database, "two")
    assert "秒" in told.value.remedy
    assert held(database, "one", 1)


def test_a_lease_given_back_is_free_and_the_epoch_rises(database: HubDatabase) -> None:
    take(database, "one")
    with database.transaction() as session:
        lease.release(session, "x", owner="one", epoch=1)
    assert not held(database, "one", 1)
    assert take(database, "two") == 2


def test_nobody_gives_back_what_is_not_his(database: HubDatabase) -> None:
    take(database, "one")
    with database.transaction() as session:
        lease.release(session, "x", owner="two", epoch=1)
        lease.release(session, "x", owner="one", epoch=2)
    assert held(database, "one", 1)


def test_an_expired_lease_is_taken_over_and_its_owner_holds_nothing(database: HubDatabase) -> None:
    assert take(database, "one", seconds=0.2) == 1
    time.sleep(0.3)
    assert held(database, "one", 1)  # nobody has come yet: still his
    assert take(database, "two") == 2
    assert not held(database, "one", 1)
    with database.transaction() as session:
        lease.release(session, "x", owner="one", epoch=1)
    assert held(database, "two", 2)


def test_the_machines_own_clock_decides_nothing(database: HubDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    take(database, "one")
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: 2_000_000_000_000.0)
    with pytest.raises(Busy):
        take(database, "two")


def test_after_a_restore_the_epoch_goes_above_what_the_target_has_seen(database: HubDatabase) -> None:
    assert take(database, "one", seconds=0.0, at_least=7) == 8
    assert take(database, "two", at_least=3) == 9


def test_of_two_threads_that_start_an_exchange_for_the_first_time_one_gets_it(database: HubDatabase) -> None:
    outcomes: list[object] = []

    def second() -> None:
        try:
            outcomes.append(take(database, "two"))
        except Busy as error:
            outcomes.append(error)

    thread = threading.Thread(target=second)
    with database.transaction() as session:
        assert lease.acquire(session, "x", owner="one", seconds=30.0) == 1
        thread.start()
        time.sleep(0.3)  # the second is at the same row now, which is not committed yet
        assert outcomes == []
    thread.join()
    assert [type(outcome) for outcome in outcomes] == [Busy]
    assert held(database, "one", 1)


CONTENDER = """
import sys
from exchange.db import HubDatabase
from exchange.engine import lease
from exchange.errors import Busy
database = HubDatabase(sys.argv[1], wait=20.0)
taken = 0
sys.stdin.readline()
for _ in range(20):
    try:
        with database.transaction() as session:
            epoch = lease.acquire(session, "x", owner=sys.argv[2], seconds=60.0)
    except Busy:
        continue
    taken += 1
    print(epoch, flush=True)
    with database.transaction() as session:
        lease.release(session, "x", owner=sys.argv[2], epoch=epoch)
"""


def test_two_processes_never_get_the_same_epoch(database: HubDatabase, url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    epochs = sorted(int(epoch) for epochs in said for epoch in epochs)
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) >= 4  # both had some, however slow the disk is


def expires(database: HubDatabase) -> float:
    with database.reading() as session:
        return session.scalars(select(LeaseRow.expires)).one()


def test_a_heartbeat_keeps_a_lease_longer_than_it_lasts(database: HubDatabase) -> None:
    take(database, "one", seconds=0.9)
    first = expires(database)
    with lease.Heartbeat(database, "x", owner="one", epoch=1, seconds=0.9) as beat:
        time.sleep(1.8)
        with pytest.raises(Busy):
            take(database, "two")
        beat.check()
    assert expires(database) > first
    time.sleep(1.1)
    assert take(database, "two") == 2


def test_a_heartbeat_notices_that_the_lease_was_taken(database: HubDatabase) -> None:
    take(database, "one", seconds=0.0)
    with lease.Heartbeat(database, "x", owner="one", epoch=1, seconds=0.15) as beat:
        assert take(database, "two") == 2
        deadline = time.monotonic() + 10
        while not beat.lost and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(Busy, match="接管"):
            beat.check()
    assert held(database, "two", 2)


def test_a_beat_that_cannot_reach_the_database_is_made_up_for(tmp_path: Path) -> None:
    with closing(HubDatabase(f"sqlite:///{tmp_path / 'hub.db'}", wait=0.05)) as database:
        fill(database)
        take(database, "one", seconds=0.3)
        first = expires(database)
        with lease.Heartbeat(database, "x", owner="one", epoch=1, seconds=0.3) as beat:
            with database.transaction():
                time.sleep(0.4)  # the beats in between find the database locked
            time.sleep(0.4)
            assert not beat.lost
        assert expires(database) > first


def test_owners_have_names_of_their_own() -> None:
    assert lease.owner_name() != lease.owner_name()
    assert len(lease.owner_name()) <= 128
