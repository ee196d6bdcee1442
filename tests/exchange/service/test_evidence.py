from __future__ import annotations

import pytest
import sqlalchemy as sa

from adapters.errors import Refused, Unavailable
from adapters.webservice.desk import Caller
from tests.exchange.engine.town import HERE, HUB, POLICE, person
from tests.exchange.service.callers import CALLER, CODE, PUSHED, PUSHER, Callers, pushed


def test_a_receipt_by_any_of_its_names_and_for_both_parties(callers: Callers) -> None:
    callers.collected(person(1, district=HERE))
    with callers.desk() as desk:
        page = desk.query(CALLER, CODE, None, 10)
        [run] = callers.town.runs(callers.share)
        [kept] = callers.town.receipts(callers.share)
        assert page.delivery == run.id
        found = [desk.receipt(CALLER, name) for name in (kept.id, run.id, run.delivery)]
        assert found[0] == found[1] == found[2]
        assert (found[0].id, found[0].digest, found[0].counts["written"]) == (kept.id, kept.digest, 1)
        assert desk.receipt(Caller("C9", POLICE), kept.id) == found[0]
        for caller, name in ((Caller("C9", HUB), kept.id), (CALLER, "R0"), (CALLER, ""), (CALLER, "x" * 300)):
            with pytest.raises(Refused, match="没有这张回执"):
                desk.receipt(caller, name)


def test_a_receipt_that_was_changed(callers: Callers) -> None:
    with callers.desk() as desk:
        receipt = desk.push(PUSHER, PUSHED, "M1", pushed(person(1))).receipt
        assert receipt is not None
        with desk._hub.database.transaction() as session:
            session.execute(sa.text("UPDATE receipt SET digest = 'x'"))
        with pytest.raises(Unavailable):
            desk.receipt(PUSHER, receipt)
