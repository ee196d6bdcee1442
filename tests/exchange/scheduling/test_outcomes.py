from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from exchange.errors import Busy, Denied, Failed, Held, HubError, Invalid, Misplaced, Problem, Red, Unknown
from exchange.scheduling.outcomes import LONG, TRIES, Again, HubRetryPolicy, delay, judged, outcome, told

LEASE = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("error", "rests", "expected"),
    [
        (Busy("正由他人执行"), False, Again),
        (Failed("端点不通", retry=True), False, Again),
        (Failed("端点拒绝", retry=False), False, AirflowFailException),
        (Denied("没有有效授权", ["已撤回"]), False, AirflowSkipException),
        (Unknown("没有交换"), False, AirflowSkipException),
        (Misplaced("已暂停"), True, AirflowSkipException),
        (Misplaced("没有经过放行"), False, AirflowFailException),
        (Held("表结构变了", ["少了一列"]), True, AirflowFailException),
        (Red("账不平"), True, AirflowFailException),
        (Invalid("登记有误", [Problem("资源", "无键")]), False, AirflowFailException),
    ],
)
def test_an_error_says_what_becomes_of_the_task(error: HubError, rests: bool, expected: type[Exception]) -> None:
    found = outcome(error, lease=LEASE, rests=rests)
    assert type(found) is expected
    assert error.message in str(found)


def test_who_is_busy_is_waited_for_as_long_as_he_may_be_dead() -> None:
    decision = HubRetryPolicy().evaluate(outcome(Busy("正由他人执行"), lease=LEASE), 1, TRIES)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, LEASE)


def test_what_may_heal_is_tried_soon_and_then_ever_later() -> None:
    error = outcome(Failed("端点不通", retry=True), lease=LEASE)
    decisions = [HubRetryPolicy().evaluate(error, number, TRIES) for number in range(1, 12)]
    delays = [decision.retry_delay for decision in decisions]
    assert delays[0] == timedelta(seconds=10)
    assert delays[:6] == sorted(set(delays[:6]))  # type: ignore[type-var]
    assert delays[-1] == LONG == delay(10**6)


def test_what_is_not_the_hubs_is_left_to_airflow() -> None:
    assert HubRetryPolicy().evaluate(AirflowTaskTimeout(), 1, TRIES).action == RetryAction.DEFAULT


def test_an_error_is_told_with_its_reasons_and_the_remedy() -> None:
    assert told(Denied("没有授权", ["已到期", "已撤回"], remedy="重新申请")) == "没有授权；已到期；已撤回（重新申请）"
    assert told(Invalid("有误", [Problem("资源 › 键", "缺")])) == "有误；资源 › 键: 缺"
    assert told(Red("账不平")) == "账不平"


class Result:
    """What the engine says of a run, as far as it matters here."""

    def __init__(self, state: str, *reasons: str) -> None:
        self.id, self.state, self.reasons = "r1", state, reasons


@pytest.mark.parametrize("state", ["settled", "committed"])
def test_a_delivered_run_is_green(state: str) -> None:
    result: Any = Result(state)
    judged(result)


@pytest.mark.parametrize(
    ("state", "expected"),
    [("barred", AirflowSkipException), ("stopped", AirflowFailException), ("red", AirflowFailException)],
)
def test_an_undelivered_run_is_not(state: str, expected: type[Exception]) -> None:
    result: Any = Result(state, "原因")
    with pytest.raises(expected, match="原因"):
        judged(result)
