"""What every part of the authorisation stands on: the directory, the log and the notices."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy.orm import Session

from catalog import Catalog, Entry, Resource, UnknownEntry
from exchange.audit import AuditLog, events
from exchange.authorisation import policy
from exchange.authorisation.application import Application
from exchange.authorisation.literals import BEIJING
from exchange.authorisation.policy import LONGEST_PERIOD, Assessment
from exchange.db import now
from exchange.db.tables import ApplicationRow, GrantRow, NoticeRow
from exchange.errors import Unknown
from exchange.identity import Actor
from exchange.settings import Settings


class Books:
    """Looks up, assesses, records and notifies, in the caller's transaction.

    Args:
        audit: The log.
        settings: Name the hub's department and the digest of keyed masks.
        catalog: The directory.
        longest: Longest period of use.
    """

    def __init__(
        self,
        audit: AuditLog,
        settings: Settings,
        catalog: Catalog | None = None,
        *,
        longest: timedelta = LONGEST_PERIOD,
    ) -> None:
        self._audit = audit
        self._settings = settings
        self._catalog = catalog or Catalog(code_pattern=settings.code_pattern)
        self._longest = longest
        self._said: dict[tuple[str, str, str, str | None], tuple[str, ...]] = {}
        """What the directory said against grants, by what was written in both."""

    def _entry(self, session: Session, code: str, version: int | None = None) -> Entry:
        try:
            entry = self._catalog.resource(session, code, version)
            if version is None and entry.version_in_force not in (None, entry.version):
                entry = self._catalog.resource(session, code, entry.version_in_force)
        except UnknownEntry as error:
            raise Unknown(error.message, remedy=error.remedy) from error
        return entry

    def _in_force(self, session: Session, code: str) -> Resource | None:
        entry = self._entry(session, code)
        return entry.resource if entry.in_force else None

    def _assessed(self, session: Session, application: Application) -> tuple[Entry, Assessment]:
        entry = self._entry(session, application.resource)
        return entry, policy.assess(
            entry.resource,
            application,
            now(session),
            in_force=entry.in_force,
            digest=self._settings.digest,
            longest=self._longest,
        )

    def _today(self, session: Session) -> date:
        return now(session).astimezone(BEIJING).date()

    def _notify(self, session: Session, department: str, text: str, actor: Actor, resource: str) -> None:
        session.add(NoticeRow(department=department, text=text, at=now(session)))
        session.flush()
        self._audit.record(session, events.NoticeIssued(department=department), by=actor, resource=resource)

    def _record(self, session: Session, event: events.Event, actor: Actor, about: ApplicationRow | GrantRow) -> None:
        self._audit.record(session, event, by=actor, resource=about.resource, department=about.department)
