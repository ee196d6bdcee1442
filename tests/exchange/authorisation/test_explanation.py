from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exchange.authorisation import Explanation
from exchange.db import now
from exchange.db.tables import GrantRow
from exchange.errors import Unknown
from exchange.identity import Actor
from tests.exchange.authorisation.conftest import (
    CENTRE,
    CONDITIONAL,
    LAW,
    MARKET,
    OPEN,
    POLICE,
    PUBLISHER,
    REVIEWER,
    WITHHELD,
    City,
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


def explain(city: City, name: str) -> Explanation:
    with city.database.reading() as session:
        return city.authorisation.explain(session, name)


def end_yesterday(city: City, grant: str) -> None:
    with city.database.transaction() as session:
        session.get_one(GrantRow, grant).valid_until = datetime.now(UTC) - timedelta(days=1)


def collect(city: City, code: str = OPEN) -> GrantRow | None:
    with city.database.transaction() as session:
        entry = city.catalog.resource(session, code, published=True)
        return city.authorisation.collect(session, PUBLISHER, entry)


def test_a_grant_explains_itself(city_on_each: City) -> None:
    city = city_on_each
    name = city.apply(filter={"item": "district", "starts_with": "3212"}, quota_rows=10, rows_per_minute=20)
    told = explain(city, name)
    assert told.grant is not None
    assert explain(city, told.grant) == told
    assert (told.application, told.kind, told.state) == (name, "sharing", "有效")
    assert (told.resource, told.resource_name, told.provider, told.department) == (OPEN, "人口信息0001", POLICE, MARKET)
    assert [(item.name, item.mask) for item in told.items] == [
        ("id_no", "密钥散列"),
        ("name", "姓名只留首字"),
        ("district", ""),
        ("version", ""),
    ]
    assert told.rows == "所在区 以 “3212” 开头"
    assert told.purpose["basis"] == "《电子商务法》第十条"
    assert [(answer.approved, answer.decider) for answer in told.decisions] == [(True, "platform")]
    assert (told.quota, told.used, told.passes, told.obstacles) == (10, 0, True, ())
    assert (told.calls_per_minute, told.rows_per_minute) == (None, 20)
    through_gate(city, told.grant, "d1", rows=10)
    told = explain(city, told.grant)
    assert (told.used, told.passes) == (10, False)
    assert "行数上限为 10，已用 10" in told.obstacles[0]


def test_a_grant_says_everything_that_stands_in_its_way(city: City) -> None:
    grant = city.granted()
    change(city, "suspend", grant)
    end_yesterday(city, grant)
    with city.database.transaction() as session:
        city.catalog.move(session, OPEN, "withdraw", PUBLISHER.name, CENTRE, "数据停用")
    told = explain(city, grant)
    assert not told.passes
    assert told.obstacles == (
        f"授权 {grant} 已中止",
        f"授权 {grant} 的使用期限已过",
        f"资源 {OPEN} 已不在目录中发布",
    )
    assert set(told.obstacles) < set(through_gate(city, grant, "d1", version=9))


def test_a_grant_does_not_outlive_the_sharing_type_of_its_items(city: City) -> None:
    grant = city.granted()
    items = [{**item, "share_type": 3} if item["name"] == "district" else item for item in resource()["items"]]
    city.publish(resource(OPEN, items=items))
    (reason,) = through_gate(city, grant, "d1")
    assert "所在区（district）现已改为不予共享" in reason
    assert LAW in reason
    assert explain(city, grant).obstacles == (reason,)


def test_an_application_explains_what_it_waits_for(city: City) -> None:
    told = explain(city, city.apply(resource=CONDITIONAL))
    assert (told.grant, told.state, told.passes, told.decisions) == (None, "待提供部门答复", False, ())
    assert any("共享条件：限本市窗口" in obstacle for obstacle in told.obstacles)
    assert [item.name for item in told.items] == ["id_no", "name", "district", "version"]


def test_a_refusal_explains_itself(city: City) -> None:
    told = explain(city, city.apply(resource=WITHHELD, quota_rows=5, calls_per_minute=7))
    assert (told.state, told.quota, told.rows) == ("未同意", 5, "全部")
    assert (told.calls_per_minute, told.rows_per_minute) == (7, None)
    assert LAW in told.decisions[0].reasons[0]


def test_a_collection_explains_itself(city: City) -> None:
    row = collect(city)
    assert row is not None
    told = explain(city, row.id)
    assert (told.kind, told.department, told.application, told.decisions) == ("collection", CENTRE, None, ())
    assert told.passes
    assert all(item.mask == "" for item in told.items)


def test_nothing_under_that_name(city_on_each: City) -> None:
    city = city_on_each
    for name in ("absent", "' OR 1=1 --", "", "\udce4", "\0"):
        with pytest.raises(Unknown):
            explain(city, name)
