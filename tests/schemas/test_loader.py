from __future__ import annotations

from pathlib import Path

import pytest

import schemas
from schemas import SchemaError
from tests.schemas.conftest import Lay

FIFTH = """
name: zhejiang
label: 某省前置库
source: 某省标准
capture: outbox
state: {column: FLAG, new: [null], fresh: null, done: "Y", failed: "N"}
error_table: "{table}_bad"
identifier_case: upper
"""

SEVENTH = """
name: geography
label: 地理空间信息
source: 某省标准
tables:
  - name: places
    label: 地名
    key: [place_no]
    version: update_time
    items:
      - {name: place_no, label: 地名编号, type: C, length: 20, mandatory: true}
      - {name: kind, label: 地名类别, type: C, length: 2, code_list: place_kind}
      - {name: task_code, label: 实施编码, type: C, length: 36, reference: service_item}
      - {name: update_time, label: 更新时间, type: T, mandatory: true}
"""

KINDS = """
name: place_kind
label: 地名类别
source: 某省标准
codes: {01: 山, 02: 水}
"""


def refused(folder: Path) -> tuple[str, ...]:
    with pytest.raises(SchemaError) as caught:
        schemas.use_folders([folder])
    return caught.value.problems


def test_what_is_shipped() -> None:
    assert set(schemas.record_classes()) == {
        "natural_person", "legal_person", "licence", "investment_project", "service_item", "case",
    }  # fmt: skip
    assert set(schemas.profiles()) == {"national", "jiangsu", "guangdong", "shandong"}
    assert {"sex", "guangdong_result", "shandong_result"} <= set(schemas.code_lists())


def test_files_are_read_once() -> None:
    assert schemas.record_class("case") is schemas.record_class("case")


def test_what_is_handed_out_can_be_changed_without_harm() -> None:
    schemas.profiles().clear()
    assert schemas.profile("jiangsu").name == "jiangsu"


@pytest.mark.parametrize(
    ("ask", "wrong", "right"),
    [
        (schemas.record_class, "natural_persn", "natural_person"),
        (schemas.code_list, "shandong_results", "shandong_result"),
        (schemas.profile, "Jiang_su", "jiangsu"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(ask: object, wrong: str, right: str) -> None:
    assert callable(ask)
    with pytest.raises(SchemaError, match=f"“{wrong}”.*您是不是要写 {right}；现有：") as caught:
        ask(wrong)
    assert len(caught.value.problems) == 1


def test_a_fifth_profile_and_a_seventh_class_need_no_code(lay: Lay) -> None:
    lay("profiles/zhejiang.yaml", FIFTH)
    lay("codelists/place_kind.yaml", KINDS)
    schemas.use_folders([lay("classes/geography.yaml", SEVENTH)])
    assert len(schemas.profiles()) == 5
    assert len(schemas.record_classes()) == 7
    state = schemas.profile("zhejiang").state
    assert state is not None
    assert (state.column, state.new, state.fresh) == ("FLAG", (None,), None)
    places = schemas.record_class("geography").tables[0]
    assert schemas.arrow_schema(places.items).names == ["place_no", "kind", "task_code", "update_time"]
    assert schemas.code_list("place_kind").codes == {"01": "山", "02": "水"}
    schemas.use_folders([])
    assert "geography" not in schemas.record_classes()


def test_several_folders_may_depend_on_each_other(lay: Lay) -> None:
    home = lay("one/classes/geography.yaml", SEVENTH)
    lay("two/codelists/place_kind.yaml", KINDS)
    schemas.use_folders([home / "one", home / "two"])
    assert "geography" in schemas.record_classes()


def test_a_refused_folder_changes_nothing(lay: Lay) -> None:
    good = lay("good/profiles/zhejiang.yaml", FIFTH) / "good"
    schemas.use_folders([good])
    bad = lay("bad/profiles/zhejiang2.yaml", FIFTH) / "bad"
    assert refused(bad)
    assert "zhejiang" in schemas.profiles()


def test_a_corrected_file_is_read_again(lay: Lay) -> None:
    folder = lay("profiles/zhejiang.yaml", FIFTH.replace("outbox", "inbox"))
    assert refused(folder)
    lay("profiles/zhejiang.yaml", FIFTH)
    schemas.use_folders([folder])
    assert "zhejiang" in schemas.profiles()


def test_everything_wrong_is_told_at_once_with_file_and_line(lay: Lay) -> None:
    text = """name: geography
label: 1
source: 某省标准
tabels: []
tables:
  - name: places
    label: 地名
    key: [place_no]
    items:
      - {name: place_no, label: 地名编号, type: Z, length: "20", mandatory: yes}
"""
    lay("profiles/zhejiang.yaml", FIFTH.replace("label: 某省前置库\n", ""))
    problems = refused(lay("classes/geography.yaml", text))
    told = "\n".join(problems)
    assert len(problems) == 6
    assert "classes/geography.yaml 第 2 行 label: 应为文字，数字请加引号" in told
    assert "第 4 行 tabels: 不认识此项，您是不是要写 tables" in told
    assert "第 10 行 tables › 1 › items › 1 › type: 只能是 'C', 'N'" in told
    assert "items › 1 › length: 应为整数" in told
    assert "items › 1 › mandatory: 应为 true 或 false" in told
    assert "profiles/zhejiang.yaml 第 2 行 label: 缺少此项" in told


def test_an_item_that_contradicts_itself_is_told_in_words(lay: Lay) -> None:
    text = SEVENTH.replace("type: C, length: 20", "type: C, length: 20, scale: 2")
    assert any("小数位只用于数值型 N 和货币型 Y" in problem for problem in refused(lay("classes/geography.yaml", text)))


def test_files_that_do_not_fit_together_are_told_by_line(lay: Lay) -> None:
    problems = refused(lay("classes/geography.yaml", SEVENTH))
    assert len(problems) == 1
    assert "classes/geography.yaml 第 12 行 tables › 1 › items › 2 › code_list: 没有代码表“place_kind”" in problems[0]


@pytest.mark.parametrize(
    ("place", "text", "expected"),
    [
        ("profiles/jiangsu.yaml", FIFTH.replace("zhejiang", "jiangsu"), "“jiangsu”已用于 profiles/jiangsu.yaml"),
        ("profiles/other.yaml", FIFTH, "名称“zhejiang”应与文件名“other”一致"),
        ("profiles/zhejiang.yml", FIFTH, "文件名应以 .yaml 结尾"),
        ("profiles/zhejiang.yaml", FIFTH + "\nname: again", "“name”写了两次"),
        ("profiles/zhejiang.yaml", FIFTH + "\nx: !!python/object/apply:os.system [id]", "标签"),
        ("profiles/zhejiang.yaml", FIFTH + "\nx: &a [1]\ny: [*a, *a]", "引用"),
        ("profiles/zhejiang.yaml", "- a\n- b", "应为"),
        ("profiles/zhejiang.yaml", "", "应为"),
        ("profile/zhejiang.yaml", FIFTH, "不认识的文件夹，您是不是要写 profiles"),
        ("readme.txt", "", "没有 classes、codelists、profiles 任何一个文件夹"),
    ],
)
def test_hostile_and_mistaken_files_are_refused(lay: Lay, place: str, text: str, expected: str) -> None:
    problems = refused(lay(place, text))
    assert any(expected in problem for problem in problems), problems
    assert all(problem.isprintable() for problem in problems)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "schema_folders" in refused(tmp_path / "none")[0]


def test_a_folder_named_like_a_file_is_told(lay: Lay) -> None:
    folder = lay("profiles/zhejiang.yaml/x", "")
    assert "读不了" in refused(folder)[0]


def test_hidden_files_and_notes_beside_the_folders_do_no_harm(lay: Lay) -> None:
    lay("profiles/.zhejiang.yaml.swp", "\x00")
    lay("README.md", "说明")
    schemas.use_folders([lay("profiles/zhejiang.yaml", FIFTH)])
    assert "zhejiang" in schemas.profiles()
