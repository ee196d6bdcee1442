"""What is wrong stands beside the field it is wrong with."""

from __future__ import annotations

from exchange.console.fields import beside
from exchange.errors import Invalid, Misplaced, Problem


def test_a_problem_is_beside_the_field_its_place_ends_with() -> None:
    error = Invalid(
        "有误",
        [
            Problem("端点 x › options › password", "不登记原文", "写引用"),
            Problem("理由", "须说明"),
            Problem("理由", "太长"),
            Problem("端点 x", "整个不对"),
        ],
    )
    found = beside(error, {"option-password": "password", "reason": "理由"})
    assert found == {"option-password": "不登记原文（写引用）", "reason": "须说明；太长"}


def test_without_problems_nothing_is_beside() -> None:
    assert beside(None, {"a": "b"}) == {}
    assert beside(Misplaced("不行"), {"a": "b"}) == {}
