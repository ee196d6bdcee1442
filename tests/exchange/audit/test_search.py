"""Searching and exporting; both are events themselves."""

from __future__ import annotations

import csv
import io
import json
import random
from datetime import UTC, datetime, timedelta, timezone
from operator import itemgetter

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select, text, update

from exchange.audit import AuditLog, events, search
from exchange.audit.log import Written
from exchange.db.tables import EventRow
from exchange.errors import Invalid, Misplaced, Tampered
from exchange.identity import PLATFORM, Actor
from exchange.secrets import Keyring
from tests.exchange.audit.conftest import AUDITOR, HUB

DENIED = events.AccessDenied('查看 100% "a_b" 𠮷', ("没有角色",))


@pytest.fixture
def empty(database, settings):
    return AuditLog(database, Keyring(settings), settings)


@pytest.fixture(params=["sealed", "unsealed"])
def log(log, registered, request):
    with log._database.transaction() as session:
        log.record(session, events.GrantExpired("G1"), PLATFORM, resource="321/1")
        log.record(session, events.GrantExpired("G2"), PLATFORM, resource="321/2", department="D")
        log.record(session, events.RunGated("G2", 1), AUDITOR, resource="321/2", exchange="E", run="R")
        log.record(session, DENIED, AUDITOR)
    if request.param == "sealed":
        assert log.seal() == 4
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
        ({"outcome": "refused"}, [("AccessDenied", None)]),
        ({"outcome": "failed"}, []),
        ({"way": "file"}, [("RunGated", "G2")]),
        ({"way": "file", "type": "GrantExpired"}, []),
        ({"way": "database"}, []),
        ({"record_class": "natural_person"}, [("GrantExpired", "G1")]),
        ({"record_class": "natural_person", "department": "D"}, []),
        ({"record_class": "licence"}, []),
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
        {"way": "pigeon"},
        {"outcome": "good"},
        {"cursor": "1"},
        {"cursor": "1.x"},
        {"cursor": f"1.{10**30}"},
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


class Everything:
    """A log of many kinds, part of it not sealed, searched by looking at each event."""

    def __init__(self, log, seed):
        self.made = random.Random(seed)
        actors = [Actor(name=name, established="x", department=HUB, roles=frozenset()) for name in ("甲", "乙", "丙")]
        kinds = [events.GrantExpired("G"), DENIED, events.RunGated("G", 1), events.RunReddened("stopped", "多")]
        start = datetime(2026, 1, 1, tzinfo=UTC)
        written = [
            Written(
                self.made.choices(kinds, (8, 1, 4, 1))[0], self.made.choices(actors, (9, 3, 1))[0],
                resource=self.made.choice((None, "321/1", "321/2")), exchange=self.made.choice((None, None, "E")),
                department=self.made.choices((HUB, "D", "F"), (7, 2, 1))[0],
            )
            for _ in range(240)
        ]  # fmt: skip
        with log._database.transaction() as session:
            # Several at one moment, and the clock set back once.
            for number in range(0, 240, 3):
                at = start + timedelta(minutes=number if number < 120 else number - 60)
                log.record_all(session, written[number : number + 3], at)
        self.rows = [
            (start + timedelta(minutes=(place := 3 * (index // 3)) - (60 if place >= 120 else 0)), index, each)
            for index, each in enumerate(written)
        ]

    def query(self):
        choices = {
            "department": (HUB, "D", "F", "Z"), "resource": ("321/2", "321/9"), "exchange": ("E", "X"),
            "type": ("GrantExpired", "AccessDenied", "RunReddened", "GrantRevoked"), "actor": ("甲", "丙", "丁"),
            "way": ("file", "database"), "record_class": ("natural_person", "case"), "outcome": ("refused", "failed"),
            "since": tuple(datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(3)),
            "until": tuple(datetime(2026, 1, 1, hour, 30, tzinfo=UTC) for hour in range(3)), "text": ("没有角色",),
        }  # fmt: skip
        names = self.made.sample(sorted(choices), self.made.choice((1, 1, 2, 3)))
        return {name: self.made.choice(choices[name]) for name in names}

    def expected(self, query):
        return [
            index for at, index, each in sorted(self.rows, reverse=True, key=itemgetter(0, 1)) if _fits(query, at, each)
        ]


def _fits(query, at, each):
    resource = each.resource or ("321/1" if each.exchange else None)
    said = json.dumps(each.event.body(), ensure_ascii=False)
    known = {
        "department": each.department, "resource": resource, "exchange": each.exchange, "actor": each.by.name,
        "type": type(each.event).__name__, "way": "file" if each.exchange else None,
        "record_class": "natural_person" if resource == "321/1" else None,
        "outcome": "refused" if type(each.event).__name__ in ("AccessDenied", "RunReddened") else None,
    }  # fmt: skip
    if at < query.get("since", at) or at >= query.get("until", at + timedelta(1)) or query.get("text", "") not in said:
        return False
    return all(known[name] == value for name, value in query.items() if name in known)


@pytest.mark.parametrize("small", [False, True], ids=["usual", "small-bounds"])
@pytest.mark.parametrize("sealed", ["all", "half", "none"])
def test_any_filters_find_what_looking_at_each_event_finds(empty, registered, sealed, small, monkeypatch):
    if small:
        # Every way of looking is gone, and many pages are short.
        for name, value in (("WINDOW", 20), ("_PROBED", 3), ("_UNSEALED", 25)):
            monkeypatch.setattr(search, name, value)
    log = empty
    everything = Everything(log, f"{sealed} {small}")
    with log._database.transaction() as session:
        first = session.scalar(select(func.min(EventRow.id)))
        session.execute(
            update(EventRow).where(EventRow.id >= first + {"all": 240, "half": 160, "none": 0}[sealed]).values(tag="x")
        )
    log.seal()
    for _ in range(25):
        query, limit = everything.query(), everything.made.choice((3, 10, 100))
        seen, cursor = [], None
        while True:
            page = log.search(by=PLATFORM, limit=limit, cursor=cursor, **query)
            assert len(page.events) <= limit
            seen += [event.id - first for event in page.events if event.type != "LogRead"]
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == everything.expected(query), query


def test_what_was_sealed_before_contexts_were_noted_is_found_and_arranged(log):
    with log._database.transaction() as session:
        session.execute(update(EventRow).values(context=None))
        sealed = session.scalar(select(func.count()).where(EventRow.number.is_not(None)))
    before = log.verify()
    assert kinds(log.search(by=AUDITOR, way="file")) == [("RunGated", "G2")]
    assert log.arrange() == sealed
    assert log.arrange() == 0
    assert kinds(log.search(by=AUDITOR, way="file")) == [("RunGated", "G2")]
    after = log.verify()
    assert (after.verified, after.sealed) == (before.verified, before.sealed)


def test_a_text_is_looked_for_in_a_period_where_the_log_is_large(log, monkeypatch):
    monkeypatch.setattr(search, "LARGE", 3)
    with pytest.raises(Invalid, match="全部日志"):
        log.search(by=AUDITOR, text="没有角色")
    assert log.search(by=AUDITOR, text="没有角色", run="R").events == ()
    since = datetime.now(UTC) - timedelta(hours=1)
    found = log.search(by=AUDITOR, text="没有角色", since=since, type="AccessDenied")
    assert kinds(found) == [("AccessDenied", None)]


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


@pytest.mark.parametrize(
    ("filters", "count"), [({}, 4), ({"way": "file"}, 1), ({"outcome": "refused"}, 1), ({"record_class": "none"}, 0)]
)
def test_an_export_goes_into_an_open_file_and_is_bounded(log, filters, count):
    out = io.BytesIO()
    assert log.export(out, by=AUDITOR, format="jsonl", **filters) == count
    assert len(out.getvalue().splitlines()) == count
    if count:
        with pytest.raises(Invalid, match="超过"):
            log.export(io.BytesIO(), by=AUDITOR, format="csv", most=count - 1, **filters)
    with pytest.raises(Invalid):
        log.export(io.BytesIO(), by=AUDITOR)
    events_ = log.search(by=AUDITOR, type="LogExported").events
    assert len(events_) == 1 + bool(count)
