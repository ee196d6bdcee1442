"""The sealer in the background."""

from __future__ import annotations

import time

from sqlalchemy import text

from exchange.audit import AuditLog, Sealer, events
from exchange.db import HubDatabase
from exchange.identity import PLATFORM
from exchange.secrets import Keyring
from tests.exchange.audit.conftest import write


def test_a_sealer_seals_within_a_second(log):
    with Sealer(log, interval=0.1) as sealer:
        sealer.start()
        write(log, 3)
        end = time.monotonic() + 10
        while log.head().startswith("0:"):
            assert time.monotonic() < end
            time.sleep(0.02)
        write(log, 1, first=4)
    assert log.head().startswith("4:")
    sealer.stop()
    assert Sealer(log)._interval <= 0.5


def test_a_sealer_outlives_a_database_that_is_held(log, settings, hub_url, caplog):
    hurried = HubDatabase(hub_url, wait=0.1)
    with Sealer(AuditLog(hurried, Keyring(settings), settings), interval=0.05):
        write(log, 1)
        with log._database.transaction() as session:
            if hub_url.startswith("postgresql"):
                session.execute(text("LOCK TABLE event IN ACCESS EXCLUSIVE MODE"))
            log.record(session, events.GrantExpired("G"), PLATFORM)
            time.sleep(0.6)
    assert log.head().startswith("2:")
    assert log.verify().faults == ()
    hurried.close()
