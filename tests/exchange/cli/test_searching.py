from __future__ import annotations

import pytest

from tests.exchange.cli.county import CODE, POLICE, RESOURCE, County, published


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], 1),
        (["人口"], 1),
        (["人口", "身份号码"], 1),
        (["法人"], 0),
        (["人口", "--provider", "公安"], 1),
        (["人口", "--provider", "税务"], 0),
        (["--share-type", "有条件"], 1),
        (["--share-type", "1"], 0),
        (["--way", "库表"], 1),
        (["--way", "file"], 0),
        (["--cycle", "每日"], 1),
        (["--cycle", "yearly"], 0),
        (["--under", "101"], 1),
        (["--under", "102"], 0),
        (["--class", "licence"], 0),
    ],
)
def test_what_is_found(county: County, words: list[str], found: int) -> None:
    assert len(county.ask("search", *words, by="tax")["resources"]) == found


def test_what_cannot_be_searched_for(county: County) -> None:
    assert county.run("search", "人", by="tax").status == 2
    assert county.run("search", "--share-type", "随便", by="tax").status == 2
    assert county.run("search", "--provider", "没有", by="tax").status == 4
    assert "没有找到" in county.run("search", "法人", by="tax").out


def test_page_by_page(founded_county: County) -> None:
    county = published(founded_county)
    second = {**RESOURCE, "code": "101001001/0002", "name": "人口变更信息", "offer": None}
    county.ask("resource", "register", county.file("second.yaml", second), by="police")
    for verb, by in (("submit", "police"), ("agree", "chief"), ("submit", "police"), ("agree", "centre")):
        county.ask("resource", verb, second["code"], by=by)
    first = county.ask("search", "人口", "--limit", "1", by="tax")
    assert first["cursor"]
    rest = county.ask("search", "人口", "--limit", "1", "--cursor", first["cursor"], by="tax")
    assert rest["cursor"] is None
    assert {page["resources"][0]["code"] for page in (first, rest)} == {CODE, second["code"]}
    assert f"--cursor {first['cursor']}" in county.run("search", "人口", "--limit", "1", by="tax").out


def test_the_list_of_responsibility(county: County, founded_county: County) -> None:
    told = county.ask("responsibility", "公安", by="tax")
    assert told["department"]["code"] == POLICE
    assert [entry["code"] for entry in told["resources"]] == [CODE]
    assert "某市公安局的责任清单" in county.run("responsibility", POLICE, by="tax").out
    founded_county.ask("resource", "register", founded_county.file("people.yaml", RESOURCE), by="police")
    assert len(founded_county.ask("responsibility", "公安", by="police")["resources"]) == 1
    assert founded_county.ask("responsibility", "公安", by="tax")["resources"] == []


def test_the_list_of_demand(county: County) -> None:
    assert county.ask("demand", "list", "--state", "open", by="tax")["demands"] == []
    assert county.run("demand", "list", "--department", "税务", by="tax").out == "没有需求。\n"
