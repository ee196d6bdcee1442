from __future__ import annotations

import pytest

from catalog.errors import Problem, Rejected, SamePerson, UnknownEntry, WrongState
from exchange.errors import Denied, Invalid, Misplaced, Unknown
from exchange.settings import Role
from tests.exchange.engine.town import TAX, Town


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (UnknownEntry("没有资源", ["近似"]), Unknown),
        (WrongState("状态不对", remedy="先发布"), Misplaced),
        (SamePerson("同一个人", remedy="换人"), Denied),
    ],
)
def test_what_the_catalogue_says_is_told_in_the_hubs_words(town: Town, said: Exception, told: type[Exception]) -> None:
    with town.hub() as hub, pytest.raises(told) as raised, hub.told():
        raise said
    assert raised.value.__cause__ is said
    assert raised.value.message == said.message  # type: ignore[attr-defined]
    assert raised.value.remedy == said.remedy  # type: ignore[attr-defined]


def test_errors_are_told_and_warnings_are_not(town: Town) -> None:
    said = Rejected("有误", [Problem("甲", "错", "改"), Problem("乙", "可疑", severity="warning")])
    with town.hub() as hub, pytest.raises(Invalid) as raised, hub.told():
        raise said
    assert [problem.where for problem in raised.value.problems] == ["甲"]


def test_a_refusal_is_logged_before_it_is_told(town: Town) -> None:
    by = town.actor("tax")
    with town.hub() as hub:
        with pytest.raises(Denied), hub.permitted(by, Role.INTEGRATOR, action="改端点", department=TAX):
            pytest.fail("went in")
        (event,) = hub.audit.search(by=town.actor("auditor"), type="AccessDenied", actor=by.name).events
        assert event.body["action"] == "改端点"


def test_of_lets_the_department_and_the_hub_in(town: Town) -> None:
    with town.hub() as hub:
        for who in ("tax", "integrator"):
            with hub.permitted(town.actor(who), *Role, action="看", of=[TAX]):
                pass
        with pytest.raises(Denied), hub.permitted(town.actor("police"), *Role, action="看", of=[TAX]):
            pytest.fail("went in")
