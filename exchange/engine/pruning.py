"""Pruning (台账清理): entries of the books that have been kept long enough go; receipts and the log stay.

What goes are files that were taken or refused, documents that were handed over, and deliveries that were owed to
recipients of files and are done or withdrawn. The oldest entries of each book are its first ones, so that looking for
them costs little however long the book is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from exchange.audit import AuditLog, events
from exchange.db import HubDatabase, alone, now
from exchange.db.tables import DispatchRow, FileRow, HandoverRow, RecallRow
from exchange.engine.dispatch import DispatchState
from exchange.engine.files import FileState
from exchange.identity import Actor

_PAGE = 500
"""Entries that go in one transaction, so that nobody waits long for the next."""
_ENDED = (DispatchState.DONE.value, DispatchState.WITHDRAWN.value)


class Pruning:
    """Removes old entries.

    Args:
        database: The hub's own.
        audit: The log.
        book_days: How long files and documents stay in the books.
        dispatch_days: How long deliveries that are no longer owed do.
    """

    def __init__(self, database: HubDatabase, audit: AuditLog, *, book_days: int, dispatch_days: int) -> None:
        self._database = database
        self._audit = audit
        self._book = timedelta(days=book_days)
        self._dispatch = timedelta(days=dispatch_days)

    def prune(self, *, by: Actor) -> int:
        """Remove what is too old, some at a time; whoever dies has removed what the log says.

        Returns:
            How many entries were removed.
        """
        removed = 0
        while page := self._prune(by):
            removed += page
        return removed

    def _prune(self, by: Actor) -> int:
        # Most times there is nothing, and nobody is to wait for that.
        with self._database.reading() as session:
            if not any(map(len, self._aged(session).values())):
                return 0
        with self._database.transaction() as session:
            alone(session, "prune")
            aged = self._aged(session)
            for table, ids in aged.items():
                if ids:
                    session.execute(delete(table).where(table.id.in_(ids)))
            counts = [len(ids) for ids in aged.values()]
            if any(counts):
                files, documents, dispatches = counts
                event = events.BooksPruned(files=files, documents=documents, dispatches=dispatches)
                self._audit.record(session, event, by=by)
        return sum(counts)

    def _aged(self, session: Session) -> dict[Any, list[int]]:
        """The first entries of each book, as far as they are too old."""
        moment = now(session)
        return {
            FileRow: self._first(session, _files, moment - self._book),
            HandoverRow: self._first(session, _handovers, moment - self._book),
            DispatchRow: self._first(session, _dispatches, moment - self._dispatch),
        }

    def _first(self, session: Session, query: Callable[[], Select[int, datetime]], oldest: datetime) -> list[int]:
        found: list[int] = []
        for number, at in session.execute(query().limit(_PAGE)):
            if at >= oldest:
                break
            found.append(number)
        return found


def _files() -> Select[int, datetime]:
    """All but those that somebody wants tried once more."""
    return select(FileRow.id, FileRow.at).where(FileRow.state != FileState.RETRY.value).order_by(FileRow.id)


def _handovers() -> Select[int, datetime]:
    """All but those of deliveries that are called back, while an answer to that is looked for."""
    recalled = exists().where(RecallRow.run == HandoverRow.run, RecallRow.due_at.is_not(None))
    return select(HandoverRow.id, HandoverRow.at).where(~recalled).order_by(HandoverRow.id)


def _dispatches() -> Select[int, datetime]:
    """Those that are done or withdrawn; the last of each exchange stays, as it says that messages tell of it."""
    later = aliased(DispatchRow)
    superseded = exists().where(later.exchange == DispatchRow.exchange, later.id > DispatchRow.id)
    ended = func.coalesce(DispatchRow.done_at, DispatchRow.made_at)
    return select(DispatchRow.id, ended).where(DispatchRow.state.in_(_ENDED), superseded).order_by(DispatchRow.id)
