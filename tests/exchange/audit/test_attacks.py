"""What other hands do to the log, and the place where verification says it was done.

The attacker has the database, and where it is said the hub's files too, but not the key.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from sqlalchemy import text

from exchange.audit import AuditLog
from exchange.audit.chain import stored
from exchange.db.tables import EventRow
from exchange.secrets import Keyring
from tests.exchange.audit.conftest import write


def attack(log, *statements, **values):
    with log._database.transaction() as session:
        for statement in statements:
            session.execute(text(statement), values)


def found(log, witnesses=()):
    """Kind and place of every fault."""
    verification = log.verify(witnesses)
    assert verification.verified is (verification.faults == ())
    assert all(str(fault) for fault in verification.faults)
    return [(fault.kind, fault.first, fault.last) for fault in verification.faults]


def test_an_untouched_log_verifies(sealed):
    verification = sealed.verify([("回执 R1", sealed.head())])
    assert (verification.events, verification.sealed, verification.unsealed) == (9, 9, 0)
    assert verification.verified
    assert verification.faults == verification.warnings == ()


CHANGES = [
    "actor = '别人'",
    "established = 'system'",
    "department = NULL",
    "resource = NULL",
    "exchange = 'x'",
    "run = 'x'",
    "type = 'GrantRevoked'",
    "at = '2020-01-01 00:00:00'",
    'body = \'{"grant": "G1", "reason": ""}\'',
    "body = '{}'",
    "tag = '0000000000000000000000000000000000000000000000000000000000000000'",
]


def test_an_edited_event(sealed):
    attack(sealed, "CREATE TABLE untouched AS SELECT * FROM event")
    for change in CHANGES:
        for number in (1, 5, 9):
            attack(sealed, f"UPDATE event SET {change} WHERE number = {number}")
            assert found(sealed) == [("edited", number, number)], change
            attack(sealed, "DELETE FROM event", "INSERT INTO event SELECT * FROM untouched")
    assert found(sealed) == []


def test_an_edited_last_event_that_no_head_vouches_for(sealed, settings):
    (settings.home / "heads.jsonl").unlink()
    attack(sealed, "UPDATE event SET actor = '别人' WHERE number = 9")
    gone = ("heads", None, None)
    assert found(sealed) == [("inserted", 9, 9), gone]
    assert found(sealed, [("回执 R1", sealed.head())]) == [("edited", 9, 9), gone]


def test_an_edited_seal(sealed):
    attack(sealed, "UPDATE event SET seal = 'ab' WHERE number = 4")
    assert found(sealed) == [("reordered", 4, 5)]
    attack(sealed, "UPDATE event SET seal = NULL WHERE number = 4")
    assert found(sealed) == [("edited", 4, 4)]


def test_a_removed_event(sealed):
    attack(sealed, "CREATE TABLE untouched AS SELECT * FROM event")
    for number in (1, 2, 5, 8):
        attack(sealed, f"DELETE FROM event WHERE number = {number}")
        assert found(sealed) == [("removed", number, number)]
        attack(sealed, "DELETE FROM event", "INSERT INTO event SELECT * FROM untouched")


def test_several_removed_events(sealed):
    attack(sealed, "DELETE FROM event WHERE number IN (2, 3, 4, 7)")
    assert found(sealed) == [("removed", 2, 4), ("removed", 7, 7)]


def test_a_removed_event_whose_gap_was_closed(sealed):
    attack(
        sealed,
        "DELETE FROM event WHERE number = 4",
        *(f"UPDATE event SET number = {number - 1} WHERE number = {number}" for number in range(5, 10)),
    )
    faults = found(sealed)
    assert ("reordered", 4, 8) in faults
    assert all(kind in {"reordered", "cut"} for kind, _, _ in faults)


def test_the_removed_last_event(sealed):
    attack(sealed, "DELETE FROM event WHERE number = 9")
    assert found(sealed) == [("cut", 9, 9)]


def test_a_cut_tail(sealed):
    attack(sealed, "DELETE FROM event WHERE number > 4")
    assert found(sealed) == [("cut", 5, 9)]


def test_the_whole_log_gone(sealed):
    attack(sealed, "DELETE FROM event")
    assert found(sealed) == [("cut", 1, 9)]


def test_a_cut_tail_with_the_file_of_heads_cut_too_is_caught_by_a_witness(sealed, settings):
    witness = sealed.head()
    heads = settings.home / "heads.jsonl"
    heads.write_text("".join(heads.read_text().splitlines(keepends=True)[:2]))
    attack(sealed, "DELETE FROM event WHERE number > 3")
    assert found(sealed) == []
    assert found(sealed, [("台账 d", "0:"), ("回执 R9", witness)]) == [("cut", 4, 9)]
    assert "回执 R9" in str(sealed.verify([("回执 R9", witness)]).faults[0])


def test_a_cut_tail_over_which_the_hub_went_on_sealing(sealed):
    witness = sealed.head()
    attack(sealed, "DELETE FROM event WHERE number > 4")
    write(sealed, 7)
    assert sealed.seal() == 7
    assert found(sealed) == [("rewritten", 6, 9)]
    assert found(sealed, [("回执", witness)]) == [("rewritten", 6, 9)]


def test_swapped_events(sealed):
    attack(
        sealed,
        "UPDATE event SET number = -1 WHERE number = 3",
        "UPDATE event SET number = 3 WHERE number = 5",
        "UPDATE event SET number = 5 WHERE number = -1",
    )
    assert found(sealed) == [("reordered", 3, 6)]


def test_swapped_events_with_the_seals_left_in_place(sealed):
    with sealed._database.transaction() as session:
        seals = dict(session.execute(text("SELECT number, seal FROM event WHERE number IN (3, 5)")).all())
    attack(
        sealed,
        "UPDATE event SET number = -1 WHERE number = 3",
        "UPDATE event SET number = 3, seal = :three WHERE number = 5",
        "UPDATE event SET number = 5, seal = :five WHERE number = -1",
        three=seals[3],
        five=seals[5],
    )
    assert found(sealed) == [("reordered", 3, 3), ("reordered", 5, 5)]


COPIED = "type, at, actor, established, department, resource, exchange, run, body, tag"


def test_an_inserted_unsealed_event(sealed, caplog):
    attack(sealed, f"INSERT INTO event ({COPIED}) SELECT {COPIED} FROM event WHERE number = 5")
    assert found(sealed) == [("inserted", None, None)]
    write(sealed, 1)
    assert sealed.seal() == 1
    assert sealed.seal() == 0
    assert caplog.text.count("不予封存") == 1
    verification = sealed.verify()
    assert (verification.sealed, verification.unsealed) == (10, 1)
    assert "未封存的记录" in str(verification.faults[0])


def test_a_forged_event_does_not_keep_later_ones_from_being_sealed_once_it_is_gone(sealed):
    attack(sealed, f"INSERT INTO event (id, {COPIED}) SELECT 1000, {COPIED} FROM event WHERE number = 5")
    assert sealed.seal() == 0
    attack(sealed, "DELETE FROM event WHERE id = 1000")
    write(sealed, 1)
    assert sealed.seal() == 1
    assert found(sealed) == []


def test_an_event_edited_before_it_is_sealed(sealed):
    write(sealed, 2)
    attack(sealed, "UPDATE event SET actor = '别人' WHERE id = (SELECT max(id) FROM event)")
    assert sealed.seal() == 1
    assert found(sealed) == [("inserted", None, None)]


def test_an_inserted_sealed_event_at_the_end(sealed):
    seal = hashlib.sha256(b"guess").hexdigest()
    attack(
        sealed,
        f"INSERT INTO event ({COPIED}, number, seal) SELECT {COPIED}, 10, '{seal}' FROM event WHERE number = 5",
    )
    assert found(sealed) == [("inserted", 10, 10)]


def test_an_inserted_sealed_event_in_the_middle(sealed):
    attack(
        sealed,
        *(f"UPDATE event SET number = {number + 1} WHERE number = {number}" for number in range(9, 4, -1)),
        f"INSERT INTO event ({COPIED}, number, seal) SELECT {COPIED}, 5, 'ab' FROM event WHERE number = 4",
    )
    faults = found(sealed)
    assert ("inserted", 5, 5) in faults
    assert ("reordered", 6, 10) in faults


def test_a_rebuilt_chain_under_another_key(sealed, settings, tmp_path):
    (settings.home / "keys" / "audit.key").write_text("shutong-key:" + "ab" * 32)
    thief = AuditLog(sealed._database, Keyring(settings), settings)
    attack(sealed, "UPDATE event SET actor = '别人' WHERE number = 5")
    with sealed._database.transaction() as session:
        previous = ""
        for event in list(stored(session, EventRow.id > 0, order=EventRow.id.asc())):
            tag = thief._chain.tag(event)
            session.execute(text("UPDATE event SET tag = :tag WHERE id = :id"), {"tag": tag, "id": event.id})
        for event in list(stored(session, EventRow.id > 0, order=EventRow.id.asc())):
            previous = thief._chain.seal(previous, event.number, event)
            session.execute(text("UPDATE event SET seal = :seal WHERE id = :id"), {"seal": previous, "id": event.id})
    assert [fault for fault in found(thief) if fault[0] != "heads"] == []
    assert ("inserted", 1, 9) in found(sealed)


@pytest.mark.parametrize("line", [0, 1, 2, 3])
def test_an_edited_line_in_the_file_of_heads(sealed, settings, line):
    heads = settings.home / "heads.jsonl"
    lines = [json.loads(text) for text in heads.read_text().splitlines()]
    lines[line]["number"] = 2
    heads.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    assert found(sealed) == [("heads", None, None)]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_removed_line_in_the_file_of_heads(sealed, settings, line):
    heads = settings.home / "heads.jsonl"
    lines = heads.read_text().splitlines(keepends=True)
    del lines[line]
    heads.write_text("".join(lines))
    assert found(sealed) == [("heads", None, None)]


def test_a_file_of_heads_that_is_behind_is_said(sealed, settings):
    heads = settings.home / "heads.jsonl"
    lines = heads.read_text().splitlines(keepends=True)
    heads.write_text("".join(lines[:-1]))
    verification = sealed.verify()
    assert verification.verified
    assert "只记到第 6 号" in verification.warnings[0]
    assert sealed.seal() == 0
    assert sealed.verify().warnings == ()


@pytest.mark.parametrize("emptied", [False, True])
def test_a_file_of_heads_that_is_gone_stays_a_fault_however_often_is_sealed(sealed, settings, emptied):
    heads = settings.home / "heads.jsonl"
    heads.unlink()
    if emptied:
        heads.touch()
    assert found(sealed) == [("heads", None, None)]
    sealed.seal()
    write(sealed, 1)
    sealed.seal()
    assert found(sealed) == [("heads", None, None)]
    assert "自第 9 号才记起" in str(sealed.verify().faults[0])


def test_everything_gone_is_known_by_a_witness_alone(sealed, settings):
    witness = ("台账", sealed.head())
    (settings.home / "heads.jsonl").unlink()
    attack(sealed, "DELETE FROM event")
    assert found(sealed) == []
    assert found(sealed, [witness]) == [("cut", 1, 9), ("heads", None, None)]
    write(sealed, 1)
    sealed.seal()
    assert found(sealed, [witness]) == [("cut", 2, 9)]


# PostgreSQL keeps most of these out by itself.
ON_SQLITE = pytest.mark.parametrize("hub_url", ["sqlite"], indirect=True)


def check_a_row_no_hub_could_have_written(sealed, change):
    attack(sealed, f"UPDATE event SET {change} WHERE number = 9")
    assert found(sealed) != []
    write(sealed, 1)
    assert sealed.seal() == 1
    assert found(sealed) != []


@pytest.mark.parametrize("change", ["body = '[1]'", 'body = \'{"a": "\\ud800"}\''])
def test_a_body_no_hub_could_have_written_does_not_stop_the_verification(sealed, change):
    check_a_row_no_hub_could_have_written(sealed, change)


@ON_SQLITE
@pytest.mark.parametrize(
    "change", ["body = 'no json'", "at = 'yesterday'", "seal = x'ff'", "number = 'nine'", "actor = x'c328'"]
)
def test_a_value_no_hub_could_have_written_does_not_stop_the_verification(sealed, change):
    check_a_row_no_hub_could_have_written(sealed, change)


@ON_SQLITE
@pytest.mark.parametrize("change", ["body = 'no json'", "at = 'yesterday'", "body = x'ff'"])
def test_an_unreadable_unsealed_row_does_not_stop_the_sealer(sealed, change):
    write(sealed, 2)
    attack(sealed, f"UPDATE event SET {change} WHERE id = 10")
    assert sealed.seal() == 1
    assert found(sealed) == [("inserted", None, None)]
