"""Two owners of one exchange: whatever the first does when it wakes up, only one delivers, once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exchange.engine import RunState
from exchange.errors import Busy, Failed, Invalid, Tampered, Unknown
from tests.exchange.engine.town import SYNC, Town, build, person
from tests.exchange.engine.worker import Workers

LEASE_SECONDS = 0.4
PAUSES = ["2.leased", "3.read", "5.staged", "5.manifest", "6.gate", "6.gated", "7.commit", "7.committed", "8.promoted"]


@pytest.fixture
def quick(town: Town) -> Town:
    """A town with people in the library, in which leases run out soon."""
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    town.hold_leases_for(LEASE_SECONDS)
    return town


def taken_over(workers: Workers, town: Town, **options: Any) -> int | None:
    """Let another worker run the shared exchange as soon as the lease has run out."""
    deadline = time.monotonic() + 30
    while (status := workers.run(town.home, town.share, **options)) == Busy.status and time.monotonic() < deadline:
        time.sleep(0.05)
    return status


def state(town: Town) -> dict[str, Any]:
    """Everything that one delivery leaves behind."""
    return {
        "rows": town.rows("tax"),
        "stages": town.stages("tax"),
        "ledger": town.ledger(town.share),
        "receipts": [receipt.body for receipt in town.receipts(town.share)],
        "runs": [(run.id, run.delivery, run.state, run.epoch) for run in town.runs(town.share)],
        "epoch": town.query("tax", "SELECT epoch FROM shutong_epoch"),
        "files": sorted(path.name for path in (town.home / "payload").glob("[!.]*")),
    }


def test_while_one_is_at_it_the_other_is_told_so(town: Town, workers: Workers) -> None:
    town.report(*(person(number) for number in range(9)))
    assert workers.run(town.home, SYNC, "3.read", strike="SIGSTOP") is None
    with pytest.raises(Busy, match="正由") as told:
        town.run(SYNC)
    assert told.value.retry
    assert workers.wake() == 0
    assert town.rows("library") == town.good()
    assert len(town.runs(SYNC)) == 1


@pytest.mark.parametrize("step", PAUSES)
def test_a_paused_owner_that_wakes_after_the_delivery_changes_nothing(quick: Town, workers: Workers, step: str) -> None:
    town = quick
    assert workers.run(town.home, town.share, step, strike="SIGSTOP") is None
    assert taken_over(workers, town) == 0
    town.report(person(1, version=2))
    done = state(town)
    assert done["rows"] == {**town.granted(), person(1)["id_no"]: done["rows"][person(1)["id_no"]]}
    assert done["stages"] == []
    assert len(done["ledger"]) == len(done["receipts"]) == len(done["runs"]) == 1
    assert workers.wake() == (0 if step == "8.promoted" else Busy.status)
    assert state(town) == done
    assert town.faults() == []


@pytest.mark.parametrize("step", ["3.read", "7.commit"])
def test_a_paused_owner_whose_transaction_is_open_hinders_nobody(
    request: pytest.FixtureRequest, tmp_path: Path, workers: Workers, step: str
) -> None:
    """A first delivery on a server is one transaction from the first row on."""
    server = request.getfixturevalue("postgresql_server")
    urls = {name: server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls)) as town:
        town.report(*(person(number) for number in range(9)))
        town.run(SYNC)
        town.hold_leases_for(LEASE_SECONDS)
        assert workers.run(town.home, town.share, step, strike="SIGSTOP") is None
        assert taken_over(workers, town) == 0
        done = state(town)
        assert done["rows"] == town.granted()
        assert len(done["ledger"]) == len(done["receipts"]) == len(done["runs"]) == 1
        assert workers.wake() == Busy.status
        assert state(town) == done
        assert town.faults() == []


@pytest.mark.parametrize("step", ["3.read", "5.manifest", "7.commit"])
def test_a_paused_owner_cannot_deliver_after_its_run_was_given_up(quick: Town, workers: Workers, step: str) -> None:
    town = quick
    assert workers.run(town.home, town.share, step, strike="SIGSTOP") is None
    assert taken_over(workers, town, after_restore=True) == 0
    done = state(town)
    given_up, delivered = town.runs(town.share)
    assert (given_up.state, delivered.state) == (RunState.ABANDONED, RunState.SETTLED)
    assert workers.wake() == Busy.status
    assert state(town) == done
    assert done["ledger"] == [delivered.delivery]


@pytest.mark.long_with("sqlite", "mariadb")
@pytest.mark.parametrize("statement", [1, 4])
def test_who_comes_while_the_first_is_paused_in_its_commit_waits_and_is_told_that_it_is_done(
    product_town: Town, workers: Workers, tmp_path: Path, statement: int
) -> None:
    town = product_town
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    # A table that is not bare is staged for: its ledger row is claimed at the commit.
    town.execute(
        "tax", "INSERT INTO shutong_tombstone (object, scope, key_text, serial) VALUES ('person', '{}', '-', 0)"
    )
    town.hold_leases_for(LEASE_SECONDS)
    ended: list[int | None] = []
    with Workers(tmp_path / "second.log") as others:
        assert others.run(town.home, "share-nothing") == Unknown.status  # it has started
        assert workers.run(town.home, town.share, f"target:{statement}", strike="SIGSTOP") is None
        time.sleep(LEASE_SECONDS * 1.2)
        second = threading.Thread(target=lambda: ended.append(others.run(town.home, town.share)))
        second.start()
        deadline = time.monotonic() + 30
        while town.epoch(town.share) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        assert ended == []
        assert workers.wake() == Busy.status
        second.join()
        assert ended == [0], others.said
    done = state(town)
    assert done["rows"] == town.granted()
    assert len(done["ledger"]) == len(done["receipts"]) == len(done["runs"]) == 1
    assert done["stages"] == []


def left_at(town: Town, workers: Workers, step: str) -> None:
    """Let a worker die at a step."""
    assert workers.run(town.home, town.share, step) == -signal.SIGKILL
    time.sleep(LEASE_SECONDS * 1.2)


def tamper(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [tamper, Path.unlink])
@pytest.mark.parametrize("step", ["6.gate", "7.commit", "8.promoted"])
def test_a_manifest_that_was_changed_is_not_gone_on_with(
    quick: Town, workers: Workers, step: str, damage: Callable[[Path], None]
) -> None:
    town = quick
    left_at(town, workers, step)
    before = state(town)
    (run,) = town.runs(town.share)
    file = town.home / "payload" / str(run.manifest)
    good = file.read_bytes()
    damage(file)
    with pytest.raises(Tampered) as told:
        town.run(town.share)
    assert told.value.remedy
    assert {name: value for name, value in state(town).items() if name not in ("runs", "files")} == {
        name: value for name, value in before.items() if name not in ("runs", "files")
    }
    file.write_bytes(good)
    assert town.run(town.share).state == RunState.SETTLED
    assert town.rows("tax") == town.granted()
    assert len(town.receipts(town.share)) == 1


def test_a_manifest_of_an_earlier_owner_is_not_the_runs_own(quick: Town, workers: Workers) -> None:
    """The stage and the manifest carry the epoch: the one committed is the one the run names."""
    town = quick
    left_at(town, workers, "5.staged")
    (run,) = town.runs(town.share)
    left = town.home / "payload" / f"{run.id}.1"
    assert left.exists()
    town.run(town.share)
    (run,) = town.runs(town.share)
    assert (run.manifest, run.stage_epoch) == (f"{run.id}.2", 2)
    assert not left.exists()


@pytest.mark.parametrize("step", ["7.commit", "7.committed"])
def test_a_commit_in_doubt_stays_in_doubt_whatever_the_target_says_meanwhile(
    quick: Town, workers: Workers, step: str
) -> None:
    town = quick
    left_at(town, workers, step)
    town.execute("tax", "ALTER TABLE shutong_ledger RENAME TO hidden")
    for _ in range(2):
        with pytest.raises((Failed, Invalid)):
            town.run(town.share)
        assert [run.state for run in town.runs(town.share)] == [RunState.COMMITTING]
    town.execute("tax", "ALTER TABLE hidden RENAME TO shutong_ledger")
    assert town.run(town.share).state == RunState.SETTLED
    assert len(town.receipts(town.share)) == len(town.ledger(town.share)) == 1
    assert town.rows("tax") == town.granted()


def test_a_grant_revoked_while_the_worker_lay_dead_before_the_gate_bars_the_run(quick: Town, workers: Workers) -> None:
    left_at(quick, workers, "6.gate")
    quick.change("revoke")
    assert quick.run(quick.share).state == RunState.BARRED
    assert quick.rows("tax") == {}
    assert quick.stages("tax") == []


def test_a_grant_revoked_while_the_worker_lay_dead_after_the_gate_comes_too_late(quick: Town, workers: Workers) -> None:
    left_at(quick, workers, "6.gated")
    quick.change("revoke")
    result = quick.run(quick.share)
    assert result.state == RunState.SETTLED
    assert quick.rows("tax") == quick.granted()
    assert "RevocationAfterDelivery" in quick.events(result.id)


def test_a_stage_left_by_a_worker_that_died_after_it_was_barred_is_removed(quick: Town, workers: Workers) -> None:
    left_at(quick, workers, "6.gate")
    quick.change("suspend")
    assert workers.run(quick.home, quick.share, "6.gated") == -signal.SIGKILL
    assert quick.runs(quick.share)[-1].state == RunState.BARRED
    assert quick.stages("tax")
    quick.change("resume")
    time.sleep(LEASE_SECONDS * 1.2)
    assert quick.run(quick.share).state == RunState.SETTLED
    assert quick.stages("tax") == []
    assert quick.owed() == []
    assert quick.rows("tax") == quick.granted()


def test_a_redelivery_whose_worker_dies_is_carried_on_as_one(quick: Town, workers: Workers) -> None:
    town = quick
    town.run(town.share)
    town.execute("tax", "DELETE FROM person")
    town.execute("tax", "DELETE FROM shutong_ledger")
    town.hold_leases_for(LEASE_SECONDS)
    for step in ("3.read", "7.commit"):
        assert workers.run(town.home, town.share, step, redeliver=True) == -signal.SIGKILL
        time.sleep(LEASE_SECONDS * 1.2)
    assert town.run(town.share).state == RunState.SETTLED
    assert town.rows("tax") == town.granted()


@pytest.fixture
def town_on_a_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    """The hub's own database on a server too."""
    server = request.getfixturevalue("postgresql_server")
    urls = {name: server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, hub_url=server.new_database())) as town:
        yield town


def test_a_hub_whose_own_database_is_on_a_server(town_on_a_server: Town, workers: Workers) -> None:
    town = town_on_a_server
    town.report(*(person(number) for number in range(9)))
    assert not (town.home / "hub.db").exists()
    town.run(SYNC)
    town.hold_leases_for(LEASE_SECONDS)
    for step in ("2.leased", "3.read", "5.manifest", "6.gated", "7.committed", "8.promoted"):
        assert workers.run(town.home, town.share, step) == -signal.SIGKILL
        time.sleep(LEASE_SECONDS * 1.2)
    assert town.run(town.share).state == RunState.SETTLED
    assert town.rows("tax") == town.granted()
    assert len(town.runs(town.share)) == len(town.receipts(town.share)) == len(town.ledger(town.share)) == 1
    town.report(person(1, version=2))
    town.run(SYNC)
    assert workers.run(town.home, town.share, "6.gated", strike="SIGSTOP") is None
    assert taken_over(workers, town) == 0
    done = state(town)
    assert workers.wake() == Busy.status
    assert state(town) == done
    assert done["stages"] == []
    assert town.rows("tax") == town.granted()
    assert town.faults() == []
