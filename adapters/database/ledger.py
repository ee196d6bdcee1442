"""The tables beside the target (交付台账): what was committed, by whom last, and what was deleted.

They lie in the target's own schema, are made once by the department's administrator (``endpoint
prepare --sql``), and change only in the transaction that changes the target.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from adapters.base import Acknowledgement, Manifest, Refreshing, RefusedRow
from adapters.database.dialects import Dialect
from adapters.database.keys import KEY_LENGTH, SCOPE_LENGTH
from adapters.errors import Misconfigured, Overtaken, Restored, TooManyRefused, Unavailable, Unbalanced

PREFIX = "shutong_"
SERIAL = "shutong_serial"
"""The counter of a table's deliveries, and the column that says in which one a row was last written."""

_PREPARE = "先由对方管理员执行 endpoint prepare --sql 打印的脚本"


@dataclass(frozen=True)
class Counts:
    """What became of the rows of one delivery; ``gone`` are rows of the target that were not in it."""

    written: int
    deleted: int
    unchanged: int
    superseded: int
    refused: int
    gone: int = 0

    @property
    def rows(self) -> int:
        """All that were staged."""
        return self.written + self.unchanged + self.superseded + self.refused


class Ledger:
    """The tables beside a target, and what is done with them.

    Args:
        dialect: The product.
        namespace: The target's schema.
    """

    def __init__(self, dialect: Dialect, namespace: str | None) -> None:
        metadata = sa.MetaData(schema=namespace)
        short, long = dialect.exact_text, dialect.exact_text(None)
        options = dialect.table_options()

        def table(name: str, comment: str, *columns: sa.Column[Any]) -> sa.Table:
            return sa.Table(f"{PREFIX}{name}", metadata, *columns, comment=comment, **options)

        def key(name: str, type: Any) -> sa.Column[Any]:
            return sa.Column(name, type, primary_key=True, autoincrement=False)

        self._dialect = dialect
        self.ledger = table(
            "ledger",
            "交付台账",
            key("delivery_key", short(128)),
            sa.Column("exchange", short(80), nullable=False, comment="交换任务"),
            sa.Column("epoch", sa.BigInteger, nullable=False, comment="租约纪元"),
            sa.Column("manifest_digest", short(128), nullable=False, comment="清单摘要"),
            sa.Column("counts", long, nullable=False, comment="各类行数"),
            sa.Column("head", short(200), nullable=False, comment="审计链头"),
            sa.Column("committed_at", short(32), nullable=False, comment="提交时间（UTC）"),
        )
        self.epochs = table(
            "epoch",
            "租约纪元",
            key("exchange", short(80)),
            sa.Column("epoch", sa.BigInteger, nullable=False, comment="见过的最高纪元"),
        )
        self.tombstones = table(
            "tombstone",
            "删除记号",
            key("object", short(64)),
            key("scope", short(SCOPE_LENGTH)),
            key("key_text", short(KEY_LENGTH)),
            sa.Column("version", long, comment="删除的版本"),
            sa.Column("serial", sa.BigInteger, nullable=False, comment="交付序号"),
        )
        sa.Index(f"{PREFIX}tombstone_serial", self.tombstones.c.object, self.tombstones.c.serial)
        self.refusals = table(
            "refusal",
            "目标端拒收的行",
            key("delivery_key", short(128)),
            key("row_number", sa.BigInteger()),
            sa.Column("rule", short(40), nullable=False, comment="规则"),
            sa.Column("reason", long, nullable=False, comment="原因"),
        )
        self.serials = table(
            "serial",
            "交付序号",
            key("object", short(64)),
            sa.Column("value", sa.BigInteger, nullable=False, comment="最近一次交付的序号"),
        )
        self.tables: tuple[sa.Table, ...] = (self.ledger, self.epochs, self.tombstones, self.refusals, self.serials)

    def missing(self, connection: sa.Connection) -> list[str]:
        """Names of the tables that are not there."""
        inspector = sa.inspect(connection)
        return [table.name for table in self.tables if not inspector.has_table(table.name, schema=table.schema)]

    def demand(self, connection: sa.Connection, place: str) -> None:
        """Raise Misconfigured unless all tables are there."""
        if missing := self.missing(connection):
            raise Misconfigured(f"{place}：缺少交付台账的表 {'、'.join(missing)}", remedy=_PREPARE)

    def claim(self, connection: sa.Connection, manifest: Manifest) -> bool:
        """Insert the ledger row: waits for a rival or an in-doubt commit; False: it is there already."""
        claim = manifest.claim
        row = {
            "delivery_key": claim.key,
            "exchange": claim.exchange,
            "epoch": claim.epoch,
            "manifest_digest": manifest.digest,
            "counts": "{}",
            "head": manifest.head,
            "committed_at": "",
        }
        try:
            connection.execute(sa.insert(self.ledger).values(**row))
        except sa.exc.IntegrityError:
            connection.rollback()
            return False
        return True

    def raise_epoch(self, connection: sa.Connection, manifest: Manifest) -> None:
        """Raise the exchange's epoch under a row lock.

        Raises:
            Overtaken: a higher one is there.
        """
        claim, table = manifest.claim, self.epochs
        connection.execute(self._dialect.insert_absent(table, {"exchange": claim.exchange, "epoch": claim.epoch}))
        mine = table.c.exchange == claim.exchange
        seen = connection.execute(sa.select(table.c.epoch).where(mine).with_for_update()).scalar_one()
        if seen > claim.epoch:
            raise Overtaken(
                f"交换任务 {claim.exchange} 在目标端已有更高的租约纪元 {seen}，本次为 {claim.epoch}",
                remedy="本任务已被接管，停止即可",
            )
        connection.execute(sa.update(table).where(mine).values(epoch=claim.epoch))

    def demand_previous(self, connection: sa.Connection, manifest: Manifest) -> None:
        """Raise Restored if the previous delivery's row is gone."""
        if manifest.previous is None:
            return
        there = sa.select(sa.func.count()).where(self.ledger.c.delivery_key == manifest.previous)
        if not connection.execute(there).scalar_one():
            raise Restored("目标库中没有上一次交付的台账记录，可能恢复过备份", remedy="与对方核实后，重新全量交付")

    def next_serial(self, connection: sa.Connection, object: str) -> int:
        """Raise the table's counter; others who deliver to the same table wait until this one is through."""
        table = self.serials
        connection.execute(self._dialect.insert_absent(table, {"object": object, "value": 0}))
        mine = table.c.object == object
        connection.execute(sa.update(table).where(mine).values(value=table.c.value + 1))
        return int(connection.execute(sa.select(table.c.value).where(mine)).scalar_one())

    def buries(self, connection: sa.Connection, object: str, scope: str) -> bool:
        """Whether anything is noted as deleted from a table, among the rows of these fixed values."""
        graves = self.tombstones.c
        query = sa.select(sa.literal(1)).where(graves.object == object, graves.scope == scope).limit(1)
        return connection.execute(query).first() is not None

    def sign(self, connection: sa.Connection, manifest: Manifest) -> None:
        """Put digest and head into a row that was claimed before they were known, in the same transaction."""
        mine = self.ledger.c.delivery_key == manifest.claim.key
        values = {"epoch": manifest.claim.epoch, "manifest_digest": manifest.digest, "head": manifest.head}
        connection.execute(sa.update(self.ledger).where(mine).values(values))

    def settle(
        self,
        connection: sa.Connection,
        manifest: Manifest,
        counts: Counts,
        place: str,
        *,
        stamp: str = "",
        refreshing: Refreshing | None = None,
    ) -> None:
        """Complete the ledger row."""
        refreshed = {"how": refreshing.how, "why": refreshing.why, "gone": counts.gone} if refreshing else None
        text = json.dumps(
            {
                "written": counts.written + counts.gone,
                "deleted": counts.deleted + counts.gone,
                "unchanged": counts.unchanged,
                "superseded": counts.superseded,
                "refused": counts.refused,
                "place": place,
                "stamp": stamp,
                **({"refreshed": refreshed} if refreshed else {}),
            },
            ensure_ascii=False,
        )
        mine = self.ledger.c.delivery_key == manifest.claim.key
        at = datetime.now(UTC).isoformat()
        connection.execute(sa.update(self.ledger).where(mine).values(counts=text, committed_at=at))

    def acknowledgement(self, connection: sa.Connection, key: str) -> Acknowledgement | None:
        """The answer once given to a delivery key, None if nothing was committed under it."""
        row = connection.execute(sa.select(self.ledger).where(self.ledger.c.delivery_key == key)).one_or_none()
        if row is None:
            return None
        counts = json.loads(row.counts)
        refreshed = counts.get("refreshed")
        return Acknowledgement(
            key=key,
            manifest=row.manifest_digest,
            written=counts["written"],
            deleted=counts["deleted"],
            unchanged=counts["unchanged"],
            superseded=counts["superseded"],
            refused=self._refused(connection, key),
            at=datetime.fromisoformat(row.committed_at),
            place=counts["place"],
            head=row.head,
            stamp=counts.get("stamp", ""),  # rows of earlier versions have none
            gone=refreshed["gone"] if refreshed else 0,
            refreshing=Refreshing(refreshed["how"], tuple(refreshed["why"])) if refreshed else None,
        )

    def tolerate(self, connection: sa.Connection, manifest: Manifest, counts: Counts, place: str) -> None:
        """Let no more rows be refused than are tolerable.

        Raises:
            TooManyRefused: They are more; the transaction is to be taken back.
        """
        if manifest.tolerable is None or counts.refused <= manifest.tolerable:
            return
        raise TooManyRefused(
            f"{place}：目标端拒收 {counts.refused} 行，至多还可容许 {manifest.tolerable} 行",
            remedy="请与对方核对表的约束和已有的行，或调整容错",
            refused=self._refused(connection, manifest.claim.key),
        )

    def _refused(self, connection: sa.Connection, key: str) -> tuple[RefusedRow, ...]:
        found: Iterable[Any] = connection.execute(
            sa.select(self.refusals).where(self.refusals.c.delivery_key == key).order_by(self.refusals.c.row_number)
        )
        return tuple(RefusedRow(each.row_number, each.rule, each.reason) for each in found)

    def answered(self, connection: sa.Connection, manifest: Manifest) -> Acknowledgement:
        """The answer to a key that is claimed already.

        Raises:
            Unbalanced: it was committed under another manifest.
            Unavailable: whoever claimed it is gone again.
        """
        known = self.acknowledgement(connection, manifest.claim.key)
        if known is None:
            raise Unavailable("同一交付键的另一次提交刚被撤回", remedy="稍后重试")
        if known.manifest != manifest.digest:
            raise Unbalanced("同一交付键已以另一份清单提交", remedy="核对交换批次，不要重用交付键")
        return known

    def seen(self, connection: sa.Connection, exchange: str) -> int:
        """The highest epoch seen for an exchange."""
        query = sa.select(self.epochs.c.epoch).where(self.epochs.c.exchange == exchange)
        return int(connection.execute(query).scalar() or 0)
