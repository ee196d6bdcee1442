from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import SamePerson, WrongState
from catalog.workflow import CLOSED, EDITABLE, MOVES, PARTS, STATES, actions, move, require_other_person

ROAD = ["add", "submit_registration", "agree_registration", "submit_publication", "agree_publication"]


def test_the_straight_road_leads_from_nothing_to_publication() -> None:
    state = None
    states = []
    for action in ROAD:
        state = move(state, action)
        states.append(STATES[state].label)
    assert states == ["草稿", "待注册审核", "已注册", "待发布审核", "发布"]


def test_the_numbers_are_those_of_the_field() -> None:
    assert {term.number: term.label for term in STATES.values() if term.number is not None} == {
        0: "草稿", 1: "退回修改", 2: "注册审核拒绝", 10: "待注册审核", 19: "已注册",
        20: "待发布审核", 22: "发布审核拒绝", 23: "下架", 29: "发布",
    }  # fmt: skip


@given(st.sampled_from([None, *STATES]), st.sampled_from([*MOVES]))
def test_a_move_is_made_where_the_table_has_it_and_nowhere_else(state, action) -> None:
    if state in MOVES[action].targets:
        assert move(state, action) == MOVES[action].targets[state]
    else:
        with pytest.raises(WrongState) as caught:
            move(state, action)
        assert MOVES[action].label in caught.value.message
        assert all(MOVES[other].label in caught.value.remedy for other in actions(state))


def test_every_state_is_reached_and_only_a_superseded_version_is_left_by_nobody() -> None:
    reached = {target for wanted in MOVES.values() for target in wanted.targets.values()}
    assert reached == set(STATES)
    assert [state for state in STATES if not actions(state)] == ["superseded"]


def test_publication_is_reached_through_both_approvals_only() -> None:
    into_published = [(a, s) for a, w in MOVES.items() for s, t in w.targets.items() if t == "published"]
    assert into_published == [("agree_publication", "publishing")]
    into_registered = {a for a, w in MOVES.items() for s, t in w.targets.items() if t == "registered"}
    assert into_registered == {"agree_registration", "recall"}
    assert "publishing" in MOVES["recall"].targets


def test_an_edit_never_keeps_an_approval() -> None:
    assert {move(state, "update") for state in EDITABLE} == {"draft", "returned"}
    assert {"registering", "publishing"} & (EDITABLE | CLOSED) == set()


@pytest.mark.parametrize(
    "action", ["reject_registration", "return_registration", "reject_publication", "return_publication", "withdraw"]
)
def test_a_refusal_needs_an_opinion(action) -> None:
    assert MOVES[action].needs_opinion


def test_no_person_plays_two_parts_in_a_version() -> None:
    earlier = [("李", "provider"), ("王", "registration")]
    require_other_person("submit_publication", "李", earlier)
    require_other_person("return_registration", "王", earlier)
    require_other_person("agree_publication", "赵", earlier)
    for actor, action in (("李", "agree_registration"), ("李", "agree_publication"), ("王", "agree_publication"),
                          ("王", "update"), ("王", "withdraw")):  # fmt: skip
        with pytest.raises(SamePerson, match=actor):
            require_other_person(action, actor, earlier)


def test_each_part_has_work() -> None:
    assert {wanted.part for wanted in MOVES.values()} == set(PARTS)
