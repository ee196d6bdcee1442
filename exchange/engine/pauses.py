"""Exchanges and endpoints that rest because somebody said so (暂停).

An exchange rests as long as it is paused itself, or one of its ends is. That is its state, so that whoever looks for
what is to be done passes it by; why stands in the rows of the pauses. What runs already is carried to its end; what
was begun and is in nobody's hands waits until it is resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from exchange.db import now
from exchange.db.tables import ExchangeRow, PauseRow
from exchange.errors import Failed, Misplaced

Paused = Literal["exchange", "endpoint"]
WORDS: dict[str, str] = {"exchange": "交换", "endpoint": "端点"}
_ZONE = ZoneInfo("Asia/Shanghai")


def settle(session: Session, row: ExchangeRow) -> bool:
    """Give an exchange the state that its pauses make; whether it changed. What has ended stays so."""
    before = row.state
    if before != "ended":
        row.state = "paused" if session.scalar(select(PauseRow.name).where(_of(row)).limit(1)) else "active"
    return row.state != before


def settle_all(session: Session, kind: Paused, name: str) -> list[ExchangeRow]:
    """Settle every exchange that a pause concerns; those whose state changed."""
    concerned = ExchangeRow.id == name
    if kind == "endpoint":
        ends = ExchangeRow.source["endpoint"].as_string(), ExchangeRow.target["endpoint"].as_string()
        concerned = or_(*(end == name for end in ends))
    rows = session.scalars(
        select(ExchangeRow).where(concerned, ExchangeRow.state != "ended").order_by(ExchangeRow.id).with_for_update()
    ).all()
    return [row for row in rows if settle(session, row)]


def resting(session: Session, row: ExchangeRow) -> list[str]:
    """Why an exchange rests, by whom and until when, in words; empty: nobody paused it."""
    found = session.scalars(select(PauseRow).where(_of(row)).order_by(PauseRow.kind, PauseRow.name))
    return [words(pause) for pause in found]


def words(pause: PauseRow) -> str:
    """A pause in words."""
    until = "" if pause.until is None else f"至 {pause.until.astimezone(_ZONE):%Y-%m-%d %H:%M}"
    return f"{WORDS[pause.kind]} {pause.name} 由 {pause.by} 暂停{until}：{pause.reason}"


def demand_active(session: Session, row: ExchangeRow) -> None:
    """Begin and go on with nothing of an exchange that rests.

    Raises:
        Misplaced: It rests; says why and until when.
    """
    if row.state == "paused" and (reasons := resting(session, row)):
        raise Misplaced(
            f"交换 {row.id} 已暂停：{'；'.join(reasons)}",
            remedy="由暂停它的部门或平台管理单位执行 shutong exchange resume 或 shutong endpoint resume 恢复",
        )


def demand_awake(session: Session, endpoint: str) -> None:
    """Leave an endpoint alone that rests; to be tried again later.

    Raises:
        Failed: It rests.
    """
    pause = session.get(PauseRow, ("endpoint", endpoint))
    if pause is not None:
        raise Failed(words(pause), remedy="恢复之后再试", retry=True)


def over(session: Session, *, hold: bool = False) -> Sequence[PauseRow]:
    """Pauses whose time is over; with ``hold`` nobody else changes them until the transaction ends."""
    query = select(PauseRow).where(PauseRow.until <= now(session)).order_by(PauseRow.kind, PauseRow.name)
    return session.scalars(query.with_for_update() if hold else query).all()


def _of(row: ExchangeRow) -> ColumnElement[bool]:
    ends = {row.source["endpoint"], row.target["endpoint"]}
    return or_(
        and_(PauseRow.kind == "exchange", PauseRow.name == row.id),
        and_(PauseRow.kind == "endpoint", PauseRow.name.in_(ends)),
    )
