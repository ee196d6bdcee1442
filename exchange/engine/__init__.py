"""The engine: carries out one plan, and survives its own death between any two statements."""

from __future__ import annotations

from exchange.engine.opening import problems_of_options
from exchange.engine.run import Engine, Observer, RunResult
from exchange.engine.states import RunState

__all__ = ["Engine", "Observer", "RunResult", "RunState", "problems_of_options"]
