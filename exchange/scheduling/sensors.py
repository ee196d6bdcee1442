"""Waiting for arrivals in DAGs of one's own (到达感知)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue

from exchange.scheduling.connections import DEFAULT, ShutongHook
from exchange.scheduling.links import ExchangeLink
from exchange.scheduling.triggers import WaitingTrigger


class ArrivalSensor(BaseSensorOperator):
    """Waits until something has arrived for an exchange: a file, a pushed message, a delivery that is owed.

    It takes nothing: run the exchange after it, which takes all that waits. The hub's own DAGs need no sensor.

    Args:
        exchange: Id of the exchange.
        shutong_conn_id: The connection that names the hub; without it ``SHUTONG_HOME`` does.
        deferrable: Wait in the triggerer, where a thousand of them cost one look; False: in a worker.
    """

    template_fields: Sequence[str] = ("exchange",)
    operator_extra_links = (ExchangeLink(),)

    def __init__(
        self, *, exchange: str, shutong_conn_id: str = DEFAULT, deferrable: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.exchange = exchange
        self.shutong_conn_id = shutong_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Hand over to the triggerer, or look from here."""
        if not self.deferrable:
            return super().execute(context)
        home = str(ShutongHook(self.shutong_conn_id).home)
        timeout = timedelta(seconds=self.timeout)
        return self.defer(trigger=WaitingTrigger(home, self.exchange), method_name="arrived", timeout=timeout)

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether something waits now."""
        with ShutongHook(self.shutong_conn_id).hub() as hub:
            mark = hub.timetable.waiting().get(self.exchange)
        return PokeReturnValue(mark is not None, self._told(mark))

    def arrived(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after the trigger fired."""
        return self._told(event["waiting"])

    def _told(self, mark: str | None) -> dict[str, Any]:
        return {"exchange": self.exchange, "waiting": mark}
