from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from adapters.base import Claim, Manifest
from adapters.database import DatabaseEndpoint
from adapters.database.ledger import Counts, Ledger
from adapters.errors import Misconfigured, Overtaken, Restored, Unavailable, Unbalanced
from tests.adapters.database.conftest import PERSON, SCHEMA, Hands

CLAIM = Claim(key="key", exchange="exchange", epoch=3)
MANIFEST = Manifest(claim=CLAIM, digest="digest", rows=7, head="9:f00")
COUNTS = Counts(written=3, deleted=1, unchanged=2, superseded=1, refused=1)


@pytest.fixture
def ledger(installed: DatabaseEndpoint) -> Ledger:
    return Ledger(installed._place.dialect, None)


def test_counts_add_up() -> None:
    assert COUNTS.rows == 7


def test_a_claim_is_made_once(ledger: Ledger, installed: DatabaseEndpoint) -> None:
    with installed._place.transaction() as connection:
        assert ledger.claim(connection, MANIFEST)
        ledger.settle(connection, MANIFEST, COUNTS, "person")
        first = ledger.answered(connection, MANIFEST)
    assert abs(first.at - datetime.now(UTC)) < timedelta(minutes=2)
    assert (first.manifest, first.place, first.written) == ("digest", "person", 3)
    with installed._place.transaction() as connection:
        assert not ledger.claim(connection, MANIFEST)
        assert ledger.answered(connection, MANIFEST) == first
        assert ledger.acknowledgement(connection, "other") is None
        with pytest.raises(Unavailable):
            ledger.answered(connection, Manifest(claim=Claim(key="gone", exchange="e", epoch=1), digest="", rows=0))
        with pytest.raises(Unbalanced):
            ledger.answered(connection, Manifest(claim=CLAIM, digest="another", rows=7))


def test_the_epoch_only_rises(ledger: Ledger, installed: DatabaseEndpoint) -> None:
    for epoch, seen in ((3, 3), (3, 3), (5, 5)):
        with installed._place.transaction() as connection:
            ledger.raise_epoch(connection, Manifest(claim=Claim(key="k", exchange="e", epoch=epoch), digest="", rows=0))
        with installed._place.engine.connect() as connection:
            assert ledger.seen(connection, "e") == seen
            assert ledger.seen(connection, "f") == 0
    with pytest.raises(Overtaken, match="5"), installed._place.transaction() as connection:
        ledger.raise_epoch(connection, Manifest(claim=Claim(key="k", exchange="e", epoch=4), digest="", rows=0))


def test_the_previous_delivery_must_be_there(ledger: Ledger, installed: DatabaseEndpoint) -> None:
    with installed._place.transaction() as connection:
        ledger.demand_previous(connection, MANIFEST)
        with pytest.raises(Restored):
            ledger.demand_previous(connection, Manifest(claim=CLAIM, digest="", rows=0, previous="gone"))
        ledger.claim(connection, MANIFEST)
        ledger.demand_previous(connection, Manifest(claim=CLAIM, digest="", rows=0, previous="key"))


def test_serials_count_by_table(ledger: Ledger, installed: DatabaseEndpoint) -> None:
    with installed._place.transaction() as connection:
        assert [ledger.next_serial(connection, name) for name in ("a", "a", "b", "a")] == [1, 2, 1, 3]


def test_missing_tables_are_named(ledger: Ledger, installed: DatabaseEndpoint, hands: Hands) -> None:
    with installed._place.engine.connect() as connection:
        assert ledger.missing(connection) == []
        ledger.demand(connection, "x")
    hands.run("DROP TABLE shutong_tombstone", "DROP TABLE shutong_epoch")
    with installed._place.engine.connect() as connection:
        assert ledger.missing(connection) == ["shutong_epoch", "shutong_tombstone"]
        with pytest.raises(Misconfigured, match="x：缺少交付台账的表 shutong_epoch、shutong_tombstone") as caught:
            ledger.demand(connection, "x")
    assert "endpoint prepare --sql" in caught.value.remedy


def test_texts_of_the_ledger_are_told_apart_by_their_bytes(installed: DatabaseEndpoint, hands: Hands) -> None:
    hands.run("INSERT INTO shutong_epoch VALUES ('a', 1), ('A', 1), ('a ', 1), ('á', 1), ('𠮷', 1)")
    assert hands.rows("SELECT count(*) FROM shutong_epoch WHERE exchange = 'a'") == [(1,)]
    assert installed.check(PERSON, SCHEMA, sink=True) == []
    names = sa.inspect(hands.engine).get_table_names()
    assert {"shutong_ledger", "shutong_refusal", "shutong_serial"} <= set(names)
