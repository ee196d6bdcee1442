"""The reference adapter: the port, executed in memory, so that its meaning can be read and run.

What
    Tables of this process, found by the name of their store. Nothing outlives the process.
Endpoint
    ``memory`` with the option ``store``. The provider's hands are :class:`Table`: insert, replace, remove.
Capabilities
    Reads by snapshot, outbox (a state beside each row), journal (a list of changes), watermark (a column that
    every change raises, named by the option ``watermark``) and diff (against the notebook of the last pass);
    delivers, merges, transactional, settles, answers.
Failure
    As the port says; never Unavailable, since nothing here is away.

The rules of the merge stand in :func:`_contest` (rows of one key staged together) and
:meth:`_Commit.put` and :meth:`_Commit.delete` (a staged row against what is there). Every other sink
that merges gives the same answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import RLock
from typing import Any, ClassVar, Literal

import pyarrow as pa

from adapters.base import (
    DELETE,
    ERROR_CHARACTERS,
    OPERATION,
    PUT,
    REFERENCE,
    Acknowledgement,
    Answers,
    Binding,
    Capabilities,
    Claim,
    Delivery,
    Endpoint,
    FailedRow,
    FoundColumn,
    FoundObject,
    Manifest,
    Notebook,
    Options,
    Outcome,
    Position,
    Probe,
    RefusedRow,
    Selection,
    Settled,
    Sink,
    Source,
)
from adapters.errors import Misconfigured, Overtaken, Restored, StageLost, TooManyRefused, Unbalanced, Unsupported

_CAPABILITIES = Capabilities(
    way="database",
    notes=frozenset({"diff"}),
    captures=frozenset({"snapshot", "outbox", "journal", "watermark", "diff"}),
    delivers=True,
    transactional=True,
    merges=True,
    settles=True,
    answers=True,
    looks_up=True,
)

_RESERVED = (pa.field(OPERATION, pa.int8(), nullable=False), pa.field(REFERENCE, pa.string(), nullable=False))


@dataclass
class Row:
    """A row with the state it has for its reader (同步标志); a removed row stays as a DELETE."""

    values: dict[str, Any]
    revision: int
    operation: int = PUT
    state: Literal["new", "done", "failed"] = "new"
    reason: str | None = None
    stamp: str = ""
    """Key of the delivery that wrote it last; empty: none did."""


@dataclass
class Table:
    """A table in memory: rows by number, and the journal of all that happened to them."""

    schema: pa.Schema
    rows: dict[int, Row] = field(default_factory=dict)
    journal: list[tuple[int, Row]] = field(default_factory=list)

    def insert(self, *rows: Mapping[str, Any]) -> list[int]:
        """Add rows; answers their numbers."""
        return [self._change(len(self.rows), values, PUT) for values in rows]

    def replace(self, number: int, values: Mapping[str, Any]) -> None:
        """Put other values in a row's place; it is new again."""
        self._change(number, values, PUT)

    def remove(self, number: int) -> None:
        """Take a row away, leaving word of it for readers of the outbox and the journal alone."""
        self._change(number, self.rows[number].values, DELETE)

    def present(self) -> dict[int, dict[str, Any]]:
        """The values of all rows that are there, by number."""
        return {number: row.values for number, row in self.rows.items() if row.operation == PUT}

    def _change(self, number: int, values: Mapping[str, Any], operation: int) -> int:
        self.rows[number] = Row(dict(values), revision=len(self.journal) + 1, operation=operation)
        self.journal.append((number, replace(self.rows[number])))
        return number


@dataclass
class Store:
    """What one place holds: tables, and beside them ledger, epochs, tombstones and stages."""

    tables: dict[str, Table] = field(default_factory=dict)
    ledger: dict[str, Acknowledgement] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    tombstones: dict[tuple[str, ...], dict[tuple[Any, ...], Any]] = field(default_factory=dict)
    """Object name and fixed values to business key to the version of the deletion."""
    stages: dict[tuple[str, int], list[pa.RecordBatch]] = field(default_factory=dict)
    """Delivery key and epoch to the batches staged under them."""
    lock: RLock = field(default_factory=RLock)

    def create(self, name: str, schema: pa.Schema, *rows: Mapping[str, Any]) -> Table:
        """Make a table with rows in it."""
        table = self.tables[name] = Table(schema)
        table.insert(*rows)
        return table

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done to tables and tombstones here, or nothing of it."""
        rows = {name: (dict(table.rows), list(table.journal)) for name, table in self.tables.items()}
        graves = {place: dict(versions) for place, versions in self.tombstones.items()}
        try:
            yield
        except BaseException:
            self.tables = {name: self.tables[name] for name in rows}
            for name, table in self.tables.items():
                table.rows, table.journal = rows[name]
            self.tombstones = graves
            raise


_STORES: dict[str, Store] = {}


def store(name: str) -> Store:
    """The store of that name; the first to ask makes it."""
    return _STORES.setdefault(name, Store())


def forget(name: str) -> None:
    """Drop a store with all that is in it."""
    _STORES.pop(name, None)


class Pages(Notebook):
    """A notebook in memory; :meth:`turn` makes what was written the earlier pages, as a delivery does."""

    def __init__(self) -> None:
        self._earlier: list[bytes] = []
        self._written: list[bytes] = []

    def earlier(self) -> Iterator[bytes]:
        """The pages before the last turn."""
        return iter(self._earlier)

    def write(self, page: bytes) -> None:
        """Keep a page."""
        self._written.append(page)

    def keep(self) -> None:
        """Take the earlier pages over."""
        self._written = self._earlier

    def turn(self) -> None:
        """What was written is delivered."""
        self._earlier, self._written = self._written, []

    def drop(self) -> None:
        """What was written is never delivered."""
        self._written = []


class MemoryOptions(Options):
    """Options of the kind ``memory``: the name of the store."""

    store: str


class MemoryEndpoint(Endpoint):
    """A store of this process."""

    kind: ClassVar[str] = "memory"
    options_type: ClassVar[type[Options]] = MemoryOptions

    def __init__(self, options: Any, *, zone: str = "Asia/Shanghai") -> None:
        self._options: MemoryOptions = options
        self._zone = zone

    @property
    def capabilities(self) -> Capabilities:
        """All but operation batches."""
        return _CAPABILITIES

    def identity(self) -> str:
        """The store."""
        return f"{self.kind} {self._options.store}"

    def test(self) -> list[Probe]:
        """A store is always there."""
        return [Probe("打开内存库", passed=True, detail=f"{len(self._store.tables)} 张表")]

    def inspect(self, object: str | None = None) -> list[FoundObject]:
        """The tables with their columns."""
        with self._store.lock:
            return [
                FoundObject(
                    name, tuple(FoundColumn(c.name, _letter(c.type), nullable=c.nullable) for c in table.schema)
                )
                for name, table in self._store.tables.items()
                if object in (None, name)
            ]

    def install(self, binding: Binding, schema: pa.Schema) -> list[str]:
        """Make the table; a sink that finds none makes it too."""
        with self._store.lock:
            if binding.object not in self._store.tables:
                self._store.create(binding.object, _columns(binding, _items(schema)))
        return []

    def check(self, binding: Binding, schema: pa.Schema, *, sink: bool) -> list[str]:
        """The table and the columns that are not there, and the items that are not bound."""
        table = self._store.tables.get(binding.object)
        problems = _unbound(binding, schema) if sink else []
        if table is None:
            return problems if sink else [f"没有表 {binding.object}"]
        mark = binding.options.get("watermark")
        if mark is not None and mark not in table.schema.names:
            problems.append(f"表 {binding.object} 没有水位列 {mark}")
        return problems + [
            f"表 {binding.object} 没有列 {column}（信息项 {item}）"
            for item, column in binding.columns.items()
            if column not in table.schema.names
        ]

    def source(self, binding: Binding) -> Source:
        """Read a table in any way but by operation batches."""
        _refuse_foreign(binding)
        if binding.capture not in _CAPABILITIES.captures:
            able = "、".join(sorted(_CAPABILITIES.captures))
            raise Unsupported(f"内存端点不能以 {binding.capture} 方式读取", remedy=f"改用 {able}")
        if problems := self.check(binding, _texts(binding), sink=False):
            raise Misconfigured("；".join(problems), remedy="改正挂接的表名或列名")
        return MemorySource(self._store, binding)

    def sink(self, binding: Binding) -> Sink:
        """Deliver to a table."""
        _refuse_foreign(binding)
        return MemorySink(self._store, binding)

    @property
    def _store(self) -> Store:
        return store(self._options.store)


class MemorySource(Source):
    """A table as its reader sees it."""

    def __init__(self, place: Store, binding: Binding) -> None:
        self._store = place
        self._binding = binding
        self._position: Position | None = None

    def schema(self) -> pa.Schema:
        """Types as the table has them."""
        table = self._store.tables[self._binding.object]
        fields = [table.schema.field(column).with_name(item) for item, column in self._binding.columns.items()]
        return pa.schema([*fields, *_RESERVED])

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Take the snapshot now; the batches are made of it later."""
        table = self._store.tables[self._binding.object]
        with self._store.lock:
            changes = self._changes(table, selection)
        fixed = self._binding.fixed.items()
        taken = [
            {item: row.values.get(column) for item, column in self._binding.columns.items()}
            | {OPERATION: row.operation, REFERENCE: f"{number}.{row.revision}"}
            for number, row in changes
            if all(row.values.get(column) == value for column, value in fixed)
        ]
        if self._binding.capture == "diff" and selection.notebook is not None:
            self._position = {"capture": "diff"}
            taken = self._different(taken, selection.notebook, full=(selection.after or {}).get("capture") != "diff")
        return self._batched(taken, selection.batch_rows)

    def _changes(self, table: Table, selection: Selection) -> list[tuple[int, Row]]:
        """The rows of one pass, and with them where the next one starts."""
        after = selection.after or {}
        if self._binding.capture == "journal":
            self._position = {"entry": len(table.journal)}
            return table.journal[int(after.get("entry", 0)) :]
        rows = [(number, replace(row)) for number, row in table.rows.items() if self._wanted(row)]
        self._position = None
        if self._binding.capture == "watermark":
            column = self._binding.options["watermark"]
            marks = [row.values[column] for _, row in rows if row.values.get(column) is not None]
            low = after.get("low")
            if low is not None:
                # A row without a mark could be of any time; one of the mark itself may have come since.
                rows = [each for each in rows if each[1].values.get(column) is None or each[1].values[column] >= low]
            self._position = {"low": max(marks)} if marks else selection.after
        return rows

    def _different(self, rows: list[dict[str, Any]], notebook: Notebook, *, full: bool) -> list[dict[str, Any]]:
        """Rows that are not as the notebook says, and the deletion of those that are gone."""
        known: dict[str, str] = {}
        for page in notebook.earlier():
            known |= json.loads(page)
        now = {}
        for row in rows:
            key = json.dumps([row[item] for item in self._binding.key], default=str)
            content = repr(sorted((name, value) for name, value in row.items() if name != REFERENCE))
            now[key] = (hashlib.sha256(content.encode()).hexdigest(), row)
        gone = [
            dict.fromkeys(self._binding.columns)
            | dict(zip(self._binding.key, json.loads(key), strict=True))
            | {OPERATION: DELETE, REFERENCE: key}
            for key in known
            if key not in now
        ]
        changed = [row for key, (digest, row) in now.items() if full or known.get(key) != digest]
        if changed or gone or not known:
            notebook.write(json.dumps({key: digest for key, (digest, _) in now.items()}).encode())
        else:
            notebook.keep()
        return changed + gone

    def position(self) -> Position | None:
        """How far the journal or the watermark was read, or that there is a notebook; else there is no window."""
        return self._position

    def settle(self, outcomes: Iterable[Outcome], settled: Settled | None = None) -> int:
        """Set the state of rows that are still as they were read and still new, or bear the refusal they had."""
        if self._binding.capture != "outbox":
            return 0
        marked = 0
        with self._store.lock:
            rows = self._store.tables[self._binding.object].rows
            for outcome in outcomes:
                number, revision = map(int, outcome.reference.split("."))
                row = rows.get(number)
                waiting = {"new", "failed"} if outcome.corrected else {"new"}
                if row is not None and row.revision == revision and row.state in waiting:
                    row.state = "done" if outcome.reason is None else "failed"
                    row.reason = outcome.reason
                    marked += 1
        return marked

    def buried(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """Look each key up among the tombstones."""
        with self._store.lock:
            graves = set(self._store.tombstones.get((self._binding.object, *self._binding.fixed.values()), {}))
        wanted = [tuple(row[item] for item in self._binding.key) for row in keys.to_pylist()]
        return pa.array([key in graves for key in wanted], pa.bool_())

    def lookup(self, keys: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that are there under the keys."""
        with self._store.lock:
            table = self._store.tables[self._binding.object]
            there = _index(table, self._binding)
            numbers = [there.get(tuple(row[item] for item in self._binding.key)) for row in keys.to_pylist()]
            rows = [(number, table.rows[number]) for number in numbers if number is not None]
            taken = [
                {item: row.values.get(column) for item, column in self._binding.columns.items()}
                | {OPERATION: row.operation, REFERENCE: f"{number}.{row.revision}"}
                for number, row in rows
            ]
        return pa.RecordBatch.from_pylist(taken, schema=self.schema())

    def _wanted(self, row: Row) -> bool:
        return row.state == "new" if self._binding.capture == "outbox" else row.operation == PUT

    def _batched(self, taken: list[dict[str, Any]], size: int) -> Iterator[pa.RecordBatch]:
        schema = self.schema()
        for start in range(0, len(taken), size):
            yield pa.RecordBatch.from_pylist(taken[start : start + size], schema=schema)


class MemorySink(Sink):
    """A table as the hub delivers to it."""

    def __init__(self, place: Store, binding: Binding) -> None:
        self._store = place
        self._binding = binding

    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Start from nothing; what the key staged under lower epochs goes."""
        if problems := _unbound(self._binding, schema):
            raise Misconfigured("；".join(problems), remedy="改正挂接")
        with self._store.lock:
            for key, epoch in list(self._store.stages):
                if key == claim.key and epoch <= claim.epoch:
                    del self._store.stages[key, epoch]
            self._store.stages[claim.key, claim.epoch] = []
        return MemoryDelivery(self._store, self._binding, claim, schema)

    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Take up what is staged under the claim, if anything is."""
        return MemoryDelivery(self._store, self._binding, claim, schema)

    def settled(self, key: str) -> Acknowledgement | None:
        """What the ledger says of a key."""
        return self._store.ledger.get(key)

    def epoch(self, exchange: str) -> int:
        """The highest epoch that committed."""
        return self._store.epochs.get(exchange, 0)

    def holds(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """Look each key up among the rows that are there."""
        with self._store.lock:
            table = self._store.tables.get(self._binding.object)
            present = set(_index(table, self._binding)) if table else set()
        wanted = [tuple(row[item] for item in self._binding.key) for row in keys.to_pylist()]
        return pa.array([key in present for key in wanted], pa.bool_())

    def answers(self, stamp: str, *, rows: int) -> Answers | None:
        """Count the rows of the delivery by the state their reader gave them."""
        with self._store.lock:
            table = self._store.tables.get(self._binding.object)
            if table is None:
                raise Misconfigured(f"没有表 {self._binding.object}", remedy="改正挂接的表名")
            found = [row for row in table.rows.values() if row.stamp == stamp and row.operation == PUT]
            columns = [self._binding.columns[item] for item in self._binding.key]
            failed = sorted(
                (
                    FailedRow(
                        tuple(None if row.values[name] is None else str(row.values[name]) for name in columns),
                        None if row.reason is None else row.reason[:ERROR_CHARACTERS],
                    )
                    for row in found
                    if row.state == "failed"
                ),
                key=lambda row: [part or "" for part in row.key],
            )
            new, done = (sum(row.state == state for row in found) for state in ("new", "done"))
        return Answers(new=new, done=done, failed=len(failed), other=0, rows=tuple(failed[:rows]))


class MemoryDelivery(Delivery):
    """Batches kept aside until they are committed under the store's lock."""

    def __init__(self, place: Store, binding: Binding, claim: Claim, schema: pa.Schema) -> None:
        self._store = place
        self._binding = binding
        self._claim = claim
        self._schema = _items(schema)

    def stage(self, batch: pa.RecordBatch) -> None:
        """Keep a batch under the claim."""
        with self._store.lock:
            stage = self._store.stages.get((self._claim.key, self._claim.epoch))
            if stage is None:
                raise Overtaken("暂存已被更高纪元的任务清除", remedy="由当前持有租约的任务继续")
            stage.append(batch)

    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Ledger first, then epoch, previous delivery and count; only then anything changes."""
        claim = manifest.claim
        with self._store.lock:
            known = self._store.ledger.get(claim.key)
            if known is not None:
                if known.manifest != manifest.digest:
                    raise Unbalanced("同一交付键已以另一份清单提交", remedy="核对交换批次，不要重用交付键")
                return known
            if self._store.epochs.get(claim.exchange, 0) > claim.epoch:
                raise Overtaken("目标端已见过更高的租约纪元", remedy="由当前持有租约的任务继续")
            if manifest.previous is not None and manifest.previous not in self._store.ledger:
                raise Restored("目标端没有上一次交付的台账", remedy="确认目标端是否被恢复，再重新交付")
            staged = [
                row for batch in self._store.stages.get((claim.key, self._claim.epoch), []) for row in batch.to_pylist()
            ]
            if manifest.rows and not staged:
                raise StageLost(f"暂存的 {manifest.rows} 行不在了", remedy="将自动重新读取")
            if len(staged) != manifest.rows:
                raise Unbalanced(f"暂存 {len(staged)} 行，清单记 {manifest.rows} 行", remedy="放弃此次暂存，重新读取")
            with self._store.transaction():
                answer = _Commit(self._store, self._binding, self._schema, overwrite=manifest.overwrite).run(
                    staged, manifest
                )
                if manifest.tolerable is not None and len(answer.refused) > manifest.tolerable:
                    raise TooManyRefused(
                        f"目标端拒收 {len(answer.refused)} 行，至多还可容许 {manifest.tolerable} 行",
                        remedy="核对目标端已有的行，或调整容错",
                        refused=answer.refused,
                    )
            self._store.ledger[claim.key] = answer
            self._store.epochs[claim.exchange] = claim.epoch
            return answer

    def abort(self) -> None:
        """Drop the stage."""
        with self._store.lock:
            self._store.stages.pop((self._claim.key, self._claim.epoch), None)


@dataclass(frozen=True)
class _Staged:
    """A staged row with what decides about it."""

    number: int
    operation: int
    key: tuple[Any, ...]
    version: Any
    values: dict[str, Any]


class _Commit:
    """One merge of staged rows into a table, and the count of what became of each."""

    def __init__(self, place: Store, binding: Binding, schema: pa.Schema, *, overwrite: bool) -> None:
        self._binding = binding
        self._overwrite = overwrite
        self._items = schema.names
        self._table = place.tables.get(binding.object) or place.create(binding.object, _columns(binding, schema))
        self._tombstones = place.tombstones.setdefault((binding.object, *binding.fixed.values()), {})
        self._numbers = _index(self._table, binding)
        self._counts = {"written": 0, "deleted": 0, "unchanged": 0, "superseded": 0}
        self._refused: list[RefusedRow] = []

    def run(self, staged: list[dict[str, Any]], manifest: Manifest) -> Acknowledgement:
        """Merge all rows and make the answer."""
        rivals: dict[tuple[Any, ...], list[_Staged]] = {}
        for number, values in enumerate(staged):
            row = self._staged(number, values)
            rivals.setdefault(row.key, []).append(row)
        for rows in rivals.values():
            winner, losers = _contest(rows, versioned=self._binding.version is not None, overwrite=self._overwrite)
            for row, fate in losers:
                self._count(row, fate)
            fate = self.put(winner) if winner.operation == PUT else self.delete(winner)
            if fate == "written":
                self._table.rows[self._numbers[winner.key]].stamp = manifest.claim.key
            self._count(winner, fate)
        return Acknowledgement(
            key=manifest.claim.key,
            manifest=manifest.digest,
            refused=tuple(sorted(self._refused, key=lambda row: row.row)),
            at=datetime.now(UTC),
            place=self._binding.object,
            head=manifest.head,
            stamp=manifest.claim.key,
            refreshing=None,
            **self._counts,
        )

    def put(self, row: _Staged) -> str:
        """A row against the target: lower than row or tombstone loses, higher or absent is written."""
        number = self._numbers.get(row.key)
        if number is None:
            buried = self._tombstones.get(row.key)
            if row.key in self._tombstones and self._binding.version is not None:
                behind, same = _rank(row.version) < _rank(buried), _rank(row.version) == _rank(buried)
                if behind or (same and not self._overwrite):
                    return "superseded"
            self._numbers[row.key] = self._table.insert(self._written(row))[0]
        else:
            there = self._table.rows[number].values
            if self._binding.version is not None:
                present = there.get(self._binding.columns[self._binding.version])
                if _rank(row.version) < _rank(present):
                    return "superseded"
                decided = _rank(row.version) > _rank(present) or self._overwrite
            else:
                decided = True
            if all(_same(there.get(self._binding.columns[item]), row.values[item]) for item in self._items):
                return "unchanged"
            if not decided:
                return "conflict"
            self._table.replace(number, there | self._written(row))
        self._tombstones.pop(row.key, None)
        return "written"

    def delete(self, row: _Staged) -> str:
        """A deletion against the target: it leaves a tombstone wherever it is not behind the row."""
        number = self._numbers.get(row.key)
        if number is not None and self._binding.version is not None:
            present = self._table.rows[number].values.get(self._binding.columns[self._binding.version])
            if _rank(present) > _rank(row.version):
                return "superseded"
        buried = self._tombstones.get(row.key)
        self._tombstones[row.key] = max(row.version, buried, key=_rank)
        if number is None:
            return "unchanged"
        self._table.remove(self._numbers.pop(row.key))
        return "deleted"

    def _staged(self, number: int, values: dict[str, Any]) -> _Staged:
        version = values[self._binding.version] if self._binding.version else None
        key = tuple(values[item] for item in self._binding.key)
        return _Staged(number, values[OPERATION], key, version, {item: values[item] for item in self._items})

    def _written(self, row: _Staged) -> dict[str, Any]:
        return {self._binding.columns[item]: row.values[item] for item in self._items} | dict(self._binding.fixed)

    def _count(self, row: _Staged, fate: str) -> None:
        if fate == "conflict":
            self._refused.append(RefusedRow(row.number, "conflict", "与目标端同一版本的内容不同"))
            return
        if fate == "deleted":
            self._counts["written"] += 1
        self._counts[fate] += 1


def _contest(rows: list[_Staged], *, versioned: bool, overwrite: bool) -> tuple[_Staged, list[tuple[_Staged, str]]]:
    """Rows of one key staged together: the highest version wins, then the last; what becomes of the rest."""
    winner = max(rows, key=lambda row: (_rank(row.version), row.number))
    losers = []
    for row in rows:
        if row is winner:
            continue
        if not versioned or _rank(row.version) < _rank(winner.version) or row.operation != winner.operation:
            fate = "superseded"
        elif row.operation == DELETE or all(_same(row.values[item], winner.values[item]) for item in row.values):
            fate = "unchanged"
        else:
            fate = "superseded" if overwrite else "conflict"
        losers.append((row, fate))
    return winner, losers


def _rank(version: Any) -> tuple[bool, Any]:
    """Orders versions; one that is missing is below all others."""
    return (version is not None, version)


def _same(one: Any, other: Any) -> bool:
    # NaN is the one value that is not equal to itself.
    return bool(one == other) or (one != one and other != other)


def _index(table: Table, binding: Binding) -> dict[tuple[Any, ...], int]:
    """Business key to row number, among the rows that carry the binding's fixed values."""
    columns = [binding.columns[item] for item in binding.key]
    return {
        tuple(values.get(column) for column in columns): number
        for number, values in table.present().items()
        if all(values.get(column) == value for column, value in binding.fixed.items())
    }


def _columns(binding: Binding, schema: pa.Schema) -> pa.Schema:
    bound = [column.with_name(binding.columns[column.name]) for column in schema]
    return pa.schema([*bound, *(pa.field(name, pa.string()) for name in binding.fixed)])


def _items(schema: pa.Schema) -> pa.Schema:
    return pa.schema([column for column in schema if column.name not in (OPERATION, REFERENCE)])


def _unbound(binding: Binding, schema: pa.Schema) -> list[str]:
    return [f"信息项 {name} 没有挂接到列" for name in _items(schema).names if name not in binding.columns]


def _texts(binding: Binding) -> pa.Schema:
    """A schema of text for the bound items, where only their names matter."""
    return pa.schema([pa.field(item, pa.string()) for item in binding.columns])


def _refuse_foreign(binding: Binding) -> None:
    problems = []
    if binding.profile is not None:
        problems.append("内存端点没有前置库表族")
    if binding.capture == "watermark" and "watermark" not in binding.options:
        problems.append("读取方式 watermark 须写明选项 watermark（水位列）")
    known = {"watermark"} if binding.capture == "watermark" else set()
    problems += [f"内存端点没有挂接选项 {name}" for name in binding.options if name not in known]
    if problems:
        raise Misconfigured("；".join(problems), remedy="从挂接中去掉")


def _columns_found(schema: pa.Schema) -> tuple[FoundColumn, ...]:
    return tuple(FoundColumn(column.name, _letter(column.type), nullable=column.nullable) for column in schema)


def _letter(type: pa.DataType) -> str:
    for letter, holds in (
        ("C", pa.types.is_string),
        ("N", pa.types.is_decimal),
        ("D", pa.types.is_date),
        ("T", pa.types.is_timestamp),
        ("L", pa.types.is_boolean),
        ("G", pa.types.is_binary),
        ("I", pa.types.is_integer),
    ):
        if holds(type):
            return letter
    return "B"
