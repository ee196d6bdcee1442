"""What receipts, ledgers, runs and grants say about a log that other hands have cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exchange.audit import Verification
from tests.exchange.engine.town import SYNC, Town, build, clone, person


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(build(folder / "home", urls)) as town:
        town.report(*(person(number) for number in range(6)))
        town.run_both()
        yield town


@pytest.fixture
def town(delivered: Town, tmp_path: Path) -> Iterator[Town]:
    with closing(clone(delivered, tmp_path)) as town:
        yield town


def verified(town: Town) -> Verification:
    with town.hub() as hub:
        return hub.oversight.verify(by=town.actor("auditor"))


def kinds(town: Town) -> set[str]:
    return {fault.kind for fault in verified(town).faults}


def attack(town: Town, *statements: str) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        for statement in statements:
            session.connection().exec_driver_sql(statement)


def sealed(town: Town) -> int:
    """Number of the last sealed event."""
    with town.hub() as hub:
        hub.audit.seal()
        return int(hub.audit.head().partition(":")[0])


def cut(town: Town, number: int) -> None:
    """Cut log and file of heads at the same place."""
    attack(town, f"DELETE FROM event WHERE number > {number} OR number IS NULL")
    heads = town.home / "heads.jsonl"
    kept = [line for line in heads.read_text().splitlines(True) if int(line.split(",")[0].split(":")[1]) <= number]
    heads.write_text("".join(kept))


def test_what_nobody_touched(town: Town) -> None:
    for _ in range(2):
        verification = verified(town)
        assert verification.faults == verification.warnings == ()


def test_a_missing_file_of_heads_is_seen_before_anything_is_sealed(town: Town) -> None:
    attack(town, f"DELETE FROM event WHERE number > {sealed(town) - 1}")
    (town.home / "heads.jsonl").unlink()
    assert "heads" in kinds(town)
    assert "heads" in kinds(town)


def test_ledgers_know_of_events_that_log_file_and_receipts_have_forgotten(town: Town) -> None:
    cut(town, 5)
    attack(town, "UPDATE run SET state = 'abandoned'", "DELETE FROM receipt")
    found = [str(fault) for fault in verified(town).faults if fault.kind == "cut"]
    assert len(found) == 1
    assert "目标端台账" in found[0]


def test_everything_deleted(town: Town) -> None:
    attack(town, "DELETE FROM event", "DELETE FROM receipt")
    (town.home / "heads.jsonl").unlink()
    for name in ("library", "tax"):
        town.execute(name, "DELETE FROM shutong_ledger")
    verification = verified(town)
    assert {f"批次 {run.id}" for run in town.runs(SYNC)} <= {fault.place for fault in verification.faults}
    assert sum("没有最近一次交付的记录" in warning for warning in verification.warnings) == 2


def test_runs_and_receipts_deleted(town: Town) -> None:
    attack(town, "DELETE FROM receipt", "DELETE FROM owed", "DELETE FROM run")
    places = {fault.place for fault in verified(town).faults}
    assert places == {f"交换 {SYNC}", f"交换 {town.share}"}


def test_a_revocation_cut_off_the_log_and_the_file_of_heads_alike(town: Town) -> None:
    number = sealed(town)
    town.change("revoke")
    assert verified(town).verified
    cut(town, number)
    assert [(fault.kind, fault.place) for fault in verified(town).faults] == [("removed", f"授权 {town.grant}")]


def test_a_receipt_whose_head_was_changed(town: Town) -> None:
    attack(town, "UPDATE receipt SET body = json_set(body, '$.audit_head', '0:')")
    faults = verified(town).faults
    assert {(fault.kind, fault.place[:2]) for fault in faults} == {("edited", "回执")}


def test_a_target_that_cannot_be_read_is_named_and_no_fault(town: Town) -> None:
    town.execute("tax", "DROP TABLE shutong_ledger")
    town.execute("library", "UPDATE shutong_ledger SET head = 'x'")
    verification = verified(town)
    assert verification.verified
    assert any(town.share in warning and "无法读取" in warning for warning in verification.warnings)
    assert any(SYNC in warning and "写法不对" in warning for warning in verification.warnings)
