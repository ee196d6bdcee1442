"""The arithmetic of the log: canonical form, tag, seal, and rows as they really lie in the table."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, select
from sqlalchemy.orm import Session

from exchange.db.tables import EventRow
from exchange.errors import Invalid

ALGORITHMS = ("sha256", "sm3")
FIRST = ""
"""What the first seal is chained to."""


def canonical(value: Any) -> bytes:
    """The one way to write a JSON value: sorted keys, no spaces, UTF-8, floats by their shortest form."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def instant_text(moment: datetime) -> str:
    """A point in time in canonical form: UTC, to the microsecond."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def available(algorithm: str) -> bool:
    """Whether this machine's OpenSSL has a digest."""
    try:
        hashlib.new(algorithm, usedforsecurity=True)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Stored:
    """One event as it lies in the table.

    ``number`` and ``seal`` are None until it is sealed.
    """

    id: int
    type: str
    at: datetime
    actor: str
    established: str
    department: str | None
    resource: str | None
    exchange: str | None
    run: str | None
    body: dict[str, Any]
    tag: str
    number: int | None
    seal: str | None

    def content(self) -> dict[str, Any]:
        """What the tag covers: everything but the tag and the place in the chain."""
        return {
            "id": self.id,
            "type": self.type,
            "at": instant_text(self.at),
            "actor": self.actor,
            "established": self.established,
            "department": self.department,
            "resource": self.resource,
            "exchange": self.exchange,
            "run": self.run,
            "body": self.body,
        }


@dataclass(frozen=True)
class Unreadable:
    """A row that cannot be an event, whoever made it so."""

    id: int
    number: int | None


_EVENT = EventRow.__table__.c
_COLUMNS = (
    _EVENT.id,
    _EVENT.type,
    _EVENT.at,
    _EVENT.actor,
    _EVENT.established,
    _EVENT.department,
    _EVENT.resource,
    _EVENT.exchange,
    _EVENT.run,
    _EVENT.body,
    _EVENT.tag,
    _EVENT.number,
    _EVENT.seal,
)


def stored(
    session: Session,
    *where: ColumnElement[bool],
    order: ColumnElement[Any],
    limit: int | None = None,
    few: bool = False,
) -> Iterator[Stored | Unreadable]:
    """Rows of the log, read so that not even a row damaged on purpose stops the reading.

    Everything is read as text: SQLite lets other hands put any text into any column.

    Args:
        session: The caller's.
        where: Which rows.
        order: In which order.
        limit: How many at most.
        few: There is no more than a page of them: they are read at once, not bit by bit.
    """
    query = select(*[cast(column, Text) for column in _COLUMNS]).where(*where).order_by(order)
    if limit is not None:
        query = query.limit(limit)
    # Whoever stops in the middle leaves no cursor open at the server.
    options = {} if few else {"yield_per": 1000}
    with session.execute(query, execution_options=options) as rows:
        for row in rows:
            yield _parsed(tuple(row))


def _parsed(row: tuple[Any, ...]) -> Stored | Unreadable:
    id_, type_, at, actor, established, department, resource, exchange, run, body, tag, number, seal = row
    place = None
    try:
        place = None if number is None else int(number)
        moment = datetime.fromisoformat(at)
        loaded = json.loads(body)
        if "\\u" in body:
            # JSON can write half a character, which nothing else can.
            canonical(loaded)
        # SQLite stores UTC without a zone.
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        # What other hands have written need not be JSON, a time or a number.
        return Unreadable(int(id_), place)
    if not isinstance(loaded, dict) or tag is None:
        return Unreadable(int(id_), place)
    about = (actor, established, department, resource, exchange, run)
    return Stored(int(id_), type_, utc, *about, loaded, tag, place, seal)


class Chain:
    """Tags and seals under the key of the log.

    Args:
        key: See :meth:`exchange.secrets.Keyring.audit_key`.
        algorithm: ``sha256`` or ``sm3``, for what is made; what was made under the other is still recognised.

    Raises:
        Invalid: This machine's OpenSSL lacks the algorithm.
    """

    def __init__(self, key: bytes, algorithm: str) -> None:
        if not available(algorithm):
            raise Invalid(
                f"本机的 OpenSSL 没有摘要算法 {algorithm}",
                remedy='安装带 SM3 的 OpenSSL（1.1.1 及以上的常规版本），或在设置中改为 digest = "sha256"',
            )
        self._key = key
        self._algorithms = [algorithm, *(other for other in ALGORITHMS if other != algorithm and available(other))]

    def __repr__(self) -> str:
        return "Chain(***)"

    def tag(self, event: Stored) -> str:
        """The writer's keyed digest of an event."""
        return self._digest(_tagged(event), self._algorithms[0])

    def is_tagged(self, event: Stored) -> bool:
        """Whether the event is one the hub wrote, as it wrote it."""
        return self._is(event.tag, _tagged(event))

    def seal(self, previous: str, number: int, event: Stored) -> str:
        """The keyed digest that puts an event in its place."""
        return self._digest(_sealed(previous, number, event), self._algorithms[0])

    def is_sealed(self, previous: str, event: Stored) -> bool:
        """Whether the event stands where it was sealed, after that predecessor."""
        if event.number is None or event.seal is None:
            return False
        return self._is(event.seal, _sealed(previous, event.number, event))

    def sign_head(self, previous: str, number: int, seal: str, at: str) -> str:
        """The keyed digest of a line in the file of heads."""
        return self._digest(_head(previous, number, seal, at), self._algorithms[0])

    def is_head(self, mac: str, previous: str, number: int, seal: str, at: str) -> bool:
        """Whether a line in the file of heads is one the hub wrote there."""
        return self._is(mac, _head(previous, number, seal, at))

    def _digest(self, message: bytes, algorithm: str) -> str:
        return hmac.new(self._key, message, algorithm).hexdigest()

    def _is(self, digest: str, message: bytes) -> bool:
        given = digest.encode("utf-8", "replace")
        return any(hmac.compare_digest(given, self._digest(message, name).encode()) for name in self._algorithms)


# The first word keeps a digest made for one use from passing for another.
def _tagged(event: Stored) -> bytes:
    return canonical(["event", event.content()])


def _sealed(previous: str, number: int, event: Stored) -> bytes:
    return canonical(["seal", previous, number, event.content(), event.tag])


def _head(previous: str, number: int, seal: str, at: str) -> bytes:
    return canonical(["head", previous, number, seal, at])
