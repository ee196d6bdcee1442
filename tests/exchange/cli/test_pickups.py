"""Files followed at the terminal: what came, what was refused and why, what waits, what is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.cli.county import County
from tests.exchange.engine.licences import build, pdf
from tests.exchange.engine.test_files import Desk
from tests.exchange.engine.town import SYNC, Town, person


@pytest.fixture
def desk(town: Town, tmp_path: Path) -> Desk:
    root = tmp_path / "desk"
    root.mkdir()
    desk = Desk(town, root)
    desk.offer()
    desk.put("people_1.csv", person(1), person(2))
    desk.put("people_2.csv", person(1), person(2))
    desk.put("people_3.csv", person(3), broken=True)
    return desk


def test_from_the_drop_to_the_receipts(desk: Desk, town: Town) -> None:
    county = County(town.home)
    assert "people_1.csv" in county.run("files", "waiting", SYNC, by="police").out
    ran = county.run("run", SYNC)
    assert "退回文件 1 个，见 shutong files waiting" in ran.out
    county.run("run", town.share)
    found = county.ask("files", "list", by="police")["files"]
    assert [(file["name"], file["state"], file["rows"]) for file in found] == [
        ("people_3.csv", "refused", None),
        ("people_2.csv", "taken", 2),
        ("people_1.csv", "taken", 2),
    ]
    shown = county.run("files", "list", "--state", "已退回", by="police").out
    assert "people_3.csv" in shown
    assert "引号没有闭合" in shown
    assert "people_1.csv" not in shown
    assert "people" not in county.run("files", "list", by="tax").out
    assert county.run("files", "list", "--state", "gone", by="police").status == 2

    page = county.run("files", "show", "people_1.csv", by="police").out
    file = county.ask("files", "show", "people_1.csv", by="police")["file"]
    for text in (file["receipt"], file["onward"][0]["receipt"], file["file"]["digest"], "税务局", "内容与文件"):
        assert text in page
    assert county.run("files", "show", "people_9.csv", by="police").status != 0

    waiting = county.ask("files", "waiting", "desk", by="police")["files"]
    assert [(each["name"], each["refused"]) for each in waiting] == [("people_3.csv", True)]
    assert "shutong files retry" in county.run("files", "show", "people_3.csv", by="police").out
    number = found[0]["id"]
    assert county.ask("files", "retry", SYNC, "people_3.csv", by="police") == {
        "file": number,
        "exchange": SYNC,
        "state": "retry",
    }
    assert county.run("files", "retry", SYNC, "people_3.csv", by="police").status != 0
    assert county.ask("run", SYNC)["run"]["files"] == {"refused": 1}


def test_the_group_says_what_it_is_for(town: Town) -> None:
    assert "waiting" in County(town.home).run("files").out


def test_what_became_of_documents(town: Town, tmp_path: Path) -> None:
    licences = build(town, tmp_path)
    licences.drop((licences.row("1", "甲.pdf"), pdf("甲")))
    licences.run_all()
    county = County(town.home)
    page = county.run("files", "show", "1", by="police").out
    assert "送达的附件" in page
    assert "甲.pdf" in page
    assert "已送达" in page
    county.ask("files", "recall", licences.shares[0], "--document", "甲.pdf", "--reason", "误发", by="police")
    assert "已通知，待答复" in county.run("files", "show", "1", by="police").out
    [told] = county.ask("files", "show", "1", by="tax")["file"]["handovers"]
    assert (told["state"], told["name"], told["recall_state"]) == ("delivered", None, "notified")
