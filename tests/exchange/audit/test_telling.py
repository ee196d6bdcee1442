from __future__ import annotations

from dataclasses import fields

from exchange.audit.events import REGISTRY
from exchange.audit.telling import FIELDS, told


def test_every_field_of_every_event_has_its_term() -> None:
    assert {field.name for kind in REGISTRY.values() for field in fields(kind)} == FIELDS.keys()  # type: ignore[arg-type]  # events are dataclasses


def test_values_are_said_as_people_know_them() -> None:
    said = told({"account": "sysadmin", "how": "password", "peer": "10.0.0.1", "reason": "wrong", "unwritten": 0})
    assert said == [("账号", "sysadmin"), ("方式", "口令"), ("来自", "10.0.0.1"), ("理由", "口令不对"), ("未记", "0")]


def test_the_moves_of_a_resource_are_said() -> None:
    said = told({"action": "submit_registration", "before": "draft", "after": "registering"})
    assert said == [("操作", "提交注册"), ("之前", "草稿"), ("之后", "待注册审核")]
    assert told({"before": ["clerk"], "after": ["clerk", "reviewer"]}) == [
        ("之前", "部门经办员"),
        ("之后", "部门经办员、审核员"),
    ]


def test_books_queries_and_times_are_said() -> None:
    assert told({"counts": {"read": 1200, "refused": 0, "written": 3}}) == [("账目", "读取 1,200，写入 3")]
    assert told({"query": {"type": "LogRead", "way": "file", "since": "2026-01-31T16:00:00.000000Z"}}) == [
        ("条件", "事件 检索日志，方式 文件，起 2026-02-01 00:00")
    ]
    assert told({"until": "永远"}) == [("至", "永远")]


def test_what_is_empty_is_not_said() -> None:
    assert told({"reason": "", "reasons": [], "agrees": False, "strange": {"x": [1, 2]}}) == [
        ("一致", "否"),
        ("strange", "x 1、2"),
    ]


def test_departments_are_named() -> None:
    assert told({"department": "1", "moved_to": "2"}, {"1": "公安局"}) == [("部门", "公安局"), ("现部门", "2")]


def test_whatever_other_hands_wrote_is_said_somehow() -> None:
    said = told({"department": ["x", {"y": [{}]}], "kind": {"a": {"b": 1}}, "until": "x", "state": 1.5})
    assert said == [("部门", "x、y 无"), ("种类", "a b 1"), ("至", "x"), ("状态", "1.5")]
