"""Whatever is changed in the log, verification sees it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from exchange.audit import Fault
from exchange.audit.verification import _merged

CELLS = st.sampled_from(
    ["type", "actor", "established", "department", "resource", "exchange", "run", "tag", "seal", "body", "at", "number"]
)
ROWS = st.integers(1, 9)
ACTIONS = st.one_of(
    st.tuples(st.just("delete"), ROWS),
    st.tuples(st.just("clear"), CELLS, ROWS),
    st.tuples(st.just("swap"), CELLS, ROWS, ROWS),
    st.tuples(st.just("copy"), CELLS, ROWS, ROWS),
    st.tuples(st.just("renumber"), ROWS, st.integers(1, 20)),
    st.tuples(st.just("unseal"), ROWS),
)


@pytest.fixture
def untouched(sealed):
    """A log whose table takes anything, beside a copy of it."""
    with sealed._database.transaction() as session:
        session.execute(text("CREATE TABLE untouched AS SELECT * FROM event"))
        session.execute(text("DROP TABLE event"))
        session.execute(text("CREATE TABLE event AS SELECT * FROM untouched"))
    return sealed


def carry_out(session, action):
    match action:
        case ("delete", row):
            session.execute(text(f"DELETE FROM event WHERE id = {row}"))
        case ("clear", cell, row):
            session.execute(text(f"UPDATE event SET {cell} = NULL WHERE id = {row}"))
        case ("swap", cell, one, other):
            session.execute(
                text(
                    f"UPDATE event SET {cell} = (SELECT {cell} FROM untouched WHERE id = {one} + {other} - event.id) "
                    f"WHERE id IN ({one}, {other})"
                )
            )
        case ("copy", cell, one, other):
            session.execute(
                text(f"UPDATE event SET {cell} = (SELECT {cell} FROM untouched WHERE id = {one}) WHERE id = {other}")
            )
        case ("renumber", row, number):
            session.execute(text(f"UPDATE event SET number = {number} WHERE id = {row}"))
        case ("unseal", row):
            session.execute(text(f"UPDATE event SET number = NULL, seal = NULL WHERE id = {row}"))


@pytest.mark.parametrize("hub_url", ["sqlite"], indirect=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(actions=st.lists(ACTIONS, min_size=1, max_size=4))
def test_a_log_that_is_not_as_it_was_never_verifies(untouched, actions):
    with untouched._database.transaction() as session:
        session.execute(text("DELETE FROM event"))
        session.execute(text("INSERT INTO event SELECT * FROM untouched"))
        for action in actions:
            carry_out(session, action)
        content = [
            session.execute(text(f"SELECT * FROM {table} ORDER BY id")).all() for table in ("event", "untouched")
        ]
    assert untouched.verify().verified is (content[0] == content[1])


def test_neighbours_to_which_the_same_was_done_are_one_fault():
    spans = [("removed", 7, 9), ("edited", 1, 1), ("edited", 2, 2), ("edited", 4, 4), ("removed", 5, 6)]
    assert _merged(spans) == [("edited", 1, 2), ("edited", 4, 4), ("removed", 5, 9)]


def test_a_fault_says_where_and_what():
    assert str(Fault("removed", "第 3 至 5 号事件", "已被删除", 3, 5)) == "第 3 至 5 号事件：已被删除"
