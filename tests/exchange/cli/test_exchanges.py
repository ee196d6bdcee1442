from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exchange.cli.county import SYNC, County, application, exchanged, founded, granted, published


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


TAXMAN = """
[actors.taxtech]
name = "税务集成员"
department = "11321200TE0000037U"
roles = ["integrator"]
"""


@pytest.fixture
def answering_county(tmp_path: Path) -> County:
    """The tax office's table has the state columns of a family, and its integrator is known."""
    county = published(founded(tmp_path))
    target = {"endpoint": "tax", "object": "person", "profile": "jiangsu"}
    file = county.file("answering.yaml", application(target=target))
    made = county.ask("application", "submit", file, by="tax")["applications"][0]
    county.ask("application", "decide", made["id"], "--approve", "--reason", "依法履职所需", by="chief")
    script = county.ask("endpoint", "prepare", county.share, "--sql", by="tax")["script"]
    with county.database("tax").begin() as connection:
        for statement in filter(str.strip, script.split(";\n")):
            connection.exec_driver_sql(statement.strip().rstrip(";"))
    settings = county.home / "shutong.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + TAXMAN, encoding="utf-8")
    return exchanged(county)


def test_what_the_recipient_made_of_it(answering_county: County) -> None:
    county = answering_county
    shown = county.run("exchange", "answers", county.share, by="tax")
    assert shown.status == 0
    assert "还没有读回过" in shown.out
    with county.database("tax").begin() as connection:
        connection.exec_driver_sql("UPDATE person SET sync_sign = '1'")
        failed = connection.exec_driver_sql("SELECT min(id_no) FROM person").scalar_one()
        text = "\x1b[31m查无此人"
        connection.exec_driver_sql(
            "UPDATE person SET sync_sign = '2', sync_error_desc = ? WHERE id_no = ?", (text, failed)
        )
    assert county.run("exchange", "answers", county.share, "--now", by="tax").status == 3
    assert county.run("exchange", "answers", county.share, "--now", "--rows").status == 3
    told = county.ask("exchange", "answers", county.share, "--now", "--rows", by="taxtech")["answers"]
    written = told["written"]
    assert told["addenda"][-1]["counts"] == {"new": 0, "done": written - 1, "failed": 1, "other": 0, "gone": 0}
    (row,) = told["failures"]
    assert (row["number"], row["key"], row["text"]) == (1, None, "\ufffd[31m查无此人")
    assert (told["open"], told["due_at"], told["why"]) == (False, None, None)
    shown = county.run("exchange", "answers", told["receipt"], "--keys", by="taxtech")
    assert "查无此人" in shown.out
    assert f"id_no={failed}" in shown.out
    assert "\x1b" not in shown.out
    shown = county.run("exchange", "answers", told["run"], by="police")
    assert (shown.status, "处理失败" in shown.out, failed in shown.out) == (0, True, False)
    refused = county.run("exchange", "answers", county.share, "--rows", by="police")
    assert (refused.status, "查无此人" in refused.out + refused.err) == (3, False)
    traced = county.ask("trace", told["run"], by="police")["answers"]
    assert [each["counts"] for each in traced] == [each["counts"] for each in told["addenda"]]
    assert "接收方处理结果" in county.run("trace", told["run"], by="police").out
    assert county.run("audit", "verify", by="auditor").status == 0


def test_answers_that_cannot_be_known(county: County) -> None:
    shown = county.run("exchange", "answers", SYNC, by="police")
    assert shown.status == 0
    assert "没有能读回的状态" in shown.out
    assert county.run("exchange", "answers", SYNC, "--now").status == 5
    assert county.run("exchange", "answers", "nothing").status == 4


def test_what_the_next_run_will_do(county: County) -> None:
    outcome = county.run("exchange", "plan", SYNC)
    assert outcome.status == 0
    assert "police › people" in outcome.out
    assert "看不到提供方的物理删除" in outcome.out
    told = county.ask("exchange", "plan", county.share, by="tax")
    assert (told["capture"], told["guarantee"], told["refresh"]) == ("journal", "exactly once", None)
    assert county.run("exchange", "plan", county.share, by="auditor").status == 0
    assert county.run("exchange", "plan", county.share, by="centre").status == 3


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


def test_what_is_split_is_run_by_its_number_alone(changing_county: County) -> None:
    county = changing_county
    for words in (("--due", "--parts", "2"), (county.share, "--parts", "2", "--redeliver")):
        outcome = county.run("run", *words)
        assert outcome.status == 2
        assert "--parts 不能与" in outcome.err
    assert county.run("run", county.share, "--parts", "1").status == 2
    outcome = county.run("run", county.share, "--parts", "2", "--json")
    assert (outcome.status, json.loads(outcome.out)["run"]["state"]) == (0, "settled")


def test_the_first_rows_are_shown_as_they_would_be_delivered(county: County) -> None:
    outcome = county.run("exchange", "preview", SYNC)
    assert outcome.status == 0, outcome.err
    assert "公民身份号码" in outcome.out
    told = county.ask("exchange", "preview", SYNC, "--rows", "1")
    assert len(told["rows"]) <= 1
    assert county.run("exchange", "preview", SYNC, by="tax").status == 3
