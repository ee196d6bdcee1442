from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exchange.db import now
from exchange.db.tables import GrantRow, NoticeRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.identity import PLATFORM, Actor
from exchange.settings import Role
from tests.exchange.authorisation.conftest import (
    CENTRE,
    CLERK,
    MARKET,
    MARKET_REVIEWER,
    OPEN,
    POLICE,
    POLICE_CLERK,
    PUBLISHER,
    REVIEWER,
    SECURITY,
    SYSTEM,
    WITHHELD,
    City,
    person,
    resource,
)


def grant_row(city: City, name: str) -> GrantRow:
    with city.database.reading() as session:
        return session.get_one(GrantRow, name)


def change(city: City, action: str, grant: str, by: Actor = REVIEWER, reason: str = "用途已实现") -> Any:
    with city.database.transaction() as session:
        return getattr(city.authorisation, action)(session, by, grant, reason)


def through_gate(city: City, grant: str, delivery: str, rows: int = 1, version: int | None = None) -> list[str]:
    wanted = grant_row(city, grant).version if version is None else version
    with city.database.transaction() as session:
        return city.authorisation.gate(session, grant, wanted, rows, delivery, now(session))


def end_yesterday(city: City, grant: str) -> None:
    with city.database.transaction() as session:
        session.get_one(GrantRow, grant).valid_until = datetime.now(UTC) - timedelta(days=1)


def collect(city: City, code: str = OPEN) -> GrantRow | None:
    with city.database.transaction() as session:
        entry = city.catalog.resource(session, code, published=True)
        return city.authorisation.collect(session, PUBLISHER, entry)


# --- suspending, resuming, revoking --------------------------------------------------------------


def test_a_grant_is_suspended_and_resumed(city: City) -> None:
    grant = city.granted()
    change(city, "suspend", grant, reason="核查中")
    assert (grant_row(city, grant).state, grant_row(city, grant).version) == ("suspended", 2)
    assert through_gate(city, grant, "d1") == [f"授权 {grant} 已中止"]
    change(city, "resume", grant, reason="核查完毕")
    assert (grant_row(city, grant).state, grant_row(city, grant).version) == ("active", 3)
    assert through_gate(city, grant, "d1") == []
    assert city.events("GrantSuspended")[0].body == {"grant": grant, "reason": "核查中"}
    assert city.events("GrantResumed")[0].body == {"grant": grant, "reason": "核查完毕"}
    told = [row.text for row in city.rows(NoticeRow) if row.department == MARKET]
    assert told == [f"授权 {grant} 已中止：核查中", f"授权 {grant} 有效：核查完毕"]


def test_revocation_is_for_good_and_says_what_came_before(city_on_each: City) -> None:
    city = city_on_each
    grant = city.granted()
    for delivery in ("d1", "d2"):
        assert through_gate(city, grant, delivery) == []
    planned = grant_row(city, grant).version
    assert set(change(city, "revoke", grant, reason="用途已实现")) == {"d1", "d2"}
    assert grant_row(city, grant).state == "revoked"
    against = through_gate(city, grant, "d3", version=planned)
    assert against[0] == f"授权 {grant} 已撤销"
    assert any("由第 1 版变为第 2 版" in reason for reason in against)
    (event,) = city.events("GrantRevoked")
    assert event.actor == REVIEWER.name
    assert event.body["reason"].startswith("用途已实现（此前已放行 2 次交付，最近一次 d")
    for action in ("suspend", "resume", "revoke"):
        with pytest.raises(Misplaced, match="已撤销"):
            change(city, action, grant)


def test_revocation_before_any_delivery_says_so(city: City) -> None:
    assert change(city, "revoke", city.granted()) == ()
    assert "此前没有放行过交付" in city.events("GrantRevoked")[0].body["reason"]


@pytest.mark.parametrize("by", [REVIEWER, PUBLISHER, SECURITY])
def test_who_may_change_a_grant(city: City, by: Actor) -> None:
    grant = city.granted()
    for action in ("suspend", "resume", "revoke"):
        change(city, action, grant, by)
    assert grant_row(city, grant).version == 4


@pytest.mark.parametrize(
    "by",
    [
        CLERK, MARKET_REVIEWER, POLICE_CLERK, SYSTEM, PLATFORM,
        person("中心经办", CENTRE, Role.CLERK), person("审计员", CENTRE, Role.AUDIT),
    ],
)  # fmt: skip
def test_who_may_not(city: City, by: Actor) -> None:
    grant = city.granted()
    for action in ("suspend", "resume", "revoke"):
        with pytest.raises(Denied) as caught:
            change(city, action, grant, by)
        assert caught.value.reasons
    assert (grant_row(city, grant).state, grant_row(city, grant).version) == ("active", 1)


def test_a_change_needs_a_reason_and_a_grant(city: City) -> None:
    grant = city.granted()
    with pytest.raises(Invalid):
        change(city, "revoke", grant, reason=" ")
    with pytest.raises(Invalid):
        change(city, "revoke", grant, reason="\0")
    with pytest.raises(Misplaced, match="不能恢复"):
        change(city, "resume", grant)
    for name in ("absent", "\udce4"):
        with pytest.raises(Unknown):
            change(city, "revoke", name)


# --- the end of the period -----------------------------------------------------------------------


def test_grants_expire(city_on_each: City) -> None:
    city = city_on_each
    over, going_on, suspended = city.granted(), city.granted(), city.granted()
    change(city, "suspend", suspended)
    for grant in (over, suspended):
        end_yesterday(city, grant)
    assert through_gate(city, over, "d1") == [f"授权 {over} 的使用期限已过"]
    with city.database.transaction() as session:
        assert city.authorisation.expire_due(session) == sorted([over, suspended])
    with city.database.transaction() as session:
        assert city.authorisation.expire_due(session) == []
    assert [grant_row(city, g).state for g in (over, going_on, suspended)] == ["expired", "active", "expired"]
    assert grant_row(city, over).version == 2
    assert {row.body["grant"] for row in city.events("GrantExpired")} == {over, suspended}
    assert all(row.actor == PLATFORM.name for row in city.events("GrantExpired"))
    with pytest.raises(Misplaced, match="已到期"):
        change(city, "resume", suspended)


def test_a_use_begins_on_its_day(city: City) -> None:
    since = (datetime.now(UTC) + timedelta(days=10)).date()
    grant = city.granted(since=since.isoformat())
    assert through_gate(city, grant, "d1") == [f"授权 {grant} 尚未生效"]


# --- collection ----------------------------------------------------------------------------------


def test_publication_brings_a_collection_grant(city_on_each: City) -> None:
    city = city_on_each
    row = collect(city)
    assert row is not None
    assert (row.kind, row.department, row.state, row.version) == ("collection", CENTRE, "active", 1)
    assert (row.resource_version, row.valid_until, row.quota_rows, row.application) == (1, None, None, None)
    assert row.body["items"] == ["id_no", "name", "district", "marital", "income", "version"]
    assert (row.body["masks"], row.body["filter"], row.body["target"]) == ({}, None, None)
    assert through_gate(city, row.id, "d1", rows=10**9) == []
    (event,) = city.events("GrantIssued")
    assert (event.actor, event.body["kind"]) == (PUBLISHER.name, "collection")


def test_the_way_of_a_collection_is_that_of_its_endpoint(city: City) -> None:
    with city.database.transaction() as session:
        city.catalog.put_endpoint(session, {"name": "police", "department": POLICE, "kind": "database"})
    city.publish(resource(OPEN, offer={"endpoint": "police", "object": "person"}))
    row = collect(city)
    assert row is not None
    assert row.body["way"] == "database"


def test_publishing_again_renews_it(city: City) -> None:
    first = collect(city)
    assert first is not None
    same = collect(city)
    assert same is not None
    assert (same.id, same.version) == (first.id, 1)
    city.publish(resource(OPEN, items=[item for item in resource()["items"] if item["name"] != "marital"]))
    renewed = collect(city)
    assert renewed is not None
    assert (renewed.id, renewed.version, renewed.resource_version) == (first.id, 2, 2)
    assert "marital" not in renewed.body["items"]
    assert any("由第 1 版变为第 2 版" in reason for reason in through_gate(city, first.id, "d1", version=1))


def test_a_suspended_collection_stays_suspended_and_a_revoked_one_is_granted_anew(city: City) -> None:
    first = collect(city)
    assert first is not None
    change(city, "suspend", first.id)
    city.publish(resource(OPEN, abstract="改写的摘要"))
    again = collect(city)
    assert again is not None
    assert (again.id, again.state, again.resource_version) == (first.id, "suspended", 2)
    change(city, "revoke", first.id)
    anew = collect(city)
    assert anew is not None
    assert anew.id != first.id


def test_what_is_withheld_is_not_collected(city: City) -> None:
    assert collect(city, WITHHELD) is None
    assert city.rows(GrantRow) == []


def test_a_resource_that_becomes_withheld_is_no_longer_collected(city: City) -> None:
    row = collect(city)
    assert row is not None
    everything = [{**item, "share_type": None} for item in resource()["items"]]
    city.publish(resource(OPEN, share_type=3, share_ways=[], items=everything))
    assert collect(city) is None
    assert grant_row(city, row.id).state == "revoked"


def test_only_what_is_published_is_collected(city: City) -> None:
    city.publish(resource(OPEN, abstract="改写的摘要"))
    with city.database.transaction() as session:
        old = city.catalog.resource(session, OPEN, 1)
        with pytest.raises(Misplaced, match="没有发布"):
            city.authorisation.collect(session, PUBLISHER, old)
