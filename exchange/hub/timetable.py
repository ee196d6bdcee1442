"""The timetable (排班): what a scheduler is told of the hub, and what the hub keeps for it.

The hub never waits for a scheduler. It writes a snapshot of what is to be scheduled after every commit that changed
that; whoever dies between the commit and the writing leaves an old one, which housekeeping replaces. What is owed
stands in the hub's own books: a scheduler that lost an event learns it from here.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import CatalogError
from catalog.tables import DepartmentRow, EndpointRow, ResourceRow, ResourceVersionRow
from exchange.db.tables import ExchangeRow, GrantRow, PauseRow
from exchange.errors import Busy, Failed, HubError, Invalid
from exchange.hub.arrivals import Arrivals
from exchange.hub.behind import behind
from exchange.hub.files import oversees
from exchange.hub.freshness import Freshness, freshness, tell
from exchange.hub.keeping import Kept, keep
from exchange.hub.overdue import lost
from exchange.hub.roster import roster
from exchange.identity import PLATFORM, Actor
from exchange.settings import Role
from exchange.snapshot import Snapshot, read, write

if TYPE_CHECKING:
    from exchange.hub.core import Hub

_WATCHED = {
    # What every run moves is not in the snapshot.
    ExchangeRow: frozenset({"position", "shape", "last_delivery", "due_at", "tried_at"}),
    PauseRow: frozenset({"reason", "by", "department", "at", "until"}),
    GrantRow: frozenset({"version", "quota_rows"}),
    EndpointRow: frozenset({"options", "zone", "changed_at"}),
    DepartmentRow: frozenset({"division", "body", "changed_at"}),
    ResourceRow: frozenset({"latest", "words"}),
    ResourceVersionRow: frozenset({"body", "changed_at", "state", "published_at"}),
}
"""What a snapshot is made of, without the columns that do not show in it."""

LATE = 300.0
"""Seconds after which people are told of what is due and nobody is at."""
PATIENCE = 5.0
"""Seconds to wait for who else publishes."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What came of publishing.

    Attributes:
        path: Where the snapshot lies.
        changed: Whether it was written; the one there may have said the same.
        exchanges: How many are scheduled.
        pools: How many endpoints have a pool.
        broken: Exchanges that cannot be scheduled, each with its reason.
    """

    path: Path
    changed: bool
    exchanges: int
    pools: int
    broken: dict[str, str]


@dataclass(frozen=True)
class TimetableStatus:
    """How the snapshot stands (排班快照状态).

    Attributes:
        path: Where it lies.
        wanted: Whether anybody schedules this hub.
        current: Whether it says what the directory says now.
        problem: Why it cannot be read; None: it can, or nobody schedules this hub.
        written_at: When it was written last.
        exchanges: How many are to be scheduled now.
        paused: How many of them rest.
        broken: Exchanges that cannot be scheduled, each with its reason.
        lost: Exchanges whose time has long come and that nobody is at.
    """

    path: Path
    wanted: bool
    current: bool
    problem: str | None
    written_at: datetime | None
    exchanges: int
    paused: int
    broken: dict[str, str]
    lost: tuple[str, ...]


class Timetable:
    """What is to be scheduled, what waits, what was lost, and housekeeping."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._arrivals = Arrivals(hub)
        hub.database.changes.follow(_WATCHED, self._changed)

    # --- the snapshot --------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Where the snapshot lies."""
        return self._hub.settings.home / self._hub.settings.airflow.snapshot.expanduser()

    @property
    def wanted(self) -> bool:
        """Whether anybody schedules this hub: then the snapshot's folder is there, made by the first publishing."""
        return self.path.parent.is_dir()

    def snapshot(self) -> Snapshot:
        """What is to be scheduled now."""
        with self._hub.told(), self._hub.database.reading() as session:
            return roster(self._hub, session)

    def publish(self, *, by: Actor = PLATFORM) -> Published:
        """Write the snapshot if it says anything new (发布排班快照).

        Of several who publish at once the last has looked after all of them had committed.

        Args:
            by: The platform, or an integrator or system administrator of the hub.

        Raises:
            Denied: The actor may not.
            Busy: Somebody else is at it and does not come to an end.
            Failed: The file cannot be written.
        """
        if by != PLATFORM:
            self._demand(by, "发布排班快照")
        path = self.path
        try:
            with _alone(path):
                snapshot = self.snapshot()
                changed = write(path, snapshot)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise Failed(f"不能写排班快照 {path}：{reason}", remedy="检查所在文件夹的权限和磁盘") from error
        return Published(path, changed, len(snapshot.exchanges), len(snapshot.pools), dict(snapshot.broken))

    def status(self, *, by: Actor) -> TimetableStatus:
        """How the snapshot stands, to an integrator or system administrator of the hub, or its auditor.

        Raises:
            Denied: The actor may not.
        """
        self._demand(by, "查看排班快照", Role.AUDIT)
        path, wanted, found, problem, written = self.path, self.wanted, None, None, None
        if wanted:
            try:
                found = read(path)
                written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            except Invalid as error:
                problem = error.message
            except OSError as error:
                problem = os.strerror(error.errno or 0)
        now = self.snapshot()
        return TimetableStatus(
            path=path,
            wanted=wanted,
            current=found == now,
            problem=problem,
            written_at=written,
            exchanges=len(now.exchanges),
            paused=sum(each.paused is True for each in now.exchanges),
            broken=dict(now.broken),
            lost=tuple(self.lost(LATE)),
        )

    def _demand(self, by: Actor, action: str, *further: Role) -> None:
        of = [self._hub.settings.hub_department]
        with self._hub.permitted(by, Role.INTEGRATOR, Role.SYSTEM, *further, action=action, of=of):
            return

    def _changed(self) -> None:
        """Something that shows in it was committed; it is true whether or not this can be written."""
        if not self.wanted:
            return
        try:
            self.publish()
        except (HubError, CatalogError) as error:
            _logger.warning("the snapshot was not published, housekeeping will do it: %s", error)

    # --- what is to be run ---------------------------------------------------------------------

    def waiting(self) -> dict[str, str]:
        """Exchanges at whose source something waits, each with a mark that changes when something new does (待收)."""
        return self._arrivals.waiting()

    def lost(self, grace_seconds: float) -> list[str]:
        """Exchanges that should have been run longer ago than that (漏办), each once.

        Those whose time came and that nobody is at, and deliveries that are behind what they read.
        """
        late = lost(self._hub, timedelta(seconds=grace_seconds))
        return list(dict.fromkeys([*late, *behind(self._hub, grace_seconds)]))

    def freshness(self, *, by: Actor = PLATFORM) -> list[Freshness]:
        """Each resource against its update cycle, the most overdue first (更新时效).

        The platform sees all and tells what is overdue: an event and a notice, once until it is refreshed again. People
        see what concerns their department, and who oversees the hub everything.
        """
        if by == PLATFORM:
            tell(self._hub)
            self._hub.audit.seal()
        found = freshness(self._hub)
        if by == PLATFORM or oversees(self._hub, by):
            return found
        return [each for each in found if by.department in (each.provider, each.recipient)]

    # --- housekeeping --------------------------------------------------------------------------

    def keep(self, *, by: Actor = PLATFORM) -> Kept:
        """Housekeeping (日常维护); where anybody schedules this hub, the snapshot is made true too."""
        more = {"snapshot": lambda: int(self.publish().changed)} if self.wanted else {}
        kept = keep(self._hub, by=by, more=more)
        self._hub.audit.seal()
        return kept


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one at a time publish; whoever dies over it lets go, and one that stands still keeps nobody for long.

    Raises:
        Busy: Somebody else is at it.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    end = time.monotonic() + PATIENCE
    with path.with_name(f".{path.name}.lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise Busy(f"排班快照 {path} 正由其他进程书写", remedy="稍后重试") from None
                time.sleep(0.02)
        yield
