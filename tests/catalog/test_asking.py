from __future__ import annotations

import pytest

from catalog.asking import askable, require_person, unknown
from catalog.errors import Rejected


@pytest.mark.parametrize("text", ["", "a" * 129, "a\x00b", "a\nb", "\ud800", "\u202eabc", "零\u200b宽"])
def test_what_cannot_be_a_name_is_not_looked_up(text: str) -> None:
    assert not askable(text)


@pytest.mark.parametrize("text", ["101001001/0001", "泰州市公安局", "𠮷䶮", "'; DROP TABLE resource; --", "100%_"])
def test_whatever_can_be_stored_is_looked_up(text: str) -> None:
    assert askable(text)


def test_an_unknown_name_is_shown_without_what_nobody_sees() -> None:
    error = unknown("资源", "101\x1b[2J", ["101001001/0001"])
    assert error.message == "没有登记资源“101·[2J”"


def test_names_spelt_alike_are_offered() -> None:
    assert unknown("端点", "police-frnt", ["police-front", "market"]).near == ("police-front",)


def test_actor_and_opinion_are_told_of_together() -> None:
    with pytest.raises(Rejected) as caught:
        require_person(" ", "同\x00意", "泰州市公安局' OR 1=1 --（户政）")
    assert [problem.where for problem in caught.value.problems] == ["办理人", "办理人 › 所在部门", "意见"]
    require_person("李经办", "同意\n请尽快发布")
    require_person("李经办", "", "11321200TE00000291")
