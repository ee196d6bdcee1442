"""Searching and exporting; both are events themselves."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta, timezone

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, text

from exchange.audit import events
from exchange.db.tables import EventRow
from exchange.errors import Invalid, Misplaced, Tampered
from exchange.identity import PLATFORM
from tests.exchange.audit.conftest import AUDITOR, HUB

DENIED = events.AccessDenied('查看 100% "a_b" 𠮷', ("没有角色",))


@pytest.fixture
def log(log):
    with log._database.transaction() as session:
        log.record(session, events.GrantExpired("G1"), PLATFORM, resource="321/1")
        log.record(session, events.GrantExpired("G2"), PLATFORM, resource="321/2", department="D")
        log.record(session, events.RunGated("G2", 1), AUDITOR, resource="321/2", exchange="E", run="R")
        log.record(session, DENIED, AUDITOR)
    return log


def kinds(page):
    return [(event.type, event.body.get("grant")) for event in page.events]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"type": "GrantExpired"}, [("GrantExpired", "G2"), ("GrantExpired", "G1")]),
        ({"type": "GrantExpired", "resource": "321/1"}, [("GrantExpired", "G1")]),
        ({"department": "D"}, [("GrantExpired", "G2")]),
        ({"department": HUB, "type": "RunGated"}, [("RunGated", "G2")]),
        ({"exchange": "E"}, [("RunGated", "G2")]),
        ({"run": "R"}, [("RunGated", "G2")]),
        ({"run": "R", "exchange": "other"}, []),
        ({"actor": "platform"}, [("GrantExpired", "G2"), ("GrantExpired", "G1")]),
        ({"text": "没有角色"}, [("AccessDenied", None)]),
        ({"text": "𠮷", "type": "AccessDenied"}, [("AccessDenied", None)]),
        ({"text": '100% "a_b"', "type": "AccessDenied"}, [("AccessDenied", None)]),
        ({"text": "A_B", "type": "AccessDenied"}, [("AccessDenied", None)]),
        ({"text": "10_%", "type": "AccessDenied"}, []),
        ({"actor": "x' OR '1'='1"}, []),
    ],
)
def test_filters_narrow_each_other(log, filters, found):
    assert kinds(log.search(by=AUDITOR, **filters)) == found


def test_a_period_is_from_until_and_its_zone_counts(log):
    with log._database.reading() as session:
        moments = list(session.scalars(select(EventRow.at).order_by(EventRow.id)))
    china = timezone(timedelta(hours=8))
    assert kinds(log.search(by=AUDITOR, type="GrantExpired", until=moments[0].astimezone(china))) == []
    later = moments[3] + timedelta(hours=1)
    assert len(log.search(by=AUDITOR, type="GrantExpired", since=moments[0].astimezone(china), until=later).events) == 2
    assert kinds(log.search(by=AUDITOR, type="GrantExpired", since=later)) == []


def test_pages_hold_everything_once(log):
    seen, cursor = [], None
    while True:
        page = log.search(by=PLATFORM, limit=1, cursor=cursor, actor="周审")
        seen += kinds(page)
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [("AccessDenied", None), ("RunGated", "G2")]


def test_looking_is_logged(log):
    since = datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    log.search(by=AUDITOR, text="秘密", since=since)
    found = log.search(by=AUDITOR, type="LogRead")
    (event,) = found.events
    assert event.body == {"query": {"text": "秘密", "since": "2026-01-01T00:00:00.000000Z"}}
    assert event.actor == "周审"
    assert len(log.search(by=AUDITOR, type="LogRead").events) == 2


@pytest.mark.parametrize(
    "filters",
    [
        {"type": "GrantIssed"},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001 - a naive time is what is tried
        {"colour": "red"},
        {"limit": 0},
        {"limit": 1001},
        {"cursor": "x"},
    ],
)
def test_wrong_queries_are_refused(log, filters):
    with pytest.raises(Invalid):
        log.search(by=AUDITOR, **filters)


def test_a_mistyped_type_is_guessed(log):
    with pytest.raises(Invalid) as raised:
        log.search(by=AUDITOR, type="GrantIssed")
    assert "GrantIssued" in raised.value.remedy


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_what_is_exported_is_what_the_log_says(log, tmp_path, format):
    log.seal()
    path = tmp_path / f"日志.{format}"
    assert log.export(path, by=AUDITOR, actor="周审", type="AccessDenied") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    match format:
        case "jsonl":
            (row,) = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        case "csv":
            (row,) = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
            row["number"] = int(row["number"])
        case "parquet":
            (row,) = pq.read_table(path).to_pylist()
            assert row["at"].tzinfo is not None
    body = row["body"] if isinstance(row["body"], dict) else json.loads(row["body"])
    assert body == DENIED.body()
    assert (row["actor"], row["number"], len(row["seal"]), len(row["tag"])) == ("周审", 4, 64, 64)
    assert [file.name for file in tmp_path.glob("*日志*")] == [path.name]
    exported = log.search(by=AUDITOR, type="LogExported").events[0]
    assert exported.body == {"query": {"actor": "周审", "type": "AccessDenied"}, "format": format}


def test_everything_is_exported_oldest_first(log, tmp_path):
    assert log.export(tmp_path / "all", by=AUDITOR, format="jsonl") == 4
    found = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [row["type"] for row in found] == ["GrantExpired", "GrantExpired", "RunGated", "AccessDenied"]


def test_nothing_found_is_a_file_too(log, tmp_path):
    assert log.export(tmp_path / "none.parquet", by=AUDITOR, actor="nobody") == 0
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


def test_a_spreadsheet_takes_no_field_for_a_formula(log, tmp_path):
    with log._database.transaction() as session:
        log.record(session, events.GrantExpired("G"), AUDITOR, resource="=1+1", exchange="@x", run="-2")
    log.export(tmp_path / "a.csv", by=AUDITOR, resource="=1+1")
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8-sig").splitlines())
    assert (row["resource"], row["exchange"], row["run"]) == ("'=1+1", "'@x", "'-2")


def test_where_an_export_cannot_go(log, tmp_path):
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(Misplaced):
        log.export(tmp_path / "there.csv", by=AUDITOR)
    for path in (tmp_path / "a.xls", tmp_path / "a", tmp_path / "none" / "a.csv"):
        with pytest.raises(Invalid):
            log.export(path, by=AUDITOR)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_an_unreadable_row_is_no_answer(log, tmp_path):
    with log._database.transaction() as session:
        session.execute(text("UPDATE event SET body = '[]' WHERE type = 'RunGated'"))
    with pytest.raises(Tampered, match="无法读取"):
        log.search(by=AUDITOR, type="RunGated")
    with pytest.raises(Tampered):
        log.export(tmp_path / "a.csv", by=AUDITOR, type="RunGated")
    assert list(tmp_path.glob("*a.csv*")) == []


def test_times_come_back_in_utc(log):
    assert all(event.at.tzinfo is UTC for event in log.search(by=AUDITOR).events)
