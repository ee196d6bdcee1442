from __future__ import annotations

import pytest

from exchange.errors import Invalid
from exchange.hub.reasons import LONGEST, read_reason


def test_a_reason_is_kept_on_one_line() -> None:
    assert read_reason("  检修，\n 明日恢复 ", "暂停") == "检修， 明日恢复"
    assert len(read_reason("长" * LONGEST, "暂停")) == LONGEST


@pytest.mark.parametrize("text", ["", " \n\u3000", "\x1b[31m", "\u202e反", "\ud800", "长" * (LONGEST + 1)])
def test_what_nobody_could_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="不能暂停") as refused:
        read_reason(text, "暂停")
    assert refused.value.problems[0].where == "理由"
