from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.cli.county import CODE, RESOURCE, County


@pytest.fixture
def drafted(founded_county: County) -> County:
    """The police have registered their resource."""
    founded_county.ask("resource", "register", founded_county.file("people.yaml", RESOURCE), by="police")
    return founded_county


def state(county: County, by: str = "police") -> str:
    return str(county.ask("resource", "show", CODE, by=by)["state"])


def test_each_word_means_the_review_that_is_next(drafted: County) -> None:
    said = [
        drafted.run("resource", verb, CODE, by=by).out
        for verb, by in (("submit", "police"), ("agree", "chief"), ("submit", "police"), ("agree", "centre"))
    ]
    done = [line.split("：")[1].split("，")[0] for line in said]
    assert done == ["提交注册", "注册审核通过", "提交发布", "发布审核通过"]
    assert "状态由“草稿”变为“待注册审核”" in said[0]
    assert "等待提供部门的审核员审核" in said[0]
    assert "其他部门现在可以检索和申请" in said[3]
    assert state(drafted) == "published"
    assert [entry["code"] for entry in drafted.ask("search", "人口", by="tax")["resources"]] == [CODE]


def test_refused_given_back_and_taken_back(drafted: County) -> None:
    def moved(*words: str, by: str) -> Any:
        return drafted.ask("resource", *words, by=by)["after"]

    assert moved("submit", CODE, by="police") == "registering"
    assert moved("recall", CODE, by="police") == "draft"
    assert moved("submit", CODE, by="police") == "registering"
    assert moved("reject", CODE, "--return", "--reason", "补充长度", by="chief") == "returned"
    assert moved("submit", CODE, by="police") == "registering"
    assert moved("reject", CODE, "--reason", "共享条件不具体", by="chief") == "registration_rejected"
    assert moved("discard", CODE, by="police") == "discarded"
    history = drafted.ask("resource", "history", CODE, by="police")["history"]
    assert [step["opinion"] for step in history if step["opinion"]] == ["补充长度", "共享条件不具体"]
    assert "共享条件不具体" in drafted.run("resource", "history", CODE, by="police").out


def test_three_people(drafted: County) -> None:
    drafted.ask("resource", "submit", CODE, by="police")
    assert drafted.run("resource", "agree", CODE, by="police").status == 3
    assert drafted.run("resource", "agree", CODE, by="centre").status == 3
    assert drafted.run("resource", "agree", CODE, by="tax").status in (3, 4)


def test_the_wrong_moment(drafted: County) -> None:
    outcome = drafted.run("resource", "agree", CODE, by="chief")
    assert outcome.status == 5
    assert "提交注册" in outcome.err
    assert drafted.run("resource", "reject", CODE, by="chief").status == 2


def test_taken_down(changing_county: County) -> None:
    outcome = changing_county.run("resource", "withdraw", CODE, "--reason", "停止更新", by="centre")
    assert outcome.status == 0
    assert state(changing_county) == "withdrawn"
    grants = changing_county.ask("grant", "list", by="chief")["grants"]
    assert {grant["state"] for grant in grants} == {"revoked"}


def test_a_new_version_is_seen_when_it_is_in_force(changing_county: County) -> None:
    county = changing_county
    changed = {**RESOURCE, "name": "人口信息"}
    told = county.ask("resource", "register", county.file("people.yaml", changed), by="police")["registered"][0]
    assert (told["action"], told["version"], told["version_in_force"]) == ("revise", 2, 1)
    assert county.ask("resource", "show", CODE, by="police")["version"] == 2
    assert county.ask("resource", "show", CODE, by="tax")["version"] == 1
    assert county.run("resource", "show", CODE, "--version", "2", by="tax").status == 4
    assert county.ask("resource", "list", by="tax")["resources"][0]["name"] == "人口基本信息"
    assert county.run("resource", "history", CODE, by="tax").status == 3
    words = county.run("resource", "difference", CODE, by="police").out
    assert words.splitlines() == ["第 1 版与第 2 版：", "  • 信息资源名称由“人口基本信息”改为“人口信息”"]
    told = county.ask("resource", "difference", CODE, "--from", "2", "--to", "1", by="police")
    assert (told["from"], told["to"], len(told["changes"])) == (2, 1, 1)
    assert county.run("resource", "difference", CODE, by="tax").out.splitlines()[1] == "  没有差别"
    assert county.run("resource", "show", CODE, "--version", "9", by="police").status == 4
