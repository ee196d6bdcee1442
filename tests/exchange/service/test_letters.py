"""Reading out of a box: nothing is lost, nothing is anybody else's, and what passed the gate can be fetched."""

from __future__ import annotations

import base64

import pytest
import sqlalchemy as sa

from adapters.errors import Malformed, Refused, Unavailable
from adapters.webservice.desk import Caller
from exchange.db.tables import EventRow, MailRow, RateRow
from exchange.engine import lease
from exchange.service.rates import Exceeded
from tests.exchange.engine.town import POLICE, SYNC, person, wrong
from tests.exchange.service.callers import CALLER, CODE, Callers, all_rows, rows


def expected(callers: Callers) -> dict[str, dict[str, object]]:
    return callers.town.granted()


def held(found: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    """Rows by their key, as the town compares them."""
    plain = [{name: value for name, value in row.items() if name[0] != "_"} for row in found]
    return {str(row["id_no"]): {**row, "born": str(row["born"])} for row in plain}


def mail(callers: Callers) -> list[MailRow]:
    return callers.town.all(sa.select(MailRow).order_by(MailRow.at))


def told(callers: Callers, kind: str) -> list[EventRow]:
    return callers.town.all(sa.select(EventRow).where(EventRow.type == kind).order_by(EventRow.id))


def test_pages_hold_what_is_granted_and_masked_once(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)), wrong(20))
    with callers.desk() as desk:
        found = all_rows(desk, limit=2)
        assert held(found) == expected(callers)
        assert len(found) == len(expected(callers))
        assert all_rows(desk) == []
    first, second = mail(callers)
    assert (first.state, sum(first.parts), first.fetched_by) == ("fetched", len(found), CALLER.id)
    assert (second.state, second.parts) == ("fetched", [])
    fetched, _ = told(callers, "MailFetched")
    assert (fetched.body["rows"], fetched.body["deleted"], fetched.actor) == (len(found), 0, CALLER.id)
    assert [run.state for run in callers.town.runs(callers.share)] == ["settled", "settled"]
    assert callers.town.faults() == []


def test_the_next_delivery_holds_changes_only(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)))
    with callers.desk() as desk:
        all_rows(desk)
        callers.collected(person(1, version=2, name="改了"))
        assert held(all_rows(desk)).keys() == {person(1)["id_no"]}


def test_the_same_page_again_and_after_a_restart(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)))
    with callers.desk() as desk:
        first = desk.query(CALLER, CODE, None, 2)
        one, cursor = rows(first), first.following()
        again = desk.query(CALLER, CODE, None, 2)
        assert (rows(again), again.delivery) == (one, first.delivery)
    with callers.desk() as desk:
        second = rows(desk.query(CALLER, CODE, cursor, 2))
        assert second == rows(desk.query(CALLER, CODE, cursor, 2))
        assert {row["id_no"] for row in second}.isdisjoint(row["id_no"] for row in one)
        assert held(all_rows(desk)) == expected(callers)
    assert len(callers.town.runs(callers.share)) == 1


def test_a_delivery_that_was_not_acknowledged_comes_again(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(3)))
    with callers.desk() as desk:
        page = desk.query(CALLER, CODE, None, 100)
        whole, cursor = rows(page), page.following()
        assert cursor is not None
        assert rows(desk.query(CALLER, CODE, None, 100)) == whole
        end = desk.query(CALLER, CODE, cursor, 100)
        assert (rows(end), end.following()) == ([], None)
        assert rows(desk.query(CALLER, CODE, None, 100)) == []
        assert rows(desk.query(CALLER, CODE, cursor, 100)) == []
    assert len(told(callers, "MailFetched")) == 2


def test_a_cursor_of_our_own_making(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)))
    with callers.desk() as desk:
        cursor = desk.query(CALLER, CODE, None, 2).following()
        assert cursor is not None
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        forged = base64.urlsafe_b64encode(content.replace(b",2]", b",0]")).decode().rstrip("=")
        for each in (forged, "", "x", "游标", cursor[:-3], cursor + "AAAA"):
            with pytest.raises(Malformed, match="游标"):
                desk.query(CALLER, CODE, each, 2)
        stranger = Caller("C9", POLICE)
        with pytest.raises(Refused):
            desk.query(stranger, CODE, cursor, 2)
    assert len(told(callers, "AccessDenied")) == 7


def test_what_is_not_granted_does_not_exist(callers: Callers) -> None:
    with callers.desk() as desk:
        said = []
        for caller, code in (
            (Caller("C9", POLICE), CODE),
            (CALLER, "101001001/0002"),
            (CALLER, "109009009/0009"),
            (CALLER, "\udc80\x00"),
        ):
            with pytest.raises(Refused) as caught:
                desk.query(caller, code, None, 2)
            said.append((caught.value.message, caught.value.remedy))
        assert len(set(said)) == 1
        assert desk.offers(Caller("C9", POLICE))[0].direction == "write"
        assert [offer.resource for offer in desk.offers(CALLER)] == [CODE]


def test_a_grant_revoked_between_pages(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)))
    with callers.desk() as desk:
        page = desk.query(CALLER, CODE, None, 2)
        found = rows(page)
        callers.change("revoke")
        # What passed the gate before counts as delivered; nothing comes after it.
        assert desk.offers(CALLER) == []
        assert desk.offer(CALLER, CODE, "read").resource == CODE
        while (cursor := page.following()) is not None:
            page = desk.query(CALLER, CODE, cursor, 2)
            found += rows(page)
        assert held(found) == expected(callers)
        with pytest.raises(Refused):
            desk.query(CALLER, CODE, None, 2)
    assert len(callers.town.runs(callers.share)) == 1


def test_a_grant_revoked_before(callers: Callers) -> None:
    callers.collected(person(1))
    callers.change("suspend")
    with callers.desk() as desk:
        with pytest.raises(Refused):
            desk.query(CALLER, CODE, None, 2)
        callers.change("resume")
        assert len(all_rows(desk)) == 1


def test_somebody_else_is_at_it(callers: Callers) -> None:
    callers.collected(person(1))
    with callers.town.hub() as hub, hub.database.transaction() as session:
        lease.acquire(session, callers.share, owner="other", seconds=60)
    with callers.desk() as desk, pytest.raises(Unavailable, match="正在处理"):
        desk.query(CALLER, CODE, None, 2)


def test_a_library_that_is_away_says_nothing_of_itself(callers: Callers) -> None:
    callers.collected(person(1))
    with callers.town.away("library"), callers.desk() as desk, pytest.raises(Unavailable) as caught:
        desk.query(CALLER, CODE, None, 2)
    assert "library" not in caught.value.message + caught.value.remedy


def test_a_box_is_not_due(callers: Callers) -> None:
    with callers.town.hub() as hub:
        assert callers.share not in hub.oversight.due()
        assert SYNC in hub.oversight.due()


def test_mail_that_nobody_fetches_expires_and_comes_whole_again(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(9)))
    with callers.desk() as desk:
        cursor = desk.query(CALLER, CODE, None, 2).following()
        days = {"fetched": 7, "messages": 30}
        room = desk._hub.engine.mailroom
        by = callers.town.actor("integrator")
        assert room.expire(by=by, unfetched=1, **days) == 0
        with desk._hub.database.transaction() as session:
            session.execute(sa.text("UPDATE mail SET at = '2020-01-01 00:00:00.000000'"))
        assert room.expire(by=by, unfetched=1, **days) == len(expected(callers))
        assert list((callers.town.home / "mail").glob("*letter*")) == []
        with pytest.raises(Malformed, match="保留期"):
            desk.query(CALLER, CODE, cursor, 2)
        assert held(all_rows(desk)) == expected(callers)
    assert [event.body["rows"] for event in told(callers, "MailExpired")] == [len(expected(callers))]


def test_the_grant_may_allow_less_in_a_minute(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [6000.0]
    monkeypatch.setattr("exchange.service.rates.clock", lambda _session: moment[0])
    callers.collected(*(person(number) for number in range(9)))
    granted = expected(callers)
    assert len(granted) > 3
    callers.change("revoke")
    callers.limited(calls_per_minute=2, rows_per_minute=3)
    with callers.desk() as one, callers.desk() as other:
        page = one.query(CALLER, CODE, None, 2)
        found, cursor = rows(page), page.following()
        page = other.query(CALLER, CODE, cursor, 2)  # a page of what the minute still has
        found, cursor = found + rows(page), page.following()
        assert len(found) == 3
        for desk in (one, other):
            with pytest.raises(Exceeded, match=f"授权 {callers.grant} 每分钟不超过 2 次调用"):
                desk.query(CALLER, CODE, cursor, 2)
        callers.change("revoke")
        # What has passed the gate can be fetched all the same, and no faster than before.
        with pytest.raises(Exceeded):
            one.query(CALLER, CODE, cursor, 2)
        while cursor is not None:
            moment[0] += 60.0
            page = one.query(CALLER, CODE, cursor, 100)
            more, cursor = rows(page), page.following()
            assert len(more) <= 3
            found += more
    assert held(found) == granted
    assert len(callers.town.runs(callers.share)) == 1


def test_asking_for_a_new_delivery_is_one_call(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.service.rates.clock", lambda _session: 6000.0)
    callers.collected(*(person(number) for number in range(9)))
    callers.limited(calls_per_minute=1)
    with callers.desk() as desk:
        assert rows(desk.query(CALLER, CODE, None, 2))
    assert {(row.department, row.calls) for row in callers.town.all(sa.select(RateRow))} == {
        (CALLER.department, 1),
        (callers.grant, 1),
    }
