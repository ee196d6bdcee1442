from __future__ import annotations

from schemas.errors import SchemaError, did_you_mean


def test_all_problems_are_in_the_message() -> None:
    error = SchemaError(["甲: 一", "乙: 二"])
    assert error.problems == ("甲: 一", "乙: 二")
    assert str(error) == "甲: 一\n乙: 二"


def test_the_nearest_name_is_offered_in_its_own_writing() -> None:
    assert "SIGNSTATE" in did_you_mean("signstat", ["SIGNSTATE", "MAKETIME"])
    assert did_you_mean("完全不同", ["SIGNSTATE"]) == ""
    assert did_you_mean("x", []) == ""
