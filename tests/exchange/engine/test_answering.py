"""What recipients make of delivered rows is read back, again and again until nothing is unread, and kept once."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db import now
from exchange.db.tables import AddendumRow, AnswerRow, EventRow, NoticeRow, OwedRow
from exchange.engine.answering import FILES
from exchange.errors import Failed, HubError, Invalid, Misplaced, Tampered
from exchange.hub.answers import Answered
from exchange.identity import Actor
from exchange.settings import Role
from tests.exchange.engine.town import COLUMNS, HERE, SYNC, TAX, Town, build, clone, identity_number, person
from tests.exchange.engine.witness import PRODUCTS
from tests.exchange.engine.worker import Workers

WAITING = 1.1
"""Rows of two deliveries bear different times after so many seconds."""
SOMEBODY = identity_number(77)
HOSTILE = f"\x1b[2J证件 {SOMEBODY}\r\n不存在\u202e" + "错" * (1 << 20)


def target(family: str | None) -> dict[str, Any]:
    columns = {name: name for name in COLUMNS}
    if family == "guangdong":
        columns["ver"] = "VERSION"
    if family == "shandong":
        columns["ver"] = "DATAVER"
    return {"endpoint": "tax", "object": "person", "columns": columns, "profile": family}


@pytest.fixture(scope="session")
def built_answering_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("answering")
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(build(folder / "home", urls, target=target("jiangsu"))) as town:
        yield town


@pytest.fixture
def answering_town(built_answering_town: Town, tmp_path: Path) -> Iterator[Town]:
    """A town on files whose tax office says of each row what became of it."""
    with closing(clone(built_answering_town, tmp_path)) as town:
        yield town


@pytest.fixture
def delivered(answering_town: Town) -> Town:
    answering_town.report(*(person(number, district=HERE) for number in range(5)))
    answering_town.run_both()
    return answering_town


def integrator() -> Actor:
    """The tax office's own."""
    return Actor(name="税务集成", established="demo", department=TAX, roles=frozenset({Role.INTEGRATOR}))


def mark(town: Town, number: int, state: str, text: str | None = None) -> None:
    """What the tax office's own system does with a row."""
    with town.databases["tax"].begin() as connection:
        query = sa.text("UPDATE person SET sync_sign = :state, sync_error_desc = :text WHERE id_no = :id")
        connection.execute(query, {"state": state, "text": text, "id": identity_number(number)})


def asked(town: Town, name: str | None = None) -> Answered:
    """The counts and rows after asking now."""
    with town.hub() as hub:
        hub.answers.ask(name or town.share, by=integrator())
        return hub.answers.show(name or town.share, by=integrator(), keys=True)


def counts(shown: Answered) -> dict[str, int | None]:
    return shown.addenda[-1].counts


def files(town: Town) -> list[str]:
    return sorted(path.name for path in (town.home / "payload").iterdir() if path.name.startswith(FILES))


def make_due(town: Town, **ago: float) -> None:
    """As if the delivery had been so long ago, and its time to be asked had come."""
    with town.hub() as hub, hub.database.transaction() as session:
        for row in session.scalars(sa.select(AnswerRow)):
            row.delivered_at = row.due_at = now(session) - timedelta(**ago)


def collect(town: Town) -> int:
    with town.hub() as hub:
        return hub.engine.answering.collect(by=town.actor("integrator"))


PLACES = [(product, family) for family in ("jiangsu", "guangdong", "shandong") for product in PRODUCTS]
STANDING = [("postgresql", "jiangsu"), ("mariadb", "guangdong"), ("sqlite", "shandong")]
"""Each product and each family once, for all of them."""


@pytest.mark.parametrize(
    ("product", "family"),
    [each if each in STANDING else pytest.param(*each, marks=pytest.mark.long) for each in PLACES],
)
def test_answers_are_read_back_into_the_receipt(
    product: str, family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if product == "sqlite":
        urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    else:
        server = request.getfixturevalue(f"{product}_server")
        urls = {name: server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, target=target(family))) as town:
        town.report(*(person(number, district=HERE) for number in range(4)))
        _, shared = town.run_both()
        assert shared.owed == ()
        (before,) = town.receipts(town.share)
        state, failed = {"jiangsu": ("sync_sign", "2"), "guangdong": ("REC_FLAG", "1"), "shandong": ("SIGNSTATE", "3")}[
            family
        ]
        column = town.databases["tax"].dialect.identifier_preparer.quote(state)
        town.execute("tax", f"UPDATE person SET {column} = '1' WHERE id_no = '{identity_number(0)}'")
        town.execute("tax", f"UPDATE person SET {column} = '{failed}' WHERE id_no = '{identity_number(1)}'")
        there = town.query("tax", "SELECT * FROM person ORDER BY id_no")
        known = {"done": 2, "failed": None} if family == "guangdong" else {"done": 1, "failed": 1}
        shown = asked(town)
        assert counts(shown) == {"new": 2, **known, "other": 0, "gone": 0}
        assert [row.key for row in shown.failures] == ([{"id_no": identity_number(1)}] if known["failed"] else [])
        assert town.query("tax", "SELECT * FROM person ORDER BY id_no") == there
        (after,) = town.receipts(town.share)
        assert (before.body, before.digest) == (after.body, after.digest)
        assert town.faults() == []


def test_what_is_said_is_sealed_and_personal_data_stays_in_the_vault(
    delivered: Town, capfd: pytest.CaptureFixture[str]
) -> None:
    town = delivered
    # The column is as long as the recipient made it.
    with town.databases["tax"].begin() as connection:
        connection.execute(sa.text("UPDATE person SET sync_sign = '2', sync_error_desc = :t WHERE id_no = :id"),
                           {"t": HOSTILE, "id": identity_number(2)})  # fmt: skip
    mark(town, 1, "1")
    shown = asked(town)
    assert counts(shown) == {"new": 3, "done": 1, "failed": 1, "other": 0, "gone": 0}
    (failure,) = shown.failures
    assert failure.text is not None
    assert failure.text.startswith(f"\ufffd[2J证件 {SOMEBODY} 不存在\ufffd错")
    assert len(failure.text) <= 1000
    assert failure.key == {"id_no": identity_number(2)}
    (file,) = files(town)
    for path in town.home.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert SOMEBODY.encode() not in raw, path
            assert "不存在".encode() not in raw, path
    said = "".join(capfd.readouterr())
    assert SOMEBODY not in said
    assert identity_number(2) not in said
    told = town.all(sa.select(EventRow.body).where(EventRow.type == "AnswersReceived"))
    assert told == [
        {
            "receipt": shown.receipt, "number": 1, "digest": shown.addenda[0].digest, "rows": 1,
            "counts": {"new": 3, "done": 1, "failed": 1, "other": 0, "gone": 0},
        }
    ]  # fmt: skip
    assert file


def test_only_what_differs_is_added_and_the_last_words_alone_are_kept(delivered: Town) -> None:
    town = delivered
    mark(town, 2, "2", "第一次")
    assert [each.number for each in asked(town).addenda] == [1]
    assert [each.number for each in asked(town).addenda] == [1]
    first = files(town)
    mark(town, 2, "2", "第二次")
    shown = asked(town)
    assert [each.number for each in shown.addenda] == [1, 2]
    assert shown.addenda[0].counts == shown.addenda[1].counts
    assert [each.text for each in shown.failures] == ["第二次"]
    assert len(files(town)) == 1
    assert files(town) != first
    mark(town, 2, "1")
    assert asked(town).failures == ()
    assert files(town) == []
    assert town.faults() == []


def test_a_row_delivered_again_belongs_to_the_later_delivery(delivered: Town) -> None:
    town = delivered
    mark(town, 1, "2", "名字不对")
    first = asked(town).receipt
    time.sleep(WAITING)
    town.report(person(1, version=2, district=HERE, name="改好了"), person(2, version=2, district="321283"))
    town.run_both()
    earlier, later = asked(town, first), asked(town)
    assert later.receipt != first
    assert counts(earlier) == {"new": 3, "done": 0, "failed": 0, "other": 0, "gone": 2}
    assert (later.written, counts(later)) == (1, {"new": 1, "done": 0, "failed": 0, "other": 0, "gone": 0})


def test_deliveries_of_one_second_are_counted_together(delivered: Town) -> None:
    town = delivered
    first = asked(town).run
    time.sleep(WAITING)
    town.report(person(7, district=HERE))
    town.run_both()
    with town.hub() as hub, hub.database.transaction() as session:
        one, other = session.scalars(sa.select(AnswerRow).order_by(AnswerRow.delivered_at))
        other.stamp = one.stamp
    town.execute("tax", "UPDATE person SET update_date = (SELECT min(update_date) FROM person)")
    shown = asked(town)
    assert shown.addenda[-1].shared_with == (first,)
    assert counts(shown) == {"new": 6, "done": 0, "failed": 0, "other": 0, "gone": 0}


def test_what_is_due_is_asked_until_nothing_is_unread(delivered: Town) -> None:
    town = delivered
    debts = sa.select(OwedRow).where(OwedRow.kind == "answers")
    assert collect(town) == 0, "asked too soon"
    make_due(town, minutes=10)
    assert collect(town) == 1
    assert collect(town) == 0, "asked again at once"
    assert town.owed() == ["answers"]
    for number in range(4):
        mark(town, number, "1")
    mark(town, 4, "2", "不行")
    make_due(town, hours=1)
    with town.hub() as hub:
        list(hub.oversight.run_due(by=town.actor("integrator")))
    assert town.owed() == []
    (debt,) = town.all(debts)
    assert (debt.attempts, debt.error) == (2, None)
    make_due(town, hours=2)
    assert collect(town) == 0
    with town.hub() as hub:
        shown = hub.answers.show(town.share, by=integrator())
    assert (shown.open, shown.due_at) == (False, None)
    assert counts(shown) == {"new": 0, "done": 4, "failed": 1, "other": 0, "gone": 0}


def test_rows_unread_too_long_are_a_notice_to_the_recipient_once(delivered: Town) -> None:
    town = delivered
    unread = sa.select(NoticeRow).where(NoticeRow.text.contains("没有读取"))
    make_due(town, hours=23)
    assert collect(town) == 1
    assert town.all(unread) == []
    mark(town, 1, "1")
    for _ in range(2):
        make_due(town, hours=25)
        assert collect(town) == 1
    (notice,) = town.all(unread)
    assert (notice.department, "4 行超过 24 小时没有读取" in notice.text) == (TAX, True)
    make_due(town, days=31)
    assert collect(town) == 1
    assert town.owed() == [], "nobody is asked for ever"


def test_a_table_that_is_gone_is_noted_and_asked_again(delivered: Town) -> None:
    town = delivered
    town.execute("tax", "ALTER TABLE person RENAME TO elsewhere")
    with pytest.raises(Invalid, match="没有表 person"):
        asked(town)
    make_due(town, minutes=6)
    assert collect(town) == 0
    with town.hub() as hub:
        shown = hub.answers.show(town.share, by=integrator())
    assert (shown.addenda, shown.open) == ((), True)
    assert "没有表 person" in (shown.error or "")
    town.execute("tax", "ALTER TABLE elsewhere RENAME TO person")
    assert (counts(asked(town))["new"], asked(town).error) == (5, None)
    with town.away("tax"), pytest.raises((Failed, Invalid)):
        asked(town)


def test_a_target_without_states_is_not_known(town: Town) -> None:
    town.report(person(1, district=HERE))
    town.run_both()
    assert town.owed() == []
    with town.hub() as hub:
        shown = hub.answers.show(town.share, by=integrator())
        assert (shown.addenda, shown.open) == ((), False)
        assert "没有能读回的状态" in (shown.why or "")
        with pytest.raises(Misplaced):
            hub.answers.ask(town.share, by=integrator())
        assert hub.answers.show(SYNC, by=town.actor("police")).why


def test_the_words_are_removed_after_the_time_of_retention(delivered: Town) -> None:
    town = delivered
    mark(town, 2, "2", "不行")
    asked(town)
    assert len(files(town)) == 1
    (town.home / "payload" / f"{FILES}orphan").write_bytes(b"x")
    collect(town)
    assert len(files(town)) == 1, "what nobody names is swept away"
    with town.hub() as hub, hub.database.transaction() as session:
        session.scalars(sa.select(AddendumRow)).one().at = now(session) - timedelta(days=91)
    collect(town)
    assert files(town) == []
    assert asked(town).failures == ()
    assert [each.rows for each in asked(town).addenda] == [1]
    assert town.all(sa.select(EventRow.body).where(EventRow.type == "AnswersExpired")) == [{"rows": 1}]


def change_body(row: AddendumRow) -> None:
    row.body = {**row.body, "counts": {**row.body["counts"], "failed": 0}}


@pytest.mark.parametrize("tamper", [change_body, lambda row: setattr(row, "number", 9), None])
def test_an_addendum_changed_or_removed_shows(delivered: Town, tamper: Callable[[AddendumRow], None] | None) -> None:
    town = delivered
    mark(town, 2, "2", "不行")
    asked(town)
    assert town.faults() == []
    with town.hub() as hub, hub.database.transaction() as session:
        row = session.scalars(sa.select(AddendumRow)).one()
        if tamper is None:
            session.delete(row)
        else:
            tamper(row)
    assert any("附录" in fault for fault in town.faults())
    if tamper is not None:
        with town.hub() as hub, pytest.raises(Tampered):
            hub.answers.show(town.share, by=integrator())


def test_another_file_in_its_place_shows(delivered: Town) -> None:
    town = delivered
    mark(town, 2, "2", "不行")
    asked(town)
    with town.hub() as hub:
        with hub.database.reading() as session:
            file = session.scalars(sa.select(AddendumRow.file)).one()
        assert file
        rows = json.loads(b"".join(hub.engine.vault.read(file)))
        with hub.engine.vault.write(file) as writer:
            writer.append(json.dumps([{**rows[0], "text": "可以"}]).encode())
        with pytest.raises(Tampered):
            hub.answers.show(town.share, by=integrator(), rows=True)


def test_death_between_any_two_statements_keeps_one_answer(answering_town: Town, workers: Workers) -> None:
    town = answering_town
    town.report(*(person(number, district=HERE) for number in range(3)))
    town.run_both()
    mark(town, 1, "2", "第 0 次")
    asked(town)
    deaths = 0
    for number in count(1):
        mark(town, 1, "2", f"第 {number} 次")
        status = workers.run(town.home, town.share, f"settle:{number}", asks=town.share)
        if status == 0:
            break
        assert status == -signal.SIGKILL, workers.said
        deaths += 1
        shown = asked(town)
        assert shown.failures[0].text == f"第 {number} 次"
        assert [each.number for each in shown.addenda] == [*range(1, len(shown.addenda) + 1)]
        collect(town)
        assert len(files(town)) == 1
        assert town.faults() == []
    assert deaths >= 4


def test_two_who_ask_at_once_add_one_answer(delivered: Town) -> None:
    town = delivered
    mark(town, 1, "1")
    with town.hub() as one, town.hub() as other:
        answering = one.engine.answering
        ask, met = answering._found, []

        def meanwhile(*arguments: Any) -> Any:
            found = ask(*arguments)
            if not met:
                met.append(other.answers.ask(town.share, by=integrator()))
            return found

        answering._found = meanwhile  # type: ignore[method-assign]
        assert one.answers.ask(town.share, by=integrator()) is False
        assert met == [True]
    assert len(asked(town).addenda) == 1


def test_more_failures_than_are_read_are_counted(delivered: Town) -> None:
    town = delivered
    file = town.home / "shutong.toml"
    text = file.read_text()
    assert "# [answers]\n# rows = 1000" in text
    file.write_text(text.replace("# [answers]\n# rows = 1000", "[answers]\nrows = 2"))
    for number in range(5):
        mark(town, number, "2", f"错 {number}")
    shown = asked(town)
    assert (counts(shown)["failed"], len(shown.failures), shown.addenda[0].rows) == (5, 2, 2)


def test_a_grant_that_is_no_more_does_not_keep_the_answer_away(delivered: Town) -> None:
    delivered.change("revoke")
    mark(delivered, 1, "1")
    assert counts(asked(delivered))["done"] == 1


def test_unknown_names_are_told(delivered: Town) -> None:
    with delivered.hub() as hub, pytest.raises(HubError, match="没有回执、批次或交换"):
        hub.answers.show("nothing", by=replace(integrator(), name="x"))
    assert re.fullmatch(r"R[0-9a-f]{24}", asked(delivered).receipt)
