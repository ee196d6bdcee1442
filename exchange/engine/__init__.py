"""The engine: carries out one plan, and survives its own death between any two statements."""

from __future__ import annotations

from exchange.engine.answering import KIND as ASKED
from exchange.engine.answering import FailedRow
from exchange.engine.endpoints import Endpoints
from exchange.engine.mailbox import MAILBOX, PUSHED
from exchange.engine.opening import problems_of_endpoint, problems_of_options
from exchange.engine.quarantine import RowState, ShownItem, ShownRow
from exchange.engine.reconciliation import Difference, Reconciler, Reconciliation
from exchange.engine.run import Engine, Observer, RunResult
from exchange.engine.states import UNFINISHED, RunState
from exchange.engine.structures import Change, Comparison, held
from exchange.engine.subject import plan_exchange

__all__ = [
    "ASKED",
    "MAILBOX",
    "PUSHED",
    "UNFINISHED",
    "Change",
    "Comparison",
    "Difference",
    "Endpoints",
    "Engine",
    "FailedRow",
    "Observer",
    "Reconciler",
    "Reconciliation",
    "RowState",
    "RunResult",
    "RunState",
    "ShownItem",
    "ShownRow",
    "held",
    "plan_exchange",
    "problems_of_endpoint",
    "problems_of_options",
]
