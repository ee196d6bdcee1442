"""The benchmark of pages makes a city and asks; how fast, only a benchmark can say."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.audit import Sealer
from exchange.db.tables import ContextRow, EventRow, ReceiptRow, RunRow, TallyRow
from exchange.engine import Tally, counted
from exchange.hub import open_hub
from tests.bench import console
from tests.support.servers import PostgreSQLServer, Server

SMALL = console.Size(resources=300, events=5000, exchanges=12, days=60)


@pytest.mark.parametrize("product", ["sqlite", "postgresql"])
def test_a_city_is_made_and_every_query_answers(product: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = ""
    if product == "postgresql":
        server: Server = request.getfixturevalue("postgresql_server")
        assert isinstance(server, PostgreSQLServer)
        url = server.new_database()
    builder = console.made(tmp_path / "home", url, SMALL)
    with closing(open_hub(tmp_path / "home")) as hub, Sealer(hub.audit):
        with hub.database.reading() as session:
            runs = list(session.scalars(sa.select(RunRow)))
            tallies = {
                (row.exchange, row.day, row.way): Tally(*(getattr(row, name) for name in vars(Tally())))
                for row in session.scalars(sa.select(TallyRow))
            }
            unplaced = session.scalar(sa.select(sa.func.count()).where(EventRow.context.is_(None)))
            newest = sa.select(sa.func.max(EventRow.at)).where(EventRow.context == ContextRow.id).scalar_subquery()
            wrong = session.scalar(sa.select(sa.func.count()).where(ContextRow.newest != newest))
            receipts = session.scalar(sa.select(sa.func.count()).select_from(ReceiptRow))
        assert len(runs) > 500
        assert tallies == dict(counted(runs))
        assert (unplaced, wrong) == (0, 0)
        assert receipts == sum(run.state == "settled" for run in runs)
        found = console.timed(hub, console.queries(builder), rounds=1)
        asked = console.queries(builder)
        for name in ("log, department", "log, way", "log, rare type", "log, class + outcome + way"):
            assert asked[name](hub).events, name
        assert not asked["log, absent three"](hub).events
        assert asked["directory, common word"](hub).hits
        assert asked["dashboard"](hub).whole.runs
    assert all(len(seconds) == 1 for seconds in found.values())


def test_a_percentile_is_one_of_those_measured() -> None:
    assert console.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert console.percentile([5.0] * 99 + [9.0], 0.95) == 5.0
