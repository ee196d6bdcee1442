from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from exchange.cli.auditing import moment
from exchange.errors import Invalid
from tests.exchange.cli.county import CODE, POLICE, SYNC, County

BEIJING = timezone(timedelta(hours=8))


def types(county: County, *words: str) -> set[str]:
    return {event["type"] for event in county.ask("audit", "search", *words, by="auditor")["events"]}


def test_who_did_what(county: County) -> None:
    assert types(county, "--type", "授权签发") == {"GrantIssued"}
    assert types(county, "--actor", "公安审核") >= {"ResourceMoved", "ApplicationDecided", "GrantIssued"}
    assert types(county, "--resource", CODE, "--type", "ResourceMoved") == {"ResourceMoved"}
    assert "RunCommitted" in types(county, "--exchange", SYNC)
    assert types(county, "--department", "公安") == types(county, "--department", POLICE)
    assert types(county, "--text", "依法履职所需") >= {"ApplicationDecided"}
    shown = county.run("audit", "search", "--exchange", SYNC, by="auditor").out
    assert "交付完成" in shown
    assert "集成员" in shown


def test_when(county: County) -> None:
    today = datetime.now(BEIJING)
    assert "RunCommitted" in types(county, "--since", f"{today - timedelta(days=1):%Y-%m-%d}")
    assert "RunCommitted" in types(county, "--until", f"{today:%Y-%m-%d}")
    assert types(county, "--until", f"{today - timedelta(days=2):%Y-%m-%d}") == set()
    assert types(county, "--since", f"{today + timedelta(days=1):%Y-%m-%dT%H:%M}") == set()


def test_page_by_page(county: County) -> None:
    words = ["audit", "search", "--exchange", SYNC, "--limit", "2"]
    first = county.ask(*words, by="auditor")
    second = county.ask(*words, "--cursor", first["cursor"], by="auditor")
    assert len({event["id"] for page in (first, second) for event in page["events"]}) == 4
    assert f"--cursor {first['cursor']}" in county.run(*words, by="auditor").out


def test_only_the_auditor(county: County, tmp_path: Path) -> None:
    for words in (["search"], ["verify"], ["export", str(tmp_path / "log.csv")]):
        assert county.run("audit", *words, by="integrator").status == 3
    assert not (tmp_path / "log.csv").exists()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--type", "GrantRevokd"], 2),
        (["--since", "昨天"], 2),
        (["--limit", "100000"], 2),
        (["--cursor", "x"], 2),
        (["--department", "没有"], 4),
    ],
)
def test_what_cannot_be_asked(county: County, words: list[str], status: int) -> None:
    assert county.run("audit", "search", *words, by="auditor").status == status


def test_a_file_of_it(county: County, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    told = county.ask("audit", "export", str(path), "--exchange", SYNC, by="auditor")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert told == {"path": str(path), "events": len(rows)}
    assert "RunCommitted" in {row["type"] for row in rows}
    assert county.run("audit", "export", str(path), by="auditor").status == 5
    assert county.run("audit", "export", str(tmp_path / "log.doc"), by="auditor").status == 2
    outcome = county.run("audit", "export", str(tmp_path / "log"), "--format", "jsonl", by="auditor")
    assert f"到 {tmp_path / 'log'}" in outcome.out


def test_an_untouched_log(county: County) -> None:
    told = county.ask("audit", "verify", by="auditor")
    assert told["verified"] is True
    assert told["faults"] == []
    assert "日志完整" in county.run("audit", "verify", by="auditor").out


def test_a_log_that_was_touched(changing_county: County) -> None:
    changing_county.ask("audit", "verify", by="auditor")
    engine = sa.create_engine(f"sqlite:///{changing_county.home / 'hub.db'}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE event SET actor = '别人' WHERE number = 3"))
    outcome = changing_county.run("audit", "verify", by="auditor")
    assert outcome.status == 9
    assert "日志被改动过" in outcome.out
    assert "第 3 号事件" in outcome.out
    outcome = changing_county.run("audit", "verify", "--json", by="auditor")
    assert outcome.status == 9
    assert outcome.document["faults"][0]["first"] == 3


def test_a_log_cut_short_is_answered_for_by_the_auditor_alone(changing_county: County) -> None:
    changing_county.ask("audit", "verify", by="auditor")
    reason = ("audit", "acknowledge", "--reason", "磁盘损坏，从备份恢复")
    assert changing_county.run(*reason, by="auditor").status == 5
    engine = sa.create_engine(f"sqlite:///{changing_county.home / 'hub.db'}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM event WHERE number = (SELECT max(number) FROM event)"))
    assert changing_county.run("audit", "verify", by="auditor").status == 9
    changing_county.ask("run", SYNC, "--after-restore")
    assert changing_county.run(*reason, by="integrator").status == 3
    assert changing_county.run("audit", "verify", by="auditor").status == 9
    assert changing_county.run(*reason, by="auditor").status == 0
    outcome = changing_county.run("audit", "verify", "--json", by="auditor")
    assert outcome.status == 0
    assert "恢复记录" in outcome.document["warnings"][0]
    (event,) = changing_county.ask("audit", "search", "--type", "LogRestored", by="auditor")["events"]
    assert event["body"]["reason"] == "磁盘损坏，从备份恢复"


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2026-01-31", False, datetime(2026, 1, 31, tzinfo=BEIJING)),
        ("2026-01-31", True, datetime(2026, 2, 1, tzinfo=BEIJING)),
        ("2026-01-31T08:30", False, datetime(2026, 1, 31, 8, 30, tzinfo=BEIJING)),
        ("2026-01-31T08:30:00+00:00", True, datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, end: bool, expected: datetime) -> None:
    assert moment(text, "--since", end=end) == expected


@pytest.mark.parametrize("text", ["", "2026-13-01", "明天", "9999-12-31", "20260131T"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(Invalid, match="--until"):
        moment(text, "--until", end=True)
