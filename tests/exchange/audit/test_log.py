"""Writing and sealing: in the transaction of the cause, in order, once, whatever dies when."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from exchange.audit import AuditLog, events
from exchange.db import HubDatabase
from exchange.db.tables import EventRow
from exchange.errors import Failed, Invalid, Misplaced, Tampered
from exchange.identity import PLATFORM
from exchange.secrets import Keyring
from exchange.settings import Settings
from tests.exchange.audit.conftest import AUDITOR, HUB, write


def rows(log) -> list[EventRow]:
    with log._database.reading() as session:
        return list(session.scalars(select(EventRow).order_by(EventRow.id)))


def test_an_event_says_who_what_and_about_what(log):
    with log._database.transaction() as session:
        log.record(session, events.RunGated("G1", 2), AUDITOR, resource="321/1", exchange="E", run="R", department="D")
        log.record(session, events.GrantExpired("G1"), PLATFORM)
    first, second = rows(log)
    about = (first.department, first.resource, first.exchange, first.run)
    assert (first.type, first.actor, first.established) == ("RunGated", "周审", "os-user")
    assert about == ("D", "321/1", "E", "R")
    assert first.body == {"grant": "G1", "version": 2}
    assert abs(first.at - datetime.now(UTC)) < timedelta(seconds=10)
    assert (second.actor, second.established, second.department) == ("platform", "system", None)
    assert (first.number, first.seal) == (None, None)


def test_an_event_is_kept_only_with_its_cause(log):
    with pytest.raises(ZeroDivisionError), log._database.transaction() as session:
        log.record(session, events.GrantExpired("G1"), PLATFORM)
        raise ZeroDivisionError
    assert rows(log) == []


def test_a_wrong_field_is_refused_and_not_repeated(log):
    with pytest.raises(Invalid) as raised, log._database.transaction() as session:
        log.record(session, events.RunGated("G1", "horse"), PLATFORM)
    assert "version" in raised.value.message
    assert raised.value.__suppress_context__
    assert "horse" not in str(raised.value)


def test_a_refusal_is_logged_whatever_was_typed(log):
    typed = "x" * 500 + "\x00\ud800"
    with log._database.transaction() as session:
        event = events.AccessDenied(f"查看 {typed}", ("没有登记\x00",))
        log.record(session, event, AUDITOR, resource=typed, exchange="a\x00b\ud800", run=typed)
    assert log.seal() == 1
    assert log.verify().verified
    (row,) = rows(log)
    assert len(row.resource) == 64
    assert row.exchange == "a\ufffdb?"
    assert row.body == {"action": f"查看 {'x' * 500}\ufffd?", "reasons": ["没有登记\ufffd"]}


def test_the_head_follows_the_sealing(log):
    assert log.head() == "0:"
    write(log, 2)
    assert log.head() == "0:"
    assert log.seal() == 2
    number, _, seal = log.head().partition(":")
    assert (number, len(seal)) == ("2", 64)
    assert seal == rows(log)[1].seal
    assert log.seal() == 0
    assert log.head() == f"2:{seal}"


def test_many_events_are_sealed_in_batches(log, monkeypatch):
    monkeypatch.setattr("exchange.audit.log._BATCH", 4)
    write(log, 11)
    assert log.seal() == 11
    assert [row.number for row in rows(log)] == list(range(1, 12))
    assert log.verify().verified


@pytest.mark.parametrize("first", ["sha256", "sm3"])
def test_the_digest_may_be_changed(database, settings, first):
    other = {"sha256": "sm3", "sm3": "sha256"}[first]
    for digest in (first, other, first):
        log = AuditLog(database, Keyring(settings), settings.model_copy(update={"digest": digest}))
        write(log, 2)
        assert log.seal() == 2
    assert log.verify().faults == ()
    with database.transaction() as session:
        session.execute(text("UPDATE event SET actor = '别人' WHERE number = 3"))
    assert [(fault.kind, fault.first) for fault in log.verify().faults] == [("edited", 3)]


def test_two_sealers_give_every_event_one_place(log, settings, hub_url):
    patient = [HubDatabase(hub_url, wait=60) for _ in range(3)]
    logs = [AuditLog(database, Keyring(settings), settings) for database in patient]
    done = threading.Event()

    def keep_sealing(one):
        while not done.is_set():
            one.seal()

    with ThreadPoolExecutor(4) as pool:
        sealing = [pool.submit(keep_sealing, one) for one in logs[:2]]
        pool.submit(write, logs[2], 60).result()
        done.set()
        for one in sealing:
            one.result()
    log.seal()
    assert sorted(row.number for row in rows(log)) == list(range(1, 61))
    assert log.verify().faults == ()
    for database in patient:
        database.close()


def test_an_event_committed_late_is_sealed_after_those_before_it(postgresql_server, settings):
    """Its id is lower than that of events sealed already: an id says when a row was begun, not when it came to be."""
    url = postgresql_server.new_database()
    database = HubDatabase(url, wait=5)
    database.migrate()
    log = AuditLog(database, Keyring(settings), settings)
    with database.transaction() as slow:
        log.record(slow, events.GrantExpired("late"), PLATFORM)
        with database.transaction() as quick:
            log.record(quick, events.GrantExpired("early"), PLATFORM)
        assert log.seal() == 1
    assert log.seal() == 1
    numbers = {row.body["grant"]: (row.id, row.number) for row in rows(log)}
    assert numbers["late"][0] < numbers["early"][0]
    assert (numbers["early"][1], numbers["late"][1]) == (1, 2)
    assert log.verify().faults == ()
    database.close()
    postgresql_server.drop_database(url)


def _record_and_die(url, home, seal):
    settings = Settings(home=home, hub_department=HUB)
    database = HubDatabase(url)
    log = AuditLog(database, Keyring(settings), settings)
    with database.transaction() as session:
        log.record(session, events.GrantExpired("kept"), PLATFORM)
    if seal:
        append = log._heads.append
        log._heads.append = lambda *about, fresh: (
            os.kill(os.getpid(), signal.SIGKILL) if fresh else append(*about, fresh=False)
        )
        log.seal()
    with database.transaction() as session:
        log.record(session, events.GrantExpired("lost"), PLATFORM)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("seal", [False, True], ids=["before sealing", "between sealing and noting the head"])
def test_death_between_event_and_seal(log, settings, hub_url, seal):
    process = multiprocessing.get_context("spawn").Process(target=_record_and_die, args=(hub_url, settings.home, seal))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    verification = log.verify()
    assert verification.verified
    assert (verification.sealed, verification.unsealed) == ((1, 0) if seal else (0, 1))
    assert len(verification.warnings) == int(seal)
    log.seal()
    verification = log.verify()
    assert verification.verified
    assert (verification.sealed, verification.unsealed, verification.warnings) == (1, 0, ())
    assert rows(log)[0].body == {"grant": "kept"}


def test_a_line_of_heads_torn_by_a_loss_of_power(log, settings):
    write(log, 1)
    log.seal()
    heads = settings.home / "heads.jsonl"
    with heads.open("a") as file:
        file.write('{"number": 2, "se')
    write(log, 1)
    log.seal()
    verification = log.verify()
    assert verification.faults == ()
    assert len(verification.warnings) == 1
    assert "残缺" in verification.warnings[0]


def test_the_file_of_heads_is_its_owner_s_alone(sealed, settings):
    heads = settings.home / "heads.jsonl"
    assert heads.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["number"] for line in heads.read_text().splitlines()] == [0, 3, 6, 9]


def test_a_file_of_heads_that_cannot_be_written_is_said(log, settings):
    write(log, 1)
    (settings.home / "heads.jsonl").mkdir()
    with pytest.raises(Failed, match="链头文件"):
        log.seal()
    with pytest.raises(Failed, match="链头文件"):
        log.verify()


def test_a_restored_backup_is_acknowledged_once_and_explains_what_is_missing(sealed):
    witness = sealed.head()
    with pytest.raises(Misplaced):
        sealed.acknowledge_restore(AUDITOR, "磁盘损坏")
    with sealed._database.transaction() as session:
        session.execute(text("DELETE FROM event WHERE number > 4"))
    write(sealed, 6, first=20)
    sealed.seal()
    assert [fault.kind for fault in sealed.verify().faults] == ["rewritten"]
    sealed.acknowledge_restore(AUDITOR, "磁盘损坏")
    sealed.seal()
    verification = sealed.verify([("回执 R9", witness)])
    assert verification.faults == ()
    assert any("回执 R9" in warning for warning in verification.warnings)
    seal = witness.partition(":")[2]
    assert rows(sealed)[-1].body == {"kept": 3, "lost": 9, "head": seal, "noted_from": 0, "reason": "磁盘损坏"}
    with sealed._database.transaction() as session:
        session.execute(text("DELETE FROM event WHERE number > 10"))
    assert [fault.kind for fault in sealed.verify().faults] != []


def test_an_acknowledgement_covers_nothing_lost_later(sealed):
    with sealed._database.transaction() as session:
        session.execute(text("DELETE FROM event WHERE number > 6"))
    sealed.acknowledge_restore(AUDITOR, "磁盘损坏")
    sealed.seal()
    assert sealed.verify().faults == ()
    write(sealed, 5, first=30)
    sealed.seal()
    assert sealed.verify().faults == ()
    with sealed._database.transaction() as session:
        session.execute(text("DELETE FROM event WHERE number > 10"))
    assert [(fault.kind, fault.first, fault.last) for fault in sealed.verify().faults] == [("cut", 11, 12)]


def test_an_acknowledgement_covers_what_witnesses_alone_know_and_a_file_of_heads_begun_anew(sealed, settings):
    witness = ("台账", sealed.head())
    (settings.home / "heads.jsonl").unlink()
    with sealed._database.transaction() as session:
        session.execute(text("DELETE FROM event WHERE number > 6"))
    assert [fault.kind for fault in sealed.verify([witness]).faults] == ["cut", "heads"]
    sealed.acknowledge_restore(AUDITOR, "磁盘损坏", [witness])
    sealed.seal()
    verification = sealed.verify([witness])
    assert verification.faults == ()
    assert sum("恢复记录" in warning for warning in verification.warnings) == 2
    (settings.home / "heads.jsonl").unlink()
    sealed.seal()
    assert [fault.kind for fault in sealed.verify([witness]).faults] == ["heads"]


@pytest.mark.parametrize("head", ["", "x", "x:y", "-1:y", "5"])
def test_a_witness_that_is_no_head(log, head):
    with pytest.raises(Invalid, match="回执 R1"):
        log.verify([("回执 R1", head)])


def test_a_table_that_is_not_the_log_s_any_more(sealed):
    with sealed._database.transaction() as session:
        session.execute(text("ALTER TABLE event RENAME TO elsewhere"))
    with pytest.raises(Tampered):
        sealed.verify()
