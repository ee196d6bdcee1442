"""Old entries of the books go, what is still needed stays, and the log says how many went."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db import now
from exchange.db.tables import AddendumRow, DispatchRow, EventRow, FileRow, HandoverRow, RecallRow, ReceiptRow
from exchange.engine import pruning
from tests.exchange.engine.licences import Licences, build, pdf
from tests.exchange.engine.test_recalling import due
from tests.exchange.engine.town import Town

BOOKS = (FileRow, HandoverRow, DispatchRow)


@pytest.fixture
def licences(town: Town, tmp_path: Path) -> Licences:
    """Two files taken, each with a document, and two deliveries of both to one recipient."""
    licences = build(town, tmp_path)
    for number in "12":
        licences.drop((licences.row(number, f"{number}.pdf"), pdf(number)))
        licences.run_all()
    return licences


def age(town: Town, days: float, *tables: Any) -> None:
    """As if what stands there were so many days old."""
    with town.hub() as hub, hub.database.transaction() as session:
        then = now(session) - timedelta(days=days)
        for table in tables:
            columns = ("made_at", "done_at") if table is DispatchRow else ("at",)
            session.execute(sa.update(table).values(dict.fromkeys(columns, then)))


def prune(town: Town) -> int:
    with town.hub() as hub:
        return hub.engine.pruning.prune(by=town.actor("integrator"))


def left(town: Town) -> list[int]:
    return [len(town.all(sa.select(table.id))) for table in BOOKS]


def told(town: Town) -> list[dict[str, Any]]:
    return town.all(sa.select(EventRow.body).where(EventRow.type == "BooksPruned").order_by(EventRow.id))


def test_each_book_has_its_time(town: Town, licences: Licences) -> None:
    receipts = set(town.all(sa.select(ReceiptRow.id)))
    assert left(town) == [2, 2, 4]
    assert prune(town) == 0
    age(town, 1094, FileRow, HandoverRow)
    age(town, 89, DispatchRow)
    assert (prune(town), told(town)) == (0, [])
    age(town, 91, DispatchRow)
    assert prune(town) == 2
    assert left(town) == [2, 2, 2], "the last of each exchange says that messages tell of it"
    age(town, 1096, FileRow, HandoverRow)
    with town.hub() as hub:
        list(hub.oversight.run_due(by=town.actor("integrator")))
    assert left(town) == [0, 0, 2]
    assert told(town) == [
        {"files": 0, "documents": 0, "dispatches": 2},
        {"files": 2, "documents": 2, "dispatches": 0},
    ]
    assert receipts <= set(town.all(sa.select(ReceiptRow.id)))
    # What was taken is not taken again, and what comes new goes its way.
    licences.drop((licences.row("3", "3.pdf"), pdf("3")))
    licences.run_all()
    assert {number for number, _ in licences.delivered(licences.out).items()} == set("123")
    assert left(town) == [1, 1, 4]
    assert town.faults() == []


def test_some_at_a_time_until_all_are_gone(town: Town, licences: Licences, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_PAGE", 1)
    age(town, 2000, *BOOKS)
    assert prune(town) == 6
    assert left(town) == [0, 0, 2]
    assert [sum(each.values()) for each in told(town)] == [3, 3]


def test_what_is_owed_tried_again_or_called_back_stays(town: Town, licences: Licences) -> None:
    with town.hub() as hub:
        [recall] = hub.recalls.recall(licences.shares[0], document="1.pdf", reason="误发", by=town.actor("police"))
        with hub.database.transaction() as session:
            first = session.scalars(sa.select(FileRow).order_by(FileRow.id)).all()[0]
            first.state = "retry"
            states = ("owed", "published", "dead", "withdrawn")
            for row, state in zip(session.scalars(sa.select(DispatchRow)).all(), states, strict=True):
                row.state = state
    age(town, 2000, *BOOKS)
    assert prune(town) == 2
    assert left(town) == [1, 1, 4]
    assert town.all(sa.select(HandoverRow.name)) == ["1.pdf"]
    [notice] = licences.out.glob("RECALL-*.json")
    notice.with_name(f"RECALL-{recall}.answer.json").write_text('{"state": "destroyed"}')
    due(town, minutes=6)
    assert town.all(sa.select(RecallRow.state)) == ["destroyed"]
    assert town.all(sa.select(HandoverRow.id)) == []


def test_what_recipients_say_goes_with_their_answers(town: Town, licences: Licences) -> None:
    share = licences.shares[0]
    for file in licences.out.glob("lic_*.csv"):
        file.with_name(f"{file.name}.receipt.json").write_text('{"state": "refused", "reason": "作废"}')
    with town.hub() as hub:
        for run in town.runs(share):
            hub.engine.answering.ask(run.id, by=town.actor("integrator"))
        assert all(row.reason for row in town.all(sa.select(HandoverRow)))
        age(town, 91, AddendumRow)
        hub.engine.answering.collect(by=town.actor("integrator"))
    assert [(row.state, row.reason) for row in town.all(sa.select(HandoverRow))] == [("refused", None)] * 2
