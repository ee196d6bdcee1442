"""Refused rows in their provider's hands (隔离处理): looked at masked, corrected under the same checks, or given up.

What a row holds lies in the encrypted manifest of the run that refused it; a correction is an encrypted
file of its own beside it. The hub's database knows states, rules and keyed hashes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import OPERATION, REFERENCE
from catalog import Catalog, Resource
from exchange.authorisation import masks
from exchange.authorisation.reading import near
from exchange.checks import KEPT, RULES, examine
from exchange.checks.buffers import plain
from exchange.db import alone
from exchange.db.tables import ExchangeRow, GrantRow, QuarantineRow, RunRow
from exchange.engine.manifest import NUMBER, Manifest
from exchange.engine.states import RunState
from exchange.errors import Busy, Invalid, Misplaced, Problem, Tampered, Unknown
from exchange.identity import Actor
from exchange.plan import End
from exchange.secrets import Vault
from schemas import Item

REPAIR = "repair-"
"""Names of corrections in the vault begin so."""
HIDDEN = "***"
"""Stands for a value of which nothing is shown."""
READING = (RunState.PLANNED, RunState.STAGED, RunState.COMMITTING)
"""A run in one of these has rows in hand whose fate is not decided."""


class RowState(StrEnum):
    """Where a refused row stands (隔离状态)."""

    OPEN = "open"  # waits to be corrected, here or at its source
    REPAIRED = "repaired"  # corrected here, waits to be replayed
    REPLAYED = "replayed"  # went the way of all rows in a replay
    AGAIN = "again"  # refused again since: the later refusal stands for it
    DROPPED = "dropped"  # its provider says it will never be delivered
    STOPPED = "stopped"  # its run delivered nothing: the source is read again
    EXPIRED = "expired"  # its content was removed after the time of retention
    KEPT = "kept"  # not refused: accepted with a state


MENDABLE = (RowState.OPEN, RowState.REPAIRED)
_WHY_NOT: Mapping[str, tuple[str, str]] = {
    RowState.REPLAYED: ("已经重送", "再有改动请由来源端重报"),
    RowState.AGAIN: ("后来又被拒收", "处理后来的那一行，见 shutong quarantine list --state open"),
    RowState.DROPPED: ("已注明不再送", "如仍要送，请由来源端重报"),
    RowState.STOPPED: ("所在批次拒收过多，整批没有交付", "在来源端更正，下次执行会重新读取"),
    RowState.EXPIRED: ("内容已过留存期限，已清除", "请由来源端重报"),
    RowState.KEPT: ("没有被拒收，已带状态保留", "登记所引用的事项后自动关联"),
}


@dataclass(frozen=True)
class Repair:
    """A correction as it is kept (更正): what was set, by whom, when and why.

    ``changes`` holds every item that differs from what the source gave, empty ones as None.
    """

    run: str
    number: int
    changes: dict[str, str | None]
    by: str
    at: str
    reason: str


@dataclass(frozen=True)
class ShownItem:
    """One item of a refused row as its provider's clerk sees it.

    Attributes:
        value: The value, masked by its grade; None: it is empty.
        masked: Less than the value is shown.
        corrected: It was set here.
        reasons: What is wrong with it as its source gave it.
    """

    name: str
    label: str
    value: str | None
    masked: bool
    corrected: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ShownRow:
    """A refused row as its provider's clerk sees it (隔离行).

    Attributes:
        findings: Rule and reason of everything wrong with it.
        items: Its items; empty where no content was kept.
        repaired_by: Who corrected it last, with time and reason.
    """

    id: int
    exchange: str
    run: str
    number: int
    state: str
    at: datetime
    findings: tuple[tuple[str, str], ...]
    items: tuple[ShownItem, ...]
    repaired_by: str | None = None
    repaired_at: str | None = None
    repair_reason: str | None = None


def read_repair(vault: Vault, name: str) -> Repair:
    """A correction by the name of its file.

    Raises:
        Unknown: It is not there.
        Tampered: It is not as it was written.
    """
    return Repair(**json.loads(b"".join(vault.read(name))))


def corrected(row: pa.RecordBatch, changes: Mapping[str, str | None]) -> pa.RecordBatch:
    """A row, or several, with some items set to a text."""
    columns = {name: row.column(name) for name in row.schema.names}
    for name, value in changes.items():
        columns[name] = pa.array([value] * row.num_rows, pa.string())
    reserved = {name: columns.pop(name) for name in (OPERATION, REFERENCE, NUMBER) if name in columns}
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    fields += [row.schema.field(name) for name in reserved]
    return pa.RecordBatch.from_arrays([*columns.values(), *reserved.values()], schema=pa.schema(fields))


def content_of(manifest: Manifest, number: int) -> pa.RecordBatch | None:
    """The refused row of that number as its source typed it; None: it was not kept."""
    for batch in manifest.contents():
        found = batch.filter(pc.equal(batch.column(NUMBER), number))
        if found.num_rows:
            return found
    return None


class Quarantine:
    """Looks at refused rows, corrects them and gives them up; who may is decided above.

    Args:
        vault: Where manifests and corrections lie.
        catalog: Knows the items as they are registered now.
    """

    def __init__(self, vault: Vault, catalog: Catalog) -> None:
        self._vault = vault
        self._catalog = catalog

    def find(self, session: Session, number: int, *, lock: bool = False) -> list[QuarantineRow]:
        """Everything noted about the refused row that a number of the list belongs to.

        Args:
            session: An open hub transaction.
            number: The number.
            lock: Hold the row until the transaction ends.

        Raises:
            Unknown: There is no such number.
        """
        row = session.get(QuarantineRow, number) if 0 <= number < 2**63 else None
        if row is None:
            raise Unknown(f"没有隔离行 {number}", remedy="用 shutong quarantine list 查看")
        same = select(QuarantineRow).where(QuarantineRow.run == row.run, QuarantineRow.number == row.number)
        same = same.where(QuarantineRow.rule.in_(KEPT) if row.rule in KEPT else QuarantineRow.rule.not_in(KEPT))
        if lock:
            # Corrections that no row names are swept away under the same name.
            alone(session, "quarantine")
            same = same.with_for_update().execution_options(populate_existing=True)
        return list(session.scalars(same.order_by(QuarantineRow.id)))

    def look(self, session: Session, rows: Sequence[QuarantineRow]) -> ShownRow:
        """The row with every value masked by its grade, but for the items that are to be mended."""
        first = rows[0]
        reasons: dict[str, tuple[str, ...]] = {}
        for row in rows:
            if row.item is not None:
                reasons[row.item] = (*reasons.get(row.item, ()), row.reason)
        shown = ShownRow(
            id=first.id,
            exchange=first.exchange,
            run=first.run,
            number=first.number,
            state=first.state,
            at=first.at,
            findings=tuple((row.rule, row.reason) for row in rows),
            items=(),
        )
        content = self._content(session, first)
        if content is None:
            return shown
        repair = read_repair(self._vault, first.repair) if first.repair else None
        changes = repair.changes if repair else {}
        known = {item.name: item for item in self._resource(session, first.exchange).items}
        values = texts(corrected(content, changes))
        items = tuple(_shown(name, known.get(name), value, reasons, changes) for name, value in values.items())
        if repair is None:
            return replace(shown, items=items)
        return replace(
            shown, items=items, repaired_by=repair.by, repaired_at=repair.at, repair_reason=repair.reason or None
        )

    def mend(
        self, session: Session, rows: Sequence[QuarantineRow], changes: Mapping[str, str | None], by: Actor, reason: str
    ) -> None:
        """Correct items of a row that :meth:`find` holds, if the row then passes the checks.

        Args:
            session: The transaction that holds the row.
            rows: What is noted about it.
            changes: Item to text; None empties it. What was set before stays set.
            by: Who corrects.
            reason: Why, if it is said.

        Raises:
            Invalid: Items that do not exist, and everything still wrong with the row.
            Misplaced: The row cannot be corrected any more, or its content was not kept.
            Busy: A replay has it in hand.
        """
        first = rows[0]
        self._must_be_free(session, first)
        content = self._content(session, first)
        if content is None:
            raise Misplaced(f"隔离行 {first.id} 的内容没有保留，不能更正", remedy="请由来源端更正后重报")
        if first.repair:
            changes = {**read_repair(self._vault, first.repair).changes, **changes}
        self._examine(session, first, content, changes)
        name = f"{REPAIR}{first.id}-{secrets.token_hex(8)}"
        at = datetime.now(UTC).isoformat(timespec="seconds")
        kept = Repair(first.run, first.number, dict(changes), by=by.name, at=at, reason=reason)
        # Whole and on disk before the transaction that names it ends; one that nobody names is swept away.
        with self._vault.write(name) as writer:
            writer.append(json.dumps(asdict(kept), ensure_ascii=False).encode())
        for row in rows:
            row.repair, row.state = name, RowState.REPAIRED.value

    def drop(self, session: Session, rows: Sequence[QuarantineRow]) -> None:
        """Give up a row that :meth:`find` holds.

        Raises:
            Misplaced: There is nothing left to give up.
            Busy: A replay has it in hand.
        """
        self._must_be_free(session, rows[0])
        for row in rows:
            row.state = RowState.DROPPED.value

    def _must_be_free(self, session: Session, row: QuarantineRow) -> None:
        if row.state not in MENDABLE:
            why, remedy = _WHY_NOT[row.state]
            raise Misplaced(f"隔离行 {row.id} {why}", remedy=remedy)
        in_hand = select(RunRow.id).where(RunRow.id == row.replay, RunRow.state.in_(READING))
        if session.scalar(in_hand) is not None:
            raise Busy(f"隔离行 {row.id} 正在重送", remedy=f"等批次 {row.replay} 办完后再处理")

    def _examine(
        self, session: Session, row: QuarantineRow, content: pa.RecordBatch, changes: Mapping[str, str | None]
    ) -> None:
        """Hold the row as it would be to the checks of today."""
        resource = self._resource(session, row.exchange)
        known = {item.name: item for item in resource.items}
        where = f"隔离行 {row.id}"
        strange = [name for name in changes if name not in known]
        unknown = [Problem(where=where, message=f"没有信息项 {name}{near(name, known)}") for name in strange]
        if unknown:
            raise Invalid(f"{where} 没有更正", unknown)
        mended = corrected(content, changes)
        items = [item for item in resource.items if item.name in mended.schema.names]
        exchange = session.get_one(ExchangeRow, row.exchange)
        zone = self._catalog.endpoint(session, End(**exchange.source).endpoint).zone
        today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
        seen = examine(mended, items, key=resource.key, version=resource.version_item, zone=zone, today=today)
        if seen.refused.num_rows:
            problems = [
                Problem(where=f"{where} › {finding.item}", message=finding.reason, remedy=RULES[finding.rule].remedy)
                for finding in seen.findings
                if RULES[finding.rule].refuses
            ]
            raise Invalid(f"{where} 更正后仍有 {len(problems)} 处不符，没有保存", problems)

    def _resource(self, session: Session, exchange: str) -> Resource:
        grant = session.get_one(GrantRow, session.get_one(ExchangeRow, exchange).grant)
        return self._catalog.resource(session, grant.resource, version=grant.resource_version).resource

    def _content(self, session: Session, row: QuarantineRow) -> pa.RecordBatch | None:
        if row.file is None or row.state in (RowState.EXPIRED, RowState.KEPT):
            return None
        run = session.get_one(RunRow, row.run)
        found = content_of(Manifest(self._vault, row.file, run.manifest_digest or ""), row.number)
        if found is None:
            raise Tampered(f"交付清单 {row.file} 中没有第 {row.number} 行", remedy="保全现场，从备份恢复后核对")
        return found


def _shown(
    name: str,
    item: Item | None,
    value: str | None,
    reasons: Mapping[str, tuple[str, ...]],
    changes: Mapping[str, str | None],
) -> ShownItem:
    # What is to be mended must be seen; nothing else of a person is needed for that.
    clear = name in reasons
    shown = value if value is None or clear else obscured(item, value)
    return ShownItem(
        name=name,
        label=item.label if item is not None else name,
        value=shown,
        masked=shown != value,
        corrected=name in changes,
        reasons=reasons.get(name, ()),
    )


def obscured(item: Item | None, value: str) -> str:
    """A value as the source wrote it, by the grade of its item; an item nobody knows is hidden."""
    if item is None or item.grade == "sensitive":
        return HIDDEN
    if item.grade == "none":
        return value
    mask = masks.Truncate(length=4) if item.type in "DT" else masks.proposed(item)
    if isinstance(mask, masks.Null):
        return HIDDEN
    return masks.apply(mask, pa.array([value], pa.string()), b"")[0].as_py() or HIDDEN


def texts(row: pa.RecordBatch) -> dict[str, str | None]:
    """A row's items as text; bytes that are no text are shown by their numbers."""
    names = [name for name in row.schema.names if name not in (OPERATION, REFERENCE, NUMBER)]
    return {name: _legible(plain(row.column(name))) for name in names}


def _legible(column: pa.Array) -> str | None:
    if not column[0].is_valid:
        return None
    if pa.types.is_binary(column.type):
        return str(column[0].as_py().hex())
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    return str(column.cast(pa.binary())[0].as_py().decode("utf-8", "backslashreplace"))
