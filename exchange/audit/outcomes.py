"""How what an event tells of ended (结果), for who looks for what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchange.audit import events
from exchange.audit.events import Event

OUTCOMES = {"succeeded": "成功", "refused": "拒绝", "failed": "失败"}
"""Every outcome; most events have none, as they tell of a step or of a decision."""

_SUCCEEDED: tuple[type[Event], ...] = (
    events.RunCommitted, events.RunSettled, events.MailFetched, events.MessageReceived, events.RowLookedUp,
    events.UpdateRecovered,
)  # fmt: skip
_REFUSED: tuple[type[Event], ...] = (
    events.AccessDenied, events.RunRefusedAtGate, events.SignInRefused, events.FileRefused,
)  # fmt: skip
_FAILED: tuple[type[Event], ...] = (
    events.RunAborted, events.ScheduledRunAbandoned, events.DispatchBuried, events.MailExpired,
    events.RecallUnanswered, events.UpdateMissed,
)  # fmt: skip
_ALWAYS = {
    kind.__name__: outcome
    for outcome, kinds in (("succeeded", _SUCCEEDED), ("refused", _REFUSED), ("failed", _FAILED))
    for kind in kinds
}
_ANSWERED = {
    events.ApplicationDecided.__name__: ("approved", "refused"),
    events.EndpointTested.__name__: ("passed", "failed"),
    events.ExchangeReconciled.__name__: ("agrees", "failed"),
    events.LogVerified.__name__: ("verified", "failed"),
}
"""The field that says yes, and what a no is."""


def types_of(wanted: str) -> frozenset[str]:
    """The types of events that may end so."""
    always = {kind for kind, ended in _ALWAYS.items() if ended == wanted}
    asked = {kind for kind, (_, no) in _ANSWERED.items() if wanted in ("succeeded", no)}
    reddened = {events.RunReddened.__name__} if wanted in ("refused", "failed") else set()
    return frozenset(always | asked | reddened)


def outcome(kind: str, body: Mapping[str, Any]) -> str:
    """How it ended: one of :data:`OUTCOMES`, empty where an event tells of no end."""
    if kind in _ANSWERED:
        field, no = _ANSWERED[kind]
        return "succeeded" if body.get(field) is True else no
    if kind == events.RunReddened.__name__:
        # Too many rows were refused; everything else nobody has decided.
        return "refused" if body.get("state") == "stopped" else "failed"
    return _ALWAYS.get(kind, "")
