"""What the hub does when a disk is full, a connection dies or a server goes, and what a target cannot hold."""

from __future__ import annotations

import gc
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.engine import RunState
from exchange.errors import Failed
from exchange.receipts import balanced
from tests.exchange.engine.town import SYNC, Town, at, build, counts, person, wrong
from tests.support.proxy import CuttingProxy, Moment
from tests.support.rooms import no_file_longer_than
from tests.support.servers import MariaDBServer, PostgreSQLServer, Server


def test_a_full_disk_at_the_hub_loses_nothing(town: Town) -> None:
    """The refused rows' content is what fills it: the manifest cannot be made durable, so nothing is delivered."""
    long = [{**wrong(number), "name": "长" * 400_000} for number in range(10, 16)]
    town.report(*(person(number) for number in range(10)), *long)
    with no_file_longer_than(4 << 20), pytest.raises(Failed, match="加密文件") as caught:
        town.run(SYNC)
    assert caught.value.retry
    assert "磁盘" in caught.value.remedy
    [failed] = town.runs(SYNC)
    assert failed.state == RunState.FAILED
    assert town.rows("library") == {}
    assert set(town.flags().values()) == {"0"}
    assert [each.name for each in (town.home / "payload").iterdir() if each.name.endswith(".part")] == []
    collected = town.run(SYNC)
    assert collected.state == RunState.SETTLED
    assert collected.counts == counts(read=16, refused=6, written=10)
    assert town.rows("library") == town.good()
    assert town.stages("library") == []
    assert town.faults() == []


def test_a_folder_that_is_shut_is_told_as_one(town: Town) -> None:
    town.report(person(1))
    payload = town.home / "payload"
    assert not payload.exists()
    with pytest.raises(Failed, match="加密文件"):
        town.run(SYNC, observe=at("2.leased", payload.touch))
    payload.unlink()
    assert town.run(SYNC).counts == counts(read=1, written=1)


def test_what_a_target_cannot_hold_is_a_refused_row_in_the_books(mariadb_server: Server, tmp_path: Path) -> None:
    url = mariadb_server.new_database()
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library")} | {"tax": url}
    with closing(build(tmp_path / "home", urls)) as town:
        town.execute("tax", "ALTER TABLE person MODIFY name varchar(64) CHARACTER SET utf8mb3")
        town.report(person(1), person(2, name="𠮷野家"), person(4), wrong(5))
        collected, shared = town.run_both()
        assert collected.counts == counts(read=4, refused=1, written=3)
        assert shared.counts == counts(read=3, refused=1, written=2)
        assert balanced(shared.counts)
        [lost] = town.quarantined(town.share)
        assert (lost.rule, lost.number) == ("text", 2)
        assert "列 name" in lost.reason
        assert "𠮷" not in lost.reason
        [receipt] = town.receipts(town.share)
        assert receipt.body["report"] == {"text": 1}
        held = town.granted()
        held.pop(person(2)["id_no"])
        assert town.rows("tax") == held
        # Once the column can, the row comes with its next report.
        town.execute("tax", "ALTER TABLE person MODIFY name varchar(64) CHARACTER SET utf8mb4")
        town.report(person(2, name="𠮷野家", version=2))
        assert town.run_both()[1].counts == counts(read=1, written=1)
        assert town.rows("tax") == town.granted()
    mariadb_server.drop_database(url)


# --- the hub's database, which holds the log -------------------------------------------------------


@contextmanager
def no_room_in(file: Path) -> Iterator[list[str]]:
    """From when something is put into the list, no connection of this process gets another page for a database."""
    since: list[str] = []

    def executing(connection: sa.Connection, cursor: Any, *_: Any) -> None:
        if since and str(connection.engine.url.database) == str(file):
            cursor.connection.execute("PRAGMA max_page_count = 1").close()  # no less than it has

    sa.event.listen(sa.Engine, "before_cursor_execute", executing)
    try:
        yield since
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", executing)


@pytest.mark.parametrize("step", ["2.leased", "7.committed"])
def test_a_full_disk_under_the_hubs_database_and_log_loses_nothing(town: Town, step: str) -> None:
    """Every state and every event is a row of it: what cannot be written down is not done, or is done again."""
    town.report(*(person(number) for number in range(150)), *(wrong(number) for number in range(200, 340)))
    with no_room_in(town.home / "hub.db") as since, pytest.raises(Failed, match="磁盘") as caught:
        town.run(SYNC, observe=at(step, lambda: since.append(step)))
    assert caught.value.remedy
    assert caught.value.retry
    assert town.receipts(SYNC) == []
    assert set(town.flags().values()) == {"0"}
    # Small things still find room in pages that are not full; what promotes the delivery does not.
    assert len(town.ledger(SYNC)) == 1
    assert [run.state for run in town.runs(SYNC)] == [RunState.COMMITTING]
    finished = town.run(SYNC)
    assert finished.state == RunState.SETTLED
    assert finished.counts == counts(read=290, refused=140, written=150)
    assert town.rows("library") == town.good()
    assert len(town.runs(SYNC)) == len(town.receipts(SYNC)) == len(town.ledger(SYNC)) == 1
    assert town.owed() == town.stages("library") == []
    assert town.faults() == []


# --- connections and servers -----------------------------------------------------------------------


COMMITS = {"postgresql": b"COMMIT\x00", "mariadb": b"\x03COMMIT"}
"""The word as a command of its own; it is a part of others too."""


@pytest.mark.parametrize(
    ("product", "moment", "delivery"),
    [
        *(("postgresql", moment, "second") for moment in ("before", "after")),
        ("mariadb", "after", "second"),
        pytest.param("mariadb", "before", "second", marks=pytest.mark.long),
        *(pytest.param("postgresql", moment, "first", marks=pytest.mark.long) for moment in ("before", "after")),
        ("mariadb", "opening", "second"),
    ],
)
def test_a_connection_that_dies_exactly_at_commit(
    request: pytest.FixtureRequest, tmp_path: Path, product: str, moment: str, delivery: str
) -> None:
    """The word COMMIT never reaches the server, or its answer never reaches us: the ledger knows, and nobody else.

    A connection is opened with a COMMIT too; the first delivery's, where one transaction is its stage, has long been.
    """
    skip = int(moment != "opening" and (product, delivery) != ("postgresql", "first"))
    at_word: Moment = "after" if moment == "after" else "before"
    server: Server = request.getfixturevalue(f"{product}_server")
    with CuttingProxy(server.port) as proxy:
        url = sa.make_url(server.new_database()).set(port=proxy.port).render_as_string(hide_password=False)
        urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("police", "library")} | {"tax": url}
        with closing(build(tmp_path / "home", urls)) as town:
            town.report(*(person(number) for number in range(9)))
            town.run(SYNC)
            if delivery == "second":
                town.run(town.share)
                town.report(person(1, version=2), person(20))
                town.run(SYNC)
            before = len(town.ledger(town.share))
            with pytest.raises(Failed) as caught:
                town.run(town.share, observe=at("7.commit", lambda: proxy.cut(COMMITS[product], at_word, skip=skip)))
            assert caught.value.retry
            assert proxy.cuts == 1
            assert [run.state for run in town.runs(town.share)][before:] == [RunState.COMMITTING]
            assert len(town.ledger(town.share)) == before + (moment == "after")
            assert (town.rows("tax") == town.granted()) is (moment == "after")
            assert town.run(town.share).state == RunState.SETTLED
            assert town.rows("tax") == town.granted()
            assert len(town.runs(town.share)) == len(town.ledger(town.share)) == before + 1
            assert len(town.receipts(town.share)) == before + 1
            assert town.stages("tax") == town.owed() == []
            assert town.faults() == []


@pytest.fixture(scope="module", params=[PostgreSQLServer, MariaDBServer], ids=["postgresql", "mariadb"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that nobody else uses, to be restarted."""
    with request.param() as server:
        yield server


def restart(server: Server) -> None:
    """As its administrator does it: at once, and on the port that everybody knows."""
    port = server.port
    assert server._process is not None
    server._process.send_signal(signal.SIGINT if server.product == "postgresql" else signal.SIGTERM)
    server._process.wait(30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.servers.free_port", lambda: port)
        server._serve()


@pytest.mark.long_with.with_args(MariaDBServer)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_servers_restarted_while_a_run_is_at_it(own_server: Server, tmp_path: Path) -> None:
    """Source and library are collected between, library and recipient shared between: at each step all of them go."""
    urls = {name: own_server.new_database() for name in ("police", "library", "tax")}
    with closing(build(tmp_path / "home", urls)) as town:
        town.report(*(person(number) for number in range(9)))
        town.run_both()
        failed = Counter[str]()
        for version, step in enumerate(("3.read", "7.commit"), 2):
            town.report(person(1, version=version), person(20 + version), wrong(3, version=version))
            for exchange in (SYNC, town.share):
                try:
                    town.run(exchange, observe=at(step, lambda: restart(own_server)))
                except Failed as error:
                    assert error.retry, error.message
                    failed[exchange] += 1
                town.close()
                town.run(exchange)
                assert {run.state for run in town.runs(exchange)} <= {RunState.SETTLED, RunState.FAILED}
                delivered = [run for run in town.runs(exchange) if run.state == RunState.SETTLED]
                assert sorted(town.ledger(exchange)) == sorted(run.delivery for run in delivered)
                assert len(town.receipts(exchange)) == len(delivered)
            assert town.rows("library") == town.good()
            assert town.rows("tax") == town.granted()
            assert town.stages("library") == town.stages("tax") == town.owed() == []
            assert set(town.flags().values()) <= {"1", "2"}
        assert min(failed[SYNC], failed[town.share]) >= 1
        assert town.faults() == []
    gc.collect()  # of a cursor whose server is gone the driver says here that it was never closed
