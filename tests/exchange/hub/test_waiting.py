from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from catalog import Resource
from exchange.authorisation import Application
from exchange.db import now
from exchange.db.tables import ApplicationRow, GrantRow
from exchange.errors import Invalid, Overtaken, Unknown
from tests.exchange.engine.town import CODE, POLICE, TAX, Town, application, build, resource
from tests.support.servers import Server


@pytest.fixture
def served(tmp_path: Path, postgresql_server: Server) -> Iterator[Town]:
    """The town with the hub's own database on a server."""
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, hub_url=postgresql_server.new_database())) as town:
        yield town


def test_resources_are_listed_to_those_who_see_their_drafts(town: Town) -> None:
    with town.hub() as hub:
        for number in range(2, 9):
            draft = resource(code=f"101001001/{number:04}", name=f"专题{number}", offer=None)
            hub.registration.register(Resource.model_validate(draft), by=town.actor("police"))
        look = hub.waiting.resources
        first = look(by=town.actor("police"), limit=5, counted=True)
        second = look(by=town.actor("police"), limit=5, cursor=first.cursor)
        assert (first.total, second.total, second.cursor) == (8, None, None)
        seen = [each.code for each in (*first.lines, *second.lines)]
        assert seen[0] == "101001001/0008"
        assert len(set(seen)) == 8
        assert [each.code for each in look(by=town.actor("police"), states=["published"]).lines] == [CODE]
        assert [each.name for each in look(by=town.actor("police"), text="题7").lines] == ["专题7"]
        assert [each.code for each in look(by=town.actor("police"), text="101001001/0003").lines] == ["101001001/0003"]
        assert look(by=town.actor("police"), text="%").lines == ()
        assert look(by=town.actor("tax")).lines == look(by=town.actor("tax"), provider=POLICE).lines == ()
        assert look(by=town.actor("centre"), provider=POLICE, counted=True).total == 8
        assert look(by=town.actor("auditor"), provider=TAX).lines == ()


def test_applications_and_grants_are_listed_to_their_parties(town: Town) -> None:
    with town.hub() as hub:
        asked = hub.sharing.apply(Application.model_validate(application(scene="另一项")), by=town.actor("tax"))
        look, grants = hub.waiting.applications, hub.waiting.grants
        for name, side in (("tax", "sent"), ("chief", "received"), ("auditor", None), ("police", None)):
            found = look(by=town.actor(name), side=side, counted=True)  # type: ignore[arg-type]  # one of two words
            assert (found.lines[0].id, found.total) == (asked, 2), name
        assert look(by=town.actor("tax"), side="received").lines == look(by=town.actor("centre")).lines == ()
        assert [each.id for each in look(by=town.actor("tax"), states=["pending"]).lines] == [asked]
        only = look(by=town.actor("tax"), limit=1)
        assert [each.id for each in look(by=town.actor("tax"), limit=1, cursor=only.cursor).lines] != [asked]
        assert [each.id for each in grants(by=town.actor("tax"), side="sent").lines] == [town.grant]
        assert grants(by=town.actor("tax"), side="sent", kind="collection").lines == ()
        assert grants(by=town.actor("tax"), states=["revoked"]).lines == ()
        assert grants(by=town.actor("auditor"), counted=True).total == 2
        assert {each.kind for each in grants(by=town.actor("centre")).lines} == {"collection"}


def test_what_ends_soon(town: Town) -> None:
    with town.hub() as hub:
        assert hub.waiting.grants(by=town.actor("tax"), ending=True).lines == ()
        with hub.database.transaction() as session:
            session.execute(
                sa.update(GrantRow)
                .where(GrantRow.id == town.grant)
                .values(valid_until=now(session) + timedelta(days=3))
            )
        assert [each.id for each in hub.waiting.grants(by=town.actor("tax"), ending=True).lines] == [town.grant]


@pytest.mark.parametrize(
    "mark",
    [
        "x",
        "",
        "[]",
        "[" * 90_000,
        json.dumps([1, 2]),
        json.dumps(["2026-01-01", "a"]),
        json.dumps(["2026-01-01T00:00:00Z", 3]),
        json.dumps(["2026-01-01T00:00:00Z", "a\0"]),
    ],
)
def test_a_cursor_that_is_none_is_told_so(town: Town, mark: str) -> None:
    with town.hub() as hub:
        for given in (mark, base64.urlsafe_b64encode(mark.encode()).decode()):
            with pytest.raises(Invalid, match="翻页位置"):
                hub.waiting.applications(by=town.actor("tax"), cursor=given)


def test_words_nobody_can_look_for_are_told_so(town: Town) -> None:
    with town.hub() as hub:
        for text in ("a\0", "x" * 200):
            with pytest.raises(Invalid, match="查找条件"):
                hub.waiting.resources(by=town.actor("police"), text=text)


def test_a_page_costs_one_look_however_many_there_are(town: Town) -> None:
    with town.hub() as hub:
        with hub.database.transaction() as session:
            row = session.scalars(sa.select(ApplicationRow)).one()
            for number in range(120):
                session.add(
                    ApplicationRow(
                        id=f"B{number:04}", resource=CODE, department=TAX, state="refused", body=row.body,
                        applicant=row.applicant, submitted_at=row.submitted_at,
                    )
                )  # fmt: skip
        seen: list[str] = []
        cursor = None
        for _page in range(3):
            found = hub.waiting.applications(by=town.actor("tax"), cursor=cursor)
            seen += [each.id for each in found.lines]
            cursor = found.cursor
        assert cursor is None
        assert len(seen) == len(set(seen)) == 121


def test_the_same_on_a_server(served: Town) -> None:
    police, tax = served.actor("police"), served.actor("tax")
    with served.hub() as hub:
        for number in range(2, 5):
            draft = resource(code=f"101001001/{number:04}", name=f"专题{number}", offer=None)
            hub.registration.register(Resource.model_validate(draft), by=police)
        seen, cursor = [], None
        for _page in range(2):
            page = hub.waiting.resources(by=police, text="专题", limit=2, cursor=cursor, counted=True)
            seen += [each.code for each in page.lines]
            cursor = page.cursor
        assert (seen, page.total) == (["101001001/0004", "101001001/0003", "101001001/0002"], 3)
        assert hub.waiting.applications(by=tax, side="sent", states=["granted"], counted=True).total == 1
        grants = hub.waiting.grants(by=tax, side="sent", ending=False, counted=True)
        assert ([each.id for each in grants.lines], grants.total) == ([served.grant], 1)
        assert hub.waiting.grants(by=tax, side="sent", ending=True).lines == ()


def test_names_no_database_can_hold_are_those_of_nothing(served: Town) -> None:
    tax, chief = served.actor("tax"), served.actor("chief")
    with served.hub() as hub:
        for name in ("\0", "A\0b", "\u202e"):
            for attempt in (
                partial(hub.directory.application, name, by=tax),
                partial(hub.directory.grant, name, by=tax),
                partial(hub.directory.explain, name, by=tax),
                partial(hub.directory.resource, name, by=tax),
                partial(hub.directory.search, provider=name),
                partial(hub.sharing.begin, name, by=tax),
                partial(hub.sharing.decide, name, approved=False, reasons=["x"], by=chief),
                partial(hub.sharing.change, name, "suspend", reason="x", by=chief),
            ):
                with pytest.raises((Unknown, Invalid)):
                    attempt()


def test_one_of_many_is_first_on_a_server(served: Town) -> None:
    police = served.actor("police")
    with served.hub() as hub:
        begun = hub.directory.resource(CODE, by=police).mark

        def register(number: int) -> bool:
            try:
                given = Resource.model_validate(resource(abstract=f"第 {number} 人写的"))
                hub.registration.register(given, by=police, begun=begun)
            except Overtaken:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(register, range(6))) == 1
