"""Pushing: durable before the answer, carried out once, one answer for ever."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa
import pytest
import sqlalchemy as sa

from adapters import DELETE
from adapters.errors import Malformed, Refused, Unavailable
from adapters.webservice.desk import Caller
from exchange.db.tables import EventRow, MessageRow
from exchange.engine import lease
from exchange.service.messages import Content
from tests.exchange.engine.town import TAX, identity_number, person, wrong
from tests.exchange.service.callers import CODE, PUSH, PUSHED, PUSHER, Callers, pushed


def library(callers: Callers) -> dict[str, int]:
    """What was pushed into the library: version by key."""
    with closing(sqlite3.connect(callers.town.urls["library"].removeprefix("sqlite:///"))) as connection:
        return dict(connection.execute("SELECT id_no, ver FROM r_101001001_0002"))


def files(callers: Callers) -> int:
    return len(list((callers.town.home / "mail").glob("*.message.*")))


def test_a_message_is_delivered_and_answered(callers: Callers) -> None:
    with callers.desk() as desk:
        answer = desk.push(PUSHER, PUSHED, "M1", pushed(person(1), person(2)))
        assert (answer.state, answer.rows, answer.accepted, answer.refused) == ("delivered", 2, 2, ())
        assert answer.receipt is not None
        assert not answer.repeated
        receipt = desk.receipt(PUSHER, answer.receipt)
        assert (receipt.resource, receipt.counts["written"]) == (PUSHED, 2)
        assert desk.status(PUSHER, "M1") == answer
    assert library(callers) == {identity_number(1): 1, identity_number(2): 1}
    [run] = callers.town.runs(PUSH)
    assert [event for event in callers.town.events(run.id) if event.startswith("Run")] == [
        "RunStarted", "RunStaged", "RunGated", "RunCommitted", "RunSettled",
    ]  # fmt: skip
    assert callers.town.faults() == []


def test_the_same_message_again(callers: Callers) -> None:
    with callers.desk() as desk:
        first = desk.push(PUSHER, PUSHED, "M1", pushed(person(1), wrong(2), person(4)))
        again = desk.push(PUSHER, PUSHED, "M1", pushed(person(1), wrong(2), person(4)))
    assert again.repeated
    assert (again.state, again.receipt, again.refused) == (first.state, first.receipt, first.refused)
    assert len(callers.town.runs(PUSH)) == 1
    assert files(callers) == 1


def test_the_same_id_with_other_content(callers: Callers) -> None:
    with callers.desk() as desk:
        desk.push(PUSHER, PUSHED, "M1", pushed(person(1)))
        with pytest.raises(Refused, match="M1"):
            desk.push(PUSHER, PUSHED, "M1", pushed(person(1, version=2)))
    assert library(callers) == {identity_number(1): 1}
    assert files(callers) == 1
    assert len(callers.town.all(sa.select(EventRow).where(EventRow.type == "AccessDenied"))) == 1


def test_what_is_refused_is_told_by_its_number_in_the_message(callers: Callers) -> None:
    with callers.desk() as desk:
        answer = desk.push(PUSHER, PUSHED, "M1", pushed(person(1), wrong(2), person(4), {**person(5), "ver": "x"}))
        assert (answer.state, answer.accepted) == ("delivered", 2)
        assert [(each.row, each.item) for each in answer.refused] == [(2, "id_no"), (4, "ver")]
        assert all(each.rule and each.reason for each in answer.refused)
        assert all(wrong(2)["id_no"] not in each.reason for each in answer.refused)
        second = desk.push(PUSHER, PUSHED, "M2", pushed(person(7), wrong(8)))
        assert [each.row for each in second.refused] == [2]
    assert len(library(callers)) == 3


def test_too_much_is_refused(callers: Callers) -> None:
    with callers.desk() as desk:
        answer = desk.push(PUSHER, PUSHED, "M1", pushed(wrong(1), wrong(2), person(4)))
        assert (answer.state, answer.accepted, answer.receipt) == ("stopped", 0, None)
        assert [each.row for each in answer.refused] == [1, 2]
        assert desk.push(PUSHER, PUSHED, "M1", pushed(wrong(1), wrong(2), person(4))).state == "stopped"
        # It is over with, and holds nothing up.
        assert desk.push(PUSHER, PUSHED, "M2", pushed(person(4))).state == "delivered"
    assert library(callers) == {identity_number(4): 1}
    assert len(callers.town.runs(PUSH)) == 2


def test_deletions(callers: Callers) -> None:
    with callers.desk() as desk:
        desk.push(PUSHER, PUSHED, "M1", pushed(person(1), person(2)))
        answer = desk.push(PUSHER, PUSHED, "M2", pushed(person(1, version=2), operation=DELETE))
        assert answer.accepted == 1
    assert library(callers) == {identity_number(2): 1}


def test_nothing_at_all(callers: Callers) -> None:
    with callers.desk() as desk:
        assert desk.push(PUSHER, PUSHED, "M1", iter(())).state == "delivered"
        assert desk.push(PUSHER, PUSHED, "M2", pushed()).rows == 0


def test_messages_are_carried_out_in_their_order(callers: Callers) -> None:
    with callers.town.away("library"), callers.desk() as desk:
        assert desk.push(PUSHER, PUSHED, "M1", pushed(person(1))).state in ("received", "failed")
        assert desk.push(PUSHER, PUSHED, "M2", pushed(person(1, version=2))).state == "received"
    with callers.desk() as desk:
        assert desk.push(PUSHER, PUSHED, "M3", pushed(person(2))).state == "delivered"
        assert desk.status(PUSHER, "M1").state == desk.status(PUSHER, "M2").state == "delivered"
    assert library(callers) == {identity_number(1): 2, identity_number(2): 1}


def test_busy_is_received_and_the_loop_carries_it_out(callers: Callers) -> None:
    town = callers.town
    with town.hub() as hub, hub.database.transaction() as session:
        epoch = lease.acquire(session, PUSH, owner="other", seconds=60)
    with callers.desk() as desk:
        answer = desk.push(PUSHER, PUSHED, "M1", pushed(person(1)))
        assert (answer.state, answer.receipt) == ("received", None)
        assert desk.status(PUSHER, "M1").state == "received"
    with town.hub() as hub:
        with hub.database.transaction() as session:
            lease.release(session, PUSH, owner="other", epoch=epoch)
        assert PUSH in hub.oversight.due()
        results = dict(hub.oversight.run_due(by=town.actor("integrator")))
        assert results[PUSH].state == "settled"  # type: ignore[union-attr]
        assert PUSH not in hub.oversight.due()
    with callers.desk() as desk:
        assert desk.status(PUSHER, "M1").state == "delivered"
    assert library(callers) == {identity_number(1): 1}


def test_a_message_of_nobody(callers: Callers) -> None:
    with callers.desk() as desk:
        desk.push(PUSHER, PUSHED, "M1", pushed(person(1)))
        for caller, message in ((Caller("C9", TAX), "M1"), (PUSHER, "M2"), (PUSHER, ""), (PUSHER, "x" * 200)):
            with pytest.raises(Refused, match="没有这个消息"):
                desk.status(caller, message)


@pytest.mark.parametrize("message", ["", "x" * 129, "a\nb"])
def test_ids_that_are_none(callers: Callers, message: str) -> None:
    with callers.desk() as desk, pytest.raises(Malformed):
        desk.push(PUSHER, PUSHED, message, pushed(person(1)))
    assert files(callers) == 0


def test_what_is_not_the_caller_s_to_push(callers: Callers) -> None:
    with callers.desk() as desk:
        for caller, code in ((PUSHER, CODE), (Caller("C9", TAX), PUSHED), (PUSHER, "109009009/0009")):
            with pytest.raises(Refused, match="没有可推送的资源"):
                desk.push(caller, code, "M1", pushed(person(1)))
    assert callers.town.all(sa.select(MessageRow)) == []


def test_a_message_that_breaks_off_is_none(callers: Callers) -> None:
    def breaking() -> Iterator[pa.RecordBatch]:
        yield from pushed(person(1))
        raise Malformed("报文中断")

    with callers.desk() as desk:
        with pytest.raises(Malformed):
            desk.push(PUSHER, PUSHED, "M1", breaking())
        assert desk.push(PUSHER, PUSHED, "M1", pushed(person(2))).state == "delivered"
    assert library(callers) == {identity_number(2): 1}


def test_a_message_with_other_items(callers: Callers) -> None:
    [batch] = pushed(person(1))
    with callers.desk() as desk:
        for wrong_batch in (batch.drop_columns(["born"]), batch.append_column("more", batch.column(0))):
            with pytest.raises(Malformed, match="信息项"):
                desk.push(PUSHER, PUSHED, "M1", iter([wrong_batch]))
    assert files(callers) == 0


def test_too_many_rows(callers: Callers) -> None:
    file = callers.town.home / "shutong.toml"
    file.write_text(file.read_text() + "\n[limits]\nmessage_rows = 2\nrows_per_minute = 2\n")
    with callers.desk() as desk:
        with pytest.raises(Malformed, match="2 行"):
            desk.push(PUSHER, PUSHED, "M1", pushed(person(1), person(2), person(4)))
        desk.push(PUSHER, PUSHED, "M1", pushed(person(1), person(2)))
        with pytest.raises(Unavailable, match="每分钟"):
            desk.push(PUSHER, PUSHED, "M2", pushed(person(1)))
    assert files(callers) == 1


def test_the_digest_is_of_the_content_not_of_the_batches() -> None:
    table = pa.table({"a": ["x", None, "", "甲乙"], "b": ["1", "2", "3", "4"]})

    def digest(*sizes: int, of: pa.Table = table) -> str:
        content, start = Content(b"k" * 32), 0
        for size in sizes:
            for batch in of.slice(start, size).combine_chunks().to_batches():
                content.through(batch)
            start += size
        return content.digest()

    assert digest(4) == digest(1, 3) == digest(2, 2)
    others = [
        table.set_column(0, "a", pa.array(["x", "", None, "甲乙"])),
        table.set_column(0, "a", pa.array(["x甲", None, "", "乙"])),
        table.rename_columns(["b", "a"]),
        table.slice(0, 3),
    ]
    assert len({digest(4), *(digest(4, of=other) for other in others)}) == 5


def test_messages_are_removed_after_their_time(callers: Callers) -> None:
    with callers.desk() as desk:
        desk.push(PUSHER, PUSHED, "M1", pushed(person(1)))
        by, room = callers.town.actor("integrator"), desk._hub.engine.mailroom
        days = {"unfetched": 30, "fetched": 7, "messages": 1}
        room.expire(by=by, **days)
        assert files(callers) == 1
        with desk._hub.database.transaction() as session:
            session.execute(sa.text("UPDATE run SET ended_at = '2020-01-01 00:00:00.000000'"))
        room.expire(by=by, **days)
        assert files(callers) == 0
        assert desk.push(PUSHER, PUSHED, "M1", pushed(person(1))).repeated


def test_a_file_without_a_row_is_swept(callers: Callers) -> None:
    with callers.desk() as desk:
        desk.push(PUSHER, PUSHED, "M1", pushed(person(1)))
        folder = callers.town.home / "mail"
        [name] = [path.name for path in folder.glob("*.message.*")]
        own = name.split(".")[0]
        for age in ("10", "7fffffff"):
            (folder / f"{own}.message.{age}.ab").write_bytes(b"x")
        room = desk._hub.engine.mailroom
        room.expire(by=callers.town.actor("integrator"), unfetched=30, fetched=7, messages=30)
        assert {path.name for path in folder.glob("*.message.*")} == {name, f"{own}.message.7fffffff.ab"}
