"""The register of looks (查询登记): gate, quota, limit and event of each look, durable before its row is handed out.

Looks that wait at the same moment are written in one transaction: one of the threads that wait writes for all of
them, while the next ones gather. What is refused one of them is refused to that one alone.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from exchange.audit import Written, events
from exchange.authorisation.gate import locked, taken
from exchange.db import now
from exchange.db.tables import Base
from exchange.errors import Denied
from exchange.hub import Hub
from exchange.identity import programme
from exchange.plan import Plan
from exchange.service.guard import holds
from exchange.service.rates import Count, Measure, Rates, store

LOOK = "look"
"""How the quota that a day's looks take is named."""
TOGETHER = 64
"""Looks written in one transaction at most."""
_CREDENTIAL, _EXCHANGE = Base.metadata.tables["credential"], Base.metadata.tables["exchange"]
_HOLDS = select(_CREDENTIAL.c.revoked_at, _CREDENTIAL.c.expires_at).where(_CREDENTIAL.c.id == bindparam("which"))
_STANDS = select(_EXCHANGE.c.state, _EXCHANGE.c.source).where(_EXCHANGE.c.id == bindparam("which"))
_BEIJING = ZoneInfo("Asia/Shanghai")


class Stale(Exception):
    """The exchange is not what it was when it was found."""


@dataclass(eq=False)
class Look:
    """One look that is to be written.

    Attributes:
        plan: What it was carried out by.
        source: Where the exchange reads, as it was found.
        department: Who asks.
        event: What is written.
        rows: How many rows it hands over.
        measure: What the grant allows in a minute; None: no less than the department may ask for.
    """

    plan: Plan
    source: Mapping[str, Any]
    department: str
    event: events.RowLookedUp
    rows: int
    measure: Measure | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    error: BaseException | None = None


class Register:
    """Writes looks.

    Args:
        hub: The hub.
        rates: Count what is asked for.
    """

    def __init__(self, hub: Hub, rates: Rates) -> None:
        self._hub = hub
        self._rates = rates
        self._lock = threading.Lock()
        self._waiting: list[Look] = []
        self._led = False

    def write(self, look: Look) -> None:
        """Write a look; when this returns, it is durable.

        Raises:
            Denied: The gate does not let it pass.
            Stale: The exchange was changed meanwhile.
            Unavailable: A limit was reached.
            HubError: It could not be written.
        """
        with self._lock:
            self._waiting.append(look)
            leads, self._led = not self._led, True
        if not leads:
            look.ready.wait()
        if not look.done:
            self._lead()
        if look.error is not None:
            raise look.error

    def _lead(self) -> None:
        """Write what waits, the leader's own look first, and give the lead to whoever has come meanwhile."""
        with self._lock:
            looks, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
        try:
            self._write(looks)
        except BaseException as error:
            for look in looks:
                look.error = look.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._led = following is not None
            for look in looks:
                look.done = True
                look.ready.set()
            if following is not None:
                following.ready.set()

    def _write(self, looks: Sequence[Look]) -> None:
        with self._hub.told(), self._hub.database.transaction() as session:
            moment = now(session)
            self._hold_credentials(session, looks, moment)
            counted = self._count(session, looks, moment)
            self._hold_exchanges(session, looks)
            self._pass_gates(session, looks, moment)
            for look, count in counted:
                if look.error is not None:
                    count.add(calls=-1, rows=-look.rows)
            store(session, list({id(count): count for _, count in counted}.values()))
            self._hub.audit.record_all(session, [_written(look) for look in _standing(looks)], moment)

    def _hold_credentials(self, session: Session, looks: Sequence[Look], moment: datetime) -> None:
        """A sign-in is remembered for a moment; whether it still holds is asked here, where the look becomes real."""
        for name, own in _by(looks, lambda look: look.event.credential).items():
            row = session.connection().execute(_HOLDS, {"which": name}).first()
            if row is not None and not holds(row.revoked_at, row.expires_at, moment):
                for look in own:
                    look.error = Denied(f"接入凭据 {name} 已失效", ["接入凭据已吊销或到期"])

    def _count(self, session: Session, looks: Sequence[Look], moment: datetime) -> list[tuple[Look, Count]]:
        at = moment.timestamp()
        counted = []
        measures = {look.department: self._rates.of(look.department) for look in _standing(looks)}
        limited = {look.measure.name: look.measure for look in _standing(looks) if look.measure}
        # First departments, then grants, each in one order, so that none wait in a circle.
        counts = {
            name: self._rates.count(session, measure, at)
            for kind in (measures, limited)
            for name, measure in sorted(kind.items())
        }
        for look in _standing(looks):
            own = [counts[look.department], *([counts[look.measure.name]] if look.measure else [])]
            look.error = next((error for count in own if (error := count.refusal(rows=look.rows))), None)
            if look.error is None:
                for count in own:
                    count.add(rows=look.rows)
                    counted.append((look, count))
        return counted

    def _hold_exchanges(self, session: Session, looks: Sequence[Look]) -> None:
        for name, own in _by(_standing(looks), lambda look: look.plan.exchange).items():
            row = session.connection().execute(_STANDS, {"which": name}).first()
            for look in own:
                if row is None or (row.state, row.source) != ("active", look.source):
                    look.error = Stale()

    def _pass_gates(self, session: Session, looks: Sequence[Look], moment: datetime) -> None:
        """The gate of deliveries, for all looks of a grant in a day; in one order, so that none wait in a circle."""
        for (grant, version), own in _by(
            _standing(looks), lambda look: (look.plan.grant, look.plan.grant_version)
        ).items():
            day = f"{LOOK}-{grant}-{moment.astimezone(_BEIJING):%Y%m%d}"
            before = taken(session, day)
            if before is None:
                # The first look of a day: of several, the one after another.
                locked(session, grant)
                before = taken(session, day) or 0

            def against(rows: int, grant: str = grant, version: int = version, day: str = day) -> list[str]:
                return self._hub.authorisation.gate(session, grant, version, rows, day, moment)

            if not against(before + sum(look.rows for look in own)):
                continue
            # Not all together: then each by itself, as if it had come alone.
            for look in own:
                if reasons := against(before + look.rows):
                    look.error = Denied(f"授权 {grant} 不允许", reasons)
                else:
                    before += look.rows


def _standing(looks: Sequence[Look]) -> list[Look]:
    return [look for look in looks if look.error is None]


def _by(looks: Sequence[Look], what: Callable[[Look], Any]) -> dict[Any, list[Look]]:
    """Looks by something they have in common, in its order."""
    found: dict[Any, list[Look]] = defaultdict(list)
    for look in looks:
        found[what(look)].append(look)
    return dict(sorted(found.items()))


def _written(look: Look) -> Written:
    return Written(
        look.event,
        programme(look.event.credential, look.department),
        resource=look.plan.resource,
        exchange=look.plan.exchange,
        run=look.event.look,
        department=look.department,
    )
