"""The log as the rest of the hub uses it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sqlalchemy import String, bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from exchange.audit import search
from exchange.audit.chain import FIRST, Chain, Stored, Unreadable, stored
from exchange.audit.contexts import placed
from exchange.audit.events import Event, LogExported, LogRead, LogRestored
from exchange.audit.exporting import EVENTS, FORMATS, appearing, checked_format, write
from exchange.audit.heads import Head, Heads
from exchange.audit.verification import Verification, verify
from exchange.db import HubDatabase, alone, now
from exchange.db.tables import Base, EventRow
from exchange.errors import Invalid, Misplaced, Tampered
from exchange.secrets import Keyring
from exchange.settings import Settings

_BATCH = 1000
_EVENT = Base.metadata.tables["event"]
_INSERTED = insert(_EVENT).returning(_EVENT.c.id, sort_by_parameter_order=True)
_TAGGED = update(_EVENT).where(_EVENT.c.id == bindparam("which")).values(tag=bindparam("given"))
_SEALED = EventRow.number.between(1, 2**62)
"""Not only set: SQLite lets other hands put text there, which would sort beyond every number."""
_logger = logging.getLogger(__name__)


class By(Protocol):
    """Who acted, as far as the log is concerned."""

    @property
    def name(self) -> str:
        """Name of the actor."""

    @property
    def established(self) -> str:
        """How that was established."""

    @property
    def department(self) -> str | None:
        """Credit code of the actor's department."""


@dataclass(frozen=True)
class Written:
    """An event to be written with others: what :meth:`AuditLog.record` takes."""

    event: Event
    by: By
    resource: str | None = None
    exchange: str | None = None
    run: str | None = None
    department: str | None = None


class AuditLog:
    """Writes, seals, verifies and searches the log.

    Args:
        database: The hub's database.
        keyring: Opens the key of the log when it is first needed.
        settings: Name the digest and the home, where the file of heads lies.
    """

    def __init__(self, database: HubDatabase, keyring: Keyring, settings: Settings) -> None:
        self._database = database
        self._keyring = keyring
        self._algorithm = settings.digest
        self._heads = Heads(settings.home)
        self._suspect: set[int] = set()

    @cached_property
    def _chain(self) -> Chain:
        return Chain(self._keyring.audit_key(), self._algorithm)

    def record(
        self,
        session: Session,
        event: Event,
        by: By,
        *,
        resource: str | None = None,
        exchange: str | None = None,
        run: str | None = None,
        department: str | None = None,
    ) -> None:
        """Write an event in the transaction of its cause, to be sealed once that is committed.

        Text that no database could store is written as near as can be: a refusal must be logged whatever the
        refused one has typed.

        Args:
            session: The transaction of the cause.
            event: What happened.
            by: Who did it.
            resource: Code of the resource it is about.
            exchange: Id of the exchange it is about.
            run: Id of the run it is about.
            department: Credit code of the department it is about; without it, the actor's.

        Raises:
            Invalid: A field of the event is not of its type.
        """
        self._write(session, event, by, department, resource=resource, exchange=exchange, run=run)

    def record_all(self, session: Session, written: Sequence[Written], at: datetime | None = None) -> None:
        """Write several events in the transaction of their causes, as :meth:`record` writes one, in their order.

        Args:
            session: The transaction.
            written: The events.
            at: This moment by the database's clock, where the caller has just asked for it.
        """
        if not written:
            return
        moment = at or now(session)
        rows = [
            self._columns(
                each.event, each.by, moment, each.department,
                resource=each.resource, exchange=each.exchange, run=each.run,
            )
            for each in written
        ]  # fmt: skip
        connection = session.connection()
        numbers = connection.execute(_INSERTED, rows).scalars().all()
        tags = [
            {"which": number, "given": self._chain.tag(Stored(**row, id=number, number=None, seal=None))}
            for number, row in zip(numbers, rows, strict=True)
        ]
        connection.execute(_TAGGED, tags)

    def _write(self, session: Session, event: Event, by: By, department: str | None = None, **about: str | None) -> int:
        row = EventRow(**self._columns(event, by, now(session), department, **about))
        session.add(row)
        # The tag covers the id, so that a copy of the row is not an event.
        session.flush()
        row.tag = self._chain.tag(_stored(row))
        session.flush()
        return row.id

    @staticmethod
    def _columns(event: Event, by: By, at: datetime, department: str | None, **about: str | None) -> dict[str, Any]:
        return {
            "type": type(event).__name__,
            "at": at,
            "actor": _fitting("actor", by.name),
            "established": _fitting("established", by.established),
            "department": _fitting("department", department or by.department),
            "body": _clean(event.body()),
            "tag": "",
            **{column: _fitting(column, text) for column, text in about.items()},
        }

    def seal(self) -> int:
        """Number and chain what is committed and not sealed yet, and note how far the log goes.

        An event the hub did not write is left unsealed, said in the program's log once, and found by
        :meth:`verify`.

        Returns:
            How many events were sealed.

        Raises:
            Busy: The database is held by somebody else.
            Failed: The database or the file of heads cannot be used.
        """
        sealed = 0
        with self._database.reading() as session:
            head, moment = _head(session), now(session)
            # One more than those known not to be ours shows whether there is anything to do.
            waiting = select(EventRow.id).where(EventRow.number.is_(None)).limit(len(self._suspect) + 1)
            more = any(row not in self._suspect for row in session.scalars(waiting))
        if more and not head.number:
            # Before the first sealing: a file that begins later has lost its beginning.
            self._heads.append(head, self._chain, moment, fresh=False)
        after = 0
        while more:
            with self._database.transaction() as session:
                alone(session, "seal")
                count, head, last = self._seal_some(session, after)
                moment = now(session)
            sealed += count
            more, after = last is not None, last or after
        if head.number:
            self._heads.append(head, self._chain, moment, fresh=sealed > 0)
        return sealed

    def _seal_some(self, session: Session, after: int) -> tuple[int, Head, int | None]:
        """Seal a batch of events beyond an id: how many, the new head, the id to go on from if there are more."""
        number, previous = (head := _head(session)).number, head.seal
        places: list[dict[str, Any]] = []
        ours: list[Stored] = []
        waiting = stored(session, EventRow.number.is_(None), EventRow.id > after, order=EventRow.id.asc(), limit=_BATCH)
        seen = [after]
        for event in waiting:
            seen.append(event.id)
            if isinstance(event, Unreadable) or not self._chain.is_tagged(event):
                self._suspected(event.id)
                continue
            number += 1
            previous = self._chain.seal(previous, number, event)
            places.append({"id": event.id, "number": number, "seal": previous})
            ours.append(event)
        if places:
            found = placed(session, ours)
            session.execute(update(EventRow), [{**place, "context": found[place["id"]]} for place in places])
        return len(places), Head(number, previous), seen[-1] if len(seen) > _BATCH else None

    def arrange(self) -> int:
        """Note what events are found by that were sealed before that was noted; how many there were.

        Nothing that is sealed is touched.
        """
        done, after = 0, 0
        while True:
            sealed = (EventRow.context.is_(None), EventRow.number.is_not(None), EventRow.id > after)
            with self._database.transaction() as session:
                alone(session, "seal")
                read = list(stored(session, *sealed, order=EventRow.id.asc(), limit=_BATCH))
                events = [event for event in read if isinstance(event, Stored)]
                if events:
                    found = placed(session, events)
                    session.execute(update(EventRow), [{"id": row, "context": found[row]} for row in found])
            if not read:
                return done
            done, after = done + len(events), read[-1].id

    def _suspected(self, row: int) -> None:
        if row not in self._suspect:
            self._suspect.add(row)
            _logger.error("日志记录 %s 不是平台写入的，或写入后被改动，不予封存；请用 shutong audit verify 核验", row)

    def head(self) -> str:
        """How far the log goes: ``number:seal`` of its last sealed event, ``0:`` if there is none."""
        with self._database.reading() as session:
            return str(_head(session))

    def verify(self, witnesses: Iterable[tuple[str, str]] = ()) -> Verification:
        """Recompute the whole log and compare it with the file of heads and with heads found elsewhere.

        Args:
            witnesses: Heads (``number:seal``) from receipts and ledgers, each with where it was found; read
                before this is called.

        Raises:
            Invalid: A witness is not a head.
            Tampered: The table of the log cannot be read at all.
        """
        heads = [(where, _parsed(where, text)) for where, text in witnesses]
        lines = list(self._heads.lines(self._chain))
        try:
            with self._database.reading() as session:
                return verify(session, self._chain, lines, heads)
        except DBAPIError as error:
            raise Tampered("日志表无法读取，结构或内容被改动", remedy="保全现场，从备份恢复后核对") from error

    def acknowledge_restore(self, by: By, reason: str, witnesses: Iterable[tuple[str, str]] = ()) -> None:
        """Note in the log that its end, or the beginning of the file of heads, was lost with a restored backup.

        What the file of heads and the witnesses know beyond the backup is from then on reported as lost by it.

        Args:
            by: The auditor who answers for it.
            reason: Why.
            witnesses: Heads found elsewhere, as for :meth:`verify`.

        Raises:
            Misplaced: Nothing is missing.
            Invalid: A witness is not a head.
        """
        self.seal()
        genuine = [line.head for line in self._heads.lines(self._chain) if line.head is not None and line.genuine]
        noted_from = genuine[0].number if genuine else 0
        told = [_parsed(where, text) for where, text in witnesses]
        known = [head for head in (*genuine, *told) if head.number]
        with self._database.transaction() as session:
            numbers = {head.number for head in known}
            rows = session.execute(select(EventRow.number, EventRow.seal).where(_SEALED))
            seals = {number: seal for number, seal in rows if number in numbers}
            lost = [head for head in known if seals.get(head.number) != head.seal]
            if not lost and not noted_from:
                raise Misplaced("日志和链头文件完整，没有随恢复备份而失的部分", remedy="无需处理")
            farthest = max(lost, key=lambda head: head.number, default=_head(session))
            first = min((head.number for head in lost), default=farthest.number + 1)
            kept = max((head.number for head in known if head.number < first), default=0)
            event = LogRestored(
                kept=kept, lost=farthest.number, head=farthest.seal, noted_from=noted_from, reason=reason
            )
            self.record(session, event, by)

    def search(self, *, by: By, limit: int = 100, cursor: str | None = None, **filters: Any) -> search.Page:
        """Find events, newest first; that they were looked at becomes an event itself.

        Args:
            by: Who looks.
            limit: Events on a page.
            cursor: Where to go on, from the page before.
            **filters: Fields of :class:`exchange.audit.search.Query`, all of which must hold.

        Raises:
            Invalid: A filter is unknown or wrong.
            Tampered: A row found cannot be read.
        """
        query = _query(filters)
        own = self._noted(LogRead(query=query.said()), by)
        with self._database.reading() as session:
            return search.page(session, query, own, limit=limit, cursor=cursor)

    def export(
        self,
        path: Path | BinaryIO,
        *,
        by: By,
        format: str | None = None,
        most: int | None = None,
        **filters: Any,
    ) -> int:
        """Write what is found to a file, oldest first; that becomes an event itself.

        Args:
            path: The file, which must not exist yet and appears whole or not at all; or an open one, which is written
                to and left open.
            by: Who exports.
            format: ``jsonl``, ``csv``, ``xlsx`` or ``parquet``; without it, by the file's name.
            most: More events are refused.
            **filters: Fields of :class:`exchange.audit.search.Query`, all of which must hold.

        Returns:
            How many events were written.

        Raises:
            Invalid: A filter or the format is wrong, or there are more events than allowed.
            Misplaced: The file exists.
            Tampered: A row found cannot be read.
        """
        query = _query(filters)
        chosen = checked_format(path, format) if isinstance(path, Path) else format or ""
        if chosen not in FORMATS:
            raise Invalid("日志只能导出为 " + "、".join(FORMATS), remedy="写明格式")
        own = self._noted(LogExported(query=query.said(), format=chosen), by)
        place = appearing(path) if isinstance(path, Path) else nullcontext(path)
        with (
            self._database.reading() as session,
            place as out,
            closing(search.every(session, query, own)) as found,
        ):
            return write(out, chosen, EVENTS, map(_flat, found), most=most)

    def _noted(self, event: Event, by: By) -> int:
        """Record that the log is looked at, and say under which id: nobody looks for that."""
        with self._database.transaction() as session:
            return self._write(session, event, by)


def _flat(event: Stored) -> dict[str, Any]:
    return {name: getattr(event, name) for name in EVENTS.names}


def _query(filters: Mapping[str, Any]) -> search.Query:
    unknown = filters.keys() - search.Query.__dataclass_fields__.keys()
    if unknown:
        raise Invalid(
            f"日志不能按 {'、'.join(sorted(unknown))} 检索",
            remedy="可用：" + "、".join(search.Query.__dataclass_fields__),
        )
    return search.Query(**filters)


def _head(session: Session) -> Head:
    row = session.execute(
        select(EventRow.number, EventRow.seal).where(_SEALED).order_by(EventRow.number.desc()).limit(1)
    ).first()
    return Head(0, FIRST) if row is None else Head(int(row[0] or 0), str(row[1] or ""))


def _stored(row: EventRow) -> Stored:
    return Stored(
        row.id, row.type, row.at, row.actor, row.established, row.department, row.resource, row.exchange, row.run,
        row.body, row.tag, row.number, row.seal,
    )  # fmt: skip


def _parsed(where: str, text: str) -> Head:
    number, colon, seal = text.partition(":")
    if not colon or not number.isdecimal():
        raise Invalid(f"{where}中的链头写法不对", remedy="应为 编号:封存值")
    return Head(int(number), seal)


def _clean(value: Any) -> Any:
    """The same with every text such as every product can store."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
        case list():
            return [_clean(part) for part in value]
        case dict():
            return {_clean(key): _clean(part) for key, part in value.items()}
    return value


def _fitting(column: str, text: str | None) -> str | None:
    """A text such as the column can store."""
    if text is None:
        return None
    kind = EventRow.__table__.c[column].type
    longest = kind.length if isinstance(kind, String) else None
    clean = str(_clean(text))
    return clean if longest is None or len(clean) <= longest else clean[: longest - 1] + "…"
