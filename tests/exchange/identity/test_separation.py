from __future__ import annotations

from itertools import combinations

import pytest

from exchange.identity.separation import against, titles
from exchange.settings import ADMINISTRATORS, Role

OTHERS = (Role.CLERK, Role.REVIEWER, Role.INTEGRATOR)


@pytest.mark.parametrize("number", range(len(Role) + 1))
def test_which_roles_one_person_may_hold(number: int) -> None:
    for held in combinations(Role, number):
        roles = set(held)
        fit = len(roles & ADMINISTRATORS) <= 1 and (Role.AUDIT not in roles or len(roles) == 1)
        assert (against(roles) == []) is fit, roles


@pytest.mark.parametrize("role", Role)
def test_administrators_are_people_of_the_hub(role: Role) -> None:
    governing = role in ADMINISTRATORS
    assert bool(against({role}, programme=True)) is governing
    assert bool(against({role}, of_the_hub=False)) is governing


def test_the_reasons_name_what_they_are_about() -> None:
    told = against({Role.SYSTEM, Role.AUDIT, Role.CLERK}, programme=True, of_the_hub=False)
    assert len(told) == 4
    assert "系统管理员、审计管理员" in told[0]
    assert titles(()) == "无"
    assert titles(OTHERS) == "部门经办员、审核员、集成工程师"
