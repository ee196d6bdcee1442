"""Pausing (暂停): an exchange, or everything at an endpoint, rests for a reason until it is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db import now
from exchange.db.tables import ExchangeRow, PauseRow
from exchange.engine import PAUSED, Paused, over, settle_all
from exchange.errors import Denied, Misplaced, Problem, Unknown
from exchange.hub.reasons import read_reason
from exchange.identity import PLATFORM, Actor
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub


class Pausing:
    """What integrators let rest, and wake again."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def pause(
        self, kind: Paused, name: str, *, reason: str, until: datetime | None = None, by: Actor
    ) -> tuple[str, ...]:
        """Let an exchange, or all exchanges of an endpoint, rest (暂停).

        What runs already is carried to its end. What is paused again has its reason and end replaced.

        Args:
            kind: ``exchange`` or ``endpoint``.
            name: Which.
            reason: Why; everybody who wants to run it is told.
            until: When it is resumed by itself; None: when somebody says so.
            by: An integrator of a party, of the endpoint's department, or of the hub.

        Returns:
            Exchanges that rest now and did not before.

        Raises:
            Invalid: There is no reason, or the end is past.
            Unknown: There is nothing of that name.
            Denied: The actor may not.
        """
        what = f"暂停{PAUSED[kind]} {name}"
        with self._changing(kind, name, what, by) as session:
            moment = now(session)
            past = [Problem("until", "应为以后的时间")] if until is not None and until <= moment else []
            why = read_reason(reason, what, besides=past)
            pause = session.get(PauseRow, (kind, name), with_for_update=True)
            if pause is None:
                pause = PauseRow(kind=kind, name=name, department=by.department)
                session.add(pause)
            else:
                self._theirs(by, pause, what)
            pause.reason, pause.by, pause.at, pause.until = why, by.name, moment, until
            session.flush()
            found = tuple(row.id for row in settle_all(session, kind, name))
            ends = None if until is None else until.isoformat(timespec="seconds")
            event = (
                events.ExchangePaused(reason=pause.reason, until=ends)
                if kind == "exchange"
                else events.EndpointPaused(name=name, reason=pause.reason, until=ends, exchanges=len(found))
            )
            self._hub.audit.record(session, event, by=by, **_about(kind, name))
        self._hub.audit.seal()
        return found

    def resume(self, kind: Paused, name: str, *, reason: str, by: Actor) -> tuple[str, ...]:
        """Wake what rests (恢复): its department's people may who paused it, and the hub's.

        Returns:
            Exchanges that are carried out again; others may rest for another reason.

        Raises:
            Invalid: There is no reason.
            Misplaced: It was not paused.
            Unknown: There is nothing of that name.
            Denied: The actor may not.
        """
        what = f"恢复{PAUSED[kind]} {name}"
        with self._changing(kind, name, what, by) as session:
            why = read_reason(reason, what)
            pause = session.get(PauseRow, (kind, name), with_for_update=True)
            if pause is None:
                remedy = "授权中止的，用 shutong grant resume 恢复"
                raise Misplaced(f"{PAUSED[kind]} {name} 没有暂停", remedy=remedy)
            self._theirs(by, pause, what)
            found = self._woken(session, pause, why, by)
        self._hub.audit.seal()
        return found

    def resume_due(self) -> int:
        """Wake what was to rest until now; how many pauses ended."""
        with self._hub.database.reading() as session:
            if not over(session):
                return 0
        with self._hub.database.transaction() as session:
            ended = over(session, hold=True)
            for pause in ended:
                self._woken(session, pause, "暂停期限已到", PLATFORM)
        return len(ended)

    @contextmanager
    def _changing(self, kind: Paused, name: str, what: str, by: Actor) -> Iterator[Session]:
        """A transaction of somebody who may; a refusal is logged."""
        hub = self._hub
        with hub.permitted(by, Role.INTEGRATOR, action=what, of=self._whose(kind, name), **_about(kind, name)):
            try:
                with hub.told(), hub.database.transaction() as session:
                    yield session
            except Denied as error:
                hub.denied(by, what, error, **_about(kind, name))
                raise

    def _woken(self, session: Session, pause: PauseRow, reason: str, by: Actor) -> tuple[str, ...]:
        kind: Paused = "exchange" if pause.kind == "exchange" else "endpoint"
        session.delete(pause)
        session.flush()
        found = tuple(row.id for row in settle_all(session, kind, pause.name))
        event = (
            events.ExchangeResumed(reason=reason)
            if kind == "exchange"
            else events.EndpointResumed(name=pause.name, reason=reason, exchanges=len(found))
        )
        self._hub.audit.record(session, event, by=by, **_about(kind, pause.name))
        return found

    def _theirs(self, by: Actor, pause: PauseRow, what: str) -> None:
        if by.department not in (pause.department, self._hub.settings.hub_department):
            reasons = [f"它由 {pause.by} 暂停：{pause.reason}"]
            raise Denied(f"不能{what}", reasons, remedy="由暂停它的部门或平台管理单位的集成工程师办理")

    def _whose(self, kind: Paused, name: str) -> list[str]:
        """Departments whose integrators may."""
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            if kind == "endpoint":
                return [hub.catalog.endpoint(session, name).department]
            row = session.get(ExchangeRow, name)
            if row is None:
                raise Unknown(f"没有交换 {name}", remedy="用 shutong status 查看已有的交换")
            if row.state == "ended":
                raise Misplaced(f"交换 {name} 已终止")
            return [row.provider, row.recipient]


def _about(kind: Paused, name: str) -> dict[str, str]:
    return {"exchange": name} if kind == "exchange" else {}
