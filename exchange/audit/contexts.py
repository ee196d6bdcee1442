"""What events are found by (检索事项): each event's is noted when it is sealed, by the one who seals.

Events of one type, outcome, actor, department, resource, exchange, way and class have one context between them. There
are few contexts however long the log is, so that what is rare or absent is known without reading the log. A context
says nothing that the event does not say, but for way and class, which are those of the exchange and the resource it
names; it is no part of the event and not sealed, and whoever changes it hides nothing from verification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from catalog.tables import ResourceRow, ResourceVersionRow
from exchange.audit.chain import Stored, canonical
from exchange.audit.outcomes import outcome
from exchange.db.tables import ContextRow, ExchangeRow, GrantRow, RunRow

_TABLE = ContextRow.metadata.tables[ContextRow.__tablename__]
_SLICE = 500
WAYS = ("database", "webservice", "file", "medium")
"""Ways of exchange as the directory has them."""


@dataclass(frozen=True)
class Facets:
    """What one event is found by; empty: that is not so of it."""

    type: str
    outcome: str
    actor: str
    department: str
    resource: str
    exchange: str
    way: str
    record_class: str

    def digest(self) -> str:
        """What finds the context of these."""
        return hashlib.sha256(canonical(list(astuple(self)))).hexdigest()


def facets(session: Session, events: Sequence[Stored]) -> list[Facets]:
    """What each of these events is found by, as things stand."""
    known = _exchanges(session, {event.exchange for event in events if event.exchange})
    asked = {event.resource for event in events if event.resource} | {resource for _, resource in known.values()}
    classes = _classes(session, asked)
    found = []
    for event in events:
        way, resource = known.get(event.exchange or "", ("", ""))
        resource = event.resource or resource
        found.append(
            Facets(
                type=event.type,
                outcome=outcome(event.type, event.body),
                actor=event.actor,
                department=event.department or "",
                resource=resource,
                exchange=event.exchange or "",
                way=way,
                record_class=classes.get(resource, ""),
            )
        )
    return found


def placed(session: Session, events: Sequence[Stored]) -> dict[int, int]:
    """Make the contexts of these events and say which has which; only while nobody else does.

    Args:
        session: A transaction that writes and is the only one that seals.
        events: Sealed in this transaction or before.
    """
    wanted: dict[str, tuple[Facets, datetime]] = {}
    digests: list[str] = []
    for event, each in zip(events, facets(session, events), strict=True):
        digest = each.digest()
        newest = max(event.at, wanted[digest][1]) if digest in wanted else event.at
        wanted[digest] = (each, newest)
        digests.append(digest)
    known = _known(session, wanted)
    new = [
        {"digest": digest, "newest": newest, **each.__dict__}
        for digest, (each, newest) in wanted.items()
        if digest not in known
    ]
    later = [
        {"id": known[digest][0], "newest": newest}
        for digest, (_, newest) in wanted.items()
        if digest in known and known[digest][1] < newest
    ]
    if later:
        session.execute(update(ContextRow), later)
    ids = {digest: number for digest, (number, _) in known.items()}
    if new:
        session.execute(insert(_TABLE), new)
        ids |= {digest: number for digest, (number, _) in _known(session, [row["digest"] for row in new]).items()}
    return {event.id: ids[digest] for event, digest in zip(events, digests, strict=True)}


def _known(session: Session, digests: Iterable[str]) -> dict[str, tuple[int, datetime]]:
    asked = sorted(digests)
    found: dict[str, tuple[int, datetime]] = {}
    for start in range(0, len(asked), _SLICE):
        rows = session.execute(
            select(_TABLE.c.digest, _TABLE.c.id, _TABLE.c.newest).where(
                _TABLE.c.digest.in_(asked[start : start + _SLICE])
            )
        )
        found |= {digest: (number, newest) for digest, number, newest in rows}
    return found


def _exchanges(session: Session, names: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Way and resource of exchanges: the way of the last run, before there is one that of the grant."""
    last = (
        select(RunRow.plan["way"].as_string())
        .where(RunRow.exchange == ExchangeRow.id)
        .order_by(RunRow.started_at.desc())
        .limit(1)
        .correlate(ExchangeRow)
        .scalar_subquery()
    )
    asked = sorted(names)
    found: dict[str, tuple[str, str]] = {}
    for start in range(0, len(asked), _SLICE):
        rows = session.execute(
            select(ExchangeRow.id, func.coalesce(last, GrantRow.body["way"].as_string()), ExchangeRow.resource)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .where(ExchangeRow.id.in_(asked[start : start + _SLICE]))
        )
        found |= {name: (way if way in WAYS else "", resource) for name, way, resource in rows}
    return found


def _classes(session: Session, codes: Iterable[str]) -> Mapping[str, str]:
    """Class of records of resources: of the version in force, else of the newest."""
    asked = sorted(codes)
    found: dict[str, str] = {}
    for start in range(0, len(asked), _SLICE):
        rows = session.execute(
            select(ResourceRow.code, ResourceVersionRow.record_class)
            .join(
                ResourceVersionRow,
                (ResourceVersionRow.resource == ResourceRow.code)
                & (ResourceVersionRow.version == func.coalesce(ResourceRow.in_force, ResourceRow.latest)),
            )
            .where(ResourceRow.code.in_(asked[start : start + _SLICE]))
        )
        found |= {code: kind or "" for code, kind in rows}
    return found
