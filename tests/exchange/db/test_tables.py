"""The hub's own tables: what may not be twice, what may not be missing, and what is never in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, inspect, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.schema import CreateTable

from catalog.tables import Base as CatalogueBase
from catalog.tables import Instant
from exchange.db import HubDatabase
from exchange.db.tables import (
    ApplicationRow,
    Base,
    DecisionRow,
    EventRow,
    ExchangeRow,
    GrantRow,
    LeaseRow,
    NoticeRow,
    OwedRow,
    QuarantineRow,
    ReceiptRow,
    RunRow,
    UsageRow,
)

AT = datetime(2026, 1, 5, 9, 0, 0, 123000, tzinfo=UTC)
DEPARTMENT = "11321200TE00000291"
TABLES = Base.metadata.tables


def application(**changes: Any) -> ApplicationRow:
    values = {
        "id": "A1", "resource": "101001001/0001", "department": DEPARTMENT, "state": "granted",
        "body": {"scene": "业务办理"}, "applicant": "张三", "submitted_at": AT, "decided_at": None,
    }  # fmt: skip
    return ApplicationRow(**{**values, **changes})


def grant(**changes: Any) -> GrantRow:
    values = {
        "id": "G1", "kind": "sharing", "resource": "101001001/0001", "resource_version": 1, "department": DEPARTMENT,
        "application": "A1", "state": "active", "version": 1, "body": {"items": ["id_no"]}, "valid_from": AT,
        "valid_until": None, "quota_rows": None, "issued_at": AT,
    }  # fmt: skip
    return GrantRow(**{**values, **changes})


def exchange(**changes: Any) -> ExchangeRow:
    values = {
        "id": "share-G1", "kind": "sharing", "grant": "G1", "resource": "101001001/0001", "table": "population",
        "provider": DEPARTMENT, "recipient": DEPARTMENT, "source": {}, "target": {}, "settings": {}, "state": "active",
        "position": None, "shape": None, "last_delivery": None, "due_at": None, "created_at": AT,
    }  # fmt: skip
    return ExchangeRow(**{**values, **changes})


def run(**changes: Any) -> RunRow:
    values = {
        "id": "r1", "exchange": "share-G1", "delivery": "d1", "state": "planned", "plan": {}, "plan_digest": "p",
        "epoch": 1, "started_at": AT,
    }  # fmt: skip
    return RunRow(**{**values, **changes})


def receipt(**changes: Any) -> ReceiptRow:
    values = {"id": "R1", "run": "r1", "exchange": "share-G1", "body": {}, "digest": "d", "issued_at": AT}
    return ReceiptRow(**{**values, **changes})


def event(**changes: Any) -> EventRow:
    values = {
        "type": "RunStarted", "at": AT, "actor": "张三", "established": "os-user", "body": {}, "tag": "t",
        "number": None, "seal": None,
    }  # fmt: skip
    return EventRow(**{**values, **changes})


def quarantined(**changes: Any) -> QuarantineRow:
    values = {
        "run": "r1", "exchange": "share-G1", "number": 1, "item": None, "rule": "type", "reason": "类型不符",
        "key_hash": "h", "file": None, "state": "open", "at": AT,
    }  # fmt: skip
    return QuarantineRow(**{**values, **changes})


def put(database: HubDatabase, *rows: Base) -> None:
    with database.transaction() as session:
        for row in rows:
            session.add(row)
            session.flush()


@pytest.fixture
def filled(database: HubDatabase) -> Iterator[HubDatabase]:
    put(database, application(), grant(), exchange(), run())
    return database


@pytest.mark.parametrize(
    "again",
    [
        lambda: [run(id="r2")],
        lambda: [receipt(), receipt(id="R2")],
        lambda: [OwedRow(run="r1", kind="notify"), OwedRow(run="r1", kind="notify")],
        lambda: [event(number=1), event(number=1)],
        lambda: [
            UsageRow(delivery="d1", grant="G1", rows=1, at=AT),
            UsageRow(delivery="d1", grant="G1", rows=1, at=AT),
        ],
        lambda: [
            LeaseRow(exchange="share-G1", epoch=1, expires=0.0),
            LeaseRow(exchange="share-G1", epoch=2, expires=0.0),
        ],
    ],
    ids=["delivery of two runs", "receipts of a run", "the same owed", "number of an event", "usage", "leases"],
)
def test_what_must_be_one_cannot_be_two(filled: HubDatabase, again: Any) -> None:
    *before, twice = again()
    put(filled, *before)
    with pytest.raises(IntegrityError):
        put(filled, twice)


def test_what_may_be_several_can_be(filled: HubDatabase) -> None:
    put(
        filled, OwedRow(run="r1", kind="notify"), OwedRow(run="r1", kind="settle"), event(), event(),
        run(id="r2", delivery="d2"), quarantined(), quarantined(rule="length"),
    )  # fmt: skip
    with filled.reading() as session:
        assert len(session.scalars(select(EventRow).where(EventRow.number.is_(None))).all()) == 2
        assert session.scalars(select(OwedRow.attempts)).all() == [0, 0]


@pytest.mark.parametrize(
    "orphan",
    [
        lambda: DecisionRow(application="none", approved=True, reasons=[], decider="platform", at=AT),
        lambda: grant(id="G2", application="none"),
        lambda: exchange(id="x", grant="none"),
        lambda: run(id="r2", delivery="d2", exchange="none"),
        lambda: receipt(run="none"),
        lambda: OwedRow(run="none", kind="settle"),
        lambda: quarantined(run="none"),
        lambda: LeaseRow(exchange="none", epoch=1, expires=0.0),
        lambda: UsageRow(delivery="d", grant="none", rows=1, at=AT),
    ],
    ids=["decision", "grant", "exchange", "run", "receipt", "owed", "quarantine", "lease", "usage"],
)
def test_nothing_hangs_in_the_air(filled: HubDatabase, orphan: Any) -> None:
    with pytest.raises(IntegrityError):
        put(filled, orphan())


@pytest.mark.parametrize(
    "lacking",
    [
        lambda: grant(id="G2", resource=None), lambda: grant(id="G2", valid_from=None),
        lambda: run(id="r2", delivery=None),
        lambda: run(id="r2", delivery="d2", plan_digest=None), lambda: event(tag=None), lambda: event(actor=None),
        lambda: receipt(digest=None), lambda: quarantined(key_hash=None), lambda: quarantined(rule=None),
    ],
    ids=["resource", "period", "key", "plan", "tag", "actor", "digest", "hash", "rule"],
)  # fmt: skip
def test_what_proves_something_cannot_be_missing(filled: HubDatabase, lacking: Any) -> None:
    with pytest.raises(IntegrityError):
        put(filled, lacking())


def test_rows_number_themselves_upwards(filled: HubDatabase) -> None:
    rows = [event(), event(), event()]
    put(filled, *rows)
    with filled.reading() as session:
        numbers = session.scalars(select(EventRow.id).order_by(EventRow.id)).all()
    assert len(numbers) == 3
    assert list(numbers) == sorted(set(numbers))


def test_moments_come_back_as_the_same_moment_in_utc(filled: HubDatabase) -> None:
    beijing = AT.astimezone(timezone(timedelta(hours=8)))
    put(filled, NoticeRow(department=DEPARTMENT, text="已送达", at=beijing))
    with filled.reading() as session:
        (found,) = session.scalars(select(NoticeRow.at))
    assert found == AT
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_no_moment(filled: HubDatabase) -> None:
    with pytest.raises(StatementError):
        put(filled, NoticeRow(department=DEPARTMENT, text="已送达", at=AT.replace(tzinfo=None)))


def test_plain_values_come_back_as_they_were(filled: HubDatabase) -> None:
    body = {
        "items": ["id_no", "姓名"],
        "filter": {"item": "district", "in": ["321202"]},
        "masks": {},
        "n": 2**53,
        "no": None,
    }
    put(
        filled, grant(id="G2", body=body, quota_rows=2**40),
        DecisionRow(application="A1", approved=False, reasons=["范围过宽", "𠮷"], decider="李四", at=AT),
    )  # fmt: skip
    with filled.reading() as session:
        kept = session.get_one(GrantRow, "G2")
        assert (kept.body, kept.quota_rows, kept.valid_until) == (body, 2**40, None)
        assert session.scalars(select(DecisionRow.reasons)).one() == ["范围过宽", "𠮷"]


def test_names_are_those_of_the_rows_and_clash_with_none_of_the_catalogue() -> None:
    named = {mapper.class_.__name__.removesuffix("Row").lower(): mapper.local_table for mapper in Base.registry.mappers}
    assert {name: table.name for name, table in named.items()} == {name: name for name in TABLES}
    assert not set(TABLES) & set(CatalogueBase.metadata.tables)


def test_every_moment_has_a_zone_and_every_mapping_is_json() -> None:
    for mapper in Base.registry.mappers:
        for attribute in inspect(mapper).column_attrs:
            (column,) = attribute.columns
            python = mapper.class_.__annotations__[attribute.key]
            if "datetime" in python:
                assert isinstance(column.type, Instant), f"{mapper} {attribute.key}"
            if "dict[" in python or "list[" in python:
                assert isinstance(column.type, JSON), f"{mapper} {attribute.key}"
            assert column.nullable == ("None" in python), f"{mapper} {attribute.key}"


def test_counts_and_epochs_have_room() -> None:
    for name, column in [
        ("grant", "quota_rows"),
        ("usage", "rows"),
        ("lease", "epoch"),
        ("run", "epoch"),
        ("event", "number"),
    ]:
        assert isinstance(TABLES[name].c[column].type, BigInteger)


def test_numbers_are_wide_where_the_product_lets_them_be() -> None:
    table = TABLES["event"]
    assert "id INTEGER NOT NULL" in str(CreateTable(table).compile(dialect=sqlite.dialect()))
    assert "id BIGSERIAL NOT NULL" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
    assert "id BIGINT NOT NULL AUTO_INCREMENT" in str(CreateTable(table).compile(dialect=mysql.dialect()))


def test_a_refused_row_is_told_by_rule_place_and_keyed_hash_alone() -> None:
    """Its content lies encrypted in a file; there is no column that could take it."""
    assert {column.name for column in TABLES["quarantine"].c} == {
        "id", "run", "exchange", "number", "item", "rule", "reason", "key_hash", "file", "state", "repair",
        "replay", "at",
    }  # fmt: skip
    assert not any(isinstance(column.type, JSON) for column in TABLES["quarantine"].c)
