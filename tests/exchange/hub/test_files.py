"""A file is followed by those whom it concerns; its name is for its provider and for who oversees the hub."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, ExchangeRow, FileRow, HandoverRow
from exchange.errors import Denied, Misplaced, Unknown
from tests.exchange.engine.licences import build, pdf
from tests.exchange.engine.test_files import Desk
from tests.exchange.engine.town import SYNC, TAX, Town, counts, person


@pytest.fixture
def desk(town: Town, tmp_path: Path) -> Desk:
    """Two files taken and one refused; what was collected is shared."""
    root = tmp_path / "desk"
    root.mkdir()
    desk = Desk(town, root)
    desk.offer()
    desk.put("people_张某.csv", person(1), person(2))
    desk.put("people_again.csv", person(1), person(2))
    desk.put("people_bad.csv", person(3), broken=True)
    desk.run()
    town.run(town.share)
    return desk


def _events(town: Town, kind: str) -> list[tuple[str, dict[str, Any]]]:
    query = sa.select(EventRow).where(EventRow.type == kind).order_by(EventRow.id)
    return [(row.actor, row.body) for row in town.all(query)]


@pytest.mark.parametrize(("who", "named"), [("police", True), ("auditor", True), ("integrator", True), ("tax", False)])
def test_each_sees_what_concerns_him(desk: Desk, town: Town, who: str, *, named: bool) -> None:
    with town.hub() as hub:
        found = hub.files.found(by=town.actor(who))
        assert [file.state for file in found] == ["refused", "taken", "taken"]
        assert {file.name is not None for file in found} == {named}
        assert [file.reason is not None for file in found] == ([True, False, False] if named else [False] * 3)
        assert {file.digest is not None for file in found} == {named}
        assert [len(file.same_as) for file in found] == [0, 1, 1]
        first = found[-1]
        shown = hub.files.show(str(first.id), by=town.actor(who))
        assert (shown.file, shown.recipient, shown.run_state) == (
            first,
            town.runs(SYNC)[0].plan["recipient"],
            "settled",
        )
        assert shown.counts == counts(read=4, written=2, unchanged=2)
        assert shown.receipt == town.receipts(SYNC)[0].id
        [onward] = shown.onward
        assert (onward.recipient, onward.receipt) == (TAX, town.receipts(town.share)[0].id)
        assert onward.counts["written"] == len(town.granted())
        assert len(hub.files.found(by=town.actor(who), name="people_bad.csv")) == (1 if named else 0)
        assert len(hub.files.found(by=town.actor(who), state="taken", exchange=SYNC, most=1)) == 1
        assert hub.files.found(by=town.actor(who), resource="101001001/0002") == []
        if named:
            assert hub.files.show("people_bad.csv", by=town.actor(who)).onward == ()
        else:
            with pytest.raises(Unknown):
                hub.files.show("people_bad.csv", by=town.actor(who))
    assert _events(town, "FilesRead")[0] == (town.actor(who).name, {"files": 3, "named": named})
    assert town.faults() == []


def test_what_comes_before_the_file_is_none_of_its_deliveries(desk: Desk, town: Town) -> None:
    desk.put("people_new.csv", person(4))
    desk.run()
    with town.hub() as hub:
        [onward] = hub.files.show("people_new.csv", by=town.actor("police")).onward
        assert (onward.recipient, onward.run, onward.receipt) == (TAX, None, None)
    shared = town.run(town.share)
    with town.hub() as hub:
        [onward] = hub.files.show("people_new.csv", by=town.actor("police")).onward
        assert (onward.run, onward.receipt) == (shared.id, shared.receipt)


def test_who_was_granted_nothing_sees_nothing(desk: Desk, town: Town) -> None:
    with town.hub() as hub:
        number = hub.files.found(by=town.actor("police"))[0].id
        with hub.database.transaction() as session:
            # The tax office's exchange was of another resource all along.
            session.get_one(ExchangeRow, town.share).resource = "101001001/0009"
        assert hub.files.found(by=town.actor("tax")) == []
        with pytest.raises(Denied):
            hub.files.show(str(number), by=town.actor("tax"))
    assert [actor for actor, _ in _events(town, "AccessDenied")] == [town.actor("tax").name]


def test_whose_grant_is_no_more_sees_what_came_before(desk: Desk, town: Town) -> None:
    town.change("revoke")
    with town.hub() as hub:
        before = hub.files.found(by=town.actor("tax"))
        assert len(before) == 3
    desk.put("people_new.csv", person(4))
    desk.run()
    with town.hub() as hub:
        new = hub.files.found(by=town.actor("police"))[0]
        assert hub.files.found(by=town.actor("tax")) == before
        with pytest.raises(Denied):
            hub.files.show(str(new.id), by=town.actor("tax"))


def test_what_waits(desk: Desk, town: Town) -> None:
    desk.put("people_later.csv", person(4))
    (desk.root / "people_later.csv.manifest.json").unlink()
    with town.hub() as hub:
        for name in (SYNC, "desk"):
            found = hub.files.waiting(name, by=town.actor("police"))
            assert [(file.name, file.refused) for file in found] == [
                ("people_bad.csv", True),
                ("people_later.csv", False),
            ]
            assert "没有清单" in found[1].reason
            assert found == hub.files.waiting(name, by=town.actor("auditor"))
        with pytest.raises(Denied):
            hub.files.waiting(SYNC, by=town.actor("tax"))
        with pytest.raises(Unknown):
            hub.files.waiting("nowhere", by=town.actor("police"))
    assert len(town.runs(SYNC)) == 1


@pytest.mark.parametrize("named", [True, False])
def test_a_refused_file_is_tried_once_more(desk: Desk, town: Town, *, named: bool) -> None:
    with town.hub() as hub:
        bad = hub.files.found(by=town.actor("police"))[0]
        with pytest.raises(Denied):
            hub.files.retry(SYNC, "people_bad.csv", by=town.actor("tax"))
        with pytest.raises(Unknown):
            hub.files.retry(SYNC, "people_other.csv", by=town.actor("police"))
        with pytest.raises(Misplaced):
            hub.files.retry(SYNC, "people_again.csv", by=town.actor("police"))
        assert hub.files.retry(SYNC, "people_bad.csv" if named else str(bad.id), by=town.actor("police")) == bad.id
        with pytest.raises(Misplaced):
            hub.files.retry(SYNC, str(bad.id), by=town.actor("police"))
        assert SYNC in hub.oversight.due()
    assert _events(town, "FileRetried") == [(town.actor("police").name, {"file": bad.id})]
    desk.run()
    assert [state for name, state in desk.books("name", "state") if name == "people_bad.csv"] == ["again", "refused"]
    desk.run()
    assert len(desk.books("id")) == 4, "once"


# --- delivered documents -----------------------------------------------------------------------


def test_documents_are_followed_to_what_became_of_them(town: Town, tmp_path: Path) -> None:
    licences = build(town, tmp_path)
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("2", "乙.pdf"), pdf("乙")))
    licences.run_all()
    share = licences.shares[0]
    [file] = licences.out.glob("lic_*.csv")
    said = {"state": "stored", "documents": [{"name": f"{file.stem}/甲.pdf", "reason": "打不开"}]}
    (licences.out / f"{file.name}.receipt.json").write_text(json.dumps(said, ensure_ascii=False))
    with town.hub() as hub:
        hub.engine.answering.ask(town.runs(share)[0].id, by=town.actor("integrator"))
        [recall] = hub.recalls.recall(share, document="乙.pdf", reason="误发", by=town.actor("police"))
        for who, knows, party in (("police", True, True), ("auditor", True, False), ("tax", False, True)):
            shown = hub.files.show("1", by=town.actor(who))
            second, first = shown.handovers
            assert [first.name, second.name] == (["甲.pdf", "乙.pdf"] if knows else [None, None])
            assert (first.state, first.reason, first.recall) == ("refused", "打不开" if party else None, None)
            assert (second.state, second.reason, second.recall) == ("stored", None, recall)
            assert (second.recall_state, second.recipient, second.exchange) == ("notified", TAX, share)
            assert {first.run, second.run} == {town.runs(share)[0].id}
            assert first.receipt == town.receipts(share)[0].id
        assert _events(town, "FilesRead")[-1][1] == {"files": 3, "named": False}
        # Another recipient sees its own alone.
        with hub.database.transaction() as session:
            session.execute(sa.update(HandoverRow).values(recipient="11321200000000000X"))
        assert hub.files.show("1", by=town.actor("tax")).handovers == ()
        assert len(hub.files.show("1", by=town.actor("police")).handovers) == 2


def test_a_document_alone_is_followed_by_its_content(town: Town, tmp_path: Path) -> None:
    licences = build(town, tmp_path)
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("2", "乙.pdf"), pdf("乙")))
    licences.run_all()
    with town.hub() as hub:
        with hub.database.transaction() as session:
            # As if it had been dropped by itself.
            row = session.scalars(sa.select(FileRow)).one()
            row.kind, row.digest = "document", hashlib.sha256(pdf("乙")).hexdigest()
        [handover] = hub.files.show("1", by=town.actor("police")).handovers
        assert handover.name == "乙.pdf"
