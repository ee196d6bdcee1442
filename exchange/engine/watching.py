"""Looking into drops for what has come to rest there (看守): as often as once a second, and for little.

What lies in a drop is listed; only when the list has changed, or the exchange has moved on, is it compared with what
was taken before. A drop on a server is listed less often, and nobody waits for it: what it held at the last look is
told. One that is away tells nothing, and keeps none of the others.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from adapters import AdapterError, Endpoint, Source, WaitingFile
from catalog import Catalog
from catalog.errors import CatalogError
from catalog.tables import EndpointRow
from exchange.db import HubDatabase, clock
from exchange.db.tables import ExchangeRow, GrantRow, LeaseRow
from exchange.engine.files import DROP, FileBooks
from exchange.engine.opening import binding
from exchange.errors import HubError
from exchange.plan import End

FAR = 10.0
"""Seconds between two looks at a drop on a server."""
AGAIN = 5.0
"""Seconds between two looks at files that have not come to rest, where nothing else has changed."""
PATIENCE = 0.8
"""Seconds that are waited for drops of this machine: a disk may hang too."""
_TOGETHER = 16
_logger = logging.getLogger(__name__)

Opened = Callable[[Session, End], Endpoint]


@dataclass
class _Drop:
    """What is known of one exchange's drop.

    Attributes:
        made: What its source was opened for: another registration opens it anew.
        source: The source.
        looked: When it was listed last.
        known: List, and names to be tried again, when it was compared last.
        passed: Where the exchange stood then.
        compared: When that was.
        restless: Whether files lie there that have not come to rest.
        mark: Of the files that may be taken; None: there are none, or the drop is away.
    """

    made: Any = None
    source: Source | None = None
    looked: float | None = None
    known: Any = None
    passed: Any = None
    compared: float = 0.0
    restless: bool = False
    mark: str | None = None


@dataclass
class _Place:
    """One endpoint with the drops of its exchanges; one look at a time."""

    drops: dict[str, _Drop] = field(default_factory=dict)
    look: Future[None] | None = None
    far: bool = False


class Watching:
    """Tells what may be taken from drops.

    Args:
        database: The hub's.
        catalog: Resources and endpoints.
        books: What was taken before.
        opened: Opens one end of an exchange.
    """

    def __init__(self, database: HubDatabase, catalog: Catalog, books: FileBooks, opened: Opened) -> None:
        self._database = database
        self._catalog = catalog
        self._books = books
        self._opened = opened
        self._places: dict[str, _Place] = {}
        self._again: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def waiting(self, *, patience: float = PATIENCE) -> dict[str, str]:
        """Exchanges with files to be taken, each with a mark that changes when other files wait.

        One that somebody is at is left out: he takes what lies there.

        Args:
            patience: Seconds to wait for drops of this machine, and for any drop that was never looked at.
        """
        rows = self._candidates()
        by_place: dict[str, list[Row[Any]]] = {}
        for row in rows:
            by_place.setdefault(row.endpoint, []).append(row)
        with self._lock:
            for gone in self._places.keys() - by_place.keys():
                del self._places[gone]
            looks = [look for name, each in by_place.items() if (look := self._look(name, each)) is not None]
            wait(looks, timeout=patience)
            found = {}
            for name, each in by_place.items():
                for row in each:
                    drop = self._places[name].drops.get(row.id)
                    if drop is not None and drop.mark is not None:
                        found[row.id] = drop.mark
        return found

    def close(self) -> None:
        """Look no more."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None

    def _candidates(self) -> list[Row[Any]]:
        """Exchanges that read files as they come, with everything another look depends on."""
        source = ExchangeRow.source
        with self._database.reading() as session:
            names = {
                row.name: (row.changed_at, (row.options or {}).get("transport", "local") != "local")
                for row in session.execute(
                    select(EndpointRow.name, EndpointRow.changed_at, EndpointRow.options).where(
                        EndpointRow.kind == DROP
                    )
                )
            }
            if not names:
                return []
            held = select(LeaseRow.exchange).where(LeaseRow.owner.is_not(None), LeaseRow.expires > clock(session))
            rows = session.execute(
                select(
                    ExchangeRow.id,
                    source.label("source"),
                    source["endpoint"].as_string().label("endpoint"),
                    ExchangeRow.position,
                    ExchangeRow.shape,
                    GrantRow.version,
                )
                .join(GrantRow, GrantRow.id == ExchangeRow.grant)
                .where(
                    ExchangeRow.state == "active",
                    GrantRow.state == "active",
                    source["endpoint"].as_string().in_(names),
                    # What is read whole each time has a time of its own.
                    source["capture"].as_string() != "snapshot",
                    ExchangeRow.id.not_in(held),
                )
                .order_by(ExchangeRow.id)
            ).all()
            self._again = self._books.again_by_exchange(session)
        for name in {row.endpoint for row in rows}:
            place = self._places.setdefault(name, _Place())
            changed, place.far = names[name]
            for row in rows:
                if row.endpoint == name:
                    made = (changed, json.dumps(row.source, sort_keys=True), row.version)
                    drop = place.drops.get(row.id)
                    if drop is None or drop.made != made or drop.passed not in (None, _passed(row)):
                        # Or a run has been there: what was known of the drop is past.
                        place.drops[row.id] = _Drop(made, source=drop.source if drop and drop.made == made else None)
        return list(rows)

    def _look(self, name: str, rows: list[Row[Any]]) -> Future[None] | None:
        """Set out to look at a place, unless somebody is still at it or it is too soon; what is to be waited for."""
        place = self._places[name]
        moment = time.monotonic()
        first = any(place.drops[row.id].looked is None for row in rows)
        if place.look is not None and not place.look.done():
            return None
        if place.far and not first and all(moment - (place.drops[row.id].looked or 0.0) < FAR for row in rows):
            return None
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="watching")
        place.look = self._pool.submit(self._look_at, place, rows)
        return place.look if first or not place.far else None

    def _look_at(self, place: _Place, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            drop = place.drops[row.id]
            drop.looked = time.monotonic()
            try:
                self._look_into(drop, row)
            except (AdapterError, CatalogError, HubError) as error:
                # Its run says what is wrong; here it is only that nothing is known.
                _logger.debug("the drop of %s: %s", row.id, error)
                drop.mark = None

    def _look_into(self, drop: _Drop, row: Row[Any]) -> None:
        known, drop.known = drop.known, None
        if drop.source is None:
            drop.source = self._source(row)
        found = (drop.source.stirring(), self._again.get(row.id))
        moment = time.monotonic()
        drop.known = found
        if found == known and not (drop.restless and moment - drop.compared >= AGAIN):
            return
        drop.passed, drop.compared = _passed(row), moment
        drop.restless, drop.mark = True, None  # until it is known better
        waiting = self._books.waiting(row.id)
        drop.restless = any(not each.ready and not each.refused for each in waiting)
        drop.mark = _mark([each for each in waiting if each.ready])

    def _source(self, row: Row[Any]) -> Source:
        with self._database.reading() as session:
            exchange = session.get_one(ExchangeRow, row.id)
            grant = session.get_one(GrantRow, exchange.grant)
            resource = self._catalog.resource(session, exchange.resource, version=grant.resource_version).resource
            end = End(**exchange.source)
            endpoint = self._opened(session, end)
        return endpoint.source(binding(end, resource.key, resource.version_item, resource.items))


def _passed(row: Row[Any]) -> tuple[str, str | None]:
    """Where an exchange stands, as far as it decides what it has taken."""
    return json.dumps(row.position, sort_keys=True), row.shape


def _mark(files: list[WaitingFile]) -> str | None:
    if not files:
        return None
    told = sorted((each.name, each.size, each.modified) for each in files)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
