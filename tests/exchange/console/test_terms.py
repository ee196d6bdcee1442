"""Pages and the command line say the same words."""

from __future__ import annotations

from exchange.cli import progress
from exchange.console import terms
from exchange.engine import RowState, RunState


def test_every_state_has_a_word() -> None:
    assert {str(state.value) for state in RunState} <= set(terms.RUN_STATES)
    assert {str(state.value) for state in RowState} <= set(terms.ROW_STATES)


def test_a_step_is_told_as_the_command_line_tells_it() -> None:
    figures = {"read": 12345, "refused": 2, "plan": "abc"}
    assert f"x  {terms.step_words('3.read', figures)}" == progress.description("x", "3.read", figures)


def test_the_share_rises_with_the_steps() -> None:
    shares = [terms.step_share(step) for step in terms.STEPS if step[0].isdecimal()]
    assert shares == sorted(shares, key=lambda each: each or 0.0)
    assert shares[-1] == 1.0
    assert terms.step_share("compare") is None
