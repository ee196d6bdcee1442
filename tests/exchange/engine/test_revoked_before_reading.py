"""A grant that ends while its run waits for a new owner: nothing of it reaches the recipient's database."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.engine.town import SYNC, Town, person


class Death(BaseException):
    """Stands for the end of a worker."""


def dying(step: str, _figures: dict[str, Any]) -> None:
    if step == "3.read":
        raise Death


@pytest.mark.parametrize("action", ["revoke", "suspend"])
def test_a_takeover_reads_nothing_under_a_grant_that_is_no_more(town: Town, action: str) -> None:
    town.report(*(person(number) for number in range(9)))
    town.run(SYNC)
    with pytest.raises(Death):
        town.run(town.share, observe=dying)
    town.change(action)
    steps: list[str] = []
    result = town.run(town.share, observe=lambda step, _figures: steps.append(step))
    assert result.state == "barred"
    assert result.reasons
    assert not {"3.read", "5.staged"} & set(steps)
    assert town.rows("tax") == {}
    assert town.stages("tax") == []
