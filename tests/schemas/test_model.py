from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas import CodeList, DeleteMark, Profile, StateColumn


def test_what_a_profile_leaves_out() -> None:
    family = Profile(name="x", label="某族", source="某处", capture="outbox")
    assert (family.error_length, family.error_column, family.strip) == (1000, "error_remark", "")
    assert family.constants == {}
    assert family.identifier_case == "lower"
    assert family.state is None
    assert family.delete is None
    assert family.version is None


def test_null_is_a_flag_value_of_its_own() -> None:
    state = StateColumn(column="f", new=(None, "0"), fresh=None, done="1", failed="2")
    assert None in state.new
    assert state.fresh is None


def test_a_delete_mark_need_not_say_what_the_other_rows_carry() -> None:
    assert DeleteMark(column="f", values=("D",)).inserted is None


def test_unknown_fields_and_changes_are_refused() -> None:
    with pytest.raises(ValidationError):
        CodeList.model_validate({"name": "x", "label": "x", "source": "x", "codes": {}, "kodes": {}})
    codes = CodeList(name="x", label="x", source="x", codes={"1": "一"})
    with pytest.raises(ValidationError):
        codes.label = "y"  # type: ignore[misc]


def test_what_is_barred_is_in_the_list() -> None:
    codes = {"A": "甲", "B": "乙"}
    assert CodeList(name="x", label="x", source="x", codes=codes, barred={"B": "不可"}).barred == {"B": "不可"}
    with pytest.raises(ValidationError, match="不在表内：C"):
        CodeList(name="x", label="x", source="x", codes=codes, barred={"C": "不可"})
