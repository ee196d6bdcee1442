"""The engine: carries out one plan, and survives its own death between any two statements."""

from __future__ import annotations

from exchange.engine.answering import KIND as ASKED
from exchange.engine.answering import FailedRow
from exchange.engine.courier import Courier, forget, open_transport, transport_errors
from exchange.engine.dispatch import Dispatched, Dispatches, DispatchState, owe_first
from exchange.engine.endpoints import Endpoints
from exchange.engine.files import DROP, FileState
from exchange.engine.handovers import HandoverState
from exchange.engine.mailbox import MAILBOX, PUSHED
from exchange.engine.opening import problems_of_endpoint, problems_of_options
from exchange.engine.options import OptionField, endpoint_kinds, option_fields
from exchange.engine.parts import PartState, RunPart, SplitRun
from exchange.engine.pauses import WORDS as PAUSED
from exchange.engine.pauses import Paused, over, resting, settle, settle_all
from exchange.engine.previewing import Preview
from exchange.engine.quarantine import RowState, ShownItem, ShownRow
from exchange.engine.recalling import Recalling, RecallState, RecallWords
from exchange.engine.reconciliation import Difference, Reconciler, Reconciliation
from exchange.engine.run import Engine, RunResult
from exchange.engine.staging import Observer
from exchange.engine.states import UNFINISHED, RunState
from exchange.engine.structures import Change, Comparison, compared, held
from exchange.engine.subject import plan_exchange
from exchange.engine.tallying import Tally, counted, recount, recount_missing

__all__ = [
    "ASKED",
    "DROP",
    "MAILBOX",
    "PAUSED",
    "PUSHED",
    "UNFINISHED",
    "Change",
    "Comparison",
    "Courier",
    "Difference",
    "DispatchState",
    "Dispatched",
    "Dispatches",
    "Endpoints",
    "Engine",
    "FailedRow",
    "FileState",
    "HandoverState",
    "Observer",
    "OptionField",
    "PartState",
    "Paused",
    "Preview",
    "RecallState",
    "RecallWords",
    "Recalling",
    "Reconciler",
    "Reconciliation",
    "RowState",
    "RunPart",
    "RunResult",
    "RunState",
    "ShownItem",
    "ShownRow",
    "SplitRun",
    "Tally",
    "compared",
    "counted",
    "endpoint_kinds",
    "forget",
    "held",
    "open_transport",
    "option_fields",
    "over",
    "owe_first",
    "plan_exchange",
    "problems_of_endpoint",
    "problems_of_options",
    "recount",
    "recount_missing",
    "resting",
    "settle",
    "settle_all",
    "transport_errors",
]
