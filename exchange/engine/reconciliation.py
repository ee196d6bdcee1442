"""Reconciliation (对账): does the recipient hold exactly what the grant allows of what the source holds now?

Nothing is delivered and nothing written at either end. The source is read as a whole table and goes through
the same passage as in a run; the target is read back through its own endpoint; both go side by side in the
order of their keys, digests first. Where they differ, rows are told apart, and explained as far as the hub knows.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import REFERENCE, AdapterError, Binding, Capabilities, Endpoint, Selection, Source
from catalog import Catalog
from exchange.checks import KEPT, key_hashes
from exchange.db import HubDatabase
from exchange.db.tables import ExchangeRow, QuarantineRow, RunRow
from exchange.engine.comparison import KINDS, Comparison, FoundRange, FoundRow
from exchange.engine.opening import binding, open_registered, translated
from exchange.engine.ordering import Disordered, keyed, latest, ordered_keys, put_in_order, watched, whole_groups
from exchange.engine.passage import Passage
from exchange.engine.ranges import Bounds, paired
from exchange.engine.readback import Readback
from exchange.engine.states import UNFINISHED, RunState
from exchange.engine.subject import plan_exchange
from exchange.errors import Busy, Invalid, Problem, Unknown
from exchange.plan import End, Plan
from exchange.secrets import Keyring, Spool
from exchange.settings import Settings

Watcher = Callable[[str, dict[str, Any]], None]

RANGE_ROWS = 4096
"""Rows of a range, on average."""
_EXPLAINED = 200
"""Differing rows that are explained at least, however few are to be told: what to do follows from them."""
_REFUSED_KEPT = 100_000
"""Refused rows of the source that are remembered, to explain what the recipient still holds."""
_ASKED = 500
"""Keys that one query of the hub's database asks for."""
_INCREMENTAL = frozenset({"outbox", "batches", "journal", "watermark"})
"""Ways of reading that can say what has changed since the last run, without reading everything."""


@dataclass(frozen=True)
class Difference:
    """A row that differs at the recipient.

    Attributes:
        kind: How: ``missing``, ``surplus``, ``repeated``, ``older``, ``newer`` or ``content``.
        key_hash: Keyed hash of its key, the same as in quarantine.
        key: The key itself, as it was delivered, where it was asked for.
        items: Names of the items whose values differ.
        why: What the hub knows about it: ``pending`` (changed at the source after the last run), ``refused``
            (by the checks or by the target), ``withdrawn`` (the source has it, but marked as deleted or not among
            the rows granted), ``deleted`` (the source keeps a tombstone of it), ``buried`` (the recipient's ledger
            does).
        rules: Rules by which it was refused.
    """

    kind: str
    key_hash: str
    key: dict[str, str | None] | None
    items: tuple[str, ...]
    why: tuple[str, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True)
class DifferingRange:
    """A range of keys in which the two ends differ; ``first`` and ``last`` are shown like keys of rows."""

    number: int
    first: dict[str, str | None] | str
    last: dict[str, str | None] | str
    expected: int
    held: int
    counts: dict[str, int]
    expected_digest: str
    held_digest: str


@dataclass(frozen=True)
class Reconciliation:
    """What a reconciliation came to.

    Attributes:
        exchange: Id of the exchange.
        agrees: The recipient holds exactly what it should.
        read: Rows read at the source.
        refused: How many of them the checks refuse.
        expected: Rows the recipient should hold.
        held: Rows it holds.
        counts: Rows that differ, by how they do.
        ranges: How many ranges were compared.
        differing_ranges: How many of them differ.
        found_ranges: The first of these.
        rows: The first rows that differ.
        expected_digest: Digest over what the recipient should hold.
        held_digest: Digest over what it holds, cut into the same ranges: to be compared with the other alone.
        algorithm: Of the digests.
        last_delivery: Key of the last delivery the hub knows of.
        remarks: What the reader must know, in words.
        remedies: What to do, in words.
        seconds: How long it took.
    """

    exchange: str
    agrees: bool
    read: int
    refused: int
    expected: int
    held: int
    counts: dict[str, int]
    ranges: int
    differing_ranges: int
    found_ranges: tuple[DifferingRange, ...]
    rows: tuple[Difference, ...]
    expected_digest: str
    held_digest: str
    algorithm: str
    last_delivery: str | None
    remarks: tuple[str, ...]
    remedies: tuple[str, ...]
    seconds: float


class Everything:
    """A recipient that may hold any row: what it should not hold goes through the passage as a deletion."""

    def holds(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """Yes."""
        return pa.array([True] * keys.num_rows, pa.bool_())


@dataclass
class _Work:
    """A reconciliation in hand."""

    plan: Plan
    ends: tuple[Endpoint, Endpoint]
    zones: tuple[str, str]
    stands: tuple[Any, ...]
    position: dict[str, Any] | None
    last_delivery: str | None
    reshaped: bool
    """The grant or the binding changed since the last delivery."""
    observe: Watcher
    read: int = 0
    refused: int = 0
    held: int = 0
    refused_hashes: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)


class Reconciler:
    """Reconciles exchanges. One object may serve many threads."""

    def __init__(self, *, settings: Settings, database: HubDatabase, keyring: Keyring, catalog: Catalog) -> None:
        self._settings = settings
        self._database = database
        self._keyring = keyring
        self._catalog = catalog

    def reconcile(
        self,
        exchange: str,
        *,
        keys: bool = False,
        beyond_grant: bool = True,
        most_rows: int = 20,
        most_ranges: int = 20,
        range_rows: int = RANGE_ROWS,
        observe: Watcher = lambda _step, _figures: None,
    ) -> Reconciliation:
        """Compare what the recipient of an exchange holds with what it should hold.

        Args:
            exchange: Id of the exchange.
            keys: Show keys in clear.
            beyond_grant: Tell what is not the recipient's to know: what the source knows of rows it should not
                hold (it could ask for any key by putting it into its own table), what was refused, and in clear
                the keys of rows that no run has delivered to it.
            most_rows: How many differing rows to tell; all are counted.
            most_ranges: How many differing ranges to tell; all are counted.
            range_rows: Rows of a range, on average.
            observe: Told how far it has come.

        Raises:
            Unknown: There is no such exchange.
            Denied: Its grant does not hold now.
            Invalid: An end cannot be read as a whole.
            Busy: The exchange delivered meanwhile, or is about to.
            Failed: An end could not be used.
        """
        began = time.monotonic()
        work = self._begun(exchange, observe)
        comparison = self._compared(work, range_rows, most_ranges, max(most_rows, _EXPLAINED))
        with self._database.reading() as session:
            if self._stands(session, exchange)[1] != work.stands:
                raise Busy(f"交换 {exchange} 在对账期间有交付", remedy="交付结束后重新对账")
        rows = self._explained(work, comparison.found_rows, keys=keys, beyond_grant=beyond_grant)
        ranges = tuple(self._shown(work.plan, each, keys=keys and beyond_grant) for each in comparison.found_ranges)
        expected, held = comparison.expected.root(), comparison.held.root()
        return Reconciliation(
            exchange=exchange,
            agrees=expected == held,
            read=work.read,
            refused=work.refused,
            expected=comparison.expected.rows,
            held=comparison.held.rows,
            counts={kind: comparison.counts[kind] for kind in KINDS},
            ranges=comparison.ranges,
            differing_ranges=comparison.differing,
            found_ranges=ranges,
            rows=rows[:most_rows],
            expected_digest=expected,
            held_digest=held,
            algorithm=work.plan.digest_algorithm,
            last_delivery=work.last_delivery,
            remarks=tuple(work.remarks),
            remedies=_remedies(work, comparison.counts, rows),
            seconds=time.monotonic() - began,
        )

    # --- both ends -----------------------------------------------------------------------------

    def _begun(self, exchange: str, observe: Watcher) -> _Work:
        with self._database.reading() as session:
            row, stands = self._stands(session, exchange)
            if RunState.COMMITTING in stands:
                raise Busy(f"交换 {exchange} 有一个正在提交的批次", remedy=f"先执行 shutong run {exchange} 把它办完")
            ends = self._opened(session, row.source), self._opened(session, row.target)
            _demand_readable(row, ends[0].capabilities, ends[1].capabilities)
            able = ends[0].capabilities, ends[1].capabilities
            plan = plan_exchange(session, row, *able, self._settings, self._catalog)
            names = plan.source.endpoint, plan.target.endpoint
            zones = [self._catalog.endpoint(session, name).zone for name in names]
            return _Work(
                plan=plan,
                ends=ends,
                zones=(zones[0], zones[1]),
                stands=stands,
                position=row.position,
                last_delivery=row.last_delivery,
                reshaped=plan.full and row.last_delivery is not None,
                observe=observe,
            )

    def _stands(self, session: Session, exchange: str) -> tuple[ExchangeRow, tuple[Any, ...]]:
        """The exchange, and where it stands: as long as that is so, nothing was delivered."""
        row = session.get(ExchangeRow, exchange)
        if row is None:
            raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
        unfinished = select(RunRow.id, RunRow.state).where(RunRow.exchange == exchange, RunRow.state.in_(UNFINISHED))
        runs = session.execute(unfinished.order_by(RunRow.id)).all()
        return row, (row.last_delivery, *(part for run in runs for part in run))

    def _opened(self, session: Session, end: dict[str, Any]) -> Endpoint:
        spec = self._catalog.endpoint(session, End(**end).endpoint)
        return open_registered(spec.kind, spec.options, spec.zone, home=self._settings.home, name=spec.name)

    def _compared(self, work: _Work, range_rows: int, most_ranges: int, most_rows: int) -> Comparison:
        plan = work.plan
        bounds = Bounds(self._keyring.derive("reconcile", plan.exchange), range_rows)
        # Keys that are hashed on the way have lost their order; any other order is looked at as it comes.
        unordered = {"source"} if _key_hashed(plan) else set()
        while True:
            work.read = work.refused = work.held = 0
            work.refused_hashes.clear()
            comparison = Comparison(
                plan.deliver,
                plan.key,
                plan.version,
                algorithm=plan.digest_algorithm,
                most_ranges=most_ranges,
                most_rows=most_rows,
            )
            reading = _Reading(unordered)
            try:
                with ExitStack() as stack:
                    spool = stack.enter_context(Spool(self._settings.home / "payload"))
                    expected = stack.enter_context(closing(self._expected(work, reading, spool)))
                    held = stack.enter_context(closing(self._held(work, reading, spool)))
                    # What is put in order is read as a whole before its first row comes: the other end is not to wait.
                    first = list(islice(held, 1)) if "target" in unordered else []
                    for one, other in paired(expected, chain(first, held), bounds):
                        comparison.add(one, other)
                        work.observe("compare", {"read": work.read, "held": work.held})
            except Disordered:
                unordered = unordered | {reading.at}
            else:
                return comparison

    def _expected(self, work: _Work, reading: _Reading, spool: Spool) -> Generator[pa.RecordBatch, None, None]:
        """What the recipient should hold, and what it should not, in the order of the delivered keys."""
        ordered = reading.ordered("source", self._passed(work), spool)
        yield from latest(whole_groups(ordered), work.plan.version)

    def _passed(self, work: _Work) -> Iterator[pa.RecordBatch]:
        plan = work.plan
        passage = self._passage(work)
        for batch in _batches(work.ends[0], _standing(plan.source), plan, plan.source.endpoint, None):
            passed = passage.through(batch)
            first = work.read
            work.read += batch.num_rows
            work.refused += passed.refused_rows
            if passed.refused_rows and len(work.refused_hashes) < _REFUSED_KEPT:
                work.refused_hashes.update(passed.refused.column("key_hash").to_pylist())
            work.observe("compare", {"read": work.read, "held": work.held})
            places = passed.rows.filter(pc.is_valid(passed.rows.column("staged"))).column("reference")
            yield keyed(passed.staged.append_column(REFERENCE, places), plan.key, first)

    def _passage(self, work: _Work) -> Passage:
        plan = work.plan
        return Passage(
            plan,
            zone=work.zones[0],
            mask_key=self._keyring.derive("grant", plan.grant),
            hash_key=self._hash_key(plan),
            today=datetime.now(ZoneInfo("Asia/Shanghai")).date(),
            sink=Everything(),
        )

    def _held(self, work: _Work, reading: _Reading, spool: Spool) -> Generator[pa.RecordBatch, None, None]:
        """What the recipient holds, in the order of the keys."""
        yield from whole_groups(reading.ordered("target", self._read_back(work), spool))

    def _read_back(self, work: _Work) -> Iterator[pa.RecordBatch]:
        plan = work.plan
        readback = Readback(plan, work.zones[1])
        end = plan.target.model_copy(update={"capture": "snapshot", "profile": None})
        for batch in _batches(work.ends[1], end, plan, plan.target.endpoint, None):
            first = work.held
            work.held += batch.num_rows
            yield keyed(readback.typed(batch), plan.key, first)

    # --- what was found ------------------------------------------------------------------------

    def _hash_key(self, plan: Plan) -> bytes:
        return self._keyring.derive("quarantine", plan.resource)

    def _shown(self, plan: Plan, found: FoundRange, *, keys: bool) -> DifferingRange:
        first, last = (_clear(end) if keys else key_hashes(end, plan.key, self._hash_key(plan)) for end in found.ends)
        return DifferingRange(
            number=found.number,
            first=first[0],
            last=last[0],
            expected=found.expected,
            held=found.held,
            counts={str(kind): count for kind, count in found.counts.items()},
            expected_digest=found.digests[0],
            held_digest=found.digests[1],
        )

    def _explained(
        self, work: _Work, found: Sequence[FoundRow], *, keys: bool, beyond_grant: bool
    ) -> tuple[Difference, ...]:
        self._remark(work)
        if not found:
            return ()
        plan = work.plan
        values = pa.concat_batches([row.values for row in found])
        hash_key = self._hash_key(plan)
        hashes = key_hashes(values, plan.key, hash_key)
        # Whom the checks refuse is listed by his key, what a target refused by its place at the source.
        asked = [
            key_hash if row.kind == "surplus" else hmac.digest(hash_key, row.reference.encode(), "sha256").hex()
            for key_hash, row in zip(hashes, found, strict=True)
        ]
        rules = self._rules(plan, asked)
        pending = self._pending(work, [row.key for row in found], hashes)
        graves = [self._buried(work, values, place) for place in (0, 1)]
        shown = _clear(values) if keys else [None] * len(found)
        told = []
        for number, row in enumerate(found):
            by = rules.get(asked[number], ())
            gone = row.kind == "surplus"
            refused = beyond_grant and (hashes[number] in work.refused_hashes if gone else bool(by))
            known = {
                "pending": row.key in pending or (beyond_grant and hashes[number] in pending),
                "refused": refused,
                "withdrawn": row.withdrawn,
                "deleted": gone and graves[0][number],
                "buried": row.kind == "missing" and graves[1][number],
            }
            why = () if gone and not beyond_grant else tuple(each for each in known if known[each])
            key = shown[number] if beyond_grant or row.kind != "missing" else None
            told.append(Difference(row.kind, hashes[number], key, row.items, why, by if "refused" in why else ()))
        return tuple(told)

    def _remark(self, work: _Work) -> None:
        if work.last_delivery is None:
            work.remarks.append("平台没有该交换的交付记录")
        if work.reshaped:
            work.remarks.append("上次交付之后授权或挂接有变，下一次执行会全部重新比对")
        if len(work.stands) > 1:
            work.remarks.append("该交换有没有办完的批次")

    def _rules(self, plan: Plan, hashes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Rules by which rows were refused the last time they were, by the hash of their key."""
        last: dict[str, str] = {}
        rules: dict[str, tuple[str, ...]] = {}
        with self._database.reading() as session:
            for start in range(0, len(hashes), _ASKED):
                asked = QuarantineRow.key_hash.in_(hashes[start : start + _ASKED])
                query = select(QuarantineRow).where(
                    QuarantineRow.exchange == plan.exchange, asked, QuarantineRow.rule.not_in(KEPT)
                )
                for row in session.scalars(query.order_by(QuarantineRow.id.desc())):
                    if last.setdefault(row.key_hash, row.run) == row.run:
                        rules[row.key_hash] = tuple(dict.fromkeys((*rules.get(row.key_hash, ()), row.rule)))
        return rules

    def _pending(self, work: _Work, keys: Sequence[bytes], hashes: Sequence[str]) -> set[bytes | str]:
        """Which of the rows the source has changed after the last run: their keys, or the hashes of refused ones."""
        plan = work.plan
        capture = plan.source.capture
        if capture not in _INCREMENTAL or (capture != "outbox" and work.position is None):
            return set()
        wanted, told = pa.array(keys, pa.binary()), set(hashes)
        passage = self._passage(work)
        pending: set[bytes | str] = set()
        after = None if capture == "outbox" else work.position
        try:
            for batch in _raw_batches(work.ends[0], plan.source, plan, after):
                passed = passage.through(batch)
                changed = ordered_keys(passed.staged, plan.key)
                pending.update(changed.filter(pc.is_in(changed, value_set=wanted)).to_pylist())
                pending.update(told.intersection(passed.refused.column("key_hash").to_pylist()))
        except AdapterError as error:
            work.remarks.append(f"没有查明来源在上次执行之后的变化：{error.message}")
        return pending

    def _buried(self, work: _Work, keys: pa.RecordBatch, place: int) -> list[bool]:
        """Whether an end keeps tombstones of the rows."""
        plan = work.plan
        end = (plan.source, plan.target)[place]
        if place == 0 and _key_hashed(plan):
            return [False] * keys.num_rows  # the source knows no such keys
        try:
            with work.ends[place].source(_bound(end, plan)) as source:
                return source.buried(keys).to_pylist()  # type: ignore[no-any-return]
        except AdapterError as error:
            work.remarks.append(f"端点 {end.endpoint} 的删除记号没有查到：{error.message}")
            return [False] * keys.num_rows


class _Reading:
    """In what order the ends are read in one attempt."""

    def __init__(self, unordered: set[str]) -> None:
        self._unordered = unordered
        self.at = ""
        """The end whose rows turned out not to be in order."""

    def ordered(self, end: str, batches: Iterator[pa.RecordBatch], spool: Spool) -> Iterator[pa.RecordBatch]:
        """Batches in the order of their keys, put in order where they are known not to be."""
        if end in self._unordered:
            yield from put_in_order(batches, spool)
            return
        try:
            yield from watched(batches)
        except Disordered:
            self.at = end
            raise


def _demand_readable(row: ExchangeRow, source: Capabilities, target: Capabilities) -> None:
    """Raise Invalid unless both ends can be read as whole tables."""
    found = []
    for word, end, able in (("来源端", row.source, source), ("目标端", row.target, target)):
        if able.way != "database" or "snapshot" not in able.captures:
            ways = {"file": "文件", "webservice": " Web Service"}
            kind = ways.get(able.way, "不能全表读取的端点")
            message = f"{end['endpoint']} 是{kind}，没有可以全部读出的表"
            found.append(Problem(f"交换 {row.id} › {word}", message, "这样的交付以回执和对方的签收为凭"))
    if found:
        raise Invalid(f"交换 {row.id} 不能对账", found)


def _key_hashed(plan: Plan) -> bool:
    return any(plan.masks.get(item, {}).get("mask") == "hmac" for item in plan.key)


def _standing(source: End) -> End:
    """The source read as a whole table, whatever the runs read of it; marks of deletion hold."""
    return source.model_copy(update={"capture": "snapshot"})


def _bound(end: End, plan: Plan) -> Binding:
    return binding(end, plan.key, plan.version)


def _batches(
    endpoint: Endpoint, end: End, plan: Plan, name: str, after: dict[str, Any] | None
) -> Iterator[pa.RecordBatch]:
    with translated(f"端点 {name}"):
        yield from _raw_batches(endpoint, end, plan, after)


def _raw_batches(endpoint: Endpoint, end: End, plan: Plan, after: dict[str, Any] | None) -> Iterator[pa.RecordBatch]:
    source: Source
    with endpoint.source(_bound(end, plan)) as source:
        yield from source.batches(Selection(after=after, batch_rows=plan.batch_rows))


def _clear(keys: pa.RecordBatch) -> list[dict[str, str | None]]:
    """Keys as they were delivered, as texts."""
    columns = {name: keys.column(name).cast(pa.string()).to_pylist() for name in keys.schema.names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _remedies(work: _Work, counts: dict[Any, int], rows: Sequence[Difference]) -> tuple[str, ...]:
    """What to do about differences, as far as they are known."""
    exchange = work.plan.exchange
    if not any(counts.values()):
        return ()
    pending = {row.kind for row in rows if "pending" in row.why}
    lost = {row.kind for row in rows if not {"pending", "buried"} & set(row.why)}
    unknown = {row.kind for row in rows if not row.why}
    told = []
    if pending or work.reshaped or work.last_delivery is None:
        told.append(f"来源已变而尚未送达的：执行 shutong run {exchange}")
    if {"missing", "older", "content"} & lost and work.last_delivery is not None:
        told.append(f"接收方缺少、陈旧或被改动的：与接收方核实后执行 shutong run {exchange} --redeliver")
    if any({"deleted", "withdrawn"} & set(row.why) and "pending" not in row.why for row in rows):
        told.append(f"来源已删除或不再属于授权范围、接收方仍有的：执行 shutong run {exchange} --redeliver 收回")
    if {"surplus", "repeated"} & unknown:
        told.append("接收方多出或重复的：平台的交付不会动这些行，由接收方核实处理")
    if "newer" in unknown:
        told.append("接收方版本更高的：来源后来报了更低的版本，或接收方改动过；交付不会覆盖，请提供方以更高的版本重报")
    if any("refused" in row.why for row in rows):
        told.append("被拒收的：用 shutong quarantine list 查看原因，请提供方更正后重报")
    if any("buried" in row.why for row in rows):
        told.append("接收方台账记为已删除的：来源以更高的版本重报后才会再次送达")
    return tuple(told)
