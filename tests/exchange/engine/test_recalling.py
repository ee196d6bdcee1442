"""Recalls: what was delivered is called back, once, whoever dies, and its answer is brought home."""

from __future__ import annotations

import json
import signal
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.files.transports.local import LocalDirectory
from catalog import EndpointSpec
from exchange.db import HubDatabase, now
from exchange.db.tables import EventRow, GrantRow, HandoverRow, NoticeRow, RecallRow
from exchange.engine import RecallState
from exchange.errors import Denied, HubError, Misplaced, Unknown
from exchange.hub import Hub, open_hub
from exchange.identity import Actor, current_actor
from exchange.settings import Role
from tests.exchange.engine.licences import SYNC as SYNC_LICENCES
from tests.exchange.engine.licences import Licences, pdf
from tests.exchange.engine.licences import build as licence_drops
from tests.exchange.engine.town import HERE, POLICE, SYNC, TAX, Town, at, build, grant, person, publish, resource
from tests.exchange.engine.worker import Passages, Workers

BEFORE = ("1.planned", "2.leased", "3.read", "5.staged", "5.manifest", "6.gate")
AFTER = ("6.gated", "7.commit", "7.committed", "8.promoted")
SECRET = "张三的证照"


def put_drop(town: Town, hub: Hub, root: Path) -> None:
    spec = EndpointSpec(name="drop", department=TAX, kind="files", options={"root": str(root)})
    hub.registration.put_endpoint(spec, by=town.actor("integrator"))


@pytest.fixture
def drop(town: Town, tmp_path: Path) -> Path:
    """A town whose tax office has a directory; nothing has been shared yet."""
    root = tmp_path / "drop"
    root.mkdir()
    with town.hub() as hub:
        put_drop(town, hub, root)
        publish(town, hub, resource(share_ways=["database", "file"]))
        town.grant = grant(town, hub, way="file", target={"endpoint": "drop", "object": "people_*.csv"})
    town.report(*(person(number, district=HERE) for number in range(3)))
    town.run(SYNC)
    return root


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("people_*.csv"))


def notices(root: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(root.glob("RECALL-*.json")) if "answer" not in path.name]


def rows(town: Town) -> list[RecallRow]:
    return town.all(sa.select(RecallRow).order_by(RecallRow.ordered_at, RecallRow.id))


def told(town: Town, type: str) -> list[dict[str, Any]]:
    return town.all(sa.select(EventRow.body).where(EventRow.type == type).order_by(EventRow.id))


def recall(town: Town, name: str | None = None, **options: Any) -> list[str]:
    with town.hub() as hub:
        return hub.recalls.recall(name or town.share, reason="误发", by=town.actor("police"), **options)


def revoke(town: Town) -> list[str]:
    with town.hub() as hub:
        return hub.sharing.change(town.grant, "revoke", reason="误发", recall=True, by=town.actor("chief"))


def due(town: Town, **since: float) -> None:
    """As if everything had happened so long ago, and its time had come; then all that is due is done."""
    with town.hub() as hub:
        with hub.database.transaction() as session:
            for row in session.scalars(sa.select(RecallRow).where(RecallRow.due_at.is_not(None))):
                by = now(session) - timedelta(**since) - row.ordered_at
                for name in ("ordered_at", "until", "notified_at", "answered_at"):
                    if getattr(row, name) is not None:
                        setattr(row, name, getattr(row, name) + by)
                row.due_at = now(session)
        list(hub.oversight.run_due(by=town.actor("integrator")))


def answer(root: Path, **said: Any) -> None:
    for notice in notices(root):
        (root / notice["answer"]["file"]).write_text(json.dumps(said, ensure_ascii=False))


def provider_notices(town: Town) -> list[str]:
    return town.all(
        sa.select(NoticeRow.text)
        .where(NoticeRow.department == POLICE, NoticeRow.text.contains("撤回"))
        .order_by(NoticeRow.id)
    )


def test_a_delivery_is_called_back_answered_and_told(town: Town, drop: Path) -> None:
    shared = town.run(town.share)
    [name] = recall(town)
    [notice] = notices(drop)
    [run] = town.runs(town.share)
    assert (notice["recall"], notice["files"][0]["key"], notice["files"][0]["rows"]) == (name, run.delivery, 3)
    assert [notice["files"][0]["name"]] == files(drop)
    assert (notice["by"], notice["resource"], notice["reason"]) == ("公安局", "人口基本信息", "误发")
    [row] = rows(town)
    assert (row.state, row.run, row.place, row.error) == ("notified", shared.id, files(drop)[0], None)
    assert row.until - row.ordered_at == timedelta(days=5)
    due(town, minutes=6)
    assert rows(town)[0].state == "notified"
    answer(drop, state="kept", reason=SECRET, by="李四")
    due(town, hours=1)
    [row] = rows(town)
    assert (row.state, row.due_at is None) == ("kept", False)
    answer(drop, state="destroyed", by="李四")
    due(town, hours=2)
    [row] = rows(town)
    assert (row.state, row.due_at) == ("destroyed", None)
    assert [each["state"] for each in told(town, "RecallAnswered")] == ["kept", "destroyed"]
    assert [text.count("答复") for text in provider_notices(town)] == [1, 1]
    events = town.events(shared.id)
    assert [each for each in events if each.startswith("Recall")] == [
        "RecallOrdered", "RecallNotified", "RecallAnswered", "RecallAnswered",
    ]  # fmt: skip
    assert town.faults() == []


def test_a_strangers_words_are_sealed(town: Town, drop: Path) -> None:
    town.run(town.share)
    recall(town)
    answer(drop, state="partly", reason=f"\x1b[2J{SECRET}\n", by="李四")
    due(town, minutes=6)
    with town.hub() as hub:
        words = hub.engine.recalling.words(rows(town)[0])
    assert words is not None
    assert (words.reason, words.by) == (f"\ufffd[2J{SECRET}", "李四")
    for path in town.home.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_nobody_answers(town: Town, drop: Path) -> None:
    town.run(town.share)
    recall(town)
    due(town, days=4)
    assert rows(town)[0].state == "notified"
    assert provider_notices(town) == []
    for days in (6, 7):
        due(town, days=days)
    [row] = rows(town)
    assert row.state == "unanswered"
    [notice] = provider_notices(town)
    assert "逾期没有答复" in notice
    assert len(told(town, "RecallUnanswered")) == 1
    answer(drop, state="destroyed")
    due(town, days=8)
    assert rows(town)[0].state == "destroyed"


def test_nobody_is_asked_for_ever(town: Town, drop: Path) -> None:
    town.run(town.share)
    recall(town)
    due(town, days=40)
    [row] = rows(town)
    assert (row.state, row.due_at) == ("unanswered", None)


def test_questions_grow_rare(town: Town, drop: Path) -> None:
    town.run(town.share)
    recall(town)
    waits = []
    for hours in (0.2, 2, 20, 60):
        due(town, hours=hours)
        [row] = rows(town)
        assert row.due_at is not None
        with town.hub() as hub, hub.database.reading() as session:
            waits.append((row.due_at - now(session)).total_seconds() / 3600)
    assert [round(wait, 1) for wait in waits] == [0.2, 2.0, 20.0, 24.0]


def test_an_answer_that_cannot_be_read_is_noted_and_read_later(town: Town, drop: Path) -> None:
    town.run(town.share)
    recall(town)
    answer(drop, state="gone")
    due(town, minutes=6)
    [row] = rows(town)
    assert row.state == "notified"
    assert "answer.json 不能读取" in (row.error or "")
    due(town, days=6)
    assert rows(town)[0].state == "unanswered"
    assert ["可读" in text for text in provider_notices(town)] == [True]
    answer(drop, state="kept")
    due(town, days=7)
    [row] = rows(town)
    assert (row.state, row.error) == ("kept", None)


def test_a_drop_that_is_away_is_told_later(town: Town, drop: Path) -> None:
    town.run(town.share)
    away = drop.rename(drop.with_name("away"))
    [name] = recall(town)
    [row] = rows(town)
    assert (row.id, row.state) == (name, "owed")
    assert "drop" in (row.error or "")
    away.rename(drop)
    due(town, minutes=6)
    assert rows(town)[0].state == "notified"
    assert len(notices(drop)) == 1


def test_every_delivery_of_a_grant_is_called_back_with_the_revocation(town: Town, drop: Path) -> None:
    town.run(town.share)
    town.report(person(7, district=HERE))
    town.run_both()
    town.run(town.share)  # brings nothing, and so leaves nothing to call back
    made = revoke(town)
    assert len(made) == len(files(drop)) == len(notices(drop)) == 2
    assert sorted(notice["files"][0]["name"] for notice in notices(drop)) == files(drop)
    with pytest.raises(Misplaced, match="已经撤回过"):
        recall(town, town.grant)


@pytest.mark.parametrize("step", BEFORE)
def test_what_waits_under_a_revoked_grant_is_never_delivered(town: Town, drop: Path, step: str) -> None:
    made: list[str] = []
    try:
        result = town.run(town.share, observe=at(step, lambda: made.extend(revoke(town))))
        assert result.state == "barred"
    except HubError:
        pass
    for _ in range(2):
        due(town, days=1)
    assert made == []
    assert files(drop) == []
    assert [path.name for path in drop.iterdir() if path.name != ".shutong"] == []
    assert rows(town) == []
    assert {run.state for run in town.runs(town.share)} <= {"barred", "failed", "abandoned"}
    with pytest.raises(Misplaced, match="没有送达过"):
        recall(town)


@pytest.mark.parametrize("step", BEFORE)
def test_nor_is_it_when_its_worker_died_there(town: Town, drop: Path, workers: Workers, step: str) -> None:
    assert workers.run(town.home, town.share, step) == -signal.SIGKILL
    assert revoke(town) == []
    with town.hub() as hub, hub.database.transaction() as session:
        session.execute(sa.text("UPDATE lease SET expires = 0"))
    for _ in range(2):
        due(town, days=1)
    assert [path.name for path in drop.iterdir() if path.name != ".shutong"] == []
    assert {run.state for run in town.runs(town.share)} <= {"barred"}


@pytest.mark.parametrize("step", AFTER)
def test_what_had_passed_the_gate_is_called_back_once_it_is_there(town: Town, drop: Path, step: str) -> None:
    made: list[str] = []
    town.run(town.share, observe=at(step, lambda: made.extend(revoke(town))))
    assert len(made) == 1
    due(town, minutes=6)
    [row] = rows(town)
    [notice] = notices(drop)
    assert (row.state, [row.place]) == ("notified", files(drop))
    assert notice["files"][0]["name"] == row.place


def test_what_never_came_after_all_is_void(town: Town, drop: Path) -> None:
    """The worker died between gate and target, and the hub's books were then closed by hand."""

    class Gone(Exception):
        pass

    def die() -> None:
        raise Gone

    with pytest.raises(Gone):
        town.run(town.share, observe=at("6.gated", die))
    assert len(revoke(town)) == 1
    assert rows(town)[0].state == "owed"
    with town.hub() as hub:
        with hub.database.transaction() as session:
            session.execute(sa.text("UPDATE run SET state = 'abandoned' WHERE state = 'committing'"))
        hub.engine.recalling.attend(rows(town)[0].id, by=town.actor("integrator"))
    [row] = rows(town)
    assert (row.state, row.due_at) == (RecallState.VOID, None)
    assert notices(drop) == []


def test_a_delivery_without_documents_has_none_to_call_back(town: Town, drop: Path) -> None:
    run = town.run(town.share)
    with pytest.raises(HubError, match="附件名称"):
        recall(town, run.id, document="a\x1b[2J")
    with pytest.raises(Unknown, match=r"没有送达过附件 a\.pdf") as refused:
        recall(town, run.id, document="a.pdf")
    assert "去掉 --document" in refused.value.remedy
    assert (rows(town), notices(drop)) == ([], [])


# --- of documents ------------------------------------------------------------------------------


@pytest.fixture
def licences(town: Town, tmp_path: Path) -> Licences:
    """Two deliveries: one of two documents, then a new one of the first's name."""
    licences = licence_drops(town, tmp_path)
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("2", "乙.pdf"), pdf("乙")))
    licences.run_all()
    licences.drop((licences.row("1", "甲.pdf", version=2), pdf("新")))
    licences.run_all()
    return licences


def handed(town: Town) -> list[tuple[str, str]]:
    return [(row.name, row.state) for row in town.all(sa.select(HandoverRow).order_by(HandoverRow.id))]


def test_documents_of_one_delivery(town: Town, licences: Licences) -> None:
    share = licences.shares[0]
    first, second = town.runs(share)[:2]
    one, two = (path.stem for path in sorted(licences.out.glob("lic_*.csv")))
    [name] = recall(town, first.id, document=f"{one}/甲.pdf")
    [notice] = notices(licences.out)
    about = {"name": f"{one}/甲.pdf", "size": len(pdf("甲")), "sha256": sha256(pdf("甲")).hexdigest()}
    assert (notice["whole"], notice["documents"]) == (False, [about])
    assert f"{one}/甲.pdf" in notice["text"]
    assert (licences.out / notice["documents"][0]["name"]).exists()
    with pytest.raises(Misplaced, match="已经撤回过"):
        recall(town, first.id, document="甲.pdf")
    for document in (f"{two}/甲.pdf", "丙.pdf", "x/甲.pdf"):
        with pytest.raises(Unknown, match="没有送达过附件") as refused:
            recall(town, first.id, document=document)
        assert "乙.pdf、甲.pdf" in refused.value.remedy
    read = town.all(sa.select(EventRow.body).where(EventRow.type == "FilesRead"))
    assert read == [{"files": 2, "named": True}] * 3, "whoever was told names has looked at them"
    answer(licences.out, state="destroyed")
    due(town, minutes=6)
    assert [row.state for row in rows(town)] == ["destroyed"]
    assert handed(town) == [("甲.pdf", "destroyed"), ("乙.pdf", "delivered"), ("甲.pdf", "delivered")]
    # By the exchange, every delivery of that name is meant; what is called back already is not, once more.
    made = recall(town, share, document="甲.pdf")
    assert [(row.id == name, row.run) for row in rows(town)] == [(True, first.id), (False, second.id)]
    assert len(made) == 1
    with pytest.raises(Unknown):
        recall(town, share.removeprefix("share-"), document="丙.pdf")
    assert len(recall(town, share.removeprefix("share-"), document="乙.pdf")) == 1
    assert town.faults() == []


def test_names_are_not_told_to_who_may_not_know_them(town: Town, licences: Licences) -> None:
    with town.hub() as hub, pytest.raises(Unknown) as refused:
        by = Actor(name="安全", established="demo", department=POLICE, roles=frozenset({Role.SECURITY}))
        by = replace(by, department=hub.settings.hub_department)
        hub.recalls.recall(licences.shares[0], document="丙.pdf", reason="误发", by=by)
    assert "甲" not in refused.value.remedy
    assert town.all(sa.select(EventRow.body).where(EventRow.type == "FilesRead")) == []


def test_everything_is_told_from_the_books_of_the_hub(town: Town, licences: Licences) -> None:
    """What lies in the drop others may have written, or removed."""
    for path in licences.out.glob("*.manifest.json"):
        path.unlink()
    recall(town, licences.shares[0])
    told = {each["name"]: each["sha256"] for notice in notices(licences.out) for each in notice["documents"]}
    one, two = (path.stem for path in sorted(licences.out.glob("lic_*.csv")))
    wanted = {f"{one}/甲.pdf": "甲", f"{one}/乙.pdf": "乙", f"{two}/甲.pdf": "新"}
    assert told == {name: sha256(pdf(text)).hexdigest() for name, text in wanted.items()}
    assert [notice["whole"] for notice in notices(licences.out)] == [True, True]
    assert all("所附" not in notice["text"] for notice in notices(licences.out))
    answer(licences.out, state="partly")
    due(town, minutes=6)
    assert {state for _, state in handed(town)} == {"delivered"}, "nobody says which part"
    answer(licences.out, state="destroyed")
    due(town, hours=1)
    assert {state for _, state in handed(town)} == {"destroyed"}


@pytest.mark.parametrize("step", AFTER)
def test_a_document_on_its_way_is_called_back_once_it_is_there(town: Town, tmp_path: Path, step: str) -> None:
    licences = licence_drops(town, tmp_path)
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")), (licences.row("2", "乙.pdf"), pdf("乙")))
    town.run(SYNC_LICENCES)
    share = licences.shares[0]
    made: list[str] = []
    town.run(share, observe=at(step, lambda: made.extend(recall(town, share, document="甲.pdf"))))
    assert len(made) == 1
    due(town, minutes=6)
    [notice] = notices(licences.out)
    [file] = licences.out.glob("lic_*.csv")
    assert [each["name"] for each in notice["documents"]] == [f"{file.stem}/甲.pdf"]
    answer(licences.out, state="destroyed")
    due(town, hours=1)
    assert handed(town) == [("甲.pdf", "destroyed"), ("乙.pdf", "delivered")]


def test_what_was_kept_may_be_called_back_again(town: Town, drop: Path) -> None:
    town.run(town.share)
    recall(town)
    answer(drop, state="kept")
    due(town, minutes=6)
    assert len(recall(town)) == 1
    assert sorted(row.state for row in rows(town)) == ["kept", "notified"]
    assert len(notices(drop)) == 2


def test_rows_in_a_table_cannot_be_called_back(town: Town) -> None:
    town.report(*(person(number, district=HERE) for number in range(3)))
    town.run_both()
    with pytest.raises(Misplaced, match="不是以文件送达的") as refused:
        revoke(town)
    assert "去掉 --recall" in refused.value.remedy
    assert town.all(sa.select(GrantRow.state).where(GrantRow.id == town.grant)) == ["active"]
    with pytest.raises(Misplaced, match="归集"):
        recall(town, SYNC)
    assert rows(town) == []


def test_the_recipient_calls_nothing_back(town: Town, drop: Path) -> None:
    town.run(town.share)
    with town.hub() as hub, pytest.raises(Denied):
        hub.recalls.recall(town.share, reason="x", by=town.actor("tax"))
    assert rows(town) == []


# --- death -------------------------------------------------------------------------------------


def dying(order: dict[str, Any]) -> None:
    """Order a recall, or see to those that are due, and die at the nth thing that becomes durable."""
    passages = Passages(order["point"])
    passages.around(LocalDirectory, "begin", "rename", "remove")
    transaction = HubDatabase.transaction

    @contextmanager
    def guarded(self: HubDatabase) -> Any:
        with transaction(self) as session:
            yield session
        passages.by()

    setattr(HubDatabase, "transaction", guarded)  # noqa: B010
    hub = open_hub(Path(order["home"]))
    by = current_actor(hub.settings, order["by"])
    if order["what"] == "revoke":
        hub.sharing.change(order["grant"], "revoke", reason="误发", recall=True, by=by)
    elif order["what"] == "recall":
        hub.recalls.recall(order["grant"], reason="误发", by=by)
    else:
        hub.engine.recalling.collect(by=by)
    hub.close()


WORK = "tests.exchange.engine.test_recalling:dying"


@pytest.mark.parametrize("what", ["recall", "revoke"])
def test_death_between_order_and_notice(town: Town, drop: Path, workers: Workers, what: str) -> None:
    """However it ends, each delivery is called back once, and no revocation without its recalls."""
    town.run(town.share)
    town.report(person(7, district=HERE))
    town.run_both()
    assert len(files(drop)) == 2
    about = {"home": str(town.home), "grant": town.grant}
    deaths = 0
    for point in count(1):
        status, _ = workers.do(WORK, point, **about, what=what, by="chief" if what == "revoke" else "police")
        found = rows(town)
        assert len(found) in (0, 2)
        [state] = town.all(sa.select(GrantRow.state).where(GrantRow.id == town.grant))
        if what == "revoke":
            assert (state == "revoked") == bool(found)
        due(town, minutes=6)
        found = rows(town)
        assert {row.state for row in found} <= {"notified"}
        assert sorted(each["recall"] for each in notices(drop)) == sorted(row.id for row in found)
        assert len(told(town, "RecallNotified")) == len(told(town, "RecallOrdered")) == len(found)
        assert list(drop.glob(".RECALL*")) == []
        # Once more from the beginning.
        with town.hub() as hub, hub.database.transaction() as session:
            session.execute(sa.delete(RecallRow))
            session.get_one(GrantRow, town.grant).state = "active"
            session.execute(sa.text("DELETE FROM event WHERE type LIKE 'Recall%'"))
        for path in drop.glob("RECALL-*"):
            path.unlink()
        if status == 0:
            break
        assert status == -signal.SIGKILL, workers.said
        deaths += 1
    assert deaths >= 6


def test_death_over_answers(town: Town, drop: Path, workers: Workers) -> None:
    """An answer is told once, whoever died over it."""
    town.run(town.share)
    recall(town)
    deaths = 0
    for point in count(1):
        state = "kept" if point % 2 else "partly"
        answer(drop, state=state)
        with town.hub() as hub, hub.database.transaction() as session:
            session.execute(sa.update(RecallRow).values(due_at=now(session)))
        status, _ = workers.do(WORK, point, home=str(town.home), what="collect", by="integrator")
        due(town, minutes=6)
        [row] = rows(town)
        assert row.state == state
        assert len(told(town, "RecallAnswered")) == len(provider_notices(town)) == point
        if status == 0:
            break
        assert status == -signal.SIGKILL, workers.said
        deaths += 1
    assert deaths >= 1
    assert town.faults() == []


def test_a_hub_on_a_server(tmp_path: Path, postgresql_server: Any) -> None:
    """Revoked while a delivery stands between gate and target, where writers do not wait for each other."""
    root = tmp_path / "drop"
    root.mkdir()
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, hub_url=postgresql_server.new_database())) as town:
        with town.hub() as hub:
            put_drop(town, hub, root)
            publish(town, hub, resource(share_ways=["database", "file"]))
            town.grant = grant(town, hub, way="file", target={"endpoint": "drop", "object": "people_*.csv"})
        town.report(person(1, district=HERE))
        town.run(SYNC)
        town.run(town.share)
        town.report(person(2, district=HERE))
        town.run(SYNC)
        made: list[str] = []
        town.run(town.share, observe=at("6.gated", lambda: made.extend(revoke(town))))
        assert len(made) == 2
        due(town, minutes=6)
        assert [row.state for row in rows(town)] == ["notified", "notified"]
        assert sorted(each["files"][0]["name"] for each in notices(root)) == files(root)
        answer(root, state="destroyed")
        due(town, minutes=6)
        assert {row.state for row in rows(town)} == {"destroyed"}
        assert town.faults() == []
