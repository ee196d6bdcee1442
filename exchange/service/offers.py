"""What a department's programmes may use (可用资源): grants that deliver into its box, resources that it pushes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.webservice.desk import Direction, Offer
from catalog import Resource
from catalog.errors import CatalogError
from catalog.tables import EndpointRow
from exchange.authorisation import masks
from exchange.authorisation.gate import standing
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow, MailRow
from exchange.engine import MAILBOX, PUSHED
from exchange.errors import HubError
from exchange.hub import Hub
from schemas import Item, arrow_schema

_KNOWN = 4096
"""Offers kept in mind."""


@dataclass(frozen=True)
class Reach:
    """An offer with the exchange that carries it out.

    Attributes:
        current: The grant holds now; otherwise only what was delivered under it before can be had.
    """

    offer: Offer
    exchange: ExchangeRow
    grant: GrantRow
    current: bool


class Offers:
    """Finds offers, each by what stands in the hub's books at that moment.

    Args:
        hub: The hub.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._made: dict[tuple[Any, ...], Offer | None] = {}

    def of(self, department: str, resource: str | None = None, direction: Direction | None = None) -> list[Reach]:
        """What a department may use, by resource and direction, or one of them."""
        found: list[Reach] = []
        with self._hub.told(), self._hub.database.reading() as session:
            for wanted in ("read", "write"):
                if direction in (None, wanted):
                    found += self._found(session, wanted, department, resource)
        return sorted(found, key=lambda reach: (reach.offer.resource, reach.offer.direction))

    def contract(self, resource: str, version: int, direction: Direction) -> Offer | None:
        """The offer of that version, whoever has it or had it."""
        with self._hub.told(), self._hub.database.reading() as session:
            for exchange, grant in self._exchanges(session, direction, None, resource):
                offer = self._offer(session, exchange, grant, direction)
                if offer is not None and offer.version == version:
                    return offer
        return None

    def _found(self, session: Session, direction: Direction, department: str, resource: str | None) -> list[Reach]:
        """One for each resource: of several grants the newest that holds, else one with something left to fetch."""
        best: dict[str, Reach] = {}
        moment = now(session)
        for exchange, grant in self._exchanges(session, direction, department, resource):
            current = exchange.state == "active" and not standing(grant, moment)
            if exchange.resource in best and not (current and not best[exchange.resource].current):
                continue
            if not current and (direction == "write" or not _left(session, exchange.id)):
                continue
            offer = self._offer(session, exchange, grant, direction)
            if offer is not None:
                best[exchange.resource] = Reach(offer, exchange, grant, current)
        return list(best.values())

    def _exchanges(
        self, session: Session, direction: Direction, department: str | None, resource: str | None
    ) -> Sequence[tuple[ExchangeRow, GrantRow]]:
        """Exchanges with a box at the caller's end, those of the newest grants first."""
        reads = direction == "read"
        boxes = select(EndpointRow.name).where(EndpointRow.kind == MAILBOX)
        query = (
            select(ExchangeRow, GrantRow)
            .join(GrantRow, GrantRow.id == ExchangeRow.grant)
            .where(ExchangeRow.kind == ("sharing" if reads else "synchronisation"))
            .order_by(GrantRow.issued_at.desc(), GrantRow.id)
        )
        if department is not None:
            boxes = boxes.where(EndpointRow.department == department)
            query = query.where((ExchangeRow.recipient if reads else ExchangeRow.provider) == department)
        if resource is not None:
            query = query.where(ExchangeRow.resource == resource)
        rows = session.execute(query).all()
        names = set(session.scalars(boxes)) if rows else set()
        return [
            (exchange, grant)
            for exchange, grant in rows
            if (exchange.target if reads else exchange.source)["endpoint"] in names
            and (reads or exchange.source["capture"] == PUSHED)
        ]

    def _offer(self, session: Session, exchange: ExchangeRow, grant: GrantRow, direction: Direction) -> Offer | None:
        # It depends on nothing but these, so that it is made once for each state of a grant.
        about = (direction, exchange.id, exchange.source["endpoint"], grant.id, grant.version)
        if about not in self._made:
            if len(self._made) >= _KNOWN:
                self._made.clear()
            self._made[about] = self._make(session, exchange, grant, direction)
        return self._made[about]

    def _make(self, session: Session, exchange: ExchangeRow, grant: GrantRow, direction: Direction) -> Offer | None:
        try:
            entry = self._hub.catalog.resource(session, grant.resource, version=grant.resource_version)
        except CatalogError:
            return None
        resource = entry.resource
        if direction == "write":
            items = tuple(item for name in grant.body["items"] if (item := resource.item(name)) is not None)
            return _described(resource, "write", items, lookup=False)
        hidden: Mapping[str, Any] = grant.body.get("masks") or {}
        items = tuple(
            handed_over(item, hidden.get(name))
            for name in grant.body["items"]
            if (item := resource.item(name)) is not None
        )
        lookup = self._looks_up(session, exchange) and all(_is_clear(hidden.get(name)) for name in resource.key)
        return _described(resource, "read", items, lookup=lookup)

    def _looks_up(self, session: Session, exchange: ExchangeRow) -> bool:
        try:
            return self._hub.endpoints.open(session, exchange.source["endpoint"]).capabilities.looks_up
        except (HubError, CatalogError):
            return False


def handed_over(item: Item, mask: Mapping[str, Any] | None) -> Item:
    """An item as it is after its mask: what it may be then, no rule of the item's says."""
    if _is_clear(mask):
        return item
    masked = masks.masked_field(masks.parse(dict(mask or {})), arrow_schema((item,)).field(0))
    letter = "M" if pa.types.is_string(masked.type) else item.type
    bare = {"mandatory": False, "check": None, "code_list": None, "reference": None}
    return Item(**{**item.model_dump(), **bare, "type": letter, **({"length": None} if letter == "M" else {})})


def version_of(items: Sequence[Item], key: Sequence[str]) -> int:
    """A number that is another one when the items are others, the same in every worker and after every restart."""
    text = repr([(item.name, item.type, item.length, item.scale, item.mandatory) for item in items] + list(key))
    return int(hashlib.sha256(text.encode()).hexdigest()[:7], 16)


def _described(resource: Resource, direction: Direction, items: tuple[Item, ...], *, lookup: bool) -> Offer:
    return Offer(
        resource=resource.code,
        version=version_of(items, resource.key),
        name=resource.name,
        direction=direction,
        items=items,
        key=tuple(resource.key),
        lookup=lookup,
    )


def _is_clear(mask: Mapping[str, Any] | None) -> bool:
    return mask is None or mask.get("mask") == "clear"


def _left(session: Session, exchange: str) -> bool:
    """Whether something delivered is still to be fetched."""
    waiting = select(MailRow.delivery).where(MailRow.exchange == exchange, MailRow.state == "waiting")
    return session.scalar(waiting.limit(1)) is not None
