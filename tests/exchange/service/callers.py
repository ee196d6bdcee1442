"""The town with boxes: the tax office's programme calls for people, the police's pushes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from adapters import OPERATION, PUT
from adapters.webservice.desk import Caller, Page
from catalog import EndpointSpec
from exchange.service.desk import HubDesk
from tests.exchange.engine.town import COLUMNS, POLICE, SYNC, TAX, Town, application, grant, publish, resource

CODE = "101001001/0001"
PUSHED = "101001001/0002"
PUSH = "sync-101001001-0002"
CALLER = Caller("C0000000000000001", TAX)
PUSHER = Caller("C0000000000000002", POLICE)


def application_of(**changes: Any) -> dict[str, Any]:
    """The tax office's application for rows in its box."""
    return application(way="webservice", target={"endpoint": "tax-box", "object": "inbox"}, **changes)


@dataclass
class Callers:
    """The town, and the grant that delivers into the box."""

    town: Town
    grant: str

    @property
    def share(self) -> str:
        """Id of the exchange that delivers into the box."""
        return f"share-{self.grant}"

    @contextmanager
    def desk(self, **options: Any) -> Iterator[HubDesk]:
        """A desk of a hub opened anew."""
        with self.town.hub() as hub, HubDesk(hub, **options) as desk:
            yield desk

    def collected(self, *rows: Mapping[str, Any]) -> None:
        """Let the police report people, and the hub collect them."""
        self.town.report(*rows)
        self.town.run(SYNC)

    def limited(self, **terms: int) -> None:
        """Let the tax office be granted the same anew, under a grant with limits of its own."""
        with self.town.hub() as hub:
            granted = application_of(**terms)
            granted["target"] |= {"object": "limited"}
            self.grant = grant(self.town, hub, **granted)

    def change(self, action: str) -> None:
        """Suspend, resume or revoke the grant."""
        with self.town.hub() as hub:
            hub.sharing.change(self.grant, action, reason="测试", by=self.town.actor("chief"))


def furnished(town: Town) -> Callers:
    """Boxes, a grant into one and a resource that is pushed into the other."""
    with town.hub() as hub:
        for name, department in (("tax-box", TAX), ("police-box", POLICE)):
            spec = EndpointSpec(name=name, department=department, kind="mailbox", options={})
            hub.registration.put_endpoint(spec, by=town.actor("integrator"))
        publish(town, hub, resource(share_ways=["database", "webservice"]))
        granted = grant(town, hub, **application_of())
        offer = {"endpoint": "police-box", "object": "people", "columns": {c: c for c in COLUMNS}, "capture": "pushed"}
        publish(town, hub, resource(code=PUSHED, name="推送人口", offer=offer))
    return Callers(town, granted)


def rows(page: Page) -> list[dict[str, Any]]:
    """All rows of a page."""
    return [row for batch in page.batches for row in batch.to_pylist()]


def all_rows(desk: HubDesk, limit: int = 2, caller: Caller = CALLER) -> list[dict[str, Any]]:
    """Ask on until there is no cursor."""
    page = desk.query(caller, CODE, None, limit)
    found = rows(page)
    while (cursor := page.following()) is not None:
        page = desk.query(caller, CODE, cursor, limit)
        found += rows(page)
    return found


def pushed(*people: Mapping[str, Any], operation: int = PUT) -> Iterator[pa.RecordBatch]:
    """People as texts, as they are pushed."""
    texts = [{name: None if row[name] is None else str(row[name]) for name in COLUMNS} for row in people]
    schema = pa.schema([pa.field(name, pa.string()) for name in COLUMNS])
    batch = pa.RecordBatch.from_pylist(texts, schema=schema)
    yield batch.append_column(OPERATION, pa.array([operation] * len(texts), pa.int8()))
