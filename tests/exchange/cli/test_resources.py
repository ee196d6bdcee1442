from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import yaml

from tests.exchange.cli.county import CODE, POLICE, RESOURCE, County


@pytest.fixture
def drafted(founded_county: County) -> County:
    """The police have registered their resource."""
    founded_county.ask("resource", "register", founded_county.file("people.yaml", RESOURCE), by="police")
    return founded_county


def state(county: County, by: str = "police") -> str:
    return str(county.ask("resource", "show", CODE, by=by)["state"])


class TestRegistration:
    def test_from_a_file(self, founded_county: County) -> None:
        outcome = founded_county.run("resource", "register", founded_county.file("p.yaml", RESOURCE), by="police")
        assert outcome.status == 0
        assert f"已登记资源 {CODE}（人口基本信息），草稿" in outcome.out
        assert f"shutong resource submit {CODE}" in outcome.out

    def test_the_same_again_changes_nothing(self, drafted: County) -> None:
        told = drafted.ask("resource", "register", drafted.file("people.yaml", RESOURCE), by="police")
        assert told["registered"][0]["action"] is None
        outcome = drafted.run("resource", "register", drafted.file("people.yaml", RESOURCE), by="police")
        assert "未作改动" in outcome.out
        assert "下一步" not in outcome.out

    def test_a_change_says_what_changed(self, drafted: County) -> None:
        changed = {**RESOURCE, "name": "人口信息"}
        outcome = drafted.run("resource", "register", drafted.file("people.yaml", changed), by="police")
        assert "  • 信息资源名称由“人口基本信息”改为“人口信息”" in outcome.out

    def test_everything_wrong_at_once_in_the_clerks_terms(self, founded_county: County) -> None:
        faults = {"share_type": "随便", "update_cycle": "有空", "colour": "红", "key": ["nothing"]}
        file = founded_county.file("p.yaml", {**RESOURCE, **faults})
        outcome = founded_county.run("resource", "register", file, "--json", by="police")
        assert outcome.status == 2
        told = outcome.document["error"]
        assert len(told["problems"]) >= 4
        assert all(problem["where"].startswith(f"资源 {CODE}") for problem in told["problems"])
        assert founded_county.run("resource", "show", CODE, by="police").status == 4

    def test_only_ones_own_departments(self, founded_county: County) -> None:
        file = founded_county.file("p.yaml", RESOURCE)
        assert founded_county.run("resource", "register", file, by="tax").status == 3
        assert founded_county.run("resource", "register", file, by="chief").status == 3

    def test_several_in_one_file_all_looked_at_first(self, founded_county: County) -> None:
        second = {**RESOURCE, "code": "101001001/0002", "name": "人口变更"}
        wrong = founded_county.file("two.yaml", {"resources": [RESOURCE, {**second, "update_cycle": "有空"}]})
        assert founded_county.run("resource", "register", wrong, by="police").status == 2
        assert founded_county.ask("resource", "list", by="police")["resources"] == []
        right = founded_county.file("two.yaml", {"resources": [RESOURCE, second]})
        assert len(founded_county.ask("resource", "register", right, by="police")["registered"]) == 2

    def test_what_is_worth_a_second_look_is_told_beside(self, founded_county: County) -> None:
        name = {**RESOURCE["items"][1], "grade": "none"}
        items = [RESOURCE["items"][0], name, *RESOURCE["items"][2:]]
        file = founded_county.file("p.yaml", {**RESOURCE, "items": items})
        (warning,) = founded_county.ask("resource", "register", file, by="police")["registered"][0]["warnings"]
        outcome = founded_county.run("resource", "register", file, by="police")
        assert outcome.status == 0
        assert outcome.err == f"注意：{warning['where']}: {warning['message']}（{warning['remedy']}）\n"


class TestForm:
    def test_an_empty_form_is_filled_in_and_registered(self, founded_county: County) -> None:
        form = founded_county.run("resource", "form", by="police")
        assert form.status == 0
        rows = list(csv.reader(io.StringIO(form.out.removeprefix("\ufeff"))))
        filled = {
            "信息资源名称": "人口基本信息", "信息资源代码": CODE, "信息资源提供方代码": POLICE, "信息资源摘要": "姓名",
            "信息资源格式": "数据库/SQLite", "共享类型": "有条件共享", "共享条件": "依法履职", "共享方式": "数据库",
            "更新周期": "每日", "端点": "police", "表、操作或文件": "people",
        }  # fmt: skip
        for row in rows:
            if row and row[0] in filled:
                row[1] = filled.pop(row[0])
        assert filled == {}
        head = rows[-1]
        item = {
            "信息项名称": "公民身份号码", "英文名称": "id_no", "数据类型": "字符型", "长度": "18", "是否必填": "是",
            "业务主键": "是",
        }  # fmt: skip
        rows.append([item.get(name, "") for name in head])
        out = io.StringIO()
        csv.writer(out).writerows(rows)
        path = founded_county.home.parent / "登记表.csv"
        path.write_bytes(out.getvalue().encode("gb18030"))
        told = founded_county.ask("resource", "register", str(path), by="police")
        assert told["registered"][0]["code"] == CODE

    def test_a_form_with_the_items_of_a_class(self, first_county: County) -> None:
        assert "证照" in first_county.run("resource", "form", "--class", "licence", by="police").out
        outcome = first_county.run("resource", "form", "--class", "case", by="police")
        assert outcome.status == 2
        assert "有多张数据表" in outcome.err
        assert first_county.run("resource", "form", "--class", "person", by="police").status == 4
        assert first_county.run("resource", "form", "--class", "licence", "--table", "x", by="police").status == 4

    def test_a_form_that_is_none(self, founded_county: County) -> None:
        path = founded_county.home.parent / "登记表.xlsx"
        path.write_bytes(b"PK\x03\x04")
        outcome = founded_county.run("resource", "register", str(path), by="police")
        assert outcome.status == 2
        assert "另存为 CSV" in outcome.err


class TestFromTable:
    def test_a_draft_to_be_completed_and_registered(self, founded_county: County, tmp_path: Path) -> None:
        outcome = founded_county.run(
            "resource", "from-table", "police", "people", "--class-code", "101001001", "--name", "人口", by="police"
        )
        assert outcome.status == 0
        draft = yaml.safe_load(outcome.out)
        assert draft["code"] == CODE
        assert draft["key"] == ["id_no"]
        assert [item["name"] for item in draft["items"]] == ["id_no", "name", "district", "ver"]
        refused = founded_county.run("resource", "register", founded_county.file("d.yaml", outcome.out), by="police")
        assert refused.status == 2
        assert "不予共享依据" in refused.err
        draft |= {"share_type": 2, "share_condition": "依法履职", "share_ways": ["database"]}
        founded_county.ask("resource", "register", founded_county.file("d.yaml", draft), by="police")

    def test_for_programs_and_with_a_code(self, first_county: County) -> None:
        told = first_county.ask("resource", "from-table", "police", "people", "--code", "101001002/0007", by="police")
        assert told["resource"]["code"] == "101001002/0007"
        assert told["resource"]["name"] == "people"

    @pytest.mark.parametrize(
        ("words", "status", "told"),
        [
            (["police", "people"], 2, "缺少资源代码"),
            (["police", "peopel", "--code", CODE], 2, "没有表 peopel"),
            (["polise", "people", "--code", CODE], 4, "police"),
            (["police", "people", "--class-code", "9"], 2, "不能由此编代码"),
        ],
    )
    def test_what_does_not_exist(self, first_county: County, words: list[str], status: int, told: str) -> None:
        outcome = first_county.run("resource", "from-table", *words, by="police")
        assert outcome.status == status
        assert told in outcome.err


class TestReading:
    def test_a_draft_is_for_its_provider_and_the_centre(self, drafted: County) -> None:
        for by in ("police", "chief", "centre", "integrator"):
            assert state(drafted, by) == "draft"
        assert drafted.run("resource", "show", CODE, by="tax").status == 4
        assert drafted.ask("resource", "list", by="tax")["resources"] == []
        assert len(drafted.ask("resource", "list", "--state", "draft", by="police")["resources"]) == 1
        assert drafted.ask("resource", "list", "--published", by="police")["resources"] == []

    def test_one_resource_whole(self, county: County) -> None:
        told = county.ask("resource", "show", CODE, by="tax")
        assert told["resource"]["offer"]["object"] == "people"
        shown = county.run("resource", "show", CODE, by="tax").out
        for text in ("人口基本信息", "有条件共享", "公民身份号码", "字符型", "资源挂接", "每日"):
            assert text in shown

    def test_lists(self, county: County) -> None:
        for words in ([], ["--provider", "公安"], ["--state", "published"]):
            assert [each["code"] for each in county.ask("resource", "list", *words, by="tax")["resources"]] == [CODE]
        for words in (["--provider", "税务"], ["--state", "draft"], ["--class", "licence"]):
            assert county.ask("resource", "list", *words, by="tax")["resources"] == []
        assert "有条件共享" in county.run("resource", "list").out
