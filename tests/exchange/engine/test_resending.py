"""A single delivery of files is made once more, whoever dies on it, and nothing else moves."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.db.tables import EventRow, ExchangeRow, RunRow
from exchange.engine import RunResult, resending
from exchange.errors import Busy, Denied, HubError, Misplaced, Tampered
from tests.exchange.engine.licences import Licences, pdf
from tests.exchange.engine.test_recalling import answer, due, handed, licences, put_drop, recall
from tests.exchange.engine.town import (
    AWAY,
    HERE,
    SYNC,
    Town,
    at,
    build,
    counts,
    grant,
    identity_number,
    offered,
    person,
    publish,
    resource,
)
from tests.exchange.engine.witness import STEPS
from tests.exchange.engine.worker import Workers

__all__ = ["licences"]


def make(town: Town, root: Path, *, offer: dict[str, Any] | None = None, **changes: Any) -> None:
    """Let the tax office find its rows in a directory."""
    root.mkdir()
    with town.hub() as hub:
        put_drop(town, hub, root)
        publish(town, hub, resource(share_ways=["database", "file"], **(offer or {})))
        target = {"endpoint": "drop", "object": "people_*.csv"}
        town.grant = grant(town, hub, way="file", target=target, **changes)


@pytest.fixture
def drop(town: Town, tmp_path: Path) -> Path:
    make(town, tmp_path / "drop")
    return tmp_path / "drop"


def files(root: Path) -> list[Path]:
    return sorted(root.glob("people_*.csv"))


def rows(path: Path) -> list[tuple[str, str, str]]:
    """Operation, number of the person and version of each row."""
    told = json.loads(path.with_name(f"{path.name}.manifest.json").read_text())
    with path.open(encoding="utf-8-sig") as lines:
        found = [(row["_operation"], row["id_no"], row["ver"]) for row in csv.DictReader(lines)]
    assert len(found) == told["rows"]
    return sorted(found)


def puts(*numbers: int, version: int = 1) -> list[tuple[str, str, str]]:
    return sorted(("U", identity_number(number), str(version)) for number in numbers)


def deliver(town: Town, *people: dict[str, Any]) -> str:
    """Report, collect, share; the run that delivered."""
    town.report(*people)
    return town.run_both()[1].id


def resend(town: Town, run: str, **options: Any) -> RunResult:
    with town.hub() as hub:
        return hub.files.resend(run, by=town.actor("integrator"), **options)


def stands(town: Town) -> Any:
    """Where the reading of the share stands, and when it is due."""
    query = sa.select(ExchangeRow.position, ExchangeRow.shape, ExchangeRow.due_at).where(ExchangeRow.id == town.share)
    with town.hub() as hub, hub.database.reading() as session:
        return tuple(session.execute(query).one())


def told(town: Town, kind: str) -> list[dict[str, Any]]:
    return town.all(sa.select(EventRow.body).where(EventRow.type == kind).order_by(EventRow.id))


def here(*numbers: int, version: int = 1) -> list[dict[str, Any]]:
    return [person(number, version=version, district=HERE) for number in numbers]


def test_one_delivery_and_no_other(town: Town, drop: Path) -> None:
    deliver(town, *here(1, 2))
    second = deliver(town, *here(3, 4))
    deliver(town, *here(5))
    before, lost = stands(town), files(drop)[1]
    lost.unlink()
    result = resend(town, second)
    again = files(drop)[-1]
    assert rows(again) == puts(3, 4)
    assert result.state == "settled"
    assert result.counts == counts(read=2, written=2)
    assert (result.plan.resend, stands(town)) == (second, before)
    keys = [run.delivery for run in town.runs(town.share)]
    assert len(set(keys)) == len(keys) == len(town.receipts(town.share)) == 4
    assert json.loads(again.with_name(f"{again.name}.manifest.json").read_text())["key"] == keys[3]
    assert told(town, "DeliveryRepeated") == [{"of": keys[1], "delivery": keys[3]}]
    deliver(town, *here(6))
    assert rows(files(drop)[-1]) == puts(6)
    assert town.faults() == []


def test_by_its_receipt_and_once_more(town: Town, drop: Path) -> None:
    first = deliver(town, *here(1, 2))
    deliver(town, *here(3))
    again = resend(town, town.receipts(town.share)[0].id)
    assert again.plan.resend == first
    resend(town, again.id)
    assert [rows(path) for path in files(drop)] == [puts(1, 2), puts(3), puts(1, 2), puts(1, 2)]


def test_the_rows_are_as_they_are_now(town: Town, drop: Path) -> None:
    first = deliver(town, *here(1, 2, 3))
    deliver(town, person(1, version=2, district=HERE, name="改名"), person(2, version=2, district=AWAY))
    result = resend(town, first)
    # Of 2 nobody knows whether it is there still: a grant of some rows, and a drop that cannot be asked.
    assert rows(files(drop)[-1]) == sorted([*puts(1, version=2), *puts(3)])
    assert result.counts == counts(read=3, filtered=1, written=2)


def test_what_was_collected_since_is_owed_still(town: Town, drop: Path) -> None:
    first = deliver(town, *here(1))
    town.report(*here(2))
    town.run(SYNC)
    resend(town, first)
    assert rows(files(drop)[-1]) == puts(1)
    town.run(town.share)
    assert rows(files(drop)[-1]) == puts(2)


def test_a_file_is_followed_to_the_run_that_brought_it(town: Town, drop: Path) -> None:
    """A resend between the collecting and the sharing of a file has brought none of it."""
    first = deliver(town, *here(1))
    town.report(*here(2))
    collected = town.run(SYNC)
    resend(town, first)
    with town.hub() as hub, hub.database.reading() as session:
        share = session.get_one(ExchangeRow, town.share)
        run = session.get_one(RunRow, collected.id)
        assert hub.files._onward(session, share, run).run is None
    brought = town.run(town.share)
    with town.hub() as hub, hub.database.reading() as session:
        share = session.get_one(ExchangeRow, town.share)
        run = session.get_one(RunRow, collected.id)
        assert hub.files._onward(session, share, run).run == brought.id


@pytest.mark.parametrize("product", ["sqlite", "postgresql", "mariadb"])
def test_what_was_deleted_since_goes_out_as_a_deletion(
    request: pytest.FixtureRequest, tmp_path: Path, product: str
) -> None:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    hub_url = None
    if product != "sqlite":
        server = request.getfixturevalue(f"{product}_server")
        urls["library"] = server.new_database()
        hub_url = server.new_database() if product == "postgresql" else None
    with closing(build(tmp_path / "home", urls, hub_url=hub_url, capture="diff")) as town:
        drop = tmp_path / "drop"
        make(town, drop, filter=None, offer=offered("diff"))
        first = deliver(town, *here(1, 2, 3))
        town.remove(2)
        town.run_both()
        assert [row[:2] for row in rows(files(drop)[-1])] == [("D", identity_number(2))]
        resend(town, first)
        told = sorted([("U", identity_number(1)), ("D", identity_number(2)), ("U", identity_number(3))])
        assert [row[:2] for row in rows(files(drop)[-1])] == told
        assert town.faults() == []


def test_documents_go_with_their_rows(town: Town, licences: Licences) -> None:
    share = licences.shares[0]
    second = town.runs(share)[1].id
    resend(town, second)
    again = sorted(licences.out.glob("lic_*.csv"))[-1]
    assert [path.name for path in again.with_suffix("").iterdir()] == ["甲.pdf"]
    assert (again.with_suffix("") / "甲.pdf").read_bytes() == pdf("新")
    assert handed(town)[-1] == ("甲.pdf", "delivered")


def test_never_under_a_grant_that_is_no_more(town: Town, drop: Path) -> None:
    first = deliver(town, *here(1))
    assert resend(town, first, observe=at("6.gate", lambda: town.change("revoke"))).state == "barred"
    with pytest.raises(HubError):
        resend(town, first)
    assert len(files(drop)) == 1


def test_what_was_called_back_does_not_come_again(town: Town, drop: Path) -> None:
    first = deliver(town, *here(1))
    again = resend(town, first)
    recall(town, again.id)
    for run in (first, again.id):
        with pytest.raises(Misplaced, match="撤回"):
            resend(town, run)
    answer(drop, state="destroyed")
    due(town, minutes=6)
    with pytest.raises(Misplaced, match="撤回"):
        resend(town, first)
    assert len(files(drop)) == 2


def test_there_must_be_a_delivery_of_files(town: Town, drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = deliver(town, *here(1, 2))
    nothing = town.run(town.share)
    with pytest.raises(Misplaced, match="没有送达什么"):
        resend(town, nothing.id)
    with pytest.raises(Misplaced, match="以文件送达") as refused:
        resend(town, town.runs(SYNC)[0].id)
    assert "--redeliver" in refused.value.remedy
    monkeypatch.setattr(resending, "LARGEST", 1)
    with pytest.raises(Misplaced, match="上限") as refused:
        resend(town, first)
    assert "--redeliver" in refused.value.remedy
    with town.hub() as hub, hub.database.transaction() as session:
        session.get_one(ExchangeRow, town.share).shape = ""
    with pytest.raises(Misplaced, match="全量"):
        resend(town, first)
    assert len(files(drop)) == 1
    assert len(town.runs(town.share)) == 2


def test_a_lost_manifest_blocks_nothing(town: Town, drop: Path) -> None:
    first = deliver(town, *here(1))
    kept = town.home / "payload" / str(town.runs(town.share)[0].manifest)
    content = kept.read_bytes()
    with pytest.raises(Tampered):
        resend(town, first, observe=at("2.leased", kept.unlink))
    assert town.runs(town.share)[-1].state == "failed"
    with pytest.raises(Tampered):
        resend(town, first)
    kept.write_bytes(content)
    deliver(town, *here(2))
    assert [rows(path) for path in files(drop)] == [puts(1), puts(2)]


def test_only_who_may_run_the_exchange(town: Town, drop: Path) -> None:
    first = deliver(town, *here(1))
    with town.hub() as hub:
        for person_ in ("police", "chief", "auditor"):
            with pytest.raises(Denied):
                hub.files.resend(first, by=town.actor(person_))
    assert len(files(drop)) == 1


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[tuple[Town, Path]]:
    """A town in which the dead are soon known to be dead."""
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, lease_seconds=0.5)) as town:
        make(town, tmp_path / "drop")
        yield town, tmp_path / "drop"


@pytest.mark.parametrize("asked", [True, False], ids=["asked again", "by an ordinary run"])
@pytest.mark.parametrize("step", STEPS)
def test_whoever_dies_it_comes_once(quick: tuple[Town, Path], workers: Workers, step: str, asked: bool) -> None:
    town, drop = quick
    first = deliver(town, *here(1, 2))
    deliver(town, *here(3))
    before = stands(town)
    assert workers.run(town.home, town.share, step, resend=first) == -signal.SIGKILL, workers.said
    options = {"resend": first} if asked else {}
    while (status := workers.run(town.home, town.share, **options)) == Busy.status:
        pass
    assert status == 0, workers.said
    came = [rows(path) for path in files(drop)]
    # Who died before the run was durable has asked for nothing; nor does the hub know that who died after the end did
    # not see it.
    times = {"1.planned": int(asked), "8.promoted": 1, "9.settled": 1 + asked}.get(step, 1)
    assert came == [puts(1, 2), puts(3), *[puts(1, 2)] * times]
    if asked:
        assert stands(town)[:2] == before[:2]
    assert len(town.receipts(town.share)) == 2 + times + (not asked and step in ("1.planned", "9.settled"))
    assert town.faults() == []
