"""What Airflow tells the hub when it has given up (失败告警)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any, Literal

from exchange.scheduling.operators import opened


def given_up(context: Mapping[str, Any]) -> None:
    """Write into the hub's log that a run of an exchange failed for good.

    Airflow calls it where DAGs are read, once for a run: also where the worker was killed and could say nothing.

    Args:
        context: The DAG, its run's name and Airflow's word for why.
    """
    from exchange.hub.surrender import given_up as write_down

    reason: Literal["timed_out", "failed"] = "timed_out" if context.get("reason") == "timed_out" else "failed"
    with closing(opened()) as hub:
        write_down(hub, context["dag"].dag_id, attempt=str(context["run_id"]), reason=reason)
