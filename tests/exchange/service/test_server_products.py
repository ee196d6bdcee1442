"""The desk on a hub whose database is a server: several workers at once, and the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.webservice.desk import Token
from exchange.db.tables import RateRow, UsageRow
from exchange.service.desk import HubDesk
from exchange.service.rates import Exceeded
from tests.exchange.engine.town import HERE, TAX, build, person
from tests.exchange.service.callers import CALLER, CODE, PUSHED, PUSHER, Callers, all_rows, furnished, pushed, rows
from tests.support.servers import Server


@pytest.fixture
def served(postgresql_server: Server, tmp_path: Path) -> Iterator[Callers]:
    """The town with its databases and the hub's on a server."""
    urls = {name: postgresql_server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls, hub_url=postgresql_server.new_database())) as town:
        yield furnished(town)


@contextmanager
def two(callers: Callers) -> Iterator[tuple[HubDesk, HubDesk]]:
    with callers.desk() as one, callers.desk() as other:
        yield one, other


def test_read_looked_up_and_pushed_by_several_workers(served: Callers) -> None:
    served.collected(*(person(number, district=HERE) for number in range(9)))
    with two(served) as desks, ThreadPoolExecutor(4) as pool:
        issued = desks[0]._hub.access.issue(TAX, "token", by=served.town.actor("integrator"))
        assert issued.secret is not None
        assert desks[1].identify(Token(issued.secret.get_secret_value()), "::1").department == TAX
        first = desks[0].query(CALLER, CODE, None, 4)
        found = rows(first)
        cursor = first.following()
        while cursor is not None:
            page = desks[len(found) % 2].query(CALLER, CODE, cursor, 4)
            found += rows(page)
            cursor = page.following()
        assert {row["id_no"] for row in found} == served.town.granted().keys()

        def look(number: int) -> int:
            return len(rows(desks[number % 2].lookup(CALLER, CODE, {"id_no": person(number % 9)["id_no"]})))

        assert list(pool.map(look, range(24))) == [1] * 24
        [usage] = served.town.all(sa.select(UsageRow.rows).where(UsageRow.delivery.startswith("look-")))
        assert usage == 24

        def push(number: int) -> str:
            return desks[number % 2].push(PUSHER, PUSHED, "M1", pushed(person(50))).state

        assert set(pool.map(push, range(4))) <= {"delivered", "received"}
        assert desks[0].push(PUSHER, PUSHED, "M1", pushed(person(50))).accepted == 1
        assert all_rows(desks[1]) == []
    assert len(served.town.runs("sync-101001001-0002")) == 1
    assert served.town.faults() == []


def test_the_limits_of_a_grant_are_exact_between_workers(served: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    served.collected(person(1, district=HERE))
    served.limited(calls_per_minute=7)
    moment = datetime.now(UTC)
    monkeypatch.setattr("exchange.service.register.now", lambda _session: moment)
    monkeypatch.setattr("exchange.service.rates.clock", lambda _session: moment.timestamp())
    with two(served) as desks, ThreadPoolExecutor(4) as pool:

        def ask(number: int) -> bool:
            desk = desks[number % 2]
            try:
                if number % 3:
                    desk.lookup(CALLER, CODE, {"id_no": person(1)["id_no"]})
                else:
                    desk.query(CALLER, CODE, None, 1)
            except Exceeded as error:
                assert served.grant in error.message
                return False
            return True

        desks[0].query(CALLER, CODE, None, 1)  # so that none of them has to make a delivery
        assert sum(pool.map(ask, range(24))) == 6
    assert {(row.department, row.calls) for row in served.town.all(sa.select(RateRow))} == {(TAX, 7), (served.grant, 7)}
