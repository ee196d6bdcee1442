from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.comparison import difference
from catalog.errors import Rejected
from catalog.model import Offer
from catalog.reading import read_resource
from catalog.sheet import read_sheet, write_sheet
from catalog.validation import problems
from schemas import record_class
from tests.catalog.conftest import CODE, POLICE, person

FILLED = f"""政务信息资源目录登记表,,
信息资源名称 *,户籍人口基本信息,必填
信息资源代码,{CODE}
信息资源分类,101001001；201001
信息资源提供方代码,{POLICE}
信息资源摘要,"本市户籍人口的姓名、
公民身份号码"
信息资源格式,数据库/PostgreSQL; 电子表格/xlsx
共享类型,有条件共享
共享条件,用于核对申请人身份
共享方式,数据库；文件下载
是否向社会开放,否
更新周期,每日
端点,police-front
"表、操作
或文件",person
,,
信息项名称,英文名称,数据类型,长度, 是否必填 ,校验规则,"个人信息
等级",业务主键,版本项,来源字段
公民身份号码,id_number,字符型,18,是,公民身份号码,敏感个人信息,是,,GMSFHM
姓名,name,C,64,是,,个人信息,否,,XM
,,,,,,,,,
更新时间,updated,日期时间型,,是,,,,是,GXSJ
"""


def rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_filled_form_is_read_as_spreadsheets_save_it(encoding: str) -> None:
    form = read_sheet(FILLED.encode(encoding))
    assert form.problems == ()
    draft = read_resource(form)
    assert problems(draft) == ()
    resource = draft.resource
    assert (resource.code, resource.share_type, resource.share_ways) == (CODE, 2, ("database", "file"))
    assert resource.classes == ("101001001", "201001")
    assert resource.formats == ("数据库/PostgreSQL", "电子表格/XLSX")
    assert resource.abstract == "本市户籍人口的姓名、\n公民身份号码"
    assert [(item.name, item.type, item.length, item.grade) for item in resource.items] == [
        ("id_number", "C", 18, "sensitive"),
        ("name", "C", 64, "personal"),
        ("updated", "T", None, "none"),
    ]
    assert (resource.key, resource.version_item) == (("id_number",), "updated")
    assert resource.offer is not None
    assert resource.offer.columns == {"id_number": "GMSFHM", "name": "XM", "updated": "GXSJ"}


def test_rare_characters_survive_both_encodings() -> None:
    for encoding in ("utf-8", "gb18030"):
        form = read_sheet(FILLED.replace("户籍人口", "𠮷䶮户籍人口").encode(encoding))
        assert form.given["name"] == "𠮷䶮户籍人口基本信息"


def test_items_of_a_class_need_only_their_names() -> None:
    head = FILLED.partition("信息项名称")[0]
    text = f"{head}数据类别,natural_person\n数据表,population\n信息项名称,业务主键\n公民身份号码,是\n姓名,\n更新时间,\n"
    resource = read_resource(read_sheet(text.encode())).resource
    assert [item.name for item in resource.items] == ["identity_number", "name", "update_time"]
    assert (resource.key, resource.version_item) == (("identity_number",), "update_time")


def test_a_form_written_from_a_resource_reads_as_the_same() -> None:
    whole = person(
        classes=["101001001", "201"], provider="市公安局", related=["101001001/0002"], open_to_public=True,
        open_condition="无条件", share_ways=["database", "medium"], share_ways_note="一\n二", legal_basis="《档案法》",
        items=[*person()["items"], {"name": "amount", "label": "金额", "type": "Y", "length": 20, "scale": 4,
                "share_type": 3},
               {"name": "scan", "label": "证照文件", "type": "G", "document": True, "grade": "personal"}],
    )  # fmt: skip
    whole["offer"] = {
        "endpoint": "police-front", "object": "person", "capture": "watermark", "profile": "jiangsu",
        "served": "provider", "columns": {"id_number": "GMSFHM"},
        "options": {"after": "leave", "每批": 5, "of": ["一", None]},
    }  # fmt: skip
    resource = read_resource(whole).resource
    assert resource.offer is not None
    assert [name for name in Offer.model_fields if not getattr(resource.offer, name)] == [], "each is written"
    again = read_resource(read_sheet(write_sheet(resource)))
    assert again.problems == ()
    assert difference(resource, again.resource) == ()


def test_an_empty_form_can_be_filled_for_a_class() -> None:
    table = record_class("natural_person").tables[0]
    form = read_sheet(write_sheet(table=table))
    assert form.problems == ()
    assert [entry["name"] for entry in form.given["items"]] == [item.name for item in table.items]
    assert form.given["key"] == list(table.key)
    blank = rows(write_sheet())
    assert blank[0] == ["政务信息资源目录登记表"]
    assert blank[-1][:2] == ["信息项名称", "英文名称"]


def test_every_fault_of_the_form_is_told_with_its_line() -> None:
    text = FILLED.replace("共享条件,", "共享条见,").replace("更新周期,每日", "共享类型,每日")
    text = text.replace("数据类型,长度", "数据类性,长度,长度").replace("64,是,,个人信息,否", "64,64,是,,个人信息,可能")
    form = read_sheet(text.encode())
    told = {problem.where: problem for problem in form.problems}
    assert told["登记表 › 第 9 行"].message == "不认识的项“共享条见”"
    assert "共享条件" in told["登记表 › 第 9 行"].remedy
    assert told["登记表 › 第 12 行"].message == "“共享类型”写了两次"
    messages = [problem.message for problem in form.problems]
    assert "不认识的列“数据类性”" in messages
    assert "列“长度”有 2 个" in messages
    assert "“业务主键”应为是或否" in messages


def test_the_faults_of_the_form_and_of_what_it_says_are_told_together() -> None:
    form = read_sheet(FILLED.replace("更新周期", "更薪周期").replace(CODE, "1010").encode())
    messages = [problem.message for problem in problems(read_resource(form))]
    assert messages[0] == "不认识的项“更薪周期”"
    assert {"缺少", "不合代码规则"} <= set(messages)


@pytest.mark.parametrize("options", ["[1]", "{", "x", "[" * 50_000])
def test_options_that_are_none_are_told(options: str) -> None:
    form = read_sheet(FILLED.replace("\n端点,", f'\n选项,"{options}"\n端点,').encode())
    assert [problem.message for problem in form.problems] == ["选项不是 JSON 对象"]


def test_a_line_without_an_item_name_and_two_versions_are_told() -> None:
    text = FILLED.replace("姓名,name,C,64,是,,个人信息,否,,XM", ",,C,64,是,,个人信息,否,,XM").replace(
        "是,,GMSFHM", "是,是,GMSFHM"
    )
    assert [problem.message for problem in read_sheet(text.encode()).problems] == ["缺少信息项名称", "版本项有 2 个"]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0rest", "信息资源名称,x".encode("utf-16"), b"\xff\xff\xff\x80",
        b"a,b\n1,2\n", b"x" * 5_000_001, b'"' + b"x" * 200_000,
    ],
)  # fmt: skip
def test_a_file_that_is_no_form_is_told_so(content: bytes) -> None:
    form = read_sheet(content)
    assert form.given == {}
    assert form.problems
    assert all(problem.remedy for problem in form.problems)


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(content: bytes) -> None:
    draft = read_resource(read_sheet(content))
    assert draft.problems


@given(st.text(max_size=200))
def test_any_text_after_the_first_line_is_answered(text: str) -> None:
    form = read_sheet(f"信息资源名称,甲\n{text}\n信息项名称,英文名称\n乙,b\n".encode(errors="replace"))
    assert read_resource(form).problems


@pytest.mark.parametrize("name", ["=1+1", "+86", "-x", "@SUM(A1)"])
def test_no_cell_is_taken_for_a_formula(name: str) -> None:
    resource = read_resource(person(name=name, abstract=name)).resource
    content = write_sheet(resource)
    assert not [cell for row in rows(content) for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert read_sheet(content).given["name"] == name


def test_a_form_has_no_place_for_child_rows() -> None:
    rows = [{"name": "relation", "label": "关系", "type": "C"}]
    family = {"name": "family", "label": "家庭成员", "type": "M", "rows": rows}
    with pytest.raises(Rejected, match="写不下子表行"):
        write_sheet(read_resource(person(items=[*person()["items"], family])).resource)
