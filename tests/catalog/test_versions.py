from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from catalog import versions
from catalog.codes import PATTERN
from catalog.directory import Catalog
from catalog.entries import Entry
from catalog.errors import WrongState
from catalog.model import Resource
from catalog.reading import read_resource
from catalog.tables import Base, HistoryRow, ResourceClassRow, ResourceRow, ResourceVersionRow, ResourceWayRow
from tests.catalog.conftest import APPROVAL, CODE, LI, POLICE, WANG, ZHAO, person
from tests.support.servers import Server

Publish = Callable[..., Entry]


def republish(catalog: Catalog, session: Session, code: str = CODE) -> Entry:
    catalog.move(session, code, "submit_registration", LI)
    catalog.move(session, code, "agree_registration", WANG)
    catalog.move(session, code, "submit_publication", LI)
    return catalog.move(session, code, "agree_publication", ZHAO)


def test_publication_sets_the_date_as_it_is_in_china(publish: Publish) -> None:
    entry = publish()
    assert entry.published_at is not None
    assert entry.published_at.date() == date(2026, 3, 1)
    assert entry.resource.published_on == date(2026, 3, 2)


def test_a_published_version_stays_in_force_until_the_next_one_is(
    catalog: Catalog, city: Session, publish: Publish
) -> None:
    publish()
    second = catalog.register(city, person(name="户籍人口信息（新）"), LI)
    assert (second.action, second.entry.version, second.entry.state) == ("revise", 2, "draft")
    assert second.entry.resource.published_on is None
    for action, actor in (("submit_registration", LI), ("agree_registration", WANG), ("submit_publication", LI)):
        assert catalog.move(city, CODE, action, actor).version == 2
        standing = catalog.resource(city, CODE, published=True)
        assert (standing.version, standing.resource.name) == (1, "户籍人口基本信息")
    catalog.move(city, CODE, "agree_publication", ZHAO)
    city.expire_all()
    assert catalog.resource(city, CODE, published=True).version == 2
    old = catalog.resource(city, CODE, 1)
    assert (old.state, old.in_force, old.resource.name) == ("superseded", False, "户籍人口基本信息")
    assert [(s.version, s.action, s.actor) for s in catalog.history(city, CODE)][-2:] == [
        (1, "supersede", ZHAO),
        (2, "agree_publication", ZHAO),
    ]


def test_a_discarded_revision_leaves_what_is_in_force(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish()
    catalog.register(city, person(name="改错了"), LI)
    catalog.move(city, CODE, "discard", LI)
    assert catalog.resource(city, CODE, published=True).version == 1
    same = catalog.register(city, person(), LI)
    assert (same.action, same.entry.version) == (None, 1)
    third = catalog.register(city, person(name="改对了"), LI)
    assert (third.action, third.entry.version) == ("revise", 3)
    assert [change.path for change in third.changes] == ["name"]


def test_a_discarded_draft_can_be_taken_up_again(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    catalog.move(city, CODE, "discard", LI)
    again = catalog.register(city, person(), LI)
    assert (again.action, again.entry.version, again.entry.state) == ("revise", 2, "draft")


def test_to_revise_without_content_opens_a_copy_of_what_is_in_force(
    catalog: Catalog, city: Session, publish: Publish
) -> None:
    publish()
    entry = catalog.move(city, CODE, "revise", LI)
    assert (entry.version, entry.state, entry.version_in_force) == (2, "draft", 1)
    assert entry.resource == catalog.resource(city, CODE, 1).resource.model_copy(update={"published_on": None})
    with pytest.raises(WrongState):
        catalog.move(city, CODE, "revise", LI)


def test_the_persons_of_one_version_are_free_for_the_next(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish()
    catalog.register(city, person(name="新"), WANG)
    catalog.move(city, CODE, "submit_registration", WANG)
    assert catalog.move(city, CODE, "agree_registration", LI).state == "registered"


def test_a_withdrawal_takes_the_version_in_force_and_leaves_the_open_one(
    catalog: Catalog, city: Session, publish: Publish
) -> None:
    publish()
    catalog.register(city, person(name="新"), LI)
    gone = catalog.move(city, CODE, "withdraw", ZHAO, opinion="数据停更")
    assert (gone.version, gone.state, gone.in_force) == (1, "withdrawn", False)
    assert catalog.resource(city, CODE).state == "draft"
    assert republish(catalog, city).version == 2


def test_a_withdrawn_version_comes_back_through_publication_alone(
    catalog: Catalog, city: Session, publish: Publish
) -> None:
    publish()
    catalog.move(city, CODE, "withdraw", ZHAO, opinion="核查")
    assert catalog.register(city, person(), LI).action is None
    catalog.move(city, CODE, "submit_publication", LI)
    back = catalog.move(city, CODE, "agree_publication", ZHAO)
    assert (back.version, back.in_force) == (1, True)
    assert catalog.search(city, "户籍").hits


def test_history_keeps_who_when_why_and_what(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI, POLICE)
    catalog.move(city, CODE, "submit_registration", LI, POLICE)
    catalog.move(city, CODE, "return_registration", WANG, POLICE, "缺少数据范围")
    catalog.register(city, person(abstract="本市户籍人口，2000 年以来"), LI, POLICE, "已补")
    city.expire_all()
    steps = catalog.history(city, CODE)
    assert [(s.action, s.from_state, s.to_state, s.part, s.actor, s.opinion) for s in steps] == [
        ("add", None, "draft", "provider", LI, ""),
        ("submit_registration", "draft", "registering", "provider", LI, ""),
        ("return_registration", "registering", "returned", "registration", WANG, "缺少数据范围"),
        ("update", "returned", "returned", "provider", LI, "已补"),
    ]
    assert [change["path"] for change in steps[-1].changes] == ["abstract"]
    assert {step.department for step in steps} == {POLICE}
    assert [step.at for step in steps] == sorted(step.at for step in steps)


def test_facets_follow_the_content(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(classes=["101001001", "201"]), LI)
    catalog.register(city, person(classes=["101001001", "3"], share_ways=["file"]), LI)
    assert city.scalars(select(ResourceClassRow.class_code).order_by("class_code")).all() == ["101001001", "3"]
    assert city.scalars(select(ResourceWayRow.way)).all() == ["file"]


def test_a_code_entered_by_somebody_else_meanwhile_is_told(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    resource = read_resource(person()).resource.model_copy(update={"code": "101001001/1"})
    hand = versions.Hand(LI, None, "", versions.numbered(city, city.get_one(ResourceRow, CODE), 1).created_at)
    with pytest.raises(WrongState, match="刚由他人登记"):
        versions.added(city, resource, hand)


def test_the_surroundings_are_those_of_the_directory(catalog: Catalog, city: Session) -> None:
    catalog.register(city, person(), LI)
    resource = Resource.model_validate(person(code="101001001/00001", related=[CODE, "101001001/0009"]))
    around = versions.surroundings(city, resource, PATTERN)
    assert around.provider is not None
    assert around.provider.code == POLICE
    assert around.endpoint is not None
    assert (around.endpoints, around.related) == (("police-front",), frozenset({CODE}))
    assert (around.earlier, around.sequence_of) == (None, CODE)
    other = Resource.model_validate(person(provider_code=APPROVAL, offer=None))
    around = versions.surroundings(city, other, PATTERN)
    assert (around.earlier, around.sequence_of, around.endpoint) == (POLICE, None, None)


def test_nothing_is_ever_deleted(catalog: Catalog, city: Session, publish: Publish) -> None:
    publish()
    catalog.register(city, person(name="新"), LI)
    catalog.move(city, CODE, "discard", LI)
    catalog.move(city, CODE, "withdraw", ZHAO, opinion="停")
    counts = [city.scalar(select(func.count()).select_from(t)) for t in (ResourceRow, ResourceVersionRow, HistoryRow)]
    assert counts == [1, 2, 8]


@pytest.fixture
def two_sessions(catalog: Catalog, postgresql_server: Server) -> Iterator[tuple[Session, Session]]:
    """Two people at work on one directory, with a resource that waits for its registration."""
    url = postgresql_server.new_database()
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as first, Session(engine) as second:
        catalog.put_department(first, {"code": POLICE, "name": "泰州市公安局", "division": "321200"})
        catalog.register(first, person(offer=None), LI)
        catalog.move(first, CODE, "submit_registration", LI)
        first.commit()
        yield first, second
    engine.dispose()
    postgresql_server.drop_database(url)


def test_what_another_has_just_decided_is_seen(catalog: Catalog, two_sessions: tuple[Session, Session]) -> None:
    first, second = two_sessions
    read_before = first.get_one(ResourceRow, CODE), first.get_one(ResourceVersionRow, (CODE, 1))
    assert read_before[1].state == "registering"
    catalog.move(second, CODE, "agree_registration", WANG)
    second.commit()
    with pytest.raises(WrongState, match="已注册"):
        catalog.move(first, CODE, "reject_registration", ZHAO, opinion="重复")


def test_what_another_is_just_deciding_is_waited_for(catalog: Catalog, two_sessions: tuple[Session, Session]) -> None:
    first, second = two_sessions
    catalog.move(second, CODE, "agree_registration", WANG)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(catalog.move, first, CODE, "reject_registration", ZHAO, None, "重复")
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        second.commit()
        with pytest.raises(WrongState, match="已注册"):
            waiting.result(30)
