from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from exchange.authorisation.application import parse
from exchange.authorisation.literals import BEIJING
from exchange.db.tables import ApplicationRow, DecisionRow, GrantRow, NoticeRow
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.identity import PLATFORM, Actor
from exchange.settings import Role
from tests.exchange.authorisation.conftest import (
    CENTRE,
    CLERK,
    CONDITIONAL,
    LAW,
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


def application_row(city: City, name: str) -> ApplicationRow:
    with city.database.reading() as session:
        return session.get_one(ApplicationRow, name)


def notices(city: City) -> list[tuple[str, str]]:
    return [(row.department, row.text) for row in sorted(city.rows(NoticeRow), key=lambda row: row.id)]


# --- applying ------------------------------------------------------------------------------------


def test_unconditional_is_granted_by_the_platform_and_the_provider_is_told(city_on_each: City) -> None:
    city = city_on_each
    name = city.apply(quota_rows=50)
    assert application_row(city, name).state == "granted"
    (decision,) = city.rows(DecisionRow)
    assert (decision.approved, decision.decider) == (True, PLATFORM.name)
    assert any("平台直接授权" in reason for reason in decision.reasons)
    assert any("姓名（name）是个人信息" in reason for reason in decision.reasons)
    (grant,) = city.rows(GrantRow)
    assert (grant.kind, grant.state, grant.version, grant.application) == ("sharing", "active", 1, name)
    assert (grant.resource, grant.resource_version, grant.department) == (OPEN, 1, MARKET)
    assert grant.quota_rows == 50
    assert grant.body["items"] == ["id_no", "name", "district", "version"]
    assert grant.body["masks"] == {"id_no": {"mask": "hmac", "digest": "sha256"}, "name": {"mask": "name"}}
    assert [department for department, _ in notices(city)] == [POLICE]
    assert grant.id in notices(city)[0][1]
    (issued,) = city.events("GrantIssued")
    assert (issued.actor, issued.resource, issued.department) == (PLATFORM.name, OPEN, MARKET)
    assert issued.body == {"grant": grant.id, "kind": "sharing", "application": name}
    assert [row.actor for row in city.events("ApplicationSubmitted")] == [CLERK.name]


def test_conditional_waits_for_the_provider(city: City) -> None:
    name = city.apply(resource=CONDITIONAL)
    assert application_row(city, name).state == "pending"
    assert city.rows(DecisionRow) == []
    assert city.rows(GrantRow) == []
    (notice,) = notices(city)
    assert notice[0] == POLICE
    assert name in notice[1]


def test_withheld_is_refused_with_reasons_and_logged(city_on_each: City) -> None:
    city = city_on_each
    name = city.apply(resource=WITHHELD)
    assert application_row(city, name).state == "refused"
    (decision,) = city.rows(DecisionRow)
    assert not decision.approved
    assert LAW in decision.reasons[0]
    (event,) = city.events("ApplicationDecided")
    assert (event.actor, event.body["approved"]) == (PLATFORM.name, False)
    assert tuple(event.body["reasons"]) == tuple(decision.reasons)
    assert city.rows(GrantRow) == []


def test_missing_material_is_told_at_once_and_kept(city: City) -> None:
    with city.database.transaction() as session:
        name = city.authorisation.apply(session, CLERK, parse({"resource": OPEN, "department": MARKET}))
    assert application_row(city, name).state == "refused"
    assert "一次性告知" in city.rows(DecisionRow)[0].reasons[0]


def test_what_is_not_published_is_refused(city: City) -> None:
    draft = "101001001/0009"
    with city.database.transaction() as session:
        city.catalog.register(session, resource(draft), POLICE_CLERK.name, POLICE)
    assert application_row(city, city.apply(resource=draft)).state == "refused"
    assert "未在目录中发布" in city.rows(DecisionRow)[0].reasons[0]


@pytest.mark.parametrize(
    "by",
    [
        MARKET_REVIEWER,
        SYSTEM,
        SECURITY,
        POLICE_CLERK,
        person("公安经办", POLICE, Role.CLERK, Role.REVIEWER),
        Actor(name="x", established="system", department=None, roles=frozenset({Role.CLERK})),
        PLATFORM,
    ],
)
def test_only_a_clerk_of_the_department_applies_for_it(city: City, by: Actor) -> None:
    with pytest.raises(Denied) as caught:
        city.apply(by)
    assert caught.value.reasons
    assert city.rows(ApplicationRow) == []


def test_own_data_needs_no_application(city: City) -> None:
    name = city.apply(POLICE_CLERK, department=POLICE)
    assert application_row(city, name).state == "refused"


def test_the_same_application_again_changes_nothing(city: City) -> None:
    assert city.apply(id="shop") == city.apply(id="shop") == "shop"
    assert len(city.rows(ApplicationRow)) == len(city.rows(GrantRow)) == 1
    with pytest.raises(Misplaced, match="shop"):
        city.apply(id="shop", scene="别的场景")


@pytest.mark.parametrize(
    "hostile",
    [
        '\'; DROP TABLE "grant"; --',
        '" OR 1=1 --',
        "<script>alert(1)</script>",
        "{{7*7}} ${jndi:ldap://x} %s %(name)s {0}",
        "=cmd|'/c calc'!A1",
        "../../etc/passwd",
        "𠮷䶮\n第二行",
    ],
)
def test_hostile_text_is_only_text(city: City, hostile: str) -> None:
    name = city.apply(
        resource=CONDITIONAL,
        basis=hostile,
        scene=hostile,
        scope=hostile,
        filter={"item": "district", "is": hostile},
        masks={"name": {"mask": "clear", "justification": hostile}},
        target={"endpoint": hostile, "object": hostile, "columns": {"name": hostile}, "options": {hostile: hostile}},
    )
    grant = city.decide(name, reasons=[hostile])
    with city.database.reading() as session:
        row = session.get_one(GrantRow, grant)
        told = city.authorisation.explain(session, row.id)
    assert row.body["purpose"] == {"basis": hostile, "scene": hostile, "scope": hostile}
    assert row.body["filter"] == {"item": "district", "is": hostile}
    assert row.body["target"]["options"] == {hostile: hostile}
    assert hostile in told.decisions[0].reasons
    assert len(city.rows(GrantRow)) == 1
    refused = city.apply(items=[hostile], way=hostile[:16])
    assert application_row(city, refused).state == "refused"


def test_no_value_of_a_filter_enters_the_log(city: City) -> None:
    number = "32120218850101001X"
    for wanted in ({"item": "version", "is": number}, {"item": "district", "is": number}):
        city.apply(filter=wanted, masks={"name": {"mask": "clear", "justification": number}})
    logged = str([row.body for kind in ("ApplicationSubmitted", "ApplicationDecided") for row in city.events(kind)])
    assert number not in logged
    assert number not in str(notices(city))


# --- deciding ------------------------------------------------------------------------------------


def test_the_provider_grants(city_on_each: City) -> None:
    city = city_on_each
    name = city.apply(resource=CONDITIONAL)
    grant = city.decide(name, reasons=["窗口核对所需"])
    assert grant is not None
    row = application_row(city, name)
    assert row.state == "granted"
    assert row.decided_at is not None
    (decision,) = city.rows(DecisionRow)
    assert (decision.decider, decision.reasons[0]) == (REVIEWER.name, "窗口核对所需")
    assert any("个人信息，脱敏提供" in reason for reason in decision.reasons)
    assert [department for department, _ in notices(city)] == [POLICE, MARKET]
    assert [row.actor for row in city.events("GrantIssued")] == [REVIEWER.name]


def test_the_provider_refuses_with_reasons(city_on_each: City) -> None:
    city = city_on_each
    name = city.apply(resource=CONDITIONAL)
    with pytest.raises(Invalid, match="不能审核"):
        city.decide(name, approved=False, reasons=["  "])
    with pytest.raises(Invalid, match="审核意见"):
        city.decide(name, approved=False, reasons=["看不见\udce4"])
    assert city.decide(name, approved=False, reasons=["场景不明"]) is None
    assert application_row(city, name).state == "refused"
    assert city.rows(GrantRow) == []
    assert "场景不明" in notices(city)[-1][1]
    assert city.events("ApplicationDecided")[0].body == {
        "application": name, "approved": False, "reasons": ["场景不明"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (MARKET_REVIEWER, "只有提供部门"),
        (PUBLISHER, "只有提供部门"),
        (person(CLERK.name, POLICE, Role.REVIEWER), "申请人不能审核自己的申请"),
        (person(CLERK.name, MARKET, Role.CLERK, Role.REVIEWER), "申请人不能审核自己的申请"),
        (POLICE_CLERK, "需要角色"),
        (SECURITY, "需要角色"),
        (SYSTEM, "需要角色"),
        (PLATFORM, "需要角色"),
    ],
)
@pytest.mark.parametrize("approved", [True, False])
def test_nobody_else_answers(city: City, by: Actor, words: str, approved: bool) -> None:
    name = city.apply(resource=CONDITIONAL)
    with pytest.raises(Denied) as caught:
        city.decide(name, by, approved=approved, reasons=["可"])
    assert any(words in reason for reason in caught.value.reasons)
    assert application_row(city, name).state == "pending"
    assert city.rows(GrantRow) == []


def test_every_reason_against_a_reviewer_is_told_at_once(city: City) -> None:
    name = city.apply(resource=CONDITIONAL)
    with pytest.raises(Denied) as caught:
        city.decide(name, person(CLERK.name, CENTRE, Role.REVIEWER))
    assert len(caught.value.reasons) == 2


def test_an_answer_is_given_once(city: City) -> None:
    name = city.apply(resource=CONDITIONAL)
    city.decide(name)
    for approved in (True, False):
        with pytest.raises(Misplaced, match="已同意"):
            city.decide(name, approved=approved, reasons=["再答"])
    assert len(city.rows(GrantRow)) == 1
    with pytest.raises(Misplaced):
        city.decide(city.apply(resource=WITHHELD))
    with pytest.raises(Unknown):
        city.decide("absent")


def test_a_reviewer_gives_less(city: City) -> None:
    name = city.apply(resource=CONDITIONAL, quota_rows=100, items=["name", "district"])
    until = datetime.now(BEIJING).date() + timedelta(days=10)
    grant = city.decide(
        name, items=["district"], filter={"item": "district", "is": "321202"}, quota=10, until=until, masks=None
    )
    with city.database.reading() as session:
        row = session.get_one(GrantRow, grant)
    assert row.body["items"] == ["id_no", "district", "version"]
    assert row.body["filter"] == {"item": "district", "is": "321202"}
    assert row.quota_rows == 10
    assert row.valid_until is not None
    assert (row.valid_until + timedelta(hours=8)).date() == until + timedelta(days=1)


@pytest.mark.parametrize(
    "more",
    [
        {"items": ["name", "income"]},
        {"quota": 101},
        {"until": date(2100, 1, 1)},
        {"masks": {"name": {"mask": "clear", "justification": "方便"}}},
    ],
)
def test_a_reviewer_never_gives_more(city: City, more: dict[str, Any]) -> None:
    name = city.apply(resource=CONDITIONAL, quota_rows=100)
    with pytest.raises(Denied) as caught:
        city.decide(name, **more)
    assert caught.value.reasons
    assert city.rows(GrantRow) == []
    assert application_row(city, name).state == "pending"


def test_what_cannot_be_read_is_refused(city: City) -> None:
    with pytest.raises(Invalid):
        city.decide(city.apply(resource=CONDITIONAL), sql="1 = 1")


def test_what_the_rules_no_longer_allow_cannot_be_granted(city: City) -> None:
    name = city.apply(resource=CONDITIONAL)
    city.publish(
        resource(
            CONDITIONAL, share_type=3, share_ways=[], items=[{**i, "share_type": None} for i in resource()["items"]]
        )
    )
    with pytest.raises(Denied, match="现行规则不允许") as caught:
        city.decide(name)
    assert LAW in caught.value.reasons[0]
    assert city.decide(name, approved=False, reasons=["已改为不予共享"]) is None


# --- withdrawing ---------------------------------------------------------------------------------


def test_an_application_is_withdrawn_before_it_is_answered(city: City) -> None:
    name = city.apply(resource=CONDITIONAL)
    for by in (POLICE_CLERK, MARKET_REVIEWER):
        with pytest.raises(Denied), city.database.transaction() as session:
            city.authorisation.withdraw(session, by, name)
    with city.database.transaction() as session:
        city.authorisation.withdraw(session, CLERK, name, "不再需要")
    assert application_row(city, name).state == "withdrawn"
    (event,) = city.events("ApplicationDecided")
    assert event.body["reasons"] == ["申请部门撤回：不再需要"]
    with pytest.raises(Misplaced, match="已撤回"):
        city.decide(name)
    with pytest.raises(Misplaced), city.database.transaction() as session:
        city.authorisation.withdraw(session, CLERK, name)
