"""Collecting what planning needs: directory, grant, exchange and its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from adapters import AdapterError, Capabilities, Endpoint
from adapters.registry import secret_fields
from catalog import Catalog
from catalog.errors import CatalogError
from exchange.authorisation.gate import standing
from exchange.db import now
from exchange.db.tables import ExchangeRow, GrantRow
from exchange.engine.opening import open_registered
from exchange.errors import Denied, HubError, Invalid, Misplaced, Problem
from exchange.plan import End, Plan, Subject, Tolerance, make_plan
from exchange.settings import Settings


def plan_exchange(
    session: Session,
    row: ExchangeRow,
    source: Capabilities,
    target: Capabilities,
    settings: Settings,
    catalog: Catalog,
    *,
    redeliver: bool = False,
    forgotten: bool = False,
    accepted: int | None = None,
) -> Plan:
    """Plan the next run of an exchange; ``redeliver`` and what follows as in :func:`exchange.plan.make_plan`.

    Raises:
        Misplaced: The exchange is paused or ended.
        Denied: Its grant does not hold now.
        Invalid: The registration does not allow it; every reason is listed.
    """
    if row.state != "active":
        word = {"paused": "已暂停", "ended": "已终止"}.get(row.state, row.state)
        raise Misplaced(f"交换 {row.id} {word}", remedy="用 shutong explain 查看原因")
    grant = session.get_one(GrantRow, row.grant)
    if reasons := standing(grant, now(session)):
        raise Denied(f"交换 {row.id} 没有有效授权", reasons, remedy=f"用 shutong explain {grant.id} 查看授权")
    resource = catalog.resource(session, row.resource, version=grant.resource_version).resource
    places = Places(session, settings, catalog)
    if row.kind == "sharing" and target.way == "file":
        _refuse_loop(session, row, places)
    if target.merges:
        _refuse_mixed_pseudonyms(session, row, grant, places, catalog)
    subject = Subject(
        exchange=row.id,
        kind=row.kind,
        record_class=resource.record_class or "",
        resource=row.resource,
        resource_version=grant.resource_version,
        resource_items=resource.items,
        key=resource.key,
        version=resource.version_item,
        grant=grant.id,
        grant_version=grant.version,
        grant_body=grant.body,
        provider=row.provider,
        recipient=row.recipient,
        source=End(**row.source),
        target=End(**row.target),
        previous_shape=row.shape,
        settings=row.settings,
    )
    return make_plan(
        subject,
        source,
        target,
        rival_readers=_rivals(session, row, places),
        rival_writers=_rival_writers(session, row, places),
        tenants=tenants(session, row, places),
        redeliver=redeliver,
        forgotten=forgotten,
        accepted=accepted,
        batch_rows=settings.batch_rows,
        tolerance=Tolerance(rows=settings.tolerance_rows, share=settings.tolerance_share),
        digest_algorithm=settings.digest,
    )


class Places:
    """Where the ends of exchanges really lie: an endpoint's name is only one of the names a place may have."""

    def __init__(self, session: Session, settings: Settings, catalog: Catalog) -> None:
        self._session = session
        self._settings = settings
        self._catalog = catalog
        self._opened: dict[str, Endpoint | None] = {}

    def whereabouts(self, end: Mapping[str, Any]) -> tuple[str, str]:
        """Place and object of an end of an exchange; by their names, where the place cannot be told."""
        endpoint = self._endpoint(end["endpoint"])
        if endpoint is None or not endpoint.identity():
            return f"端点 {end['endpoint']}", end["object"]
        return endpoint.identity(), endpoint.object_identity(end["object"])

    def rows(self, end: Mapping[str, Any]) -> tuple[object, ...]:
        """Where an exchange delivers to; rows of other fixed values are none of its business."""
        return *self.whereabouts(end), tuple(sorted(end.get("fixed", {}).items()))

    def dataset(self, end: Mapping[str, Any]) -> tuple[str, str]:
        """Namespace and name of an end of an exchange among data sets; by the hub's own, where the place has none."""
        endpoint = self._endpoint(end["endpoint"])
        namespace, name = ("", end["object"]) if endpoint is None else endpoint.dataset(end["object"])
        return namespace or f"shutong://{end['endpoint']}", name

    def _endpoint(self, name: str) -> Endpoint | None:
        if name not in self._opened:
            try:
                spec = self._catalog.endpoint(self._session, name)
                # No secret is needed to know where a place is, and one that is lost hides no rival.
                options = {each: spec.options[each] for each in spec.options.keys() - secret_fields(spec.kind)}
                home = self._settings.home
                self._opened[name] = open_registered(spec.kind, options, spec.zone, home=home, name=name)
            except (AdapterError, CatalogError, HubError):
                self._opened[name] = None
        return self._opened[name]


def _rivals(session: Session, row: ExchangeRow, places: Places) -> list[str]:
    """Other living exchanges that read the same object by its status column."""
    if row.source.get("capture") != "outbox":
        return []
    here = places.whereabouts(row.source)
    others = session.scalars(select(ExchangeRow).where(ExchangeRow.id != row.id, ExchangeRow.state != "ended"))
    readers = [other for other in others if other.source.get("capture") == "outbox"]
    return [other.id for other in readers if places.whereabouts(other.source) == here]


def _refuse_loop(session: Session, row: ExchangeRow, places: Places) -> None:
    """Refuse to deliver into the very directory that the resource is collected from: it would be taken up again."""
    collecting = select(ExchangeRow).where(ExchangeRow.kind == "synchronisation", ExchangeRow.resource == row.resource)
    here, _ = places.whereabouts(row.target)
    sources = [row.source, *(each.source for each in session.scalars(collecting.where(ExchangeRow.state != "ended")))]
    if any(places.whereabouts(source)[0] == here for source in sources):
        message = f"交换 {row.id} 的目标目录就是资源 {row.resource} 的收取目录，送出的文件会被当作新放入的"
        problem = Problem(where=f"端点 {row.target['endpoint']}", message=message, remedy="给接收方另设目录")
        raise Invalid(f"交换 {row.id} 不能执行", problems=[problem])


def predecessors(session: Session, row: ExchangeRow, places: Places) -> list[ExchangeRow]:
    """Other exchanges that delivered into the same rows: the same object, under the same fixed values."""
    delivered = or_(ExchangeRow.last_delivery.is_not(None), ExchangeRow.shape.is_not(None))
    others = session.scalars(select(ExchangeRow).where(ExchangeRow.id != row.id, delivered))
    here = places.rows(row.target)
    return [other for other in others if places.rows(other.target) == here]


def _rival_writers(session: Session, row: ExchangeRow, places: Places) -> list[str]:
    """Other living exchanges whose grants still hold and that deliver into the same rows."""
    here = places.rows(row.target)
    return [other.id for other in _living(session, row) if places.rows(other.target) == here]


def tenants(session: Session, row: ExchangeRow, places: Places) -> list[str]:
    """Other living exchanges whose grants still hold and that deliver into the same object, whichever rows of it."""
    here = places.whereabouts(row.target)
    return [other.id for other in _living(session, row) if places.whereabouts(other.target) == here]


def _living(session: Session, row: ExchangeRow) -> list[ExchangeRow]:
    others = (
        select(ExchangeRow)
        .join(GrantRow, GrantRow.id == ExchangeRow.grant)
        .where(ExchangeRow.id != row.id, ExchangeRow.state != "ended", GrantRow.state.in_(("active", "suspended")))
    )
    return list(session.scalars(others))


def _refuse_mixed_pseudonyms(
    session: Session, row: ExchangeRow, grant: GrantRow, places: Places, catalog: Catalog
) -> None:
    """A key is hashed under its grant's own key, so that rows of two grants never meet in one table.

    What an earlier grant delivered could neither be replaced nor taken away, and who has both could join them.

    Raises:
        Invalid: This grant or an earlier one into the same rows hashes an item of the business key.
    """
    before = predecessors(session, row, places)
    grants = [grant, *(session.get_one(GrantRow, other.grant) for other in before)]
    if not before or not any(_hashes_key(session, each, catalog) for each in grants):
        return
    table = row.target["object"]
    raise Invalid(
        f"交换 {row.id} 不能执行",
        [
            Problem(
                where=f"交换 {row.id} › 目标端",
                message=f"{table} 里有 {other.id} 按授权 {other.grant} 送达的行；业务主键经密钥散列，"
                "密钥随授权而变，旧行既不能更新也不能收回",
            )
            for other in before
        ],
        remedy=f"重新申请，目标另用一张新建的表（先执行 endpoint prepare 打印的脚本）；原表 {table} 由接收方清空停用",
    )


def _hashes_key(session: Session, grant: GrantRow, catalog: Catalog) -> bool:
    key = catalog.resource(session, grant.resource, version=grant.resource_version).resource.key
    masks = grant.body.get("masks") or {}
    return any(masks.get(item, {}).get("mask") == "hmac" for item in key)
