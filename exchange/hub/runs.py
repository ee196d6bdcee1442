"""Runs (批次): found by what people know of them, and one followed from its plan to what its target's ledger says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from catalog import errors as told_by_catalog
from exchange.db.tables import ExchangeRow, ReceiptRow, RunRow
from exchange.engine import RunState
from exchange.errors import HubError, Invalid, Unknown
from exchange.hub.files import oversees
from exchange.identity import Actor
from exchange.settings import Role

if TYPE_CHECKING:
    from exchange.hub.core import Hub

LARGEST_PAGE = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class RunLine:
    """A run as it is listed (批次)."""

    id: str
    exchange: str
    kind: str
    resource: str
    provider: str
    recipient: str
    way: str
    state: str
    counts: dict[str, int]
    error: str | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class RunPage:
    """Some runs, the last begun first; ``cursor`` leads on, None on the last page."""

    runs: tuple[RunLine, ...]
    cursor: str | None


@dataclass(frozen=True)
class LedgerAnswer:
    """What a target's ledger says of a delivery now (台账答复).

    Attributes:
        place: Where it was asked.
        found: Whether it knows the delivery; None: it could not be asked.
        why: Why it could not be asked.
        at: When the delivery was committed there, by its own clock.
        written: Rows it says were written.
        differences: In what it does not say what the receipt says; empty where it agrees.
    """

    place: str
    found: bool | None
    why: str = ""
    at: datetime | None = None
    written: int | None = None
    differences: tuple[str, ...] = ()


class Runs:
    """What people ask about runs.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def found(
        self,
        *,
        by: Actor,
        exchange: str | None = None,
        resource: str | None = None,
        department: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> RunPage:
        """Runs by exchange, resource, department, state and period (列出批次), as far as they concern the actor.

        Args:
            by: Who looks: the parties of an exchange see its runs, who oversees the hub all.
            exchange: Id of an exchange.
            resource: Code of a resource.
            department: Credit code of a party.
            state: One of :class:`exchange.engine.RunState`.
            since: Begun no earlier.
            until: Begun earlier.
            cursor: Where to go on.
            limit: Runs on a page.

        Raises:
            Invalid: There is no such state, or the cursor or the limit is wrong.
        """
        if state is not None and state not in {each.value for each in RunState}:
            raise Invalid(f"批次没有状态 {state}", remedy="可用：" + "、".join(each.value for each in RunState))
        if not 1 <= limit <= LARGEST_PAGE:
            raise Invalid(f"每页条数应在 1 到 {LARGEST_PAGE} 之间")
        asked: list[ColumnElement[bool]] = [
            column == value
            for column, value in (
                (RunRow.exchange, exchange), (ExchangeRow.resource, resource), (RunRow.state, state),
            )
            if value is not None
        ]  # fmt: skip
        if department is not None:
            asked.append(or_(ExchangeRow.provider == department, ExchangeRow.recipient == department))
        if since is not None:
            asked.append(RunRow.started_at >= since)
        if until is not None:
            asked.append(RunRow.started_at < until)
        if not oversees(self._hub, by):
            asked.append(or_(ExchangeRow.provider == by.department, ExchangeRow.recipient == by.department))
        if cursor is not None:
            asked.append(_older(cursor))
        with self._hub.database.reading() as session:
            rows = session.execute(
                select(RunRow, ExchangeRow)
                .join(ExchangeRow, ExchangeRow.id == RunRow.exchange)
                .where(*asked)
                .order_by(RunRow.started_at.desc(), RunRow.id.desc())
                .limit(limit + 1)
            ).all()
        lines = [_line(run, row) for run, row in rows[:limit]]
        return RunPage(tuple(lines), _cursor(lines[-1]) if len(rows) > limit else None)

    def ledger(self, run: str, *, by: Actor) -> LedgerAnswer:
        """Ask the target's ledger what it knows of a delivery (台账核对); nothing is changed.

        Args:
            run: Id of a run.
            by: An integrator of a party or of the hub, the system administrator, or the audit administrator.

        Raises:
            Denied: He may not.
            Unknown: There is no such run.
        """
        hub = self._hub
        with hub.database.reading() as session:
            row = self._seen(session, run, by)
            exchange = session.get_one(ExchangeRow, row.exchange)
            parties = None if Role.AUDIT in by.roles else [exchange.provider, exchange.recipient]
        action = f"核对批次 {run} 的台账"
        with hub.permitted(
            by, Role.INTEGRATOR, Role.SYSTEM, Role.AUDIT, action=action, of=parties, exchange=row.exchange
        ):
            return self._asked(row)

    def _asked(self, row: RunRow) -> LedgerAnswer:
        place = f"{row.plan['target']['endpoint']} › {row.plan['target']['object']}"
        with self._hub.database.reading() as session:
            try:
                kept = self._hub.endpoints.settled(session, row)
            except ValidationError:
                return LedgerAnswer(place, None, why="批次的方案被改动")
            except (HubError, told_by_catalog.CatalogError) as error:
                return LedgerAnswer(place, None, why=error.message)
            document = session.scalar(select(ReceiptRow).where(ReceiptRow.run == row.id))
        if kept is None:
            missing = ("台账中没有这次交付，而平台签发过回执",) if document is not None else ()
            return LedgerAnswer(place, found=False, differences=missing)
        said = document.body if document is not None else {}
        counts = said.get("counts", {})
        pairs = (
            ("写入行数", counts.get("written"), kept.written),
            ("其中删除", counts.get("deleted"), kept.deleted),
            ("清单摘要", said.get("manifest"), kept.manifest),
            ("日志链头", said.get("audit_head"), kept.head or said.get("audit_head")),
        )
        differences = [
            f"{word}：回执 {ours}，台账 {theirs}"
            for word, ours, theirs in pairs
            if document is not None and ours != theirs
        ]
        if document is None:
            differences.append("台账记有这次交付，平台没有它的回执")
        return LedgerAnswer(place, found=True, at=kept.at, written=kept.written, differences=tuple(differences))

    def _seen(self, session: Session, run: str, by: Actor) -> RunRow:
        row = session.get(RunRow, run)
        if row is None:
            raise Unknown(f"没有批次 {run[:40]}", remedy="批次见批次列表")
        self._hub.oversight.may_see(by, session, row.exchange)
        return row


def _line(run: RunRow, exchange: ExchangeRow) -> RunLine:
    return RunLine(
        id=run.id,
        exchange=run.exchange,
        kind=exchange.kind,
        resource=exchange.resource,
        provider=exchange.provider,
        recipient=exchange.recipient,
        way=str(run.plan.get("way", "")),
        state=run.state,
        counts=dict(run.counts or {}),
        error=run.error,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _cursor(last: RunLine) -> str:
    return f"{(last.started_at - _EPOCH) // _INSTANT}.{last.id}"


_DIGITS = 17  # of microseconds, until the year 5138


def _older(cursor: str) -> ColumnElement[bool]:
    micros, _dot, run = cursor.partition(".")
    if not micros.isdecimal() or len(micros) > _DIGITS or not run:
        raise Invalid("翻页标记不对", remedy="原样使用上一页给出的标记")
    at: Any = _EPOCH + int(micros) * _INSTANT
    return and_(RunRow.started_at <= at, or_(RunRow.started_at < at, RunRow.id < run))
