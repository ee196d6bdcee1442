"""Single rows (单笔查询): the row of one key, asked live of where it lies, by the same grant, checks, filter and masks.

One look is one reading and one entry in the register (:mod:`exchange.service.register`). The event written there
before the row is handed out is the proof of the look: who asked under which version of which grant, whether there was
a row, and keyed hashes of the key and of the row. A receipt is made of the event when it is asked for.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from adapters import OPERATION, PUT, REFERENCE, AdapterError, Source
from adapters.errors import Malformed, Refused, Unavailable, Unsupported
from adapters.webservice.desk import Caller, Page
from exchange.audit import events
from exchange.checks.normalise import lists_of, normalise
from exchange.checks.plainly import plain_values
from exchange.db.tables import ExchangeRow
from exchange.engine.opening import binding
from exchange.engine.passage import Passage
from exchange.engine.subject import plan_exchange
from exchange.hub import Hub
from exchange.plan import Plan
from exchange.service.errors import answered
from exchange.service.offers import Reach
from exchange.service.rates import Rates, granted
from exchange.service.register import Look, Register, Stale
from schemas import Item, arrow_schema

_BEIJING = ZoneInfo("Asia/Shanghai")
_IDLE = 8
"""Ways to one source that are kept open between looks."""


_SECONDS = 5.0
"""How long it is kept in mind what a caller may use."""
_REMEMBERED = 4096
_PUT = pa.scalar(PUT, pa.int8())
_LONGEST = 1000
"""Characters of one item of a key at most."""


@dataclass
class _Way:
    """An open way to the rows of one exchange, as its grant stood when it was opened."""

    plan: Plan
    digest: str
    source: Source
    passage: Passage
    zone: str
    today: date
    items: tuple[Item, ...]
    """Those of the key."""
    schema: pa.Schema
    """The key's."""


class Looks:
    """Looks single rows up.

    Args:
        hub: The hub.
        rates: Count what is asked for.
    """

    def __init__(self, hub: Hub, rates: Rates) -> None:
        self._hub = hub
        self._written = Register(hub, rates)
        self._lock = threading.Lock()
        self._idle: dict[tuple[Any, ...], list[_Way]] = defaultdict(list)
        self._key = hub.keyring.derive("look")
        self._known: dict[tuple[str, str], tuple[Reach, float]] = {}

    def look(self, caller: Caller, resource: str, find: Callable[[], Reach], key: Mapping[str, str]) -> Page:
        """The row of a key as it is now, or none.

        What the caller may use is kept in mind for some seconds; the gate says whether that still holds, and if not
        it is found anew.

        Args:
            caller: Who asks.
            resource: What for.
            find: Finds what the caller may use of it now.
            key: The items of the key, as texts.

        Raises:
            Refused: The resource cannot be asked so, or the gate does not let the row pass.
            Malformed: The key is not what identifies a row.
            Unavailable: A limit was reached, or the source is away.
        """
        about = (caller.department, resource)
        before = self._remembered(about)
        if before is not None:
            try:
                return self._look(caller, before, key)
            except (Refused, Stale):
                self._known.pop(about, None)
        reach = self.reach(caller, resource, find)
        try:
            # The caller was told of the one offer, and is not to be given rows of the other.
            if before is None or reach.offer == before.offer:
                return self._look(caller, reach, key)
        except Stale:
            pass
        raise Unavailable(f"资源 {resource} 刚有变动", remedy="retry_after=1：1 秒后再试")

    def reach(self, caller: Caller, resource: str, find: Callable[[], Reach]) -> Reach:
        """What the caller may use of a resource, as it was some seconds ago at most: the gate looks again."""
        about = (caller.department, resource)
        found = self._remembered(about)
        if found is None:
            found = find()
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[about] = found, time.monotonic() + _SECONDS
        return found

    def _remembered(self, about: tuple[str, str]) -> Reach | None:
        reach, until = self._known.get(about, (None, 0.0))
        return reach if time.monotonic() < until else None

    def _look(self, caller: Caller, reach: Reach, key: Mapping[str, str]) -> Page:
        if not reach.offer.lookup:
            raise Refused(f"资源 {reach.offer.resource} 不能单笔查询", remedy="改用整批读取")
        if set(key) != set(reach.offer.key):
            raise Malformed(f"查询条件应为业务主键：{'、'.join(reach.offer.key)}", remedy="改正查询条件")
        today = datetime.now(_BEIJING).date()
        about = (reach.exchange.id, reach.grant.version, repr(reach.exchange.source), reach.exchange.state, today)
        way = self._taken(about) or self._opened(reach, today)
        try:
            keys = self._typed(way, key)
            with answered(reach.offer.resource):
                rows = self._asked(way, reach, keys)
        except BaseException:
            way.source.close()
            raise
        self._put_back(about, way)
        with answered(reach.offer.resource), self._hub.told():
            look = self._register(caller, reach, way, keys, rows)
        return Page(iter([rows] if rows.num_rows else []), lambda: None, look)

    def close(self) -> None:
        """Let go of all sources."""
        with self._lock:
            ways = [way for idle in self._idle.values() for way in idle]
            self._idle.clear()
        for way in ways:
            way.source.close()

    # --- ways ----------------------------------------------------------------------------------

    def _taken(self, about: tuple[Any, ...]) -> _Way | None:
        with self._lock:
            idle = self._idle.get(about)
            way = idle.pop() if idle else None
            # What was opened for this exchange under another version, or yesterday, is of no use any more.
            stale = [other for other in self._idle if other[0] == about[0] and other != about]
            closing = [way for other in stale for way in self._idle.pop(other)]
        for each in closing:
            each.source.close()
        return way

    def _put_back(self, about: tuple[Any, ...], way: _Way) -> None:
        with self._lock:
            idle = self._idle[about]
            if len(idle) < _IDLE:
                idle.append(way)
                return
        way.source.close()

    def _opened(self, reach: Reach, today: date) -> _Way:
        hub, name = self._hub, reach.exchange.id
        with answered(reach.offer.resource), hub.told(), hub.database.reading() as session:
            row = session.get_one(ExchangeRow, name)
            source = hub.endpoints.open(session, row.source["endpoint"])
            target = hub.endpoints.open(session, row.target["endpoint"])
            plan = plan_exchange(session, row, source.capabilities, target.capabilities, hub.settings, hub.catalog)
            zone = hub.catalog.endpoint(session, plan.source.endpoint).zone
        passage = Passage(
            plan,
            zone=zone,
            mask_key=hub.keyring.derive("grant", plan.grant),
            hash_key=hub.keyring.derive("quarantine", plan.resource),
            today=today,
            sink=None,
        )
        opened = source.source(binding(plan.source, plan.key, plan.version))
        items = tuple(item for item in plan.items if item.name in plan.key)
        fields = arrow_schema(items)
        schema = pa.schema([fields.field(name) for name in plan.key])
        return _Way(plan, plan.digest(), opened, passage, zone, today, items, schema)

    # --- one look ------------------------------------------------------------------------------

    def _typed(self, way: _Way, key: Mapping[str, str]) -> pa.RecordBatch:
        """The key as the resource types it; what cannot be a key of it is not asked for."""
        plan, items = way.plan, way.items
        if any(len(text) > _LONGEST or not text.isprintable() for text in key.values()):
            raise Malformed("查询条件的值不是这个资源的业务主键", remedy="按服务描述核对各项的类型和格式")
        columns = {item.name: pa.array([key[item.name]], pa.string()) for item in items}
        reserved = {OPERATION: pa.array([PUT], pa.int8()), REFERENCE: pa.array([""], pa.string())}
        batch = pa.record_batch({**columns, **reserved})
        lists = lists_of(items, None)
        plain = plain_values(batch, items, key=plan.key, version=None, today=way.today, code_lists=lists)
        if len(plain) == len(items):
            return pa.record_batch([plain[name] for name in plan.key], schema=way.schema)
        seen = normalise(batch, items, way.zone, key=plan.key)
        if seen.findings:
            raise Malformed("查询条件的值不是这个资源的业务主键", remedy="按服务描述核对各项的类型和格式")
        return seen.batch.select(list(plan.key))

    def _asked(self, way: _Way, reach: Reach, keys: pa.RecordBatch) -> pa.RecordBatch:
        """What the grant lets through of the rows found; a row that fails the checks is none."""
        try:
            found = way.source.lookup(keys)
        except Unsupported as error:
            raise Refused(f"资源 {reach.offer.resource} 不能单笔查询", remedy="改用整批读取") from error
        except AdapterError as error:
            raise Unavailable(f"资源 {reach.offer.resource} 暂时不能提供", remedy="稍后再试") from error
        staged = way.passage.staged(found)
        same = pc.equal(staged.column(OPERATION), _PUT)
        for name in way.plan.key:
            # A place may compare in its own way; here a key is the same or it is another.
            same = pc.and_(same, pc.equal(staged.column(name), keys.column(name)[0]))
        return staged.filter(same)

    def _register(self, caller: Caller, reach: Reach, way: _Way, keys: pa.RecordBatch, rows: pa.RecordBatch) -> str:
        """Gate, quota, limit and event, durable before anything is handed out."""
        plan = way.plan
        event = events.RowLookedUp(
            look="L" + secrets.token_hex(12),
            grant=plan.grant,
            version=plan.grant_version,
            plan=way.digest,
            found=rows.num_rows,
            key=self._hashed(plan.grant, keys),
            digest=self._hashed(plan.grant, rows) if rows.num_rows else "",
            credential=caller.id,
        )
        source, measure = reach.exchange.source, granted(reach.grant)
        self._written.write(Look(plan, source, caller.department, event, rows.num_rows, measure))
        return event.look

    def _hashed(self, grant: str, batch: pa.RecordBatch) -> str:
        """Keyed, and under the grant: the hashes of two grants cannot be joined."""
        text = repr([grant, *batch.to_pylist()])
        return hmac.digest(self._key, text.encode(), "sha256").hex()
