from __future__ import annotations

from pathlib import Path

from exchange import words
from exchange.audit import events, telling
from exchange.authorisation import GRANT_STATES
from exchange.engine import FileState, HandoverState, RecallState, RowState, RunState
from exchange.hub.tokens import SCOPES
from exchange.identity import ACCOUNT, SCHEDULER, SYSTEM, TOKEN
from exchange.receipts import BALANCE
from exchange.settings import Role
from tests.exchange.cli.test_messages import untranslated


def test_every_short_word_has_its_term() -> None:
    assert words.RUN_STATES.keys() == {state.value for state in RunState}
    assert words.ROW_STATES.keys() == {state.value for state in RowState}
    assert words.FILE_STATES.keys() == {state.value for state in FileState}
    assert words.HANDOVER_STATES.keys() == {state.value for state in HandoverState}
    assert words.RECALL_STATES.keys() == {state.value for state in RecallState}
    assert words.ROLES.keys() == {role.value for role in Role}
    assert words.EVENTS.keys() == events.REGISTRY.keys()
    assert words.BOOKS.keys() == {"read", *BALANCE, "deleted"}
    assert GRANT_STATES


def test_a_run_that_did_not_deliver_never_ends_well() -> None:
    assert words.RUN_STATUS.keys() <= words.RUN_STATES.keys()
    assert {state for state, status in words.RUN_STATUS.items() if status == 0} == {"settled", "committed"}


def test_terms_of_events_are_those_of_the_log() -> None:
    for name, kind in events.REGISTRY.items():
        assert f"({words.EVENTS[name]})" in (kind.__doc__ or "")


def test_a_word_without_a_term_stays_as_it_is() -> None:
    assert words.word(words.RUN_STATES, "settled") == "已办结"
    assert words.word(words.RUN_STATES, "new") == "new"
    assert words.word(words.RUN_STATES, None) == ""


def test_how_many_refused_rows_stop_a_run() -> None:
    assert words.tolerance_words({"rows": None, "share": None}) == "不限"
    assert words.tolerance_words({"rows": 0, "share": 0.05}) == "0 行，5%"


def test_events_by_name_or_in_words() -> None:
    assert words.event_type("授权撤销") == "GrantRevoked"
    assert words.event_type("GrantRevoked") == "GrantRevoked"
    assert words.event_type("别的") == "别的"


def test_a_refresh_in_words() -> None:
    assert words.refresh_words(None) is None
    assert words.refresh_words({"how": "swap", "why": []}) == "换表"
    assert words.refresh_words({"how": "reload", "why": ["有触发器", "有外键"]}) == "就地更新（有触发器；有外键）"


def test_every_term_goes_through_the_catalogue() -> None:
    for module in (words, telling):
        assert untranslated(Path(module.__file__).read_text(encoding="utf-8")) == []


def test_ways_states_and_scopes_are_those_of_the_hub() -> None:
    assert words.TOKEN_SCOPES.keys() == set(SCOPES)
    assert {ACCOUNT, TOKEN, SYSTEM, SCHEDULER} <= words.ESTABLISHED.keys()
