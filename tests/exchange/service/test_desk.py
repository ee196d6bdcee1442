"""The desk as the door has it: from a credential to a receipt, several at once, and what is logged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from adapters.errors import Refused
from adapters.webservice.desk import Token
from exchange.db.tables import EventRow
from exchange.service.rates import Exceeded
from tests.exchange.engine.town import HERE, TAX, person
from tests.exchange.service.callers import CALLER, CODE, PUSHED, PUSHER, Callers, all_rows, pushed, rows


def test_from_a_credential_to_a_receipt(callers: Callers) -> None:
    callers.collected(*(person(number) for number in range(5)))
    with callers.desk() as desk:
        issued = desk._hub.access.issue(TAX, "token", by=callers.town.actor("integrator"))
        assert issued.secret is not None
        caller = desk.identify(Token(issued.secret.get_secret_value()), "192.0.2.1")
        [offer] = desk.offers(caller)
        found = all_rows(desk, caller=caller)
        assert {row["id_no"] for row in found} == callers.town.granted().keys()
        [run] = callers.town.runs(callers.share)
        assert desk.receipt(caller, run.id).resource == offer.resource
    [fetched] = callers.town.all(sa.select(EventRow).where(EventRow.type == "MailFetched"))
    assert (fetched.actor, fetched.body["credential"]) == (issued.id, issued.id)
    # Who looks at the hub sees it like any other exchange.
    with callers.town.hub() as hub:
        shown = {each.id: each for each in hub.oversight.status()}
        assert shown[callers.share].run_state == "settled"
        assert hub.sharing.explain(callers.share, by=callers.town.actor("chief")).passes
        traced = hub.oversight.trace(run.id, by=callers.town.actor("auditor"))
        assert traced["counts"]["written"] == len(found)
    assert callers.town.faults() == []


def test_many_at_once(callers: Callers) -> None:
    callers.collected(*(person(number, district=HERE) for number in range(12)))
    with callers.desk() as desk, ThreadPoolExecutor(6) as pool:

        def one(number: int) -> int:
            if number % 3 == 0:
                answer = desk.push(PUSHER, PUSHED, f"M{number}", pushed(person(100 + number)))
                return int(answer.state in ("delivered", "received", "failed"))
            return len(rows(desk.lookup(CALLER, CODE, {"id_no": person(number % 12)["id_no"]})))

        assert list(pool.map(one, range(30))) == [1] * 30
    with callers.desk() as desk:
        assert desk.push(PUSHER, PUSHED, "last", pushed(person(999))).state == "delivered"
        assert {desk.status(PUSHER, f"M{number}").state for number in range(0, 30, 3)} == {"delivered"}


def test_refusals_are_logged_with_who_asked(callers: Callers) -> None:
    with callers.desk() as desk:
        for _ in range(40):
            with pytest.raises(Refused):
                desk.offer(PUSHER, CODE, "read")
    found = callers.town.all(sa.select(EventRow).where(EventRow.type == "AccessDenied"))
    assert 30 <= len(found) <= 40
    assert {(row.actor, row.department, row.resource) for row in found} == {(PUSHER.id, PUSHER.department, CODE)}


def test_one_departments_storm_hides_nobody_elses_refusal(callers: Callers) -> None:
    with callers.desk() as desk:
        for _ in range(40):
            with pytest.raises(Refused):
                desk.offer(PUSHER, CODE, "read")
        with pytest.raises(Refused):
            desk.offer(CALLER, PUSHED, "write")
    found = callers.town.all(sa.select(EventRow).where(EventRow.type == "AccessDenied"))
    assert [row.resource for row in found if row.department == TAX] == [PUSHED]


@pytest.mark.parametrize("asked", ["offer", "lookup", "receipt"])
def test_who_guesses_is_counted_like_who_is_given(callers: Callers, asked: str) -> None:
    file = callers.town.home / "shutong.toml"
    file.write_text(file.read_text() + "\n[limits]\ncalls_per_minute = 5\n")
    told: list[str] = []
    with callers.desk() as desk:
        for number in range(12):  # two minutes at most
            try:
                if asked == "offer":
                    desk.offer(PUSHER, f"101001001/{number:04}", "read")
                elif asked == "lookup":
                    desk.lookup_offer(PUSHER, f"101001001/{number:04}")
                else:
                    desk.receipt(PUSHER, f"R{number}")
            except (Refused, Exceeded) as error:
                told.append(type(error).__name__)
    assert set(told) == {"Refused", "Exceeded"}
    assert 5 <= told.count("Refused") <= 10


@pytest.mark.parametrize("code", ["", "\0", "101001001/0001\0", "x" * 65, "\ud800"])
def test_no_database_is_asked_for_what_is_no_code(callers: Callers, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with callers.desk() as desk:

        def asked(*_: object) -> None:
            raise AssertionError(code)

        monkeypatch.setattr(desk._offers, "contract", asked)
        assert desk.contract(code, 1, "read") is None
