"""Tables that change between runs: what is noted, what holds the exchange, and what lets it go on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.audit import AuditLog, events
from exchange.db.tables import EventRow, NoticeRow, StructureRow
from exchange.engine.structures import SIDES
from exchange.errors import Failed, Held, HubError
from tests.exchange.engine.town import HUB, POLICE, SYNC, TAX, Town, at, person, publish, resource

Deed = Callable[[Town], None]


def redefined(place: str, table: str, old: str, new: str) -> Deed:
    """A table made anew with another definition, its rows kept, as its people would."""

    def deed(town: Town) -> None:
        ((text,),) = town.query(place, f"SELECT sql FROM sqlite_master WHERE name = '{table}'")
        assert old in text
        town.execute(place, f"ALTER TABLE {table} RENAME TO before_it")
        town.execute(place, text.replace(old, new).replace(f'"{table}"', table))
        kept = {each["name"] for each in sa.inspect(town.databases[place]).get_columns(table)}
        had = {each["name"] for each in sa.inspect(town.databases[place]).get_columns("before_it")}
        names = ", ".join(sorted(kept & had))
        town.execute(place, f"INSERT INTO {table} ({names}) SELECT {names} FROM before_it")
        town.execute(place, "DROP TABLE before_it")

    return deed


def done(place: str, *statements: str) -> Deed:
    """Statements of its people."""

    def deed(town: Town) -> None:
        for statement in statements:
            town.execute(place, statement)

    return deed


@pytest.fixture
def running(town: Town) -> Town:
    """Everything has moved once."""
    town.report(*(person(number) for number in range(6)))
    town.run_both()
    return town


def told(town: Town, kind: type[events.Event], exchange: str) -> list[dict[str, Any]]:
    """Bodies of events, oldest first."""
    query = sa.select(EventRow.body).where(EventRow.type == kind.__name__, EventRow.exchange == exchange)
    return town.all(query.order_by(EventRow.id))


def notified(town: Town) -> list[NoticeRow]:
    """Notices of changed structures."""
    return town.all(sa.select(NoticeRow).where(NoticeRow.text.contains("结构有变化")))


def status(town: Town, exchange: str) -> Any:
    return next(each for each in town.status() if each.id == exchange)


def held(town: Town, exchange: str) -> Held:
    """The exchange is held, and nothing was read or begun."""
    runs, steps = len(town.runs(exchange)), []
    with pytest.raises(Held) as error:
        town.run(exchange, observe=lambda step, _: steps.append(step))
    assert steps == ["1.planned"]
    assert len(town.runs(exchange)) == runs
    assert error.value.status == 5
    assert error.value.reasons
    assert f"exchange approve {exchange}" in error.value.remedy
    stands = status(town, exchange)
    assert stands.state == "held"
    assert stands.held == error.value.reasons
    return error.value


def test_the_first_run_records_both_ends_and_the_next_has_nothing_to_say(running: Town) -> None:
    for exchange in (SYNC, running.share):
        assert [each["side"] for each in told(running, events.StructureRecorded, exchange)] == list(SIDES)
    running.run_both()
    kept = running.all(sa.select(StructureRow).where(StructureRow.exchange == SYNC).order_by(StructureRow.side))
    assert [(row.side, row.endpoint, row.object) for row in kept] == [
        ("source", "police", "inf_person"),
        ("target", "library", "r_101001001_0001"),
    ]
    assert [row.approved_by for row in kept] == ["platform"] * 2
    assert told(running, events.StructureChanged, SYNC) == []
    assert len(told(running, events.StructureRecorded, SYNC)) == 2
    assert running.faults() == []


NOTED: list[tuple[str, str, Deed, str]] = [
    ("source", "added", done("police", "ALTER TABLE inf_person ADD COLUMN phone VARCHAR(11)"), "phone"),
    ("source", "widened", redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(80)"), "会被拒收"),
    ("source", "spelling", redefined("police", "inf_person", "name VARCHAR(64)", "name NCHAR(64)"), "nchar"),
    ("target", "added", done("tax", "ALTER TABLE person ADD COLUMN mine INTEGER"), "mine"),
    ("target", "filled", done("tax", "ALTER TABLE person ADD COLUMN mine INTEGER DEFAULT 1 NOT NULL"), "mine"),
    ("target", "widened", redefined("tax", "person", "name VARCHAR(64)", "name VARCHAR(99)"), "name"),
]


@pytest.mark.parametrize(
    ("side", "deed", "word"), [(s, d, w) for s, _, d, w in NOTED], ids=[f"{s} {n}" for s, n, *_ in NOTED]
)
def test_what_loses_nothing_is_noted_and_the_run_goes_on(running: Town, side: str, deed: Deed, word: str) -> None:
    exchange = SYNC if side == "source" else running.share
    deed(running)
    running.report(person(1, version=2), person(50))
    running.run(SYNC)
    result = running.run(running.share)
    assert result.counts["written"] == 2
    (changed,) = told(running, events.StructureChanged, exchange)
    assert changed["side"] == side
    assert word in "".join(changed["changes"])
    assert any(word in text for text in status(running, exchange).noted)
    assert status(running, exchange).state == "active"
    running.run_both()
    assert status(running, exchange).noted == ()
    assert len(told(running, events.StructureChanged, exchange)) == 1


HOLDING: list[tuple[str, str, Deed, Deed, str]] = [
    (
        "source",
        "dropped",
        redefined("police", "inf_person", "district VARCHAR(6), ", ""),
        redefined("police", "inf_person", "name VARCHAR(64), ", "name VARCHAR(64), district VARCHAR(6), "),
        "信息项 district 读不到了",
    ),
    (
        "source",
        "renamed",
        done("police", "ALTER TABLE inf_person RENAME COLUMN name TO full_name"),
        done("police", "ALTER TABLE inf_person RENAME COLUMN full_name TO name"),
        "可能改名为 full_name",
    ),
    (
        "source",
        "narrowed",
        redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(20)"),
        redefined("police", "inf_person", "name VARCHAR(20)", "name VARCHAR(64)"),
        "变窄",
    ),
    (
        "source",
        "another type",
        redefined("police", "inf_person", "born DATE", "born INTEGER"),
        redefined("police", "inf_person", "born INTEGER", "born DATE"),
        "改了类型",
    ),
    (
        "source",
        "state column dropped",
        done("police", "ALTER TABLE inf_person RENAME COLUMN sync_error_desc TO why"),
        done("police", "ALTER TABLE inf_person RENAME COLUMN why TO sync_error_desc"),
        "交换要用的列",
    ),
    (
        "source",
        "gone",
        done("police", "ALTER TABLE inf_person RENAME TO elsewhere"),
        done("police", "ALTER TABLE elsewhere RENAME TO inf_person"),
        "已不存在",
    ),
    (
        "source",
        "a view",
        done("police", "ALTER TABLE inf_person RENAME TO hidden", "CREATE VIEW inf_person AS SELECT * FROM hidden"),
        done("police", "DROP VIEW inf_person", "ALTER TABLE hidden RENAME TO inf_person"),
        "现在是视图",
    ),
    (
        "source",
        "another key",
        redefined("police", "inf_person", "PRIMARY KEY (id_no)", "PRIMARY KEY (id_no, ver)"),
        redefined("police", "inf_person", "PRIMARY KEY (id_no, ver)", "PRIMARY KEY (id_no)"),
        "行的标识变了",
    ),
    (
        "target",
        "dropped",
        done("tax", "ALTER TABLE person DROP COLUMN born"),
        done("tax", "ALTER TABLE person ADD COLUMN born TEXT"),
        "没有地方可写",
    ),
    (
        "target",
        "narrowed",
        redefined("tax", "person", "name VARCHAR(64)", "name VARCHAR(20)"),
        redefined("tax", "person", "name VARCHAR(20)", "name VARCHAR(64)"),
        "长的值会装不下",
    ),
    (
        "target",
        "a bound column not null",
        redefined("tax", "person", "name VARCHAR(64)", "name VARCHAR(64) NOT NULL"),
        redefined("tax", "person", "name VARCHAR(64) NOT NULL", "name VARCHAR(64)"),
        "空值会被拒收",
    ),
    (
        "target",
        "another key",
        redefined("tax", "person", "PRIMARY KEY (id_no)", "PRIMARY KEY (id_no, ver)"),
        redefined("tax", "person", "PRIMARY KEY (id_no, ver)", "PRIMARY KEY (id_no)"),
        "合并的依据变了",
    ),
    (
        "target",
        "unique",
        done("tax", "CREATE UNIQUE INDEX one_of_a_name ON person (name, id_no)"),
        done("tax", "DROP INDEX one_of_a_name"),
        "重复",
    ),
    (
        "target",
        "gone",
        done("tax", "ALTER TABLE person RENAME TO elsewhere"),
        done("tax", "ALTER TABLE elsewhere RENAME TO person"),
        "没有地方可写",
    ),
]


@pytest.mark.parametrize(
    ("side", "deed", "undone", "word"),
    [(s, d, u, w) for s, _, d, u, w in HOLDING],
    ids=[f"{s} {n}" for s, n, *_ in HOLDING],
)
def test_what_may_lose_something_holds_until_it_is_undone(
    running: Town, side: str, deed: Deed, undone: Deed, word: str
) -> None:
    exchange = SYNC if side == "source" else running.share
    deed(running)
    error = held(running, exchange)
    assert any(word in reason for reason in error.reasons)
    assert all(reason.startswith(SIDES[side]) for reason in error.reasons)  # type: ignore[index]
    assert held(running, exchange).reasons == error.reasons
    (event,) = told(running, events.HoldPlaced, exchange)
    assert event["side"] == side
    notices = notified(running)
    assert {notice.department for notice in notices} == ({POLICE, HUB} if side == "source" else {POLICE, TAX, HUB})
    assert len({notice.text for notice in notices}) == 1
    assert exchange in notices[0].text
    undone(running)
    running.report(person(1, version=2))
    running.run_both()
    assert running.rows("library") == running.good()
    assert len(told(running, events.HoldLifted, exchange)) == 1
    assert status(running, exchange).state == "active"
    assert running.faults() == []


def test_a_new_column_that_must_be_filled_and_is_not(running: Town) -> None:
    redefined("tax", "person", "PRIMARY KEY", "mine INTEGER NOT NULL DEFAULT 3, PRIMARY KEY")(running)
    running.run(running.share)
    redefined("tax", "person", "NOT NULL DEFAULT 3", "NOT NULL")(running)
    assert "行会被拒收" in held(running, running.share).reasons[0]


def test_a_column_nobody_uses_may_go(running: Town) -> None:
    running.execute("police", "ALTER TABLE inf_person ADD COLUMN phone VARCHAR(11)")
    running.run(SYNC)
    running.execute("police", "ALTER TABLE inf_person DROP COLUMN phone")
    running.run(SYNC)
    assert len(told(running, events.StructureChanged, SYNC)) == 2


def test_a_new_version_that_follows_a_renaming_makes_it_vanish(running: Town) -> None:
    running.execute("police", "ALTER TABLE inf_person RENAME COLUMN name TO full_name")
    assert "可能改名为 full_name" in held(running, SYNC).reasons[0]
    offer = resource()["offer"]
    followed = {**offer, "columns": {**offer["columns"], "name": "full_name"}}
    with running.hub() as hub:
        publish(running, hub, resource(offer=followed))
    result = running.run(SYNC)
    assert (result.plan.resource_version, result.state) == (2, "settled")
    assert running.rows("library") == running.good()
    assert len(told(running, events.HoldLifted, SYNC)) == 1
    (changed,) = told(running, events.StructureChanged, SYNC)
    assert "full_name" in changed["changes"][0]


def test_a_wider_source_refuses_the_longer_rows_and_says_what_to_do(running: Town) -> None:
    redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(80)")(running)
    running.report(person(40, name="长" * 70), person(41))
    result = running.run(SYNC)
    assert (result.counts["written"], result.counts["refused"]) == (1, 1)
    (noted,) = status(running, SYNC).noted
    assert "信息项 name 登记的长度是 64，更长的行会被拒收；请登记资源的新版本" in noted


def test_a_run_that_died_before_it_was_staged_is_held_too_and_keeps_its_key(running: Town) -> None:
    running.report(person(1, version=2))

    class Killed(BaseException):
        """The process is gone."""

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        running.run(SYNC, observe=at("3.read", die))
    unfinished = running.runs(SYNC)[-1]
    assert unfinished.state == "planned"
    running.execute("police", "ALTER TABLE inf_person RENAME COLUMN name TO full_name")
    held(running, SYNC)
    running.execute("police", "ALTER TABLE inf_person RENAME COLUMN full_name TO name")
    result = running.run(SYNC)
    assert (result.id, result.state) == (unfinished.id, "settled")
    assert running.rows("library") == running.good()


def test_a_run_whose_grant_is_no_more_ends_whatever_became_of_its_tables(running: Town) -> None:
    running.report(person(1, version=2))
    running.run(SYNC)

    class Killed(BaseException):
        """The process is gone."""

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        running.run(running.share, observe=at("3.read", die))
    running.execute("tax", "ALTER TABLE person RENAME COLUMN name TO full_name")
    held(running, running.share)
    running.change("revoke")
    assert running.run(running.share).state == "barred"


def test_a_run_that_was_staged_is_carried_to_its_end(running: Town) -> None:
    running.report(person(1, version=2))

    class Killed(BaseException):
        """The process is gone."""

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        running.run(SYNC, observe=at("5.manifest", die))
    redefined("police", "inf_person", "name VARCHAR(64)", "name VARCHAR(20)")(running)
    assert running.run(SYNC).state == "settled"
    held(running, SYNC)


@contextmanager
def dying_at(kind: type[events.Event]) -> Any:
    """The process dies in the transaction that would record such an event."""
    with pytest.MonkeyPatch.context() as patch:
        whole = AuditLog.record

        def record(self: AuditLog, session: Any, event: events.Event, **about: Any) -> Any:
            if isinstance(event, kind):
                raise KeyboardInterrupt
            return whole(self, session, event, **about)

        patch.setattr(AuditLog, "record", record)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_a_death_while_it_is_noted_or_held_leaves_nothing_half_done(running: Town) -> None:
    running.execute("police", "ALTER TABLE inf_person ADD COLUMN phone VARCHAR(11)")
    runs = len(running.runs(SYNC))
    with dying_at(events.StructureChanged):
        running.run(SYNC)
    assert len(running.runs(SYNC)) == runs
    running.run(SYNC)
    assert len(told(running, events.StructureChanged, SYNC)) == 1
    running.execute("police", "ALTER TABLE inf_person RENAME COLUMN name TO full_name")
    with dying_at(events.NoticeIssued):
        running.run(SYNC)
    assert told(running, events.HoldPlaced, SYNC) == []
    assert status(running, SYNC).state == "active"
    held(running, SYNC)
    assert len(notified(running)) == 2


def test_a_table_that_was_never_there_is_told_by_the_run(town: Town) -> None:
    town.execute("police", "ALTER TABLE inf_person RENAME TO elsewhere")
    with pytest.raises(HubError) as error:
        town.run(SYNC)
    assert not isinstance(error.value, Held)
    assert "inf_person" in error.value.message
    town.execute("police", "ALTER TABLE elsewhere RENAME TO inf_person")
    town.report(person(1))
    assert town.run(SYNC).counts["written"] == 1


def test_a_source_that_is_away_fails_as_ever_and_nothing_is_read_unseen(running: Town) -> None:
    with running.away("police"), pytest.raises(HubError) as error:
        running.run(SYNC)
    assert isinstance(error.value, Failed) or error.value.message
    assert running.runs(SYNC)[-1].state == "failed"
    assert running.run(SYNC).state == "settled"


def test_another_place_is_looked_at_anew(running: Town) -> None:
    offer = {**resource()["offer"], "object": "other_person"}
    ((text,),) = running.query("police", "SELECT sql FROM sqlite_master WHERE name = 'inf_person'")
    running.execute("police", text.replace("inf_person", "other_person").replace("VARCHAR(64)", "VARCHAR(70)"))
    with running.hub() as hub:
        publish(running, hub, resource(offer=offer))
    running.run(SYNC)
    assert len(told(running, events.StructureRecorded, SYNC)) == 3
    assert told(running, events.StructureChanged, SYNC) == []
