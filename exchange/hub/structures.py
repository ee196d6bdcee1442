"""Structures of the tables of an exchange (表结构): how they differ from what was approved, and approving it.

A changed structure is never approved by the department that changed it: an integrator of the other party or of the
hub does. The base library belongs to the hub, so that a change to it, which nobody makes but by hand, is approved by an
integrator of one of the parties, or undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.db import now
from exchange.db.tables import ExchangeRow
from exchange.engine import Comparison
from exchange.errors import Denied, Invalid, Misplaced, Problem
from exchange.hub.reasons import read_reason
from exchange.identity import Actor
from exchange.plan import Plan
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub


class Structures:
    """Comparing the structures of both ends, and approving a changed one."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def diff(self, exchange: str, *, by: Actor) -> tuple[Comparison, ...]:
        """Both ends as they are now, beside what they were when that was last in order; changes nothing (结构比较)."""
        hub = self._hub
        hub.exchanges.demand_party(exchange, f"比较交换 {exchange} 的表结构", by=by)
        return self._compared(hub.sharing.plan(exchange))

    def approve(self, exchange: str, *, reason: str, by: Actor) -> tuple[Comparison, ...]:
        """Accept what holds an exchange, as it is found now, and let it run (结构批准).

        Returns:
            The ends that were approved, with every change.

        Raises:
            Denied: Who approves belongs to the department whose table changed.
            Misplaced: There is nothing to approve.
            Invalid: No reason was given, or the exchange could not run with what is there.
        """
        hub = self._hub
        what = f"批准交换 {exchange} 的表结构变化"
        about = {"of": self._parties(exchange), "exchange": exchange}
        with hub.permitted(by, Role.INTEGRATOR, action=what, **about):
            why = read_reason(reason, what)
            plan = hub.sharing.plan(exchange)
            holding = tuple(each for each in self._compared(plan) if each.holds)
            if not holding:
                raise Misplaced(f"交换 {exchange} 没有待批准的表结构变化", remedy=f"用 shutong run {exchange} 执行")
            try:
                self._not_his_own(what, holding, by)
            except Denied as error:
                hub.denied(by, what, error, exchange=exchange)
                raise
            self._demand_fit(what, plan, holding)
            with hub.told(), hub.database.transaction() as session:
                for each in holding:
                    hub.engine.structures.approve(session, plan, each, reason=why, by=by)
                session.get_one(ExchangeRow, exchange).due_at = now(session)
        return holding

    def _compared(self, plan: Plan) -> tuple[Comparison, ...]:
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            ends = (hub.endpoints.open(session, end.endpoint) for end in (plan.source, plan.target))
            looks, unseen = hub.engine.structures.look(plan, *ends)
            if unseen is not None:
                raise unseen
            return hub.engine.structures.compare(session, plan, looks)

    def _not_his_own(self, what: str, holding: tuple[Comparison, ...], by: Actor) -> None:
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            changed = {each.look.end.endpoint for each in holding}
            own = [name for name in sorted(changed) if hub.catalog.endpoint(session, name).department == by.department]
        if own:
            raise Denied(
                f"不能{what}",
                [f"端点 {name} 属于本部门，不能批准自己的变化" for name in own],
                remedy="请交换另一方或平台管理单位的集成工程师批准，或改回原结构",
            )

    def _demand_fit(self, what: str, plan: Plan, holding: tuple[Comparison, ...]) -> None:
        """What is accepted must be such that the exchange can run."""
        hub = self._hub
        problems: list[Problem] = []
        with hub.told(), hub.database.reading() as session:
            for each in holding:
                if each.look.side == "source":
                    problems += hub.endpoints.check_source(
                        session, plan.source, key=plan.key, version=plan.version, items=plan.items
                    )
                else:
                    problems += hub.endpoints.check_target(session, plan)
        if problems:
            raise Invalid(
                f"不能{what}：照现在的挂接执行不了",
                problems,
                remedy="请对方改回，或登记资源的新版本（目标端则重新申请），挂接到现有的列",
            )

    def _parties(self, exchange: str) -> list[str]:
        with self._hub.database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            return [row.provider, row.recipient] if row is not None else []
