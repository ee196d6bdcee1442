"""Mending (隔离处理): refused rows in the hands of their provider's clerk, and of nobody else.

Deny by default: neither the recipient, to whom a refused row was never granted, nor an administrator,
nor the provider's own reviewer sees what a row holds. Every look is an event, and so is every refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exchange.audit import events
from exchange.authorisation.reading import sentences
from exchange.db.tables import ExchangeRow
from exchange.engine import RunResult, ShownRow
from exchange.errors import Denied, Invalid
from exchange.identity import Actor, require
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub


class Mending:
    """What the provider's clerk does with refused rows."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def show(self, number: int, *, by: Actor) -> ShownRow:
        """A refused row, masked by the grades of its items but for what is to be mended (查看隔离行).

        Args:
            number: Its number in the list, or that of another of its findings.
            by: A clerk of the provider.

        Raises:
            Unknown: There is no such number.
            Denied: The actor is no clerk of its provider.
        """
        hub = self._hub
        with self._provider(number, f"查看隔离行 {number}", by), hub.told(), hub.database.transaction() as session:
            rows = hub.engine.quarantine.find(session, number)
            shown = hub.engine.quarantine.look(session, rows)
            clear = tuple(item.name for item in shown.items if item.reasons)
            event = events.QuarantineRowRead(row=shown.id, clear=clear)
            hub.audit.record(session, event, by=by, exchange=shown.exchange, run=shown.run, department=by.department)
        return shown

    def repair(self, number: int, changes: Mapping[str, str | None], *, reason: str = "", by: Actor) -> None:
        """Correct items of a refused row, if it then passes the checks (更正隔离行).

        The values lie encrypted beside the row until it is replayed; the log names the items.

        Args:
            number: Its number in the list.
            changes: Item to text; None empties it.
            reason: Why.
            by: A clerk of the provider.

        Raises:
            Invalid: With everything still wrong.
            Denied: The actor is no clerk of its provider.
            Misplaced: The row cannot be corrected any more.
        """
        hub = self._hub
        with self._provider(number, f"更正隔离行 {number}", by):
            if not changes:
                raise Invalid(f"没有写明隔离行 {number} 改什么", remedy="用 --set 信息项=值，可写多个")
            why = "；".join(sentences([reason], "更正理由"))
            with hub.told(), hub.database.transaction() as session:
                rows = hub.engine.quarantine.find(session, number, lock=True)
                hub.engine.quarantine.mend(session, rows, changes, by, why)
                first = rows[0]
                event = events.QuarantineRepaired(row=first.id, items=tuple(changes))
                about = {"exchange": first.exchange, "run": first.run, "department": by.department}
                hub.audit.record(session, event, by=by, **about)

    def drop(self, number: int, *, reason: str, by: Actor) -> None:
        """Say of a refused row that it will never be delivered (弃送隔离行).

        Args:
            number: Its number in the list.
            reason: Why; it stands in the log.
            by: A clerk of the provider.

        Raises:
            Invalid: No reason is given.
            Denied: The actor is no clerk of its provider.
            Misplaced: There is nothing left to give up.
        """
        hub = self._hub
        with self._provider(number, f"弃送隔离行 {number}", by):
            why = "；".join(sentences([reason], "弃送理由"))
            if not why:
                raise Invalid(f"弃送隔离行 {number} 须写理由", remedy="用 --reason 写明，理由记入日志，勿写个人信息")
            with hub.told(), hub.database.transaction() as session:
                rows = hub.engine.quarantine.find(session, number, lock=True)
                hub.engine.quarantine.drop(session, rows)
                first = rows[0]
                event = events.QuarantineDropped(row=first.id, reason=why)
                about = {"exchange": first.exchange, "run": first.run, "department": by.department}
                hub.audit.record(session, event, by=by, **about)

    def replay(self, exchange: str, *, by: Actor, **options: Any) -> RunResult:
        """Deliver what was corrected, and what the rules of today accept, in a run of its own (隔离重送).

        Raises:
            Denied: The actor is neither a clerk of the provider nor somebody who may run the exchange.
            Misplaced: There is nothing to replay.
        """
        return self._hub.oversight.run(exchange, by=by, replay=True, **options)

    @contextmanager
    def _provider(self, number: int, what: str, by: Actor) -> Iterator[None]:
        """Only a clerk of the department whose row it is; a refusal is logged before it is told."""
        hub = self._hub
        with hub.database.reading() as session:
            row = hub.engine.quarantine.find(session, number)[0]
            exchange, run = row.exchange, row.run
            provider = session.get_one(ExchangeRow, exchange).provider
        try:
            require(by, Role.CLERK, action=what)
            _require_own(by, provider, what)
        except Denied as error:
            hub.denied(by, what, error, exchange=exchange, run=run)
            raise
        yield


def _require_own(by: Actor, provider: str, what: str) -> None:
    if by.department != provider:
        reason = "只有提供部门的经办员可以办理"
        raise Denied(f"{by.name} 不能{what}", [reason], remedy="请提供部门的经办员办理")
