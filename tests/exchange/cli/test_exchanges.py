from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.cli.county import SYNC, County, exchanged, founded, granted, published


@pytest.fixture
def running_county(tmp_path: Path) -> County:
    """Everything has moved once; with databases of its own."""
    return exchanged(granted(published(founded(tmp_path))))


def redefine(county: County, old: str, new: str) -> None:
    """The police make their table anew."""
    with county.database("police").begin() as connection:
        text = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'people'").scalar_one()
        assert old in text
        connection.exec_driver_sql("ALTER TABLE people RENAME TO before_it")
        connection.exec_driver_sql(text.replace(old, new))
        connection.exec_driver_sql("INSERT INTO people SELECT * FROM before_it")
        connection.exec_driver_sql("DROP TABLE before_it")


def test_nothing_has_changed(county: County) -> None:
    outcome = county.run("exchange", "diff", SYNC)
    assert outcome.status == 0
    assert "两端的表结构都没有变化" in outcome.out
    told = county.ask("exchange", "diff", county.share, by="tax")
    assert (told["held"], [side["changes"] for side in told["sides"]]) == (False, [[], []])
    outcome = county.run("exchange", "approve", SYNC, "--reason", "没有什么")
    assert outcome.status == 5
    assert "没有待批准" in outcome.err


def test_what_was_never_run_has_no_record(tmp_path: Path) -> None:
    county = granted(published(founded(tmp_path)))
    outcome = county.run("exchange", "diff", SYNC)
    assert outcome.status == 0
    assert "还没有记录" in outcome.out
    assert [side["recorded"] for side in county.ask("exchange", "diff", SYNC)["sides"]] == [False, False]


def test_held_shown_and_approved(running_county: County) -> None:
    county = running_county
    redefine(county, "VARCHAR(64)", "VARCHAR(20)")
    outcome = county.run("run", SYNC)
    assert outcome.status == 5
    assert "列 name 变窄" in outcome.err
    assert f"shutong exchange approve {SYNC}" in outcome.err
    document = county.run("run", SYNC, "--json").document["error"]
    assert (document["kind"], document["retry"]) == ("held", False)
    assert len(document["reasons"]) == 1
    shown = county.run("status").out
    assert "待批准" in shown
    assert "列 name 变窄" in shown
    told = next(each for each in county.ask("status")["exchanges"] if each["id"] == SYNC)
    assert told["state"] == "held"
    assert any("结构有变化" in each["text"] for each in county.ask("notices", by="police")["notices"])
    outcome = county.run("exchange", "diff", SYNC)
    assert outcome.status == 5
    assert "varchar(64) → varchar(20)" in outcome.out
    outcome = county.run("exchange", "diff", SYNC, "--json", by="police")
    assert outcome.status == 5
    assert outcome.document["held"]
    (change,) = outcome.document["sides"][0]["changes"]
    assert (change["kind"], change["column"], change["holds"]) == ("narrowed", "name", True)
    assert county.run("exchange", "approve", SYNC, "--reason", "可以", by="chief").status == 3
    assert county.run("exchange", "approve", SYNC).status == 2
    told = county.ask("exchange", "approve", SYNC, "--reason", "已核实")
    assert [side["side"] for side in told["approved"]] == ["source"]
    assert told["by"] == "集成员"
    assert county.ask("run", SYNC)["run"]["state"] == "settled"


def test_what_is_noted_is_in_the_status(running_county: County) -> None:
    with running_county.database("police").begin() as connection:
        connection.exec_driver_sql("ALTER TABLE people ADD COLUMN phone VARCHAR(11)")
    assert "新增列 phone" in running_county.run("exchange", "diff", SYNC).out
    assert running_county.run("run", SYNC).status == 0
    assert "新增列 phone" in running_county.run("status").out


def test_an_unknown_exchange(county: County) -> None:
    outcome = county.run("exchange", "diff", "sync-none")
    assert outcome.status == 4
    assert "Traceback" not in outcome.err


def test_what_the_next_run_will_do(county: County) -> None:
    outcome = county.run("exchange", "plan", SYNC)
    assert outcome.status == 0
    assert "police › people" in outcome.out
    assert "看不到提供方的物理删除" in outcome.out
    told = county.ask("exchange", "plan", county.share, by="tax")
    assert (told["capture"], told["guarantee"], told["refresh"]) == ("journal", "exactly once", None)
    assert county.run("exchange", "plan", county.share, by="auditor").status == 3


def test_what_cannot_be_refreshed_is_told_when_it_is_described(county: County) -> None:
    for described, reason in (
        ({"id": county.share, "refresh": "full"}, "来源以 journal 方式读取"),
        ({"id": SYNC, "refresh": "full"}, "基础库的表由多方共用"),
        ({"id": county.share, "may_fall": 0.2}, "may_fall 只与 refresh: full 同用"),
    ):
        outcome = county.run("apply", county.file("refresh.yaml", {"exchanges": [described]}))
        assert outcome.status == 2
        assert reason in outcome.err
    outcome = county.run("run", county.share, "--accept-fall", "3")
    assert outcome.status == 2
    assert "没有行数下降可接受" in outcome.err
    assert county.run("run", "--due", "--accept-fall", "3").status == 2
