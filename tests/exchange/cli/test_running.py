from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.exchange.cli.county import CODE, NAMES, SYNC, County, founded, granted, person, published

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def ready_county(tmp_path: Path) -> County:
    """Everything is granted and prepared, people are reported, and nothing has moved; with databases of its own."""
    county = granted(published(founded(tmp_path)))
    report(county, range(9))
    return county


def report(county: County, numbers: range, **changes: object) -> None:
    table = sa.table("people", *map(sa.column, NAMES))
    with county.database("police").begin() as connection:
        connection.execute(sa.insert(table), [{**person(number), **changes} for number in numbers])


def held(county: County) -> list[str]:
    with county.database("tax").connect() as connection:
        return sorted(connection.execute(sa.text("SELECT name FROM person")).scalars())


def test_one_exchange_after_the_other(ready_county: County) -> None:
    county = ready_county
    outcome = county.run("run", SYNC)
    assert outcome.status == 0
    assert f"交换 {SYNC}：已办结" in outcome.out
    assert "追溯：shutong trace" in outcome.out
    told = county.ask("run", county.share)["run"]
    assert told["counts"] == {
        "read": 9, "filtered": 3, "refused": 0, "unchanged": 0, "superseded": 0, "written": 6, "deleted": 0,
    }  # fmt: skip
    assert (told["kind"], told["way"], told["resource"], told["state"]) == ("sharing", "database", CODE, "settled")
    assert told["receipt"].startswith("R")
    assert held(county) == ["测**"] * 6


def test_what_is_due(ready_county: County) -> None:
    told = ready_county.ask("run", "--due")
    assert [run["kind"] for run in told["runs"]] == ["synchronisation", "sharing"]
    assert ready_county.ask("run", "--due")["runs"] == []
    assert ready_county.run("run", "--due").out == "没有到期的交换。\n"


def test_one_that_fails_does_not_keep_the_others(ready_county: County) -> None:
    with ready_county.database("police").begin() as connection:
        connection.exec_driver_sql("DROP TABLE people")
    outcome = ready_county.run("run", "--due", "--json")
    first, second = outcome.document["runs"]
    assert first["exchange"] == SYNC
    assert first["error"]["message"]
    assert second["state"] == "settled"
    assert outcome.status != 0
    assert outcome.err == ""


def test_what_did_not_go_is_told_to_people_too(ready_county: County) -> None:
    with ready_county.database("police").begin() as connection:
        connection.exec_driver_sql("DROP TABLE people")
    outcome = ready_county.run("run", "--due")
    assert outcome.status != 0
    assert f"{SYNC}: 错误：" in outcome.out
    assert "未执行" in outcome.out


def test_a_run_that_delivers_nothing_does_not_end_well(ready_county: County) -> None:
    report(ready_county, range(100, 105), name=None)
    outcome = ready_county.run("run", "--due", "--json")
    assert outcome.status == 7
    assert [run["state"] for run in outcome.document["runs"]] == ["stopped", "settled"]
    assert outcome.document["runs"][0]["reasons"]
    outcome = ready_county.run("run", SYNC)
    assert outcome.status == 7
    assert "拒收过多，未交付" in outcome.out


def test_a_suspended_grant(ready_county: County) -> None:
    county = ready_county
    county.ask("grant", "suspend", county.grant, "--reason", "核查", by="chief")
    assert [run["kind"] for run in county.ask("run", "--due")["runs"]] == ["synchronisation"]
    outcome = county.run("run", county.share)
    assert outcome.status in (3, 5)
    assert "中止" in outcome.err
    assert held(county) == []


def test_delivered_again(ready_county: County) -> None:
    county = ready_county
    county.ask("run", "--due")
    with county.database("tax").begin() as connection:
        for table in ("person", "shutong_ledger", "shutong_epoch"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    assert county.run("run", county.share).status == 7
    assert county.ask("run", county.share, "--redeliver")["run"]["counts"]["written"] == 6


@pytest.mark.parametrize(
    ("words", "status"),
    [([], 2), (["--due", SYNC], 2), (["sync-none"], 4)],
)
def test_which_exchange(county: County, words: list[str], status: int) -> None:
    assert county.run("run", *words).status == status
    assert "Traceback" not in county.run("run", *words).err


def test_only_who_runs_exchanges(county: County) -> None:
    outcome = county.run("run", SYNC, by="police")
    assert outcome.status == 3
    assert "集成工程师" in outcome.err


def test_how_they_stand(county: County) -> None:
    told = county.ask("status", by="police")["exchanges"]
    assert [each["kind"] for each in told] == ["synchronisation", "sharing"]
    assert told[0]["counts"]["refused"] == 1
    assert told[0]["ended_at"].endswith("+00:00")
    shown = county.run("status", by="tax").out
    assert "公安 → 税务" in shown
    assert "已办结" in shown


def test_only_the_parties_see_them(county: County) -> None:
    assert [each["id"] for each in county.ask("status", by="tax")["exchanges"]] == [county.share]
    assert [each["id"] for each in county.ask("status", by="centre")["exchanges"]] == [SYNC]
    assert len(county.ask("status", by="auditor")["exchanges"]) == 2


def test_a_hub_without_exchanges(first_county: County) -> None:
    assert "还没有交换" in first_county.run("status").out


def test_progress_is_shown_to_a_person_and_never_in_the_answer(ready_county: County) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "exchange.cli", "--home", str(ready_county.home), "--as", "integrator"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    with subprocess.Popen(
        [*words, "run", SYNC, "--json"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = read_to_the_end(ours)
        out, _err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["run"]["state"] == "settled"
    assert SYNC in shown
    assert "测试" not in shown


def read_to_the_end(terminal: int) -> str:
    shown, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    return shown.decode("utf-8", "replace")
