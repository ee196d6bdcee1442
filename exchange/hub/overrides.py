"""Settings changed at run time (设置变更): by the system administrator, for a reason, seen by the audit administrator.

What somebody set stands in the hub's database and holds in the place of the file's value until it is reset. Each
process looks there every few seconds, and only when somebody wants to know.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange.audit import events
from exchange.db import alone, now
from exchange.db.tables import OverrideRow
from exchange.errors import HubError, Misplaced
from exchange.hub.reasons import read_reason
from exchange.identity import Actor
from exchange.settings import Role, Settings
from exchange.settings.changing import CHANGEABLE, bounds, changed, value_of

if TYPE_CHECKING:
    from exchange.hub.core import Hub

BELIEVED = 5.0
"""Seconds after which every process goes by what was changed."""
_LOCK = "settings"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """A setting that may change at run time (可调设置).

    Attributes:
        name: ``section.name``.
        value: What holds.
        own: What the file or the environment says, or the default.
        least: The least it may be.
        most: The greatest.
        changed_by: Who changed it; None: nobody did, or it was reset.
        reason: Why.
    """

    name: str
    value: int
    own: int
    least: int
    most: int
    changed_by: str | None
    changed_at: datetime | None
    reason: str | None


class Overrides:
    """What was changed at run time.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._looking = threading.Lock()
        self._kept: tuple[Settings, float] | None = None

    @property
    def current(self) -> Settings:
        """The settings as they hold now, at most :data:`BELIEVED` seconds late."""
        kept = self._kept
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        # One looks; the others go by what is known, if anything is.
        if not self._looking.acquire(blocking=kept is None):
            assert kept is not None  # noqa: S101 - else it would have waited
            return kept[0]
        try:
            meanwhile = self._kept
            if meanwhile is not None and meanwhile is not kept:
                return meanwhile[0]
            found = self._looked(kept)
            self._kept = found, time.monotonic() + BELIEVED
            return found
        finally:
            self._looking.release()

    def _looked(self, kept: tuple[Settings, float] | None) -> Settings:
        try:
            # Whoever asks may be in a transaction of his own.
            with self._hub.database.aside() as session:
                return self._applied(_values(session))
        except HubError as error:
            if kept is None:
                raise
            # What held goes on to hold: nobody is let in more easily because the database is away.
            _logger.warning("settings changed at run time cannot be read: %s", error.message)
            return kept[0]

    def _applied(self, values: Mapping[str, Any]) -> Settings:
        settings = self._hub.settings
        for name, value in values.items():
            try:
                settings = changed(settings, {name: value})
            except HubError as error:
                # Another version of the hub may allow less.
                _logger.warning("the setting %s cannot be %r: %s", name, value, error.message)
        return settings

    def settings(self, *, by: Actor) -> list[Setting]:
        """All that may change, as they hold (列出可调设置): to the system and the audit administrator."""
        hub = self._hub
        with hub.permitted(by, Role.SYSTEM, Role.AUDIT, action="查看可调设置", of=[]):
            with hub.database.reading() as session:
                rows = {row.name: row for row in session.scalars(select(OverrideRow))}
            holds = self._applied({name: row.value for name, row in rows.items() if name in CHANGEABLE})
            return [_setting(name, holds, hub.settings, rows.get(name)) for name in CHANGEABLE]

    def set(self, name: str, value: Any, *, reason: str, by: Actor) -> Setting:
        """Change one (变更设置), in every process within :data:`BELIEVED` seconds.

        Raises:
            Unknown: It is none of those that may change.
            Invalid: The value is not right for it, or no reason is given.
            Denied: The actor is no system administrator of the hub.
            Misplaced: It is that already.
        """
        return self._change(name, value, reason=reason, by=by, reset=False)

    def reset(self, name: str, *, reason: str, by: Actor) -> Setting:
        """Have the file's own value hold again (恢复设置).

        Raises:
            Misplaced: Nobody changed it. Others as for :meth:`set`.
        """
        return self._change(name, None, reason=reason, by=by, reset=True)

    def _change(self, name: str, value: Any, *, reason: str, by: Actor, reset: bool) -> Setting:
        hub = self._hub
        what = f"{'恢复' if reset else '变更'}设置 {name[:64]}"
        with hub.permitted(by, Role.SYSTEM, action=what, of=[]):
            own = value_of(hub.settings, name)
            wanted = own if reset else value_of(changed(hub.settings, {name: value}), name)
            why = read_reason(reason, what)
            with hub.database.transaction() as session:
                alone(session, _LOCK)
                row = session.get(OverrideRow, name)
                if row is None and (reset or wanted == own):
                    raise Misplaced(f"设置 {name} 就是设置文件的 {own}")
                before = value_of(self._applied({} if row is None else {name: row.value}), name)
                if row is not None and not reset and before == wanted:
                    raise Misplaced(f"设置 {name} 已经是 {wanted}")
                if reset:
                    session.delete(row)
                    row = None
                else:
                    row = row or OverrideRow(name=name)
                    row.value, row.changed_by, row.changed_at, row.reason = wanted, by.name, now(session), why
                    session.add(row)
                event = events.SettingChanged(setting=name, before=before, after=wanted, reset=reset, reason=why)
                hub.audit.record(session, event, by=by)
            self._kept = None
            return _setting(name, self._applied({name: wanted}), hub.settings, row)


def _values(session: Session) -> dict[str, Any]:
    rows = session.execute(select(OverrideRow.name, OverrideRow.value))
    return {name: value for name, value in rows if name in CHANGEABLE}


def _setting(name: str, holds: Settings, own: Settings, row: OverrideRow | None) -> Setting:
    least, most = bounds(name)
    return Setting(
        name=name,
        value=value_of(holds, name),
        own=value_of(own, name),
        least=least,
        most=most,
        changed_by=row.changed_by if row is not None else None,
        changed_at=row.changed_at if row is not None else None,
        reason=row.reason if row is not None else None,
    )
