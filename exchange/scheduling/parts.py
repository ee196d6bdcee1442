"""Large exchanges in parts (分段执行): a task cuts, one mapped task for each part stages, the exchange's own delivers.

What was cut and staged stands in the hub's books. The last task carries the run to its end whatever became of the
others: it stages what is missing itself, or says why that cannot be done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from exchange.errors import HubError
from exchange.scheduling.operators import figures, opened
from exchange.scheduling.outcomes import outcome

if TYPE_CHECKING:
    from airflow.sdk import Context

    from exchange.hub import Hub


class SplitOperator(BaseOperator):
    """Begins a run in parts, where it can be cut (切分).

    Args:
        exchange: Id of the exchange.
        parts: Into how many ranges of keys.
        home: Home of the hub, as of :class:`~exchange.scheduling.operators.ExchangeOperator`.
    """

    def __init__(self, *, exchange: str, parts: int, home: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.exchange = exchange
        self.parts = parts
        self.home = home

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Cut, and return what each part's task is to be told; nothing where the run is to be made as ever."""
        from exchange.engine import PartState

        with _hub(self.home) as hub:
            found = hub.oversight.split(self.exchange, self.parts)
        if found is None:
            self.log.info("交换 %s 本次不分段", self.exchange)
            return []
        waiting = [each.number for each in found.parts if each.state != PartState.STAGED]
        self.log.info("批次 %s 分为 %d 段，待暂存 %d 段", found.id, len(found.parts), len(waiting))
        return [{"run": found.id, "number": number} for number in waiting]


class PartOperator(BaseOperator):
    """Stages one part of a run (分段暂存).

    Args:
        run: Id of the run.
        number: Which part.
        home: Home of the hub.
    """

    def __init__(self, *, run: str, number: int, home: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.run = run
        self.number = number
        self.home = home

    def execute(self, context: Context) -> dict[str, Any]:
        """Stage it; its books become the task's result."""
        with _hub(self.home) as hub:
            part = hub.oversight.stage_part(self.run, self.number)
        self.log.info("批次 %s 第 %d 段 %s：%s", self.run, self.number, part.state, figures(part.counts))
        return {"run": self.run, "number": self.number, "state": str(part.state), **part.counts}


@contextmanager
def _hub(home: str | None) -> Iterator[Hub]:
    """The hub, whose errors become Airflow's."""
    with closing(opened(home)) as hub:
        try:
            yield hub
        except HubError as error:
            raise outcome(error, lease=timedelta(seconds=hub.settings.lease_seconds)) from error
