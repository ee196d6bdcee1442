from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.directory import Catalog
from catalog.entries import Entry, Outline
from catalog.errors import CatalogError, Overtaken, Rejected, SamePerson, UnknownEntry, WrongState
from catalog.model import Resource
from catalog.sheet import read_sheet, write_sheet
from catalog.tables import Base, HistoryRow, ResourceRow
from tests.catalog.conftest import APPROVAL, CODE, LI, MARKET, POLICE, WANG, ZHAO, person

Publish = Callable[..., Entry]


def test_a_registration_is_a_draft_with_its_provider_named(catalog: Catalog, city: Session) -> None:
    registered = catalog.register(city, person(), LI, POLICE)
    city.expire_all()
    entry = catalog.resource(city, CODE)
    assert entry == registered.entry
    assert (registered.action, registered.warnings, registered.changes) == ("add", (), ())
    assert (entry.state, entry.resource.provider) == ("draft", "泰州市公安局")


def test_what_is_wrong_is_told_at_once_and_nothing_is_kept(catalog: Catalog, city: Session) -> None:
    with pytest.raises(Rejected) as caught:
        catalog.register(city, person(name=None, share_condition="", key=["x"], provider_code=APPROVAL), LI)
    assert [problem.where.rpartition(" › ")[2] for problem in caught.value.problems] == [
        "信息资源名称", "共享条件", "业务主键", "端点",
    ]  # fmt: skip
    assert "共 4 处" in caught.value.message
    assert city.scalar(select(func.count()).select_from(ResourceRow)) == 0


def test_outlines_tell_what_every_version_is_called(catalog: Catalog, city: Session) -> None:
    assert catalog.outlines(city) == {}
    entry = catalog.register(city, person(), LI, POLICE).entry
    told = catalog.outlines(city)
    name, cycle = entry.resource.name, entry.resource.update_cycle
    assert told == {(CODE, 1): Outline(name=name, provider=POLICE, update_cycle=cycle)}


def test_warnings_do_not_stop_a_registration(catalog: Catalog, city: Session) -> None:
    registered = catalog.register(city, person(share_type=1, share_condition="无条件"), LI)
    assert [warning.message for warning in registered.warnings] == ["敏感个人信息无条件共享"]


def test_to_check_changes_nothing(catalog: Catalog, city: Session) -> None:
    assert catalog.check(city, person()) == ()
    assert [problem.message for problem in catalog.check(city, person(key=["x"]))] == ["没有信息项 x"]
    assert catalog.resources(city) == ()


def test_the_same_again_changes_nothing(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    again = catalog.register(city, person(published_on="2020-01-01", provider="市公安局"), LI)
    assert (again.action, again.changes) == (None, ())
    assert city.scalar(select(func.count()).select_from(HistoryRow)) == 1


def test_a_change_of_a_draft_is_told(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    changed = catalog.register(city, person(update_cycle="weekly"), LI)
    assert (changed.action, changed.entry.version) == ("update", 1)
    assert [change.words for change in changed.changes] == ["更新周期由“每日”改为“每周”"]


def test_a_form_is_registered_like_anything_else(catalog: Catalog, city: Session) -> None:
    resource = catalog.register(city, person(), LI).entry.resource
    assert catalog.register(city, read_sheet(write_sheet(resource)), LI).action is None
    with pytest.raises(Rejected, match="登记表"):
        catalog.register(city, read_sheet(b"PK\x03\x04"), LI)


def test_a_model_is_registered_like_anything_else(catalog: Catalog, city: Session) -> None:
    assert catalog.register(city, Resource.model_validate(person()), LI).action == "add"
    assert catalog.register(city, person(), LI).action is None


def test_three_people_bring_a_resource_to_publication(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    catalog.move(city, CODE, "submit_registration", LI)
    with pytest.raises(SamePerson, match=LI):
        catalog.move(city, CODE, "agree_registration", LI)
    catalog.move(city, CODE, "agree_registration", WANG)
    catalog.move(city, CODE, "submit_publication", LI)
    for actor in (LI, WANG):
        with pytest.raises(SamePerson, match=actor):
            catalog.move(city, CODE, "agree_publication", actor)
    assert catalog.move(city, CODE, "发布审核通过", ZHAO).state == "published"


def test_an_approver_does_not_edit_what_he_approved(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    catalog.move(city, CODE, "submit_registration", LI)
    catalog.move(city, CODE, "agree_registration", WANG)
    with pytest.raises(SamePerson):
        catalog.register(city, person(name="另一名称"), WANG)
    assert catalog.register(city, person(name="另一名称"), LI).entry.state == "draft"


def test_an_edit_after_registration_needs_registration_again(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    catalog.move(city, CODE, "submit_registration", LI)
    catalog.move(city, CODE, "agree_registration", WANG)
    catalog.register(city, person(name="另一名称"), LI)
    with pytest.raises(WrongState, match="草稿"):
        catalog.move(city, CODE, "submit_publication", LI)


def test_what_is_under_review_is_not_edited(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    catalog.move(city, CODE, "submit_registration", LI)
    with pytest.raises(WrongState) as caught:
        catalog.register(city, person(name="另一名称"), LI)
    assert "撤回" in caught.value.remedy
    assert catalog.move(city, CODE, "recall", LI).state == "draft"


def test_a_refusal_says_why(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    catalog.move(city, CODE, "submit_registration", LI)
    with pytest.raises(Rejected, match="理由"):
        catalog.move(city, CODE, "reject_registration", WANG, opinion="  ")
    assert (
        catalog.move(city, CODE, "reject_registration", WANG, opinion="与已有资源重复").state == "registration_rejected"
    )


@pytest.mark.parametrize("action", ["add", "update", "supersede", "publish", "", "登记", "x\x00"])
def test_an_action_that_is_none_is_told(catalog: Catalog, city: Session, action: str) -> None:
    catalog.register(city, person(), LI)
    with pytest.raises(Rejected, match="办理动作"):
        catalog.move(city, CODE, action, LI)


def test_a_registration_that_is_no_longer_right_goes_no_further(catalog: Catalog, city: Session) -> None:
    stricter = Catalog(code_pattern=r"2\d{8}/\d+")
    catalog.register(city, person(), LI)
    with pytest.raises(Rejected, match="不合代码规则"):
        stricter.move(city, CODE, "submit_registration", LI)
    assert catalog.resource(city, CODE).state == "draft"


def test_a_code_belongs_to_its_provider(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    with pytest.raises(Rejected, match="另一提供方"):
        catalog.register(city, person(provider_code=MARKET, offer=None), LI)


def test_the_same_sequence_number_is_not_used_twice(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    with pytest.raises(Rejected, match="顺序号"):
        catalog.register(city, person(code="101001001/1"), LI)


def test_numbers_are_given_out_in_order_and_never_again(catalog: Catalog, city: Session) -> None:
    assert catalog.next_code(city, "101001001") == CODE
    catalog.register(city, person(code="101001001/0007"), LI)
    catalog.move(city, "101001001/0007", "discard", LI)
    assert catalog.next_code(city, "101001001") == "101001001/0008"
    assert catalog.next_code(city, "101001") == "101001/0001"
    for class_code in ("1", "x", "", "a\x00", "101001001/0001"):
        with pytest.raises(Rejected):
            catalog.next_code(city, class_code)


def test_an_unknown_resource_is_answered_with_what_is_near(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    for ask in (catalog.resource, catalog.history):
        with pytest.raises(UnknownEntry) as caught:
            ask(city, "101001001/0002")
        assert caught.value.near == (CODE,)
    with pytest.raises(UnknownEntry):
        catalog.move(city, "101001001/0002", "submit_registration", LI)


@pytest.mark.parametrize(
    "code", ["", "a\x00", "\ud800", "9" * 99, "'; DROP TABLE resource; --", "101001001%2F0001", "101%"]
)
def test_a_strange_code_is_unknown_and_nothing_worse(catalog: Catalog, city: Session, code: str) -> None:
    catalog.register(city, person(), LI)
    with pytest.raises(UnknownEntry):
        catalog.resource(city, code)
    assert catalog.resource(city, CODE).code == CODE


def test_what_is_not_published_is_not_handed_out_as_such(catalog: Catalog, city: Session, publish: Publish) -> None:
    catalog.register(city, person(), LI)
    with pytest.raises(WrongState, match="草稿"):
        catalog.resource(city, CODE, published=True)
    catalog.move(city, CODE, "discard", LI)
    publish()
    assert catalog.resource(city, CODE, published=True).version == 2
    with pytest.raises(WrongState, match="作废"):
        catalog.resource(city, CODE, 1, published=True)
    catalog.move(city, CODE, "withdraw", ZHAO, opinion="停")
    with pytest.raises(WrongState, match="下架"):
        catalog.resource(city, CODE, published=True)
    assert catalog.resource(city, CODE).state == "withdrawn"


@pytest.mark.parametrize("version", [0, -1, 2, 2**40])
def test_a_version_that_is_none_is_unknown(catalog: Catalog, city: Session, version: int) -> None:
    catalog.register(city, person(), LI)
    with pytest.raises(UnknownEntry):
        catalog.resource(city, CODE, version)


def test_resources_are_listed_by_provider_state_and_class(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish()
    catalog.register(city, person(name="新名称"), LI)
    catalog.register(
        city,
        person(code="102001001/0001", provider_code=MARKET, offer=None, record_class="legal_person",
               table="up_uc_gov_org", items=None, key=None, version_item=None),
        LI,
    )  # fmt: skip

    def listed(**only: Any) -> list[tuple[str, int]]:
        return [(entry.code, entry.version) for entry in catalog.resources(city, **only)]

    assert listed() == [(CODE, 2), ("102001001/0001", 1)]
    assert listed(published=True) == [(CODE, 1)]
    assert listed(provider=MARKET) == [("102001001/0001", 1)]
    assert listed(state="draft") == [(CODE, 2), ("102001001/0001", 1)]
    assert listed(state="published") == []
    assert listed(record_class="legal_person") == [("102001001/0001", 1)]


def test_the_list_of_responsibility_holds_what_is_offered_and_what_is_asked(
    catalog: Catalog, city: Session, publish: Publish
) -> None:
    publish()
    catalog.register(city, person(code="101001001/0002", name="旧资源"), LI)
    catalog.move(city, "101001001/0002", "discard", LI)
    catalog.register(city, person(code="101001001/0003", name="居住证信息"), LI)
    asked = catalog.put_demand(
        city,
        {
            "department": APPROVAL,
            "title": "死亡登记",
            "basis": "《户口登记条例》",
            "scene": "核对",
            "provider_code": POLICE,
        },
        LI,
    )
    duties = catalog.responsibility_list(city, "市公安局")
    assert duties.department.code == POLICE
    assert [(entry.code, entry.label) for entry in duties.resources] == [(CODE, "发布"), ("101001001/0003", "草稿")]
    assert [entry.id for entry in duties.demands] == [asked.id]
    catalog.answer_demand(city, asked.id, "declined", WANG, reason="不掌握")
    assert catalog.responsibility_list(city, POLICE).demands == ()
    assert catalog.responsibility_list(city, MARKET).resources == ()


def test_a_discarded_revision_does_not_hide_what_is_in_force(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish()
    catalog.register(city, person(name="改错了"), LI)
    catalog.move(city, CODE, "discard", LI)
    assert [entry.version_in_force for entry in catalog.responsibility_list(city, POLICE).resources] == [1]


def test_the_difference_of_two_versions_is_told(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish()
    catalog.register(city, person(share_type=1, share_condition="无条件"), LI)
    old, new = (catalog.resource(city, CODE, version).resource for version in (1, 2))
    assert [change.path for change in catalog.difference(old, new)] == ["share_type", "share_condition"]


def test_a_local_grammar_is_a_setting(city: Session) -> None:
    local = Catalog(code_pattern=r"SC-\d{4}")
    assert local.register(city, person(code="SC-0001", classes=["101001"]), LI).action == "add"
    with pytest.raises(Rejected, match="code_pattern"):
        Catalog(code_pattern="(")


def test_nobody_without_a_name_does_anything(catalog: Catalog, city: Session) -> None:
    for act in (
        lambda: catalog.register(city, person(), " "),
        lambda: catalog.move(city, CODE, "discard", "\x00"),
        lambda: catalog.put_demand(city, {}, ""),
        lambda: catalog.answer_demand(city, 1, "met", ""),
    ):
        with pytest.raises(Rejected, match="办理人"):
            act()


HOSTILE = st.sampled_from(
    ["'; DROP TABLE resource; --", '"); DELETE FROM department; --', "' OR '1'='1", "\\'; --", "%' --",
     "$$; SELECT 1; $$", "a\x00b", "\ud800", ":name", "%(name)s", "{0}", "?", "\u202e", "𠮷' --"]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_text_in_any_field_is_text_or_is_told(catalog: Catalog, city: Session, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from([*Resource.model_fields]))
    hostile = data.draw(HOSTILE)
    several = field in ("classes", "formats", "share_ways", "related", "key")
    tables = [*Base.metadata.sorted_tables]
    with city.begin_nested() as attempt:
        try:
            entry = catalog.register(city, person() | {field: [hostile] if several else hostile}, LI).entry
            city.expire_all()
            kept = getattr(catalog.resource(city, entry.code).resource, field)
            assert kept in (hostile, "泰州市公安局")
        except CatalogError as error:
            assert str(error).encode()
        attempt.rollback()
    assert all(city.execute(select(func.count()).select_from(table)).scalar_one() >= 0 for table in tables)
    assert len(catalog.departments(city)) == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE, st.sampled_from(["name", "label", "code_list", "reference", "check", "type"]))
def test_hostile_text_in_any_part_of_an_item_is_text_or_is_told(
    catalog: Catalog, city: Session, hostile: str, part: str
) -> None:
    item = {"name": "z", "label": "其他", "type": "C", "length": 18} | {part: hostile}
    with city.begin_nested() as attempt:
        try:
            entry = catalog.register(city, person(items=[*person()["items"], item]), LI).entry
            assert getattr(entry.resource.items[-1], part) == hostile
        except Rejected as error:
            assert str(error).encode()
        attempt.rollback()
    assert len(catalog.departments(city)) == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE)
def test_hostile_text_in_any_question_is_text_or_is_told(catalog: Catalog, city: Session, hostile: str) -> None:
    catalog.register(city, person(), LI)
    asked = catalog.put_demand(
        city, {"department": POLICE, "title": "企业登记", "basis": "《公司法》", "scene": "核对"}, LI
    )
    for ask in (
        lambda: catalog.search(city, hostile),
        lambda: catalog.search(city, provider=hostile),
        lambda: catalog.search(city, record_class=hostile, under=hostile),
        lambda: catalog.resources(city, provider=hostile),
        lambda: catalog.demands(city, department=hostile, provider=hostile),
        lambda: catalog.responsibility_list(city, hostile),
        lambda: catalog.move(city, hostile, "withdraw", LI, opinion=hostile),
        lambda: catalog.move(city, CODE, hostile, hostile, hostile, hostile),
        lambda: catalog.move(city, CODE, "submit_registration", hostile, POLICE, hostile),
        lambda: catalog.move(city, CODE, "recall", hostile, hostile),
        lambda: catalog.move(city, CODE, "recall", LI),
        lambda: catalog.answer_demand(city, asked.id, hostile, hostile, resource=hostile, reason=hostile),
        lambda: catalog.answer_demand(city, asked.id, "declined", hostile, reason=hostile),
        lambda: catalog.put_demand(
            city, dict.fromkeys(("department", "title", "basis", "scene", "resource"), hostile), LI
        ),
        lambda: catalog.put_department(city, {"code": hostile, "name": hostile, "division": hostile}),
        lambda: catalog.put_endpoint(city, {"name": hostile, "department": POLICE, "kind": hostile}),
    ):
        try:
            ask()
        except CatalogError as error:
            assert str(error).encode()
    assert len(catalog.departments(city)) == 3


def test_whoever_began_from_what_stands_no_more_is_told_so(catalog: Catalog, city: Session) -> None:
    first = catalog.register(city, person(), LI, POLICE, begun="").entry
    with pytest.raises(Overtaken, match="刚由他人登记"):
        catalog.register(city, person(abstract="另一份"), LI, POLICE, begun="")
    second = catalog.register(city, person(abstract="先写的"), LI, POLICE, begun=first.mark).entry
    assert second.mark != first.mark
    with pytest.raises(Overtaken, match="第 1 版，草稿"):
        catalog.register(city, person(abstract="后写的"), LI, POLICE, begun=first.mark)
    with pytest.raises(Overtaken):
        catalog.move(city, CODE, "submit_registration", LI, POLICE, begun=first.mark)
    with pytest.raises(Overtaken, match="不在了"):
        catalog.register(city, person(code="101001001/0404"), LI, POLICE, begun=first.mark)
    submitted = catalog.move(city, CODE, "submit_registration", LI, POLICE, begun=second.mark)
    recalled = catalog.move(city, CODE, "recall", LI, POLICE, begun=submitted.mark)
    # The same content in the same state is what was seen.
    assert recalled.mark == second.mark
    assert catalog.resource(city, CODE).resource.abstract == "先写的"
