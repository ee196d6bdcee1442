"""Who else reads or writes what an exchange does, whatever its places are called; what a run given up gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from catalog import EndpointSpec
from exchange.db import now
from exchange.db.tables import UsageRow
from exchange.engine import RunState
from exchange.engine.subject import Places
from exchange.errors import Invalid
from tests.exchange.engine.town import (
    AWAY,
    COLUMNS,
    POLICE,
    SYNC,
    TAX,
    Town,
    grant,
    identity_number,
    person,
    prepare,
    publish,
    resource,
)

PSEUDONYM = {"id_no": {"mask": "hmac"}, "name": {"mask": "name"}, "born": {"mask": "null"}}
CLEAR = {**PSEUDONYM, "id_no": {"mask": "clear", "justification": "按公民身份号码办理涉税事项"}}
CODE = "101001001/0002"


def called(town: Town, name: str, department: str, options: dict[str, Any]) -> None:
    spec = EndpointSpec(name=name, department=department, kind="database", options=options)
    with town.hub() as hub:
        hub.registration.put_endpoint(spec, by=town.actor("integrator"))


def file_of(town: Town, place: str) -> Path:
    return Path(sa.make_url(town.urls[place]).database or "")


@pytest.mark.parametrize(("linked", "table"), [(False, "person"), (True, "PERSON")])
def test_a_second_name_for_the_target_lets_no_second_writer_in(
    town: Town, tmp_path: Path, linked: bool, table: str
) -> None:
    link = tmp_path / "linked.db"
    link.symlink_to(file_of(town, "tax"))
    path = link if linked else file_of(town, "tax")
    called(town, "tax2", TAX, {"product": "sqlite", "path": str(path)})
    town.report(*(person(number) for number in range(9)))
    town.run_both()
    before, first = town.rows("tax"), town.share
    target = {"endpoint": "tax2", "object": table, "columns": {name: name for name in COLUMNS}}
    with town.hub() as hub:
        town.grant = grant(town, hub, filter={"item": "district", "is": AWAY}, target=target)
    with pytest.raises(Invalid) as told:
        town.run(town.share)
    assert first in str(told.value.problems)
    assert town.rows("tax") == before


def test_a_second_name_for_the_front_end_lets_no_second_reader_in(town: Town) -> None:
    called(town, "police2", POLICE, {"product": "sqlite", "path": str(file_of(town, "police"))})
    offer = {**resource()["offer"], "endpoint": "police2"}
    with town.hub() as hub:
        publish(town, hub, resource(code=CODE, name="人口变动信息", offer=offer))
    town.report(person(1))
    with pytest.raises(Invalid) as told:
        town.run("sync-101001001-0002")
    assert SYNC in str(told.value.problems)
    assert set(town.flags().values()) == {"0"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"host": "127.0.0.1"}, True),
        ({"host": "LocalHost", "port": 5432}, True),
        ({"host": "::1", "user": "somebody"}, True),
        ({"schema": "public"}, True),
        ({"schema": "front"}, False),
        ({"database": "police"}, False),
        ({"port": 5433}, False),
        ({"host": "10.0.0.8"}, False),
    ],
)
def test_a_database_is_known_without_going_there_and_without_its_password(
    town: Town, other: dict[str, Any], same: bool
) -> None:
    options = {"product": "postgresql", "host": "localhost", "database": "tax", "user": "hub"}
    options["password"] = "env:SHUTONG_SECRET_NOT_THERE"
    called(town, "one", TAX, options)
    called(town, "two", TAX, {**options, **other})
    with town.hub() as hub, hub.database.reading() as session:
        places = Places(session, hub.settings, hub.catalog)
        one, two = (places.whereabouts({"endpoint": name, "object": "person"}) for name in ("one", "two"))
        assert places.whereabouts({"endpoint": "gone", "object": "A"}) == ("端点 gone", "A")
    assert (one == two) is same


def renewed(town: Town, old: dict[str, Any], new: dict[str, Any], table: str = "moved") -> None:
    """People are delivered under a grant, which is revoked and followed by another."""
    town.report(*(person(number) for number in (1, 2, 4)))
    town.run(SYNC)
    town.change("revoke", "另行申请")
    with town.hub() as hub:
        town.grant = grant(town, hub, masks=old, target={"endpoint": "tax", "object": "moved", "columns": {}})
        prepare(town, hub)
    assert town.run(town.share).counts["written"] == 3
    town.change("revoke", "期满续授")
    with town.hub() as hub:
        town.grant = grant(town, hub, masks=new, target={"endpoint": "tax", "object": table, "columns": {}})


@pytest.mark.parametrize(
    ("old", "new"), [(PSEUDONYM, PSEUDONYM), (PSEUDONYM, CLEAR), (CLEAR, PSEUDONYM)], ids=["both", "before", "after"]
)
def test_rows_of_two_pseudonyms_never_meet_in_one_table(town: Town, old: dict[str, Any], new: dict[str, Any]) -> None:
    renewed(town, old, new)
    held = town.query("tax", "SELECT id_no FROM moved")
    with pytest.raises(Invalid) as told:
        town.run(town.share)
    assert "moved" in told.value.problems[0].message
    assert "新建的表" in told.value.remedy
    assert identity_number(1) not in str(told.value.problems)
    assert town.query("tax", "SELECT id_no FROM moved") == held


def test_a_renewed_grant_of_pseudonyms_goes_into_another_table(town: Town) -> None:
    renewed(town, PSEUDONYM, PSEUDONYM, "moved_2")
    with town.hub() as hub:
        prepare(town, hub)
    assert town.run(town.share).counts["written"] == 3


def test_a_renewed_grant_of_open_keys_goes_on_in_the_same_table(town: Town) -> None:
    renewed(town, CLEAR, CLEAR)
    assert town.run(town.share).counts["unchanged"] == 3


@pytest.mark.parametrize(("step", "kept"), [("3.read", False), ("6.gate", False), ("7.commit", True)])
def test_a_run_given_up_gives_its_quota_back_unless_it_may_have_been_delivered(
    town: Town, step: str, kept: bool
) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)

    def die(name: str, _figures: dict[str, Any]) -> None:
        if name == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        town.run(town.share, observe=die)
    (first,) = town.runs(town.share)
    with town.hub() as hub, hub.database.transaction() as session:
        if session.get(UsageRow, first.delivery) is None:
            session.add(UsageRow(delivery=first.delivery, grant=town.grant, rows=6, at=now(session)))
    town.run(town.share, after_restore=True)
    given_up, last = town.runs(town.share)
    assert (given_up.id, given_up.state) == (first.id, RunState.ABANDONED)
    taken = {usage.delivery for usage in town.all(sa.select(UsageRow).where(UsageRow.grant == town.grant))}
    assert taken == ({first.delivery, last.delivery} if kept else {last.delivery})
