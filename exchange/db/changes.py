"""Commits that changed something somebody wants to know of (变更).

A session marks itself when it flushes a change to what is watched; whoever commits it looks at the mark. A change that
was undone to a savepoint leaves the mark: it says that there may be something to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker

Watched = Mapping[type[Any], frozenset[str]]
"""Mapped classes, each with its attributes that do not matter (不计的列)."""


class Changes:
    """Who wants to know of changes to what.

    Args:
        sessions: Makes the sessions that write.
    """

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._followers: list[tuple[Watched, Callable[[], None]]] = []

    def follow(self, watched: Watched, then: Callable[[], None]) -> None:
        """Have somebody told after each commit that changed any of these rows.

        Args:
            watched: What it is about.
            then: Is called once for a transaction that was committed, and must not raise.
        """
        if not self._followers:
            # Who follows nothing pays nothing.
            event.listen(self._sessions, "after_flush", self._flushed)
            event.listen(self._sessions, "do_orm_execute", self._executed)
        self._followers.append((watched, then))

    def tell(self, session: Session) -> None:
        """Tell the followers of what a session, now committed, has changed."""
        marked: set[int] = session.info.pop(self, set())
        for number in sorted(marked):
            self._followers[number][1]()

    def _flushed(self, session: Session, _context: object) -> None:
        for number, (watched, _) in enumerate(self._followers):
            if number not in session.info.get(self, ()) and _touched(session, watched):
                self._mark(session, number)

    def _executed(self, state: ORMExecuteState) -> None:
        """A statement that changes many rows at once, whichever columns."""
        if not (state.is_insert or state.is_update or state.is_delete):
            return
        changed = state.bind_mapper.class_ if state.bind_mapper is not None else None
        for number, (watched, _) in enumerate(self._followers):
            if changed in watched:
                self._mark(state.session, number)

    def _mark(self, session: Session, number: int) -> None:
        session.info.setdefault(self, set()).add(number)


def _touched(session: Session, watched: Watched) -> bool:
    if any(type(row) in watched for rows in (session.new, session.deleted) for row in rows):
        return True
    for row in session.dirty:
        idle = watched.get(type(row))
        if idle is None:
            continue
        told = inspect(row)
        for attribute in told.mapper.column_attrs:
            if attribute.key not in idle and told.attrs[attribute.key].history.has_changes():
                return True
    return False
