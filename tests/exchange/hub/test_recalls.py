"""Who may call back, and who may see what was called back and what recipients said to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.db import now
from exchange.db.tables import EventRow, RecallRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.hub.recalls import RecallEntry
from exchange.identity import Actor
from exchange.settings import Role
from tests.exchange.engine.town import HERE, HUB, POLICE, SYNC, TAX, Town, build, grant, person, publish, resource

HEALTH = "11321200TE0000045P"
WORDS = "张三的那份已经归档"


def somebody(department: str, *roles: Role) -> Actor:
    return Actor(name="某人", established="demo", department=department, roles=frozenset(roles))


@contextmanager
def recalled(folder: Path) -> Iterator[Town]:
    """A town whose tax office found a file, and answered to its recall."""
    drop = folder / "drop"
    drop.mkdir()
    urls = {name: f"sqlite:///{folder / name}.db" for name in ("police", "library", "tax")}
    with closing(build(folder / "home", urls)) as town:
        with town.hub() as hub:
            spec = EndpointSpec(name="drop", department=TAX, kind="files", options={"root": str(drop)})
            hub.registration.put_endpoint(spec, by=town.actor("integrator"))
            publish(town, hub, resource(share_ways=["database", "file"]))
            town.grant = grant(town, hub, way="file", target={"endpoint": "drop", "object": "people_*.csv"})
        town.report(person(1, district=HERE))
        town.run_both()
        with town.hub() as hub:
            [name] = hub.recalls.recall(town.share, reason=" 误发 ", by=somebody(POLICE, Role.REVIEWER))
            (drop / f"RECALL-{name}.answer.json").write_text(json.dumps({"state": "kept", "reason": WORDS}))
            with hub.database.transaction() as session:
                session.get_one(RecallRow, name).due_at = now(session) - timedelta(seconds=1)
            assert hub.engine.recalling.collect(by=town.actor("integrator")) == 1
        yield town


@pytest.fixture(scope="module")
def shared_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with recalled(tmp_path_factory.mktemp("recalls")) as town:
        yield town


def told(town: Town, type: str) -> list[dict[str, Any]]:
    return town.all(sa.select(EventRow.body).where(EventRow.type == type).order_by(EventRow.id))


def entries(town: Town, by: Actor, **options: Any) -> list[RecallEntry]:
    with town.hub() as hub:
        return hub.recalls.entries(by=by, **options)


@pytest.mark.parametrize(
    ("department", "roles", "may"),
    [
        (POLICE, (Role.CLERK,), True),
        (POLICE, (Role.REVIEWER,), True),
        (HUB, (Role.SECURITY,), True),
        (POLICE, (Role.INTEGRATOR, Role.SYSTEM), False),
        (TAX, (Role.CLERK, Role.REVIEWER), False),
        (HUB, (Role.REVIEWER, Role.AUDIT, Role.SYSTEM), False),
        (HEALTH, (Role.CLERK,), False),
    ],
)
def test_who_may_call_back(shared_town: Town, department: str, roles: tuple[Role, ...], may: bool) -> None:
    town = shared_town
    refusals, made = len(told(town, "AccessDenied")), len(told(town, "RecallOrdered"))
    with town.hub() as hub:
        if may:
            [name] = hub.recalls.recall(town.share, reason="误发", by=somebody(department, *roles))
            with hub.database.transaction() as session:
                session.delete(session.get_one(RecallRow, name))
        else:
            with pytest.raises(Denied):
                hub.recalls.recall(town.share, reason="误发", by=somebody(department, *roles))
    assert len(told(town, "RecallOrdered")) == made + may
    assert len(told(town, "AccessDenied")) == refusals + (not may)


@pytest.mark.parametrize(
    ("department", "roles", "sees", "hears"),
    [
        (POLICE, (Role.CLERK,), True, True),
        (TAX, (Role.CLERK,), True, True),
        (HUB, (Role.INTEGRATOR,), True, False),
        (HUB, (Role.AUDIT,), True, False),
        (HUB, (Role.SECURITY,), True, False),
        (HUB, (Role.CLERK,), False, False),
        (HEALTH, (Role.REVIEWER,), False, False),
    ],
)
def test_who_may_see_them(shared_town: Town, department: str, roles: tuple[Role, ...], sees: bool, hears: bool) -> None:
    town = shared_town
    looks = len(told(town, "RecallsRead"))
    found = entries(town, somebody(department, *roles))
    assert [each.state for each in found] == ["kept"] * sees
    assert [each.words is not None for each in found] == [hears] * sees
    assert len(told(town, "RecallsRead")) == looks + hears
    assert (WORDS in str(found)) is hears


def test_by_exchange_and_state(shared_town: Town) -> None:
    by = somebody(POLICE, Role.CLERK)
    [found] = entries(shared_town, by, exchange=shared_town.share, state="kept")
    assert (found.reason, found.department, found.recipient, found.documents) == ("误发", POLICE, TAX, ())
    assert entries(shared_town, by, state="owed") == entries(shared_town, by, exchange=SYNC) == []


def test_what_cannot_be_called_back(shared_town: Town) -> None:
    town, by = shared_town, somebody(POLICE, Role.CLERK)
    with town.hub() as hub:
        with pytest.raises(Unknown):
            hub.recalls.recall("nothing", reason="误发", by=by)
        with pytest.raises(Invalid, match="不能撤回"):
            hub.recalls.recall(town.share, reason="  ", by=by)
        with pytest.raises(Misplaced, match="归集"):
            hub.recalls.recall(SYNC, reason="误发", by=by)
        for name in ("", " ", "a\nb", "a\u202eb", "x" * 601):
            with pytest.raises(Invalid):
                hub.recalls.recall(town.receipts(town.share)[0].id, document=name, reason="误发", by=by)
    assert len(entries(town, by)) == 1


def test_the_receipt_names_its_delivery(shared_town: Town) -> None:
    town, by = shared_town, somebody(POLICE, Role.CLERK)
    [receipt] = town.receipts(town.share)
    with town.hub() as hub:
        [name] = hub.recalls.recall(receipt.id, reason="误发", by=by)
        with hub.database.transaction() as session:
            row = session.get_one(RecallRow, name)
            assert (row.run, row.documents, Path(row.place).suffix) == (receipt.run, [], ".csv")
            row.documents = [{"name": "a.pdf"}]
        # The name of a document can be that of a person.
        looks = len(told(town, "RecallsRead"))
        assert len(entries(town, somebody(HUB, Role.AUDIT), state="notified")) == 1
        assert len(told(town, "RecallsRead")) == looks + 1
        with hub.database.transaction() as session:
            row = session.get_one(RecallRow, name)
            session.delete(row)
