"""Receipts on the way of files, through the whole of a run: the recipient's to the hub, the hub's to the provider."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import signal
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.files.transports.local import LocalDirectory
from catalog import EndpointSpec
from exchange.db import now
from exchange.db.tables import AnswerRow, HandoverRow, NoticeRow, OwedRow
from exchange.errors import Failed
from exchange.hub import open_hub
from exchange.hub.answers import Answered
from exchange.identity import Actor, current_actor
from exchange.settings import Role
from tests.exchange.engine.licences import build as build_licences
from tests.exchange.engine.licences import pdf
from tests.exchange.engine.town import (
    COLUMNS,
    HERE,
    POLICE,
    SYNC,
    TAX,
    Town,
    grant,
    identity_number,
    person,
    publish,
    resource,
    wrong,
)
from tests.exchange.engine.worker import Passages, Workers

NOTHING = {"new": 0, "done": 0, "failed": 0, "other": 0, "gone": 0}


def put_endpoint(town: Town, name: str, department: str, root: Path) -> None:
    with town.hub() as hub:
        spec = EndpointSpec(name=name, department=department, kind="files", options={"root": str(root)})
        hub.registration.put_endpoint(spec, by=town.actor("integrator"))


# --- of the recipient --------------------------------------------------------------------------


@pytest.fixture
def drop(town: Town, tmp_path: Path) -> Path:
    """A town whose tax office found a file of three rows in its directory."""
    root = tmp_path / "drop"
    root.mkdir()
    put_endpoint(town, "drop", TAX, root)
    with town.hub() as hub:
        publish(town, hub, resource(share_ways=["database", "file"]))
        town.grant = grant(town, hub, way="file", target={"endpoint": "drop", "object": "people_*.csv"})
    town.report(*(person(number, district=HERE) for number in range(3)))
    town.run_both()
    return root


def integrator() -> Actor:
    return Actor(name="税务集成", established="demo", department=TAX, roles=frozenset({Role.INTEGRATOR}))


def asked(town: Town, name: str | None = None) -> Answered:
    with town.hub() as hub:
        hub.answers.ask(name or town.share, by=integrator())
        return hub.answers.show(name or town.share, by=integrator(), keys=True)


def collect(town: Town, **ago: float) -> Answered:
    """As if the delivery had been so long ago, and its time to be asked had come."""
    with town.hub() as hub:
        with hub.database.transaction() as session:
            for row in session.scalars(sa.select(AnswerRow)):
                row.delivered_at = row.due_at = now(session) - timedelta(**ago)
        hub.engine.answering.collect(by=town.actor("integrator"))
        return hub.answers.show(town.share, by=integrator(), keys=True)


def receive(root: Path, **said: Any) -> Path:
    [file] = root.glob("people_*.csv")
    receipt = file.with_name(f"{file.name}.receipt.json")
    receipt.write_text(json.dumps(said, ensure_ascii=False))
    return receipt


def test_a_receipt_is_added_to_the_delivery_and_again_when_it_changes(town: Town, drop: Path) -> None:
    assert town.owed() == ["answers"]
    assert collect(town, minutes=6).addenda[-1].counts == {**NOTHING, "new": 3}
    receive(drop, state="received", at="2026-11-22T10:00:00+08:00")
    shown = collect(town, minutes=6)
    assert shown.addenda[-1].counts == {**NOTHING, "other": 3}
    assert shown.open, "it has more to say"
    receive(drop, state="stored", rows=[{"key": {"id_no": identity_number(1)}, "reason": "查无此人"}],
            documents=[{"name": "f/甲.pdf", "reason": "打不开"}])  # fmt: skip
    shown = collect(town, hours=1)
    assert shown.addenda[-1].counts == {**NOTHING, "done": 2, "failed": 1}
    assert [(each.key, each.text) for each in shown.failures] == [
        ({"id_no": identity_number(1)}, "查无此人"),
    ]  # fmt: skip
    assert "1 个不是这次送达的附件" in shown.addenda[-1].advice[0], "what was not delivered is not believed"
    assert (shown.open, town.owed()) == (False, [])
    receive(drop, state="refused", reason="整个文件作废")
    shown = asked(town)
    assert shown.addenda[-1].counts == {**NOTHING, "failed": 3}
    assert [(each.key, each.text) for each in shown.failures] == [({"id_no": None}, "整个文件作废")]
    assert [each.number for each in shown.addenda] == [1, 2, 3, 4]
    for path in town.home.rglob("*"):
        assert not path.is_file() or "查无此人".encode() not in path.read_bytes(), path
    assert town.faults() == []


def test_nonsense_is_noted_with_the_debt_and_read_when_it_is_mended(town: Town, drop: Path) -> None:
    receive(drop, state="whatever")
    shown = collect(town, minutes=6)
    assert (shown.addenda, shown.open) == ((), True)
    assert "receipt.json 不能读取" in (shown.error or "")
    with pytest.raises(Failed):
        asked(town)
    receive(drop, state="stored")
    assert asked(town).addenda[-1].counts == {**NOTHING, "done": 3}


def test_a_file_nobody_touches_is_a_notice_once_and_one_that_was_taken_is_none(town: Town, drop: Path) -> None:
    notices = sa.select(NoticeRow.text).where(NoticeRow.text.contains("没有回执"))
    for _ in range(2):
        collect(town, hours=25)
    assert len(town.all(notices)) == 1
    for path in drop.glob("people_*"):
        path.unlink()
    shown = collect(town, hours=26)
    assert (shown.addenda[-1].counts, shown.open) == ({**NOTHING, "done": 3, "failed": None}, False)


def test_a_delivery_from_before_there_were_receipts_stays_as_it_is(town: Town, drop: Path) -> None:
    with town.hub() as hub, hub.database.transaction() as session:
        session.execute(sa.delete(AnswerRow))
        session.execute(sa.delete(OwedRow).where(OwedRow.kind == "answers"))
    with town.hub() as hub:
        assert hub.answers.show(town.share, by=integrator()).why
    town.report(person(9, district=HERE))
    town.run_both()
    receipt = next(path for path in sorted(drop.glob("people_*.csv"))[1:])
    receipt.with_name(f"{receipt.name}.receipt.json").write_text('{"state": "stored"}')
    assert asked(town).addenda[-1].counts == {**NOTHING, "done": 1}


def test_death_between_any_two_statements_keeps_one_answer(town: Town, drop: Path, workers: Workers) -> None:
    receive(drop, state="stored")
    asked(town)
    deaths = 0
    for number in count(1):
        reason = f"第 {number} 次"
        receive(drop, state="refused", reason=reason)
        status = workers.run(town.home, town.share, f"settle:{number}", asks=town.share)
        shown = asked(town)
        assert [each.text for each in shown.failures] == [reason]
        assert [each.number for each in shown.addenda] == [*range(1, number + 2)]
        if status == 0:
            break
        assert status == -signal.SIGKILL, workers.said
        deaths += 1
    assert deaths >= 3
    assert town.faults() == []


# --- of documents ------------------------------------------------------------------------------


def test_what_becomes_of_documents(town: Town, tmp_path: Path) -> None:
    licences = build_licences(town, tmp_path)
    licences.drop(*((licences.row(str(place), f"{name}.pdf"), pdf(name)) for place, name in enumerate("甲乙丙")))
    licences.run_all()
    share = licences.shares[0]
    [file] = licences.out.glob("lic_*.csv")

    def say(**said: Any) -> dict[str, tuple[str, str | None]]:
        file.with_name(f"{file.name}.receipt.json").write_text(json.dumps(said, ensure_ascii=False))
        asked(town, share)
        with town.hub() as hub:
            rows = town.all(sa.select(HandoverRow).order_by(HandoverRow.id))
            return {row.name: (row.state, hub.engine.handovers.reason(row)) for row in rows}

    assert set(say(state="received").values()) == {("received", None)}
    told = say(state="stored", documents=[
        {"name": f"{file.stem}/甲.pdf", "reason": "打\x1b不开"}, {"name": "乙.pdf"},
        {"name": "elsewhere/丙.pdf", "reason": "没有"},
    ])  # fmt: skip
    assert told == {"甲.pdf": ("refused", "打\ufffd不开"), "乙.pdf": ("refused", None), "丙.pdf": ("stored", None)}
    shown = asked(town, share)
    assert [each.text for each in shown.failures] == ["附件 甲.pdf：打\ufffd不开", "附件 乙.pdf"]
    assert "1 个不是这次送达的附件" in shown.addenda[-1].advice[0]
    # Of the others nobody says which belonged to the row that could not be used.
    rows = [{"key": {"number": "2"}, "reason": "查无此证"}]
    assert set(say(state="stored", rows=rows).values()) == {("received", None)}
    assert set(say(state="refused", reason="整个作废").values()) == {("refused", "整个作废")}
    assert set(say(state="stored").values()) == {("stored", None)}
    say(state="refused", reason="整个作废")
    for path in town.home.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert "作废".encode() not in content, path
        assert "不开".encode() not in content, path
    assert town.faults() == []


# --- to the provider ---------------------------------------------------------------------------


@pytest.fixture
def inbox(town: Town, tmp_path: Path) -> Path:
    """A town whose police reports by files."""
    root = tmp_path / "inbox"
    root.mkdir()
    put_endpoint(town, "inbox", POLICE, root)
    with town.hub() as hub:
        offer = {
            "endpoint": "inbox", "object": "people_*.csv", "columns": {name: name for name in COLUMNS},
            "capture": "batches",
        }  # fmt: skip
        publish(town, hub, resource(formats=["电子表格/CSV"], offer=offer))
    return root


def put(root: Path, name: str, *people: dict[str, Any]) -> str:
    """Drop a file and its manifest; the digest."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(people)
    content = text.getvalue().encode()
    (root / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (root / f"{name}.manifest.json").write_text(json.dumps({"rows": len(people), "sha256": digest}))
    return digest


def test_the_provider_is_told_what_was_taken(town: Town, inbox: Path) -> None:
    digests = [put(inbox, "people_1.csv", person(1), wrong(2), person(3)), put(inbox, "people_2.csv", person(4))]
    result = town.run(SYNC)
    [receipt] = town.receipts(SYNC)
    told = [json.loads(path.read_text()) for path in sorted((inbox / "taken").glob("*.receipt.json"))]
    assert [each["sha256"] for each in told] == digests
    assert [each["counts"] for each in told] == [
        {"read": 3, "accepted": 2, "refused": 1}, {"read": 1, "accepted": 1, "refused": 0},
    ]  # fmt: skip
    assert {(each["state"], each["run"], each["receipt"], each["at"]) for each in told} == {
        ("stored", result.id, receipt.id, receipt.issued_at.isoformat())
    }
    assert told[0]["refusals"] == "people_1.csv.refused.csv"
    assert (inbox / "people_1.csv.refused.csv").exists()


def test_a_grant_served_straight_from_the_drop_leaves_no_receipt(town: Town, inbox: Path, tmp_path: Path) -> None:
    """Several may be served so; their receipts would lie over one another, and tell of recipients."""
    root = tmp_path / "drop"
    root.mkdir()
    put_endpoint(town, "drop", TAX, root)
    with town.hub() as hub:
        offer = {
            "endpoint": "inbox", "object": "people_*.csv", "columns": {name: name for name in COLUMNS},
            "capture": "snapshot", "served": "provider",
        }  # fmt: skip
        publish(town, hub, resource(formats=["电子表格/CSV"], share_ways=["file"], offer=offer))
        town.grant = grant(town, hub, way="file", target={"endpoint": "drop", "object": "people_*.csv"})
    put(inbox, "people_1.csv", person(1, district=HERE))
    assert town.run(town.share).counts["written"] == 1
    assert town.owed() == ["answers"]
    assert [path.name for path in inbox.rglob("*.receipt.json")] == []


def settling(order: dict[str, Any]) -> None:
    """Collect, and die at the nth change of the directory once the delivery is promoted."""
    passages = Passages(order["point"])
    armed = []
    for name in ("begin", "rename", "remove"):
        setattr(LocalDirectory, name, _counted(getattr(LocalDirectory, name), passages, armed))
    hub = open_hub(Path(order["home"]))
    by = current_actor(hub.settings, "integrator")
    hub.oversight.run(SYNC, by=by, observe=lambda step, _: armed.append(step) if step == "8.promoted" else None)
    hub.close()


def _counted(method: Any, passages: Passages, armed: list[str]) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        result = method(*arguments, **named)
        if armed:
            passages.by()
        return result

    return call


def test_death_at_every_change_leaves_one_receipt_beside_each_file(town: Town, inbox: Path, workers: Workers) -> None:
    deaths = 0
    for point in count(1):
        name = f"people_{point:02}.csv"
        digest = put(inbox, name, person(point), wrong(100 + point))
        work = "tests.exchange.engine.test_file_receipts:settling"
        status, _ = workers.do(work, point, home=str(town.home))
        with town.hub() as hub, hub.database.transaction() as session:
            session.execute(sa.text("UPDATE lease SET expires = 0"))
        town.run(SYNC)
        run = town.receipts(SYNC)[point - 1].run
        told = json.loads((inbox / "taken" / f"{name}.receipt.json").read_text())
        assert (told["sha256"], told["run"], told["counts"]["refused"]) == (digest, run, 1)
        listed = {f"people_{number:02}.csv.refused.csv" for number in range(1, point + 1)}
        assert {path.name for path in inbox.iterdir()} == {"taken", *listed}
        assert len(list((inbox / "taken").iterdir())) == 3 * point
        if status == 0:
            break
        assert status == -signal.SIGKILL, workers.said
        deaths += 1
    assert deaths >= 6
