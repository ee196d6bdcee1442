"""A full refresh end to end: books, refusal of a fall, acceptance, switching back, and death at any step."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from exchange.db.tables import EventRow, ExchangeRow, UsageRow
from exchange.errors import Busy, Denied, Invalid, Misplaced, Red
from exchange.identity import Actor
from exchange.receipts import balanced
from exchange.settings import Role
from tests.exchange.engine.town import AWAY, HERE, POLICE, TAX, Town, build, clone, counts, person, wrong
from tests.exchange.engine.worker import Workers

STEPS = ("3.read", "5.manifest", "6.gated", "7.commit", "7.committed", "8.promoted")


@pytest.fixture(scope="module")
def served_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("served")
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(build(folder / "home", urls, capture="snapshot", served="provider")) as town:
        yield town


@pytest.fixture
def town(served_town: Town, tmp_path: Path) -> Iterator[Town]:
    """A town on files whose police serve their own table, which is refreshed at the tax office."""
    with closing(clone(served_town, tmp_path)) as town:
        configure(town)
        yield town


def configure(town: Town, **settings: Any) -> None:
    described = {"exchanges": [{"id": town.share, **(settings or {"refresh": "full"})}]}
    file = town.home.parent / "refresh.yaml"
    file.write_text(yaml.safe_dump(described), encoding="utf-8")
    with town.hub() as hub:
        hub.configuration.apply([file], by=town.actor("integrator"))


def here(*numbers: int, version: int = 1) -> list[dict[str, Any]]:
    return [person(number, version=version, district=HERE) for number in numbers]


def test_deletes_found_by_comparison_are_read_and_written(town: Town) -> None:
    configure(town, refresh="full", may_fall=0.5)
    town.report(*here(*range(8)), wrong(20), person(21, district=AWAY))
    assert town.run(town.share).counts == counts(read=10, filtered=1, refused=1, written=8)
    town.remove(0, 1)
    town.report(*here(2, version=2), *here(30))
    result = town.run(town.share)
    assert result.state == "settled"
    assert result.counts == counts(read=11, filtered=1, refused=1, unchanged=5, written=4, deleted=2)
    assert balanced(result.counts)
    assert town.rows("tax") == town.granted()
    receipt = town.receipts(town.share)[-1].body
    assert receipt["counts"] == result.counts
    assert receipt["refresh"] == {"how": "reload", "why": ["这种数据库不在事务中换表"]}
    told = town.all(sa.select(EventRow.body).where(EventRow.type == "TargetRefreshed").order_by(EventRow.id))
    assert told[-1] == {"how": "reload", "why": ["这种数据库不在事务中换表"], "gone": 2}
    with town.hub() as hub, hub.database.reading() as session:
        used = session.scalars(sa.select(UsageRow.rows).where(UsageRow.delivery == receipt["delivery"])).one()
    assert used == 2, "what went is no use of the grant"
    assert town.faults() == []


def test_a_fall_is_refused_until_it_is_accepted_once(town: Town) -> None:
    town.report(*here(*range(10)))
    town.run(town.share)
    before = town.rows("tax")
    town.remove(*range(4))
    with pytest.raises(Red) as refused:
        town.run(town.share)
    assert "现有 10 行" in refused.value.message
    assert "只剩 6 行" in refused.value.message
    assert f"shutong run {town.share} --accept-fall 6" in refused.value.remedy
    assert town.rows("tax") == before
    assert town.runs(town.share)[-1].state == "red"
    assert town.stages("tax") == []
    town.remove(4)
    with pytest.raises(Red, match="只剩 5 行"):
        town.run(town.share, accept_fall=6)
    result = town.run(town.share, accept_fall=5)
    assert result.counts == counts(read=10, unchanged=5, written=5, deleted=5)
    assert town.rows("tax") == town.granted()
    accepted = town.all(sa.select(EventRow.body).where(EventRow.type == "FallAccepted").order_by(EventRow.id))
    assert accepted == [{"rows": 6}, {"rows": 5}]
    town.remove(5)
    with pytest.raises(Red, match="只剩 4 行"):
        town.run(town.share)
    assert town.faults() == []


def test_an_empty_source_empties_nothing(town: Town) -> None:
    configure(town, refresh="full", may_fall=1.0)
    town.report(*here(1, 2))
    town.run(town.share)
    town.remove(1, 2)
    with pytest.raises(Red, match="一行不剩"):
        town.run(town.share)
    assert len(town.rows("tax")) == 2
    assert town.run(town.share, accept_fall=0).counts == counts(read=2, written=2, deleted=2)
    assert town.rows("tax") == {}


def test_who_provides_does_not_accept_for_who_receives(town: Town) -> None:
    roles = frozenset({Role.INTEGRATOR})
    own = Actor(name="公安集成员", established="os-user", department=POLICE, roles=roles)
    theirs = Actor(name="税务集成员", established="os-user", department=TAX, roles=roles)
    town.report(*here(1))
    with town.hub() as hub:
        with pytest.raises(Denied, match="不能接受"):
            hub.oversight.run(town.share, by=own, accept_fall=0)
        assert hub.oversight.run(town.share, by=theirs, accept_fall=0).state == "settled"
    denied = town.all(sa.select(EventRow.body).where(EventRow.type == "AccessDenied"))
    assert len(denied) == 1


def test_there_is_nothing_to_accept_in_a_merge(town: Town) -> None:
    configure(town, tolerance={"rows": 1})
    with pytest.raises(Invalid) as refused:
        town.run(town.share, accept_fall=3)
    assert "没有行数下降可接受" in str(refused.value.problems)
    assert town.runs(town.share) == []


def test_refused_rows_are_not_sent_again_by_hand(town: Town) -> None:
    town.report(*here(1), wrong(3))
    town.run(town.share)
    with pytest.raises(Misplaced, match="全量刷新"):
        town.run(town.share, replay=True)


def test_back_to_merging_and_forth(town: Town) -> None:
    configure(town, refresh="full", may_fall=0.9)
    town.report(*here(1, 2, 3))
    town.run(town.share)
    gone = dict(town.reported)
    town.remove(2, 3)
    assert town.run(town.share).counts["deleted"] == 2
    configure(town, tolerance={"rows": 5})
    with town.hub() as hub:
        assert hub.sharing.plan(town.share).refresh is None
    town.report(*gone.values())
    assert town.run(town.share).counts == counts(read=3, unchanged=1, written=2)
    assert town.rows("tax") == town.granted()
    town.remove(3)
    assert town.run(town.share).counts == counts(read=2, unchanged=2)
    assert len(town.rows("tax")) == 3
    configure(town, refresh="full", may_fall=0.9)
    assert town.run(town.share).counts == counts(read=3, unchanged=2, written=1, deleted=1)
    assert town.rows("tax") == town.granted()


def test_what_cannot_be_refreshed_is_not_planned(town: Town) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            row = session.get_one(ExchangeRow, town.share)
            row.target = {**row.target, "fixed": {"area": "1"}}
            row.source = {**row.source, "capture": "diff"}
        with pytest.raises(Invalid) as refused:
            hub.sharing.plan(town.share)
    told = str(refused.value.problems)
    assert "不是整张表归这一份授权" in told
    assert "diff 方式读取" in told


class Deaths:
    """Workers die on the way to a refresh; whoever comes next leaves exactly what is granted."""

    def __init__(self, town: Town, workers: Workers) -> None:
        self._town = town
        self._workers = workers
        self._rounds = count(2)
        self.faults: list[str] = []
        self.hows: set[str] = set()

    def die(self, point: str) -> bool:
        """Everything changes, a third goes, and a worker dies at a point; whether one did."""
        town, version = self._town, next(self._rounds)
        town.remove(*(number for number in range(9) if person(number)["id_no"] in town.reported))
        town.report(*(person(n, version=version, district=HERE) for n in range(9) if n % 3 != version % 3))
        status = self._workers.run(town.home, town.share, point)
        died = status == -signal.SIGKILL
        if status != 0:
            deadline = time.monotonic() + 30
            while (status := self._workers.run(town.home, town.share)) == Busy.status and time.monotonic() < deadline:
                time.sleep(0.05)
        run, receipts = town.runs(town.share)[-1], town.receipts(town.share)
        body = receipts[-1].body
        self.hows.add(body["refresh"]["how"])
        found = {
            f"ended with {status}: {self._workers.said[-500:]}": status == 0,
            "not settled": run.state == "settled" and body["run"] == run.id,
            "other rows": town.rows("tax") == town.granted(),
            "unbalanced": balanced(body["counts"]) and body["counts"]["written"] == 9,
            "not one receipt for each delivery": sorted(each.body["delivery"] for each in receipts)
            == town.ledger(town.share),
            "a stage is left": town.stages("tax") == [] and not self._left(),
        }
        self.faults += [f"{point}: {fault}" for fault, right in found.items() if not right]
        return died

    def _left(self) -> list[str]:
        names = sa.inspect(self._town.databases["tax"]).get_table_names()
        return [name for name in names if name.startswith("shutong_swap")]


@pytest.mark.long_with("sqlite", "mariadb")
@pytest.mark.parametrize("product", ["sqlite", "postgresql", "mariadb"])
def test_whoever_dies_wherever(request: pytest.FixtureRequest, tmp_path: Path, workers: Workers, product: str) -> None:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    if product != "sqlite":
        urls["tax"] = request.getfixturevalue(f"{product}_server").new_database()
    with closing(build(tmp_path / "home", urls, lease_seconds=0.3, capture="snapshot", served="provider")) as town:
        configure(town, refresh="full", may_fall=0.9)
        town.report(*here(0, 2, 3, 5, 6, 8))
        town.run(town.share)
        deaths = Deaths(town, workers)
        died = [deaths.die(step) for step in STEPS]
        assert all(died)
        inside = [number for number in (1, 9, 21, 33) if deaths.die(f"target:{number}")]
        assert deaths.faults == []
        assert len(inside) >= 3
        assert deaths.hows == {"swap" if product == "postgresql" else "reload"}
        assert town.faults() == []


def test_it_is_described_exported_and_taken_back(town: Town, tmp_path: Path) -> None:
    configure(town, refresh="full", may_fall="20%", tolerance={"rows": 3})
    by = town.actor("integrator")
    with town.hub() as hub:
        plan = hub.sharing.plan(town.share)
        assert plan.refresh is not None
        assert (plan.refresh.may_fall, plan.tolerance.rows) == (0.2, 3)
        file = tmp_path / "export.yaml"
        file.write_text(hub.configuration.export(), encoding="utf-8")
        assert {each.action for each in hub.configuration.apply([file], by=by)} == {"same"}
        planned, told = hub.sharing.outlook(town.share, by=town.actor("tax"))
        assert planned == plan
        assert told is not None
        assert told.how == "reload"
    configure(town, tolerance={"rows": 3})
    with town.hub() as hub:
        assert hub.sharing.plan(town.share).refresh is None
        assert hub.sharing.outlook(town.share, by=by)[1] is None
    events = town.all(sa.select(EventRow.body).where(EventRow.type == "RefreshConfigured").order_by(EventRow.id))
    assert events[-2:] == [{"full": True, "may_fall": "0.2"}, {"full": False, "may_fall": None}]


def test_the_plan_and_what_was_accepted_go_with_the_run(town: Town) -> None:
    town.report(*here(*range(10)))
    town.run(town.share)
    town.remove(*range(8))
    town.run(town.share, accept_fall=2)
    plan = json.loads(json.dumps(town.runs(town.share)[-1].plan))
    assert plan["refresh"] == {"may_fall": 0.1, "accepted": 2}
