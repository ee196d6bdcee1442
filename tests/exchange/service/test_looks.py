"""Single rows: live, by the same grant, filter and masks, and each look in the log before it is answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from adapters.errors import Malformed, Refused, Unavailable
from adapters.webservice.desk import Caller, Token
from catalog.tables import ResourceRow, ResourceVersionRow
from exchange.db.tables import EventRow, GrantRow, RateRow, UsageRow
from exchange.service.rates import Exceeded
from tests.exchange.engine.town import AWAY, HERE, POLICE, TAX, identity_number, person
from tests.exchange.service.callers import CALLER, CODE, Callers, rows


def key(number: int) -> dict[str, str]:
    return {"id_no": identity_number(number)}


def looks(callers: Callers) -> list[EventRow]:
    return callers.town.all(sa.select(EventRow).where(EventRow.type == "RowLookedUp").order_by(EventRow.id))


def test_a_row_is_masked_and_proven(callers: Callers) -> None:
    callers.collected(person(1, name="张三丰", district=HERE))
    with callers.desk() as desk:
        assert desk.offer(CALLER, CODE, "read").lookup
        page = desk.lookup(CALLER, CODE, key(1))
        [row] = rows(page)
        assert (row["name"], row["district"], row["_operation"]) == ("张**", HERE, 0)
        assert page.following() is None
        receipt = desk.receipt(CALLER, page.delivery)
        assert (receipt.resource, receipt.counts) == (CODE, {"found": 1})
        with pytest.raises(Refused):
            desk.receipt(Caller("C9", POLICE), page.delivery)
    [event] = looks(callers)
    assert (event.run, event.actor, event.established) == (page.delivery, CALLER.id, "credential")
    assert identity_number(1) not in str(event.body)
    assert "张" not in str(event.body)
    assert receipt.content == event.body["digest"]
    assert callers.town.runs(callers.share) == []
    assert callers.town.faults() == []


def test_outside_the_grant_and_nowhere_look_the_same(callers: Callers) -> None:
    callers.collected(person(1, district=AWAY))
    with callers.desk() as desk:
        assert [rows(desk.lookup(CALLER, CODE, key(number))) for number in (1, 2)] == [[], []]
    outside, nowhere = looks(callers)
    assert (outside.body["found"], outside.body["digest"]) == (nowhere.body["found"], nowhere.body["digest"]) == (0, "")
    assert outside.body["key"] != nowhere.body["key"]


def test_it_is_the_row_as_it_is_now(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        assert rows(desk.lookup(CALLER, CODE, key(1)))[0]["ver"] == 1
        callers.collected(person(1, version=2, district=HERE))
        assert rows(desk.lookup(CALLER, CODE, key(1)))[0]["ver"] == 2


@pytest.mark.parametrize(
    "wrong", [{}, {"id_no": "\udc80"}, {"id_no": "a\x00"}, {"name": "x"}, {"id_no": identity_number(1), "ver": "1"}]
)
def test_keys_that_are_none(callers: Callers, wrong: dict[str, str]) -> None:
    with callers.desk() as desk, pytest.raises(Malformed) as caught:
        desk.lookup(CALLER, CODE, wrong)
    assert identity_number(1) not in caught.value.message
    assert looks(callers) == []


def test_a_grant_that_is_over_is_noticed_at_once(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        rows(desk.lookup(CALLER, CODE, key(1)))
        callers.change("suspend")
        with pytest.raises(Refused):
            desk.lookup(CALLER, CODE, key(1))
        callers.change("resume")
        assert len(rows(desk.lookup(CALLER, CODE, key(1)))) == 1
        callers.change("revoke")
        with pytest.raises(Refused):
            desk.lookup(CALLER, CODE, key(1))
    assert len(looks(callers)) == 2


def test_a_grant_revoked_while_the_row_is_being_read(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        asked = desk._looks._asked

        def revoking(*about: object) -> object:
            callers.change("revoke")
            return asked(*about)  # type: ignore[arg-type]

        monkeypatch.setattr(desk._looks, "_asked", revoking)
        with pytest.raises(Refused):
            desk.lookup(CALLER, CODE, key(1))
    assert looks(callers) == []


def test_who_is_granted_nothing(callers: Callers) -> None:
    with callers.desk() as desk:
        for caller, code in ((Caller("C9", POLICE), CODE), (CALLER, "109009009/0009")):
            with pytest.raises(Refused, match="没有可读取的资源"):
                desk.lookup(caller, code, key(1))


def test_looks_take_from_the_quota(callers: Callers) -> None:
    callers.collected(person(1, district=HERE), person(2, district=HERE))
    with callers.desk() as desk:
        with desk._hub.database.transaction() as session:
            session.get_one(GrantRow, callers.grant).quota_rows = 3
        for number in (1, 2, 5, 1):
            desk.lookup(CALLER, CODE, key(number))
        with pytest.raises(Refused):
            desk.lookup(CALLER, CODE, key(2))
        with pytest.raises(Refused):
            desk.query(CALLER, CODE, None, 10)
    [usage] = callers.town.all(sa.select(UsageRow).where(UsageRow.delivery.startswith("look-")))
    assert usage.rows == 3


def test_the_rate_holds_for_looks(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    file = callers.town.home / "shutong.toml"
    file.write_text(file.read_text() + "\n[limits]\ncalls_per_minute = 3\n")
    with callers.desk() as desk:
        refused = 0
        for _ in range(8):  # a minute may begin meanwhile
            try:
                desk.lookup(CALLER, CODE, key(1))
            except Unavailable as error:
                refused += 1
                assert "retry_after=" in error.remedy
        assert 2 <= refused <= 5
    assert len(looks(callers)) == 8 - refused
    denied = callers.town.all(sa.select(EventRow).where(EventRow.type == "AccessDenied"))
    assert len(denied) == refused


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The moment at which looks are written; it stands still."""
    moment = [datetime.now(UTC)]
    monkeypatch.setattr("exchange.service.register.now", lambda _session: moment[0])
    return moment


def test_the_grant_may_allow_less_in_a_minute(callers: Callers, minute: list[datetime]) -> None:
    callers.collected(person(1, district=HERE), person(2, district=HERE))
    callers.limited(calls_per_minute=3, rows_per_minute=2)
    minute[0] = datetime.now(UTC)
    with callers.desk() as one, callers.desk() as other:
        one.lookup(CALLER, CODE, key(1))
        other.lookup(CALLER, CODE, key(2))
        for desk in (one, other):
            with pytest.raises(Exceeded, match="每分钟不超过 2 行"):
                desk.lookup(CALLER, CODE, key(1))
        assert rows(one.lookup(CALLER, CODE, key(9))) == []  # there is no such row
        with pytest.raises(Exceeded, match=f"授权 {callers.grant} 每分钟不超过 3 次调用"):
            other.lookup(CALLER, CODE, key(9))
        minute[0] += timedelta(minutes=1)
        other.lookup(CALLER, CODE, key(1))
        callers.change("revoke")  # what is left is the wider grant from before
        for _ in range(4):
            one.lookup(CALLER, CODE, key(1))
    counted = {row.department: row.calls for row in callers.town.all(sa.select(RateRow).order_by(RateRow.minute))}
    assert counted == {TAX: 5, callers.grant: 1}
    assert len(looks(callers)) == 8


def test_a_grant_without_limits_costs_nothing_more(callers: Callers, minute: list[datetime]) -> None:
    callers.collected(person(1, district=HERE))

    def asked() -> list[str]:
        """What one look asks of the counts, once the minute has begun."""
        statements: list[str] = []
        with callers.desk() as desk:
            desk.lookup(CALLER, CODE, key(1))
            engine = desk._hub.database._write
            listening = (engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
            sa.event.listen(*listening)
            desk.lookup(CALLER, CODE, key(1))
            sa.event.remove(*listening)
        return statements

    plain = asked()
    callers.limited(calls_per_minute=9)
    minute[0] = datetime.now(UTC)
    narrow = asked()
    assert len(narrow) == len(plain) + 1


def test_a_source_that_is_away(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        with callers.town.away("library"), pytest.raises(Unavailable) as caught:
            desk.lookup(CALLER, CODE, key(1))
        assert "library" not in caught.value.message
        assert len(rows(desk.lookup(CALLER, CODE, key(1)))) == 1


def test_a_resource_that_is_withdrawn_is_noticed_at_once(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        assert len(rows(desk.lookup(CALLER, CODE, key(1)))) == 1
        with callers.town.hub() as other:
            other.registration.move(CODE, "withdraw", by=callers.town.actor("centre"), opinion="停止提供")
        with pytest.raises((Refused, Unavailable)):
            desk.lookup(CALLER, CODE, key(1))
    assert len(looks(callers)) == 1


def test_what_the_directory_says_today_is_noticed_at_once(callers: Callers) -> None:
    """Not by its version's number: by what is written there."""
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        for _ in range(2):
            assert len(rows(desk.lookup(CALLER, CODE, key(1)))) == 1
        with desk._hub.database.transaction() as session:
            row = session.get_one(ResourceRow, CODE)
            version = session.get_one(ResourceVersionRow, (CODE, row.in_force))
            items = [{**item, "share_type": 3} if item["name"] == "name" else item for item in version.body["items"]]
            before, version.body = version.body, {**version.body, "items": items}
        with pytest.raises((Refused, Unavailable)):
            desk.lookup(CALLER, CODE, key(1))
        with desk._hub.database.transaction() as session:
            session.get_one(ResourceVersionRow, (CODE, row.in_force)).body = before
        assert len(rows(desk.lookup(CALLER, CODE, key(1)))) == 1
    assert len(looks(callers)) == 3


def test_a_credential_that_is_revoked_is_noticed_at_once(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        issued = desk._hub.access.issue(TAX, "token", purpose="x", by=callers.town.actor("integrator"))
        shown = Token(issued.secret.get_secret_value() if issued.secret else "")
        assert desk.recalled(shown) is None
        caller = desk.identify(shown, "192.0.2.1")
        assert desk.recalled(shown) == caller
        assert len(rows(desk.lookup(caller, CODE, key(1)))) == 1
        desk._hub.access.revoke(issued.id, reason="x", by=callers.town.actor("integrator"))
        with pytest.raises(Refused):
            desk.lookup(caller, CODE, key(1))
    assert len(looks(callers)) == 1


def test_a_quota_that_is_made_smaller_is_noticed_at_once(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        for _ in range(3):
            desk.lookup(CALLER, CODE, key(1))
        with desk._hub.database.transaction() as session:
            session.get_one(GrantRow, callers.grant).quota_rows = 3
        with pytest.raises(Refused):
            desk.lookup(CALLER, CODE, key(1))
        with desk._hub.database.transaction() as session:
            session.get_one(GrantRow, callers.grant).quota_rows = 4
        desk.lookup(CALLER, CODE, key(1))


def test_a_key_that_is_not_plainly_written_finds_its_row_all_the_same(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in identity_number(1))
    with callers.desk() as desk:
        plain = rows(desk.lookup(CALLER, CODE, key(1)))
        assert rows(desk.lookup(CALLER, CODE, {"id_no": wide})) == plain
    assert len({event.body["key"] for event in looks(callers)}) == 1
