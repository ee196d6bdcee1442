"""Tidying: what an ended run staged and never delivered is removed from the department's database.

The debt is written in the transaction that ends the run and is paid at once, or, where the target is
away or the worker died, before the next run of the exchange.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import AdapterError, Claim, Endpoint
from exchange.db import HubDatabase, now
from exchange.db.tables import OwedRow, RunRow
from exchange.engine.opening import binding
from exchange.engine.parts import Parts
from exchange.engine.passage import delivered_schema
from exchange.engine.pauses import demand_awake
from exchange.engine.states import UNDELIVERED
from exchange.errors import HubError
from exchange.plan import End, Plan


class Tidying:
    """Removes stages that nothing will be delivered from."""

    def __init__(self, database: HubDatabase, endpoint: Callable[[Session, End], Endpoint], parts: Parts) -> None:
        self._database = database
        self._endpoint = endpoint
        self._parts = parts

    def owe(self, session: Session, run: RunRow) -> None:
        """Note, with the end of a run, that its stage is to be removed."""
        session.add(OwedRow(run=run.id, kind="tidy"))

    def tidy(self, exchange: str) -> None:
        """Remove what the ended runs of an exchange left staged; what does not work now is tried again."""
        left = (
            select(RunRow)
            .join(OwedRow, OwedRow.run == RunRow.id)
            .where(RunRow.exchange == exchange, RunRow.state.in_(UNDELIVERED))
            .where(OwedRow.kind == "tidy", OwedRow.done_at.is_(None))
        )
        with self._database.reading() as session:
            runs = session.scalars(left).all()
        for run in runs:
            self._pay(run.id, self._removed(run))

    def _removed(self, run: RunRow) -> str | None:
        """Remove the stages of a run's delivery key; what went wrong, or None."""
        plan = Plan(**run.plan)
        # No owner of this run came after the last one, so all its stages go.
        claim = Claim(key=run.delivery, exchange=run.exchange, epoch=run.epoch)
        try:
            with self._database.reading() as session:
                demand_awake(session, plan.target.endpoint)
                endpoint = self._endpoint(session, plan.target)
            with endpoint.sink(binding(plan.target, plan.key, plan.version)) as sink:
                schema = delivered_schema(plan)
                sink.resume(claim, schema).abort()
                self._parts.remove(run, sink, schema)
        except (AdapterError, HubError) as error:
            return error.message
        return None

    def _pay(self, run: str, error: str | None) -> None:
        with self._database.transaction() as session:
            debt = session.scalars(
                select(OwedRow).where(OwedRow.run == run, OwedRow.kind == "tidy").with_for_update()
            ).one()
            debt.attempts += 1
            debt.error = error
            if error is None:
                debt.done_at = now(session)
