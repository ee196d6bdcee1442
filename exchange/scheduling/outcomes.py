"""What becomes of a task when the hub says no (结果归类): tried again, failed at once, or skipped.

What may heal by itself is tried again: somebody else is at the exchange, an endpoint is away, a worker died. What
was refused is never tried again, and says what a person can do. What is no longer granted is no failure: its run
is skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from exchange.errors import Busy, Denied, Held, HubError, Misplaced, Unknown

if TYPE_CHECKING:
    from exchange.engine import RunResult

TRIES = 5
"""How often a run is tried again before it is red."""
SHORT = timedelta(seconds=10)
"""How long after the first failure that may heal; twice as long each further time."""
LONG = timedelta(minutes=10)
"""How long at most."""


class Again(AirflowException):
    """What stopped this try may heal by itself.

    Attributes:
        after: How long it takes at least, if that is known.
    """

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class HubRetryPolicy(RetryPolicy):
    """When a failed try of an exchange is followed by another (重试策略).

    What is none of the hub's errors (a worker that is stopped, a run that takes too long) is tried again like anything
    else: the engine goes on with what was begun.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Any = None,
    ) -> RetryDecision:
        """Whether there is another try, and when.

        Args:
            exception: What ended this one.
            try_number: The how manieth it was, from 1.
            max_tries: How many there may be.
            context: Of the task.
        """
        if isinstance(exception, Again):
            return RetryDecision.retry(exception.after or delay(try_number), reason=str(exception))
        return RetryDecision.default()


def delay(try_number: int) -> timedelta:
    """How long after a try the next one comes: soon at first, then ever later."""
    grown: timedelta = SHORT * 2 ** min(try_number - 1, 16)
    return min(grown, LONG)


def told(error: HubError) -> str:
    """An error in words: what, its reasons, and what to do."""
    parts = [error.message]
    reasons: Sequence[object] = getattr(error, "reasons", None) or getattr(error, "problems", None) or ()
    parts += [str(each) for each in reasons]
    text = "；".join(parts)
    return f"{text}（{error.remedy}）" if error.remedy else text


def outcome(error: HubError, *, lease: timedelta, rests: bool = False) -> AirflowException:
    """What a task raises for an error of the hub's.

    Args:
        error: What the hub said.
        lease: How long a dead worker keeps an exchange from others.
        rests: Whether the exchange is known to be paused or ended.
    """
    if isinstance(error, Busy):
        # Whoever has it may be dead; then it is free when his lease is over.
        return Again(told(error), lease)
    if error.retry:
        return Again(told(error))
    if isinstance(error, Denied | Unknown) or (rests and isinstance(error, Misplaced) and not isinstance(error, Held)):
        return AirflowSkipException(told(error))
    return AirflowFailException(told(error))


def judged(result: RunResult) -> None:
    """Nothing, if a run delivered what there was.

    Raises:
        AirflowSkipException: The grant no longer allowed it.
        AirflowFailException: It stopped; a person must look.
    """
    if result.state in ("settled", "committed"):
        return
    words = {"barred": "授权不允许，未交付", "stopped": "拒收的行太多，未交付", "red": "需人工处理", "failed": "失败"}
    reasons = "；".join(result.reasons)
    text = f"批次 {result.id} {words.get(result.state, result.state)}" + (f"：{reasons}" if reasons else "")
    if result.state == "barred":
        raise AirflowSkipException(text)
    raise AirflowFailException(f"{text}（用 shutong status 查看）")
