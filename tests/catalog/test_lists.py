from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from catalog import lists
from catalog.directory import Catalog
from catalog.entries import Entry
from catalog.errors import Rejected, UnknownEntry, WrongState
from tests.catalog.conftest import APPROVAL, CODE, LI, MARKET, POLICE, WANG


def demand(**changes: Any) -> dict[str, Any]:
    return {
        "department": APPROVAL, "title": "死亡登记信息", "items": ["姓名", "死亡日期"], "basis": "《居民身份证法》",
        "scene": "注销养老待遇前核对", "provider_code": POLICE,
    } | changes  # fmt: skip


def test_a_demand_waits_until_it_is_met_by_a_published_resource(
    catalog: Catalog, city: Session, publish: Callable[..., Entry]
) -> None:
    asked = catalog.put_demand(city, demand(), LI)
    assert (asked.state, asked.label, asked.answer) == ("open", "待响应", "")
    publish()
    met = catalog.answer_demand(city, asked.id, "met", WANG, resource=CODE, reason="已发布")
    city.expire_all()
    assert catalog.demands(city) == (met,)
    assert (met.state, met.resource, met.answered_by, met.answer) == ("met", CODE, WANG, "已发布")
    assert met.answered_at is not None
    assert met.answered_at > asked.at
    assert met.demand == asked.demand


def test_a_demand_is_declined_with_a_reason(catalog: Catalog, city: Session) -> None:
    asked = catalog.put_demand(city, demand(), LI)
    with pytest.raises(Rejected, match="理由"):
        catalog.answer_demand(city, asked.id, "declined", WANG, reason=" ")
    assert catalog.answer_demand(city, asked.id, "declined", WANG, reason="不掌握").state == "declined"


def test_a_demand_is_answered_once(catalog: Catalog, city: Session) -> None:
    asked = catalog.put_demand(city, demand(), LI)
    catalog.answer_demand(city, asked.id, "declined", WANG, reason="不掌握")
    with pytest.raises(WrongState, match="不予提供"):
        catalog.answer_demand(city, asked.id, "declined", WANG, reason="仍不掌握")


def test_a_draft_meets_no_demand(catalog: Catalog, city: Session) -> None:
    asked = catalog.put_demand(city, demand(), LI)
    for resource in (None, CODE, "nobody"):
        with pytest.raises(Rejected, match="已发布"):
            catalog.answer_demand(city, asked.id, "met", WANG, resource=resource)
    with pytest.raises(Rejected, match="取值范围"):
        catalog.answer_demand(city, asked.id, "open", WANG)
    assert catalog.demands(city)[0].state == "open"


@pytest.mark.parametrize("number", [0, -1, 99, 2**63, 2**70])
def test_a_number_nobody_gave_is_unknown(catalog: Catalog, city: Session, number: int) -> None:
    with pytest.raises(UnknownEntry):
        catalog.answer_demand(city, number, "declined", WANG, reason="x")


def test_everything_wrong_with_a_demand_is_told(catalog: Catalog, city: Session) -> None:
    stranger = "12321200TE0000AB6N"
    with pytest.raises(Rejected) as caught:
        catalog.put_demand(city, demand(department=stranger, provider_code=stranger, resource="101001001/9999"), LI)
    assert [problem.where for problem in caught.value.problems] == [
        "需求 死亡登记信息 › 需求部门",
        "需求 死亡登记信息 › 建议提供部门",
        "需求 死亡登记信息 › 建议提供部门",
        "需求 死亡登记信息 › 已知资源代码",
    ]
    with pytest.raises(Rejected, match="自己"):
        catalog.put_demand(city, demand(provider_code=APPROVAL), LI)


def test_demands_are_listed_by_who_asks_who_is_asked_and_state(catalog: Catalog, city: Session) -> None:
    first = catalog.put_demand(city, demand(), LI)
    second = catalog.put_demand(city, demand(department=MARKET, provider_code=None), LI)
    catalog.answer_demand(city, second.id, "declined", WANG, reason="不掌握")

    def listed(**only: Any) -> list[int]:
        return [entry.id for entry in catalog.demands(city, **only)]

    assert listed() == [first.id, second.id]
    assert listed(department=MARKET) == [second.id]
    assert listed(provider=POLICE) == [first.id]
    assert listed(state="declined") == [second.id]
    assert lists.listed(city, department=MARKET, state="open") == ()
