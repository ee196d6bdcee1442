from __future__ import annotations

from catalog.errors import Problem, Rejected, UnknownEntry


def test_a_problem_reads_as_place_fault_and_remedy() -> None:
    assert str(Problem("资源 A › 长度", "过大", "至多 18")) == "资源 A › 长度: 过大（至多 18）"
    assert str(Problem("资源 A › 长度", "过大")) == "资源 A › 长度: 过大"


def test_a_rejection_names_every_problem() -> None:
    error = Rejected("登记有误", [Problem("甲", "缺少"), Problem("乙", "重复")])
    assert str(error) == "登记有误\n  甲: 缺少\n  乙: 重复"


def test_an_unknown_name_is_answered_with_what_is_near() -> None:
    assert UnknownEntry("没有 A", ["B", "C"]).remedy == "是否指：B、C"
    assert UnknownEntry("没有 A").remedy == "请核对名称，或先登记"
